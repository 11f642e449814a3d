//! The REFERs of a caller's leg, as they were seen at Baton's door: what was answered, what was told of each, and what Baton
//! has given up. Which REFER a NOTIFY is of the peers say, whether it names it or not.

use super::book::Success;
use super::common::message::Message;
use super::models::Model;
use super::watch::Watch;
use baton::call::record::AttemptView;
use baton::sip::Time;
use std::time::Duration;

/// So long Baton waits for the answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// So long it waits until it can ask.
const NOT_ASKED: Duration = Duration::from_secs(15);
/// That, less what it has read of a standstill while that went on.
const NOT_ASKED_BY_ITS_CLOCK: Duration = Duration::from_millis(14_500);

/// One REFER of Baton's.
#[derive(Clone, Debug)]
pub struct Refer {
    pub cseq: u32,
    /// Its Refer-To.
    to: String,
    pub sent: Time,
    /// Its final response.
    pub answer: Option<u16>,
    /// When that came.
    pub answered_at: Option<Time>,
    /// The highest CSeq of a NOTIFY of it.
    heard: u32,
    /// When the first one came.
    told_at: Option<Time>,
    /// When a NOTIFY of it came that told an end or was the last one, and whether it told a failure.
    pub settled: Option<(Time, bool)>,
    /// Baton has given it up without an answer.
    pub given_up: bool,
    /// The peer's BYE was read before that response.
    after_bye: bool,
    /// And then it was challenged.
    pub challenged_late: bool,
}

impl Refer {
    pub fn new(m: &Message, sent: Time) -> Refer {
        let (cseq, to) = (m.cseq().0, m.find("Refer-To").unwrap_or_default().to_owned());
        Refer {
            cseq,
            to,
            sent,
            answer: None,
            answered_at: None,
            heard: 0,
            told_at: None,
            settled: None,
            given_up: false,
            after_bye: false,
            challenged_late: false,
        }
    }

    /// The final response came.
    pub fn answered(&mut self, at: Time, status: u16, has_left: bool) {
        self.after_bye = self.answer.map_or(has_left, |_| self.after_bye);
        self.answer = Some(status);
        self.answered_at = self.answered_at.or(Some(at));
        self.challenged_late |= self.given_up && matches!(status, 401 | 407);
    }

    /// A NOTIFY of it with that CSeq came. `known`: Baton can tell that it is of this one. False: it tells nothing new.
    fn hears(&mut self, at: Time, notify: u32, known: bool) -> bool {
        self.told_at = self.told_at.or(Some(at));
        let news = notify > self.heard;
        if known {
            self.heard = self.heard.max(notify);
        }
        news
    }

    /// Whether it asks for the replacement of the dialog with that Call-ID.
    pub fn replaces(&self, call_id: &str) -> bool {
        self.to.contains(&format!("Replaces={call_id}%3B"))
    }

    /// The receiver has taken it, and has not said by then what came of it.
    pub fn is_open(&self, at: Time) -> bool {
        self.is_taken(at) && !self.after_bye && self.settled.is_none_or(|(when, _)| when > at)
    }

    /// That it works on it was known by then.
    pub fn is_at_work(&self, by: Time) -> bool {
        self.is_taken(by) || self.told_at.is_some_and(|at| at <= by)
    }

    /// That it has taken it was known by then.
    pub fn is_taken(&self, by: Time) -> bool {
        self.answer.is_some_and(|status| status < 300) && self.answered_at.is_some_and(|at| at <= by)
    }
}

impl Watch {
    /// A NOTIFY reaches Baton. One that a later one of the same REFER, by its name, has overtaken gets 500 (RFC 3261 §12.2.2) and tells
    /// nothing any more, nor does a copy.
    pub fn notified(&mut self, at: Time, m: &Message) {
        let of = self.ledger.borrow().notifies.get(&(m.call_id().to_owned(), m.cseq().0)).copied();
        let Some(leg) = self.book.legs.get_mut(m.call_id()) else { return };
        leg.notified = leg.notified.max(m.cseq().0);
        let named = m.find("Event").is_some_and(|event| event.contains("id="));
        // One without a name is of the newest, for all that Baton knows.
        let known = named || leg.refers.last().map(|newest| newest.cseq) == of;
        let refer = leg.refers.iter_mut().find(|refer| Some(refer.cseq) == of);
        if refer.is_some_and(|refer| !refer.hears(at, m.cseq().0, known)) {
            return;
        }
        let class = m.body.strip_prefix("SIP/2.0 ").and_then(|status| status.chars().next());
        if class == Some('2') {
            leg.reported = Some(at);
            leg.successes.push(Success { of, named, at });
        }
        let failed = matches!(class, Some('3'..='6'));
        let last = m.find("Subscription-State").is_some_and(|state| state.starts_with("terminated"));
        let refer = leg.refers.iter_mut().find(|refer| Some(refer.cseq) == of);
        if let Some(refer) = refer.filter(|refer| (failed || last) && refer.settled.is_none()) {
            refer.settled = Some((at, failed));
        }
    }

