//! What passes from one leg to another: the one list of headers that go end to end.
//!
//! Everything that is not on it stays behind: dialog, routing, authentication and content headers are each leg's
//! own. Called by everything in `leg/` that makes a message.

use super::content::{Body, Content, Field};
use crate::wire::{Message, Name, Writer};

/// Whether a header of that name passes from any message to the one made after it.
fn passes(name: Name) -> bool {
    matches!(
        name,
        Name::UserToUser
            | Name::Diversion
            | Name::HistoryInfo
            | Name::Reason
            | Name::AlertInfo
            | Name::CallInfo
            | Name::Subject
            | Name::SessionId
            | Name::AcceptLanguage
            | Name::Priority
            | Name::Organization
            | Name::InReplyTo
            | Name::ReplyTo
            | Name::InfoPackage
            | Name::RecvInfo
    )
}

/// Headers that pass besides in a response: they explain it, or say when to try again.
fn passes_in_response(name: Name) -> bool {
    matches!(name, Name::Warning | Name::RetryAfter | Name::ErrorInfo)
}

/// Headers that pass besides where both sides are trusted (RFC 3325).
fn is_identity(name: Name) -> bool {
    matches!(name, Name::PAssertedIdentity | Name::Privacy)
}

/// Whether a header of a request passes, by its text, whoever is trusted.
pub(crate) fn passes_by_name(raw_name: &[u8]) -> bool {
    match Name::parse(raw_name) {
        Name::Other => is_extension(raw_name) && !is_own(raw_name),
        name => passes(name),
    }
}

/// Whether it passes besides where both sides are trusted.
pub(crate) fn is_identity_by_name(raw_name: &[u8]) -> bool {
    is_identity(Name::parse(raw_name))
}

/// Headers that describe the body and go where it goes.
fn describes_body(name: Name) -> bool {
    matches!(name, Name::ContentDisposition | Name::ContentLanguage | Name::MimeVersion)
}

/// `X-…`.
pub(super) fn is_extension(name: &[u8]) -> bool {
    matches!(name, [b'x' | b'X', b'-', _, ..])
}

/// Headers that only the product writes; whoever sends them, they mean nothing beyond this hop.
pub(crate) fn is_own(name: &[u8]) -> bool {
    let starts =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts(b"X-Handoff") || starts(b"X-Baton-")
}

/// Writes what `content` carries beside its body.
pub(crate) fn write(writer: &mut Writer<'_>, content: &Content<'_>) {
    let with_body = matches!(content.body, Body::Copied);
    if let Some(message) = &content.copy {
        copy(writer, message, content, with_body);
    }
    for field in content.fields {
        writer.header_raw(field.name.as_bytes(), field.value.as_bytes());
    }
}

fn copy(writer: &mut Writer<'_>, message: &Message<'_>, content: &Content<'_>, with_body: bool) {
    let response = !message.is_request();
    for header in message.all() {
        let wanted = match header.name {
            Name::Other => is_extension(header.raw_name) && !is_own(header.raw_name),
            name if describes_body(name) => with_body && !message.body().is_empty(),
            name => {
                passes(name)
                    || (response && passes_in_response(name))
                    || (content.identity && is_identity(name))
            }
        };
        let name = if header.name == Name::Other { header.raw_name } else { header.name.as_str().as_bytes() };
        // Of a header that may stand once the first one counts.
        let again = header.name.is_single()
            && message.header(header.name).is_some_and(|first| !std::ptr::eq(first, header.value));
        let replaced = || content.fields.iter().any(|field| field.name.as_bytes().eq_ignore_ascii_case(name));
        if wanted && !again && !replaced() {
            writer.header_raw(name, header.value);
        }
    }
}

/// The headers of `content` as fields, for a message that is made later.
pub(super) fn keep_fields(content: &Content<'_>) -> Box<[Field]> {
    let mut buffer = Vec::new();
    let mut writer = Writer::response(&mut buffer, 100, "");
    write(&mut writer, content);
    writer.finish(None);
    let text = String::from_utf8_lossy(&buffer);
    let lines = text.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| *name != Name::ContentLength.as_str())
        .map(|(name, value)| Field { name: name.into(), value: value.into() })
        .collect()
}

/// The headers that `content` adds to a CANCEL, as whole lines.
pub(crate) fn lines(content: &Content<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    write(&mut Writer::response(&mut buffer, 100, ""), content);
    let start = memchr::memchr(b'\n', &buffer).map_or(buffer.len(), |at| at + 1);
    buffer.drain(..start);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::leg::Field;
    use crate::wire::{Framing, Index, decode};

    const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@h>\r\n\
        X-One: 1\r\nx-two: 2\r\nX-Handoff: no\r\nX-Baton-Call-ID: no\r\nAuthorization: Digest no\r\ns: hello\r\n\
        P-Asserted-Identity: <sip:me@h>\r\nRecord-Route: <sip:p;lr>\r\nContent-Disposition: session\r\n\
        Retry-After: 5\r\nContent-Length: 0\r\n\r\n";

    fn carried(content: impl Fn(&mut Content<'_>)) -> String {
        let mut index = Index::default();
        let message = decode(INVITE.as_bytes(), &mut index, Framing::Datagram).expect("decodes");
        let mut all = Content { copy: Some(&message), ..Content::default() };
        content(&mut all);
        let mut buffer = Vec::new();
        let mut writer = Writer::response(&mut buffer, 200, "OK");
        write(&mut writer, &all);
        writer.finish(None);
        String::from_utf8(buffer).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn only_what_is_end_to_end_passes() {
        let text = carried(|_| ());
        assert_eq!(text, "SIP/2.0 200 OK|X-One: 1|x-two: 2|Subject: hello|Content-Length: 0||");
        let trusted = carried(|content| content.identity = true);
        assert!(trusted.contains("P-Asserted-Identity: <sip:me@h>"));
    }

    #[test]
    fn a_field_stands_instead_of_the_copied_header() {
        let fields = [Field { name: "X-TWO".into(), value: "mine".into() }];
        let mut index = Index::default();
        let message = decode(INVITE.as_bytes(), &mut index, Framing::Datagram).expect("decodes");
        let content = Content { copy: Some(&message), fields: &fields, ..Content::default() };
        let mut buffer = Vec::new();
        let mut writer = Writer::response(&mut buffer, 200, "OK");
        write(&mut writer, &content);
        writer.finish(None);
        let text = String::from_utf8(buffer).unwrap();
        assert!(text.contains("X-TWO: mine") && !text.contains("x-two: 2"));
    }
}
