//! A leg of ours before it is answered (RFC 3261 §13.2), and the ACK of every 2xx to an INVITE of ours.

use super::accept::address;
use super::reliable::{BRANCHES, EarlyUac};
use super::send::{MAX_FORWARDS, Request, body_of, sdp_of};
use super::tries::fault_of;
use super::usage::{Accepted, Acknowledged, Calling, ForkBranch, Kind, Leg, PendingUac, Usage};
use super::{Connect, Content, Event, LegId, Origin, carry};
use crate::sip::dialog::{Dialog, Parts, route_set_of_uac};
use crate::sip::flow::Flow;
use crate::sip::offer_answer::{Exchange, Session};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::{Now, T1X64, TIMER_C, Time};
use crate::sip::transaction::{ClientId, Outgoing};
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::sdp::declined;
use crate::wire::{Framing, Index, Message, Method, Name, Writer, identify, push_quoted, uri};

/// From of a leg of ours.
fn from(connect: &Connect<'_>, host: &str) -> Vec<u8> {
    let Some(user) = connect.from_user else {
        // RFC 3323 §4.1.
        return b"\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_vec();
    };
    let mut text = Vec::with_capacity(64);
    if let Some(display) = connect.from_display.filter(|display| !display.is_empty()) {
        push_quoted(&mut text, display);
        text.push(b' ');
    }
    text.extend_from_slice(b"<sip:");
    uri::encode_user(&mut text, user);
    text.push(b'@');
    text.extend_from_slice(host.as_bytes());
    text.push(b'>');
    text
}

// Verbs.
impl Stack {
    /// INVITE to a new leg. What comes of it: [`Event::Progress`], then `Answered` or `Refused`.
    pub fn connect(&mut self, now: Now, connect: Connect<'_>) -> LegId {
        let mut others: smallvec::SmallVec<[Flow; 2]> = connect.flows.iter().copied().collect();
        self.quarantine.order(now.mono, &mut others);
        others.reverse();
        let first = others.pop();
        let calling = Calling {
            others,
            patience: connect.patience,
            provisional: false,
            passed: None,
            ringing: false,
            early: Vec::new(),
            cancelled: None,
            quiet: false,
        };
        let id = self.leg_of_ours(&connect, first.unwrap_or(NOWHERE), Usage::Calling(Box::new(calling)));
        let sent = self.next_sent();
        let Some(leg) = self.legs.get_mut(id.into()) else { return id };
        if first.is_none() {
            leg.usage = Usage::Over;
            self.tell(id, Event::Refused { leg: id, status: 503, origin: Origin::Local });
            return id;
        }
        let offer = sdp_of(&connect.content).map(|sdp| leg.session.offer(sdp).to_vec());
        let request = Request {
            method: Method::Invite,
            kind: Kind::Invite,
            id: sent,
            max_forwards: connect.max_forwards,
            offered: offer.is_some(),
            body: body_of(&connect.content, offer.as_deref().unwrap_or_default()),
            within: None,
        };
        self.send_request(now.mono, id, &request, &|writer| carry::write(writer, &connect.content));
        id
    }

    /// A leg with identifiers of its own, in which nothing was sent yet.
    pub(crate) fn leg_of_ours(&mut self, connect: &Connect<'_>, flow: Flow, usage: Usage) -> LegId {
        let (call_id, tag) = (self.ident.sip_call_id(connect.slot), self.ident.tag());
        let host = self.settings.listeners.get(usize::from(flow.listener));
        let host = host.map_or("anonymous.invalid", |listener| &listener.advertised);
        let dialog = Dialog::new(Parts {
            call_id: call_id.as_bytes(),
            local_tag: tag.as_bytes(),
            remote_tag: b"",
            local: &from(connect, host),
            remote: &[b"<", connect.to, b">"].concat(),
            target: connect.uri,
            routes: b"",
        });
        let mut leg = Leg::new(dialog, flow, usage);
        leg.outgoing = true;
        leg.local_cseq = self.ident.cseq();
        leg.belongs_to(connect.party, connect.digest);
        leg.set_reach(connect.reach);
        self.add_leg(leg)
    }

    /// ACK for a 2xx that carried an offer (to our INVITE or re-INVITE): with the answer. Without one every stream is
    /// declined.
    ///
    /// # Errors
    /// No 2xx waits for its ACK.
    pub fn acknowledge(&mut self, now: Now, leg: LegId, content: Content<'_>) -> Result<(), Gone> {
        let sent = self.legs.get(leg.into()).and_then(Leg::unanswered).ok_or(Gone)?;
        self.acknowledge_sent(leg, sent, &content);
        self.settle(now.mono, leg);
        Ok(())
    }
}

