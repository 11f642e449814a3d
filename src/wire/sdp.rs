//! What a B2BUA without media has to understand of SDP (RFC 8866): the `o=` line, and, where it joins two parties that
//! did not call each other, directions and media lines. All else passes unread.
//!
//! Lines end with CRLF or, from careless peers, LF alone. Not here: when which description is sent, and with which
//! version; that is `sip::offer_answer`.

use std::borrow::Cow;
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

/// The lines of a description, each with its end.
fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    sdp.split_inclusive(|&byte| byte == b'\n')
}

/// A line without its end.
fn text(line: &[u8]) -> &[u8] {
    line.trim_ascii_end()
}

const SENDRECV: &[u8] = b"a=sendrecv";
const SENDONLY: &[u8] = b"a=sendonly";
const RECVONLY: &[u8] = b"a=recvonly";
const INACTIVE: &[u8] = b"a=inactive";

fn is_direction(line: &[u8]) -> bool {
    [SENDRECV, SENDONLY, RECVONLY, INACTIVE].contains(&text(line))
}

fn is_sending(direction: &[u8]) -> bool {
    direction == SENDRECV || direction == SENDONLY
}

fn is_receiving(direction: &[u8]) -> bool {
    direction == SENDRECV || direction == RECVONLY
}

/// The description of a party as an offer to somebody else (RFC 3725 section 4): every direction `sendrecv`, whoever
/// holds whom just now, either DTLS role open (RFC 5763 section 5), and nothing said of the candidates of whom it was with
/// (RFC 8839 section 5.2). Media lines keep number and order.
pub fn as_offer(sdp: &[u8]) -> Vec<u8> {
    let own = lines(sdp).filter(|line| !line.starts_with(b"a=remote-candidates:"));
    changed(own, |line| match line {
        _ if is_direction(line) => SENDRECV,
        _ if line.starts_with(b"a=setup:") => OPEN_ROLE,
        _ => line,
    })
}

/// The description of a party that holds nobody and is held by nobody: every direction `sendrecv`.
pub fn unheld(sdp: &[u8]) -> Vec<u8> {
    changed(lines(sdp), |line| if is_direction(line) { SENDRECV } else { line })
}

/// Lines with other words; each keeps its end.
fn changed<'a>(lines: impl Iterator<Item = &'a [u8]>, words: impl Fn(&'a [u8]) -> &'a [u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(1024);
    for line in lines {
        let (own, end) = line.split_at(text(line).len());
        changed.extend_from_slice(words(own));
        changed.extend_from_slice(end);
    }
    changed
}

/// The description of a party as one that holds: nothing is sent and nothing is wanted.
pub fn on_hold(sdp: &[u8]) -> Vec<u8> {
    let mut held = media(sdp).next().map_or(sdp, |media| media.session).to_vec();
    media(sdp).for_each(|media| media.push_directed(&mut held, INACTIVE));
    held
}

/// The description of a party as an answer to an offer that was not made to it: as many media lines, each of the same kind,
/// nothing sent or wanted that the offer does not allow (RFC 3264 section 6), and one DTLS role (RFC 5763 section 5).
pub fn as_answer(sdp: &[u8], offer: &[u8]) -> Vec<u8> {
    let open = |sdp: &[u8]| lines(sdp).any(|line| text(line) == OPEN_ROLE);
    if !open(sdp) {
        return fitting(sdp, offer);
    }
    // Whoever left it open plays the role that the answer to that has left: as a rule the other one took the active one.
    let active = lines(offer).any(|line| text(line) == b"a=setup:passive");
    let role: &[u8] = if active { b"a=setup:active" } else { b"a=setup:passive" };
    let decided = changed(lines(sdp), |line| if line == OPEN_ROLE { role } else { line });
    fitting(&decided, offer)
}

/// What a party wants that gave this `answer` to that `offer`: where the offer did not let it send or receive, that says nothing
/// of what it wants (RFC 6337 section 5.3).
pub fn own_wish<'a>(answer: &'a [u8], offer: &[u8]) -> Cow<'a, [u8]> {
    let wish = |(own, offered): (Media<'_>, Media<'_>)| {
        let (given, allowed) = (own.direction(), offered.direction());
        let sends = is_sending(given) || !is_receiving(allowed);
        let receives = is_receiving(given) || !is_sending(allowed);
        let held = (sends, receives) != (is_sending(given), is_receiving(given));
        (held && own.port() != b"0" && offered.port() != b"0").then_some(match (sends, receives) {
            (true, true) => SENDRECV,
            (true, false) => SENDONLY,
            (false, true) => RECVONLY,
            (false, false) => INACTIVE,
        })
    };
    if !media(answer).zip(media(offer)).any(|pair| wish(pair).is_some()) {
        return answer.into();
    }
    let mut own = media(answer).next().map_or(answer, |media| media.session).to_vec();
    let mut offered = media(offer);
    for media in media(answer) {
        match offered.next().and_then(|offered| wish((media, offered))) {
            Some(direction) => media.push_directed(&mut own, direction),
            None => own.extend_from_slice(media.section),
        }
    }
    own.into()
}

