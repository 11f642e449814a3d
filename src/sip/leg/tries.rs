//! A new call of ours that nobody answers: the addresses of its name are tried one beside the other, at most one rings.
//!
//! Silence never means that an INVITE was not received. A try that is left behind so stays a transaction: a CANCEL waits for
//! its first 1xx (RFC 3261 §9.1), and its 2xx is acknowledged and ended. Who answers first is kept. All tries are one
//! request, as the branches of a proxy are (§16.6): the same CSeq, so that a peer who is reached by two addresses can tell
//! (§8.2.2.2). Not here: who is tried first; that is the quarantine's.

use super::connect::confirmed;
use super::usage::{Accepted, Acknowledged, Calling, Kind, Leg, PendingUac, Usage};
use super::{LegId, Origin};
use crate::sip::durations::{QUARANTINE, QUARANTINE_AT_MOST};
use crate::sip::flow::Flow;
use crate::sip::stack::Stack;
use crate::sip::timing::{Now, T1X64, Time};
use crate::sip::transaction::ClientId;
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::sdp::declined;
use crate::wire::{Message, Name};
use std::time::Duration;

/// How long a new call of ours waits for a first word, from when its INVITE has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After that the next address of the same name is tried beside it.
    pub failover_after: Duration,
    /// After that, where there is no other address, the call has failed: [`Fault::Silent`].
    pub first_response: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { failover_after: Duration::from_secs(2), first_response: Duration::from_secs(4) }
    }
}

/// Why a new call of ours has failed without a word from anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing came in time, not even a 100.
    Silent,
    /// The host says that nobody listens there (ICMP port unreachable).
    PortUnreachable,
    /// There is no way there, or no connection: it was refused, was not opened in time, or closed without an answer.
    NotSent,
}

impl Fault {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Silent => "no response",
            Fault::PortUnreachable => "port unreachable",
            Fault::NotSent => "no connection",
        }
    }
}

/// One try: an INVITE on its way to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    /// What it went by.
    pub(crate) flow: Flow,
    /// When it was handed over.
    pub(crate) begun: Time,
    /// When it has left; None: it waits for its connection.
    pub(crate) left: Option<Time>,
    /// It is asked back, for it has waited too long.
    pub(crate) recalled: bool,
    pub(crate) heard: Heard,
}

/// What has come of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Nothing,
    /// A response.
    Response,
    /// It is left behind, whatever comes.
    Unwanted,
}

impl Try {
    /// It is handed over now.
    pub(crate) fn begin(now: Time, flow: Flow) -> Try {
        let left = (!flow.transport.is_reliable()).then_some(now);
        Try { flow, begun: now, left, recalled: false, heard: Heard::Nothing }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.heard == Heard::Response
    }

    pub(crate) fn is_unwanted(&self) -> bool {
        self.heard == Heard::Unwanted
    }
}

/// A further address of a call that nobody has answered yet, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The next address.
    Next,
    /// All have had their time.
    Over,
}

impl PendingUac {
    /// A try that may still be the one.
    fn is_try(&self) -> bool {
        self.kind == Kind::Invite && self.accepted.is_none() && !self.attempt.is_unwanted()
    }

    /// The address that it was sent to, as the name gave it: a long one may have gone by another transport.
    pub(crate) fn address(&self) -> Flow {
        self.fallback.unwrap_or(self.attempt.flow)
    }

    /// The same request for another address.
    fn beside(&self) -> PendingUac {
        PendingUac {
            request: self.request.clone(),
            branch: None,
            fallback: None,
            said: Vec::new(),
            expires: None,
            accepted: None,
            challenged: self.challenged.clone(),
            ..*self
        }
    }
}

impl Leg {
    /// The new call that waits for a first word.
    fn waiting(&self) -> Option<&Calling> {
        match &self.usage {
            Usage::Calling(calling) => {
                Some(&**calling).filter(|calling| !calling.provisional && calling.cancelled.is_none())
            }
            _ => None,
        }
    }

