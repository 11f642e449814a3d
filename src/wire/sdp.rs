//! The little of SDP (RFC 8866) that a B2BUA without media touches: the `o=` line, m-lines, directions.
//!
//! Everything else passes unread. Lines end with CRLF or, from careless peers, LF alone. Not here: offer/answer
//! (`sip::offer_answer`).

use super::grammar;

/// The `o=` line (RFC 8866 section 5.2), as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The user name, `-` if none.
    pub username: &'a [u8],
    /// The session id: digits, often more than 64 bits hold.
    pub session_id: &'a [u8],
    /// The session version: digits.
    pub version: &'a [u8],
    /// Network type, address type and address.
    pub address: &'a [u8],
}

impl Origin<'_> {
    /// The version as a number; `None` if it is none or exceeds 64 bits.
    pub fn version_number(&self) -> Option<u64> {
        std::str::from_utf8(self.version).ok()?.parse().ok()
    }
}

/// The direction of a session or medium (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// `a=sendrecv`, and what holds where none is written.
    #[default]
    SendRecv,
    /// `a=sendonly`
    SendOnly,
    /// `a=recvonly`
    RecvOnly,
    /// `a=inactive`
    Inactive,
}

impl Direction {
    fn parse(attribute: &[u8]) -> Option<Direction> {
        match attribute {
            b"sendrecv" => Some(Direction::SendRecv),
            b"sendonly" => Some(Direction::SendOnly),
            b"recvonly" => Some(Direction::RecvOnly),
            b"inactive" => Some(Direction::Inactive),
            _ => None,
        }
    }
}

/// One m-line and the lines that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video` ...
    pub kind: &'a [u8],
    /// The port; 0 = refused or switched off.
    pub port: u16,
    /// The transport, as `RTP/AVP`.
    pub protocol: &'a [u8],
    /// The formats, separated by spaces.
    pub formats: &'a [u8],
    /// The whole section from `m=` on, line ends included.
    pub section: &'a [u8],
    /// Its own direction, else the session's.
    pub direction: Direction,
}

/// The lines of `sdp` without their ends, each with the offset where it begins and where the next one does.
fn lines(sdp: &[u8]) -> impl Iterator<Item = (usize, &[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sdp.get(at..).filter(|rest| !rest.is_empty())?;
        let (start, feed) = (at, memchr::memchr(b'\n', rest));
        let line = &rest[..feed.unwrap_or(rest.len())];
        at += feed.map_or(rest.len(), |feed| feed + 1);
        Some((start, line.strip_suffix(b"\r").unwrap_or(line), at))
    })
}

/// The `o=` line with its place, before the first m-line.
fn origin_line(sdp: &[u8]) -> Option<(usize, &[u8], usize)> {
    lines(sdp)
        .take_while(|(_, line, _)| !line.starts_with(b"m="))
        .find(|(_, line, _)| line.starts_with(b"o="))
}

/// Splits off the first word.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    (&text[..end], grammar::trim_start(&text[end..]))
}

/// Reads the `o=` line; `None` if there is none or it lacks a field.
pub fn origin(sdp: &[u8]) -> Option<Origin<'_>> {
    let (_, line, _) = origin_line(sdp)?;
    let (username, rest) = word(&line[2..]);
    let (session_id, rest) = word(rest);
    let (version, address) = word(rest);
    let whole = !username.is_empty() && !session_id.is_empty() && !version.is_empty() && !address.is_empty();
    whole.then_some(Origin { username, session_id, version, address })
}

/// Appends `sdp` to `out` with that session id and version in its `o=` line, all else byte for byte. False (and `out`
/// holds `sdp` as it was) if there is no readable `o=` line.
pub fn rewrite_origin(sdp: &[u8], out: &mut Vec<u8>, session_id: u64, version: u64) -> bool {
    let (Some(origin), Some((start, line, _))) = (origin(sdp), origin_line(sdp)) else {
        out.extend_from_slice(sdp);
        return false;
    };
    out.extend_from_slice(&sdp[..start]);
    out.extend_from_slice(b"o=");
    out.extend_from_slice(origin.username);
    out.extend_from_slice(format!(" {session_id} {version} ").as_bytes());
    out.extend_from_slice(origin.address);
    out.extend_from_slice(&sdp[start + line.len()..]);
    true
}

