//! How requests of ours are written, sent, and sent again with credentials or by another flow.
//!
//! Not here: what a request is for. Called by everything in `leg/` that sends a request.

use super::content::Content;
use super::event::{Origin, SentId};
use super::pending::{Kind, PendingUac, Transit};
use super::reach::Large;
use super::reading::is_glare;
use super::session_timer::wanted;
use super::usage::Usage;
use super::write::{Again, MAX_FORWARDS, by_stream, rewrite, write_head};
use super::{Leg, carry};
use crate::sip::core::{Core, Io};
use crate::sip::dialog::{Dialog, Parts};
use crate::sip::durations::NO_STREAM;
use crate::sip::flow::{Flow, Transport};
use crate::sip::offer_answer::Session;
use crate::sip::settings::Supported;
use crate::sip::timing::Time;
use crate::sip::transaction::{Outgoing, UDP_LIMIT};
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::{Framing, Message, Method, Name, Writer, identify};
use std::borrow::Cow;
use std::time::Duration;

/// What a request is beside what its dialog gives it.
pub(crate) struct Request<'a> {
    pub(super) kind: Kind,
    pub(super) id: SentId,
    /// As it is to stand on the wire.
    pub(super) max_forwards: u8,
    /// Content-Type and body; one that offers has the offer that the session has just made.
    pub(super) body: Option<(&'a [u8], &'a [u8])>,
    /// The early dialog that it goes in (see `Leg::session_in`).
    pub(super) branch: Option<Box<[u8]>>,
}

/// An ACK of a 2xx (RFC 3261 §13.2.2.4).
pub(crate) struct Ack<'a> {
    /// Of its transmit; 0: nobody is told.
    pub(super) name: u64,
    pub(super) dialog: &'a Dialog,
    pub(super) flow: Flow,
    /// Of the INVITE.
    pub(super) cseq: u32,
    /// To the offer of the 2xx; empty: it made none.
    pub(super) answer: &'a [u8],
    /// What the INVITE answered its challenges with.
    pub(super) credentials: &'a [(Name, Box<[u8]>)],
}

/// How often a request is sent again that another one has overtaken.
const OVERTAKEN: u8 = 3;

