//! The caller's leg before it is answered (RFC 3261 §13.3), and what every 2xx of ours to an INVITE needs.

use super::content::{Body, Content, body_of, sdp_of};
use super::event::{Event, Gone, LegId, RequestId};
use super::pending::{PendingUas, Unacked};
use super::reading::{carries, names};
use super::reliable::Reliable;
use super::session_timer::{Demand, demand, write_demand};
use super::usage::{EarlyUas, Offered, Usage};
use super::write::write_contact;
use super::{Leg, carry};
use crate::sip::core::{Core, Io};
use crate::sip::dialog::{Dialog, Parts, address, route_set_of_uas};
use crate::sip::durations::PROGRESS_REPEAT;
use crate::sip::flow::Flow;
use crate::sip::offer_answer::{Exchange, Session};
use crate::sip::timing::{T1, T1X64, T2, Time};
use crate::sip::transaction::ServerId;
use crate::wire::headers::{ALLOW, APPLICATION_SDP, RELIABLE};
use crate::wire::{Message, Method, Name, Uri, Writer, grammar};
use smallvec::SmallVec;
use std::time::Duration;

/// Why a body is not taken.
pub(crate) const UNREADABLE: &str = "its body is not taken: see Accept and Accept-Encoding";
const NO_SIP: &str = "the scheme of its Request-URI is none that can be called";
const OURS: &str = "it is a call of Baton's own that came back";
const NO_HOPS: &str = "its Max-Forwards is 0";
const NO_CONTACT: &str = "there is no Contact";

/// What a 415 says.
pub(super) fn write_acceptable(writer: &mut Writer<'_>) {
    writer.header(Name::Accept, APPLICATION_SDP).header(Name::AcceptEncoding, "identity");
}

// The INVITE.
impl Leg {
    /// The leg of a new INVITE, and its transaction. None: the INVITE was refused. `returned`: the leg of ours whose INVITE
    /// it seems to be.
    pub(crate) fn of_invite(
        core: &mut Core,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        returned: Option<LegId>,
    ) -> Option<(Leg, ServerId)> {
        if !message.uri().is_ok_and(|uri| takes(&uri)) {
            core.refuse(now, flow, message, (416, NO_SIP), &|_| ());
            return None;
        }
        if returned.is_some() {
            core.refuse(now, flow, message, (482, OURS), &|_| ());
            return None;
        }
        if core.refuse_extension(now, flow, message).is_some() {
            return None;
        }
        if !carries(message) {
            core.refuse(now, flow, message, (415, UNREADABLE), &write_acceptable);
            return None;
        }
        if message.max_forwards() == Some(0) {
            core.refuse(now, flow, message, (483, NO_HOPS), &|_| ());
            return None;
        }
        let Some(contact) = message.contact() else {
            core.refuse(now, flow, message, (400, NO_CONTACT), &|_| ());
            return None;
        };
        let demand = match demand(core.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => {
                core.refuse_short(now, flow, message, short);
                return None;
            }
        };
        let server = core.table.open(now, flow, message, None);
        let mut leg = Leg::of_caller(core, flow, message, contact.uri.bytes, server);
        if let Usage::Offered(offered) = &mut leg.usage {
            offered.demand = demand;
            offered.expires = expires(message).map(|after| now + after);
        }
        Some((leg, server))
    }