/// A flow that no message is ever sent by.
const NOWHERE: Flow = Flow {
    transport: crate::sip::flow::Transport::Udp,
    listener: 0,
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
    connection: 0,
};

// Responses to the INVITE.
impl Stack {
    pub(crate) fn on_provisional(
        &mut self,
        now: Time,
        id: LegId,
        client: ClientId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let status = message.status()?;
        if !self.try_answered(now, id, client) {
            return None;
        }
        let leg = self.legs.get_mut(id.into())?;
        let sent = leg.sent.iter_mut().find(|sent| sent.client == client)?;
        if !matches!(sent.kind, Kind::Invite | Kind::Modify) {
            return None;
        }
        if status > 100 || sent.expires.is_none() {
            sent.expires = Some(now + TIMER_C);
        }
        if sent.offered && status > 100 && message.has_sdp() {
            sent.note_said(message.to_tag().unwrap_or(b""), message.body());
        }
        let Usage::Calling(calling) = &mut leg.usage else { return None };
        if status == 100 {
            return None;
        }
        calling.ringing = true;
        let over = calling.cancelled.is_some() || calling.quiet;
        leg.note_allow(message);
        let new = self.take_reliable(now, id, message);
        if over || !new { None } else { self.told(id, Event::Progress { leg: id, status }) }
    }

