//! Who is called, by which way and with what: what an INVITE of ours to an agent or a target says.

use super::context::Context;
use super::facts::Facts;
use super::handoff::attempt_plan::AttemptPlan;
use crate::routing::Id;
use crate::routing::address::Address;
use crate::routing::explain::{self, Cause};
use crate::routing::headers::user_part;
use crate::routing::onward::Onward;
use crate::routing::profile::Receiver;
use crate::routing::table::Route;
use crate::routing::topology::Trunk;
use crate::sip::leg::Body;
use crate::sip::leg::reach::Reach;
use crate::sip::leg::reason_info::ReasonInfo;
use crate::sip::leg::tries::Patience;
use crate::sip::{Connect, Content, Field, Flow, LegId, identity};
use crate::wire::{Framing, Index, Message, identify};
use std::sync::Arc;
use std::time::Duration;

/// The address of a target that Baton calls: the Request-URI of the INVITE, and the next hop's URI, whose address is looked up
/// (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetAddress {
    pub(crate) request_uri: Box<str>,
    /// The URI whose address is looked up.
    pub(crate) address: Box<str>,
    /// Whose legs are its: the trunk's index in the stack.
    pub(crate) party: Option<u16>,
    /// The trunk that it is one of, if it is.
    pub(crate) trunk: Option<Id>,
    /// It is the very place of that trunk: its password answers there, and nowhere else.
    pub(crate) digest: bool,
    /// It is a trunk that our assertions are sent to (RFC 3325).
    pub(crate) trusted: bool,
    /// How often it is asked, once it has answered, whether it is there; None: never.
    pub(crate) keepalive: Option<Duration>,
    /// How long it may be silent.
    pub(crate) patience: Patience,
    pub(crate) reach: Reach,
    /// It is told which number the call was for (RFC 5806, RFC 7044).
    diversion: bool,
    /// Its trunk's `profile`; None: `auto`.
    named: Option<Receiver>,
}

impl TargetAddress {
    /// The address of an attempt: a number at its trunk, a URI where it says.
    pub(crate) fn of(cx: &Context<'_>, facts: &Facts, attempt_plan: &AttemptPlan) -> Option<TargetAddress> {
        Some(TargetAddress::at(cx, facts, attempt_plan, attempt_plan.route.as_ref()?))
    }

    /// The same for another route, which a target's 3xx named.
    pub(crate) fn at(
        cx: &Context<'_>,
        facts: &Facts,
        attempt_plan: &AttemptPlan,
        route: &Route,
    ) -> TargetAddress {
        let named = attempt_plan.destination.trunk.as_deref().and_then(|id| cx.tables.topology.trunk(id));
        TargetAddress::through(cx, named.unwrap_or(&facts.trunk), route)
    }

    /// What a target may do with the caller that was called by that attempt and is joined with it.
    pub(crate) fn onward(cx: &Context<'_>, facts: &Facts, attempt_plan: &AttemptPlan) -> Option<Onward> {
        let named = attempt_plan.destination.trunk.as_deref().and_then(|id| cx.tables.topology.trunk(id));
        let trunk = named.unwrap_or(&facts.trunk);
        let address = attempt_plan.route.as_ref().map(|route| route.request_uri(&trunk.address).1);
        let owner = address.and_then(|address| TargetAddress::owner(cx, trunk, address));
        attempt_plan.destination.onward.with(owner.map(|trunk| &trunk.onward))
    }

    /// The trunk whose very place an address is, that one before others.
    fn home<'a>(cx: &'a Context<'_>, trunk: &'a Arc<Trunk>, address: &Address) -> Option<&'a Arc<Trunk>> {
        let is_home = |trunk: &&Arc<Trunk>| trunk.address.is_same_place(address);
        [trunk].into_iter().chain(cx.tables.topology.trunks()).find(is_home)
    }

    /// The trunk that an address is one of: its very place before another port of its host, that trunk before others.
    fn owner<'a>(cx: &'a Context<'_>, trunk: &'a Arc<Trunk>, address: &Address) -> Option<&'a Arc<Trunk>> {
        let is_host = |trunk: &&Arc<Trunk>| trunk.address.host == address.host;
        let host = || [trunk].into_iter().chain(cx.tables.topology.trunks()).find(is_host);
        TargetAddress::home(cx, trunk, address).or_else(host)
    }

    /// A route that is reached by that trunk if it is a number.
    pub(crate) fn through(cx: &Context<'_>, trunk: &Arc<Trunk>, route: &Route) -> TargetAddress {
        let (uri, address) = route.request_uri(&trunk.address);
        let home = TargetAddress::home(cx, trunk, address);
        let owner = TargetAddress::owner(cx, trunk, address);
        TargetAddress {
            request_uri: uri.into(),
            address: address.text.as_ref().into(),
            party: owner.and_then(|trunk| cx.roster.trunk(trunk)),
            trunk: owner.map(|trunk| Arc::clone(&trunk.id)),
            digest: home.is_some(),
            trusted: home.is_some_and(|trunk| trunk.trusted),
            keepalive: owner.and_then(|trunk| trunk.keepalive),
            patience: owner.map(|trunk| trunk.patience).unwrap_or_default(),
            reach: owner.map(|trunk| trunk.reach).unwrap_or_default(),
            diversion: owner.is_some_and(|trunk| trunk.diversion),
            named: owner.and_then(|trunk| trunk.profile),
        }
    }

    /// What it means that the INVITE was refused with that status. None: it was not refused.
    pub(crate) fn cause(&self, status: u16, message: Option<&Message<'_>>) -> Option<Cause> {
        let reason_info = message.map(ReasonInfo::of).unwrap_or_default();
        let seen = message.and_then(identity::product).map(Receiver::recognise).unwrap_or_default();
        explain::cause_of_invite(status, reason_info, self.named.unwrap_or(seen))
    }
}

