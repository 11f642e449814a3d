//! A 2xx that comes when its transaction is over.
//!
//! A re-INVITE was given up (Timer B): the peer stood still, and has found it waiting. No silence ends a leg, so the dialog is
//! still there; and a peer that hears no ACK of its 2xx ends the call (RFC 3261 §13.3.1.4). A REFER had no answer in time:
//! that it was taken counts as said.

use super::content::Content;
use super::event::{Event, Origin};
use super::pending::{Kind, PendingUac, Purpose};
use super::subscription::Subscription;
use super::{Leg, subscription};
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::offer_answer::Exchange;
use crate::wire::{Framing, Message, Method, identify};

impl Leg {
    /// A re-INVITE was never answered.
    pub(super) fn keep_unanswered(&mut self, sent: PendingUac) {
        if self.is_answered() {
            self.aside.get_or_insert_default().unanswered = Some(Box::new(sent));
        }
    }

    /// A response that belongs to no transaction any more.
    pub(crate) fn on_belated(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        match message.cseq().method {
            Method::Invite => self.invite_belated(io, flow, message),
            Method::Refer => self.refer_belated(io, flow, message),
            _ => None,
        }
    }

    /// The layer above did without it: it hears of a 2xx that nobody waits for, and that the session may have changed.
    fn invite_belated(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let number = message.cseq().number;
        let copy = self.sent.iter().position(|sent| sent.cseq == number && sent.accepted().is_some());
        let waits = |sent: &mut Box<PendingUac>| sent.cseq == number;
        let sent = self.aside.as_mut().and_then(|aside| aside.unanswered.take_if(waits));
        self.adopt(flow);
        self.hear();
        match (sent, copy) {
            (Some(sent), _) => self.accept_belated(io, *sent, message),
            (None, Some(place)) => {
                self.acknowledge_again(io, place);
                None
            }
            (None, None) => None,
        }
    }

    /// A REFER that had no answer was taken after all.
    fn refer_belated(&mut self, io: &Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let open = |one: &&mut Subscription| one.cseq == message.cseq().number && !one.answered;
        let one = self.subscriptions.iter_mut().find(open)?;
        one.answered = true;
        let refer = one.refer;
        subscription::accepted(&mut self.subscriptions, refer);
        self.adopt(flow);
        self.hear();
        let (status, origin) = (message.status()?, Origin::Remote);
        self.told(Event::Response { leg: io.id, sent: refer, status, origin, needs_answer: false })
    }

    fn accept_belated(
        &mut self,
        io: &mut Io<'_>,
        mut sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        sent.id = io.core.next_sent();
        if let Kind::Modify { purpose, .. } = &mut sent.kind {
            *purpose = Purpose::Itself;
        }
        let kept = sent.request.as_deref().unwrap_or_default();
        let offer = identify(kept, &mut io.core.index, Framing::Datagram).ok().map(|request| request.body());
        let idle = self.session.exchange() == Exchange::Idle;
        let offered = sent.kind.offers();
        if idle && (!offered || offer == Some(self.session.last_sent())) {
            if offered {
                self.session.reopen();
            }
            return self.on_modified(io, sent, message);
        }
        // Something else was offered since, and what was taken here does not stand: the peer is told anew.
        self.agreed(io.now, io.core.settings.session_timer, message);
        let refreshed = self.refresh(message, &io.core.settings.listeners);
        let (name, status) = (sent.id, message.status()?);
        self.keep_accepted(io, sent, message.to_tag().unwrap_or(b""), Vec::new());
        if refreshed {
            self.aim(io);
        }
        if let Some(place) = self.unanswered() {
            self.acknowledge_sent(io, place, &Content::default());
        }
        self.told(Event::Response {
            leg: io.id,
            sent: name,
            status,
            origin: Origin::Remote,
            needs_answer: false,
        })
    }
}
