//! REFER inside a leg, both ways (RFC 3515, RFC 4488), and the NOTIFYs that follow.

use super::decision::refuses_subscription;
use super::presence::is_doubtful;
use super::send::{MAX_FORWARDS, Request, write_contact};
use super::usage::{Kind, PendingUac, Usage};
use super::{Event, Field, InDialogRequest, LegId, Origin, RequestId, SentId};
use crate::sip::dispatch::OVERTAKEN;
use crate::sip::flow::Flow;
use crate::sip::leg::subscription::{
    self, Notice, Package, ReferProgress, Referral as Subscribed, Subscription,
};
use crate::sip::stack::{Gone, NotSent, Stack};
use crate::sip::timing::{Now, Time};
use crate::wire::headers::{ACTIVE, EVENT_REFER, MESSAGE_SIPFRAG, NO_RESOURCE, TERMINATED};
use crate::wire::{Message, Method, Name, Writer, sipfrag};
use std::collections::VecDeque;
use std::time::Duration;

pub use super::decision::Decision as Referral;
pub use crate::sip::leg::subscription::NotifyId;

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
impl Stack {
    /// REFER in the dialog. Its answer is an [`Event::Response`] (a timeout is a local 408 and never ends the
    /// leg), its progress [`Event::Notified`], which may come first.
    ///
    /// # Errors
    /// [`NotSent::Pending`] while the leg is not answered.
    pub fn refer(&mut self, now: Now, leg: LegId, refer: Refer<'_>) -> Result<SentId, NotSent> {
        self.legs.get(leg.into()).ok_or(NotSent::Gone)?.may_ask()?;
        let request = Request {
            method: Method::Refer,
            kind: Kind::Refer,
            id: self.next_sent(),
            max_forwards: refer.max_forwards,
            offered: false,
            body: None,
            within: None,
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
        let sent = self.send_request(now.mono, leg, &request, &fill).ok_or(NotSent::Gone)?;
        if let Some(leg) = self.legs.get_mut(leg.into()) {
            leg.subscriptions.reserve_exact(1);
            leg.subscriptions.push(Subscription::new(sent, leg.local_cseq));
        }
        Ok(sent)
    }

    /// The final response to a REFER of ours.
    pub(crate) fn on_refer_answer(
        &mut self,
        id: LegId,
        sent: &PendingUac,
        (status, origin): (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let heard = |one: &Subscription| one.refer == sent.id && one.heard.is_some();
        let keeps = match status {
            200..=299 => {
                subscription::accepted(&mut leg.subscriptions, sent.id);
                !response.is_some_and(refuses_subscription)
            }
            // Silence is no refusal, ours or one hop further (RFC 4320 §4.2): its NOTIFYs may still come.
            _ if is_doubtful(status) => true,
            // They have come already, so that it was not the receiver who said that.
            _ => leg.subscriptions.iter().any(heard),
        };
        if !keeps {
            leg.subscriptions.retain(|one| one.refer != sent.id);
        }
        if let Some(one) = leg.subscriptions.iter_mut().find(|one| one.refer == sent.id) {
            one.answered |= origin == Origin::Remote;
        }
        self.told(id, Event::Response { leg: id, sent: sent.id, status, origin, needs_answer: false })
    }

    /// `status`: what it is answered with if it is right.
    pub(crate) fn on_notify(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let package = Package::of(message);
        if package == Package::Unknown {
            return self.refuse(now, flow, message, (489, NO_PACKAGE), &|writer| {
                writer.header(Name::AllowEvents, EVENT_REFER);
            });
        }
        let leg = self.legs.get_mut(id.into())?;
        let Some(place) = subscription::find(&leg.subscriptions, package).filter(|_| !leg.released) else {
            let refusal = if status < 300 { (481, "") } else { (status, OVERTAKEN) };
            return self.refuse(now, flow, message, refusal, &|_| ());
        };
        let number = message.cseq().number;
        let subscription = &leg.subscriptions[place];
        if subscription.heard.is_some_and(|heard| number <= heard) {
            // A later one has come before it.
            return self.refuse(now, flow, message, (500, OVERTAKEN), &|_| ());
        }
        let (refer, progress) = (subscription.refer, ReferProgress::of(message));
        subscription::accepted(&mut leg.subscriptions, refer);
        leg.subscriptions[place].hear(number, package, progress);
        if progress.terminated {
            leg.subscriptions.remove(place);
        }
        let why = if status < 300 { "" } else { OVERTAKEN };
        self.refuse(now, flow, message, (status, why), &|_| ());
        self.told(id, Event::Notified { leg: id, refer, progress })
    }
}

// The peer's.
impl Stack {
    pub(crate) fn on_refer(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let refusal = match self.legs.get(id.into())?.usage {
            Usage::Confirmed => None,
            // It may have overtaken the 200 of the call, and a 481 would end its dialog.
            Usage::Offered(_) | Usage::Calling(_) => Some((491, NOT_ANSWERED)),
            Usage::Refusing | Usage::Closing | Usage::Over => Some((481, "")),
        };
        if let Some(refusal) = refusal {
            return self.refuse(now, flow, message, refusal, &|_| ());
        }
        let event = self.ask(now, flow, id, message, InDialogRequest::Refer, None)?;
        self.told(id, event)
    }

    /// 202 to the peer's REFER; with `Refer-Sub: false` echoed if it asked so (then there is no subscription, and None
    /// comes back). Else a subscription is made and its NOTIFY 100 is sent at once.
    ///
    /// # Errors
    /// The REFER has its answer, or the leg is gone.
    pub fn accept_referral(&mut self, now: Now, request: RequestId) -> Result<Option<NotifyId>, Gone> {
        let id = self.table.owner(request.0).flatten().ok_or(Gone)?;
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let is_it = |asked: &super::usage::PendingUas| {
            asked.server == request.0 && asked.kind == InDialogRequest::Refer
        };
        let asked = leg.asked.remove(leg.asked.iter().position(is_it).ok_or(Gone)?);
        let (settings, flow) = (&self.settings, leg.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            if asked.no_subscription {
                writer.header(Name::ReferSub, "false");
            }
            writer.header(Name::Server, settings.product.as_bytes());
            writer.finish(None)
        };
        let tag = Some(leg.dialog.local_tag());
        self.table.respond(now.mono, request.0, 202, tag, &mut self.outbox, write).map_err(|_| Gone)?;
        if asked.no_subscription {
            return Ok(None);
        }
        let notify = NotifyId(asked.cseq);
        leg.referrals.push(Subscribed {
            id: notify,
            current: None,
            waiting: VecDeque::from([Notice { sent: None, status: 100, last: false }]),
            again_at: None,
            ended: false,
        });
        self.notify_next(now.mono, id, notify);
        Ok(Some(notify))
    }

    /// A NOTIFY with sipfrag `status`. Its answer is an [`Event::Response`] with the id returned here. It works after a BYE
    /// too, until `release`.
    ///
    /// # Errors
    /// The subscription is over: it had its last NOTIFY, or the peer knows nothing of it.
    pub fn notify(&mut self, now: Now, leg: LegId, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        let sent = self.next_sent();
        self.hand_in(now, leg, to, Notice { sent: Some(sent), status, last: false })?;
        Ok(sent)
    }

    /// The same; it is the last one and terminates the subscription.
    ///
    /// # Errors
    /// As of [`Stack::notify`].
    pub fn notify_last(&mut self, now: Now, leg: LegId, to: NotifyId, status: u16) -> Result<SentId, Gone> {
        let sent = self.next_sent();
        self.hand_in(now, leg, to, Notice { sent: Some(sent), status, last: true })?;
        Ok(sent)
    }

    fn hand_in(&mut self, now: Now, leg: LegId, to: NotifyId, notice: Notice) -> Result<(), Gone> {
        let entry = self.legs.get_mut(leg.into()).ok_or(Gone)?;
        let referral = entry.referrals.iter_mut().find(|one| one.id == to && !one.ended).ok_or(Gone)?;
        referral.waiting.push_back(notice);
        referral.ended = notice.last;
        self.notify_next(now.mono, leg, to);
        Ok(())
    }

    /// Sends the next NOTIFY of a subscription unless one is under way.
    fn notify_next(&mut self, now: Time, id: LegId, subscription: NotifyId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Some(referral) = leg.referrals.iter_mut().find(|one| one.id == subscription) else { return };
        if referral.current.is_none() {
            referral.current = referral.waiting.pop_front();
        } else if referral.again_at.take().is_none() {
            return;
        }
        let Some(notice) = referral.current else {
            if referral.ended {
                leg.referrals.retain(|one| one.id != subscription);
            }
            return;
        };
        let mut body = Vec::with_capacity(48);
        sipfrag::write(&mut body, notice.status);
        let request = Request {
            method: Method::Notify,
            kind: Kind::Notify(subscription),
            id: notice.sent.unwrap_or(SentId(0)),
            max_forwards: MAX_FORWARDS,
            offered: false,
            body: Some((MESSAGE_SIPFRAG.as_bytes(), &body)),
            within: None,
        };
        self.send_request(now, id, &request, &|writer| {
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
    pub(crate) fn on_notify_answer(
        &mut self,
        now: Time,
        id: LegId,
        subscription: NotifyId,
        (status, origin): (u16, Origin),
    ) -> Option<Event> {
        let back_off = self.back_off(id);
        let leg = self.legs.get_mut(id.into())?;
        let referral = leg.referrals.iter_mut().find(|one| one.id == subscription)?;
        if status == 491 {
            referral.again_at = Some(now + back_off);
            return None;
        }
        let notice = referral.current.take()?;
        if status >= 300 {
            // The peer wants no more, or is gone (RFC 6665 §4.2.2).
            let dropped = std::mem::take(&mut referral.waiting);
            referral.ended = true;
            for sent in dropped.into_iter().filter_map(|notice| notice.sent) {
                let origin = Origin::Local;
                self.tell(id, Event::Response { leg: id, sent, status: 481, origin, needs_answer: false });
            }
        }
        self.notify_next(now, id, subscription);
        let sent = notice.sent?;
        self.told(id, Event::Response { leg: id, sent, status, origin, needs_answer: false })
    }

    /// NOTIFYs that waited after a 491.
    pub(crate) fn notify_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get(id.into()) else { return };
        let due = |one: &&Subscribed| one.again_at.is_some_and(|at| at <= now);
        let Some(subscription) = leg.referrals.iter().find(due).map(|one| one.id) else { return };
        self.notify_next(now, id, subscription);
    }

    /// How long to wait after a 491 in a leg: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in steps of
    /// 10 ms (RFC 3261 §14.1).
    pub fn back_off(&mut self, leg: LegId) -> Duration {
        let owner = self.legs.get(leg.into()).is_some_and(|leg| leg.outgoing);
        let steps = if owner { 210 + self.ident.millis_below(191) } else { self.ident.millis_below(201) };
        Duration::from_millis(u64::from(steps) * 10)
    }
}
