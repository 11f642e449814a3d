//! The caller's leg before it is answered (RFC 3261 §13.3), and what every 2xx of ours to an INVITE needs.

use super::presence::Presence;
use super::reliable::{Reliable, names};
use super::send::{body_of, sdp_of, write_contact};
use super::session_timer::{Demand, TooShort, demand, write_demand};
use super::usage::{EarlyUas, Leg, Offered, PendingUas, Unacked, Usage};
use super::{Body, Content, Event, LegId, RequestId, carry};
use crate::sip::dialog::{Dialog, Parts, route_set_of_uas};
use crate::sip::durations::PROGRESS_REPEAT;
use crate::sip::flow::Flow;
use crate::sip::offer_answer::{Exchange, Session};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::{Now, T1, T1X64, T2, Time};
use crate::sip::transaction::ServerId;
use crate::wire::grammar;
use crate::wire::headers::{ALLOW, APPLICATION_SDP, RELIABLE};
use crate::wire::{Message, Method, Name, NameAddr, Uri, Writer};
use smallvec::SmallVec;
use std::time::Duration;

/// Why a body is not taken.
pub(crate) const UNREADABLE: &str = "its body is not taken: see Accept and Accept-Encoding";
const NO_SIP: &str = "the scheme of its Request-URI is none that can be called";
const OURS: &str = "it is a call of Baton's own that came back";
const NO_HOPS: &str = "its Max-Forwards is 0";
const NO_CONTACT: &str = "there is no Contact";
const TOO_SHORT: &str = "its session expires too soon: see Min-SE";

/// The tag that our responses to the INVITE carry by now.
pub(crate) fn tag_of(leg: &Leg) -> &[u8] {
    match &leg.usage {
        Usage::Offered(offered) => {
            offered.parties.last().map_or(leg.dialog.local_tag(), |party| party.tag.as_bytes())
        }
        _ => leg.dialog.local_tag(),
    }
}

/// A name-addr of a dialog: display name and `<URI>`, no parameters.
pub(crate) fn address(of: &NameAddr<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(of.display.len() + of.uri.bytes.len() + 3);
    text.extend_from_slice(of.display);
    if !of.display.is_empty() {
        text.push(b' ');
    }
    text.push(b'<');
    text.extend_from_slice(of.uri.bytes);
    text.push(b'>');
    text
}

/// Whether the body of a request is one that Baton carries for an INVITE or UPDATE.
pub(crate) fn carries(message: &Message<'_>) -> bool {
    let identity = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
    message.body().is_empty()
        || (message.has_sdp() && message.header(Name::ContentEncoding).is_none_or(identity))
}

/// What a 415 says.
pub(crate) fn write_acceptable(writer: &mut Writer<'_>) {
    writer.header(Name::Accept, APPLICATION_SDP).header(Name::AcceptEncoding, "identity");
}

// The INVITE.
impl Stack {
    /// A new INVITE from a known source.
    pub(crate) fn on_invite(&mut self, now: Time, flow: Flow, message: &Message<'_>) -> Option<Event> {
        if !message.uri().is_ok_and(|uri| takes(&uri)) {
            return self.refuse(now, flow, message, (416, NO_SIP), &|_| ());
        }
        // A Call-ID of ours in a call to us: it came back.
        if self.find_leg(message.call_id(), |leg| leg.outgoing).is_some() {
            return self.refuse(now, flow, message, (482, OURS), &|_| ());
        }
        if let Some(event) = self.refuse_extension(now, flow, message) {
            return event;
        }
        if !carries(message) {
            return self.refuse(now, flow, message, (415, UNREADABLE), &write_acceptable);
        }
        if message.max_forwards() == Some(0) {
            return self.refuse(now, flow, message, (483, NO_HOPS), &|_| ());
        }
        let Some(contact) = message.contact() else {
            return self.refuse(now, flow, message, (400, NO_CONTACT), &|_| ());
        };
        let demand = match demand(self.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => return self.refuse_short(now, flow, message, short),
        };
        let server = self.table.open(now, flow, message, None);
        let mut leg = self.caller_leg(flow, message, contact.uri.bytes, server);
        if let Usage::Offered(offered) = &mut leg.usage {
            offered.demand = demand;
            offered.expires = expires(message).map(|after| now + after);
        }
        let id = self.add_leg(leg);
        self.table.set_owner(server, Some(id));
        // It was opened just now, so it is open.
        let _ = self.table.respond(now, server, 100, None, &mut self.outbox, |writer| writer.finish(None));
        self.aim(id);
        Some(Event::Incoming { leg: id })
    }

