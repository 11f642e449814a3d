//! The INVITE server transaction: RFC 3261 §17.2.1, figure 7, as RFC 6026 §8.5 amends it.
//!
//! A pure machine: it says what to do and never does it. [`super::Table`] owns and drives it. Not here: the 100,
//! which the layer above sends at once, and retransmissions of a 2xx, which are the leg's.

use super::{Echo, Retransmission};
use crate::sip::pace::Gap;
use crate::sip::timing::{T1X64, T4, Time};

/// The states of figure 7.
#[derive(Debug)]
pub(crate) enum InviteServer {
    /// No final response yet.
    Proceeding {
        /// What responses copy from the request.
        echo: Echo,
        /// The last provisional response.
        last: Option<Box<[u8]>>,
    },
    /// 300-699 was sent and waits for its ACK.
    Completed {
        response: Box<[u8]>,
        /// Timer G; none on a reliable transport.
        timer_g: Option<Retransmission>,
        /// Timer H: 64·T1.
        timer_h: Time,
    },
    /// The ACK came; copies of it are absorbed.
    Confirmed {
        /// Timer I: T4.
        timer_i: Time,
    },
    /// 2xx was sent: copies of the INVITE are absorbed (RFC 6026 §7.1).
    Accepted {
        /// The 2xx, for the leg to send again until it is acknowledged.
        response: Option<Box<[u8]>>,
        /// Timer L: 64·T1.
        timer_l: Time,
    },
    /// Over.
    Terminated,
}

/// What a due deadline causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTimer {
    /// Timer G: send the response again.
    Retransmit,
    /// Timer H: no ACK came. Tell the layer above.
    NoAck,
    /// Timer I or L: over, quietly.
    End,
}

impl InviteServer {
    /// The INVITE came.
    pub(crate) fn start(echo: Echo) -> InviteServer {
        InviteServer::Proceeding { echo, last: None }
    }

    /// What responses copy, as long as there is no final one.
    pub(crate) fn echo(&self) -> Option<&Echo> {
        match self {
            InviteServer::Proceeding { echo, .. } => Some(echo),
            InviteServer::Completed { .. }
            | InviteServer::Confirmed { .. }
            | InviteServer::Accepted { .. }
            | InviteServer::Terminated => None,
        }
    }

    /// `response` is being sent. Only called while [`InviteServer::echo`] is there.
    pub(crate) fn on_sent(&mut self, now: Time, reliable: bool, status: u16, response: Box<[u8]>) {
        match (&mut *self, status) {
            (InviteServer::Proceeding { last, .. }, 0..=199) => *last = Some(response),
            (InviteServer::Proceeding { .. }, 200..=299) => {
                *self = InviteServer::Accepted { response: Some(response), timer_l: now + T1X64 };
            }
            (InviteServer::Proceeding { .. }, _) => {
                let timer_g = (!reliable).then(|| Retransmission::start(now));
                *self = InviteServer::Completed { response, timer_g, timer_h: now + T1X64 };
            }
            (
                InviteServer::Completed { .. }
                | InviteServer::Confirmed { .. }
                | InviteServer::Accepted { .. }
                | InviteServer::Terminated,
                _,
            ) => {}
        }
    }

    /// The INVITE came again: what to send again.
    pub(crate) fn on_retransmission(&self) -> Option<&[u8]> {
        match self {
            InviteServer::Proceeding { last, .. } => last.as_deref(),
            InviteServer::Completed { response, .. } => Some(response),
            InviteServer::Confirmed { .. } | InviteServer::Accepted { .. } | InviteServer::Terminated => None,
        }
    }

    /// An ACK with this transaction's key came: true if it is for the layer above (RFC 6026 §7.1: a peer that
    /// acknowledges a 2xx with the INVITE's branch).
    pub(crate) fn on_ack(&mut self, now: Time, reliable: bool) -> bool {
        match self {
            InviteServer::Completed { .. } => {
                *self = if reliable {
                    InviteServer::Terminated
                } else {
                    InviteServer::Confirmed { timer_i: now + T4 }
                };
                false
            }
            InviteServer::Accepted { .. } => true,
            InviteServer::Proceeding { .. } | InviteServer::Confirmed { .. } | InviteServer::Terminated => {
                false
            }
        }
    }

    /// A deadline is due.
    pub(crate) fn on_timer(&mut self, now: Time) -> Option<OnTimer> {
        let fired = match self {
            InviteServer::Completed { timer_h, .. } if *timer_h <= now => OnTimer::NoAck,
            InviteServer::Completed { timer_g: Some(timer_g), .. } if timer_g.at <= now => {
                timer_g.double_to_t2(now);
                return Some(OnTimer::Retransmit);
            }
            InviteServer::Confirmed { timer_i: at } | InviteServer::Accepted { timer_l: at, .. }
                if *at <= now =>
            {
                OnTimer::End
            }
            InviteServer::Proceeding { .. }
            | InviteServer::Completed { .. }
            | InviteServer::Confirmed { .. }
            | InviteServer::Accepted { .. }
            | InviteServer::Terminated => return None,
        };
        *self = InviteServer::Terminated;
        Some(fired)
    }

    /// The process stood still: Timer G goes by true time, Timer H does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let InviteServer::Completed { timer_g: Some(timer_g), .. } = self {
            timer_g.catch_up(now, gap);
        }
    }

    /// The earliest timer.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            InviteServer::Completed { timer_g, timer_h, .. } => {
                Some(timer_g.map_or(*timer_h, |timer_g| timer_g.at.min(*timer_h)))
            }
            InviteServer::Confirmed { timer_i } => Some(*timer_i),
            InviteServer::Accepted { timer_l, .. } => Some(*timer_l),
            InviteServer::Proceeding { .. } | InviteServer::Terminated => None,
        }
    }

    /// The final response, as long as it may have to be sent again.
    pub(crate) fn response(&self) -> Option<&[u8]> {
        match self {
            InviteServer::Completed { response, .. } => Some(response),
            InviteServer::Accepted { response, .. } => response.as_deref(),
            InviteServer::Proceeding { .. } | InviteServer::Confirmed { .. } | InviteServer::Terminated => {
                None
            }
        }
    }

    /// The leg has its ACK: the 2xx is needed no more.
    pub(crate) fn on_acknowledged(&mut self) {
        match self {
            InviteServer::Accepted { response, .. } => *response = None,
            InviteServer::Proceeding { .. }
            | InviteServer::Completed { .. }
            | InviteServer::Confirmed { .. }
            | InviteServer::Terminated => {}
        }
    }
}
