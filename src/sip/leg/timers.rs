//! What time does to a leg: one timer for each thing that it waits for.
//!
//! A leg arms one deadline, that of its earliest timer. Not here: what a timer starts and what it does, which stands with
//! what it is for; and the timers of transactions, which are theirs.

use super::Leg;
use super::pending::PendingUac;
use super::usage::Usage;
use crate::sip::core::Io;
use crate::sip::timing::Time;

/// A timer of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegTimer {
    /// The peer's INVITE is over unless it was answered (Expires, RFC 3261 §13.3.1).
    Expires,
    /// Our 2xx to an INVITE goes out again, or its ACK is given up (RFC 3261 §13.3.1.4).
    Unacked,
    /// The last 18x goes out again (RFC 3261 §13.3.1.1).
    Repeat,
    /// A reliable 18x goes out again, or its PRACK is given up (RFC 3262 §3).
    Reliable,
    /// Nobody has answered a new call: the next address is tried, or it has failed.
    Silence,
    /// A request waits for a connection that it could do without: it goes by UDP.
    Opens,
    /// Timer C of an INVITE of ours (RFC 3261 §16.6), and Timer M of an accepted one: no copy of its 2xx comes any more
    /// (RFC 6026 §7.2).
    Invite,
    /// A NOTIFY that had a 491 goes out again.
    Notify,
    /// The next OPTIONS.
    KeepAlive,
    /// A 481 is to be confirmed, which another re-INVITE was in the way of.
    Confirm,
    /// The session is to be refreshed, or is over (RFC 4028 §10).
    Session,
}

impl LegTimer {
    /// All, in the order in which they are served.
    const ALL: [LegTimer; 11] = [
        LegTimer::Expires,
        LegTimer::Unacked,
        LegTimer::Repeat,
        LegTimer::Reliable,
        LegTimer::Silence,
        LegTimer::Opens,
        LegTimer::Invite,
        LegTimer::Notify,
        LegTimer::KeepAlive,
        LegTimer::Confirm,
        LegTimer::Session,
    ];
}

impl Leg {
    /// The earliest thing that time does to it.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        LegTimer::ALL.into_iter().filter_map(|timer| self.due_at(timer)).min()
    }

    /// A deadline of it is over.
    pub(crate) fn on_due(&mut self, io: &mut Io<'_>) {
        for timer in LegTimer::ALL {
            // What the one before did counts.
            if self.due_at(timer).is_some_and(|at| at <= io.now) {
                self.on_timer(io, timer);
            }
        }
    }

    fn due_at(&self, timer: LegTimer) -> Option<Time> {
        let offered = match &self.usage {
            Usage::Offered(offered) => Some(offered),
            Usage::Calling(_) | Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => None,
        };
        match timer {
            LegTimer::Expires => offered?.expires,
            LegTimer::Unacked => self.unacked.as_ref().map(|unacked| unacked.at.min(unacked.until)),
            LegTimer::Repeat => offered?.repeat_at,
            LegTimer::Reliable => offered?.reliable.as_ref()?.deadline(),
            LegTimer::Silence => self.silence_deadline(),
            LegTimer::Opens => self.opens_by(),
            LegTimer::Invite => self.sent.iter().filter_map(PendingUac::expires_at).min(),
            LegTimer::Notify => self.referrals.iter().filter_map(|referral| referral.again_at).min(),
            LegTimer::KeepAlive => self.keepalive.as_ref().map(|keepalive| keepalive.at),
            LegTimer::Confirm => self.unconfirmed(),
            LegTimer::Session => self.timer.as_ref().map(|timer| timer.deadline()),
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: LegTimer) {
        match timer {
            LegTimer::Expires => self.expires_due(io),
            LegTimer::Unacked => self.unacked_due(io),
            LegTimer::Repeat => self.repeat_due(io),
            LegTimer::Reliable => self.reliable_due(io),
            LegTimer::Silence => self.silence_due(io),
            LegTimer::Opens => self.opens_due(io),
            LegTimer::Invite => self.expire_due(io),
            LegTimer::Notify => self.notify_due(io),
            LegTimer::KeepAlive => self.keepalive_due(io),
            LegTimer::Confirm => self.confirm(io),
            LegTimer::Session => self.timer_due(io),
        }
    }
}