    /// What its silence brings next, and when.
    fn silence(&self) -> Option<(Time, Due)> {
        let calling = self.waiting()?;
        let left = self.sent.iter().rev().find(|sent| sent.is_try())?.attempt.left?;
        let Patience { failover_after, first_response } = calling.patience;
        Some(match calling.others.is_empty() {
            true => (left + first_response, Due::Over),
            false => (left + failover_after.min(first_response), Due::Next),
        })
    }

    /// By what another try was refused, where nobody has said a word to those that go on.
    pub(crate) fn refused_beside(&self) -> Option<(u16, Origin)> {
        self.waiting()?.passed.filter(|(_, origin)| *origin == Origin::Remote)
    }

    /// When the silence of a new call has lasted long enough.
    pub(crate) fn silence_deadline(&self) -> Option<Time> {
        self.silence().map(|(at, _)| at)
    }

    /// Whether that is a try that is left behind.
    fn is_unwanted(&self, client: ClientId) -> bool {
        self.sent.iter().any(|sent| sent.client == client && sent.attempt.is_unwanted())
    }

    /// Whether an INVITE is out that makes this leg.
    pub(crate) fn has_tries(&self) -> bool {
        self.sent.iter().any(|sent| sent.kind == Kind::Invite && sent.accepted.is_none())
    }
}

// What happens to tries.
impl Stack {
    /// Nobody is at the other end of that flow: the host has said so (ICMP port unreachable). For new calls that have heard
    /// nothing it is the end of that try, and for nothing else anything: whoever can forge it must not end a call.
    pub fn handle_refused(&mut self, now: Now, flow: Flow) {
        for (client, owner) in self.table.calling_by(flow) {
            let Some(id) = owner else { continue };
            self.try_refused(now.mono, id, client);
            self.settle(now.mono, id);
        }
        self.drain_transactions(now.mono);
    }

    /// Why a leg of ours that is over had no word from anybody.
    pub fn fault(&self, leg: LegId) -> Option<Fault> {
        self.legs.get(leg.into())?.aside.as_ref()?.fault
    }

