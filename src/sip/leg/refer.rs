//! REFER inside a leg, both ways (RFC 3515, RFC 4488), and the NOTIFYs that follow.

use super::content::Field;
use super::decision::refuses_subscription;
use super::event::{Event, Gone, InDialogRequest, NotSent, Origin, RequestId, SentId};
use super::pending::{Kind, PendingUac, PendingUas};
use super::presence::is_doubtful;
use super::send::Request;
use super::subscription::{Notice, Package, ReferProgress, Subscription};
use super::usage::Usage;
use super::write::{MAX_FORWARDS, write_contact};
use super::{Leg, subscription};
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::refusal::OVERTAKEN;
use crate::wire::headers::{ACTIVE, EVENT_REFER, MESSAGE_SIPFRAG, NO_RESOURCE, TERMINATED};
use crate::wire::{Message, Name, Writer, sipfrag};
use std::collections::VecDeque;

pub use super::decision::Decision as Referral;
pub use super::subscription::NotifyId;

/// How long a subscription is said to live, in seconds: longer than any handoff takes.
const EXPIRES: u64 = 600;

const NO_PACKAGE: &str = "no subscription is of that event: see Allow-Events";
const NOT_ANSWERED: &str = "the call is not answered yet";

/// A REFER to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Refer<'a> {
    /// The whole value of Refer-To, in `<>`.
    pub refer_to: &'a [u8],
    /// The whole value of Referred-By.
    pub referred_by: Option<&'a [u8]>,
    /// Added headers.
    pub fields: &'a [Field],
    /// Max-Forwards as it is to stand on the wire.
    pub max_forwards: u8,
}

// Ours.
impl Leg {
    /// What [`crate::sip::Stack::refer`] does.
    pub(crate) fn refer(&mut self, io: &mut Io<'_>, refer: Refer<'_>) -> Result<SentId, NotSent> {
        self.may_ask()?;
        let request = Request {
            kind: Kind::Refer,
            id: io.core.next_sent(),
            max_forwards: refer.max_forwards,
            body: None,
            branch: None,
        };
        let fill = |writer: &mut Writer<'_>| {
            writer.header(Name::ReferTo, refer.refer_to);
            if let Some(referred_by) = refer.referred_by {
                writer.header(Name::ReferredBy, referred_by);
            }
            for field in refer.fields {
                writer.header_raw(field.name.as_bytes(), field.value.as_bytes());
            }
        };
        let sent = self.send_request(io, request, &fill);
        self.subscriptions.reserve_exact(1);
        self.subscriptions.push(Subscription::new(sent, self.local_cseq));
        Ok(sent)
    }

    /// The final response to a REFER of ours.
    pub(super) fn on_refer_answer(
        &mut self,
        io: &mut Io<'_>,
        sent: &PendingUac,
        (status, origin): (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let heard = |one: &Subscription| one.refer == sent.id && one.heard.is_some();
        let keeps = match status {
            200..=299 => {
                subscription::accepted(&mut self.subscriptions, sent.id);
                !response.is_some_and(refuses_subscription)
            }
            // Silence is no refusal, ours or one hop further (RFC 4320 §4.2): its NOTIFYs may still come.
            _ if is_doubtful(status) => true,
            // They have come already, so that it was not the receiver who said that.
            _ => self.subscriptions.iter().any(heard),
        };
        if !keeps {
            self.subscriptions.retain(|one| one.refer != sent.id);
        }
        if let Some(one) = self.subscriptions.iter_mut().find(|one| one.refer == sent.id) {
            one.answered |= origin == Origin::Remote;
        }
        self.told(Event::Response { leg: io.id, sent: sent.id, status, origin, needs_answer: false })
    }

    /// `status`: what it is answered with if it is right.
    pub(super) fn on_notify(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let package = Package::of(message);
        if package == Package::Unknown {
            return io.core.refuse(io.now, flow, message, (489, NO_PACKAGE), &|writer| {
                writer.header(Name::AllowEvents, EVENT_REFER);
            });
        }
        let Some(place) = subscription::find(&self.subscriptions, package).filter(|_| !self.released) else {
            let refusal = if status < 300 { (481, "") } else { (status, OVERTAKEN) };
            return io.core.refuse(io.now, flow, message, refusal, &|_| ());
        };
        let number = message.cseq().number;
        let subscription = &self.subscriptions[place];
        if subscription.heard.is_some_and(|heard| number <= heard) {
            // A later one has come before it.
            return io.core.refuse(io.now, flow, message, (500, OVERTAKEN), &|_| ());
        }
        let (refer, progress) = (subscription.refer, ReferProgress::of(message));
        subscription::accepted(&mut self.subscriptions, refer);
        self.subscriptions[place].hear(number, package, progress);
        if progress.terminated {
            self.subscriptions.remove(place);
        }
        let why = if status < 300 { "" } else { OVERTAKEN };
        io.core.refuse(io.now, flow, message, (status, why), &|_| ());
        self.told(Event::Notified { leg: io.id, refer, progress })
    }
}

