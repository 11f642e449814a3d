//! The INVITE client transaction: RFC 3261 §17.1.1, figure 5, as RFC 6026 §8.4 amends it.
//!
//! A pure machine: it says what to do and never does it. [`super::Table`] owns and drives it. Not here: the ACK for
//! a 2xx, which is the leg's, and Timer C, which is a wish of the layer above.

use super::Retransmission;
use crate::sip::pace::Gap;
use crate::sip::timing::{T1X64, TIMER_D, Time};

/// The states of figure 5.
#[derive(Debug)]
pub(crate) enum InviteClient {
    /// Sent, nothing heard.
    Calling {
        /// The INVITE.
        request: Box<[u8]>,
        /// Timer A; none on a reliable transport.
        timer_a: Option<Retransmission>,
        /// Timer B: 64·T1.
        timer_b: Time,
        /// The CANCEL that goes out on the first 1xx (RFC 3261 §9.1).
        cancel: Option<Box<[u8]>>,
    },
    /// A 1xx came.
    Proceeding {
        /// The INVITE, for an ACK or a CANCEL.
        request: Box<[u8]>,
        /// When a cancelled INVITE is given up: 64·T1 after the CANCEL (RFC 3261 §9.1).
        give_up: Option<Time>,
    },
    /// 300-699 came and was ACKed.
    Completed {
        /// The ACK, for each copy of the response.
        ack: Box<[u8]>,
        timer_d: Time,
    },
    /// 2xx came: all that follow are passed up (RFC 6026 §7.2).
    Accepted {
        /// Timer M: 64·T1.
        timer_m: Time,
    },
    /// Over.
    Terminated,
}

/// What a response causes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnResponse {
    /// Nothing.
    Drop,
    /// Pass it up.
    Provisional,
    /// Pass it up; and send this CANCEL, which waited for it.
    ProvisionalThenCancel(Box<[u8]>),
    /// Send the ACK that [`InviteClient::ack`] shows, and pass the response up.
    Refused,
    /// Send the ACK again.
    AckAgain,
    /// Pass the first 2xx up.
    Accepted,
    /// Pass a further 2xx up: a retransmission, or another branch of a fork.
    AcceptedAgain,
}

/// What the wish to cancel causes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// Nothing: it has its final response, or the wish is known.
    No,
    /// It waits for the first 1xx.
    Wait,
    /// Send this CANCEL.
    Send(Box<[u8]>),
}

/// What a due deadline causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTimer {
    /// Timer A: send the INVITE again.
    Retransmit,
    /// Timer B, or a cancelled INVITE without an answer: tell the layer above.
    Timeout,
    /// Timer D or M: over, quietly.
    End,
}

impl InviteClient {
    /// The INVITE was just sent.
    pub(crate) fn start(now: Time, reliable: bool, request: Box<[u8]>) -> InviteClient {
        let timer_a = (!reliable).then(|| Retransmission::start(now));
        InviteClient::Calling { request, timer_a, timer_b: now + T1X64, cancel: None }
    }

    /// A response came. `make_ack` turns the INVITE into the ACK for it.
    pub(crate) fn on_response(
        &mut self,
        now: Time,
        reliable: bool,
        status: u16,
        make_ack: impl FnOnce(&[u8]) -> Box<[u8]>,
    ) -> OnResponse {
        match (&mut *self, status) {
            (InviteClient::Calling { request, cancel, .. }, 100..=199) => {
                let (request, cancel) = (std::mem::take(request), cancel.take());
                let give_up = cancel.is_some().then(|| now + T1X64);
                *self = InviteClient::Proceeding { request, give_up };
                cancel.map_or(OnResponse::Provisional, OnResponse::ProvisionalThenCancel)
            }
            (InviteClient::Proceeding { .. }, 100..=199) => OnResponse::Provisional,
            (InviteClient::Calling { .. } | InviteClient::Proceeding { .. }, 200..=299) => {
                *self = InviteClient::Accepted { timer_m: now + T1X64 };
                OnResponse::Accepted
            }
            (InviteClient::Calling { request, .. } | InviteClient::Proceeding { request, .. }, 300..=699) => {
                let ack = make_ack(request);
                // Timer D is zero on a reliable transport, but the ACK has still to be sent from here.
                let timer_d = if reliable { now } else { now + TIMER_D };
                *self = InviteClient::Completed { ack, timer_d };
                OnResponse::Refused
            }
            (InviteClient::Completed { .. }, 300..=699) => OnResponse::AckAgain,
            (InviteClient::Accepted { .. }, 200..=299) => OnResponse::AcceptedAgain,
            (
                InviteClient::Completed { .. } | InviteClient::Accepted { .. } | InviteClient::Terminated,
                _,
            )
            | (InviteClient::Calling { .. } | InviteClient::Proceeding { .. }, _) => OnResponse::Drop,
        }
    }

