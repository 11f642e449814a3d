//! Where a received message goes: to its transaction, its leg, or an answer at the door (RFC 3261 §8.2, §12.2.2).
//!
//! Not here: what a leg makes of it (`leg/`). Called by [`Stack::handle_message`] alone.

use super::door::{Neighbours, Untaken};
use super::flow::Flow;
use super::ident;
use super::identity;
use super::leg::presence::Sign;
use super::leg::send::Supported;
use super::leg::usage::{Leg, Usage};
use super::leg::{Event, LegId, Origin, accept};
use super::outbox::QUIET;
use super::stack::{Owner, Stack};
use super::timing::Time;
use super::transaction::{Answer, Inbound, Kind, ServerId, response_flow};
use crate::wire::headers::{ALLOW, APPLICATION_SDP};
use crate::wire::{Message, Method, Name, Writer, reason_phrase, response_to};

/// Why somebody is turned away whom the calls have room for.
pub(crate) const NO_PLACE: &str = "its trunk has as many requests open as it may have";
const MERGED: &str = "the same request came by another path";
const OUTSIDE: &str = "a REFER is served inside a call only";
const DRAINING: &str = "no new calls are taken: shutting down";
pub(crate) const OVERTAKEN: &str = "its CSeq is not higher than that of an earlier request";
const UNSUPPORTED: &str = "it requires an extension that is not supported: see Unsupported";

impl Leg {
    /// Whether a message of the peer's belongs to it.
    pub(crate) fn matches(&self, local_tag: &[u8], remote_tag: &[u8]) -> bool {
        let local = match &self.usage {
            Usage::Offered(offered) => offered.parties.iter().any(|party| party.tag.as_bytes() == local_tag),
            _ => false,
        } || self.dialog.local_tag() == local_tag;
        // Before the answer each branch of a fork has its own tag.
        let remote = match &self.usage {
            Usage::Calling(_) => !remote_tag.is_empty(),
            _ => self.dialog.remote_tag() == remote_tag,
        };
        local && remote
    }

    /// CSeq of the peer's last request in the dialog with these tags, ours and its (RFC 3261 §12.2.2).
    fn last_heard(&mut self, (local_tag, remote_tag): (&[u8], &[u8])) -> &mut Option<u32> {
        let own = &mut self.remote_cseq;
        match &mut self.usage {
            Usage::Offered(offered) => {
                let party = offered.parties.iter_mut().find(|party| party.tag.as_bytes() == local_tag);
                party.map_or(own, |party| &mut party.remote_cseq)
            }
            Usage::Calling(calling) => {
                let early = calling.early.iter_mut().find(|early| early.dialog.remote_tag() == remote_tag);
                early.map_or(own, |early| &mut early.remote_cseq)
            }
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => own,
        }
    }
}