    fn of_caller(core: &mut Core, flow: Flow, message: &Message<'_>, target: &[u8], server: ServerId) -> Leg {
        let tag = core.ident.tag();
        let dialog = Dialog::new(Parts {
            call_id: message.call_id(),
            local_tag: tag.as_bytes(),
            remote_tag: message.from_tag().unwrap_or(b""),
            local: &address(&message.to()),
            remote: &address(&message.from()),
            target,
            routes: &route_set_of_uas(message.headers(Name::RecordRoute)),
        });
        let cseq = message.cseq().number;
        let reliable =
            names(message, Name::Require, RELIABLE).then(|| Box::new(Reliable::new(core.ident.cseq())));
        let parties = SmallVec::new();
        let offered =
            Offered { server, cseq, parties, repeat_at: None, reliable, demand: None, expires: None };
        let mut leg = Leg::new(dialog, flow, Usage::Offered(Box::new(offered)));
        leg.local_cseq = core.ident.cseq();
        leg.remote_cseq = Some(cseq);
        leg.note_allow(message);
        if let Some(asserted) = core.assertion(message) {
            leg.aside.get_or_insert_default().asserted = Some(asserted);
        }
        if message.has_sdp() {
            leg.session.offered(message.body());
        }
        leg
    }

    /// The INVITE that made it: 100, now that the leg has its place.
    pub(crate) fn on_invite(&mut self, io: &mut Io<'_>, server: ServerId) -> Event {
        // It was opened just now, so it is open.
        let trying = |writer: Writer<'_>| writer.finish(None);
        let _ = io.core.table.respond(io.now, server, 100, None, &mut io.core.outbox, trying);
        self.aim(io);
        Event::Incoming { leg: io.id }
    }

    /// The peer cancelled this INVITE; 200 and 487 are sent.
    pub(crate) fn on_cancelled(&mut self, io: &mut Io<'_>, invite: ServerId) -> Option<Event> {
        match &self.usage {
            Usage::Offered(offered) if offered.server == invite => {
                self.usage = Usage::Over;
                self.told(Event::Cancelled { leg: io.id })
            }
            _ => {
                // A re-INVITE: the session stays as it was.
                let place = self.asked.iter().position(|asked| asked.server == invite)?;
                if self.asked.remove(place).offered {
                    self.session.refused();
                }
                self.told(Event::Withdrawn { leg: io.id, request: RequestId(invite) })
            }
        }
    }
}

/// For how long an INVITE may be answered (RFC 3261 §13.3.1). None: for as long as anybody likes. By the letter, 0 seconds are
/// over before anybody could be called, and the INVITE would get 487. No caller wants that: peers write 0 where they mean
/// that it does not expire, and other stacks (Asterisk, Kamailio, PJSIP) read no Expires of an INVITE. So 0 is no limit,
/// nor is what does not read.
fn expires(message: &Message<'_>) -> Option<Duration> {
    let seconds = message.header(Name::Expires).and_then(grammar::decimal).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.into()))
}

/// Request-URIs that a call may have (RFC 3261 §8.2.2.1).
fn takes(uri: &Uri<'_>) -> bool {
    uri.is_sip() || uri.scheme == crate::wire::Scheme::Tel
}