const OPEN_ROLE: &[u8] = b"a=setup:actpass";

/// See [`as_answer`]; the roles are as they were.
fn fitting(sdp: &[u8], offer: &[u8]) -> Vec<u8> {
    let mut answer = media(sdp).next().map_or(sdp, |media| media.session).to_vec();
    if !answer.is_empty() && !answer.ends_with(b"\n") {
        answer.extend_from_slice(b"\r\n");
    }
    let mut ours = media(sdp);
    for offered in media(offer) {
        let same = |own: &Media<'_>| own.fields().next() == offered.fields().next() && offered.port() != b"0";
        match ours.next().filter(same) {
            Some(own) => {
                let (wanted, allowed) = (own.direction(), offered.direction());
                let sends = is_sending(wanted) && is_receiving(allowed);
                let receives = is_receiving(wanted) && is_sending(allowed);
                match (sends, receives) {
                    _ if (sends, receives) == (is_sending(wanted), is_receiving(wanted)) => {
                        answer.extend_from_slice(own.section);
                    }
                    (true, true) => own.push_directed(&mut answer, SENDRECV),
                    (true, false) => own.push_directed(&mut answer, SENDONLY),
                    (false, true) => own.push_directed(&mut answer, RECVONLY),
                    (false, false) => own.push_directed(&mut answer, INACTIVE),
                }
            }
            None => push_declined(&mut answer, lines(offered.section).next().unwrap_or(b"")),
        }
        if !answer.ends_with(b"\n") {
            answer.extend_from_slice(b"\r\n");
        }
    }
    answer
}

/// Whether a party holds, or says that it is held: a stream of it does not go both ways.
pub fn holds(sdp: &[u8]) -> bool {
    media(sdp).any(|media| media.port() != b"0" && media.direction() != SENDRECV)
}

/// Whether a party has a stream without an address: nobody else can be offered it, for nothing would ever reach it.
pub fn is_nowhere(sdp: &[u8]) -> bool {
    media(sdp).any(|media| media.port() != b"0" && media.is_nowhere())
}

/// The answer that declines every stream of `offer`: its lines with all ports 0.
pub fn declined(offer: &[u8]) -> Vec<u8> {
    let mut answer = Vec::with_capacity(offer.len());
    let mut in_media = false;
    for line in lines(offer) {
        if line.starts_with(b"m=") {
            in_media = true;
            push_declined(&mut answer, line);
        } else if !in_media {
            answer.extend_from_slice(line);
        }
    }
    answer
}

/// A media line with port 0 (RFC 3264 section 6).
fn push_declined(out: &mut Vec<u8>, line: &[u8]) {
    let mut fields = line.splitn(3, |&byte| byte == b' ');
    let (media, rest) = (fields.next().unwrap_or(b""), fields.nth(1).unwrap_or(b""));
    out.extend_from_slice(media);
    out.extend_from_slice(b" 0 ");
    out.extend_from_slice(rest);
}

