//! How a request is answered that belongs to no leg, or that its leg has no part in (RFC 3261 §8.2, §8.2.7).
//!
//! Not here: whether it is refused; that is the business of who calls.

use super::core::Core;
use super::door::Neighbours;
use super::flow::Flow;
use super::ident;
use super::identity;
use super::leg::event::Event;
use super::leg::session_timer::TooShort;
use super::outbox::QUIET;
use super::settings::Supported;
use super::timing::Time;
use super::transaction::response_flow;
use crate::wire::headers::{ALLOW, APPLICATION_SDP};
use crate::wire::{Message, Method, Name, Writer, reason_phrase, response_to};

/// Why somebody is turned away whom the calls have room for.
pub(crate) const NO_PLACE: &str = "its trunk has as many requests open as it may have";
const DRAINING: &str = "no new calls are taken: shutting down";
pub(crate) const OVERTAKEN: &str = "its CSeq is not higher than that of an earlier request";
const UNSUPPORTED: &str = "it requires an extension that is not supported: see Unsupported";
const TOO_SHORT: &str = "its session expires too soon: see Min-SE";
const TOO_SOON: &str = "an earlier request about the session is not done";

impl Core {
    /// Answers a request finally that belongs to no leg: outside a dialog without a transaction, for anybody can send such
    /// requests at will. It is no event. `why` stands in a Warning; empty: there is nothing to explain.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        (status, why): (u16, &str),
        fill: &dyn Fn(&mut Writer<'_>),
    ) -> Option<Event> {
        if message.to_tag().is_none() {
            self.turn_down(flow, message, (status, why), fill);
            return None;
        }
        let tag = self.ident.tag();
        let product = &self.settings.product;
        let answer = (status, tag.as_bytes());
        self.table.answer(now, flow, message, None, answer, &mut self.outbox, |mut writer| {
            writer.header(Name::Server, product.as_bytes());
            write_warning(&mut writer, why);
            fill(&mut writer);
            writer.finish(None)
        });
        None
    }