    /// 422 to an INVITE or UPDATE whose session would expire too soon (RFC 4028 §9).
    pub(crate) fn refuse_short(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        TooShort(least): TooShort,
    ) -> Option<Event> {
        self.refuse(now, flow, message, (422, TOO_SHORT), &|writer| {
            writer.begin(Name::MinSe).push_number(least.into());
        })
    }

    fn caller_leg(&mut self, flow: Flow, message: &Message<'_>, target: &[u8], server: ServerId) -> Leg {
        let tag = self.ident.tag();
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
            names(message, Name::Require, RELIABLE).then(|| Box::new(Reliable::new(self.ident.cseq())));
        let parties = SmallVec::new();
        let offered =
            Offered { server, cseq, parties, repeat_at: None, reliable, demand: None, expires: None };
        let mut leg = Leg::new(dialog, flow, Usage::Offered(Box::new(offered)));
        leg.local_cseq = self.ident.cseq();
        leg.remote_cseq = Some(cseq);
        leg.note_allow(message);
        if let Some(asserted) = self.assertion(message) {
            leg.aside.get_or_insert_default().asserted = Some(asserted);
        }
        if message.has_sdp() {
            leg.session.offered(message.body());
        }
        leg
    }

    /// The peer cancelled this INVITE; 200 and 487 are sent.
    pub(crate) fn on_cancelled(&mut self, id: LegId, invite: ServerId) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        match &leg.usage {
            Usage::Offered(offered) if offered.server == invite => {
                leg.usage = Usage::Over;
                self.told(id, Event::Cancelled { leg: id })
            }
            _ => {
                // A re-INVITE: the session stays as it was.
                let place = leg.asked.iter().position(|asked| asked.server == invite)?;
                if leg.asked.remove(place).offered {
                    leg.session.refused();
                }
                self.told(id, Event::Withdrawn { leg: id, request: RequestId(invite) })
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
impl Stack {
    /// 101-199. `party` numbers whom the caller hears: each party has its own To-tag (early dialog) of ours; the
    /// final answer uses its party's tag.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn provisional(
        &mut self,
        now: Now,
        leg: LegId,
        party: u8,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        let id = leg;
        let fresh = self.ident.tag();
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let Usage::Offered(offered) = &mut leg.usage else { return Err(Gone) };
        if offered.reliable.is_some() {
            return self.provisional_reliably(now.mono, id, party, status, &content);
        }
        let server = offered.server;
        offered.repeat_at = Some(now.mono + PROGRESS_REPEAT);
        let party = offered.party(party, fresh, &leg.session);
        if let Some(sdp) = sdp_of(&content) {
            party.session.preview(sdp);
        }
        let tag = party.tag;
        let body = body_of(&content, party.session.last_sent());
        let (settings, flow) = (&self.settings, leg.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Allow, ALLOW).header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, &content);
            writer.finish(body)
        };
        let sent =
            self.table.respond(now.mono, server, status, Some(tag.as_bytes()), &mut self.outbox, write);
        self.settle(now.mono, id);
        sent.map_err(|_| Gone)
    }

