//! OPTIONS inside the dialog, at an interval and when asked for.
//!
//! Judged is only who has answered one with 2xx in this dialog. Three misses, or a 481 or 408 after that 2xx, are a
//! suspicion: one re-INVITE with the session as it stands follows, and only silence, a 481 or a BYE to that ends the leg.
//! Who answers otherwise is not asked again; who never answers is told of once.

use super::presence::{Purpose, Sign};
use super::send::{MAX_FORWARDS, Request};
use super::usage::{Kind, Usage};
use super::{Event, LegId, Origin, SentId};
use crate::sip::durations::SUSPICION_RETRY;
use crate::sip::stack::{Gone, NotSent, Stack};
use crate::sip::timing::{Now, Time};
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::{Method, Name};
use std::time::Duration;

/// How many misses in a row are a suspicion, and how many OPTIONS without an answer are told of.
const MISSES: u8 = 3;

/// OPTIONS at an interval. Every idle leg has one: it is kept small.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// In milliseconds.
    interval: u32,
    /// When the next one goes.
    pub(crate) at: Time,
    /// How many in a row had no answer by the time of the next one, and nothing else was heard.
    missed: u8,
    /// Nothing was heard since the last one.
    open: bool,
    /// How many were sent before the first that was answered; counted to the one that is told of.
    ignored: u8,
}

impl KeepAlive {
    /// The peer was heard, or is not suspected any more.
    pub(crate) fn forgive(&mut self) {
        (self.open, self.missed) = (false, 0);
    }

    fn after(&self, now: Time) -> Time {
        now + Duration::from_millis(self.interval.into())
    }
}

impl Stack {
    /// One OPTIONS inside the dialog: is it still there? Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// The leg is not answered, or over.
    pub fn probe(&mut self, now: Now, leg: LegId) -> Result<SentId, Gone> {
        let confirmed = self.legs.get(leg.into()).is_some_and(|leg| matches!(leg.usage, Usage::Confirmed));
        if !confirmed {
            return Err(Gone);
        }
        self.send_options(now.mono, leg, Kind::Probe).ok_or(Gone)
    }

    /// OPTIONS inside the dialog at each interval, from now on, once the leg is answered. None: off. The module says what
    /// comes of it: [`Event::Lost`], or [`Event::KeepaliveIgnored`] once.
    pub fn keep_alive(&mut self, now: Now, leg: LegId, interval: Option<Duration>) {
        let Some(entry) = self.legs.get_mut(leg.into()) else { return };
        entry.keepalive = interval.filter(|interval| !interval.is_zero()).map(|interval| {
            let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX).max(1);
            let at = now.mono + Duration::from_millis(millis.into());
            Box::new(KeepAlive { interval: millis, at, missed: 0, open: false, ignored: 0 })
        });
        self.settle(now.mono, leg);
    }

    pub(crate) fn send_options(&mut self, now: Time, id: LegId, kind: Kind) -> Option<SentId> {
        let request = Request {
            method: Method::Options,
            kind,
            id: self.next_sent(),
            max_forwards: MAX_FORWARDS,
            offered: false,
            body: None,
            within: None,
        };
        self.send_request(now, id, &request, &|writer| {
            writer.header(Name::Accept, APPLICATION_SDP);
        })
    }

    /// The next OPTIONS is due.
    pub(crate) fn keepalive_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let (answers, confirming) = (leg.presence.answers_options, leg.is_being_confirmed());
        let Some(keepalive) = leg.keepalive.as_mut().filter(|keepalive| keepalive.at <= now) else { return };
        keepalive.at = keepalive.after(now);
        if !matches!(leg.usage, Usage::Confirmed) || confirming {
            return;
        }
        if std::mem::replace(&mut keepalive.open, true) {
            keepalive.missed = keepalive.missed.saturating_add(1);
        }
        if answers && keepalive.missed >= MISSES {
            return self.suspect(now, id);
        }
        let ignored = !answers && keepalive.ignored == MISSES;
        keepalive.ignored = (keepalive.ignored + 1).min(MISSES + 1);
        self.send_options(now, id, Kind::KeepAlive);
        if ignored {
            self.tell(id, Event::KeepaliveIgnored { leg: id });
        }
    }

    /// The peer, which has answered OPTIONS before, may be gone.
    fn suspect(&mut self, now: Time, id: LegId) {
        let sent = self.restate_for(now, id, Purpose::Confirmation);
        let Some(keepalive) = self.legs.get_mut(id.into()).and_then(|leg| leg.keepalive.as_mut()) else {
            return;
        };
        match sent {
            Ok(_) | Err(NotSent::Gone) => {}
            Err(NotSent::Pending) => {
                (keepalive.missed, keepalive.open) = (MISSES, false);
                keepalive.at = keepalive.after(now).min(now + SUSPICION_RETRY);
            }
        }
    }

    /// The answer to a keepalive.
    pub(crate) fn on_keepalive_answer(&mut self, now: Time, id: LegId, outcome: (u16, Origin)) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let answers = leg.presence.answers_options;
        match (Sign::of(outcome), outcome) {
            (Sign::Forgotten, _) | (_, (408, Origin::Remote)) if answers => self.suspect(now, id),
            // It counts when the next one is due.
            (Sign::Silence, _) => {}
            // Its life was noted where it came in.
            (Sign::Life, _) if answers => {}
            (Sign::Neither, _) if answers => {
                if let Some(keepalive) = &mut leg.keepalive {
                    keepalive.open = false;
                }
            }
            (Sign::Life | Sign::Neither | Sign::Forgotten, _) => leg.keepalive = None,
        }
    }
}
