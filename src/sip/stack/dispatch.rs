//! Where a received message goes: to its transaction, its leg, or an answer at the door (RFC 3261 §8.2, §12.2.2).
//!
//! Not here: what a leg makes of it (`leg/`). Refusals stand in `sip::refusal`.

use super::Stack;
use crate::sip::core::Owner;
use crate::sip::door::{Neighbours, Untaken};
use crate::sip::flow::Flow;
use crate::sip::leg::event::{Event, LegId};
use crate::sip::leg::{Leg, Standing};
use crate::sip::refusal::{unserved, unserved_words};
use crate::sip::timing::{Now, Time};
use crate::sip::transaction::{Answer, Inbound, ServerId};
use crate::wire::headers::ALLOW;
use crate::wire::{Fault, Message, Method, Name, Writer};

const MERGED: &str = "the same request came by another path";
const OUTSIDE: &str = "a REFER is served inside a call only";

// What arrives.
impl Stack {
    /// A message that `wire::identify` accepted. Inside a dialog its source is judged by the leg; outside of one
    /// only a known source is heard. At most one event, about this message; events that no message caused come from
    /// [`Stack::poll_event`].
    ///
    /// # Errors
    /// Why it had no effect. What is malformed in a new request: a known source was answered with it.
    pub fn handle_message(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let event = if message.is_request() {
            self.on_request(now.mono, flow, message, neighbours)
        } else {
            self.on_response(now.mono, flow, message, neighbours)
        };
        self.drain_transactions(now.mono);
        event
    }

    /// A request that `wire::identify` refused but that can be answered (`wire::salvage`): 400, 505 … to a known source,
    /// statelessly.
    pub fn handle_fault(&mut self, flow: Flow, message: &Message<'_>, fault: Fault, why: Option<&str>) {
        if let Some(why) = why.filter(|_| message.method() != Method::Ack) {
            self.core.refuse_statelessly(flow, message, (fault.status(), fault.reason()), why);
        }
    }
}

// Requests.
impl Stack {
    fn on_request(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let merged = match self.core.table.receive_request(now, flow, message, &mut self.core.outbox) {
            Inbound::Absorbed => return Ok(None),
            Inbound::Cancel { invite, owner } => {
                self.admit_cancel(flow, (invite, owner), neighbours)?;
                return Ok(self.on_cancel(now, flow, message, invite, owner));
            }
            Inbound::Merged => true,
            Inbound::New => false,
        };
        let remote_tag = message.from_tag().unwrap_or(b"");
        let leg = message
            .to_tag()
            .and_then(|local_tag| self.find_leg(message.call_id(), |leg| leg.matches(local_tag, remote_tag)));
        let party = match leg {
            Some(leg) => self.admit(leg, flow, neighbours)?,
            None => Some(neighbours.party_at(flow.peer.ip()).ok_or(Untaken::Unknown)?),
        };
        if let Err(fault) = message.check() {
            self.handle_fault(flow, message, fault, Some(fault.reason()));
            return Err(fault.into());
        }
        let new_call = !merged && leg.is_none() && message.method() == Method::Invite;
        if let Some(status) = self.core.turned_away(flow, message, (new_call, party), neighbours) {
            return Err(Untaken::TurnedAway { status, new_call });
        }
        let event = match merged {
            true => self.core.refuse(now, flow, message, (482, MERGED), &|_| ()),
            false => self.on_new_request(now, flow, message, leg),
        };
        match self.core.strayed.take() {
            Some(status) => Err(Untaken::Stray { status }),
            None => Ok(event),
        }
    }

    /// A CANCEL is taken from a known source, from where its INVITE came, and from whoever may speak in the leg. That the
    /// tables have changed since the INVITE is no reason to let it ring.
    fn admit_cancel(
        &mut self,
        flow: Flow,
        (invite, owner): (ServerId, Owner),
        neighbours: &dyn Neighbours,
    ) -> Result<(), Untaken> {
        let address = flow.peer.ip();
        let party = neighbours.party_at(address);
        if party.is_none() && self.core.table.source(invite) != Some(address) {
            self.admit(owner.ok_or(Untaken::Unknown)?, flow, neighbours)?;
        }
        let party = party.or_else(|| self.party(owner?));
        self.core.table.serves(party);
        Ok(())
    }

    fn on_new_request(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        leg: Option<LegId>,
    ) -> Option<Event> {
        match leg {
            Some(leg) => self.with_leg(now, leg, |leg, io| leg.on_request(io, flow, message)).flatten(),
            None if message.method() == Method::Ack => None,
            None => self.on_stray_request(now, flow, message),
        }
    }

    /// A request that belongs to no leg.
    fn on_stray_request(&mut self, now: Time, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let outside = message.to_tag().is_none();
        match message.method() {
            Method::Invite if outside => return self.on_invite(now, flow, message),
            Method::Options if outside => self.core.on_options(flow, message),
            // Outside a call nobody may make Baton call somebody.
            Method::Refer if outside => self.core.turn_down(flow, message, (403, OUTSIDE), &|_| ()),
            method => match unserved(method) {
                Some(status) => {
                    self.core.turn_down(flow, message, (status, &unserved_words(message)), &|writer| {
                        writer.header(Name::Allow, ALLOW);
                    });
                }
                None => self.core.turn_down(flow, message, (481, ""), &|_| ()),
            },
        }
        None
    }

