//! A leg of ours before it is answered (RFC 3261 §13.2), and the ACK of every 2xx to an INVITE of ours.

use super::content::{Content, body_of, sdp_of};
use super::event::{Event, Gone, Origin, Patience};
use super::pending::{Accepted, Acknowledged, BRANCHES, ForkBranch, Invite, Kind, PendingUac};
use super::reach::Reach;
use super::send::{Ack, Request};
use super::tries::fault_of;
use super::usage::{Calling, EarlyUac, Usage};
use super::{Leg, carry};
use crate::sip::core::{Core, Io};
use crate::sip::dialog::{Dialog, Parts};
use crate::sip::flow::Flow;
use crate::sip::offer_answer::{Exchange, Session};
use crate::sip::timing::{T1X64, TIMER_C, Time};
use crate::sip::transaction::ClientId;
use crate::wire::sdp::declined;
use crate::wire::{Framing, Index, Message, Name, identify, push_quoted, uri};
use smallvec::SmallVec;

/// A new leg of ours.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// Where the INVITE goes; of several the next is tried on silence, a transport fault or 503 (RFC 3263 §4.3). Those
    /// where nobody was just now come last.
    pub flows: &'a [Flow],
    /// How long silence lasts.
    pub patience: Patience,
    /// How the peer is reached.
    pub reach: Reach,
    /// Request-URI.
    pub uri: &'a [u8],
    /// The To URI (without tag).
    pub to: &'a [u8],
    /// User part of the From URI, at our advertised host; percent-encoded as needed here. None: anonymous.
    pub from_user: Option<&'a [u8]>,
    /// Display name of From.
    pub from_display: Option<&'a [u8]>,
    /// Max-Forwards as it is to stand on the wire.
    pub max_forwards: u8,
    /// Slot of the call: the Call-ID that is minted carries it.
    pub slot: u16,
    /// Whose leg it is: an index into [`crate::sip::Settings::parties`].
    pub party: Option<u16>,
    /// Whether the flows are places that the party's password is for: challenges in the leg are answered.
    pub digest: bool,
    /// Headers and offer.
    pub content: Content<'a>,
}

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
impl Leg {
    /// A leg of ours that is to call the first of the flows.
    pub(crate) fn to_call(core: &mut Core, now: Time, connect: &Connect<'_>) -> Leg {
        let mut others: SmallVec<[Flow; 2]> = connect.flows.iter().copied().collect();
        core.quarantine.order(now, &mut others);
        others.reverse();
        let first = others.pop().unwrap_or(NOWHERE);
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
        Leg::of_ours(core, connect, first, Usage::Calling(Box::new(calling)))
    }

    /// The INVITE of a leg of ours.
    pub(crate) fn call(&mut self, io: &mut Io<'_>, connect: &Connect<'_>) {
        let sent = io.core.next_sent();
        if connect.flows.is_empty() {
            self.usage = Usage::Over;
            self.tell(io, Event::Refused { leg: io.id, status: 503, origin: Origin::Local });
            return;
        }
        let offered = sdp_of(&connect.content).map(|sdp| self.session.offer(sdp)).is_some();
        let request = Request {
            kind: Kind::invite(offered),
            id: sent,
            max_forwards: connect.max_forwards,
            body: body_of(&connect.content, b""),
            branch: None,
        };
        self.send_request(io, request, &|writer| carry::write(writer, &connect.content));
    }

    /// A leg with identifiers of its own, in which nothing was sent yet.
    pub(super) fn of_ours(core: &mut Core, connect: &Connect<'_>, flow: Flow, usage: Usage) -> Leg {
        let (call_id, tag) = (core.ident.sip_call_id(connect.slot), core.ident.tag());
        let host = core.settings.listeners.get(usize::from(flow.listener));
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
        leg.local_cseq = core.ident.cseq();
        leg.belongs_to(connect.party, connect.digest);
        leg.set_reach(connect.reach);
        leg
    }

