//! What the rehearsal agent says of media: one audio stream that is `inactive`, for there is nobody who could speak
//! (RFC 8866, RFC 3264). Used by [`super::call`].

use std::fmt::Write as _;
use std::net::IpAddr;

/// The port of a stream that never flows (RFC 863); 0 would decline it.
const PORT: u16 = 9;
/// What is offered to a caller who offers nothing: PCMU, which every phone has, and digits.
const OWN: &str =
    "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=inactive\r\n";
/// Profiles without keys: a stream of any other needs a media stack to be answered.
const PLAIN: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];

/// The agent's side of one session.
#[derive(Debug)]
pub(super) struct Media {
    address: IpAddr,
    session: u64,
    /// Of the description that was said last; grows with each change (RFC 3264 §8).
    version: u64,
    /// All of it that follows `o=`. Empty before the first.
    said: String,
}

impl Media {
    /// Nothing is said yet. `session` is the number in `o=`.
    pub(super) fn new(address: IpAddr, session: u64) -> Media {
        Media { address, session, version: 0, said: String::new() }
    }

    /// The own description for somebody who offers none: what stands, or [`OWN`].
    pub(super) fn offer(&mut self) -> String {
        let said = match self.said.is_empty() {
            true => format!("{}t=0 0\r\n{OWN}", self.head()),
            false => self.said.clone(),
        };
        self.say(said)
    }

    /// The answer to an offer: its first plain audio stream is taken, all others are declined, in their order (RFC 3264
    /// §6). `None`: there is nothing in it that could be taken, and nothing was said.
    pub(super) fn answer(&mut self, offer: &str) -> Option<String> {
        let mut sections = offer.split("\nm=");
        let session = sections.next().unwrap_or_default();
        let time = session.lines().find(|line| line.starts_with("t=")).unwrap_or("t=0 0");
        let mut answer = format!("{}{}\r\n", self.head(), time.trim_end());
        let (mut taken, mut open) = (false, false);
        for section in sections {
            let stream = Stream::read(section)?;
            open |= stream.port != 0;
            match stream.formats().filter(|_| !taken) {
                Some(formats) => {
                    taken = true;
                    stream.take(&formats, &mut answer);
                }
                None => stream.decline(&mut answer),
            }
        }
        (taken || !open).then(|| self.say(answer))
    }

    fn head(&self) -> String {
        format!("s=-\r\nc=IN {} {}\r\n", self.family(), self.address)
    }

    fn family(&self) -> &'static str {
        if self.address.is_ipv4() { "IP4" } else { "IP6" }
    }

    fn say(&mut self, said: String) -> String {
        if self.said != said {
            self.version += 1;
            self.said = said;
        }
        let Media { session, version, address, said } = self;
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        format!("v=0\r\no=- {session} {version} IN {family} {address}\r\n{said}")
    }
}

/// One stream of an offer.
struct Stream<'a> {
    media: &'a str,
    port: u16,
    profile: &'a str,
    formats: Vec<&'a str>,
    section: &'a str,
}

impl<'a> Stream<'a> {
    /// A section without its `m=`. `None`: that line is malformed.
    fn read(section: &'a str) -> Option<Stream<'a>> {
        let mut fields = section.lines().next()?.split_whitespace();
        let (media, port, profile) = (fields.next()?, fields.next()?, fields.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        Some(Stream { media, port, profile, formats: fields.collect(), section })
    }

    fn attributes(&self, format: &'a str) -> impl Iterator<Item = &'a str> {
        self.section.lines().skip(1).map(str::trim_end).filter(move |line| {
            let value = line.strip_prefix("a=rtpmap:").or_else(|| line.strip_prefix("a=fmtp:"));
            value.and_then(|value| value.split(' ').next()) == Some(format)
        })
    }

    fn is_digits(&self, format: &'a str) -> bool {
        self.attributes(format).any(|line| line.to_ascii_lowercase().contains(" telephone-event/"))
    }

    /// The formats that are taken, if it is a stream that can be: its first codec, and digits.
    fn formats(&self) -> Option<Vec<&'a str>> {
        if self.media != "audio" || self.port == 0 || !PLAIN.contains(&self.profile) {
            return None;
        }
        let all = || self.formats.iter().copied();
        let codec = all().find(|format| !self.is_digits(format))?;
        Some([codec].into_iter().chain(all().find(|format| self.is_digits(format))).collect())
    }

    fn take(&self, formats: &[&'a str], out: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(out, "m=audio {PORT} {} {}\r\n", self.profile, formats.join(" "));
        for line in formats.iter().flat_map(|format| self.attributes(format)) {
            let _ = write!(out, "{line}\r\n");
        }
        out.push_str("a=inactive\r\n");
    }

    fn decline(&self, out: &mut String) {
        let _ = write!(out, "m={} 0 {} {}\r\n", self.media, self.profile, self.formats.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media() -> Media {
        Media::new("127.0.0.1".parse().unwrap(), 7)
    }

    const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=phone\r\nc=IN IP4 10.0.0.9\r\nt=3 4\r\na=group:BUNDLE 0\r\n\
        m=video 5004 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n\
        m=audio 5006 RTP/AVP 101 111 0\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=ptime:20\r\na=sendrecv\r\n\
        m=audio 5008 RTP/AVP 0\r\n";

    #[test]
    fn the_first_plain_audio_is_taken_and_all_else_declined_in_its_order() {
        let answer = media().answer(PHONE).unwrap();
        assert_eq!(
            answer,
            "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=3 4\r\nm=video 0 RTP/AVP 96\r\n\
             m=audio 9 RTP/AVP 111 101\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=inactive\r\nm=audio 0 RTP/AVP 0\r\n"
        );
    }

    #[test]
    fn what_it_cannot_take_is_refused_and_changes_nothing() {
        let mut media = media();
        for body in [
            "v=0\r\nm=audio 5006 RTP/SAVP 0\r\n",
            "v=0\r\nm=audio 5006 UDP/TLS/RTP/SAVPF 0\r\n",
            "v=0\r\nm=video 5006 RTP/AVP 96\r\n",
            "v=0\r\nm=audio 5006 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            "v=0\r\nm=audio many RTP/AVP 0\r\n",
            "v=0\r\nm=audio 70000 RTP/AVP 0\r\n",
            "v=0\r\nm=\r\n",
        ] {
            assert_eq!(media.answer(body), None, "{body}");
        }
        assert!(media.offer().contains("o=- 7 1 "));
    }

    #[test]
    fn its_version_grows_with_each_change_and_only_then() {
        let mut media = media();
        let version = |said: &str| said.split(' ').nth(2).unwrap().to_owned();
        let first = media.offer();
        assert!(
            first.contains("m=audio 9 RTP/AVP 0 101\r\n") && first.ends_with("a=inactive\r\n"),
            "{first}"
        );
        assert_eq!(media.offer(), first);
        assert_eq!(version(&media.answer("v=0\r\nt=0 0\r\nm=audio 5006 RTP/AVP 8\r\n").unwrap()), "2");
        assert_eq!(version(&media.answer("v=0\nt=0 0\nm=audio 5010 RTP/AVP 8\n").unwrap()), "2");
        let held = media.answer("v=0\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\n").unwrap();
        assert!(version(&held) == "3" && held.ends_with("m=audio 0 RTP/AVP 8\r\n"), "{held}");
        assert_eq!(version(&media.answer("v=0\r\n").unwrap()), "4", "a session without streams");
    }
}