/// True if two descriptions differ in nothing but the session id and version of their `o=` lines.
pub fn same_but_origin(one: &[u8], two: &[u8]) -> bool {
    let parts = |sdp| -> Option<(&[u8], &[u8], Origin<'_>)> {
        let (start, line, _) = origin_line(sdp)?;
        Some((&sdp[..start], &sdp[start + line.len()..], origin(sdp)?))
    };
    match (parts(one), parts(two)) {
        (Some((head, tail, origin)), Some((other_head, other_tail, other))) => {
            (head, tail, origin.username, origin.address)
                == (other_head, other_tail, other.username, other.address)
        }
        _ => one == two,
    }
}

/// The direction written before the first m-line, if any.
pub fn session_direction(sdp: &[u8]) -> Option<Direction> {
    let session = lines(sdp).take_while(|(_, line, _)| !line.starts_with(b"m="));
    session.filter_map(|(_, line, _)| Direction::parse(line.strip_prefix(b"a=")?)).last()
}

/// The m-lines in order. One that does not read is left out with its section.
pub fn media(sdp: &[u8]) -> impl Iterator<Item = Media<'_>> {
    let session = session_direction(sdp).unwrap_or_default();
    let mut at =
        lines(sdp).find(|(_, line, _)| line.starts_with(b"m=")).map_or(sdp.len(), |(start, ..)| start);
    std::iter::from_fn(move || {
        let rest = sdp.get(at..).filter(|rest| !rest.is_empty())?;
        let next = lines(rest).skip(1).find(|(_, line, _)| line.starts_with(b"m="));
        let section = &rest[..next.map_or(rest.len(), |(start, ..)| start)];
        at += section.len();
        Some(medium(section, session))
    })
    .flatten()
}

fn medium(section: &[u8], session: Direction) -> Option<Media<'_>> {
    let (_, line, _) = lines(section).next()?;
    let (kind, rest) = word(line.strip_prefix(b"m=")?);
    let (port, rest) = word(rest);
    let (protocol, formats) = word(rest);
    // `49170/2` means two ports; the first one counts here.
    let port = port.split(|&byte| byte == b'/').next()?;
    let port = u16::try_from(grammar::decimal(port)?).ok()?;
    let own = lines(section).filter_map(|(_, line, _)| Direction::parse(line.strip_prefix(b"a=")?)).last();
    Some(Media { kind, port, protocol, formats, section, direction: own.unwrap_or(session) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &[u8] =
        b"v=0\r\no=- 123 7 IN IP4 192.0.2.1\r\ns=-\r\na=recvonly\r\nm=audio 4000/2 RTP/AVP 0 8\r\n\
        a=sendonly\r\nm=video 0 RTP/AVP 31\nc=IN IP4 192.0.2.2\no=not this one\n";

    #[test]
    fn origin_is_rewritten_and_nothing_else() {
        let mut out = Vec::new();
        assert!(rewrite_origin(OFFER, &mut out, 5, 6));
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(text.replace("o=- 5 6 IN", "o=- 123 7 IN").as_bytes(), OFFER);
        assert!(same_but_origin(OFFER, &out));
        assert_eq!(origin(&out).and_then(|origin| origin.version_number()), Some(6));
    }

    #[test]
    fn without_origin_it_passes_as_it_is() {
        for sdp in [&b"v=0\r\nm=audio 1 RTP/AVP 0\r\no=- 1 1 IN IP4 0\r\n"[..], b"o=- 1 2", b"", b"o="] {
            let mut out = Vec::new();
            assert!(!rewrite_origin(sdp, &mut out, 5, 6));
            assert_eq!(out, sdp);
        }
    }

    #[test]
    fn media_in_order_with_their_directions() {
        let read: Vec<_> = media(OFFER).map(|media| (media.kind, media.port, media.direction)).collect();
        assert_eq!(read, [(&b"audio"[..], 4000, Direction::SendOnly), (b"video", 0, Direction::RecvOnly)]);
        let sections: Vec<u8> = media(OFFER).flat_map(|media| media.section.to_vec()).collect();
        assert!(OFFER.ends_with(&sections));
    }
}
