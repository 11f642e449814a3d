//! Whether a message belongs to a leg, and where a request of the peer's inside its dialog goes (RFC 3261 §12.2.2). Routes
//! only; not here: who may speak (`standing`).

use super::Leg;
use super::event::Event;
use super::usage::Usage;
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::refusal::{OVERTAKEN, unserved, unserved_words, write_capabilities};
use crate::wire::headers::ALLOW;
use crate::wire::{Message, Method, Name, Writer};

impl Leg {
    /// A request that belongs to it, and is none of those seen before.
    pub(crate) fn on_request(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        if message.method() == Method::Cancel {
            // Its INVITE is unknown (RFC 3261 §9.2).
            return io.core.refuse(io.now, flow, message, (481, ""), &|_| ());
        }
        self.hear();
        self.follow(flow, message);
        match message.method() {
            Method::Ack => self.on_ack(io, message),
            method => self.on_dialog_request(io, flow, message, method),
        }
    }

    fn on_dialog_request(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        method: Method,
    ) -> Option<Event> {
        let number = message.cseq().number;
        let tags = (message.to_tag().unwrap_or(b""), message.from_tag().unwrap_or(b""));
        let last = self.last_heard(tags);
        if last.is_some_and(|last| number <= last) {
            // A BYE that another request has overtaken gets its 500 (RFC 3261 §12.2.2), and whoever sent it is gone all
            // the same (§15.1.1). A PRACK says by itself what it acknowledges, and a NOTIFY is news unless another NOTIFY
            // was the one that came first.
            return match method {
                Method::Bye => self.on_bye(io, flow, message, 500),
                Method::Prack => self.on_prack(io, flow, message, 500),
                Method::Notify => self.on_notify(io, flow, message, 500),
                _ => io.core.refuse(io.now, flow, message, (500, OVERTAKEN), &|_| ()),
            };
        }
        *last = Some(number);
        if let Some(event) = io.core.refuse_extension(io.now, flow, message) {
            return event;
        }
        match method {
            Method::Bye => self.on_bye(io, flow, message, 200),
            // Nobody is left to answer: the leg is only waiting for its end.
            Method::Invite | Method::Update | Method::Info | Method::Refer if self.released => {
                io.core.refuse(io.now, flow, message, (481, ""), &|_| ())
            }
            Method::Invite => self.on_reinvite(io, flow, message),
            Method::Update => self.on_update(io, flow, message),
            Method::Info => self.on_info(io, flow, message),
            Method::Refer => self.on_refer(io, flow, message),
            Method::Notify => self.on_notify(io, flow, message, 200),
            Method::Options => {
                let supported = io.core.settings.supported();
                let write = |writer: &mut Writer<'_>| write_capabilities(writer, supported);
                io.core.refuse(io.now, flow, message, (200, ""), &write)
            }
            Method::Prack => self.on_prack(io, flow, message, 200),
            Method::Ack | Method::Cancel => io.core.refuse(io.now, flow, message, (481, ""), &|_| ()),
            Method::Subscribe | Method::Register | Method::Message | Method::Publish | Method::Other => {
                let (status, why) = (unserved(method).unwrap_or(501), unserved_words(message));
                io.core.refuse(io.now, flow, message, (status, &why), &|writer| {
                    writer.header(Name::Allow, ALLOW);
                })
            }
        }
    }

    /// Whether a request of the peer's asserts somebody else than before: the other side is to hear of it.
    pub(super) fn hears_identity(&mut self, io: &Io<'_>, message: &Message<'_>) -> bool {
        let now = io.core.assertion(message);
        now.is_some() && std::mem::replace(&mut self.aside.get_or_insert_default().asserted, now) != now
    }
}

impl Leg {
    /// Whether a message of the peer's belongs to it.
    pub(crate) fn matches(&self, local_tag: &[u8], remote_tag: &[u8]) -> bool {
        let local = match &self.usage {
            Usage::Offered(offered) => offered.parties.iter().any(|party| party.tag.as_bytes() == local_tag),
            _ => false,
        } || self.dialog.local_tag() == local_tag;
        // Before the answer each branch of a fork has its own tag.
        let remote = match &self.usage {
            Usage::Calling(_) => !remote_tag.is_empty(),
            _ => self.dialog.remote_tag() == remote_tag,
        };
        local && remote
    }

    /// CSeq of the peer's last request in the dialog with these tags, ours and its (RFC 3261 §12.2.2).
    fn last_heard(&mut self, (local_tag, remote_tag): (&[u8], &[u8])) -> &mut Option<u32> {
        let own = &mut self.remote_cseq;
        match &mut self.usage {
            Usage::Offered(offered) => {
                let party = offered.parties.iter_mut().find(|party| party.tag.as_bytes() == local_tag);
                party.map_or(own, |party| &mut party.remote_cseq)
            }
            Usage::Calling(calling) => {
                let early = calling.early.iter_mut().find(|early| early.dialog.remote_tag() == remote_tag);
                early.map_or(own, |early| &mut early.remote_cseq)
            }
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => own,
        }
    }
}
