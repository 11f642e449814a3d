//! What a handoff knows of itself and of its attempts. What is told of it is made of that, by `view`.

use crate::call::ids::{CallId, SipCallId};
use crate::call::occupancy::Full;
use crate::call::record::{HandoffState, Proof};
use crate::routing::Id;
use crate::routing::explain::{Cause, Where};
use crate::routing::rules;
use crate::routing::table::Method;
use crate::sip::identity::Said;
use crate::sip::leg::tries::Fault;
use crate::sip::{Origin, UnixMillis};
use std::borrow::Cow;
use std::sync::Arc;

/// What a handoff knows of itself.
#[derive(Debug)]
pub(crate) struct HandoffFacts {
    pub(crate) call: CallId,
    pub(crate) environment: Id,
    /// The rules that were taken, in order; those of a step come when it is taken.
    pub(crate) rules: Vec<rules::Taken>,
    pub(crate) state: HandoffState,
    pub(crate) proof: Option<Proof>,
    /// Of the attempt that has failed last, unless one has worked since.
    pub(crate) cause: Option<Cause>,
    /// Oldest first.
    pub(crate) attempts: Vec<AttemptFacts>,
    pub(crate) created: UnixMillis,
    pub(crate) ended: Option<UnixMillis>,
}

/// One method on one route.
#[derive(Debug)]
pub(crate) struct AttemptFacts {
    pub(crate) destination: Id,
    pub(crate) method: Method,
    /// As the table or the agent names it; `None` where the method needs none.
    pub(crate) route: Option<Arc<str>>,
    /// The value of the Refer-To header, of a REFER.
    pub(crate) refer_to: Option<String>,
    /// The dialog that its request went in.
    pub(crate) sip_call_id: Option<SipCallId>,
    pub(crate) response: Response,
    /// The words of whoever made that response.
    pub(crate) said: Said,
    /// The final sipfrag (RFC 3515 §2.4.5).
    pub(crate) final_status: Option<u16>,
    /// `None` while it runs, and when it worked.
    pub(crate) cause: Option<Cause>,
    pub(crate) started: UnixMillis,
    pub(crate) ended: Option<UnixMillis>,
}

/// The final response to an attempt's first request, after authentication.
#[derive(Debug)]
pub(crate) enum Response {
    /// It may still come.
    Awaited,
    /// It came, or Baton made it for a timeout. `phrase`: `None` if it was heard of late.
    Final { status: u16, phrase: Option<Cow<'static, str>>, origin: Origin },
    /// A NOTIFY came in its place.
    Overtaken,
    /// There is none.
    Missing(Unheard),
}

/// Why nobody has answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    /// The name does not resolve, or no socket of ours reaches its addresses.
    NoAddress,
    /// DNS did not answer in time.
    Dns,
    /// It was sent, or was to be sent, and the network failed.
    Network(Fault),
    /// A limit of ours: it was not sent.
    Full(Full),
}

impl Unheard {
    /// As the API and the log write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Unheard::NoAddress => "no address: the name does not resolve, or no socket of ours reaches it",
            Unheard::Dns => "no address: DNS did not answer in time",
            Unheard::Network(fault) => fault.as_str(),
            Unheard::Full(full) => full.as_str(),
        }
    }
}

impl Response {
    /// Its status, if it has come.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Response::Final { status, .. } => Some(*status),
            Response::Awaited | Response::Overtaken | Response::Missing(_) => None,
        }
    }
}

impl HandoffFacts {
    /// What the attempt met that has failed last, which need not be the last one that was begun: a REFER may have been heard
    /// of late. What a NOTIFY told says more than the answer to the REFER.
    pub(crate) fn failure(&self) -> Option<(u16, Where)> {
        let failed = self.failed_last()?;
        let status = [failed.final_status, failed.response.status()].into_iter().flatten();
        Some((status.into_iter().find(|status| *status >= 300)?, failed.seen()))
    }

    /// Why the attempt that has failed last had no response at all.
    pub(crate) fn unheard(&self) -> Option<Unheard> {
        let failed = self.failed_last()?;
        match failed.response {
            Response::Missing(why) if failed.final_status.is_none() => Some(why),
            _ => None,
        }
    }

    /// What a NOTIFY told of the attempt that ended last.
    pub(crate) fn told(&self) -> Option<u16> {
        self.attempts.iter().max_by_key(|attempt| attempt.ended)?.final_status
    }

    /// Whether the caller's side was asked to move the caller.
    pub(crate) fn has_referred(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.refer_to.is_some())
    }

    fn failed_last(&self) -> Option<&AttemptFacts> {
        self.attempts.iter().filter(|attempt| attempt.cause.is_some()).max_by_key(|attempt| attempt.ended)
    }
}

impl AttemptFacts {
    /// What has told how it ended.
    pub(crate) fn seen(&self) -> Where {
        match self.method {
            _ if self.final_status.is_some() => Where::Notify,
            Method::Refer => Where::ReferResponse,
            Method::Attended if self.refer_to.is_some() => Where::ReferResponse,
            Method::Bye => Where::ByeResponse,
            Method::Attended | Method::Invite | Method::Redirect => Where::InviteResponse,
        }
    }

    /// Whether its REFER had a 2xx, or a NOTIFY in its place; nothing is known against it before it has a response.
    pub(crate) fn is_accepted(&self) -> bool {
        self.final_status.is_some() || self.response.status().is_none_or(|status| status < 300)
    }
}