/// Whom the called party sees.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

impl<'a> Shown<'a> {
    pub(crate) fn caller(facts: &'a Facts) -> Shown<'a> {
        Shown { user: facts.caller_id.as_deref(), name: facts.caller_name.as_deref() }
    }

    fn by(facts: &'a Facts, attempt_plan: &'a AttemptPlan) -> Shown<'a> {
        match attempt_plan.caller_id.as_deref() {
            Some(user) => Shown { user: Some(user), name: facts.caller_name.as_deref() },
            None => Shown::caller(facts),
        }
    }
}

/// What is offered.
#[derive(Clone, Copy)]
pub(crate) enum Offer<'a> {
    /// The caller's INVITE as received, with all that goes end to end.
    Invite(&'a [u8]),
    /// An SDP; the headers are what was kept of the caller's INVITE.
    Sdp(&'a [u8]),
}

/// INVITE to an agent.
pub(crate) fn call_agent(
    cx: &mut Context<'_>,
    facts: &Facts,
    flows: &[Flow],
    uri: &str,
    invite: &[u8],
) -> Option<LegId> {
    let own = [identity::call_id_field(&facts.id)];
    let to = called_at(cx, facts, flows);
    let callee = Callee {
        flows,
        uri,
        to: &to,
        party: cx.roster.agent(&facts.agent),
        digest: false,
        identity: facts.trunk.trusted,
        shown: Shown::caller(facts),
        patience: Patience { first_response: facts.agent.first_response, ..Patience::default() },
        reach: facts.agent.reach,
    };
    connect(cx, facts, &callee, &own, Offer::Invite(invite))
}

/// The called number at our own host.
fn called_at(cx: &Context<'_>, facts: &Facts, flows: &[Flow]) -> String {
    format!("sip:{}@{}", user_part(&facts.called), cx.advertised(flows.first().copied()))
}

/// INVITE to a target, which it is addressed to (RFC 3261 §8.1.1.1): a system that routes by To would send the caller back
/// to where they came from. Who has referred the caller is told (RFC 3892).
pub(crate) fn call_target(
    cx: &mut Context<'_>,
    facts: &Facts,
    flows: &[Flow],
    (place, attempt_plan, referred_by): (&TargetAddress, &AttemptPlan, Option<&str>),
    offer: Offer<'_>,
) -> Option<LegId> {
    let shown = Shown::by(facts, attempt_plan);
    let callee = Callee {
        flows,
        uri: &place.request_uri,
        to: &place.request_uri,
        party: place.party,
        digest: place.digest,
        // Its assertion is the caller's own, and somebody else's number cannot have it.
        identity: facts.trunk.trusted && place.trusted && attempt_plan.caller_id.is_none(),
        shown,
        patience: place.patience,
        reach: place.reach,
    };
    let mut fields = attempt_plan.fields.clone();
    fields.extend(referred_by.map(identity::referred_by_field));
    if place.diversion {
        let from = called_at(cx, facts, flows);
        fields.extend(identity::diverted(&facts.kept, &from, &place.request_uri, &attempt_plan.fields));
    }
    if let Offer::Sdp(_) = offer {
        fields.extend(identity::carried(&facts.kept, callee.identity, &fields));
    }
    // What an untrusted caller says of itself is not ours to vouch for; what the destination says is.
    let vouched = facts.trunk.trusted || attempt_plan.caller_id.is_some();
    if place.trusted && vouched && !callee.identity {
        let host = cx.advertised(flows.first().copied()).to_owned();
        fields.extend(identity::asserted(shown.user, shown.name, &host));
    }
    connect(cx, facts, &callee, &fields, offer)
}

/// Who is called, and as whom the caller is shown to it.
struct Callee<'a> {
    /// Where it is reached, in the order in which they are tried.
    flows: &'a [Flow],
    /// Request-URI.
    uri: &'a str,
    /// The URI of To.
    to: &'a str,
    party: Option<u16>,
    digest: bool,
    /// PAI and Privacy of the caller's INVITE pass.
    identity: bool,
    shown: Shown<'a>,
    patience: Patience,
    reach: Reach,
}

/// None: the stored INVITE does not read, which it did when it came.
fn connect(
    cx: &mut Context<'_>,
    facts: &Facts,
    callee: &Callee<'_>,
    fields: &[Field],
    offer: Offer<'_>,
) -> Option<LegId> {
    let mut index = Index::default();
    let invite = match offer {
        Offer::Invite(bytes) => Some(identify(bytes, &mut index, Framing::Datagram).ok()?),
        Offer::Sdp(_) => None,
    };
    let body = match (offer, &invite) {
        (Offer::Sdp(sdp), _) => Body::Sdp(sdp),
        (Offer::Invite(_), Some(invite)) if !invite.body().is_empty() => Body::Copied,
        (Offer::Invite(_), _) => Body::None,
    };
    let hops = invite.as_ref().map_or(facts.hops, |invite| invite.max_forwards());
    let connect = Connect {
        flows: callee.flows,
        patience: callee.patience,
        reach: callee.reach,
        uri: callee.uri.as_bytes(),
        to: callee.to.as_bytes(),
        from_user: callee.shown.user.map(str::as_bytes),
        from_display: callee.shown.name.map(str::as_bytes),
        max_forwards: hops.unwrap_or(70).saturating_sub(1),
        slot: facts.slot,
        party: callee.party,
        digest: callee.digest,
        content: Content { copy: invite.as_ref(), identity: callee.identity, fields, body },
    };
    Some(cx.stack.connect(cx.now, connect))
}
