//! What every way to move a caller has in common.

use crate::call::conversation::Offerer;
use crate::call::record::Proof;
use crate::routing::explain::Cause;
use crate::sip::LegId;
use crate::sip::leg::{RequestId, SentId};

/// What has come of a way after an event or a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The event is not about it.
    NotMine,
    /// It goes on.
    Wait,
    /// The caller's side has moved the caller.
    Moved(Proof),
    /// Caller and that target have answered each other's offer.
    Answered(LegId),
    /// Caller and target have each other.
    Joined { offerer: Offerer },
    /// The agent has said to the target what it had to say. `gone`: it has hung up, or its leg broke.
    Briefed { gone: bool },
    /// The agent asks by REFER that its brief be completed.
    Referred(RequestId),
    /// The target asks by a REFER, which is not its business.
    Declined(RequestId),
    /// The caller's side has refused to take the target over, which has answered and is there.
    NotTakenOver(Cause),
    /// It failed.
    Failed(Cause),
    /// A REFER was accepted or not answered, and nothing tells the result. It may still be answered late.
    Unknown(SentId),
    /// The caller's side has forgotten the dialog.
    CallerLost,
}
