//! The one line of SDP (RFC 8866) that a B2BUA without media has to understand: `o=`. All else passes unread.
//!
//! Lines end with CRLF or, from careless peers, LF alone. Not here: when which description is sent, and with which
//! version; that is `sip::offer_answer`, the only caller.

use std::ops::Range;

/// Where the `o=` line of a description stands (RFC 8866 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The line without its end.
    pub line: Range<usize>,
    /// The session version's digits.
    pub version: Range<usize>,
    /// The session version.
    pub number: u64,
}

impl Origin {
    /// The first `o=` line; `None` if there is none, or if it has not six fields with a number of at most 64 bits as
    /// version.
    pub fn find(sdp: &[u8]) -> Option<Origin> {
        let mut start = 0;
        while start < sdp.len() {
            let rest = &sdp[start..];
            let end = start + memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            if rest.starts_with(b"o=") {
                return Origin::read(sdp, start..end);
            }
            start = end + sdp[end..].iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        }
        None
    }

    fn read(sdp: &[u8], line: Range<usize>) -> Option<Origin> {
        let mut spaces = memchr::memchr_iter(b' ', &sdp[line.clone()]).map(|at| line.start + at);
        let (_, second, third) = (spaces.next()?, spaces.next()?, spaces.next()?);
        let (_, _) = (spaces.next()?, spaces.next()?);
        let version = second + 1..third;
        let number = std::str::from_utf8(&sdp[version.clone()]).ok()?.parse().ok()?;
        Some(Origin { line, version, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_where_it_stands() {
        for sdp in [
            &b"v=0\r\no=alice 2890844526 42 IN IP4 host.example\r\ns=-\r\n"[..],
            b"v=0\no=alice 2890844526 42 IN IP4 host.example\ns=-\n",
            b"o=alice 2890844526 42 IN IP4 host.example",
        ] {
            let origin = Origin::find(sdp).expect("it reads");
            assert_eq!(&sdp[origin.line], b"o=alice 2890844526 42 IN IP4 host.example");
            assert_eq!((&sdp[origin.version], origin.number), (&b"42"[..], 42));
        }
    }

    #[test]
    fn a_line_that_does_not_read_is_none() {
        for sdp in [
            &b""[..],
            b"v=0\r\ns=-\r\n",
            b"o=",
            b"o=- 1 2 IN IP4",
            b"o=- 1 x IN IP4 0",
            b"o=- 1  IN IP4 0",
            b"o=- 1 -2 IN IP4 0",
            b"o=- 1 18446744073709551616 IN IP4 0",
            b"o=- 1 \xff IN IP4 0",
        ] {
            assert_eq!(Origin::find(sdp), None, "{}", sdp.escape_ascii());
        }
    }
}
