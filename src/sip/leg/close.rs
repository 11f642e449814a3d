//! How a leg ends (RFC 3261 §9, §15).

use super::connect::lines;
use super::send::{MAX_FORWARDS, Request, body_of, keep_fields};
use super::usage::{Kind, Leg, Usage};
use super::{Content, Event, InDialogRequest, LegId, Origin, carry};
use crate::sip::dispatch::{OVERTAKEN, write_warning};
use crate::sip::flow::Flow;
use crate::sip::stack::Stack;
use crate::sip::timing::{Now, Time};
use crate::sip::transaction::Cancelled;
use crate::wire::{Message, Method, Writer};

const ENDED: &str = "the call has ended";

// Verbs.
impl Stack {
    /// Ends the leg whatever its state: CANCEL (and ACK+BYE if a 2xx crosses), BYE, deferred BYE while our 2xx is
    /// unacknowledged (RFC 3261 §15), final `reject_status` while the peer's INVITE is unanswered. An unanswered offer
    /// in a 2xx: ACK with all ports 0, then BYE. Then [`Event::Closed`].
    pub fn close(&mut self, now: Now, leg: LegId, reject_status: u16, content: Content<'_>) {
        let id = leg;
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        match &mut leg.usage {
            Usage::Offered(_) => {
                // Its ACK, or Timer H, is the end.
                let _ = self.reject(now, id, reject_status, content);
            }
            Usage::Calling(_) => self.cancel(now.mono, id, &content),
            Usage::Confirmed => self.close_answered(now.mono, id, &content),
            Usage::Refusing | Usage::Closing | Usage::Over => {}
        }
        self.settle(now.mono, id);
    }

    /// The call has no more interest: what is still to be done (closing, answering) is done quietly, no event comes
    /// any more. A leg that is not over is closed with 480.
    pub fn release(&mut self, now: Now, leg: LegId) {
        let id = leg;
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        leg.released = true;
        self.close(now, id, 480, Content::default());
        self.drop_asked(now.mono, id);
        self.settle(now.mono, id);
    }
}

// Ours.
impl Stack {
    /// Cancels the INVITE of a leg.
    fn cancel(&mut self, now: Time, id: LegId, content: &Content<'_>) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Usage::Calling(calling) = &mut leg.usage else { return };
        if calling.cancelled.is_some() {
            return;
        }
        calling.cancelled = Some(keep_fields(content));
        debug_assert!(leg.has_tries(), "a leg that calls has its INVITE");
        for sent in leg.sent.iter().filter(|sent| sent.kind == Kind::Invite) {
            match self.table.cancel(now, sent.client, &lines(content), &mut self.outbox) {
                // Its final response, or a timeout, ends the leg.
                Cancelled::Sent | Cancelled::Waits | Cancelled::No => {}
            }
        }
    }

    /// Ends an answered leg: BYE now, or once our 2xx is acknowledged.
    pub(crate) fn close_answered(&mut self, now: Time, id: LegId, content: &Content<'_>) {
        self.give_up_refers(now, id);
        while let Some(place) = self.legs.get(id.into()).and_then(Leg::unanswered) {
            self.acknowledge_sent(id, place, &Content::default());
        }
        self.drop_asked(now, id);
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        leg.usage = Usage::Closing;
        match &mut leg.unacked {
            Some(unacked) => unacked.bye = Some(keep_fields(content)),
            None => self.send_bye(now, id, content),
        }
        self.settle(now, id);
    }

    /// BYE in the dialog of a leg.
    pub(crate) fn send_bye(&mut self, now: Time, id: LegId, content: &Content<'_>) {
        let request = Request {
            method: Method::Bye,
            kind: Kind::Bye,
            id: self.next_sent(),
            max_forwards: MAX_FORWARDS,
            offered: false,
            body: body_of(content, b""),
            within: None,
        };
        self.send_request(now, id, &request, &|writer| carry::write(writer, content));
    }

    /// Our refusal of the peer's INVITE was acknowledged, or never.
    pub(crate) fn on_refusal_done(
        &mut self,
        now: Time,
        owner: Option<LegId>,
        (status, origin): (u16, Origin),
    ) {
        let Some(id) = owner else { return };
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        if matches!(leg.usage, Usage::Refusing) {
            leg.usage = Usage::Over;
            self.tell(id, Event::Closed { leg: id, status, origin });
        }
        self.settle(now, id);
    }

    /// The answer to our BYE.
    pub(crate) fn on_bye_answer(&mut self, id: LegId, (status, origin): (u16, Origin)) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let was = std::mem::replace(&mut leg.usage, Usage::Over);
        match was {
            Usage::Closing if !leg.quiet => self.told(id, Event::Closed { leg: id, status, origin }),
            Usage::Closing
            | Usage::Over
            | Usage::Confirmed
            | Usage::Refusing
            | Usage::Offered(_)
            | Usage::Calling(_) => None,
        }
    }

    /// Requests of the peer that nobody will answer: 487 (RFC 3261 §15.1.2).
    fn drop_asked(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        for asked in std::mem::take(&mut leg.asked) {
            if let Some(session) = leg.session_in(asked.branch.as_deref()).filter(|_| asked.offered) {
                session.refused();
            }
            let tag = Some(leg.dialog.local_tag());
            let finish = |mut writer: Writer<'_>| {
                write_warning(&mut writer, ENDED);
                writer.finish(None)
            };
            let status = if asked.kind == InDialogRequest::Refer { 480 } else { 487 };
            let _ = self.table.respond(now, asked.server, status, tag, &mut self.outbox, finish);
        }
    }
}

// The peer's.
impl Stack {
    /// `status`: what it is answered with while the leg is there.
    pub(crate) fn on_bye(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let over = matches!(self.legs.get(id.into())?.usage, Usage::Over);
        self.give_up_refers(now, id);
        let answer = match status {
            _ if over => (481, ""),
            200..=299 => (status, ""),
            _ => (status, OVERTAKEN),
        };
        self.refuse(now, flow, message, answer, &|_| ());
        self.drop_asked(now, id);
        // Their 2xx is acknowledged all the same, or it would come again and again.
        while let Some(place) = self.legs.get(id.into()).and_then(Leg::unanswered) {
            self.acknowledge_sent(id, place, &Content::default());
        }
        let leg = self.legs.get_mut(id.into())?;
        if let Some(unacked) = leg.unacked.take() {
            // Whoever ends the call has our 2xx.
            self.table.acknowledged(unacked.server);
            if unacked.bye.is_some() {
                // Ours was never sent.
                leg.usage = Usage::Over;
                self.settle(now, id);
                return self.told(id, Event::Bye { leg: id });
            }
        }
        match &mut leg.usage {
            Usage::Offered(offered) => {
                let (server, tag) = (offered.server, Some(super::accept::tag_of(leg)));
                let finish = |mut writer: Writer<'_>| {
                    write_warning(&mut writer, ENDED);
                    writer.finish(None)
                };
                let _ = self.table.respond(now, server, 487, tag, &mut self.outbox, finish);
                leg.usage = Usage::Over;
            }
            Usage::Calling(calling) if calling.cancelled.is_some() => return None,
            Usage::Calling(calling) => {
                // The BYE is the last that the layer above hears of it.
                calling.quiet = true;
                self.cancel(now, id, &Content::default());
            }
            Usage::Confirmed => leg.usage = Usage::Over,
            // Ours crosses it, and its answer is the end.
            Usage::Refusing | Usage::Closing | Usage::Over => return None,
        }
        self.settle(now, id);
        self.told(id, Event::Bye { leg: id })
    }
}
