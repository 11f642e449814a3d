//! How a handoff ended, in words and for the agent that asked. Pure data in, pure data out.

use crate::call::context::Full;
use crate::call::record::{AttemptView, Explain, HandoffState, HandoffView, Proof};
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

/// What the attempt met that has failed last, which need not be the last one that was begun: a REFER may have been heard of
/// late. What a NOTIFY told says more than the answer to the REFER.
fn failure(view: &HandoffView) -> Option<(u16, Where)> {
    let failed = view.attempts.iter().filter(|attempt| attempt.cause.is_some());
    let last = failed.max_by_key(|attempt| attempt.ended_at)?;
    let status = [last.final_status, last.status].into_iter().flatten().find(|status| *status >= 300)?;
    Some((status, seen(last)))
}

/// Why the attempt that has failed last had no response at all.
fn unheard(view: &HandoffView) -> Option<&str> {
    let failed = view.attempts.iter().filter(|attempt| attempt.cause.is_some());
    let last = failed.max_by_key(|attempt| attempt.ended_at)?;
    last.status_reason.as_deref().filter(|_| last.status.is_none() && last.final_status.is_none())
}

/// The limit of ours that it was.
fn limit(view: &HandoffView) -> Option<Full> {
    Full::of(unheard(view)?)
}

/// What has told how an attempt ended.
pub(crate) fn seen(attempt: &AttemptView) -> Where {
    match Method::parse(&attempt.method) {
        _ if attempt.final_status.is_some() => Where::Notify,
        Some(Method::Refer) => Where::ReferResponse,
        Some(Method::Attended) if attempt.refer_to.is_some() => Where::ReferResponse,
        Some(Method::Bye) => Where::ByeResponse,
        Some(Method::Attended | Method::Invite | Method::Redirect) | None => Where::InviteResponse,
    }
}

/// The status of the last NOTIFY to an agent that asked by REFER: what is known, and never more.
pub(crate) fn status_for_referrer(view: &HandoffView) -> u16 {
    match view.state {
        HandoffState::Succeeded | HandoffState::HandedBack => 200,
        HandoffState::Abandoned | HandoffState::Cancelled => 487,
        HandoffState::Unknown => 408,
        HandoffState::Returned | HandoffState::Failed => match failure(view) {
            Some((status, _)) => status,
            // A SIP status has no other word for it (RFC 3261 §8.1.3.1).
            None if unheard(view).is_some() => 503,
            None => 480,
        },
        HandoffState::Pending | HandoffState::Referring | HandoffState::Ringing | HandoffState::Joining => {
            100
        }
    }
}

/// What a NOTIFY told of the attempt that ended last.
fn told(view: &HandoffView) -> Option<u16> {
    view.attempts.iter().max_by_key(|attempt| attempt.ended_at)?.final_status
}

/// Whether the receiver took the caller away and lost them.
fn is_lost(view: &HandoffView) -> bool {
    view.cause.as_deref() == Some(Cause::LostByReceiver.name())
}

/// Whether the last attempt ended as an attended transfer.
fn attended(view: &HandoffView) -> bool {
    view.attempts.last().is_some_and(|last| last.method == Method::Attended.name())
}

/// The outcome in words. `hint`: what the log says of the attempt that has failed last, where no status tells it.
pub(crate) fn explain(view: &HandoffView, hint: Option<&'static str>) -> Explain {
    let found = failure(view).map(|(status, seen)| (explain::status(status), seen));
    let why = || match (&found, view.cause.as_deref()) {
        (Some((entry, _)), _) => Cow::from(format!("{}: {}", entry.status, entry.cause)),
        (None, Some(_)) if limit(view).is_some() => {
            format!("Nobody was called: {}.", unheard(view).unwrap_or_default()).into()
        }
        (None, Some(_)) if unheard(view).is_some() => {
            format!("Nobody has answered: {}.", unheard(view).unwrap_or_default()).into()
        }
        (None, Some(cause)) => format!("Cause `{cause}`.").into(),
        (None, None) => "No status tells why.".into(),
    };
    let general = || match &found {
        Some((entry, seen)) => entry.hint_for(*seen),
        None if unheard(view).is_some() => explain::hint(Cause::Unreachable, None, Where::InviteResponse),
        None => "Look at the attempts, and at the log for this call.",
    };
    let next_step = || hint.unwrap_or_else(general);
    let (title, cause, next_step): (&'static str, Cow<'static, str>, Cow<'static, str>) = match view.state {
        HandoffState::Succeeded => (
            "The target has the caller",
            match view.proof {
                Some(Proof::Proven) if attended(view) => {
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
        HandoffState::Failed if is_lost(view) => (
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
        HandoffState::Unknown => match told(view) {
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
