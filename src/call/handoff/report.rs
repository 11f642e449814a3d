//! The agent that asked by REFER is told how it goes and how it ended (RFC 3515 §2.4.4).

use crate::call::context::Context;
use crate::call::durations::BYE_AFTER_NOTIFY;
use crate::sip::leg::SentId;
use crate::sip::leg::subscription::NotifyId;
use crate::sip::{LegId, Time};

/// A REFER of ours to answer for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referral {
    pub(crate) leg: LegId,
    /// None: the referrer wants no NOTIFY (RFC 4488).
    pub(crate) subscription: Option<NotifyId>,
    /// The last provisional status told.
    told: u16,
    /// The last NOTIFY, until it is answered.
    pub(crate) farewell: Option<Farewell>,
}

/// The last NOTIFY is out: the agent's BYE waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    pub(crate) leg: LegId,
    pub(crate) sent: SentId,
    pub(crate) until: Time,
}

impl Referral {
    pub(crate) fn new(leg: LegId, subscription: Option<NotifyId>) -> Referral {
        Referral { leg, subscription, told: 100, farewell: None }
    }

    /// A provisional status, once.
    pub(crate) fn progress(&mut self, cx: &mut Context<'_>, status: u16) {
        if let (Some(subscription), true) =
            (self.subscription, (101..200).contains(&status) && status != self.told)
        {
            self.told = status;
            // The agent may be gone: nobody is left to be told.
            let _ = cx.stack.notify(cx.now, self.leg, subscription, status);
        }
    }

    /// The result.
    pub(crate) fn conclude(&mut self, cx: &mut Context<'_>, status: u16) {
        let Some(subscription) = self.subscription.take() else { return };
        if let Ok(sent) = cx.stack.notify_last(cx.now, self.leg, subscription, status) {
            self.farewell = Some(Farewell { leg: self.leg, sent, until: cx.now.mono + BYE_AFTER_NOTIFY });
        }
    }
}
