//! A 2xx that comes when its transaction is over.
//!
//! A re-INVITE was given up (Timer B): the peer stood still, and has found it waiting. No silence ends a leg, so the dialog is
//! still there; and a peer that hears no ACK of its 2xx ends the call (RFC 3261 §13.3.1.4). A REFER had no answer in time:
//! that it was taken counts as said.

use super::presence::Purpose;
use super::usage::{Leg, PendingUac, Usage};
use super::{Content, Event, LegId, Origin};
use crate::sip::flow::Flow;
use crate::sip::leg::subscription::{self, Subscription};
use crate::sip::offer_answer::Exchange;
use crate::sip::stack::Stack;
use crate::sip::timing::Time;
use crate::wire::{Framing, Message, Method, Name, identify};

impl Stack {
    /// A re-INVITE was never answered.
    pub(crate) fn keep_unanswered(&mut self, id: LegId, sent: PendingUac) {
        if let Some(leg) = self.legs.get_mut(id.into()).filter(|leg| leg.is_answered()) {
            leg.aside.get_or_insert_default().unanswered = Some(Box::new(sent));
        }
    }

    /// A response that belongs to no transaction any more.
    pub(crate) fn on_belated(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let event = match message.cseq().method {
            Method::Invite => self.invite_belated(now, flow, id, message),
            Method::Refer => self.refer_belated(flow, id, message),
            _ => None,
        };
        self.settle(now, id);
        event
    }

    /// The leg that a 2xx without a transaction belongs to.
    pub(crate) fn leg_of_belated(&self, message: &Message<'_>) -> Option<LegId> {
        let accepts = message.status().is_some_and(|status| (200..300).contains(&status));
        // More than one Via: it is not for us (RFC 3261 §8.1.3.3).
        if !accepts || message.values(Name::Via).nth(1).is_some() {
            return None;
        }
        let (local_tag, remote_tag) = (message.from_tag()?, message.to_tag()?);
        self.find_leg(message.call_id(), |leg| {
            matches!(leg.usage, Usage::Confirmed) && leg.matches(local_tag, remote_tag)
        })
    }

    /// The layer above did without it: it hears of a 2xx that nobody waits for, and that the session may have changed.
    fn invite_belated(&mut self, now: Time, flow: Flow, id: LegId, message: &Message<'_>) -> Option<Event> {
        let number = message.cseq().number;
        let leg = self.legs.get_mut(id.into())?;
        let copy = leg.sent.iter().position(|sent| sent.cseq == number && sent.accepted.is_some());
        let waits = |sent: &mut Box<PendingUac>| sent.cseq == number;
        let sent = leg.aside.as_mut().and_then(|aside| aside.unanswered.take_if(waits));
        self.adopt(id, flow);
        self.hear(id);
        match (sent, copy) {
            (Some(sent), _) => self.accept_belated(now, id, *sent, message),
            (None, Some(place)) => {
                self.acknowledge_again(id, place);
                None
            }
            (None, None) => None,
        }
    }

    /// A REFER that had no answer was taken after all.
    fn refer_belated(&mut self, flow: Flow, id: LegId, message: &Message<'_>) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let open = |one: &&mut Subscription| one.cseq == message.cseq().number && !one.answered;
        let one = leg.subscriptions.iter_mut().find(open)?;
        one.answered = true;
        let refer = one.refer;
        subscription::accepted(&mut leg.subscriptions, refer);
        self.adopt(id, flow);
        self.hear(id);
        let (status, origin) = (message.status()?, Origin::Remote);
        self.told(id, Event::Response { leg: id, sent: refer, status, origin, needs_answer: false })
    }

    fn accept_belated(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        let sent = PendingUac { id: self.next_sent(), purpose: Purpose::Itself, ..sent };
        let kept = sent.request.as_deref().unwrap_or_default();
        let offer = identify(kept, &mut self.index, Framing::Datagram).ok().map(|request| request.body());
        let leg = self.legs.get_mut(id.into())?;
        let idle = leg.session.exchange() == Exchange::Idle;
        if idle && (!sent.offered || offer == Some(leg.session.last_sent())) {
            if sent.offered {
                leg.session.reopen();
            }
            return self.on_modified(now, id, sent, message);
        }
        // Something else was offered since, and what was taken here does not stand: the peer is told anew.
        leg.agreed(now, self.settings.session_timer, message);
        let refreshed = leg.refresh(message, &self.settings.listeners);
        let (name, status) = (sent.id, message.status()?);
        self.keep_accepted(now, id, sent, message.to_tag().unwrap_or(b""), Vec::new());
        if refreshed {
            self.aim(id);
        }
        if let Some(place) = self.legs.get(id.into()).and_then(Leg::unanswered) {
            self.acknowledge_sent(id, place, &Content::default());
        }
        self.told(
            id,
            Event::Response { leg: id, sent: name, status, origin: Origin::Remote, needs_answer: false },
        )
    }
}
