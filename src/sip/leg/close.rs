//! How a leg ends (RFC 3261 §9, §15).

use super::carry::{keep_fields, lines};
use super::content::{Content, body_of};
use super::event::{Event, InDialogRequest, Origin};
use super::pending::Kind;
use super::send::Request;
use super::usage::Usage;
use super::write::MAX_FORWARDS;
use super::{Leg, carry};
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::refusal::{OVERTAKEN, write_warning};
use crate::sip::transaction::Cancelled;
use crate::wire::{Message, Writer};

const ENDED: &str = "the call has ended";

// Verbs.
impl Leg {
    /// What [`crate::sip::Stack::close`] does.
    pub(crate) fn close(&mut self, io: &mut Io<'_>, reject_status: u16, content: Content<'_>) {
        match &mut self.usage {
            Usage::Offered(_) => {
                // Its ACK, or Timer H, is the end.
                let _ = self.reject(io, reject_status, content);
            }
            Usage::Calling(_) => self.cancel(io, &content),
            Usage::Confirmed => self.close_answered(io, &content),
            Usage::Refusing | Usage::Closing | Usage::Over => {}
        }
    }

    /// What [`crate::sip::Stack::release`] does.
    pub(crate) fn release(&mut self, io: &mut Io<'_>) {
        self.released = true;
        self.close(io, 480, Content::default());
        self.drop_asked(io);
    }
}

// Ours.
impl Leg {
    /// Cancels the INVITE of a leg.
    fn cancel(&mut self, io: &mut Io<'_>, content: &Content<'_>) {
        let Usage::Calling(calling) = &mut self.usage else { return };
        if calling.cancelled.is_some() {
            return;
        }
        calling.cancelled = Some(keep_fields(content));
        debug_assert!(self.has_tries(), "a leg that calls has its INVITE");
        for sent in self.sent.iter().filter(|sent| sent.kind.is_invite()) {
            match io.core.table.cancel(io.now, sent.client, &lines(content), &mut io.core.outbox) {
                // Its final response, or a timeout, ends the leg.
                Cancelled::Sent | Cancelled::Waits | Cancelled::No => {}
            }
        }
    }

    /// Ends an answered leg: BYE now, or once our 2xx is acknowledged.
    pub(super) fn close_answered(&mut self, io: &mut Io<'_>, content: &Content<'_>) {
        self.give_up_refers(io);
        while let Some(place) = self.unanswered() {
            self.acknowledge_sent(io, place, &Content::default());
        }
        self.drop_asked(io);
        self.usage = Usage::Closing;
        match &mut self.unacked {
            Some(unacked) => unacked.bye = Some(keep_fields(content)),
            None => self.send_bye(io, content),
        }
    }

    /// BYE in the dialog of a leg.
    pub(super) fn send_bye(&mut self, io: &mut Io<'_>, content: &Content<'_>) {
        let request = Request {
            kind: Kind::Bye,
            id: io.core.next_sent(),
            max_forwards: MAX_FORWARDS,
            body: body_of(content, b""),
            branch: None,
        };
        self.send_request(io, request, &|writer| carry::write(writer, content));
    }

    /// Our refusal of the peer's INVITE was acknowledged, or never.
    pub(crate) fn on_refusal_done(&mut self, io: &mut Io<'_>, (status, origin): (u16, Origin)) {
        if matches!(self.usage, Usage::Refusing) {
            self.usage = Usage::Over;
            self.tell(io, Event::Closed { leg: io.id, status, origin });
        }
    }

    /// The answer to our BYE.
    pub(super) fn on_bye_answer(
        &mut self,
        io: &mut Io<'_>,
        (status, origin): (u16, Origin),
    ) -> Option<Event> {
        let was = std::mem::replace(&mut self.usage, Usage::Over);
        match was {
            Usage::Closing if !self.quiet => self.told(Event::Closed { leg: io.id, status, origin }),
            Usage::Closing
            | Usage::Over
            | Usage::Confirmed
            | Usage::Refusing
            | Usage::Offered(_)
            | Usage::Calling(_) => None,
        }
    }

    /// Requests of the peer that nobody will answer: 487 (RFC 3261 §15.1.2).
    fn drop_asked(&mut self, io: &mut Io<'_>) {
        for asked in std::mem::take(&mut self.asked) {
            if let Some(session) = self.session_in(asked.branch.as_deref()).filter(|_| asked.offered) {
                session.refused();
            }
            let tag = Some(self.dialog.local_tag());
            let finish = |mut writer: Writer<'_>| {
                write_warning(&mut writer, ENDED);
                writer.finish(None)
            };
            let status = if asked.kind == InDialogRequest::Refer { 480 } else { 487 };
            let _ = io.core.table.respond(io.now, asked.server, status, tag, &mut io.core.outbox, finish);
        }
    }
}

// The peer's.
impl Leg {
    /// `status`: what it is answered with while the leg is there.
    pub(super) fn on_bye(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let over = matches!(self.usage, Usage::Over);
        self.give_up_refers(io);
        let answer = match status {
            _ if over => (481, ""),
            200..=299 => (status, ""),
            _ => (status, OVERTAKEN),
        };
        io.core.refuse(io.now, flow, message, answer, &|_| ());
        self.drop_asked(io);
        // Their 2xx is acknowledged all the same, or it would come again and again.
        while let Some(place) = self.unanswered() {
            self.acknowledge_sent(io, place, &Content::default());
        }
        if let Some(unacked) = self.unacked.take() {
            // Whoever ends the call has our 2xx.
            io.core.table.acknowledged(unacked.server);
            if unacked.bye.is_some() {
                // Ours was never sent.
                self.usage = Usage::Over;
                return self.told(Event::Bye { leg: io.id });
            }
        }
        match &mut self.usage {
            Usage::Offered(offered) => {
                let (server, tag) = (offered.server, Some(self.response_tag()));
                let finish = |mut writer: Writer<'_>| {
                    write_warning(&mut writer, ENDED);
                    writer.finish(None)
                };
                let _ = io.core.table.respond(io.now, server, 487, tag, &mut io.core.outbox, finish);
                self.usage = Usage::Over;
            }
            Usage::Calling(calling) if calling.cancelled.is_some() => return None,
            Usage::Calling(calling) => {
                // The BYE is the last that the layer above hears of it.
                calling.quiet = true;
                self.cancel(io, &Content::default());
            }
            Usage::Confirmed => self.usage = Usage::Over,
            // Ours crosses it, and its answer is the end.
            Usage::Refusing | Usage::Closing | Usage::Over => return None,
        }
        self.told(Event::Bye { leg: io.id })
    }
}