    fn on_cancel(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        invite: ServerId,
        owner: Owner,
    ) -> Option<Event> {
        let cancel = self.core.table.open(now, flow, message, None);
        let open = self.core.table.is_open(invite);
        // The To-tag of the INVITE's responses (RFC 3261 §9.2).
        let leg = owner.and_then(|id| self.legs.get(id.into()));
        let fresh = self.core.ident.tag();
        // A leg that is gone has taken its tag with it.
        let tag = Some(leg.map_or(fresh.as_bytes(), Leg::response_tag));
        let product = &self.core.settings.product;
        let ok = |mut writer: Writer<'_>| {
            writer.header(Name::Server, product.as_bytes());
            writer.finish(None)
        };
        let _ = self.core.table.respond(now, cancel, 200, tag, &mut self.core.outbox, ok);
        if !open {
            return None;
        }
        let _ = self.core.table.respond(now, invite, 487, tag, &mut self.core.outbox, ok);
        self.with_leg(now, owner?, |leg, io| leg.on_cancelled(io, invite)).flatten()
    }

    /// A new INVITE from a known source.
    fn on_invite(&mut self, now: Time, flow: Flow, message: &Message<'_>) -> Option<Event> {
        // A Call-ID of ours in a call to us: it came back.
        let returned = self.find_leg(message.call_id(), Leg::is_outgoing);
        let (leg, server) = Leg::of_invite(&mut self.core, now, flow, message, returned)?;
        let id = self.add_leg(leg);
        self.core.table.set_owner(server, Some(id));
        self.with_leg(now, id, |leg, io| leg.on_invite(io, server))
    }
}

// Responses.
impl Stack {
    fn on_response(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let request = self.core.table.request_of(message);
        if let Some((_, owner, sent_to)) = request {
            self.admit_response(owner.flatten(), (flow, sent_to), neighbours)?;
        }
        let answer = request.and_then(|(client, ..)| {
            self.core.table.receive_response(now, client, message, &mut self.core.outbox)
        });
        if let Some(answer) = answer {
            return Ok(self.on_answered_request(now, flow, message, answer));
        }
        match self.leg_of_belated(message) {
            Some(leg) => {
                self.admit(leg, flow, neighbours)?;
                Ok(self.with_leg(now, leg, |leg, io| leg.on_belated(io, flow, message)).flatten())
            }
            None if request.is_some() || neighbours.knows(flow.peer.ip()) => Ok(None),
            None => Err(Untaken::Unknown),
        }
    }

    fn on_answered_request(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        answer: Answer<Owner>,
    ) -> Option<Event> {
        let heard = (answer.client, answer.kind);
        self.with_leg(now, answer.owner?, |leg, io| leg.on_response(io, flow, message, heard)).flatten()
    }

    /// The leg that a 2xx without a transaction belongs to.
    fn leg_of_belated(&self, message: &Message<'_>) -> Option<LegId> {
        let accepts = message.status().is_some_and(|status| (200..300).contains(&status));
        // More than one Via: it is not for us (RFC 3261 §8.1.3.3).
        if !accepts || message.values(Name::Via).nth(1).is_some() {
            return None;
        }
        let (local_tag, remote_tag) = (message.from_tag()?, message.to_tag()?);
        self.find_leg(message.call_id(), |leg| leg.is_answered() && leg.matches(local_tag, remote_tag))
    }
}

// Who may speak.
impl Stack {
    /// What speaks for the source of a response that has the branch of a request which went to `sent_to`.
    fn standing_of_response(
        &self,
        owner: Option<LegId>,
        (from, sent_to): (Flow, Flow),
        neighbours: &dyn Neighbours,
    ) -> Standing {
        let (address, asked) = (from.peer.ip(), sent_to.peer.ip());
        let by_connection = from.connection != 0 && from.connection == sent_to.connection;
        if address == asked || address.to_canonical() == asked.to_canonical() || by_connection {
            return Standing::Address;
        }
        let leg = owner.and_then(|id| self.legs.get(id.into()));
        match leg.map(|leg| leg.standing(from, &self.core.settings.parties, neighbours)) {
            Some(Standing::Address) => Standing::Address,
            Some(_) | None if neighbours.knows(address) => Standing::Branch,
            Some(standing) => standing,
            None => Standing::Nobody,
        }
    }

    /// Whether a response has an effect: for who tells of it before it is handled.
    pub fn hears(&self, flow: Flow, response: &Message<'_>, neighbours: &dyn Neighbours) -> bool {
        let standing = match self.core.table.request_of(response) {
            Some((_, owner, sent_to)) => {
                self.standing_of_response(owner.flatten(), (flow, sent_to), neighbours)
            }
            None if neighbours.knows(flow.peer.ip()) => Standing::Branch,
            None => Standing::Nobody,
        };
        standing != Standing::Nobody
    }

    /// A response to that request is taken, or not.
    fn admit_response(
        &mut self,
        owner: Option<LegId>,
        flows: (Flow, Flow),
        neighbours: &dyn Neighbours,
    ) -> Result<(), Untaken> {
        let standing = self.standing_of_response(owner, flows, neighbours);
        if standing == Standing::Nobody {
            return Err(Untaken::Strange(owner));
        }
        if let Some(leg) = owner.and_then(|id| self.legs.get_mut(id.into())) {
            leg.hear_by(flows.0, standing);
        }
        Ok(())
    }

    /// A message in the dialog of that leg is taken, or not. Whose the leg is.
    fn admit(&mut self, id: LegId, flow: Flow, neighbours: &dyn Neighbours) -> Result<Option<u16>, Untaken> {
        let leg = self.legs.get_mut(id.into()).ok_or(Untaken::Unknown)?;
        let standing = leg.standing(flow, &self.core.settings.parties, neighbours);
        if standing == Standing::Nobody {
            return Err(Untaken::Strange(Some(id)));
        }
        leg.hear_by(flow, standing);
        Ok(leg.party())
    }
}
