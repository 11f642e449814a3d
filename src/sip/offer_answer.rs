//! Offer and answer inside one dialog (RFC 3264, RFC 6337): whose turn it is, what stands, and an `o=` line and media
//! lines that stay continuous whoever's SDP is sent.
//!
//! Not a media stack: bodies are carried as they are but for `o=`, and for lines that another dialog has more or less of.
//! Kept apart from the INVITE usage: an offer may stand in an INVITE, a 2xx, an ACK or an UPDATE. Called by `leg/` only.

use crate::wire::sdp::{Origin, cut, own_wish, padded, streams};
use std::borrow::Cow;

/// Whose offer waits for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Nobody's.
    #[default]
    Idle,
    /// Ours.
    Ours,
    /// The peer's.
    Theirs,
}

/// What we sent in one dialog; the `o=` of the first SDP stays, its version grows by one with each change
/// (RFC 3264 §8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Local {
    /// The last SDP as it went out; empty before the first.
    sent: Box<[u8]>,
}

impl Local {
    /// The SDP as it is to be sent in this dialog.
    fn next(&mut self, sdp: &[u8]) -> &[u8] {
        if let Some(changed) = continued(&self.sent, sdp) {
            self.sent = changed;
        }
        &self.sent
    }

    /// The last one sent.
    fn sent(&self) -> &[u8] {
        &self.sent
    }
}

/// `sdp` with the origin of `before`: None if that is `before` itself.
fn continued(before: &[u8], sdp: &[u8]) -> Option<Box<[u8]>> {
    if before == sdp {
        return None;
    }
    let (Some(mine), Some(theirs)) = (Origin::find(before), Origin::find(sdp)) else {
        return Some(sdp.into());
    };
    let same_head = before[..mine.line.start] == sdp[..theirs.line.start];
    if same_head && before[mine.line.end..] == sdp[theirs.line.end..] {
        return None;
    }
    let mut text = Vec::with_capacity(sdp.len() + before.len().min(128));
    text.extend_from_slice(&sdp[..theirs.line.start]);
    text.extend_from_slice(&before[mine.line.start..mine.version.start]);
    text.extend_from_slice(mine.number.wrapping_add(1).to_string().as_bytes());
    text.extend_from_slice(&before[mine.version.end..mine.line.end]);
    text.extend_from_slice(&sdp[theirs.line.end..]);
    Some(text.into_boxed_slice())
}

/// Whether `sdp` says anything else than `before`, whatever its `o=` line.
pub(crate) fn differs(before: &[u8], sdp: &[u8]) -> bool {
    continued(before, sdp).is_some()
}

/// The part of one side in what was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Offer,
    Answer,
}

/// The session of one dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    local: Local,
    /// What stands on our side while the last one sent is only offered, or was refused (RFC 6141).
    agreed: Option<Box<[u8]>>,
    /// What stands on the peer's side.
    remote: Box<[u8]>,
    /// The peer's offer until we answer it.
    proposed: Option<Box<[u8]>>,
    exchange: Exchange,
    /// What stands on our side, as the one or the other.
    part: Part,
    /// An offer of ours was never answered: the peer may have taken it.
    unsure: bool,
}

impl Session {
    /// An SDP goes out in an unreliable provisional response: the peer sees it, and nothing is settled by it.
    pub(crate) fn preview(&mut self, sdp: &[u8]) {
        self.local.next(sdp);
    }

    /// The peer's offer was answered by an SDP that was sent before.
    pub(crate) fn answered_before(&mut self) {
        self.settle();
        self.agree(Part::Answer);
        if let Some(offer) = self.proposed.take() {
            self.remote = offer;
        }
    }

    /// The last SDP that we sent, refused or not: what an offer or answer that was just made looks like.
    pub(crate) fn last_sent(&self) -> &[u8] {
        self.local.sent()
    }

    pub(crate) fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Our SDP that stands, or that is the first offer; empty: none.
    pub(crate) fn local(&self) -> &[u8] {
        self.agreed.as_deref().unwrap_or(self.local.sent())
    }

