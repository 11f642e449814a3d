//! Why a call has ended.

use crate::observe::words::words;

words! {
    /// Why a call has ended, for its record, its log line and the Reason of our BYE (RFC 3326).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum EndReason, as_str {
        /// By its own BYE.
        CallerHungUp = "caller hung up",
        /// By CANCEL or BYE, or its leg was over.
        CallerHungUpEarly = "caller hung up before the answer",
        /// By its own BYE, which was no decision.
        AgentHungUp = "agent hung up",
        /// By its own BYE.
        TargetHungUp = "target hung up",
        /// Its dialog ended without a BYE.
        CallerLost = "caller leg lost",
        /// Its dialog ended without a BYE.
        TargetLost = "target leg lost",
        /// Before it was answered.
        CallerOver = "the caller leg is over",
        /// Nobody answered what a side has offered in a re-INVITE, an UPDATE or a 2xx.
        OfferUnanswered = "an offer was left without an answer",
        /// A handoff has succeeded.
        HandedOff = "handed off",
        /// The caller's side has the call back.
        HandedBack = "handed back",
        /// It was asked to move the caller.
        LostByReceiver = "the receiver took the caller and lost it",
        /// A handoff has failed.
        NoStepLeft = "no step was left and the agent was gone",
        /// Our BYE of a hand-back had no 2xx.
        HandBackUnanswered = "the hand-back was not answered",
        /// It said BYE after its 2xx to our REFER, and told of a failure.
        FailedAfterTaken = "the transfer failed after the caller was taken",
        /// It said BYE after its 2xx to our REFER, and told nothing.
        ResultUnknown = "the transfer's result is unknown",
        /// The same, of a REFER before the last one.
        EarlierUnknown = "the result of an earlier transfer is unknown",
        /// A REFER that was given up has succeeded.
        MovedLate = "moved: the result of the REFER came late",
        /// By a REFER of its own that the caller's side has carried out.
        MovedOn = "moved on by the target",
        /// It has left an answered call.
        NoFallback = "the agent is gone and there is no fallback",
        /// It did not answer, refused, or could not be reached.
        AgentFailed = "the agent failed and there is no fallback",
        /// Of a handoff before the caller was answered.
        NothingAnswered = "no destination answered",
        /// By a step of `on_failure`.
        HungUpByStep = "hung up by `on_failure`",
        /// No second look at the INVITE that made the call is possible.
        Unreadable = "the INVITE cannot be read again",
        /// By the API.
        ByRequest = "hung up by request",
        /// By `max_duration`.
        TooLong = "max_duration",
        /// At the end of a drain.
        Draining = "draining",
        /// Of Baton itself, before there was anything else to tell.
        Fault = "a fault of Baton",
    }
}