// Requests.
impl Stack {
    pub(crate) fn on_request(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let merged = match self.table.receive_request(now, flow, message, &mut self.outbox) {
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
            Some(leg) => {
                self.admit(leg, flow, neighbours)?;
                self.party(leg)
            }
            None => Some(neighbours.party_at(flow.peer.ip()).ok_or(Untaken::Unknown)?),
        };
        if let Err(fault) = message.check() {
            self.handle_fault(flow, message, fault, Some(fault.reason()));
            return Err(fault.into());
        }
        let new_call = !merged && leg.is_none() && message.method() == Method::Invite;
        if let Some(status) = self.turned_away(flow, message, (new_call, party), neighbours) {
            return Err(Untaken::TurnedAway { status, new_call });
        }
        let event = match merged {
            true => self.refuse(now, flow, message, (482, MERGED), &|_| ()),
            false => self.on_new_request(now, flow, message, leg),
        };
        match self.strayed.take() {
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
        if party.is_none() && self.table.source(invite) != Some(address) {
            self.admit(owner.ok_or(Untaken::Unknown)?, flow, neighbours)?;
        }
        let party = party.or_else(|| self.party(owner?));
        self.table.serves(party);
        Ok(())
    }

    /// Answers a request for which there is no place, statelessly; the status.
    fn turned_away(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (new_call, party): (bool, Option<u16>),
        neighbours: &dyn Neighbours,
    ) -> Option<u16> {
        self.table.serves(party);
        let status = match message.method() {
            // What ends something, or is owed an answer, always has a place.
            Method::Ack | Method::Bye | Method::Cancel | Method::Prack | Method::Notify => return None,
            _ if !self.table.has_place() => 503,
            Method::Invite if new_call => neighbours.turns_away(flow, message)?,
            _ => return None,
        };
        let seconds = 5 + self.mark_of(message) % 6;
        // Why a call is turned away is the layer's above to say.
        let why = if new_call { "" } else { NO_PLACE };
        self.answer_statelessly(flow, message, (status, QUIET), why, &|writer| {
            if status == 503 {
                // Spread, so that those who were turned away do not come back together.
                writer.begin(Name::RetryAfter).push_number(seconds);
            }
        });
        Some(status)
    }

    fn on_new_request(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        leg: Option<LegId>,
    ) -> Option<Event> {
        match (message.method(), leg) {
            (Method::Ack, Some(leg)) => {
                self.hear(leg);
                self.follow(leg, flow, message);
                self.on_ack(now, leg, message)
            }
            (Method::Ack, None) => None,
            // Its INVITE is unknown (RFC 3261 §9.2).
            (Method::Cancel, Some(_)) => self.refuse(now, flow, message, (481, ""), &|_| ()),
            (_, Some(leg)) => {
                self.hear(leg);
                self.follow(leg, flow, message);
                self.on_dialog_request(now, flow, leg, message)
            }
            (_, None) => self.on_stray_request(now, flow, message),
        }
    }

    /// A request that belongs to no leg.
    fn on_stray_request(&mut self, now: Time, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let outside = message.to_tag().is_none();
        match message.method() {
            Method::Invite if outside => return self.on_invite(now, flow, message),
            Method::Options if outside => self.on_options(flow, message),
            // Outside a call nobody may make Baton call somebody.
            Method::Refer if outside => self.turn_down(flow, message, (403, OUTSIDE), &|_| ()),
            method => match unserved(method) {
                Some(status) => {
                    self.turn_down(flow, message, (status, &unserved_words(message)), &|writer| {
                        writer.header(Name::Allow, ALLOW);
                    });
                }
                None => self.turn_down(flow, message, (481, ""), &|_| ()),
            },
        }
        None
    }

    fn on_options(&mut self, flow: Flow, message: &Message<'_>) {
        let (draining, supported) = (self.draining, self.settings.supported());
        let status = if draining.is_some() { 503 } else { 200 };
        let why = if draining.is_some() { DRAINING } else { "" };
        self.answer_statelessly(flow, message, (status, 0), why, &|writer| {
            if let Some(seconds) = draining {
                writer.begin(Name::RetryAfter).push_number(seconds.into());
            }
            write_capabilities(writer, supported);
        });
    }

    /// A request in the dialog of a leg (RFC 3261 §12.2.2).
    fn on_dialog_request(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let (method, number) = (message.method(), message.cseq().number);
        let tags = (message.to_tag().unwrap_or(b""), message.from_tag().unwrap_or(b""));
        let last = leg.last_heard(tags);
        if last.is_some_and(|last| number <= last) {
            // A BYE that another request has overtaken gets its 500 (RFC 3261 §12.2.2), and whoever sent it is gone all
            // the same (§15.1.1). A PRACK says by itself what it acknowledges, and a NOTIFY is news unless another NOTIFY
            // was the one that came first.
            return match method {
                Method::Bye => self.on_bye(now, flow, id, message, 500),
                Method::Prack => self.on_prack(now, flow, id, message, 500),
                Method::Notify => self.on_notify(now, flow, id, message, 500),
                _ => self.refuse(now, flow, message, (500, OVERTAKEN), &|_| ()),
            };
        }
        *last = Some(number);
        let released = leg.released;
        if let Some(event) = self.refuse_extension(now, flow, message) {
            return event;
        }
        match method {
            Method::Bye => self.on_bye(now, flow, id, message, 200),
            // Nobody is left to answer: the leg is only waiting for its end.
            Method::Invite | Method::Update | Method::Info | Method::Refer if released => {
                self.refuse(now, flow, message, (481, ""), &|_| ())
            }
            Method::Invite => self.on_reinvite(now, flow, id, message),
            Method::Update => self.on_update(now, flow, id, message),
            Method::Info => self.on_info(now, flow, id, message),
            Method::Refer => self.on_refer(now, flow, id, message),
            Method::Notify => self.on_notify(now, flow, id, message, 200),
            Method::Options => {
                let supported = self.settings.supported();
                self.refuse(now, flow, message, (200, ""), &|writer| write_capabilities(writer, supported))
            }
            Method::Prack => self.on_prack(now, flow, id, message, 200),
            Method::Ack | Method::Cancel => self.refuse(now, flow, message, (481, ""), &|_| ()),
            Method::Subscribe | Method::Register | Method::Message | Method::Publish | Method::Other => {
                let (status, why) = (unserved(method).unwrap_or(501), unserved_words(message));
                self.refuse(now, flow, message, (status, &why), &|writer| {
                    writer.header(Name::Allow, ALLOW);
                })
            }
        }
    }

    /// 420 to a request that requires what Baton does not know (RFC 3261 §8.2.2.3). None: it does not.
    pub(crate) fn refuse_extension(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
    ) -> Option<Option<Event>> {
        let settings = &self.settings;
        let unknown = message.values(Name::Require).filter(|option| !settings.supports(option));
        let unknown: smallvec::SmallVec<[&[u8]; 4]> = unknown.collect();
        if unknown.is_empty() {
            return None;
        }
        Some(self.refuse(now, flow, message, (420, UNSUPPORTED), &|writer| {
            let mut line = writer.begin(Name::Unsupported);
            for (place, option) in unknown.iter().enumerate() {
                line.push(if place > 0 { ", " } else { "" }).push(option);
            }
        }))
    }

    fn on_cancel(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        invite: ServerId,
        owner: Owner,
    ) -> Option<Event> {
        let cancel = self.table.open(now, flow, message, None);
        let open = self.table.is_open(invite);
        // The To-tag of the INVITE's responses (RFC 3261 §9.2).
        let leg = owner.and_then(|id| self.legs.get(id.into()));
        let fresh = self.ident.tag();
        // A leg that is gone has taken its tag with it.
        let own = leg.map_or(fresh.as_bytes(), accept::tag_of);
        let product = &self.settings.product;
        let ok = |mut writer: Writer<'_>| {
            writer.header(Name::Server, product.as_bytes());
            writer.finish(None)
        };
        let tag = Some(own);
        let _ = self.table.respond(now, cancel, 200, tag, &mut self.outbox, ok);
        if !open {
            return None;
        }
        let _ = self.table.respond(now, invite, 487, tag, &mut self.outbox, ok);
        let event = self.on_cancelled(owner?, invite);
        self.settle(now, owner?);
        event
    }

