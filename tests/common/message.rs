//! A SIP message as text, read with nothing but `str`: the second opinion. It imports nothing of the product, so that the
//! product cannot agree with its own mistakes.

use std::fmt;

/// One message, with its header fields found.
#[derive(Clone)]
pub struct Message {
    /// The whole of it.
    pub text: String,
    /// First line.
    pub start: String,
    /// Field name as written and value, unfolded, in order.
    pub fields: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: String,
}

/// What the compact names stand for.
const COMPACT: [(&str, &str); 12] = [
    ("i", "Call-ID"),
    ("m", "Contact"),
    ("e", "Content-Encoding"),
    ("l", "Content-Length"),
    ("c", "Content-Type"),
    ("f", "From"),
    ("s", "Subject"),
    ("k", "Supported"),
    ("t", "To"),
    ("v", "Via"),
    ("r", "Refer-To"),
    ("o", "Event"),
];

fn same(written: &str, wanted: &str) -> bool {
    written.eq_ignore_ascii_case(wanted)
        || COMPACT
            .iter()
            .any(|(short, long)| written.eq_ignore_ascii_case(short) && wanted.eq_ignore_ascii_case(long))
}

impl Message {
    /// Reads what Baton or a peer has put on the wire; says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Message, String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Err(format!("no empty line ends the header:\n{text}"));
        };
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields: Vec<(String, String)> = Vec::with_capacity(16);
        for line in lines {
            if line.contains(['\r', '\n']) {
                return Err(format!("a bare CR or LF in {line:?}"));
            }
            if line.starts_with([' ', '\t']) {
                let Some(last) = fields.last_mut() else { return Err("the first line is folded".to_owned()) };
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(format!("no colon in {line:?}"));
            };
            fields.push((name.trim_end().to_owned(), value.trim().to_owned()));
        }
        let (start, body) = (start, body.to_owned());
        Ok(Message { text, start, fields, body })
    }

    /// The method of a request; of a response that of its CSeq.
    pub fn method(&self) -> &str {
        if self.is_request() { self.start.split(' ').next().unwrap_or_default() } else { self.cseq().1 }
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/2.0 ")
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        if self.is_request() { 0 } else { self.uri().parse().unwrap_or(0) }
    }

    /// The reason phrase.
    pub fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The first field of that name.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(written, _)| same(written, name)).map(|(_, value)| value.as_str())
    }

    /// The only field of that name.
    ///
    /// # Panics
    /// If it is missing or stands there twice.
    #[track_caller]
    pub fn header<'a>(&'a self, name: &'a str) -> &'a str {
        let all: Vec<&str> = self.all(name).collect();
        assert_eq!(all.len(), 1, "one {name} expected in\n{self}");
        all[0]
    }

    /// All fields of that name, as written.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(written, _)| same(written, name)).map(|(_, value)| value.as_str())
    }

    /// All values of that name, comma-joined ones taken apart.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name).flat_map(split_commas).collect()
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> (u32, &str) {
        let value = self.find("CSeq").unwrap_or_default();
        let mut words = value.split_whitespace();
        (words.next().and_then(|n| n.parse().ok()).unwrap_or(0), words.next().unwrap_or_default())
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.find("Call-ID").unwrap_or_default()
    }

    /// The tag of From.
    pub fn from_tag(&self) -> &str {
        self.find("From").and_then(|v| parameter(v, "tag")).unwrap_or_default()
    }

    /// The tag of To; empty if there is none.
    pub fn to_tag(&self) -> &str {
        self.find("To").and_then(|v| parameter(v, "tag")).unwrap_or_default()
    }

    /// The branch of the top Via.
    pub fn branch(&self) -> &str {
        self.find("Via")
            .and_then(|v| parameter(v.split(',').next().unwrap_or(v), "branch"))
            .unwrap_or_default()
    }

    /// The URI of Contact.
    pub fn contact(&self) -> Option<&str> {
        self.find("Contact").map(uri_of)
    }

    /// Whether there is an SDP body.
    pub fn has_sdp(&self) -> bool {
        !self.body.is_empty()
            && self
                .find("Content-Type")
                .is_some_and(|t| t.to_ascii_lowercase().starts_with("application/sdp"))
    }

    /// The SDP body.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn sdp(&self) -> &str {
        assert!(self.has_sdp(), "SDP expected in\n{self}");
        &self.body
    }

    /// The streams of the SDP: port and direction of each.
    fn streams(&self) -> String {
        let mut streams: Vec<String> = Vec::new();
        for line in self.body.lines() {
            if let Some(media) = line.strip_prefix("m=") {
                streams.push(media.split(' ').nth(1).unwrap_or_default().to_owned());
            } else if let (Some(direction), Some(stream)) = (line.strip_prefix("a="), streams.last_mut())
                && matches!(direction, "sendonly" | "recvonly" | "inactive")
            {
                stream.push_str(&format!(" {direction}"));
            }
        }
        streams.join(", ")
    }

    /// One line for the ladder.
    pub fn summary(&self) -> String {
        let (number, method) = self.cseq();
        let mut line = self.start.trim_end_matches(" SIP/2.0").to_owned();
        if self.is_request() {
            line.push_str(&format!(" ({number})"));
        } else {
            line = format!("{} ({number} {method})", line.trim_start_matches("SIP/2.0 "));
        }
        for name in ["Refer-To", "Event", "Subscription-State", "Reason", "X-Handoff", "Retry-After"] {
            if let Some(value) = self.find(name) {
                line.push_str(&format!("  {name}: {value}"));
            }
        }
        if self.has_sdp() {
            line.push_str(&format!("  [sdp {}]", self.streams()));
        } else if !self.body.is_empty() {
            line.push_str(&format!("  [{}]", self.body.lines().next().unwrap_or_default()));
        }
        line
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}

/// Takes a comma-joined list apart; commas in `<>` and in quotes do not part.
pub fn split_commas(value: &str) -> Vec<String> {
    let (mut quoted, mut angle, mut escaped) = (false, false, false);
    let mut parts = vec![String::new()];
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// A parameter behind the `>` of a name-addr (or behind the first `;` where there is none).
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let after = value.rfind('>').map_or(value, |at| &value[at + 1..]);
    after.split(';').skip(1).find_map(|p| {
        let (key, text) = p.split_once('=').unwrap_or((p, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| text.trim())
    })
}

/// The URI in a name-addr or addr-spec.
pub fn uri_of(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// Host and port of a SIP URI, and whether it asks for TCP.
pub fn host_of(uri: &str) -> (String, Option<u16>, bool) {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    let mut parts = rest.split(';');
    let address = parts.next().unwrap_or_default();
    let tcp = parts.any(|p| p.eq_ignore_ascii_case("transport=tcp"));
    let address = address.rsplit('@').next().unwrap_or(address);
    let (host, port) = if let Some(v6) = address.strip_prefix('[') {
        let (host, after) = v6.split_once(']').unwrap_or((v6, ""));
        (host.to_owned(), after.strip_prefix(':'))
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (address.to_owned(), None),
        }
    };
    (host, port.and_then(|p| p.parse().ok()), tcp)
}

/// An SDP without its `o=` line.
pub fn without_origin(sdp: &str) -> String {
    sdp.split_inclusive('\n').filter(|line| !line.starts_with("o=")).collect()
}

/// The words of the `o=` line.
pub fn origin(sdp: &str) -> Vec<&str> {
    sdp.lines().find_map(|l| l.strip_prefix("o=")).map(|l| l.split(' ').collect()).unwrap_or_default()
}
