//! How a handoff ended, in words and for the agent that asked. Pure data in, pure data out.

use super::facts::{HandoffFacts, Unheard};
use crate::call::record::{Explain, HandoffState, Proof};
use crate::routing::explain::{self, Cause, Where};
use crate::routing::table::Method;
use std::borrow::Cow;

/// Before there is an outcome.
pub(crate) fn running() -> Explain {
    Explain {
        title: "The handoff is running".into(),
        cause: "No result is known yet.".into(),
        next_step: "Wait for the final state.".into(),
    }
}

/// The status of the last NOTIFY to an agent that asked by REFER: what is known, and never more.
pub(crate) fn status_for_referrer(facts: &HandoffFacts) -> u16 {
    match facts.state {
        HandoffState::Succeeded | HandoffState::HandedBack => 200,
        HandoffState::Abandoned | HandoffState::Cancelled => 487,
        HandoffState::Unknown => 408,
        HandoffState::Returned | HandoffState::Failed => match facts.failure() {
            Some((status, _)) => status,
            // A SIP status has no other word for it (RFC 3261 §8.1.3.1).
            None if facts.unheard().is_some() => 503,
            None => 480,
        },
        HandoffState::Pending | HandoffState::Referring | HandoffState::Ringing | HandoffState::Joining => {
            100
        }
    }
}

/// Whether the last attempt ended as an attended transfer.
fn attended(facts: &HandoffFacts) -> bool {
    facts.attempts.last().is_some_and(|last| last.method == Method::Attended)
}

/// The outcome in words. `hint`: what the log says of the attempt that has failed last, where no status tells it.
pub(crate) fn explain(facts: &HandoffFacts, hint: Option<&'static str>) -> Explain {
    let found = facts.failure().map(|(status, seen)| (explain::status(status), seen));
    let why = || match (&found, facts.unheard(), facts.cause) {
        (Some((entry, _)), _, _) => Cow::from(format!("{}: {}", entry.status, entry.cause)),
        (None, Some(full @ Unheard::Full(_)), Some(_)) => {
            format!("Nobody was called: {}.", full.as_str()).into()
        }
        (None, Some(why), Some(_)) => format!("Nobody has answered: {}.", why.as_str()).into(),
        (None, None, Some(cause)) => format!("Cause `{cause}`.").into(),
        (None, _, None) => "No status tells why.".into(),
    };
    let general = || match &found {
        Some((entry, seen)) => entry.hint_for(*seen),
        None if facts.unheard().is_some() => explain::hint(Cause::Unreachable, None, Where::InviteResponse),
        None => "Look at the attempts, and at the log for this call.",
    };
    let next_step = || hint.unwrap_or_else(general);
    let (title, cause, next_step): (&'static str, Cow<'static, str>, Cow<'static, str>) = match facts.state {
        HandoffState::Succeeded => (
            "The target has the caller",
            match facts.proof {
                Some(Proof::Proven) if attended(facts) => {
                    "The target answered Baton's call, and the caller's side took that call over.".into()
                }
                Some(Proof::Proven) => "Target and caller both answered; Baton saw it.".into(),
                _ => "The receiver reported it by NOTIFY.".into(),
            },
            "Nothing to do.".into(),
        ),
        HandoffState::HandedBack => (
            "The call was handed back",
            "The caller's side took the call back; what it does next is invisible to Baton.".into(),
            "If the caller did not arrive, look at the dial plan of the PBX.".into(),
        ),
        HandoffState::Failed if facts.cause == Some(Cause::LostByReceiver) => (
            "The receiver took the caller and lost them",
            format!(
                "{} The caller was taken out of the call before the target had answered, and is gone. A caller who hangs up while the target rings cannot be told from a busy target there.",
                why()
            )
            .into(),
            explain::hint(Cause::LostByReceiver, None, Where::Notify).into(),
        ),
        HandoffState::Returned => ("The caller is back with the agent", why(), next_step().into()),
        HandoffState::Failed => ("The handoff failed and the caller is not with the agent", why(), next_step().into()),
        HandoffState::Unknown => match facts.told() {
            Some(200..=299) => (
                "Nobody knows whether the target has the caller",
                "The receiver says 200 before anybody answers (Asterisk and FreeSWITCH do), so its NOTIFY proves nothing.".into(),
                "Use method \"invite\" or \"attended\" for this destination.".into(),
            ),
            Some(_) => (
                "Nobody knows where the caller is",
                format!("{} The caller's side did not say whether it still has the caller.", why()).into(),
                "Look why re-INVITEs to the caller's side stay without an answer: a proxy on the way, or a firewall.".into(),
            ),
            None => (
            "Nobody told how it ended",
            "The transfer was accepted or left unanswered, and no result came. The caller may be with the target.".into(),
            hint.unwrap_or("Check that the receiver sends NOTIFY for a REFER; raise `timeouts.outcome` if it is slow.").into(),
            ),
        },
        HandoffState::Abandoned => {
            ("The caller hung up first", "The caller left before a result was known.".into(), "Nothing to do.".into())
        }
        HandoffState::Cancelled => ("Cancelled by request", "It was taken back in time.".into(), "Nothing to do.".into()),
        HandoffState::Pending | HandoffState::Referring | HandoffState::Ringing | HandoffState::Joining => {
            return running();
        }
    };
    Explain { title: title.into(), cause, next_step }
}