// The peer's.
impl Leg {
    pub(super) fn on_refer(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let refusal = match self.usage {
            Usage::Confirmed => None,
            // It may have overtaken the 200 of the call, and a 481 would end its dialog.
            Usage::Offered(_) | Usage::Calling(_) => Some((491, NOT_ANSWERED)),
            Usage::Refusing | Usage::Closing | Usage::Over => Some((481, "")),
        };
        if let Some(refusal) = refusal {
            return io.core.refuse(io.now, flow, message, refusal, &|_| ());
        }
        let event = self.ask(io, flow, message, InDialogRequest::Refer, None)?;
        self.told(event)
    }

    /// What [`crate::sip::Stack::accept_referral`] does.
    pub(crate) fn accept_referral(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
    ) -> Result<Option<NotifyId>, Gone> {
        let is_it = |asked: &PendingUas| asked.server == request.0 && asked.kind == InDialogRequest::Refer;
        let asked = self.asked.remove(self.asked.iter().position(is_it).ok_or(Gone)?);
        let (settings, flow) = (&io.core.settings, self.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            if asked.no_subscription {
                writer.header(Name::ReferSub, "false");
            }
            writer.header(Name::Server, settings.product.as_bytes());
            writer.finish(None)
        };
        let tag = Some(self.dialog.local_tag());
        io.core.table.respond(io.now, request.0, 202, tag, &mut io.core.outbox, write).map_err(|_| Gone)?;
        if asked.no_subscription {
            return Ok(None);
        }
        let notify = NotifyId(asked.cseq);
        self.referrals.push(subscription::Referral {
            id: notify,
            current: None,
            waiting: VecDeque::from([Notice { sent: None, status: 100, last: false }]),
            again_at: None,
            ended: false,
        });
        self.notify_next(io, notify);
        Ok(Some(notify))
    }

    /// What [`crate::sip::Stack::notify`] does.
    pub(crate) fn notify(&mut self, io: &mut Io<'_>, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        let sent = io.core.next_sent();
        self.hand_in(io, to, Notice { sent: Some(sent), status, last: false })?;
        Ok(sent)
    }

    /// What [`crate::sip::Stack::notify_last`] does.
    pub(crate) fn notify_last(&mut self, io: &mut Io<'_>, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        let sent = io.core.next_sent();
        self.hand_in(io, to, Notice { sent: Some(sent), status, last: true })?;
        Ok(sent)
    }

    fn hand_in(&mut self, io: &mut Io<'_>, to: NotifyId, notice: Notice) -> Result<(), Gone> {
        let referral = self.referrals.iter_mut().find(|one| one.id == to && !one.ended).ok_or(Gone)?;
        referral.waiting.push_back(notice);
        referral.ended = notice.last;
        self.notify_next(io, to);
        Ok(())
    }

    /// Sends the next NOTIFY of a subscription unless one is under way.
    fn notify_next(&mut self, io: &mut Io<'_>, subscription: NotifyId) {
        let Some(referral) = self.referrals.iter_mut().find(|one| one.id == subscription) else { return };
        if referral.current.is_none() {
            referral.current = referral.waiting.pop_front();
        } else if referral.again_at.take().is_none() {
            return;
        }
        let Some(notice) = referral.current else {
            if referral.ended {
                self.referrals.retain(|one| one.id != subscription);
            }
            return;
        };
        let mut body = Vec::with_capacity(48);
        sipfrag::write(&mut body, notice.status);
        let request = Request {
            kind: Kind::Notify(subscription),
            id: notice.sent.unwrap_or(SentId(0)),
            max_forwards: MAX_FORWARDS,
            body: Some((MESSAGE_SIPFRAG.as_bytes(), &body)),
            branch: None,
        };
        self.send_request(io, request, &|writer| {
            writer.begin(Name::Event).push(EVENT_REFER).push(";id=").push_number(subscription.0.into());
            let mut line = writer.begin(Name::SubscriptionState);
            if notice.last {
                line.push(TERMINATED).push(";reason=").push(NO_RESOURCE);
            } else {
                line.push(ACTIVE).push(";expires=").push_number(EXPIRES);
            }
        });
    }

    /// The answer to a NOTIFY of ours.
    pub(super) fn on_notify_answer(
        &mut self,
        io: &mut Io<'_>,
        subscription: NotifyId,
        (status, origin): (u16, Origin),
    ) -> Option<Event> {
        let back_off = io.core.back_off(self.outgoing);
        let referral = self.referrals.iter_mut().find(|one| one.id == subscription)?;
        if status == 491 {
            referral.again_at = Some(io.now + back_off);
            return None;
        }
        let notice = referral.current.take()?;
        if status >= 300 {
            // The peer wants no more, or is gone (RFC 6665 §4.2.2).
            let dropped = std::mem::take(&mut referral.waiting);
            referral.ended = true;
            for sent in dropped.into_iter().filter_map(|notice| notice.sent) {
                let origin = Origin::Local;
                self.tell(io, Event::Response { leg: io.id, sent, status: 481, origin, needs_answer: false });
            }
        }
        self.notify_next(io, subscription);
        let sent = notice.sent?;
        self.told(Event::Response { leg: io.id, sent, status, origin, needs_answer: false })
    }

    /// NOTIFYs that waited after a 491.
    pub(super) fn notify_due(&mut self, io: &mut Io<'_>) {
        let due = |one: &&subscription::Referral| one.again_at.is_some_and(|at| at <= io.now);
        let Some(subscription) = self.referrals.iter().find(due).map(|one| one.id) else { return };
        self.notify_next(io, subscription);
    }
}
