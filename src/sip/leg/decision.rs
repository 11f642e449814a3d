//! What a peer decided, read out of the message that says it: a REFER, a BYE with `X-Handoff`, a 3xx.
//!
//! It only reads: whether the peer may decide, and what the target means, is the business of the call above, which
//! so names no header.

use super::{Field, carry};
use crate::wire::grammar::{self, Commas};
use crate::wire::headers::{X_HANDOFF, X_HANDOFF_REASON, X_HANDOFF_UTTERANCE};
use crate::wire::uri::percent_decode;
use crate::wire::{Message, Name, NameAddr, Uri};

/// Why a decision cannot be read. The message is at fault: a REFER gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A REFER without Refer-To, or with two (RFC 3515 §2.4.2).
    #[error("Refer-To must stand exactly once")]
    ReferTo,
    /// A URI that is none.
    #[error("the target is no URI")]
    Uri,
    /// An embedded header whose name is no token.
    #[error("an embedded header has no proper name")]
    Name,
    /// A header, embedded or not, whose value holds a control character or is not UTF-8.
    #[error("a header carries a control character or is not UTF-8")]
    Value,
    /// A 3xx without Contact.
    #[error("there is no Contact")]
    NoContact,
}

/// Where the caller is to go, as the peer named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A URI without its embedded headers: of Refer-To or Contact.
    Uri(&'a [u8]),
    /// A bare name: of `X-Handoff`.
    Name(&'a str),
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Where the caller is to go.
    pub target: Target<'a>,
    /// Whether a Replaces is embedded (an attended transfer).
    pub replaces: bool,
    /// `X-*`, User-to-User, Diversion and History-Info: those of the message, then the embedded ones, decoded; a name
    /// that stood on the message is not taken again from the URI. Those that are the product's own (`X-Handoff*`,
    /// `X-Baton-*`) are left out.
    pub fields: Vec<Field>,
    /// `X-Handoff-Reason`.
    pub reason: Option<Box<str>>,
    /// `X-Handoff-Utterance`.
    pub utterance: Option<Box<str>>,
    /// Who refers, by the REFER's Referred-By (RFC 3892): its URI alone, for what else stands there vouches for the message
    /// that it came with.
    pub referred_by: Option<Box<str>>,
    /// `Refer-Sub: false` stands on it (RFC 4488): no NOTIFY is wanted.
    pub no_subscription: bool,
}

impl<'a> Decision<'a> {
    /// Reads a REFER.
    ///
    /// # Errors
    /// What is malformed in it.
    pub fn of_refer(message: &Message<'a>) -> Result<Decision<'a>, Malformed> {
        let mut all = message.headers(Name::ReferTo);
        let (Some(value), None) = (all.next(), all.next()) else { return Err(Malformed::ReferTo) };
        if Commas::new(value).count() != 1 && !value.contains(&b'<') {
            return Err(Malformed::ReferTo);
        }
        let address = NameAddr::parse(value).map_err(|_| Malformed::Uri)?;
        let mut decision = Decision::of_uri(message, &address.uri)?;
        decision.no_subscription = refuses_subscription(message);
        decision.referred_by = referred_by(message);
        Ok(decision)
    }

    /// Reads a BYE; None if it carries no `X-Handoff`.
    ///
    /// # Errors
    /// What is malformed in it.
    pub fn of_bye(message: &Message<'a>) -> Result<Option<Decision<'a>>, Malformed> {
        let Some(value) = message.custom(X_HANDOFF.as_bytes()) else { return Ok(None) };
        let name = std::str::from_utf8(value).map_err(|_| Malformed::Value)?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Malformed::Value);
        }
        let mut decision = Decision::new(Target::Name(name));
        decision.read_headers(message)?;
        Ok(Some(decision))
    }

    /// Reads the first Contact of a 3xx.
    ///
    /// # Errors
    /// What is malformed in it.
    pub fn of_redirect(message: &Message<'a>) -> Result<Decision<'a>, Malformed> {
        let value = message.values(Name::Contact).next().ok_or(Malformed::NoContact)?;
        let address = NameAddr::parse(value).map_err(|_| Malformed::Uri)?;
        Decision::of_uri(message, &address.uri)
    }

    fn new(target: Target<'a>) -> Decision<'a> {
        Decision {
            target,
            replaces: false,
            fields: Vec::new(),
            reason: None,
            utterance: None,
            referred_by: None,
            no_subscription: false,
        }
    }

    fn of_uri(message: &Message<'a>, uri: &Uri<'a>) -> Result<Decision<'a>, Malformed> {
        let mut decision = Decision::new(Target::Uri(without_headers(uri)));
        decision.read_headers(message)?;
        for (name, value) in uri.each_header() {
            decision.read_embedded(name, value)?;
        }
        Ok(decision)
    }

    fn read_headers(&mut self, message: &Message<'a>) -> Result<(), Malformed> {
        for header in message.all() {
            let wanted = match header.name {
                Name::Other => carry::is_extension(header.raw_name),
                name => is_context(name),
            };
            if wanted {
                let name = std::str::from_utf8(header.raw_name).map_err(|_| Malformed::Name)?;
                // A compact form has no meaning in a table of headers.
                let name = if header.name == Name::Other { name } else { header.name.as_str() };
                self.add(name, clean(header.value)?);
            }
        }
        Ok(())
    }

    fn read_embedded(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let (name, value) = (percent_decode(name), clean(&percent_decode(value))?);
        if !grammar::is_token(&name) {
            return Err(Malformed::Name);
        }
        let known = Name::parse(&name);
        if known == Name::Replaces {
            self.replaces = true;
        }
        if is_context(known) {
            self.add_once(known.as_str(), value);
        } else if known == Name::Other && carry::is_extension(&name) {
            self.add_once(std::str::from_utf8(&name).map_err(|_| Malformed::Name)?, value);
        }
        Ok(())
    }

    fn add_once(&mut self, name: &str, value: Box<str>) {
        if !self.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name)) {
            self.add(name, value);
        }
    }

    fn add(&mut self, name: &str, value: Box<str>) {
        if name.eq_ignore_ascii_case(X_HANDOFF_REASON) {
            self.reason.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(X_HANDOFF_UTTERANCE) {
            self.utterance.get_or_insert(value);
        } else if !carry::is_own(name.as_bytes()) {
            self.fields.push(Field { name: name.into(), value });
        }
    }
}

/// The headers besides `X-*` that give a handoff its context.
fn is_context(name: Name) -> bool {
    matches!(name, Name::UserToUser | Name::Diversion | Name::HistoryInfo)
}

/// A value as one line.
fn clean(value: &[u8]) -> Result<Box<str>, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed::Value)?;
    if !text.contains("\r\n") && !text.contains('\t') {
        return if text.chars().any(char::is_control) { Err(Malformed::Value) } else { Ok(text.into()) };
    }
    // A fold and a tab are white space (RFC 3261 §7.3.1); a line end that is no fold is not.
    let mut line = String::with_capacity(text.len());
    for (position, part) in text.split("\r\n").enumerate() {
        if position > 0 && !part.starts_with([' ', '\t']) {
            return Err(Malformed::Value);
        }
        let part = if position > 0 { part.trim_start_matches([' ', '\t']) } else { part };
        if position > 0 {
            line.push(' ');
        }
        line.extend(part.chars().map(|c| if c == '\t' { ' ' } else { c }));
    }
    if line.chars().any(char::is_control) { Err(Malformed::Value) } else { Ok(line.into()) }
}

