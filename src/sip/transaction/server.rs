//! The non-INVITE server transaction: RFC 3261 §17.2.2, figure 8, as RFC 4320 amends it.
//!
//! A pure machine: it says what to do and never does it. [`super::Table`] owns and drives it. RFC 4320 adds a 100
//! when the client's Timer E has come to T2, and no 408, which would come when the client is gone.

use super::Echo;
use crate::sip::durations::TRYING_AFTER;
use crate::sip::pace::Gap;
use crate::sip::timing::{T1X64, Time};

/// The states of figure 8.
#[derive(Debug)]
pub(crate) enum Server {
    /// The request came.
    Trying {
        /// What responses copy from the request.
        echo: Echo,
        /// When a 100 must go out.
        trying: Time,
        /// When the client has given up: its Timer F.
        expires: Time,
    },
    /// A 100 was sent.
    Proceeding {
        /// What responses copy from the request.
        echo: Echo,
        /// The provisional response.
        last: Box<[u8]>,
        /// When the client has given up: its Timer F.
        expires: Time,
    },
    /// The final response was sent.
    Completed {
        response: Box<[u8]>,
        /// Timer J: 64·T1.
        timer_j: Time,
    },
    /// Over.
    Terminated,
}

/// What a due deadline causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTimer {
    /// RFC 4320 §4.2: send a 100 (and report it with [`Server::on_sent`]).
    SendTrying,
    /// Over, quietly: Timer J, or the client has given up.
    End,
}

impl Server {
    /// The request came.
    pub(crate) fn start(now: Time, echo: Echo) -> Server {
        Server::Trying { echo, trying: now + TRYING_AFTER, expires: now + T1X64 }
    }

    /// What responses copy, as long as there is no final one.
    pub(crate) fn echo(&self) -> Option<&Echo> {
        match self {
            Server::Trying { echo, .. } | Server::Proceeding { echo, .. } => Some(echo),
            Server::Completed { .. } | Server::Terminated => None,
        }
    }

    /// `response` is being sent. Only called while [`Server::echo`] is there.
    pub(crate) fn on_sent(&mut self, now: Time, reliable: bool, status: u16, response: Box<[u8]>) {
        match (&mut *self, status) {
            (Server::Trying { echo, expires, .. }, 0..=199) => {
                let echo = std::mem::take(echo);
                *self = Server::Proceeding { echo, last: response, expires: *expires };
            }
            (Server::Proceeding { last, .. }, 0..=199) => *last = response,
            (Server::Trying { .. } | Server::Proceeding { .. }, _) => {
                *self = if reliable {
                    Server::Terminated
                } else {
                    Server::Completed { response, timer_j: now + T1X64 }
                };
            }
            (Server::Completed { .. } | Server::Terminated, _) => {}
        }
    }

    /// The request came again: what to send again.
    pub(crate) fn on_retransmission(&self) -> Option<&[u8]> {
        match self {
            Server::Proceeding { last, .. } => Some(last),
            Server::Completed { response, .. } => Some(response),
            Server::Trying { .. } | Server::Terminated => None,
        }
    }

    /// A deadline is due.
    pub(crate) fn on_timer(&mut self, now: Time) -> Option<OnTimer> {
        match self {
            Server::Trying { expires: at, .. }
            | Server::Proceeding { expires: at, .. }
            | Server::Completed { timer_j: at, .. }
                if *at <= now =>
            {
                *self = Server::Terminated;
                Some(OnTimer::End)
            }
            Server::Trying { trying, .. } if *trying <= now => Some(OnTimer::SendTrying),
            Server::Trying { .. }
            | Server::Proceeding { .. }
            | Server::Completed { .. }
            | Server::Terminated => None,
        }
    }

    /// The process stood still: the 100 goes by true time.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let Server::Trying { trying, .. } = self {
            *trying = gap.back(now, *trying);
        }
    }

    /// The earliest timer.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Server::Trying { trying, expires, .. } => Some(*trying.min(expires)),
            Server::Proceeding { expires, .. } => Some(*expires),
            Server::Completed { timer_j, .. } => Some(*timer_j),
            Server::Terminated => None,
        }
    }
}