/// `sdp` with as many media lines as `like` has at least: what is missing is added with port 0, since the lines of a
/// session can be declined but never go away (RFC 3264 section 8).
pub fn padded(sdp: &[u8], like: &[u8]) -> Vec<u8> {
    let media = |sdp| lines(sdp).filter(|line| line.starts_with(b"m="));
    let mut padded = sdp.to_vec();
    let mut missing = media(like).skip(media(sdp).count()).peekable();
    if missing.peek().is_some() && !padded.ends_with(b"\n") {
        padded.extend_from_slice(b"\r\n");
    }
    missing.for_each(|line| push_declined(&mut padded, line));
    padded
}

/// How many media lines a description has.
pub fn streams(sdp: &[u8]) -> usize {
    lines(sdp).filter(|line| line.starts_with(b"m=")).count()
}

/// The first `count` media lines of `sdp`, with what belongs to them: an answer has as many as its offer (RFC 3264
/// section 6).
pub fn cut(sdp: &[u8], count: usize) -> &[u8] {
    let beyond = media(sdp).skip(count).map(|media| media.section.len()).sum::<usize>();
    &sdp[..sdp.len() - beyond]
}

/// One media line with what belongs to it.
#[derive(Clone, Copy)]
struct Media<'a> {
    /// `m=` and all lines up to the next one.
    section: &'a [u8],
    /// All lines before the first `m=`.
    session: &'a [u8],
}

/// The media lines of a description.
fn media(sdp: &[u8]) -> impl Iterator<Item = Media<'_>> + Clone {
    let starts = |sdp: &[u8], from: usize| {
        let mut at = from;
        lines(&sdp[from..]).find_map(|line| {
            let start = at;
            at += line.len();
            line.starts_with(b"m=").then_some(start)
        })
    };
    let first = starts(sdp, 0);
    let session = &sdp[..first.unwrap_or(sdp.len())];
    let mut next = first;
    std::iter::from_fn(move || {
        let start = next?;
        // Past the `m` of this one.
        let line_end = start + lines(&sdp[start..]).next().map_or(0, <[u8]>::len);
        next = starts(sdp, line_end);
        Some(Media { section: &sdp[start..next.unwrap_or(sdp.len())], session })
    })
}

impl<'a> Media<'a> {
    /// The fields of the `m=` line: media, port, protocol, formats.
    fn fields(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let line = lines(self.section).next().unwrap_or(b"");
        text(line).split(|&byte| byte == b' ').filter(|field| !field.is_empty())
    }