    /// Refuses a request that belongs to no leg, and keeps nothing of it. The layer above tells of it
    /// ([`Untaken::Stray`](super::door::Untaken::Stray)).
    pub(super) fn turn_down(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, why): (u16, &str),
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        self.answer_statelessly(flow, message, (status, QUIET), why, fill);
        self.strayed = Some(status);
    }

    /// 420 to a request that requires what Baton does not know (RFC 3261 §8.2.2.3). None: it does not.
    pub(super) fn refuse_extension(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
    ) -> Option<Option<Event>> {
        let settings = &self.settings;
        let unknown = message.values(Name::Require).filter(|option| !settings.supports(option));
        let unknown: smallvec::SmallVec<[&[u8]; 4]> = unknown.collect();
        if unknown.is_empty() {
            return None;
        }
        Some(self.refuse(now, flow, message, (420, UNSUPPORTED), &|writer| {
            let mut line = writer.begin(Name::Unsupported);
            for (place, option) in unknown.iter().enumerate() {
                line.push(if place > 0 { ", " } else { "" }).push(option);
            }
        }))
    }

    /// 422 to an INVITE or UPDATE whose session would expire too soon (RFC 4028 §9).
    pub(super) fn refuse_short(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        TooShort(least): TooShort,
    ) -> Option<Event> {
        self.refuse(now, flow, message, (422, TOO_SHORT), &|writer| {
            writer.begin(Name::MinSe).push_number(least.into());
        })
    }

    /// 500 with a Retry-After of 0 to 10 s: an earlier offer or INVITE of the peer is not answered yet (RFC 3261
    /// §14.2, RFC 3311 §5.2).
    pub(super) fn refuse_for_a_while(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
    ) -> Option<Event> {
        let seconds = self.ident.millis_below(11);
        self.refuse(now, flow, message, (500, TOO_SOON), &|writer| {
            writer.begin(Name::RetryAfter).push_number(seconds.into());
        })
    }

    /// Answers a request for which there is no place, statelessly; the status.
    pub(super) fn turned_away(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (new_call, party): (bool, Option<u16>),
        neighbours: &dyn Neighbours,
    ) -> Option<u16> {
        self.table.serves(party);
        let status = match message.method() {
            // What ends something, or is owed an answer, always has a place.
            Method::Ack | Method::Bye | Method::Cancel | Method::Prack | Method::Notify => return None,
            _ if !self.table.has_place() => 503,
            Method::Invite if new_call => neighbours.turns_away(flow, message)?,
            _ => return None,
        };
        let seconds = 5 + self.mark_of(message) % 6;
        // Why a call is turned away is the layer's above to say.
        let why = if new_call { "" } else { NO_PLACE };
        self.answer_statelessly(flow, message, (status, QUIET), why, &|writer| {
            if status == 503 {
                // Spread, so that those who were turned away do not come back together.
                writer.begin(Name::RetryAfter).push_number(seconds);
            }
        });
        Some(status)
    }

    pub(super) fn on_options(&mut self, flow: Flow, message: &Message<'_>) {
        let (draining, supported) = (self.draining, self.settings.supported());
        let status = if draining.is_some() { 503 } else { 200 };
        let why = if draining.is_some() { DRAINING } else { "" };
        self.answer_statelessly(flow, message, (status, 0), why, &|writer| {
            if let Some(seconds) = draining {
                writer.begin(Name::RetryAfter).push_number(seconds.into());
            }
            write_capabilities(writer, supported);
        });
    }

    /// Answers a request that does not decode, and keeps nothing.
    pub(super) fn refuse_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, reason): (u16, &str),
        why: &str,
    ) {
        self.write_statelessly(flow, message, (status, reason, 0), why, &|_| ());
    }

    /// Answers a request and keeps nothing of it (RFC 3261 §8.2.7): a copy gets the same answer, To tag and all; its ACK is
    /// nobody's.
    pub(super) fn answer_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, id): (u16, u64),
        why: &str,
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        self.write_statelessly(flow, message, (status, reason_phrase(status), id), why, fill);
    }

    pub(super) fn write_statelessly(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        (status, reason, id): (u16, &str, u64),
        why: &str,
        fill: &dyn Fn(&mut Writer<'_>),
    ) {
        let (to, _) = response_flow(flow, message);
        let tag = ident::tag_of(self.mark_of(message));
        let scratch = &mut self.scratch;
        let mut writer =
            response_to(scratch, message, status, reason.as_bytes(), Some(tag.as_bytes()), Some(flow.peer));
        writer.header(Name::Server, self.settings.product.as_bytes());
        write_warning(&mut writer, why);
        fill(&mut writer);
        writer.finish(None);
        self.outbox.copy(id, to, scratch);
    }
}

/// A Warning that says why; nothing where there are no words.
pub(crate) fn write_warning(writer: &mut Writer<'_>, why: &str) {
    if !why.is_empty() {
        writer.header(Name::Warning, identity::warning(why).value.as_bytes());
    }
}

/// What an OPTIONS is told (RFC 3261 §11.2).
pub(crate) fn write_capabilities(writer: &mut Writer<'_>, supported: Supported) {
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, APPLICATION_SDP)
        .header(Name::AcceptEncoding, "identity");
    supported.write(writer);
}

/// The answer to a method that Baton does not serve.
pub(crate) fn unserved(method: Method) -> Option<u16> {
    match method {
        Method::Subscribe | Method::Register | Method::Message | Method::Publish => Some(405),
        Method::Other => Some(501),
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Refer
        | Method::Notify => None,
    }
}

/// What the Warning of such an answer says.
pub(crate) fn unserved_words(message: &Message<'_>) -> String {
    format!("{} is not served: see Allow", String::from_utf8_lossy(message.method_text()))
}