    /// Timer C (RFC 3261 §16.6 step 11): an INVITE that is provisionally answered for ever is cancelled.
    pub(crate) fn expire_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        for sent in &mut leg.sent {
            if sent.expires.is_some_and(|at| at <= now) {
                sent.expires = None;
                self.table.cancel(now, sent.client, b"", &mut self.outbox);
            }
        }
        // One that waits for its answer stays: it is acknowledged in the end, however late.
        let waits = |accepted: &Accepted| accepted.ack.is_none() || now < accepted.until;
        // Nobody can have seen an ACK that could not be sent, however often the peer has asked for it.
        let lost = |sent: &PendingUac| {
            let failed = |it: &Accepted| it.acknowledged == Acknowledged::Failed && it.until <= now;
            sent.kind == Kind::Invite && sent.accepted.as_deref().is_some_and(failed)
        };
        let lost = leg.sent.iter().any(lost);
        leg.sent.retain(|sent| sent.accepted.as_deref().is_none_or(waits));
        if lost {
            self.lose(id, (503, Origin::Local));
        }
    }

    /// The INVITE failed for good.
    pub(crate) fn on_refused(&mut self, id: LegId, outcome: (u16, Origin)) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        // What somebody has said counts, and not that another address was silent or had nobody.
        let beside = leg.refused_beside().filter(|_| outcome.1 == Origin::Local);
        let (status, origin) = beside.unwrap_or(outcome);
        let usage = std::mem::replace(&mut leg.usage, Usage::Over);
        leg.session.refused();
        let Usage::Calling(calling) = usage else { return None };
        if let Some(fault) = fault_of((status, origin), &calling) {
            leg.aside.get_or_insert_default().fault.get_or_insert(fault);
        }
        let event = match calling.cancelled {
            _ if calling.quiet => return None,
            Some(_) => Event::Closed { leg: id, status, origin },
            None => Event::Refused { leg: id, status, origin },
        };
        self.told(id, event)
    }

    /// The first 2xx to the INVITE that made the leg.
    pub(crate) fn on_accepted(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        if sent.attempt.is_unwanted() || !matches!(leg.usage, Usage::Calling(_)) {
            self.end_unwanted(now, id, sent, message);
            return None;
        }
        self.prefer(now, id, (sent.client, sent.address()));
        let leg = self.legs.get_mut(id.into())?;
        let usage = std::mem::replace(&mut leg.usage, Usage::Confirmed);
        let Usage::Calling(calling) = usage else {
            leg.usage = usage;
            return None;
        };
        leg.dialog = confirmed(&leg.dialog, message);
        leg.note_allow(message);
        leg.agreed(now, self.settings.session_timer, message);
        let answers = |early: &EarlyUac| early.dialog.remote_tag() == message.to_tag().unwrap_or(b"");
        let (own, others): (Vec<EarlyUac>, Vec<EarlyUac>) = calling.early.into_iter().partition(answers);
        leg.local_cseq = sent.cseq;
        if let Some(early) = own.into_iter().next() {
            leg.local_cseq = early.cseq;
            leg.remote_cseq = early.remote_cseq;
            leg.session = early.session;
        }
        let branch = |early: &EarlyUac| ForkBranch {
            tag: early.dialog.remote_tag().into(),
            cseq: early.cseq,
            ack: None,
        };
        let others = others.iter().map(branch).collect();
        // What is kept for another try is needed no more.
        let needs_answer = self.take_2xx(now, id, sent, message, others);
        self.aim(id);
        if !needs_answer {
            let place = self.legs.get(id.into()).and_then(Leg::unanswered);
            if let Some(place) = place {
                self.acknowledge_sent(id, place, &Content::default());
            }
        }
        let status = message.status()?;
        let Some(fields) = calling.cancelled else {
            return self.told(id, Event::Answered { leg: id, status, needs_answer });
        };
        // The CANCEL came too late (RFC 3261 §9.1): the call stands, and is ended as one.
        let quiet = calling.quiet;
        self.close_answered(now, id, &Content { fields: &fields, ..Content::default() });
        if let (true, Some(leg)) = (quiet, self.legs.get_mut(id.into())) {
            leg.quiet = true;
        }
        None
    }

    /// What a 2xx to an INVITE or re-INVITE of ours does to the session; the ACK is still to be sent. True if the 2xx
    /// carries an offer.
    pub(crate) fn take_2xx(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        message: &Message<'_>,
        others: Vec<ForkBranch>,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let tag = message.to_tag().unwrap_or(b"");
        if sent.offered {
            // After an answer in a reliable provisional response the turn may be that of an UPDATE.
            let settled = sent.kind == Kind::Invite && !leg.session.remote().is_empty();
            match leg.session.answer_in(message) {
                _ if settled && leg.session.exchange() != Exchange::Idle => {}
                Some(answer) if settled => leg.session.restated(answer),
                Some(answer) => leg.session.answered(answer),
                None if settled => {}
                // What it said before is the answer (RFC 3261 §13.2.1), though a 2xx should say it again.
                None => match sent.said(tag).filter(|said| leg.session.is_answered_by(said)) {
                    Some(said) => leg.session.answered(said),
                    None => leg.session.refused(),
                },
            }
        } else if message.has_sdp() {
            leg.session.offered(message.body());
        }
        let needs_answer = !sent.offered && message.has_sdp();
        self.keep_accepted(now, id, sent, tag, others);
        needs_answer
    }

    /// Keeps an accepted INVITE of ours for as long as its 2xx may come again.
    pub(crate) fn keep_accepted(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        tag: &[u8],
        others: Vec<ForkBranch>,
    ) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let credentials = sent.credentials(&mut self.index);
        let (tag, acknowledged, by_source) = (tag.into(), Acknowledged::Waiting, false);
        let until = now + T1X64;
        let accepted = Accepted { tag, ack: None, acknowledged, by_source, credentials, others, until };
        leg.sent.reserve_exact(1);
        let accepted = Some(Box::new(accepted));
        leg.sent.push(PendingUac { accepted, request: None, expires: None, said: Vec::new(), ..sent });
    }

    /// Sends the ACK of the 2xx to the request at `place`: with an answer if the 2xx carried an offer.
    pub(crate) fn acknowledge_sent(&mut self, id: LegId, place: usize, content: &Content<'_>) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Some(sent) = leg.sent.get_mut(place) else { return };
        let cseq = sent.cseq;
        let credentials =
            sent.accepted.as_mut().map(|it| std::mem::take(&mut it.credentials)).unwrap_or_default();
        let mut answer = Vec::new();
        // It may be the offer of an UPDATE that waits, which gets its own answer.
        if !sent.offered && leg.session.exchange() == Exchange::Theirs {
            let refusal;
            let sdp = match sdp_of(content) {
                Some(sdp) => sdp,
                None => {
                    refusal = declined(leg.session.proposed().unwrap_or(leg.session.remote()));
                    &refusal
                }
            };
            answer.extend_from_slice(leg.session.answer(sdp));
        }
        let (dialog, flow) = (leg.dialog.clone(), leg.flow);
        let body = (!answer.is_empty()).then_some((APPLICATION_SDP.as_bytes(), answer.as_slice()));
        let name = Stack::ack_id(id, flow);
        let ack = self.send_ack((id, name), &dialog, flow, cseq, body, &|writer| {
            write_credentials(writer, &credentials);
            carry::write(writer, content);
        });
        let leg = self.legs.get_mut(id.into());
        let accepted = leg.and_then(|leg| leg.sent.get_mut(place)?.accepted.as_mut());
        if let Some(accepted) = accepted {
            (accepted.ack, accepted.credentials) = (Some((flow, ack)), credentials);
            accepted.acknowledged = Acknowledged::on(flow);
        }
    }

    /// Another 2xx to an INVITE of ours: the same once more gets the same ACK, that of another branch of a fork is
    /// acknowledged and ended, once (RFC 3261 §13.2.2.4).
    pub(crate) fn on_2xx_again(&mut self, now: Time, id: LegId, client: ClientId, message: &Message<'_>) {
        let Some(leg) = self.legs.get(id.into()) else { return };
        let Some(place) = leg.sent.iter().position(|sent| sent.client == client) else { return };
        let sent = &leg.sent[place];
        let Some(accepted) = &sent.accepted else { return };
        let tag = message.to_tag().unwrap_or(b"");
        if tag == &*accepted.tag {
            return self.acknowledge_again(id, place);
        }
        let other = accepted.others.iter().find(|branch| &*branch.tag == tag);
        if let Some((flow, ack)) = other.and_then(|branch| branch.ack.as_ref()) {
            return self.outbox.copy(0, *flow, ack);
        }
        let (cseq, flow, credentials) = (sent.cseq, leg.flow, accepted.credentials.clone());
        let last = other.map_or(cseq, |branch| branch.cseq);
        let dialog = confirmed(&leg.dialog, message);
        let flow = dialog.hop(flow, None, &self.settings.listeners).or(flow);
        let refusal = if sent.offered { Vec::new() } else { declined(message.body()) };
        let body = (!refusal.is_empty()).then_some((APPLICATION_SDP.as_bytes(), refusal.as_slice()));
        let ack = self
            .send_ack((id, 0), &dialog, flow, cseq, body, &|writer| write_credentials(writer, &credentials));
        self.send_stray_bye(now, &dialog, flow, last.wrapping_add(1));
        let leg = self.legs.get_mut(id.into());
        if let Some(accepted) = leg.and_then(|leg| leg.sent.get_mut(place)?.accepted.as_mut()) {
            accepted.others.retain(|branch| &*branch.tag != tag);
            if accepted.others.len() < BRANCHES {
                let cseq = last.wrapping_add(1);
                accepted.others.push(ForkBranch { tag: tag.into(), cseq, ack: Some((flow, ack)) });
            }
        }
    }

    /// BYE in a dialog that is no leg's; nobody waits for its answer.
    pub(crate) fn send_stray_bye(&mut self, now: Time, dialog: &Dialog, flow: Flow, cseq: u32) {
        let branch = self.ident.branch();
        let stack = (&*self.settings.listeners, &*self.settings.product);
        let head = (Method::Bye, MAX_FORWARDS, cseq);
        super::send::write_head(&mut self.scratch, stack, dialog, (flow, flow), head, &branch).finish(None);
        let scratch = &self.scratch;
        let method = Method::Bye.as_str().as_bytes();
        let outgoing = Outgoing { method, branch: &branch, owner: None, recallable: false, told: false };
        self.table.send(now, flow, outgoing, &mut self.outbox, |buf| buf.extend_from_slice(scratch));
    }
}

