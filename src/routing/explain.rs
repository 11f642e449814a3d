//! What a status means: the one table of causes, titles and hints. The handoff asks it for the cause, the log for
//! the hint, the API and `baton explain` for all of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an attempt did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The receiver does not want to do it.
    Refused,
    /// The target is busy or declined.
    Busy,
    /// The target did not answer in time.
    NoAnswer,
    /// The target or the way to it does not exist or does not work.
    Unreachable,
    /// Anything else.
    Failed,
    /// A REFER was accepted or unanswered and nothing tells the result.
    Unknown,
    /// The receiver ended the caller leg within 500 ms of reporting the failure.
    LostByReceiver,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Busy,
        Self::NoAnswer,
        Self::Unreachable,
        Self::Failed,
        Self::Unknown,
        Self::LostByReceiver,
    ];

    /// The name as the table, the API, the logs and the metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::LostByReceiver => "lost_by_receiver",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a status was seen: 603 to a REFER refuses the transfer, 603 in its NOTIFY declines the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The final response to a REFER, or to the BYE of a hand-back.
    ReferResponse,
    /// The sipfrag of a final NOTIFY.
    Notify,
    /// The final response to an INVITE.
    InviteResponse,
}

/// The cause that a final status means. `None` for statuses below 300 and for numbers that are no SIP status.
pub fn cause(status: u16, seen: Where) -> Option<Cause> {
    Some(match (status, seen) {
        (0..=299 | 700.., _) => return None,
        (486 | 600, _) | (603, Where::Notify | Where::InviteResponse) => Cause::Busy,
        (408 | 480 | 487, _) => Cause::NoAnswer,
        (404 | 410 | 484 | 604 | 502..=504, _) => Cause::Unreachable,
        (603, Where::ReferResponse) | (400..=499 | 501, _) => Cause::Refused,
        (300..=399 | 500 | 505..=699, _) => Cause::Failed,
    })
}