    /// Whether a response is to a try of a leg that is left behind: it says nothing of the leg's peer.
    pub(crate) fn is_left_behind(&self, leg: LegId, client: ClientId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| leg.is_unwanted(client))
    }

    /// By what status one address of a new call was refused, while the others are silent. Whoever waits for those no longer has
    /// this for an answer.
    pub fn refused_beside(&self, leg: LegId) -> Option<u16> {
        self.legs.get(leg.into())?.refused_beside().map(|(status, _)| status)
    }

    /// Whether somebody has answered the INVITE of a leg of ours, be it with a 100.
    pub fn is_answering(&self, leg: LegId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| leg.waiting().is_none())
    }

    /// Whether new calls to all of these addresses have just failed, so that others are better tried before.
    pub fn is_quarantined(&self, now: Now, flows: &[Flow]) -> bool {
        !flows.is_empty() && flows.iter().all(|flow| self.quarantine.holds(now.mono, flow))
    }

    fn try_refused(&mut self, now: Time, id: LegId, client: ClientId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let waits = leg.waiting().is_some();
        let Some(place) = leg.sent.iter().position(|sent| sent.client == client && sent.is_try()) else {
            return;
        };
        self.quarantine.put(now, &leg.sent[place].address(), QUARANTINE);
        if !waits {
            return;
        }
        self.leave_behind(now, id, |sent| sent.client == client);
        self.table.stop(now, client);
        let Some(leg) = self.legs.get(id.into()) else { return };
        let alone = !leg.sent.iter().any(PendingUac::is_try);
        if self.try_next(now, id, client) {
            return;
        }
        match alone {
            true => self.fail(id, (503, Origin::Local), Fault::PortUnreachable),
            false => self.note_passed(id, (503, Origin::Local)),
        }
    }

    /// A deadline may be due: the next address, or the end.
    pub(crate) fn silence_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get(id.into()) else { return };
        let Some((_, due)) = leg.silence().filter(|(at, _)| *at <= now) else { return };
        let Some(newest) = leg.sent.iter().rev().find(|sent| sent.is_try()) else { return };
        let (client, address) = (newest.client, newest.address());
        self.quarantine.put(now, &address, QUARANTINE);
        if due == Due::Next && self.try_next(now, id, client) {
            return;
        }
        self.leave_behind(now, id, |_| true);
        let passed = self.legs.get(id.into()).and_then(Leg::waiting).and_then(|calling| calling.passed);
        match passed {
            Some((503, Origin::Local)) => self.fail(id, (503, Origin::Local), Fault::NotSent),
            Some(outcome) => {
                let event = self.on_refused(id, outcome);
                self.events.extend(event);
            }
            None => self.fail(id, (408, Origin::Local), Fault::Silent),
        }
    }

    /// Tries the next address beside the try that is named. False: there is none.
    fn try_next(&mut self, now: Time, id: LegId, client: ClientId) -> bool {
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let Usage::Calling(calling) = &mut leg.usage else { return false };
        let Some(flow) = calling.others.pop() else { return false };
        let Some(sent) = leg.sent.iter().find(|sent| sent.client == client) else { return false };
        let beside = sent.beside();
        leg.flow = flow;
        self.send_again(now, id, beside, flow, &[]).is_none()
    }

    /// The call has failed, and this try has brought no word.
    fn fail(&mut self, id: LegId, outcome: (u16, Origin), fault: Fault) {
        if let Some(leg) = self.legs.get_mut(id.into()).filter(|leg| leg.refused_beside().is_none()) {
            leg.aside.get_or_insert_default().fault = Some(fault);
        }
        let event = self.on_refused(id, outcome);
        self.events.extend(event);
    }

    /// A try has ended for itself, while another goes on.
    fn note_passed(&mut self, id: LegId, outcome: (u16, Origin)) {
        let leg = self.legs.get_mut(id.into());
        if let Some(Usage::Calling(calling)) = leg.map(|leg| &mut leg.usage) {
            calling.passed = Some(outcome);
        }
    }

    /// These tries are not wanted any more. Each is cancelled by its first 1xx.
    fn leave_behind(&mut self, now: Time, id: LegId, which: impl Fn(&PendingUac) -> bool) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        for sent in leg.sent.iter_mut().filter(|sent| sent.is_try() && which(sent)) {
            sent.attempt.heard = Heard::Unwanted;
            self.table.cancel(now, sent.client, b"", &mut self.outbox);
        }
    }

    /// A try was answered: it is the one, and the others are left behind.
    pub(crate) fn prefer(&mut self, now: Time, id: LegId, (client, address): (ClientId, Flow)) {
        self.quarantine.take_out(&address);
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Usage::Calling(calling) = &mut leg.usage else { return };
        let first = !std::mem::replace(&mut calling.provisional, true);
        if first && leg.sent.iter().any(|sent| sent.client != client && sent.is_try()) {
            if leg.flow.peer != address.peer {
                leg.flow = address;
            }
            self.leave_behind(now, id, |sent| sent.client != client);
        }
    }

    /// A provisional response to a try. False: nobody is interested in it.
    pub(crate) fn try_answered(&mut self, now: Time, id: LegId, client: ClientId) -> bool {
        let leg = self.legs.get_mut(id.into());
        let Some(sent) = leg.and_then(|leg| leg.sent.iter_mut().find(|sent| sent.client == client)) else {
            return false;
        };
        if sent.kind != Kind::Invite {
            return true;
        }
        let address = sent.address();
        match sent.attempt.heard {
            Heard::Unwanted => return false,
            Heard::Nothing => sent.attempt.heard = Heard::Response,
            Heard::Response => return true,
        }
        self.prefer(now, id, (client, address));
        true
    }

    /// A try has a final response other than 2xx, or what counts as one. It comes back if that decides the call.
    pub(crate) fn try_over(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<PendingUac> {
        self.note_failure(now, &sent, outcome, response);
        let leg = self.legs.get_mut(id.into())?;
        if sent.attempt.is_unwanted() {
            return None;
        }
        let beside = leg.sent.iter().any(PendingUac::is_try);
        let Usage::Calling(calling) = &mut leg.usage else { return None };
        if !beside || calling.cancelled.is_some() {
            return Some(sent);
        }
        match outcome {
            // It was reached by another address already: that one goes on, and rings alone.
            (482 | 486, Origin::Remote) => calling.others.clear(),
            (503, Origin::Local) if sent.fallback.is_some() => return Some(sent),
            (503, _) | (408, Origin::Local) => {
                if !calling.others.is_empty() {
                    return Some(sent);
                }
            }
            _ => {
                self.prefer(now, id, (sent.client, sent.address()));
                return Some(sent);
            }
        }
        let silent = outcome == (408, Origin::Local) || outcome == (482, Origin::Remote);
        if !silent {
            self.note_passed(id, outcome);
        }
        None
    }

    /// What a failed try says of its address.
    fn note_failure(
        &mut self,
        now: Time,
        sent: &PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) {
        let address = sent.address();
        let silent = sent.attempt.heard == Heard::Nothing;
        match (outcome, response) {
            // A long request that finds no stream still goes by UDP.
            ((503, Origin::Local), _) if sent.fallback.is_some() => {}
            ((503, Origin::Local), _) if silent && address.transport.is_reliable() => {
                self.quarantine.put(now, &address, QUARANTINE);
            }
            ((408, Origin::Local), _) if silent => self.quarantine.put(now, &address, QUARANTINE),
            // Carriers say 503 for one number: it is the address only where they say for how long.
            ((503, Origin::Remote), Some(response)) => match retry_after(response) {
                Some(term) => self.quarantine.put(now, &address, term.min(QUARANTINE_AT_MOST)),
                None => self.quarantine.take_out(&address),
            },
            (_, Some(_)) => self.quarantine.take_out(&address),
            (_, None) => {}
        }
    }

    /// The 2xx of a try that is not the one: it is acknowledged, and ended (RFC 3261 §13.2.2.4).
    pub(crate) fn end_unwanted(&mut self, now: Time, id: LegId, mut sent: PendingUac, message: &Message<'_>) {
        let credentials = sent.credentials(&mut self.index);
        let Some(leg) = self.legs.get(id.into()) else { return };
        let dialog = confirmed(&leg.dialog, message);
        let from = sent.address();
        let flow = dialog.hop(from, None, &self.settings.listeners).or(from);
        let refusal = if sent.offered { Vec::new() } else { declined(message.body()) };
        let body = (!refusal.is_empty()).then_some((APPLICATION_SDP.as_bytes(), refusal.as_slice()));
        let ack = self.send_ack((id, 0), &dialog, flow, sent.cseq, body, &|writer| {
            credentials.iter().for_each(|(name, value)| _ = writer.header(*name, value));
        });
        self.send_stray_bye(now, &dialog, flow, sent.cseq.wrapping_add(1));
        let accepted = Accepted {
            tag: message.to_tag().unwrap_or(b"").into(),
            ack: Some((flow, ack)),
            acknowledged: Acknowledged::Sent,
            by_source: true,
            credentials,
            others: Vec::new(),
            until: now + T1X64,
        };
        sent.attempt.heard = Heard::Unwanted;
        if let Some(leg) = self.legs.get_mut(id.into()) {
            let accepted = Some(Box::new(accepted));
            leg.sent.push(PendingUac { accepted, request: None, expires: None, said: Vec::new(), ..sent });
        }
    }

    /// A request that asked to be told has left: from now on its peer may be silent.
    pub(crate) fn try_left(&mut self, now: Time, id: LegId, client: ClientId) {
        let leg = self.legs.get_mut(id.into());
        if let Some(sent) = leg.and_then(|leg| leg.sent.iter_mut().find(|sent| sent.client == client)) {
            sent.attempt.left.get_or_insert(now);
            self.settle(now, id);
        }
    }
}

/// Seconds of a Retry-After (RFC 3261 §20.33).
fn retry_after(response: &Message<'_>) -> Option<Duration> {
    let value = response.header(Name::RetryAfter)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let seconds: u64 = std::str::from_utf8(&value[..digits]).ok()?.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// The end of a call of ours that could not be sent at all.
pub(crate) fn fault_of(outcome: (u16, Origin), calling: &Calling) -> Option<Fault> {
    match outcome {
        (503, Origin::Local) => Some(Fault::NotSent),
        (408, Origin::Local) if !calling.provisional => Some(Fault::Silent),
        _ => None,
    }
}
