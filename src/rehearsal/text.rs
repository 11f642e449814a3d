//! A SIP message as lines of text: what the rehearsal peers and the rehearsal agent read and write.
//!
//! It is not the engine's decoder and imports nothing of it, on purpose: a stack that is only tried against itself
//! agrees with its own mistakes. It reads what Baton writes strictly and refuses the rest. Called by [`super::peer`].

use std::fmt::Write as _;

/// A message, request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Request line or status line.
    pub start: String,
    /// Names as written, values without the white space around them, in order.
    pub headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: String,
}

impl Text {
    /// A message without headers.
    pub fn new(start: impl Into<String>) -> Text {
        Text { start: start.into(), headers: Vec::new(), body: String::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Text {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<String>) -> Text {
        self.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        self.body = body.into();
        self
    }

    /// A response to this request, without Contact and body (RFC 3261 §8.2.6.2). `local` is To with the own tag, for a
    /// request that has none yet.
    pub fn answered(&self, status: u16, phrase: &str, local: Option<&str>) -> Text {
        let mut response = Text::new(format!("SIP/2.0 {status} {phrase}"));
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let own = local.filter(|_| name == "To" && self.tag("To").is_none());
                response = response.with(name, own.unwrap_or(value));
            }
        }
        response
    }

    /// Reads one datagram.
    ///
    /// # Errors
    /// What is wrong with it, in words: no UTF-8, no empty line, a line without a colon, a Content-Length that does
    /// not say the truth.
    pub fn read(bytes: &[u8]) -> Result<Text, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no empty line after the headers")?;
        let mut lines = head.split("\r\n");
        let mut message = Text::new(lines.next().unwrap_or_default());
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
            message.headers.push((name.trim_end().to_owned(), value.trim().to_owned()));
        }
        message.body = body.to_owned();
        match message.header("Content-Length").map(str::parse::<usize>) {
            Some(Ok(length)) if length == body.len() => Ok(message),
            Some(Ok(length)) => Err(format!("Content-Length says {length}, the body has {}", body.len())),
            Some(Err(_)) => Err("Content-Length is no number".to_owned()),
            None => Err("no Content-Length".to_owned()),
        }
    }

    /// As it goes on the wire, with Content-Length.
    pub fn write(&self) -> Vec<u8> {
        let mut out = String::with_capacity(512 + self.body.len());
        let _ = write!(out, "{}\r\n", self.start);
        for (name, value) in &self.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        out.into_bytes()
    }

    /// The status of a response; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or of the request that a response answers (from its CSeq).
    pub fn method(&self) -> &str {
        if self.status().is_some() {
            self.header("CSeq").and_then(|cseq| cseq.split_whitespace().nth(1)).unwrap_or_default()
        } else {
            self.start.split(' ').next().unwrap_or_default()
        }
    }

    /// The Request-URI; empty for a response.
    pub fn uri(&self) -> &str {
        if self.status().is_some() { "" } else { self.start.split(' ').nth(1).unwrap_or_default() }
    }

    /// The number in CSeq; 0 where there is none.
    pub fn cseq(&self) -> u32 {
        let number = self.header("CSeq").and_then(|cseq| cseq.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All headers of that name, in order.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let (_, parameters) = self.header(name)?.rsplit_once('>')?;
        parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("tag="))
    }

    /// The URI between the angle brackets of a header.
    pub fn bracketed(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.header(name)?.split_once('<')?;
        Some(rest.split_once('>')?.0)
    }

    /// The branch of the topmost Via: which transaction this is.
    pub fn branch(&self) -> Option<&str> {
        self.header("Via")?.split(';').find_map(|parameter| parameter.trim().strip_prefix("branch="))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer() -> Text {
        Text::new("REFER sip:pbx@127.0.0.1:5060 SIP/2.0")
            .with("Via", "SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1;rport")
            .with("From", "\"A > B\" <sip:a@x>;tag=one")
            .with("To", "<sip:b@y>")
            .with("CSeq", "2 REFER")
            .with("x-account", "4711")
    }

    #[test]
    fn reads_what_it_wrote() {
        let read = Text::read(&refer().with_body("text/plain", "hello").write()).unwrap();
        assert_eq!(read.method(), "REFER");
        assert_eq!(read.uri(), "sip:pbx@127.0.0.1:5060");
        assert_eq!(read.header("X-Account"), Some("4711"));
        assert_eq!(read.tag("From"), Some("one"));
        assert_eq!(read.tag("To"), None);
        assert_eq!((read.cseq(), read.branch()), (2, Some("z9hG4bK1")));
        assert_eq!(read.body, "hello");
    }

    #[test]
    fn refuses_a_false_length() {
        let mut bytes = refer().with_body("text/plain", "hello").write();
        bytes.push(b'!');
        assert_eq!(Text::read(&bytes), Err("Content-Length says 5, the body has 6".to_owned()));
        assert_eq!(Text::read(b"OPTIONS sip:a SIP/2.0\r\n\r\n"), Err("no Content-Length".to_owned()));
        assert!(Text::read(b"OPTIONS sip:a SIP/2.0\r\nVia\r\n\r\n").unwrap_err().contains("no colon"));
    }

    #[test]
    fn tells_responses_from_requests() {
        let ringing = Text::new("SIP/2.0 180 Ringing").with("CSeq", "1 INVITE");
        assert_eq!((ringing.status(), ringing.method(), ringing.uri()), (Some(180), "INVITE", ""));
        assert_eq!(refer().status(), None);
    }
}