    fn port(self) -> &'a [u8] {
        self.fields().nth(1).unwrap_or(b"0")
    }

    fn formats(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.fields().skip(3)
    }

    /// What a dynamic format stands for: `telephone-event/8000`.
    fn encoding(self, format: &[u8]) -> Option<&'a [u8]> {
        let value =
            |line: &'a [u8]| line.strip_prefix(b"a=rtpmap:")?.strip_prefix(format)?.strip_prefix(b" ");
        lines(self.section).find_map(|line| value(text(line)).map(<[u8]>::trim_ascii))
    }

    /// Whether that format of another description is among its own, under whatever number.
    fn knows(self, other: Media<'_>, format: &[u8]) -> bool {
        let wanted = other.encoding(format);
        let same =
            |own: &[u8]| wanted.zip(self.encoding(own)).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
        self.formats().any(|own| own == format || same(own))
    }

    /// Whether that format of another description means the same here under the same number.
    fn numbers(self, other: Media<'_>, format: &[u8]) -> bool {
        let both = other.encoding(format).zip(self.encoding(format));
        self.formats().any(|own| own == format) && both.is_none_or(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// The lines of that beginning, of the media line itself or, if it has none, of the session.
    fn told(self, fits: impl Fn(&[u8]) -> bool + Copy) -> impl Iterator<Item = &'a [u8]> {
        let own = move |part: &'a [u8]| lines(part).map(text).filter(move |line| fits(line));
        let part = if own(self.section).next().is_some() { self.section } else { self.session };
        own(part)
    }

    /// `a=sendrecv` where nothing is said (RFC 8866 section 6.7). Who wants to hear nothing may say so by an address where
    /// nobody is (RFC 2543 section B.5), and then does not receive, whatever else stands there.
    fn direction(self) -> &'a [u8] {
        match self.told(is_direction).last().unwrap_or(SENDRECV) {
            SENDRECV if self.is_nowhere() => SENDONLY,
            RECVONLY if self.is_nowhere() => INACTIVE,
            direction => direction,
        }
    }

    /// Whether its address is nobody's: `0.0.0.0` or `::`.
    fn is_nowhere(self) -> bool {
        let nobody = |line: &[u8]| {
            let address = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            address == b"0.0.0.0" || address == b"::"
        };
        self.told(|line| line.starts_with(b"c=")).last().is_some_and(nobody)
    }

    /// Writes it with that direction, among its other attributes: they follow `c=` and `b=` (RFC 8866 section 9).
    fn push_directed(self, out: &mut Vec<u8>, direction: &[u8]) {
        for line in lines(self.section).filter(|line| !is_direction(line)) {
            out.extend_from_slice(text(line));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(direction);
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether anything can be sent or received by it: a stream whose port is not 0.
pub fn has_stream(sdp: &[u8]) -> bool {
    media(sdp).any(|media| media.port() != b"0")
}

/// Whether an answer leaves its offer anything: a stream that both have, with a format that both know. An offer without
/// any stream asks for nothing.
pub fn meets(answer: &[u8], offer: &[u8]) -> bool {
    let common = |(ours, theirs): (Media<'_>, Media<'_>)| {
        ours.port() != b"0"
            && theirs.port() != b"0"
            && theirs.formats().any(|format| ours.knows(theirs, format))
    };
    !has_stream(offer) || media(answer).zip(media(offer)).any(common)
}

/// What a party needs to know to send to another, beside address and port. The DTLS role is told by each answer anew.
fn is_key(line: &[u8]) -> bool {
    [&b"a=fingerprint:"[..], b"a=crypto:", b"a=ice-ufrag:", b"a=ice-pwd:", b"a=candidate:"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Whether a party that was `told` one description of its partner, and answered it with `own`, can go on as it is now
/// that the partner's description is `now`: the same address, port, direction and keys for each stream that it has, and
/// every codec that it may send is still wanted.
pub fn in_step(told: &[u8], own: &[u8], now: &[u8]) -> bool {
    if told == now {
        return true;
    }
    let same = |one: Media<'_>, two: Media<'_>| {
        one.fields().take(3).eq(two.fields().take(3))
            && one.direction() == two.direction()
            && one.told(|line| line.starts_with(b"c=")).eq(two.told(|line| line.starts_with(b"c=")))
            && one.told(is_key).eq(two.told(is_key))
    };
    let (mut told, mut now) = (media(told), media(now));
    for own in media(own) {
        let (told, now) = (told.next(), now.next());
        if own.port() == b"0" {
            continue;
        }
        let (Some(told), Some(now)) = (told, now) else { return false };
        // It sends what both have named, by the numbers that it was told; its own may be others (RFC 3264 section 6.1).
        let mut sends = told.formats().filter(|format| own.knows(told, format));
        if !same(told, now) || !sends.all(|format| now.numbers(told, format)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_where_nobody_is_holds() {
        let at = |session: &str, own: &str, direction: &str| {
            format!("v=0\r\nc=IN {session}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n{own}{direction}")
        };
        for sdp in [
            at("IP4 0.0.0.0", "", ""),
            at("IP4 0.0.0.0", "", "a=sendrecv\r\n"),
            at("IP6 ::", "", ""),
            at("IP4 10.0.0.1", "c=IN IP4 0.0.0.0\r\n", ""),
        ] {
            assert!(holds(sdp.as_bytes()) && is_nowhere(sdp.as_bytes()), "{sdp}");
            let offer = at("IP4 10.0.0.2", "", "");
            let answer = as_answer(offer.as_bytes(), sdp.as_bytes());
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.ends_with("a=recvonly\r\n") || answer.contains("a=sendonly"), "{answer}");
        }
        for sdp in [
            at("IP4 0.0.0.0", "c=IN IP4 10.0.0.1\r\n", ""),
            at("IP4 10.0.0.1", "", ""),
            "v=0\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n".to_owned(),
        ] {
            assert!(!holds(sdp.as_bytes()) && !is_nowhere(sdp.as_bytes()), "{sdp}");
        }
    }

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

    const PHONE: &str = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 101\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=sendonly\r\nm=video 0 RTP/AVP 31\r\n";

    #[test]
    fn an_offer_to_somebody_else_holds_nobody_and_takes_any_role() {
        let sdp = format!("{PHONE}a=setup:active\r\na=inactive");
        let offer = String::from_utf8(as_offer(sdp.as_bytes())).unwrap();
        assert_eq!(
            offer,
            sdp.replace("a=sendonly", "a=sendrecv")
                .replace("active\r", "actpass\r")
                .replace("a=inactive", "a=sendrecv")
        );
        assert_eq!(as_offer(b"v=0\na=recvonly\n"), b"v=0\na=sendrecv\n");
        assert_eq!(as_offer(b"a=x\r\na=remote-candidates:1 10.0.0.9 4000\r\na=y\r\n"), b"a=x\r\na=y\r\n");
    }

    #[test]
    fn on_hold_every_media_line_is_inactive() {
        let held = String::from_utf8(on_hold(PHONE.as_bytes())).unwrap();
        assert_eq!(held.matches("a=inactive").count(), 2);
        assert!(!held.contains("a=sendonly"));
        assert!(held.contains("telephone-event/8000\r\na=inactive\r\nm=video 0"), "{held}");
        // RFC 8866 section 9: no attribute before `c=`.
        let own_address = PHONE.replace("101\r\n", "101\r\nc=IN IP4 10.0.0.9\r\n");
        let held = String::from_utf8(on_hold(own_address.as_bytes())).unwrap();
        assert!(held.find("c=IN IP4 10.0.0.9") < held.find("a=inactive"), "{held}");
    }

    #[test]
    fn an_answer_to_somebody_elses_offer_fits_it() {
        let ours = "v=0\r\nm=audio 4 RTP/AVP 0\r\na=x\r\nm=video 6 RTP/AVP 31";
        let answer = |offer: &str| String::from_utf8(as_answer(ours.as_bytes(), offer.as_bytes())).unwrap();
        let audio = |direction: &str| format!("v=0\r\nm=audio 4 RTP/AVP 0\r\na=x\r\n{direction}");
        assert_eq!(answer("m=audio 1 RTP/AVP 0\r\n"), audio(""));
        assert_eq!(answer("m=audio 1 RTP/AVP 0\r\na=recvonly\r\n"), audio("a=sendonly\r\n"));
        assert_eq!(answer("a=sendonly\r\nm=audio 1 RTP/AVP 0\r\n"), audio("a=recvonly\r\n"));
        assert_eq!(answer("m=audio 1 RTP/AVP 0\r\na=inactive\r\n"), audio("a=inactive\r\n"));
        // Other kinds, lines that are not wanted, and lines that we have not are declined.
        let offer = "m=audio 1 RTP/AVP 0\r\nm=image 2 udptl t38\r\nm=video 3 RTP/AVP 31\r\n";
        assert_eq!(answer(offer), audio("") + "m=image 0 udptl t38\r\nm=video 0 RTP/AVP 31\r\n");
        assert_eq!(
            answer("m=audio 0 RTP/AVP 0\r\nm=video 1 RTP/AVP 31\r\n"),
            "v=0\r\nm=audio 0 RTP/AVP 0\r\nm=video 6 RTP/AVP 31\r\n"
        );
        let held = format!("{PHONE}a=sendonly\r\n").replacen("a=sendonly", "a=recvonly", 1);
        assert_eq!(
            String::from_utf8(as_answer(held.as_bytes(), PHONE.as_bytes())).unwrap(),
            held.replace("a=sendonly\r\n", "")
        );
        let roles = |ours: &str, offer: &str| {
            let [ours, offer] =
                [ours, offer].map(|role| format!("m=audio 1 RTP/SAVP 0\r\na=setup:{role}\r\n"));
            String::from_utf8(as_answer(ours.as_bytes(), offer.as_bytes())).unwrap()
        };
        assert!(roles("actpass", "actpass").ends_with("a=setup:passive\r\n"));
        assert!(roles("actpass", "passive").ends_with("a=setup:active\r\n"));
        assert!(roles("active", "actpass").ends_with("a=setup:active\r\n"));
        assert!(holds(PHONE.as_bytes()) && !holds(ours.as_bytes()) && !holds(b""));
    }

    #[test]
    fn what_only_answered_a_hold_is_nobodys_wish() {
        let stream = |direction: &str| format!("v=0\r\nm=audio 4 RTP/AVP 0\r\na={direction}\r\n");
        for (offered, answered, wanted) in [
            ("sendonly", "recvonly", "sendrecv"),
            ("sendonly", "inactive", "sendonly"),
            ("inactive", "inactive", "sendrecv"),
            ("recvonly", "sendonly", "sendrecv"),
            ("recvonly", "inactive", "recvonly"),
            ("sendrecv", "sendonly", "sendonly"),
            ("sendrecv", "sendrecv", "sendrecv"),
        ] {
            let (offer, answer) = (stream(offered), stream(answered));
            let own = String::from_utf8(own_wish(answer.as_bytes(), offer.as_bytes()).into_owned()).unwrap();
            assert_eq!(own, stream(wanted), "{offered}, {answered}");
        }
        let declined = stream("inactive").replace("audio 4", "audio 0");
        assert_eq!(&*own_wish(declined.as_bytes(), stream("inactive").as_bytes()), declined.as_bytes());
        assert_eq!(&*own_wish(b"v=0\r\n", PHONE.as_bytes()), b"v=0\r\n");
    }

    #[test]
    fn a_declined_offer_keeps_its_streams_with_port_0() {
        let offer = b"v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 4 RTP/AVP 0 8\r\na=x\r\nm=video 5 RTP/AVP 9\r\n";
        let expected =
            "v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 9\r\n";
        assert_eq!(String::from_utf8(declined(offer)).unwrap(), expected);
    }

    #[test]
    fn a_stream_has_a_port() {
        assert!(has_stream(PHONE.as_bytes()));
        for sdp in ["", "v=0\r\n", "m=audio", "m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"] {
            assert!(!has_stream(sdp.as_bytes()), "{sdp}");
        }
    }

    #[test]
    fn who_is_held_by_nobody_sends_and_receives() {
        let held = PHONE.replace("a=sendonly", "a=inactive") + "a=setup:active\r\na=recvonly";
        let free = String::from_utf8(unheld(held.as_bytes())).unwrap();
        assert_eq!(free, held.replace("a=inactive", "a=sendrecv").replace("a=recvonly", "a=sendrecv"));
    }

    #[test]
    fn an_answer_meets_an_offer_by_a_format_that_both_know() {
        let audio = |port: u16, formats: &str| format!("m=audio {port} RTP/AVP {formats}\r\n");
        let meets = |answer: &str, offer: &str| meets(answer.as_bytes(), offer.as_bytes());
        assert!(meets(&audio(4, "0"), &audio(5, "8 0")));
        assert!(!meets(&audio(4, "0"), &audio(5, "8")) && !meets(&audio(0, "0"), &audio(5, "0")));
        assert!(!meets("", &audio(5, "0")));
        assert!(meets(&audio(0, "0"), &audio(0, "0")), "nothing was asked for");
        assert!(meets(
            &(audio(0, "0") + "m=video 6 RTP/AVP 97\r\na=rtpmap:97 VP8/90000\r\n"),
            &(audio(5, "8") + "m=video 7 RTP/AVP 96\r\na=rtpmap:96 vp8/90000\r\n")
        ));
    }

    #[test]
    fn media_lines_never_go_away() {
        let one = b"v=0\r\nm=audio 9 RTP/AVP 0";
        let padded_text = String::from_utf8(padded(one, PHONE.as_bytes())).unwrap();
        assert_eq!(padded_text, "v=0\r\nm=audio 9 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n");
        assert_eq!(padded(PHONE.as_bytes(), one), PHONE.as_bytes(), "more than enough");
    }

    #[test]
    fn an_answer_is_cut_to_the_lines_of_its_offer() {
        let one = &PHONE[..PHONE.find("m=video").unwrap()];
        assert_eq!(cut(PHONE.as_bytes(), 1), one.as_bytes());
        assert_eq!(cut(PHONE.as_bytes(), 2), PHONE.as_bytes());
        assert_eq!(cut(PHONE.as_bytes(), 3), PHONE.as_bytes());
        assert_eq!((streams(PHONE.as_bytes()), streams(one.as_bytes()), streams(b"")), (2, 1, 0));
    }

    #[test]
    fn what_a_partner_has_to_be_told() {
        let told = PHONE;
        let own = "v=0\r\nc=IN IP4 9.9.9.9\r\nm=audio 7 RTP/AVP 0 101\r\nm=video 0 RTP/AVP 31\r\n";
        let holds = |now: &str| in_step(told.as_bytes(), own.as_bytes(), now.as_bytes());
        assert!(holds(told));
        assert!(holds(&told.replace("RTP/AVP 0 8 101", "RTP/AVP 0 101")), "what it does not send is no loss");
        assert!(in_step(own.as_bytes(), told.as_bytes(), own.as_bytes()), "nor what it was never offered");
        assert!(holds(&told.replace("o=a 1 1", "o=a 1 2").replace("s=-", "s=x")), "names mean nothing");
        assert!(holds(&told.replace("video 0", "video 12")), "a stream that it declined");
        for (from, to) in [
            ("audio 4000", "audio 4002"),
            ("c=IN IP4 10.0.0.1", "c=IN IP4 10.0.0.2"),
            ("a=sendonly", "a=sendrecv"),
            ("a=sendonly\r\n", ""),
            ("RTP/AVP 0 8 101", "RTP/AVP 8 101"),
            ("RTP/AVP 0 8", "RTP/SAVP 0 8"),
            ("a=sendonly", "a=sendonly\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
            ("a=sendonly", "a=sendonly\r\nc=IN IP4 10.0.0.9"),
        ] {
            assert!(!holds(&told.replacen(from, to, 1)), "{from} -> {to}");
        }
        assert!(!holds("v=0\r\n"), "no stream any more");
        // Its own number of an event is another one than it was told: that is the one that it sends.
        let own = own.replace("101", "96") + "a=rtpmap:9 x\r\n";
        let own = own.replacen("0 96\r\n", "0 96\r\na=rtpmap:96 Telephone-Event/8000\r\n", 1);
        let goes_on = |now: &str| in_step(told.as_bytes(), own.as_bytes(), now.as_bytes());
        assert!(goes_on(told) && goes_on(&told.replace("0 8 101", "0 101")));
        assert!(!goes_on(&told.replace("101", "96")), "nobody would understand it");
        assert!(!goes_on(&told.replace("telephone-event", "opus")), "nor this");
    }

    #[test]
    fn anything_can_be_compared() {
        for sdp in [&b""[..], b"m=", b"m=\nm=\n", b"m=audio", b"\n\n", b"a=x\r\nm=audio 0 x\r\n"] {
            for other in [&b""[..], b"m=", PHONE.as_bytes()] {
                let _ = (in_step(sdp, other, sdp), in_step(other, sdp, other), padded(sdp, other));
                let _ = (
                    own_wish(sdp, other),
                    on_hold(sdp),
                    as_answer(sdp, other),
                    as_answer(other, sdp),
                    cut(sdp, 1),
                );
            }
        }
    }
}