    /// A REFER goes out, or a copy of one. False: it must not.
    pub fn refer_goes_out(&mut self, m: &Message) -> bool {
        let Some(leg) = self.book.legs.get(m.call_id()) else { return true };
        let cseq = m.cseq().0;
        let given_up = leg.refers.iter().any(|refer| refer.cseq == cseq && refer.given_up);
        if !given_up || !self.models.has(Model::GivenUp) {
            return true;
        }
        let caller = leg.caller.clone();
        self.book.fault(&caller, format!("REFER {cseq} goes out after it was given up"));
        false
    }

    fn stood_since(&self, from: Time) -> std::time::Duration {
        // One that was under way then counts as a whole.
        self.stood.iter().filter(|(began, time)| *began + *time > from).map(|(_, time)| *time).sum()
    }

    /// A failure was told of the last REFER, and the caller's side does not say whether it still has the caller: the step for
    /// `unknown` follows, whatever was told.
    pub fn is_untold(&self, at: Time, call: &str, attempt: &AttemptView) -> bool {
        let leg = self.book.by_baton.get(call).and_then(|caller| self.book.legs.get(caller));
        let Some((leg, refer)) = leg.and_then(|leg| Some((leg, leg.refers.last()?))) else { return false };
        let told = attempt.final_status.is_some_and(|status| status >= 300);
        let lost = leg.left.is_some() || attempt.cause.as_deref() == Some("lost_by_receiver");
        if !told || lost {
            return false;
        }
        // Its own, or, for without a name it may have been of another one, any.
        let own = refer.settled.filter(|(_, failed)| *failed).map(|(when, _)| when);
        let failed = leg.refers.iter().filter_map(|one| one.settled.filter(|(_, failed)| *failed));
        let any = failed.map(|(when, _)| when).filter(|when| *when >= refer.sent);
        let mut told_at: Vec<Time> = own.map_or_else(|| any.collect(), |own| vec![own]);
        let known = !told_at.is_empty();
        if !known {
            told_at.push(refer.sent);
        }
        // It need not have noticed a short standstill.
        let is_late = |since: Time| {
            let waited = at.since(since);
            let by_its_clock = waited.saturating_sub(self.stood_since(since));
            waited >= NOT_ASKED || by_its_clock >= NOT_ASKED_BY_ITS_CLOCK
        };
        told_at.into_iter().any(|since| {
            // Only what was asked after that is the question.
            let asked = || leg.reinvites.iter().filter(|one| one.cseq > refer.cseq && one.sent >= since);
            let answered = asked().any(|one| one.accepted.or(one.refused).is_some());
            match asked().next_back() {
                // What was under way when the failure was told is no question: that comes after it.
                // Nor is what was sent just now: an unanswered question is waited for.
                Some(last) if last.over.is_none() => {
                    at.since(last.sent) >= PATIENCE || known && is_late(since) && !answered
                }
                Some(_) => !answered,
                None => known && is_late(since),
            }
        })
    }

    /// Baton tells that nothing is known of an attempt.
    pub fn gives_up(&mut self, at: Time, call: &str, attempt: &AttemptView) {
        if attempt.cause.as_deref() != Some("unknown") || attempt.refer_to.is_none() {
            return;
        }
        let Some(caller) = self.book.by_baton.get(call).cloned() else { return };
        let Some(leg) = self.book.legs.get_mut(&caller) else { return };
        let silent = leg.refers.iter_mut().filter(|refer| refer.answer.is_none());
        silent.for_each(|refer| refer.given_up = true);
        // Of an earlier one nothing may be known still, when a later one has failed.
        let its = |refer: &Refer| attempt.refer_to.as_ref().is_some_and(|to| refer.to.contains(&**to));
        let told =
            |refer: &Refer| its(refer) && refer.settled.is_some_and(|(when, failed)| failed && when < at);
        // Two REFERs to one place cannot be told apart here.
        let once = leg.refers.iter().filter(|refer| its(refer)).count() == 1;
        // What was told stands in the attempt, though the caller's side may have left open whether it still has the caller.
        let noted = attempt.final_status.is_some_and(|status| status >= 300);
        // A NOTIFY without a name that an earlier one still owed is taken for the newest one's.
        let owed = leg.refers.split_last().is_some_and(|(last, before)| {
            let done = |one: &Refer| {
                one.answer.is_some_and(|status| status >= 300)
                    || one.settled.is_some_and(|(when, _)| when <= last.sent)
            };
            !before.iter().all(done)
        });
        if leg.refers.last().is_some_and(told) && once && !noted && !owed && self.models.has(Model::Nameless)
        {
            let what = "a REFER is not known to have failed, though a NOTIFY said so".to_owned();
            self.book.fault(&caller, what);
        }
    }
}
