//! The non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.
//!
//! A pure machine: it says what to do and never does it. [`super::Table`] owns and drives it.

use super::Retransmission;
use crate::sip::pace::Gap;
use crate::sip::timing::{T1X64, T2, T4, Time};

/// The states of figure 6.
#[derive(Debug)]
pub(crate) enum Client {
    /// Sent, nothing heard.
    Trying {
        request: Box<[u8]>,
        /// Timer E; none on a reliable transport.
        timer_e: Option<Retransmission>,
        /// Timer F: 64·T1.
        timer_f: Time,
    },
    /// A 1xx came: Timer E goes on in steps of T2.
    Proceeding {
        request: Box<[u8]>,
        /// Timer E; none on a reliable transport.
        timer_e: Option<Retransmission>,
        /// Timer F: still the one of Trying.
        timer_f: Time,
    },
    /// A final response came; copies of it are absorbed.
    Completed {
        /// Timer K: T4.
        timer_k: Time,
    },
    /// Over.
    Terminated,
}

/// What a response causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnResponse {
    /// Nothing.
    Drop,
    /// Pass it up.
    Provisional,
    /// Pass it up; it is the final one.
    Final,
}

/// What a due deadline causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTimer {
    /// Timer E: send the request again.
    Retransmit,
    /// Timer F: tell the layer above.
    Timeout,
    /// Timer K: over, quietly.
    End,
}

impl Client {
    /// The request was just sent.
    pub(crate) fn start(now: Time, reliable: bool, request: Box<[u8]>) -> Client {
        let timer_e = (!reliable).then(|| Retransmission::start(now));
        Client::Trying { request, timer_e, timer_f: now + T1X64 }
    }

    /// A response came.
    pub(crate) fn on_response(&mut self, now: Time, reliable: bool, status: u16) -> OnResponse {
        match (&mut *self, status) {
            (Client::Trying { request, timer_e, timer_f }, 100..=199) => {
                let request = std::mem::take(request);
                *self = Client::Proceeding { request, timer_e: *timer_e, timer_f: *timer_f };
                OnResponse::Provisional
            }
            (Client::Proceeding { .. }, 100..=199) => OnResponse::Provisional,
            (Client::Trying { .. } | Client::Proceeding { .. }, 200..=699) => {
                *self = if reliable { Client::Terminated } else { Client::Completed { timer_k: now + T4 } };
                OnResponse::Final
            }
            (Client::Trying { .. } | Client::Proceeding { .. }, _)
            | (Client::Completed { .. } | Client::Terminated, _) => OnResponse::Drop,
        }
    }

    /// The layer above wants it no more: no copy is sent, and a late response is still passed up. It cannot be cancelled
    /// (RFC 3261 §9.1).
    pub(crate) fn give_up(&mut self) {
        match self {
            Client::Trying { timer_e, .. } | Client::Proceeding { timer_e, .. } => *timer_e = None,
            Client::Completed { .. } | Client::Terminated => {}
        }
    }

    /// A deadline is due.
    pub(crate) fn on_timer(&mut self, now: Time) -> Option<OnTimer> {
        let fired = match self {
            Client::Trying { timer_f, .. } | Client::Proceeding { timer_f, .. } if *timer_f <= now => {
                OnTimer::Timeout
            }
            Client::Trying { timer_e: Some(timer_e), .. } if timer_e.at <= now => {
                timer_e.double_to_t2(now);
                return Some(OnTimer::Retransmit);
            }
            Client::Proceeding { timer_e: Some(timer_e), .. } if timer_e.at <= now => {
                *timer_e = Retransmission { at: now + T2, interval: T2 };
                return Some(OnTimer::Retransmit);
            }
            Client::Completed { timer_k } if *timer_k <= now => OnTimer::End,
            Client::Trying { .. }
            | Client::Proceeding { .. }
            | Client::Completed { .. }
            | Client::Terminated => return None,
        };
        *self = Client::Terminated;
        Some(fired)
    }

    /// The process stood still: Timer E goes by true time, Timer F does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let Client::Trying { timer_e: Some(timer_e), .. }
        | Client::Proceeding { timer_e: Some(timer_e), .. } = self
        {
            timer_e.catch_up(now, gap);
        }
    }

    /// The earliest timer.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Client::Trying { timer_e, timer_f, .. } | Client::Proceeding { timer_e, timer_f, .. } => {
                Some(timer_e.map_or(*timer_f, |timer_e| timer_e.at.min(*timer_f)))
            }
            Client::Completed { timer_k } => Some(*timer_k),
            Client::Terminated => None,
        }
    }

    /// The request, as long as there is no final response.
    pub(crate) fn request(&self) -> Option<&[u8]> {
        match self {
            Client::Trying { request, .. } | Client::Proceeding { request, .. } => Some(request),
            Client::Completed { .. } | Client::Terminated => None,
        }
    }
}