// Sending.
impl Leg {
    /// Sends a request in the dialog; `fill` adds its headers (it may be asked twice).
    pub(super) fn send_request(
        &mut self,
        io: &mut Io<'_>,
        request: Request<'_>,
        fill: &dyn Fn(&mut Writer<'_>),
    ) -> SentId {
        let branch = io.core.ident.branch();
        let cseq = self.next_cseq(request.branch.as_deref());
        let settings = &io.core.settings;
        let listeners = &settings.listeners;
        let (dialog, mut flow, session) = self.path(request.branch.as_deref());
        let body = match request.kind.offers() {
            true => Some((APPLICATION_SDP.as_bytes(), session.last_sent())),
            false => request.body,
        };
        let by_streams = self.reach().large == Large::Tcp;
        let mut write = |via: Flow| {
            let head = (request.kind.method(), request.max_forwards, cseq);
            let stack = (&**listeners, &*settings.product);
            let mut writer =
                write_head(&mut io.core.scratch, stack, &dialog, (via, self.flow), head, &branch);
            match &request.kind {
                Kind::Invite { .. } | Kind::Modify { .. } | Kind::Update { .. } => {
                    // Who is sent no offer would have to send one in its first reliable response.
                    let reliable = request.kind.is_invite() && request.kind.offers();
                    Supported { reliable, ..settings.supported() }.write(&mut writer);
                    self.write_timer(&mut writer, settings.session_timer, &request.kind);
                }
                Kind::Probe | Kind::KeepAlive | Kind::Check { .. } => settings.supported().write(&mut writer),
                Kind::Info | Kind::Refer | Kind::Notify(_) | Kind::Prack | Kind::Bye => {}
            }
            fill(&mut writer);
            writer.finish(body)
        };
        let mut fallback = None;
        let long = write(flow) > UDP_LIMIT && flow.transport == Transport::Udp;
        let quarantine = &io.core.quarantine;
        let takes = |stream: &Flow| long && by_streams && !quarantine.holds(io.now, stream);
        if let Some(stream) = by_stream(flow, listeners).filter(takes) {
            write(stream);
            (fallback, flow) = (Some(flow), stream);
        }
        let timed = settings.session_timer.is_some()
            && matches!(request.kind, Kind::Invite { .. } | Kind::Update { .. });
        let bound =
            settings.answers(self) || fallback.is_some() || self.source().is_some() || self.has_other_flows();
        let again = bound || timed || request.kind.is_modify();
        let (scratch, outbox) = (&io.core.scratch, &mut io.core.outbox);
        let (method, recallable) =
            (request.kind.method().as_str().as_bytes(), matches!(request.kind, Kind::Refer));
        let told = request.kind.is_invite() || fallback.is_some();
        let outgoing = Outgoing { method, branch: &branch, owner: Some(io.id), recallable, told };
        let client = io.core.table.send(io.now, flow, outgoing, outbox, |buf| buf.extend_from_slice(scratch));
        self.sent.reserve_exact(1);
        self.sent.push(PendingUac {
            id: request.id,
            client,
            cseq,
            kind: request.kind,
            heard: false,
            branch: request.branch,
            challenged: Vec::new(),
            widened: false,
            by_source: false,
            given_up: false,
            request: again.then(|| scratch.as_slice().into()),
            fallback,
            transit: Transit::begin(io.now, flow),
        });
        request.id
    }

    /// Sends the ACK of a 2xx, with what `content` adds. The text of it.
    pub(crate) fn send_ack(&self, io: &mut Io<'_>, ack: &Ack<'_>, content: &Content<'_>) -> Box<[u8]> {
        let branch = io.core.ident.branch();
        let stack = (&*io.core.settings.listeners, &*io.core.settings.product);
        let head = (Method::Ack, MAX_FORWARDS, ack.cseq);
        let flows = (ack.flow, self.flow);
        let mut writer = write_head(&mut io.core.scratch, stack, ack.dialog, flows, head, &branch);
        for (name, value) in ack.credentials {
            writer.header(*name, value);
        }
        carry::write(&mut writer, content);
        writer.finish((!ack.answer.is_empty()).then_some((APPLICATION_SDP.as_bytes(), ack.answer)));
        io.core.outbox.copy(ack.name, ack.flow, &io.core.scratch);
        io.core.scratch.as_slice().into()
    }

    /// Sends a request of ours again in a new transaction: with other headers (an answer to a challenge), or by another flow.
    /// It comes back if it was not kept.
    pub(super) fn send_again(
        &mut self,
        io: &mut Io<'_>,
        mut sent: PendingUac,
        flow: Flow,
        changes: &[(Name, &[u8])],
    ) -> Option<PendingUac> {
        let branch = io.core.ident.branch();
        let kept = sent.request.as_deref().unwrap_or_default();
        let Ok(message) = identify(kept, &mut io.core.index, Framing::Datagram) else { return Some(sent) };
        // Another address of a name that others of it are still called at.
        let beside = sent.kind.is_invite() && changes.is_empty() && self.has_tries();
        if let (Kind::Invite { .. }, Usage::Calling(calling)) = (&sent.kind, &mut self.usage)
            && !beside
        {
            // They ended with the final response (RFC 3261 §13.2.2.3).
            calling.early.clear();
        }
        let cseq = if beside { sent.cseq } else { self.next_cseq(message.to_tag()) };
        let mut again = Again { branch, cseq, via: flow, contact: self.flow, changes };
        let mut fallback = None;
        let length = rewrite(&mut io.core.scratch, &message, &io.core.settings.listeners, &again);
        let long = (!changes.is_empty() || beside) && length > UDP_LIMIT && flow.transport == Transport::Udp;
        let by_streams = self.reach().large == Large::Tcp;
        let takes = |stream: &Flow| long && by_streams && !io.core.quarantine.holds(io.now, stream);
        if let Some(stream) = by_stream(flow, &io.core.settings.listeners).filter(takes) {
            (again.via, fallback) = (stream, Some(flow));
            rewrite(&mut io.core.scratch, &message, &io.core.settings.listeners, &again);
        }
        let method = message.method_text();
        let scratch = &io.core.scratch;
        let recallable = matches!(sent.kind, Kind::Refer);
        let told = sent.kind.is_invite() || fallback.is_some();
        let outgoing = Outgoing { method, branch: &again.branch, owner: Some(io.id), recallable, told };
        let write = |buf: &mut Vec<u8>| buf.extend_from_slice(scratch);
        let client = io.core.table.send(io.now, again.via, outgoing, &mut io.core.outbox, write);
        if let Some(subscription) = self.subscriptions.iter_mut().find(|one| one.refer == sent.id) {
            subscription.cseq = again.cseq;
        }
        let (cseq, transit) = (again.cseq, Transit::begin(io.now, again.via));
        (sent.request, sent.fallback) = (Some(scratch.as_slice().into()), fallback);
        sent.begin_again(client, cseq, transit);
        self.sent.push(sent);
        None
    }

    /// Sends a refused request again if that can help: answers a challenge (once, or again if only the nonce was
    /// stale), repeats a re-INVITE that came too late, falls back to UDP, or tries the next flow.
    /// It comes back if it failed for good.
    pub(crate) fn retry(
        &mut self,
        io: &mut Io<'_>,
        mut sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<PendingUac> {
        if sent.given_up || (self.is_cancelled() && sent.kind.is_invite()) {
            return Some(sent);
        }
        if let (401 | 407, Some(response)) = (outcome.0, response) {
            return self.answer_challenge(io, sent, response);
        }
        if sent.request.is_none() {
            return Some(sent);
        }
        if let (422, Some(response)) = (outcome.0, response) {
            return self.widen(io, sent, response);
        }
        if outcome == (500, Origin::Remote) && !is_glare(500, response) && self.was_overtaken(&mut sent) {
            let flow = self.flow;
            return self.send_again(io, sent, flow, &[]);
        }
        if let (Some(flow), (503, Origin::Local)) = (sent.fallback.take(), outcome) {
            io.core.quarantine.put(io.now, &sent.transit.flow, NO_STREAM);
            return self.send_again(io, sent, flow, &[]);
        }
        if outcome == (503, Origin::Local)
            && let Some(flow) = self.flow_of_source(&mut sent)
        {
            return self.send_again(io, sent, flow, &[]);
        }
        match self.next_flow(&sent, outcome) {
            Some(flow) => {
                self.flow = flow;
                self.send_again(io, sent, flow, &[])
            }
            None => Some(sent),
        }
    }

    /// 422: once more with the Session-Expires that the peer takes (RFC 4028 §7.4).
    fn widen(&mut self, io: &mut Io<'_>, mut sent: PendingUac, response: &Message<'_>) -> Option<PendingUac> {
        let Some(seconds) = wanted(io.core.settings.session_timer, response).filter(|_| !sent.widened) else {
            return Some(sent);
        };
        sent.widened = true;
        let flow = self.flow;
        let value = seconds.to_string();
        let least = response.header(Name::MinSe).unwrap_or(b"");
        self.send_again(io, sent, flow, &[(Name::SessionExpires, value.as_bytes()), (Name::MinSe, least)])
    }
}

impl Leg {
    /// CSeq of the next request to the peer with that tag.
    fn next_cseq(&mut self, remote_tag: Option<&[u8]>) -> u32 {
        let early = match (&mut self.usage, remote_tag) {
            (Usage::Calling(calling), Some(tag)) => {
                calling.early.iter_mut().find(|early| early.dialog.remote_tag() == tag)
            }
            _ => None,
        };
        let last = early.map_or(&mut self.local_cseq, |early| &mut early.cseq);
        *last = last.wrapping_add(1) & 0x7fff_ffff;
        *last
    }

    /// What a request in that early dialog is sent by: dialog, flow and session; `None`: in the leg's.
    fn path(&self, branch: Option<&[u8]>) -> (Cow<'_, Dialog>, Flow, &Session) {
        match (&self.usage, branch) {
            (Usage::Offered(offered), Some(tag)) => {
                if let Some(party) = offered.parties.iter().find(|party| party.tag.as_bytes() == tag) {
                    let dialog = Dialog::new(Parts { local_tag: tag, ..self.dialog.parts() });
                    return (Cow::Owned(dialog), self.flow, &party.session);
                }
            }
            (Usage::Calling(calling), Some(tag)) => {
                if let Some(early) = calling.early.iter().find(|early| early.dialog.remote_tag() == tag) {
                    return (Cow::Borrowed(&early.dialog), early.flow, &early.session);
                }
            }
            _ => {}
        }
        (Cow::Borrowed(&self.dialog), self.flow, &self.session)
    }

    /// Where requests in an early dialog go (see `Leg::session_in`).
    pub(super) fn flow_in(&self, branch: Option<&[u8]>) -> Flow {
        let early = match (&self.usage, branch) {
            (Usage::Calling(calling), Some(tag)) => {
                calling.early.iter().find(|early| early.dialog.remote_tag() == tag)
            }
            _ => None,
        };
        early.map_or(self.flow, |early| early.flow)
    }

    /// A re-INVITE that another request of ours arrived before gets 500 (RFC 3261 §12.2.2), and has not been looked at. True:
    /// it may be sent again, and was counted.
    fn was_overtaken(&self, sent: &mut PendingUac) -> bool {
        let later = sent.cseq != self.local_cseq && self.is_answered();
        match &mut sent.kind {
            Kind::Modify { overtaken, .. } if later && *overtaken < OVERTAKEN => {
                *overtaken += 1;
                true
            }
            _ => false,
        }
    }

    fn has_other_flows(&self) -> bool {
        match &self.usage {
            Usage::Calling(calling) => !calling.others.is_empty(),
            _ => false,
        }
    }

    fn is_cancelled(&self) -> bool {
        match &self.usage {
            Usage::Calling(calling) => calling.cancelled.is_some(),
            _ => false,
        }
    }

    /// The next flow of the INVITE that made the leg: on a transport fault, a 503, or a timeout before any 1xx
    /// (RFC 3263 §4.3).
    fn next_flow(&mut self, sent: &PendingUac, outcome: (u16, Origin)) -> Option<Flow> {
        match (&mut self.usage, outcome) {
            (Usage::Calling(calling), (503, _) | (408, Origin::Local))
                if sent.kind.is_invite() && (outcome.0 == 503 || !calling.provisional) =>
            {
                let flow = calling.others.pop()?;
                // It has its time as the one before.
                calling.provisional = false;
                Some(flow)
            }
            _ => None,
        }
    }
}

impl Core {
    /// BYE in a dialog that is no leg's; nobody waits for its answer.
    pub(super) fn send_stray_bye(&mut self, now: Time, dialog: &Dialog, flow: Flow, cseq: u32) {
        let branch = self.ident.branch();
        let stack = (&*self.settings.listeners, &*self.settings.product);
        let head = (Method::Bye, MAX_FORWARDS, cseq);
        write_head(&mut self.scratch, stack, dialog, (flow, flow), head, &branch).finish(None);
        let scratch = &self.scratch;
        let method = Method::Bye.as_str().as_bytes();
        let outgoing = Outgoing { method, branch: &branch, owner: None, recallable: false, told: false };
        self.table.send(now, flow, outgoing, &mut self.outbox, |buf| buf.extend_from_slice(scratch));
    }

    /// What [`crate::sip::Stack::back_off`] does.
    pub(crate) fn back_off(&mut self, owner: bool) -> Duration {
        let steps = if owner { 210 + self.ident.millis_below(191) } else { self.ident.millis_below(201) };
        Duration::from_millis(u64::from(steps) * 10)
    }
}