    /// What [`crate::sip::Stack::acknowledge`] does.
    pub(crate) fn acknowledge(&mut self, io: &mut Io<'_>, content: Content<'_>) -> Result<(), Gone> {
        let sent = self.unanswered().ok_or(Gone)?;
        self.acknowledge_sent(io, sent, &content);
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
impl Leg {
    pub(super) fn on_provisional(
        &mut self,
        io: &mut Io<'_>,
        client: ClientId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let status = message.status()?;
        if !self.try_answered(io, client) {
            return None;
        }
        let sent = self.sent.iter_mut().find(|sent| sent.client == client)?;
        let invite = sent.invite_mut()?;
        if status > 100 || invite.expires.is_none() {
            invite.expires = Some(io.now + TIMER_C);
        }
        if invite.offered && status > 100 && message.has_sdp() {
            invite.note_said(message.to_tag().unwrap_or(b""), message.body());
        }
        let Usage::Calling(calling) = &mut self.usage else { return None };
        if status == 100 {
            return None;
        }
        calling.ringing = true;
        let over = calling.cancelled.is_some() || calling.quiet;
        self.note_allow(message);
        let new = self.take_reliable(io, message);
        if over || !new { None } else { self.told(Event::Progress { leg: io.id, status }) }
    }

    /// Timer C (RFC 3261 §16.6 step 11): an INVITE that is provisionally answered for ever is cancelled.
    pub(super) fn expire_due(&mut self, io: &mut Io<'_>) {
        for sent in &mut self.sent {
            let due = |invite: &mut Invite| invite.expires.take_if(|at| *at <= io.now);
            if sent.invite_mut().and_then(due).is_some() {
                io.core.table.cancel(io.now, sent.client, b"", &mut io.core.outbox);
            }
        }
        // One that waits for its answer stays: it is acknowledged in the end, however late.
        let waits = |accepted: &Accepted| accepted.ack.is_none() || io.now < accepted.until;
        // Nobody can have seen an ACK that could not be sent, however often the peer has asked for it.
        let lost = |sent: &PendingUac| {
            let failed = |it: &Accepted| it.acknowledged == Acknowledged::Failed && it.until <= io.now;
            sent.kind.is_invite() && sent.accepted().is_some_and(failed)
        };
        let lost = self.sent.iter().any(lost);
        self.sent.retain(|sent| sent.accepted().is_none_or(waits));
        if lost {
            self.lose(io, (503, Origin::Local));
        }
    }

    /// The INVITE failed for good.
    pub(super) fn on_refused(&mut self, io: &mut Io<'_>, outcome: (u16, Origin)) -> Option<Event> {
        // What somebody has said counts, and not that another address was silent or had nobody.
        let beside = self.refused_beside().filter(|_| outcome.1 == Origin::Local);
        let (status, origin) = beside.unwrap_or(outcome);
        let usage = std::mem::replace(&mut self.usage, Usage::Over);
        self.session.refused();
        let Usage::Calling(calling) = usage else { return None };
        if let Some(fault) = fault_of((status, origin), &calling) {
            self.aside.get_or_insert_default().fault.get_or_insert(fault);
        }
        let event = match calling.cancelled {
            _ if calling.quiet => return None,
            Some(_) => Event::Closed { leg: io.id, status, origin },
            None => Event::Refused { leg: io.id, status, origin },
        };
        self.told(event)
    }

    /// The first 2xx to the INVITE that made the leg.
    pub(super) fn on_accepted(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        if sent.is_unwanted() || !matches!(self.usage, Usage::Calling(_)) {
            self.end_unwanted(io, sent, message);
            return None;
        }
        self.prefer(io, (sent.client, sent.address()));
        let usage = std::mem::replace(&mut self.usage, Usage::Confirmed);
        let Usage::Calling(calling) = usage else {
            self.usage = usage;
            return None;
        };
        self.dialog = self.dialog.confirmed(message);
        self.note_allow(message);
        self.agreed(io.now, io.core.settings.session_timer, message);
        let answers = |early: &EarlyUac| early.dialog.remote_tag() == message.to_tag().unwrap_or(b"");
        let (own, others): (Vec<EarlyUac>, Vec<EarlyUac>) = calling.early.into_iter().partition(answers);
        self.local_cseq = sent.cseq;
        if let Some(early) = own.into_iter().next() {
            self.local_cseq = early.cseq;
            self.remote_cseq = early.remote_cseq;
            self.session = early.session;
        }
        let branch = |early: &EarlyUac| ForkBranch {
            tag: early.dialog.remote_tag().into(),
            cseq: early.cseq,
            ack: None,
        };
        let others = others.iter().map(branch).collect();
        // What is kept for another try is needed no more.
        let needs_answer = self.take_2xx(io, sent, message, others);
        self.aim(io);
        if let Some(place) = self.unanswered().filter(|_| !needs_answer) {
            self.acknowledge_sent(io, place, &Content::default());
        }
        let status = message.status()?;
        let Some(fields) = calling.cancelled else {
            return self.told(Event::Answered { leg: io.id, status, needs_answer });
        };
        // The CANCEL came too late (RFC 3261 §9.1): the call stands, and is ended as one.
        let quiet = calling.quiet;
        self.close_answered(io, &Content { fields: &fields, ..Content::default() });
        self.quiet |= quiet;
        None
    }

    /// What a 2xx to an INVITE or re-INVITE of ours does to the session; the ACK is still to be sent. True if the 2xx
    /// carries an offer.
    pub(super) fn take_2xx(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        message: &Message<'_>,
        others: Vec<ForkBranch>,
    ) -> bool {
        let tag = message.to_tag().unwrap_or(b"");
        let offered = sent.kind.offers();
        if offered {
            // After an answer in a reliable provisional response the turn may be that of an UPDATE.
            let said = sent.invite().and_then(|invite| invite.said(tag));
            let settled = sent.kind.is_invite() && !self.session.remote().is_empty();
            match self.session.answer_in(message) {
                _ if settled && self.session.exchange() != Exchange::Idle => {}
                Some(answer) if settled => self.session.restated(answer),
                Some(answer) => self.session.answered(answer),
                None if settled => {}
                // What it said before is the answer (RFC 3261 §13.2.1), though a 2xx should say it again.
                None => match said.filter(|said| self.session.is_answered_by(said)) {
                    Some(said) => self.session.answered(said),
                    None => self.session.refused(),
                },
            }
        } else if message.has_sdp() {
            self.session.offered(message.body());
        }
        let needs_answer = !offered && message.has_sdp();
        self.keep_accepted(io, sent, tag, others);
        needs_answer
    }

    /// Keeps an accepted INVITE of ours for as long as its 2xx may come again.
    pub(super) fn keep_accepted(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        tag: &[u8],
        others: Vec<ForkBranch>,
    ) {
        let credentials = sent.credentials(&mut io.core.index);
        let (tag, acknowledged, by_source) = (tag.into(), Acknowledged::Waiting, false);
        let until = io.now + T1X64;
        let accepted = Accepted { tag, ack: None, acknowledged, by_source, credentials, others, until };
        self.sent.reserve_exact(1);
        self.sent.push(sent.accept(accepted));
    }

    /// Sends the ACK of the 2xx to the request at `place`: with an answer if the 2xx carried an offer.
    pub(super) fn acknowledge_sent(&mut self, io: &mut Io<'_>, place: usize, content: &Content<'_>) {
        let Some(sent) = self.sent.get(place) else { return };
        // It may be the offer of an UPDATE that waits, which gets its own answer.
        let answers = !sent.kind.offers() && self.session.exchange() == Exchange::Theirs;
        match sdp_of(content) {
            Some(sdp) if answers => _ = self.session.answer(sdp),
            None if answers => {
                let refusal = declined(self.session.proposed().unwrap_or(self.session.remote()));
                self.session.answer(&refusal);
            }
            Some(_) | None => {}
        }
        let ack = Ack {
            name: io.ack_id(self.flow),
            dialog: &self.dialog,
            flow: self.flow,
            cseq: sent.cseq,
            answer: if answers { self.session.last_sent() } else { b"" },
            credentials: sent.accepted().map_or(&[], |accepted| &accepted.credentials),
        };
        let ack = self.send_ack(io, &ack, content);
        let flow = self.flow;
        if let Some(accepted) = self.sent.get_mut(place).and_then(PendingUac::accepted_mut) {
            accepted.ack = Some((flow, ack));
            accepted.acknowledged = Acknowledged::on(flow);
        }
    }

    /// Another 2xx to an INVITE of ours: the same once more gets the same ACK, that of another branch of a fork is
    /// acknowledged and ended, once (RFC 3261 §13.2.2.4).
    pub(super) fn on_2xx_again(&mut self, io: &mut Io<'_>, client: ClientId, message: &Message<'_>) {
        let Some(place) = self.sent.iter().position(|sent| sent.client == client) else { return };
        let sent = &self.sent[place];
        let Some(accepted) = sent.accepted() else { return };
        let tag = message.to_tag().unwrap_or(b"");
        if tag == &*accepted.tag {
            return self.acknowledge_again(io, place);
        }
        let other = accepted.others.iter().find(|branch| &*branch.tag == tag);
        if let Some((flow, ack)) = other.and_then(|branch| branch.ack.as_ref()) {
            return io.core.outbox.copy(0, *flow, ack);
        }
        let (cseq, credentials) = (sent.cseq, &*accepted.credentials);
        let last = other.map_or(cseq, |branch| branch.cseq);
        let dialog = self.dialog.confirmed(message);
        let flow = dialog.hop(self.flow, None, &io.core.settings.listeners).or(self.flow);
        let refusal = if sent.kind.offers() { Vec::new() } else { declined(message.body()) };
        let ack = Ack { name: 0, dialog: &dialog, flow, cseq, answer: &refusal, credentials };
        let ack = self.send_ack(io, &ack, &Content::default());
        io.core.send_stray_bye(io.now, &dialog, flow, last.wrapping_add(1));
        if let Some(accepted) = self.sent.get_mut(place).and_then(PendingUac::accepted_mut) {
            accepted.others.retain(|branch| &*branch.tag != tag);
            if accepted.others.len() < BRANCHES {
                let cseq = last.wrapping_add(1);
                accepted.others.push(ForkBranch { tag: tag.into(), cseq, ack: Some((flow, ack)) });
            }
        }
    }
}

impl Session {
    /// The answer to our offer that a response carries. None: it carries none, or nothing that could be one.
    pub(super) fn answer_in<'a>(&self, message: &Message<'a>) -> Option<&'a [u8]> {
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
