//! OPTIONS inside the dialog, at an interval and when asked for.
//!
//! Judged is only who has answered one with 2xx in this dialog. Three misses, or a 481 or 408 after that 2xx, are a
//! suspicion: one re-INVITE with the session as it stands follows, and only silence, a 481 or a BYE to that ends the leg.
//! Who answers otherwise is not asked again; who never answers is told of once.

use super::Leg;
use super::event::{Event, Gone, NotSent, Origin, SentId};
use super::pending::{Kind, Purpose};
use super::presence::Sign;
use super::send::Request;
use super::usage::Usage;
use super::write::MAX_FORWARDS;
use crate::sip::core::Io;
use crate::sip::durations::SUSPICION_RETRY;
use crate::sip::timing::Time;
use crate::wire::Name;
use crate::wire::headers::APPLICATION_SDP;
use std::time::Duration;

/// How many misses in a row are a suspicion, and how many OPTIONS without an answer are told of.
const MISSES: u8 = 3;

/// OPTIONS at an interval. Every idle leg has one: it is kept small.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// In milliseconds.
    interval: u32,
    /// When the next one goes.
    pub(super) at: Time,
    /// How many in a row had no answer by the time of the next one, and nothing else was heard.
    missed: u8,
    /// Nothing was heard since the last one.
    open: bool,
    /// How many were sent before the first that was answered; counted to the one that is told of.
    ignored: u8,
}

impl KeepAlive {
    /// The peer was heard, or is not suspected any more.
    pub(super) fn forgive(&mut self) {
        (self.open, self.missed) = (false, 0);
    }

    fn after(&self, now: Time) -> Time {
        now + Duration::from_millis(self.interval.into())
    }
}

impl Leg {
    /// What [`crate::sip::Stack::probe`] does.
    pub(crate) fn probe(&mut self, io: &mut Io<'_>) -> Result<SentId, Gone> {
        if !self.is_answered() {
            return Err(Gone);
        }
        Ok(self.send_options(io, Kind::Probe))
    }

    /// What [`crate::sip::Stack::keep_alive`] does.
    pub(crate) fn keep_alive(&mut self, io: &mut Io<'_>, interval: Option<Duration>) {
        self.keepalive = interval.filter(|interval| !interval.is_zero()).map(|interval| {
            let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX).max(1);
            let at = io.now + Duration::from_millis(millis.into());
            Box::new(KeepAlive { interval: millis, at, missed: 0, open: false, ignored: 0 })
        });
    }

    pub(super) fn send_options(&mut self, io: &mut Io<'_>, kind: Kind) -> SentId {
        let request =
            Request { kind, id: io.core.next_sent(), max_forwards: MAX_FORWARDS, body: None, branch: None };
        self.send_request(io, request, &|writer| {
            writer.header(Name::Accept, APPLICATION_SDP);
        })
    }

    /// The next OPTIONS is due.
    pub(super) fn keepalive_due(&mut self, io: &mut Io<'_>) {
        let (answers, confirming) = (self.presence.answers_options, self.is_being_confirmed());
        let Some(keepalive) = &mut self.keepalive else { return };
        keepalive.at = keepalive.after(io.now);
        if !matches!(self.usage, Usage::Confirmed) || confirming {
            return;
        }
        if std::mem::replace(&mut keepalive.open, true) {
            keepalive.missed = keepalive.missed.saturating_add(1);
        }
        if answers && keepalive.missed >= MISSES {
            return self.suspect(io);
        }
        let ignored = !answers && keepalive.ignored == MISSES;
        keepalive.ignored = (keepalive.ignored + 1).min(MISSES + 1);
        self.send_options(io, Kind::KeepAlive);
        if ignored {
            self.tell(io, Event::KeepaliveIgnored { leg: io.id });
        }
    }

    /// The peer, which has answered OPTIONS before, may be gone.
    fn suspect(&mut self, io: &mut Io<'_>) {
        let sent = self.restate_for(io, Purpose::Confirmation);
        let Some(keepalive) = &mut self.keepalive else { return };
        match sent {
            Ok(_) | Err(NotSent::Gone) => {}
            Err(NotSent::Pending) => {
                (keepalive.missed, keepalive.open) = (MISSES, false);
                keepalive.at = keepalive.after(io.now).min(io.now + SUSPICION_RETRY);
            }
        }
    }

    /// The answer to a keepalive.
    pub(super) fn on_keepalive_answer(&mut self, io: &mut Io<'_>, outcome: (u16, Origin)) {
        let answers = self.presence.answers_options;
        match (Sign::of(outcome), outcome) {
            (Sign::Forgotten, _) | (_, (408, Origin::Remote)) if answers => self.suspect(io),
            // It counts when the next one is due.
            (Sign::Silence, _) => {}
            // Its life was noted where it came in.
            (Sign::Life, _) if answers => {}
            (Sign::Neither, _) if answers => {
                if let Some(keepalive) = &mut self.keepalive {
                    keepalive.open = false;
                }
            }
            (Sign::Life | Sign::Neither | Sign::Forgotten, _) => self.keepalive = None,
        }
    }
}