/// A URI as written without `?` and what follows.
fn without_headers<'a>(uri: &Uri<'a>) -> &'a [u8] {
    if uri.headers.is_empty() {
        return uri.bytes.strip_suffix(b"?").unwrap_or(uri.bytes);
    }
    &uri.bytes[..uri.bytes.len().saturating_sub(uri.headers.len() + 1)]
}

fn referred_by(message: &Message<'_>) -> Option<Box<str>> {
    let by = NameAddr::parse(message.header(Name::ReferredBy)?).ok()?;
    std::str::from_utf8(by.uri.bytes).ok().map(Into::into)
}

/// `Refer-Sub: false` (RFC 4488 §4).
pub(super) fn refuses_subscription(message: &Message<'_>) -> bool {
    message.header(Name::ReferSub).is_some_and(|value| {
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        grammar::trim(&value[..end]).eq_ignore_ascii_case(b"false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Framing, Index, decode};

    fn refer(lines: &str) -> Vec<u8> {
        let lines = lines.trim_end().replace('\n', "\r\n");
        format!(
            "REFER sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REFER\r\nMax-Forwards: 70\r\nContact: <sip:a@h>\r\n\
             Content-Length: 0\r\n{lines}\r\n\r\n"
        )
        .into_bytes()
    }

    fn read(lines: &str, check: impl FnOnce(Result<Decision<'_>, Malformed>)) {
        let bytes = refer(lines);
        let mut index = Index::default();
        let message = decode(&bytes, &mut index, Framing::Datagram).expect("decodes");
        check(Decision::of_refer(&message));
    }

    fn fields(decision: &Decision<'_>) -> Vec<String> {
        decision.fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect()
    }

    #[test]
    fn headers_on_and_in_a_refer_are_read_once_and_decoded() {
        let lines = "Refer-To: <sip:front-desk@baton;user=phone?X-Account=4%207&X-One=in&User-to-User=ab%3Bencoding%3Dhex&Route=%3Csip:evil%3E>\n\
                     X-One: on\nX-Handoff-Reason: wants billing\nX-Handoff-Utterance: \u{fc}ber\nX-Baton-Call-ID: c-1\n\
                     Refer-Sub: FALSE ;x=1\nSubject: no";
        read(lines, |decision| {
            let decision = decision.unwrap();
            assert_eq!(decision.target, Target::Uri(b"sip:front-desk@baton;user=phone"));
            assert_eq!(fields(&decision), ["X-One=on", "X-Account=4 7", "User-to-User=ab;encoding=hex"]);
            assert_eq!(decision.reason.as_deref(), Some("wants billing"));
            assert_eq!(decision.utterance.as_deref(), Some("\u{fc}ber"));
            assert!(decision.no_subscription && !decision.replaces);
        });
    }

    #[test]
    fn replaces_is_seen_and_control_characters_are_refused() {
        read("Refer-To: <sip:a@b?Replaces=x%3Bto-tag%3D1>", |decision| assert!(decision.unwrap().replaces));
        read("Refer-To: <sip:a@b?X-A=1%0d%0aVia:x>", |decision| {
            assert_eq!(decision.unwrap_err(), Malformed::Value);
        });
        read("Refer-To: <sip:a@b?X-A%0a=1>", |decision| assert_eq!(decision.unwrap_err(), Malformed::Name));
    }

    #[test]
    fn a_refer_names_exactly_one_target() {
        read("Subject: none", |decision| assert_eq!(decision.unwrap_err(), Malformed::ReferTo));
    }
}
