//! A new call of ours that nobody answers: the addresses of its name are tried one beside the other, at most one rings.
//!
//! Silence never means that an INVITE was not received. A try that is left behind so stays a transaction: a CANCEL waits for
//! its first 1xx (RFC 3261 §9.1), and its 2xx is acknowledged and ended. Who answers first is kept. All tries are one
//! request, as the branches of a proxy are (§16.6): the same CSeq, so that a peer who is reached by two addresses can tell
//! (§8.2.2.2). Not here: who is tried first; that is the quarantine's.

use super::Leg;
use super::content::Content;
use super::event::Origin;
use super::pending::{Accepted, Acknowledged, Heard, Kind, PendingUac};
use super::send::Ack;
use super::usage::{Calling, Usage};
use crate::sip::core::Io;
use crate::sip::durations::{QUARANTINE, QUARANTINE_AT_MOST};
use crate::sip::flow::Flow;
use crate::sip::timing::{T1X64, Time};
use crate::sip::transaction::ClientId;
use crate::wire::sdp::declined;
use crate::wire::{Message, Name};
use std::time::Duration;

pub use super::event::{Fault, Patience};

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
        self.is_open_invite() && !self.is_unwanted()
    }

    fn is_open_invite(&self) -> bool {
        self.kind.is_invite() && self.accepted().is_none()
    }

    /// The address that it was sent to, as the name gave it: a long one may have gone by another transport.
    pub(crate) fn address(&self) -> Flow {
        self.fallback.unwrap_or(self.transit.flow)
    }

    /// It is not wanted any more, whatever comes.
    fn leave_behind(&mut self) {
        if let Kind::Invite { heard, .. } = &mut self.kind {
            *heard = Heard::Unwanted;
        }
    }

    /// The same request for another address.
    fn beside(&self) -> PendingUac {
        PendingUac {
            kind: Kind::invite(self.kind.offers()),
            request: self.request.clone(),
            branch: None,
            fallback: None,
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
        let left = self.sent.iter().rev().find(|sent| sent.is_try())?.transit.left?;
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
    pub(super) fn silence_deadline(&self) -> Option<Time> {
        self.silence().map(|(at, _)| at)
    }

    /// Whether that is a try that is left behind: a response to it says nothing of the leg's peer.
    pub(super) fn is_left_behind(&self, client: ClientId) -> bool {
        self.sent.iter().any(|sent| sent.client == client && sent.is_unwanted())
    }

    /// Whether an INVITE is out that makes this leg.
    pub(super) fn has_tries(&self) -> bool {
        self.sent.iter().any(PendingUac::is_open_invite)
    }
}

// What happens to tries.
impl Leg {
    /// Why a leg of ours that is over had no word from anybody.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.aside.as_ref()?.fault
    }

    /// Whether somebody has answered the INVITE of a leg of ours, be it with a 100.
    pub(crate) fn is_answering(&self) -> bool {
        self.waiting().is_none()
    }

    pub(crate) fn try_refused(&mut self, io: &mut Io<'_>, client: ClientId) {
        let waits = self.waiting().is_some();
        let Some(place) = self.sent.iter().position(|sent| sent.client == client && sent.is_try()) else {
            return;
        };
        io.core.quarantine.put(io.now, &self.sent[place].address(), QUARANTINE);
        if !waits {
            return;
        }
        self.leave_behind(io, |sent| sent.client == client);
        io.core.table.stop(io.now, client);
        let alone = !self.sent.iter().any(PendingUac::is_try);
        if self.try_next(io, client) {
            return;
        }
        match alone {
            true => self.fail(io, (503, Origin::Local), Fault::PortUnreachable),
            false => self.note_passed((503, Origin::Local)),
        }
    }

    /// A deadline may be due: the next address, or the end.
    pub(super) fn silence_due(&mut self, io: &mut Io<'_>) {
        let Some((_, due)) = self.silence().filter(|(at, _)| *at <= io.now) else { return };
        let Some(newest) = self.sent.iter().rev().find(|sent| sent.is_try()) else { return };
        let (client, address) = (newest.client, newest.address());
        io.core.quarantine.put(io.now, &address, QUARANTINE);
        if due == Due::Next && self.try_next(io, client) {
            return;
        }
        self.leave_behind(io, |_| true);
        let passed = self.waiting().and_then(|calling| calling.passed);
        match passed {
            Some((503, Origin::Local)) => self.fail(io, (503, Origin::Local), Fault::NotSent),
            Some(outcome) => {
                let event = self.on_refused(io, outcome);
                io.core.events.extend(event);
            }
            None => self.fail(io, (408, Origin::Local), Fault::Silent),
        }
    }

    /// Tries the next address beside the try that is named. False: there is none.
    fn try_next(&mut self, io: &mut Io<'_>, client: ClientId) -> bool {
        let Usage::Calling(calling) = &mut self.usage else { return false };
        let Some(flow) = calling.others.pop() else { return false };
        let Some(sent) = self.sent.iter().find(|sent| sent.client == client) else { return false };
        let beside = sent.beside();
        self.flow = flow;
        self.send_again(io, beside, flow, &[]).is_none()
    }

    /// The call has failed, and this try has brought no word.
    fn fail(&mut self, io: &mut Io<'_>, outcome: (u16, Origin), fault: Fault) {
        if self.refused_beside().is_none() {
            self.aside.get_or_insert_default().fault = Some(fault);
        }
        let event = self.on_refused(io, outcome);
        io.core.events.extend(event);
    }

    /// A try has ended for itself, while another goes on.
    fn note_passed(&mut self, outcome: (u16, Origin)) {
        if let Usage::Calling(calling) = &mut self.usage {
            calling.passed = Some(outcome);
        }
    }

    /// These tries are not wanted any more. Each is cancelled by its first 1xx.
    fn leave_behind(&mut self, io: &mut Io<'_>, which: impl Fn(&PendingUac) -> bool) {
        for sent in self.sent.iter_mut().filter(|sent| sent.is_try() && which(sent)) {
            sent.leave_behind();
            io.core.table.cancel(io.now, sent.client, b"", &mut io.core.outbox);
        }
    }

    /// A try was answered: it is the one, and the others are left behind.
    pub(super) fn prefer(&mut self, io: &mut Io<'_>, (client, address): (ClientId, Flow)) {
        io.core.quarantine.take_out(&address);
        let Usage::Calling(calling) = &mut self.usage else { return };
        let first = !std::mem::replace(&mut calling.provisional, true);
        if first && self.sent.iter().any(|sent| sent.client != client && sent.is_try()) {
            if self.flow.peer != address.peer {
                self.flow = address;
            }
            self.leave_behind(io, |sent| sent.client != client);
        }
    }

    /// A provisional response to a try. False: nobody is interested in it.
    pub(super) fn try_answered(&mut self, io: &mut Io<'_>, client: ClientId) -> bool {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.client == client) else { return false };
        let address = sent.address();
        let Kind::Invite { heard, .. } = &mut sent.kind else { return true };
        match heard {
            Heard::Unwanted => return false,
            Heard::Nothing => *heard = Heard::Response,
            Heard::Response => return true,
        }
        self.prefer(io, (client, address));
        true
    }

    /// A try has a final response other than 2xx, or what counts as one. It comes back if that decides the call.
    pub(super) fn try_over(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<PendingUac> {
        self.note_failure(io, &sent, outcome, response);
        if sent.is_unwanted() {
            return None;
        }
        let beside = self.sent.iter().any(PendingUac::is_try);
        let Usage::Calling(calling) = &mut self.usage else { return None };
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
                self.prefer(io, (sent.client, sent.address()));
                return Some(sent);
            }
        }
        let silent = outcome == (408, Origin::Local) || outcome == (482, Origin::Remote);
        if !silent {
            self.note_passed(outcome);
        }
        None
    }

    /// What a failed try says of its address.
    fn note_failure(
        &mut self,
        io: &mut Io<'_>,
        sent: &PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) {
        let address = sent.address();
        let silent = matches!(sent.kind, Kind::Invite { heard: Heard::Nothing, .. });
        match (outcome, response) {
            // A long request that finds no stream still goes by UDP.
            ((503, Origin::Local), _) if sent.fallback.is_some() => {}
            ((503, Origin::Local), _) if silent && address.transport.is_reliable() => {
                io.core.quarantine.put(io.now, &address, QUARANTINE);
            }
            ((408, Origin::Local), _) if silent => io.core.quarantine.put(io.now, &address, QUARANTINE),
            // Carriers say 503 for one number: it is the address only where they say for how long.
            ((503, Origin::Remote), Some(response)) => match retry_after(response) {
                Some(term) => io.core.quarantine.put(io.now, &address, term.min(QUARANTINE_AT_MOST)),
                None => io.core.quarantine.take_out(&address),
            },
            (_, Some(_)) => io.core.quarantine.take_out(&address),
            (_, None) => {}
        }
    }

    /// The 2xx of a try that is not the one: it is acknowledged, and ended (RFC 3261 §13.2.2.4).
    pub(super) fn end_unwanted(&mut self, io: &mut Io<'_>, mut sent: PendingUac, message: &Message<'_>) {
        let dialog = self.dialog.confirmed(message);
        let from = sent.address();
        let flow = dialog.hop(from, None, &io.core.settings.listeners).or(from);
        let refusal = if sent.kind.offers() { Vec::new() } else { declined(message.body()) };
        let (cseq, credentials) = (sent.cseq, sent.credentials(&mut io.core.index));
        let ack = Ack { name: 0, dialog: &dialog, flow, cseq, answer: &refusal, credentials: &credentials };
        let ack = self.send_ack(io, &ack, &Content::default());
        io.core.send_stray_bye(io.now, &dialog, flow, sent.cseq.wrapping_add(1));
        let accepted = Accepted {
            tag: message.to_tag().unwrap_or(b"").into(),
            ack: Some((flow, ack)),
            acknowledged: Acknowledged::Sent,
            by_source: true,
            credentials,
            others: Vec::new(),
            until: io.now + T1X64,
        };
        sent.leave_behind();
        self.sent.push(sent.accept(accepted));
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
pub(super) fn fault_of(outcome: (u16, Origin), calling: &Calling) -> Option<Fault> {
    match outcome {
        (503, Origin::Local) => Some(Fault::NotSent),
        (408, Origin::Local) if !calling.provisional => Some(Fault::Silent),
        _ => None,
    }
}