/// The dialog that a 2xx to our INVITE, or a 18x of a branch, makes (RFC 3261 §12.1.2).
pub(crate) fn confirmed(early: &Dialog, message: &Message<'_>) -> Dialog {
    let contact = message.contact();
    let parts = early.parts();
    let target = contact.map_or(parts.target, |contact| contact.uri.bytes);
    let routes = route_set_of_uac(message.headers(Name::RecordRoute));
    let remote_tag = message.to_tag().unwrap_or(b"");
    // The URI of To as we wrote it: the peer may have changed only its display name.
    let remote = address(&message.to());
    Dialog::new(Parts { remote_tag, remote: &remote, target, routes: &routes, ..parts })
}

fn write_credentials(writer: &mut Writer<'_>, credentials: &[(Name, Box<[u8]>)]) {
    for (name, value) in credentials {
        writer.header(*name, value);
    }
}

impl Session {
    /// The answer to our offer that a response carries. None: it carries none, or nothing that could be one.
    pub(crate) fn answer_in<'a>(&self, message: &Message<'a>) -> Option<&'a [u8]> {
        let sdp = message.has_sdp().then(|| message.body())?;
        self.is_answered_by(sdp).then_some(sdp)
    }
}

impl PendingUac {
    /// What it answered its challenges with.
    pub(crate) fn credentials(&self, index: &mut Index) -> Vec<(Name, Box<[u8]>)> {
        let kept = self.request.as_deref().filter(|_| !self.challenged.is_empty()).unwrap_or_default();
        let Ok(request) = identify(kept, index, Framing::Datagram) else { return Vec::new() };
        let is_one = |name: Name| matches!(name, Name::Authorization | Name::ProxyAuthorization);
        let all = request.all().filter(|header| is_one(header.name));
        all.map(|header| (header.name, header.value.into())).collect()
    }
}

/// The headers that `content` adds to a CANCEL, as whole lines.
pub(crate) fn lines(content: &Content<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    carry::write(&mut Writer::response(&mut buffer, 100, ""), content);
    let start = memchr::memchr(b'\n', &buffer).map_or(buffer.len(), |at| at + 1);
    buffer.drain(..start);
    buffer
}