// Verbs.
impl Leg {
    /// What [`crate::sip::Stack::provisional`] does.
    pub(crate) fn provisional(
        &mut self,
        io: &mut Io<'_>,
        party: u8,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        let fresh = io.core.ident.tag();
        let Usage::Offered(offered) = &mut self.usage else { return Err(Gone) };
        if offered.reliable.is_some() {
            return self.provisional_reliably(io, party, status, &content);
        }
        let server = offered.server;
        offered.repeat_at = Some(io.now + PROGRESS_REPEAT);
        let party = offered.party(party, fresh, &self.session);
        if let Some(sdp) = sdp_of(&content) {
            party.session.preview(sdp);
        }
        let tag = party.tag;
        let body = body_of(&content, party.session.last_sent());
        let (settings, flow) = (&io.core.settings, self.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Allow, ALLOW).header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, &content);
            writer.finish(body)
        };
        let sent =
            io.core.table.respond(io.now, server, status, Some(tag.as_bytes()), &mut io.core.outbox, write);
        sent.map_err(|_| Gone)
    }

    /// What [`crate::sip::Stack::answer`] does.
    pub(crate) fn answer(&mut self, io: &mut Io<'_>, party: u8, content: Content<'_>) -> Result<(), Gone> {
        if !matches!(self.usage, Usage::Offered(_)) {
            return Err(Gone);
        }
        if self.defer_accept(party, &content) {
            return Ok(());
        }
        self.accept_as(io, party, &content)
    }

    /// The 2xx in the early dialog of a party.
    pub(super) fn accept_as(
        &mut self,
        io: &mut Io<'_>,
        party: u8,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let fresh = io.core.ident.tag();
        let Usage::Offered(offered) = &mut self.usage else { return Err(Gone) };
        let (server, cseq, demand) = (offered.server, offered.cseq, offered.demand);
        let waiting = offered.reliable.as_deref().and_then(Reliable::waits_for);
        if let Some(rseq) = waiting {
            self.aside.get_or_insert_default().overtaken = Some((rseq, cseq));
        }
        let party = offered.party(party, fresh, &self.session);
        let (tag, answered) = (party.tag, party.answered);
        self.remote_cseq = party.remote_cseq;
        self.session = std::mem::take(&mut party.session);
        self.dialog = Dialog::new(Parts { local_tag: tag.as_bytes(), ..self.dialog.parts() });
        self.usage = Usage::Confirmed;
        let body = if answered { Body::None } else { content.body };
        self.accept_invite(io, (server, cseq, demand), &Content { body, ..*content })
    }

    /// What [`crate::sip::Stack::reject`] does.
    pub(crate) fn reject(&mut self, io: &mut Io<'_>, status: u16, content: Content<'_>) -> Result<(), Gone> {
        let Usage::Offered(offered) = &self.usage else { return Err(Gone) };
        let settings = &io.core.settings;
        let write = |mut writer: Writer<'_>| {
            writer.header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, &content);
            writer.finish(body_of(&content, sdp_of(&content).unwrap_or_default()))
        };
        let sent = io.core.table.respond(
            io.now,
            offered.server,
            status,
            Some(self.response_tag()),
            &mut io.core.outbox,
            write,
        );
        self.usage = if sent.is_ok() { Usage::Refusing } else { Usage::Over };
        self.session.refused();
        sent.map_err(|_| Gone)
    }
}

