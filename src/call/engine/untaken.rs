//! What had no effect, or was refused without being kept: told by one line for each source and minute.

use super::Engine;
use super::arriving::told;
use crate::call::admission;
use crate::call::counters::RefusalKind;
use crate::call::dropped::Tell;
use crate::call::event::{EventKind, Why};
use crate::call::ids::SipCallId;
use crate::call::roster::Name;
use crate::routing::net::IpNet;
use crate::sip::leg::challenge::Declined;
use crate::sip::refusal::NO_PLACE;
use crate::sip::{Flow, LegId};
use crate::wire::{Fault, Message};

/// Where a request may come from that belongs to no call.
const NO_CALL: &str = "it belongs to a call that is not here: one that has ended, or that a restart has cost. If there are many, see whether the other side ends its calls";
/// What is wrong with a call that was refused for what its INVITE says.
const SEE_WARNING: &str =
    "the Warning of the answer says what its INVITE has wrong (see `sip.status`); mend the sender";
/// The same of one that is no part of a call.
const NOT_SERVED: &str = "Baton does not serve it outside a call; have it sent to whoever does";

/// What has become of a request that belongs to no call; each has its own line a minute, for it is mended elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// There is no call that it could belong to, or nobody serves it here.
    Unserved,
    /// A call was refused for what it asks.
    Refused,
}

impl Engine {
    /// A request was turned away; one line for each source and minute.
    pub(super) fn turned_away(&mut self, flow: Flow, message: &Message<'_>, (status, new_call): (u16, bool)) {
        self.counters.requests_turned_away += 1;
        let admitted = || admission::admit(&self.tables, self.load(), flow, message);
        let refused = if new_call { admitted().err() } else { None };
        if new_call {
            let kind = refused.as_ref().map_or(RefusalKind::Overload, |refused| refused.kind);
            self.counters.calls_refused[kind.index()] += 1;
        }
        let tell = self.dropped.count(self.now.mono, flow.peer.ip(), Why::TurnedAway);
        self.shows_refusal = tell.is_some();
        let Some(Tell::Source(count) | Tell::Others(count)) = tell else { return };
        let trunk = self.tables.topology.trunk_at(flow.peer.ip());
        let what = EventKind::CallRefused {
            sip_call_id: SipCallId::of(message.call_id()),
            trunk: trunk.map(|trunk| trunk.id.to_string()).unwrap_or_default(),
            status,
            reason: refused.map_or_else(|| NO_PLACE.to_owned(), |refused| refused.why),
            count,
        };
        self.tell(what);
    }

    /// `at`: the byte where the line begins that is at fault, where one is.
    pub(super) fn malformed(&mut self, flow: Flow, fault: Fault, at: Option<usize>) {
        self.drop_of(flow, Why::Malformed, &told(fault, at), None);
    }

    /// A challenge got no answer, though there is a password.
    pub(super) fn challenge_declined(&mut self, leg: LegId, why: Declined) {
        let Some(flow) = self.stack.peer(leg) else { return };
        let tell = self.dropped.count(self.now.mono, flow.peer.ip(), Why::Challenge);
        let Some(Tell::Source(count)) = tell else { return };
        let call = self.legs.find(leg).and_then(|(key, _)| self.call_id(key));
        let section = self.stack.party(leg).and_then(|party| self.roster.name(party)).map(Name::section);
        let section = section.unwrap_or_default();
        let (what, hint) = match why {
            Declined::Elsewhere => (
                "the challenge comes from elsewhere",
                format!(
                    "the password of {section} goes to the host and port of its `address` and to calls that come from there; if this is one of them, make it the `address` of a trunk of its own"
                ),
            ),
            Declined::Form => (
                "the challenge has no digest and realm that fit",
                format!(
                    "see `auth.realm` of {section}, and let the other side offer MD5 or SHA-256 with qop=auth"
                ),
            ),
            Declined::Refused => (
                "the password was given and asked for again",
                format!("see user name and password in `auth` of {section}"),
            ),
        };
        self.tell(EventKind::Dropped {
            why: Why::Challenge,
            call,
            source: Some(flow.peer.to_string()),
            transport: flow.transport.as_param(),
            what: what.to_owned(),
            status: None,
            count,
            hint,
        });
    }

    /// A request was refused that belongs to no call: one line for each source and minute, with the status that the first one
    /// got.
    pub(super) fn stray(&mut self, flow: Flow, message: &Message<'_>, status: u16) {
        if matches!(status, 422 | 482) {
            // Two sides agree on a longer session, or a fork comes together: nobody has to mend that.
            self.shows_refusal = self.ordinary.count(self.now.mono, flow.peer.ip(), ()).is_some();
            return;
        }
        let (kind, hint) = match status {
            481 => (Stray::Unserved, NO_CALL),
            403 | 405 | 501 => (Stray::Unserved, NOT_SERVED),
            _ => (Stray::Refused, SEE_WARNING),
        };
        let tell = self.strays.count(self.now.mono, flow.peer.ip(), kind);
        self.shows_refusal = tell.is_some();
        let Some(tell) = tell else { return };
        let (count, source) = told_of(tell, flow);
        self.tell(EventKind::Dropped {
            why: Why::Stray,
            call: None,
            source,
            transport: flow.transport.as_param(),
            what: message.method().as_str().to_owned(),
            status: Some(status),
            count,
            hint: hint.to_owned(),
        });
    }

    /// A message had no effect: one line for each source and minute.
    pub(super) fn drop_of(&mut self, flow: Flow, why: Why, what: &str, leg: Option<LegId>) {
        let address = flow.peer.ip().to_canonical();
        let Some(tell) = self.dropped.count(self.now.mono, address, why) else { return };
        let (count, source) = told_of(tell, flow);
        let call = leg.and_then(|leg| self.legs.find(leg)).and_then(|(key, _)| self.call_id(key));
        let party = leg.and_then(|leg| self.stack.party(leg)).and_then(|party| self.roster.name(party));
        let source_line = format!("accept_from = [\"{}\"]", IpNet::host(address));
        let hint = match (why, party) {
            (Why::Unknown, _) => format!(
                "no trunk or agent has this address, so it gets no answer; if it is one, add it there: {source_line}"
            ),
            (Why::Strange, Some(party)) => format!(
                "it has the tags of a call and no right to speak in it; if it is a part of {section}, add its address \
                 there: {source_line}, or set in_dialog = \"tags\"",
                section = party.section()
            ),
            (Why::Strange, None) => format!(
                "it has the tags of a call and no right to speak in it; if it belongs there, make it a source of a trunk: \
                 {source_line}"
            ),
            (Why::Challenge | Why::TurnedAway | Why::Stray, _) => String::new(),
            (Why::Malformed, _) => {
                "what can be answered was answered with the reason; mend the sender".to_owned()
            }
        };
        self.tell(EventKind::Dropped {
            why,
            call,
            source,
            transport: flow.transport.as_param(),
            what: what.to_owned(),
            status: None,
            count,
            hint,
        });
    }
}

/// How many messages a line is about, and of whom: None is many sources.
fn told_of(tell: Tell, flow: Flow) -> (u64, Option<String>) {
    match tell {
        Tell::Source(count) => (count, Some(flow.peer.to_string())),
        Tell::Others(count) => (count, None),
    }
}
