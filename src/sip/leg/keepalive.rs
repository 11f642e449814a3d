//! Is the peer still there? OPTIONS inside the dialog.

use super::send::{MAX_FORWARDS, Request};
use super::usage::{Kind, Usage};
use super::{Event, LegId, Origin, SentId};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::{Now, Time};
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::{Method, Name};
use std::time::Duration;

/// How many unanswered OPTIONS mean that the peer is gone.
const MISSES: u8 = 2;

/// OPTIONS at an interval.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    /// When the next one goes.
    pub(crate) at: Time,
    /// How many in a row had no answer by the time of the next one.
    missed: u8,
    /// Whether the last one is still without an answer.
    open: bool,
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

    /// OPTIONS inside the dialog at each interval, once the leg is answered; two unanswered ones or one 481/408 =
    /// [`Event::Lost`]. None: off.
    pub fn keep_alive(&mut self, now: Now, leg: LegId, interval: Option<Duration>) {
        let Some(entry) = self.legs.get_mut(leg.into()) else { return };
        entry.keepalive = interval.filter(|interval| !interval.is_zero()).map(|interval| {
            Box::new(KeepAlive { interval, at: now.mono + interval, missed: 0, open: false })
        });
        self.settle(now.mono, leg);
    }

    fn send_options(&mut self, now: Time, id: LegId, kind: Kind) -> Option<SentId> {
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
        let Some(keepalive) = leg.keepalive.as_mut().filter(|keepalive| keepalive.at <= now) else { return };
        keepalive.at = now + keepalive.interval;
        if !matches!(leg.usage, Usage::Confirmed) {
            return;
        }
        if std::mem::replace(&mut keepalive.open, true) {
            keepalive.missed += 1;
        }
        if keepalive.missed >= MISSES {
            let event = self.lose(id, (408, Origin::Local));
            self.events.extend(event);
        } else {
            self.send_options(now, id, Kind::KeepAlive);
        }
    }

    /// The answer to a keepalive.
    pub(crate) fn on_keepalive_answer(&mut self, id: LegId, outcome: (u16, Origin)) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        match (outcome, &leg.usage) {
            // RFC 5057 §5.1.
            ((481 | 408, Origin::Remote), Usage::Confirmed) => self.lose(id, outcome),
            // No answer: it counts when the next one is due.
            ((_, Origin::Local), _) => None,
            ((_, Origin::Remote), _) => {
                if let Some(keepalive) = &mut leg.keepalive {
                    (keepalive.open, keepalive.missed) = (false, 0);
                }
                None
            }
        }
    }

    /// The leg stays up for us: whoever hears of the loss closes it, and its BYE tells a peer that only did not answer
    /// (RFC 3261 §12.2.1.2).
    pub(crate) fn lose(&mut self, id: LegId, (status, origin): (u16, Origin)) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        leg.keepalive = None;
        self.told(id, Event::Lost { leg: id, status, origin })
    }
}