    /// Answers a request finally that belongs to no leg: outside a dialog without a transaction, for anybody can send such
    /// requests at will. It is no event. `why` stands in a Warning; empty: there is nothing to explain.
    pub(crate) fn refuse(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        (status, why): (u16, &str),
        fill: &dyn Fn(&mut Writer<'_>),
    ) -> Option<Event> {
        if message.to_tag().is_none() {
            self.turn_down(flow, message, (status, why), fill);
            return None;
        }
        let tag = self.ident.tag();
        let product = &self.settings.product;
        let answer = (status, tag.as_bytes());
        self.table.answer(now, flow, message, None, answer, &mut self.outbox, |mut writer| {
            writer.header(Name::Server, product.as_bytes());
            write_warning(&mut writer, why);
            fill(&mut writer);
            writer.finish(None)
        });
        None
    }

    /// Refuses a request that belongs to no leg, and keeps nothing of it. The layer above tells of it ([`Untaken::Stray`]).
    fn turn_down(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, why): (u16, &str),
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        self.answer_statelessly(flow, message, (status, QUIET), why, fill);
        self.strayed = Some(status);
    }

    /// Answers a request that does not decode, and keeps nothing.
    pub(crate) fn refuse_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, reason): (u16, &str),
        why: &str,
    ) {
        self.write_statelessly(flow, message, (status, reason, 0), why, &|_| ());
    }

    /// Answers a request and keeps nothing of it (RFC 3261 §8.2.7): a copy gets the same answer, To tag and all; its ACK is
    /// nobody's.
    fn answer_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, id): (u16, u64),
        why: &str,
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        self.write_statelessly(flow, message, (status, reason_phrase(status), id), why, fill);
    }

    fn write_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, reason, id): (u16, &str, u64),
        why: &str,
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        let (to, _) = response_flow(flow, message);
        let tag = ident::tag_of(self.mark_of(message));
        let scratch = &mut self.scratch;
        let mut writer =
            response_to(scratch, message, status, reason.as_bytes(), Some(tag.as_bytes()), Some(flow.peer));
        writer.header(Name::Server, self.settings.product.as_bytes());
        write_warning(&mut writer, why);
        fill(&mut writer);
        writer.finish(None);
        self.outbox.copy(id, to, scratch);
    }
}