    /// 200 with the answer (or our offer, if the INVITE had none); retransmitted until ACK.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn answer(&mut self, now: Now, leg: LegId, party: u8, content: Content<'_>) -> Result<(), Gone> {
        self.legs.get(leg.into()).filter(|leg| matches!(leg.usage, Usage::Offered(_))).ok_or(Gone)?;
        if self.defer_accept(leg, party, &content) {
            return Ok(());
        }
        self.accept_as(now.mono, leg, party, &content)
    }

    /// The 2xx in the early dialog of a party.
    pub(crate) fn accept_as(
        &mut self,
        now: Time,
        id: LegId,
        party: u8,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let fresh = self.ident.tag();
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let Usage::Offered(offered) = &mut leg.usage else { return Err(Gone) };
        let (server, cseq, demand) = (offered.server, offered.cseq, offered.demand);
        let waiting = offered.reliable.as_deref().and_then(Reliable::waits_for);
        if let Some(rseq) = waiting {
            leg.aside.get_or_insert_default().overtaken = Some((rseq, cseq));
        }
        let party = offered.party(party, fresh, &leg.session);
        let (tag, answered) = (party.tag, party.answered);
        leg.remote_cseq = party.remote_cseq;
        leg.session = std::mem::take(&mut party.session);
        leg.dialog = Dialog::new(Parts { local_tag: tag.as_bytes(), ..leg.dialog.parts() });
        leg.usage = Usage::Confirmed;
        let body = if answered { Body::None } else { content.body };
        self.accept_invite(now, id, (server, cseq, demand), &Content { body, ..*content })
    }

    /// 300-699; [`Event::Closed`] follows with its ACK. Retry-After, or Contact for a 3xx, go in `content.fields`.
    ///
    /// # Errors
    /// The INVITE has its final response.
    pub fn reject(&mut self, now: Now, leg: LegId, status: u16, content: Content<'_>) -> Result<(), Gone> {
        let id = leg;
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let Usage::Offered(offered) = &leg.usage else { return Err(Gone) };
        let settings = &self.settings;
        let write = |mut writer: Writer<'_>| {
            writer.header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, &content);
            writer.finish(body_of(&content, sdp_of(&content).unwrap_or_default()))
        };
        let sent =
            self.table.respond(now.mono, offered.server, status, Some(tag_of(leg)), &mut self.outbox, write);
        leg.usage = if sent.is_ok() { Usage::Refusing } else { Usage::Over };
        leg.session.refused();
        self.settle(now.mono, id);
        sent.map_err(|_| Gone)
    }
}