    /// What our side wants of the session that stands, as an offer: without the directions that only answered the peer's (RFC
    /// 6337 section 5.3). Empty: none stands.
    pub(crate) fn own(&self) -> Cow<'_, [u8]> {
        match self.part {
            Part::Answer => own_wish(self.local(), &self.remote),
            Part::Offer => self.local().into(),
        }
    }

    /// Whether the peer may have another SDP of ours than the one that stands.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether the peer has agreed to the last offer of ours: it was answered, and nothing that was refused or left without
    /// an answer came after it. Before the first answer that says nothing.
    pub(crate) fn is_agreed(&self) -> bool {
        self.agreed.is_none() && self.exchange != Exchange::Ours
    }

    /// Whether that SDP can be the answer to our last offer: it has a media line, if there is one to be answered.
    pub(crate) fn is_answered_by(&self, sdp: &[u8]) -> bool {
        streams(sdp) > 0 || streams(self.local.sent()) == 0
    }

    /// The peer's SDP that stands; empty: none.
    pub(crate) fn remote(&self) -> &[u8] {
        &self.remote
    }

    /// The peer's offer that waits for our answer, also where it is what stands already.
    pub(crate) fn offered_now(&self) -> Option<&[u8]> {
        (self.exchange == Exchange::Theirs).then(|| self.proposed.as_deref().unwrap_or(&self.remote))
    }

    /// The peer's offer that waits for our answer and is not what stands.
    pub(crate) fn proposed(&self) -> Option<&[u8]> {
        self.proposed.as_deref()
    }

    /// We send an offer: the SDP as it is to be sent. The lines of this dialog never go away (RFC 3264 §8), even if the
    /// dialog that the SDP comes from never had them.
    pub(crate) fn offer(&mut self, sdp: &[u8]) -> &[u8] {
        let most = if streams(self.local()) < streams(&self.remote) { &self.remote } else { self.local() };
        let whole = (streams(sdp) < streams(most)).then(|| padded(sdp, most));
        let sdp = whole.as_deref().unwrap_or(sdp);
        if self.agreed.is_none() && !self.local.sent().is_empty() {
            self.agreed = Some(self.local.sent().into());
        }
        self.exchange = Exchange::Ours;
        self.local.next(sdp)
    }

    /// We send an answer: the SDP as it is to be sent. It has no line that was not offered.
    pub(crate) fn answer(&mut self, sdp: &[u8]) -> &[u8] {
        let sdp = cut(sdp, self.offered_now().map_or(usize::MAX, streams));
        self.settle();
        self.agreed = None;
        self.agree(Part::Answer);
        if let Some(offer) = self.proposed.take() {
            self.remote = offer;
        }
        self.local.next(sdp)
    }

    /// The peer sent an offer.
    pub(crate) fn offered(&mut self, sdp: &[u8]) {
        self.exchange = Exchange::Theirs;
        self.proposed = (sdp != &*self.remote).then(|| sdp.into());
    }

    /// The peer sent an answer to our offer.
    pub(crate) fn answered(&mut self, sdp: &[u8]) {
        self.settle();
        self.agreed = None;
        self.agree(Part::Offer);
        self.restated(sdp);
    }

    /// The peer says once more what stands on its side, and no offer of ours is open.
    pub(crate) fn restated(&mut self, sdp: &[u8]) {
        if sdp != &*self.remote {
            self.remote = sdp.into();
        }
    }

    /// Nobody knows what became of our offer: what stood stands for us.
    pub(crate) fn unanswered(&mut self) {
        self.refused();
        self.unsure = true;
    }

    /// Our last offer, which was given up, is answered after all: see [`Session::answered`].
    pub(crate) fn reopen(&mut self) {
        self.exchange = Exchange::Ours;
    }

    /// The outstanding offer was refused, by either side, or never answered, be it that a 2xx came without an answer: what
    /// stood stands.
    pub(crate) fn refused(&mut self) {
        self.settle();
        self.proposed = None;
    }

    /// Both know what stands, and which part of it is ours.
    fn agree(&mut self, part: Part) {
        (self.part, self.unsure) = (part, false);
    }

    fn settle(&mut self) {
        self.exchange = Exchange::Idle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(origin: &str, port: u16) -> Vec<u8> {
        format!(
            "v=0\r\no={origin}\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=x\r\n"
        )
        .into()
    }

    #[test]
    fn the_first_origin_stays_and_its_version_grows_with_each_change() {
        let mut local = Local::default();
        assert_eq!(local.next(&sdp("a 7 7 IN IP4 10.0.0.1", 4000)), sdp("a 7 7 IN IP4 10.0.0.1", 4000));
        // Another party's SDP: same session for the peer, one version on.
        assert_eq!(local.next(&sdp("b 99 1234 IN IP4 9.9.9.9", 5000)), sdp("a 7 8 IN IP4 10.0.0.1", 5000));
        // The same media under any origin is no change.
        assert_eq!(local.next(&sdp("c 1 1 IN IP4 8.8.8.8", 5000)), sdp("a 7 8 IN IP4 10.0.0.1", 5000));
        assert_eq!(local.next(&sdp("a 7 7 IN IP4 10.0.0.1", 4000)), sdp("a 7 9 IN IP4 10.0.0.1", 4000));
    }

    #[test]
    fn what_has_no_readable_origin_passes_as_it_is() {
        let mut local = Local::default();
        local.next(&sdp("a 7 7 IN IP4 10.0.0.1", 4000));
        assert_eq!(local.next(b"v=0\r\ns=-\r\n"), b"v=0\r\ns=-\r\n");
        let odd = sdp("a 7 x IN IP4 10.0.0.1", 1);
        assert_eq!(local.next(&odd), &odd[..]);
    }

    #[test]
    fn a_refused_offer_leaves_the_session_and_still_counts_as_sent() {
        let mut session = Session::default();
        session.offer(&sdp("a 7 7 IN IP4 h", 1));
        assert_eq!(session.exchange(), Exchange::Ours);
        session.answered(b"answer");
        session.offer(&sdp("a 7 7 IN IP4 h", 2));
        session.refused();
        assert_eq!(session.exchange(), Exchange::Idle);
        assert_eq!(session.local(), sdp("a 7 7 IN IP4 h", 1));
        assert_eq!(session.remote(), b"answer");
        // Back to the first: a third version, for the second was seen.
        assert_eq!(session.offer(&sdp("a 7 7 IN IP4 h", 1)), sdp("a 7 9 IN IP4 h", 1));
        session.answered(b"answer");
        assert_eq!(session.local(), sdp("a 7 9 IN IP4 h", 1));
    }

    #[test]
    fn an_offer_that_is_left_without_an_answer_is_agreed_to_by_nobody() {
        let mut session = Session::default();
        session.offer(&sdp("a 7 7 IN IP4 h", 1));
        assert!(!session.is_agreed());
        session.answered(b"answer");
        assert!(session.is_agreed());
        session.offer(&sdp("a 7 7 IN IP4 h", 1));
        session.refused();
        assert!(!session.is_agreed(), "though it offered what stands");
        session.offered(&sdp("b 1 1 IN IP4 h", 2));
        session.answer(&sdp("a 7 7 IN IP4 h", 1));
        assert!(session.is_agreed());
        assert!(!session.is_answered_by(b"v=0\r\n") && session.is_answered_by(b"m=audio 0 RTP/AVP 0\r\n"));
        assert!(Session::default().is_answered_by(b"v=0\r\n"));
    }

    #[test]
    fn lines_that_another_dialog_has_not_are_declined_and_those_that_this_one_has_not_left_out() {
        let (one, two) = (
            sdp("a 7 7 IN IP4 h", 1),
            [&sdp("a 7 7 IN IP4 h", 1), &b"m=video 0 RTP/AVP 31\r\n"[..]].concat(),
        );
        let mut session = Session::default();
        session.offered(&two);
        session.answer(&two);
        assert_eq!(streams(session.offer(&one)), 2);
        session.answered(&two);
        let mut session = Session::default();
        session.offered(&one);
        assert_eq!(session.answer(&two), one);
    }

    #[test]
    fn the_peers_offer_stands_once_it_is_answered() {
        let mut session = Session::default();
        session.offered(b"offer 1");
        assert_eq!((session.remote(), session.proposed()), (&b""[..], Some(&b"offer 1"[..])));
        session.answer(&sdp("a 1 1 IN IP4 h", 1));
        session.offered(b"offer 2");
        session.refused();
        assert_eq!(session.remote(), b"offer 1");
        assert_eq!(session.exchange(), Exchange::Idle);
    }
}