// Responses.
impl Stack {
    pub(crate) fn on_response(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let request = self.table.request_of(message);
        if let Some((_, owner, sent_to)) = request {
            self.admit_response(owner.flatten(), (flow, sent_to), neighbours)?;
        }
        let answer = request
            .and_then(|(client, ..)| self.table.receive_response(now, client, message, &mut self.outbox));
        if let Some(answer) = answer {
            return Ok(self.on_answered_request(now, flow, message, answer));
        }
        match self.leg_of_belated(message) {
            Some(leg) => {
                self.admit(leg, flow, neighbours)?;
                Ok(self.on_belated(now, flow, leg, message))
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
        let leg = answer.owner?;
        let status = message.status()?;
        let other = self.is_left_behind(leg, answer.client);
        if !other {
            self.follow(leg, flow, message);
        }
        let life = match answer.kind {
            // A 100 is of the next hop.
            Kind::Provisional => status > 100,
            Kind::Again => true,
            Kind::Final => Sign::of((status, Origin::Remote)) == Sign::Life,
        };
        if life && !other {
            self.hear(leg);
        }
        let event = match answer.kind {
            Kind::Provisional => self.on_provisional(now, leg, answer.client, message),
            Kind::Again => {
                self.on_2xx_again(now, leg, answer.client, message);
                None
            }
            Kind::Final => {
                let sent = self.take_sent(leg, answer.client)?;
                self.on_final(now, leg, sent, (status, Origin::Remote), Some(message))
            }
        };
        self.settle(now, leg);
        event
    }
}

/// The answer to a method that Baton does not serve.
fn unserved(method: Method) -> Option<u16> {
    match method {
        Method::Subscribe | Method::Register | Method::Message | Method::Publish => Some(405),
        Method::Other => Some(501),
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Refer
        | Method::Notify => None,
    }
}

/// What the Warning of such an answer says.
fn unserved_words(message: &Message<'_>) -> String {
    format!("{} is not served: see Allow", String::from_utf8_lossy(message.method_text()))
}

/// A Warning that says why; nothing where there are no words.
pub(crate) fn write_warning(writer: &mut Writer<'_>, why: &str) {
    if !why.is_empty() {
        writer.header(Name::Warning, identity::warning(why).value.as_bytes());
    }
}

/// What an OPTIONS is told (RFC 3261 §11.2).
fn write_capabilities(writer: &mut Writer<'_>, supported: Supported) {
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, APPLICATION_SDP)
        .header(Name::AcceptEncoding, "identity");
    supported.write(writer);
}