// 2xx and ACK.
impl Stack {
    /// Sends our 200 to an INVITE or re-INVITE and waits for its ACK.
    pub(crate) fn accept_invite(
        &mut self,
        now: Time,
        id: LegId,
        (server, cseq, demand): (ServerId, u32, Option<Demand>),
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        leg.agree(now, demand);
        let offers = leg.session.exchange() != Exchange::Theirs;
        // It may be the offer of an UPDATE, which gets its own answer.
        let tag = leg.dialog.local_tag();
        let asks = |asked: &PendingUas| asked.offered && asked.branch.as_deref() == Some(tag);
        let updates = leg.asked.iter().any(asks);
        match sdp_of(content) {
            Some(sdp) if offers => _ = leg.session.offer(sdp),
            Some(sdp) => _ = leg.session.answer(sdp),
            // An answer may have stood in a 18x already.
            None if !offers && !updates => leg.session.answered_before(),
            None => {}
        }
        let body = body_of(content, leg.session.last_sent());
        let (settings, flow) = (&self.settings, leg.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Allow, ALLOW);
            settings.supported().write(&mut writer);
            write_demand(&mut writer, demand);
            writer.header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, content);
            writer.finish(body)
        };
        let tag = Some(leg.dialog.local_tag());
        let sent = self.table.respond(now, server, 200, tag, &mut self.outbox, write);
        let unacked = Unacked {
            server,
            cseq,
            at: now + T1,
            interval: T1,
            until: now + T1X64,
            offered: offers && sdp_of(content).is_some(),
            bye: None,
        };
        leg.unacked = Some(Box::new(unacked));
        self.settle(now, id);
        sent.map_err(|_| Gone)
    }

    /// An ACK in a dialog: of our 2xx, or a copy.
    pub(crate) fn on_ack(&mut self, now: Time, id: LegId, message: &Message<'_>) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let unacked = leg.unacked.take_if(|unacked| unacked.cseq == message.cseq().number)?;
        self.table.acknowledged(unacked.server);
        if unacked.offered {
            match leg.session.answer_in(message) {
                Some(answer) => leg.session.answered(answer),
                None => leg.session.refused(),
            }
        }
        let closing = matches!(leg.usage, Usage::Closing);
        if closing {
            let fields = unacked.bye.as_deref().unwrap_or_default();
            self.send_bye(now, id, &Content { fields, ..Content::default() });
        }
        self.settle(now, id);
        if closing { None } else { self.told(id, Event::Confirmed { leg: id }) }
    }

    /// The peer is about to end its leg by itself: no BYE of ours for an ACK that is missing until then.
    pub fn leave_to_peer(&mut self, now: Now, id: LegId, until: Time) {
        if let Some(unacked) = self.legs.get_mut(id.into()).and_then(|leg| leg.unacked.as_mut()) {
            unacked.until = unacked.until.max(until);
            self.settle(now.mono, id);
        }
    }

    /// Our 2xx is due: again, or no more (RFC 3261 §13.3.1.4).
    pub(crate) fn unacked_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Some(unacked) = &mut leg.unacked else { return };
        if now < unacked.until {
            if unacked.at <= now {
                self.table.respond_again(unacked.server, &mut self.outbox);
                unacked.interval = (unacked.interval * 2).min(T2);
                unacked.at = now + unacked.interval;
            }
            return;
        }
        self.table.acknowledged(unacked.server);
        let bye = leg.unacked.take().and_then(|unacked| unacked.bye);
        let closing = matches!(leg.usage, Usage::Closing);
        leg.usage = Usage::Closing;
        let fields = bye.as_deref().unwrap_or_default();
        self.send_bye(now, id, &Content { fields, ..Content::default() });
        if !closing {
            self.tell(id, Event::Unconfirmed { leg: id });
        }
    }

    /// The INVITE was not answered in the time that it gave: 487, as if the caller had cancelled it (RFC 3261 §13.3.1).
    pub(crate) fn expires_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Usage::Offered(offered) = &leg.usage else { return };
        if offered.expires.is_none_or(|at| now < at) {
            return;
        }
        let product = &self.settings.product;
        let (server, tag) = (offered.server, Some(tag_of(leg)));
        // A CANCEL that crosses it finds its answer given.
        let _ = self.table.respond(now, server, 487, tag, &mut self.outbox, |mut writer| {
            writer.header(Name::Server, product.as_bytes());
            writer.finish(None)
        });
        leg.usage = Usage::Over;
        self.tell(id, Event::Cancelled { leg: id });
    }

    /// The last 18x is due again.
    pub(crate) fn repeat_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Usage::Offered(offered) = &mut leg.usage else { return };
        if offered.repeat_at.is_some_and(|at| at <= now) {
            self.table.respond_again(offered.server, &mut self.outbox);
            offered.repeat_at = Some(now + PROGRESS_REPEAT);
        }
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
    pub(crate) fn note_allow(&mut self, message: &Message<'_>) {
        if message.header(Name::Allow).is_some() {
            self.updates = names(message, Name::Allow, Method::Update.as_str());
        }
    }

    /// A leg in that state, with nothing sent and nothing received.
    pub(crate) fn new(dialog: Dialog, flow: Flow, usage: Usage) -> Leg {
        Leg {
            dialog,
            session: Session::default(),
            usage,
            flow,
            local_cseq: 0,
            remote_cseq: None,
            outgoing: false,
            owner: None,
            digest: false,
            moves: true,
            released: false,
            quiet: false,
            sent: Vec::new(),
            asked: Vec::new(),
            unacked: None,
            aside: None,
            subscriptions: Vec::new(),
            referrals: Vec::new(),
            keepalive: None,
            presence: Presence::default(),
            timer: None,
            updates: false,
            armed: None,
        }
    }
}