    /// The layer above wants it no more. `make_cancel` turns the INVITE into its CANCEL.
    pub(crate) fn cancel(&mut self, now: Time, make_cancel: impl FnOnce(&[u8]) -> Box<[u8]>) -> OnCancel {
        match self {
            InviteClient::Calling { request, cancel: cancel @ None, .. } => {
                *cancel = Some(make_cancel(request));
                OnCancel::Wait
            }
            InviteClient::Proceeding { request, give_up: give_up @ None } => {
                *give_up = Some(now + T1X64);
                OnCancel::Send(make_cancel(request))
            }
            InviteClient::Calling { cancel: Some(_), .. }
            | InviteClient::Proceeding { give_up: Some(_), .. }
            | InviteClient::Completed { .. }
            | InviteClient::Accepted { .. }
            | InviteClient::Terminated => OnCancel::No,
        }
    }

    /// No copy is sent any more; a late response is heard all the same.
    pub(crate) fn stop(&mut self) {
        if let InviteClient::Calling { timer_a, .. } = self {
            *timer_a = None;
        }
    }

    /// A deadline is due.
    pub(crate) fn on_timer(&mut self, now: Time) -> Option<OnTimer> {
        let fired = match self {
            InviteClient::Calling { timer_b, .. } if *timer_b <= now => OnTimer::Timeout,
            InviteClient::Calling { timer_a: Some(timer_a), .. } if timer_a.at <= now => {
                timer_a.double(now);
                return Some(OnTimer::Retransmit);
            }
            InviteClient::Proceeding { give_up: Some(at), .. } if *at <= now => OnTimer::Timeout,
            InviteClient::Completed { timer_d: at, .. } | InviteClient::Accepted { timer_m: at }
                if *at <= now =>
            {
                OnTimer::End
            }
            InviteClient::Calling { .. }
            | InviteClient::Proceeding { .. }
            | InviteClient::Completed { .. }
            | InviteClient::Accepted { .. }
            | InviteClient::Terminated => return None,
        };
        *self = InviteClient::Terminated;
        Some(fired)
    }

    /// The process stood still: Timer A goes by true time, Timer B does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let InviteClient::Calling { timer_a: Some(timer_a), .. } = self {
            timer_a.catch_up(now, gap);
        }
    }

    /// The earliest timer.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            InviteClient::Calling { timer_a, timer_b, .. } => {
                Some(timer_a.map_or(*timer_b, |timer_a| timer_a.at.min(*timer_b)))
            }
            InviteClient::Proceeding { give_up, .. } => *give_up,
            InviteClient::Completed { timer_d, .. } => Some(*timer_d),
            InviteClient::Accepted { timer_m } => Some(*timer_m),
            InviteClient::Terminated => None,
        }
    }

    /// The INVITE, as long as there is no final response.
    pub(crate) fn request(&self) -> Option<&[u8]> {
        match self {
            InviteClient::Calling { request, .. } | InviteClient::Proceeding { request, .. } => Some(request),
            InviteClient::Completed { .. } | InviteClient::Accepted { .. } | InviteClient::Terminated => None,
        }
    }

    /// The ACK of state Completed.
    pub(crate) fn ack(&self) -> Option<&[u8]> {
        match self {
            InviteClient::Completed { ack, .. } => Some(ack),
            InviteClient::Calling { .. }
            | InviteClient::Proceeding { .. }
            | InviteClient::Accepted { .. }
            | InviteClient::Terminated => None,
        }
    }
}
