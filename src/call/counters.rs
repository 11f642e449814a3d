//! Counters of one engine: plain numbers, summed over the shards on each scrape.

use super::record::HandoffState;
use crate::observe::words::words;
use crate::routing::explain::Cause;
use crate::routing::table::Method;

words! {
    /// Why an INVITE from a known source was not admitted.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RefusalKind, name {
        /// There is no place for another call.
        Overload = "overload",
        /// Baton is about to end.
        Draining = "draining",
        /// No agent is meant by it.
        NoAgent = "no_agent",
    }
}

/// What an engine has counted since it started (and two gauges).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gauge: live calls.
    pub calls_live: u64,
    /// Gauge: running handoffs.
    pub handoffs_live: u64,
    /// INVITEs admitted.
    pub calls_started: u64,
    /// Caller legs answered.
    pub calls_answered: u64,
    /// Calls over.
    pub calls_ended: u64,
    /// INVITEs not admitted, by [`RefusalKind::index`].
    pub calls_refused: [u64; RefusalKind::COUNT],
    /// Handoffs decided.
    pub handoffs_started: u64,
    /// Handoffs over, by [`HandoffState::index`].
    pub handoffs_ended: [u64; HandoffState::COUNT],
    /// Callers lost by a handoff.
    pub callers_hurt: u64,
    /// Attempts started, by [`Method::index`].
    pub attempts: [u64; Method::COUNT],
    /// Attempts failed, by [`Method::index`] and [`Cause::index`].
    pub attempts_failed: [[u64; Cause::COUNT]; Method::COUNT],
    /// Headers left out for an undefined variable or a value that cannot stand there.
    pub headers_left_out: u64,
    /// SIP messages received and decoded.
    pub messages_in: u64,
    /// SIP messages handed to the network.
    pub messages_out: u64,
    /// Messages that the decoder refused.
    pub messages_malformed: u64,
    /// Requests from sources that are neither trunk nor agent, dropped.
    pub messages_unknown_source: u64,
    /// Messages of a call whose source may not speak in it, dropped.
    pub messages_strange_source: u64,
    /// Responses received, by class 1xx to 6xx.
    pub responses_in: [u64; 6],
    /// Responses sent, by class 1xx to 6xx.
    pub responses_out: [u64; 6],
    /// Sends that the network gave back.
    pub sends_failed: u64,
    /// Calls that a fault of Baton cost.
    pub faults: u64,
    /// Gauge: armed deadlines.
    pub deadlines: u64,
    /// Gauge: requests of peers that are remembered.
    pub transactions: u64,
    /// Requests for which there was no place, answered and forgotten.
    pub requests_turned_away: u64,
    /// Failures that the log does not tell of, because there were too many.
    pub statuses_untold: u64,
}

impl Counters {
    /// Adds another engine's numbers.
    pub fn add(&mut self, other: &Counters) {
        fn all<const N: usize>(mine: &mut [u64; N], theirs: &[u64; N]) {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.calls_live += other.calls_live;
        self.handoffs_live += other.handoffs_live;
        self.calls_started += other.calls_started;
        self.calls_answered += other.calls_answered;
        self.calls_ended += other.calls_ended;
        all(&mut self.calls_refused, &other.calls_refused);
        self.handoffs_started += other.handoffs_started;
        all(&mut self.handoffs_ended, &other.handoffs_ended);
        self.callers_hurt += other.callers_hurt;
        all(&mut self.attempts, &other.attempts);
        self.attempts_failed.iter_mut().zip(&other.attempts_failed).for_each(|(a, b)| all(a, b));
        self.headers_left_out += other.headers_left_out;
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.messages_malformed += other.messages_malformed;
        self.messages_unknown_source += other.messages_unknown_source;
        self.messages_strange_source += other.messages_strange_source;
        all(&mut self.responses_in, &other.responses_in);
        all(&mut self.responses_out, &other.responses_out);
        self.sends_failed += other.sends_failed;
        self.faults += other.faults;
        self.deadlines += other.deadlines;
        self.transactions += other.transactions;
        self.requests_turned_away += other.requests_turned_away;
        self.statuses_untold += other.statuses_untold;
    }
}