// 2xx and ACK.
impl Leg {
    /// Sends our 200 to an INVITE or re-INVITE and waits for its ACK.
    pub(super) fn accept_invite(
        &mut self,
        io: &mut Io<'_>,
        (server, cseq, demand): (ServerId, u32, Option<Demand>),
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        self.agree(io.now, demand);
        let offers = self.session.exchange() != Exchange::Theirs;
        // It may be the offer of an UPDATE, which gets its own answer.
        let tag = self.dialog.local_tag();
        let asks = |asked: &PendingUas| asked.offered && asked.branch.as_deref() == Some(tag);
        let updates = self.asked.iter().any(asks);
        match sdp_of(content) {
            Some(sdp) if offers => _ = self.session.offer(sdp),
            Some(sdp) => _ = self.session.answer(sdp),
            // An answer may have stood in a 18x already.
            None if !offers && !updates => self.session.answered_before(),
            None => {}
        }
        let body = body_of(content, self.session.last_sent());
        let (settings, flow) = (&io.core.settings, self.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Allow, ALLOW);
            settings.supported().write(&mut writer);
            write_demand(&mut writer, demand);
            writer.header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, content);
            writer.finish(body)
        };
        let tag = Some(self.dialog.local_tag());
        let sent = io.core.table.respond(io.now, server, 200, tag, &mut io.core.outbox, write);
        let unacked = Unacked {
            server,
            cseq,
            at: io.now + T1,
            interval: T1,
            until: io.now + T1X64,
            offered: offers && sdp_of(content).is_some(),
            bye: None,
        };
        self.unacked = Some(Box::new(unacked));
        sent.map_err(|_| Gone)
    }

    /// An ACK in a dialog: of our 2xx, or a copy.
    pub(crate) fn on_ack(&mut self, io: &mut Io<'_>, message: &Message<'_>) -> Option<Event> {
        let unacked = self.unacked.take_if(|unacked| unacked.cseq == message.cseq().number)?;
        io.core.table.acknowledged(unacked.server);
        if unacked.offered {
            match self.session.answer_in(message) {
                Some(answer) => self.session.answered(answer),
                None => self.session.refused(),
            }
        }
        let closing = matches!(self.usage, Usage::Closing);
        if closing {
            let fields = unacked.bye.as_deref().unwrap_or_default();
            self.send_bye(io, &Content { fields, ..Content::default() });
        }
        if closing { None } else { self.told(Event::Confirmed { leg: io.id }) }
    }

    /// The peer is about to end its leg by itself: no BYE of ours for an ACK that is missing until then.
    pub(crate) fn leave_to_peer(&mut self, until: Time) {
        if let Some(unacked) = &mut self.unacked {
            unacked.until = unacked.until.max(until);
        }
    }

    /// Our 2xx is due: again, or no more (RFC 3261 §13.3.1.4).
    pub(super) fn unacked_due(&mut self, io: &mut Io<'_>) {
        let Some(unacked) = &mut self.unacked else { return };
        if io.now < unacked.until {
            if unacked.at <= io.now {
                io.core.table.respond_again(unacked.server, &mut io.core.outbox);
                unacked.interval = (unacked.interval * 2).min(T2);
                unacked.at = io.now + unacked.interval;
            }
            return;
        }
        io.core.table.acknowledged(unacked.server);
        let bye = self.unacked.take().and_then(|unacked| unacked.bye);
        let closing = matches!(self.usage, Usage::Closing);
        self.usage = Usage::Closing;
        let fields = bye.as_deref().unwrap_or_default();
        self.send_bye(io, &Content { fields, ..Content::default() });
        if !closing {
            self.tell(io, Event::Unconfirmed { leg: io.id });
        }
    }

    /// The INVITE was not answered in the time that it gave: 487, as if the caller had cancelled it (RFC 3261 §13.3.1).
    pub(super) fn expires_due(&mut self, io: &mut Io<'_>) {
        let Usage::Offered(offered) = &self.usage else { return };
        let product = &io.core.settings.product;
        let (server, tag) = (offered.server, Some(self.response_tag()));
        // A CANCEL that crosses it finds its answer given.
        let _ = io.core.table.respond(io.now, server, 487, tag, &mut io.core.outbox, |mut writer| {
            writer.header(Name::Server, product.as_bytes());
            writer.finish(None)
        });
        self.usage = Usage::Over;
        self.tell(io, Event::Cancelled { leg: io.id });
    }

    /// The last 18x is due again.
    pub(super) fn repeat_due(&mut self, io: &mut Io<'_>) {
        let Usage::Offered(offered) = &mut self.usage else { return };
        io.core.table.respond_again(offered.server, &mut io.core.outbox);
        offered.repeat_at = Some(io.now + PROGRESS_REPEAT);
    }
}

impl Offered {
    /// The early dialog of a party, which is the one that is heard from now on: the last. A new one gets `tag`, and a session
    /// in which only the INVITE's offer is known.
    pub(crate) fn party(
        &mut self,
        number: u8,
        tag: crate::sip::ident::Text,
        session: &Session,
    ) -> &mut EarlyUas {
        let last = self.parties.len().saturating_sub(1);
        match self.parties.iter().position(|party| party.number == number) {
            Some(place) => self.parties.swap(place, last),
            None => {
                let (remote_cseq, session) = (Some(self.cseq), session.clone());
                self.parties.push(EarlyUas { number, tag, remote_cseq, session, answered: false });
            }
        }
        let last = self.parties.len() - 1;
        &mut self.parties[last]
    }
}

impl Leg {
    /// What a message of the peer's says of the methods that it takes.
    pub(super) fn note_allow(&mut self, message: &Message<'_>) {
        if message.header(Name::Allow).is_some() {
            self.updates = names(message, Name::Allow, Method::Update.as_str());
        }
    }
}
