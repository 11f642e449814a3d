//! What a leg does about its session timer: it agrees on one, refreshes the session, and is lost when nobody did.
//!
//! Not here: what is asked for and taken (`session_timer`).

use super::Leg;
use super::event::{Origin, SentId};
use super::pending::{Kind, Purpose};
use super::send::Request;
use super::session_timer::{Demand, Refresher, Timer, session_expires};
use super::write::MAX_FORWARDS;
use crate::sip::core::Io;
use crate::sip::durations::{OUR_REFRESH_MARGIN, PEERS_REFRESH_MARGIN, REFRESH_RETRY};
use crate::sip::offer_answer::Exchange;
use crate::sip::settings::{SHORTEST, SessionTimer};
use crate::sip::timing::Time;
use crate::wire::headers::{UAC, UAS};
use crate::wire::{Message, Name, Writer};
use std::time::Duration;

impl Leg {
    /// When its session is over for one of the two, unless it is refreshed.
    pub(crate) fn session_expiry(&self) -> Option<Time> {
        self.timer.as_ref().map(|timer| timer.expiry)
    }

    /// What a request of ours asks for (RFC 4028 §7.1, §7.4): ours at first, later what stands, the roles kept.
    pub(super) fn write_timer(&self, writer: &mut Writer<'_>, settings: Option<SessionTimer>, kind: &Kind) {
        let Some(settings) = settings else { return };
        match (&self.timer, kind) {
            (Some(timer), _) => {
                let mut line = writer.begin(Name::SessionExpires);
                line.push_number(timer.interval.into());
                line.push(";refresher=").push(if timer.ours { UAC } else { UAS });
            }
            (None, Kind::Invite { .. }) => {
                writer.begin(Name::SessionExpires).push_number(settings.expires.into());
                writer.begin(Name::MinSe).push_number(settings.min_se.into());
            }
            (None, _) => {}
        }
    }

    fn start_timer(&mut self, now: Time, interval: u32, ours: bool) {
        let whole = Duration::from_secs(interval.into());
        let expiry = now + (whole - PEERS_REFRESH_MARGIN.min(whole / 3));
        let until = if ours { now + (whole - OUR_REFRESH_MARGIN) } else { expiry };
        let refresh_at = ours.then(|| now + whole / 2);
        self.timer = Some(Box::new(Timer { interval, ours, refresh_at, expiry, until, sent: None }));
    }

    /// Our 2xx has agreed on it.
    pub(crate) fn agree(&mut self, now: Time, demand: Option<Demand>) {
        match demand {
            Some(Demand { interval, ours }) => self.start_timer(now, interval, ours),
            None => self.timer = None,
        }
    }

    /// The peer's 2xx to an INVITE or UPDATE of ours has agreed on it.
    pub(crate) fn agreed(&mut self, now: Time, settings: Option<SessionTimer>, message: &Message<'_>) {
        let found = session_expires(message).filter(|_| settings.is_some());
        match found {
            // An interval of nothing is nobody's wish.
            Some((interval, refresher)) => {
                self.start_timer(now, interval.max(SHORTEST), refresher != Some(Refresher::Uas));
            }
            None => self.timer = None,
        }
    }
}

impl Leg {
    /// A session timer is due: our refresh, or the end.
    pub(super) fn timer_due(&mut self, io: &mut Io<'_>) {
        let Some(timer) = &mut self.timer else { return };
        if timer.until <= io.now {
            self.timer = None;
            if self.is_answered() {
                self.lose(io, (408, Origin::Local));
            }
            return;
        }
        timer.refresh_at = Some(io.now + REFRESH_RETRY);
        let free = self.session.exchange() == Exchange::Idle && !self.invite_under_way();
        if !self.is_answered() || !free {
            return;
        }
        let update = self.updates;
        if !update {
            let sdp = self.session.local().to_vec();
            if sdp.is_empty() {
                return;
            }
            self.session.offer(&sdp);
        }
        let request = Request {
            kind: if update { Kind::Update { offered: false } } else { Kind::reoffer(Purpose::Itself) },
            id: io.core.next_sent(),
            max_forwards: MAX_FORWARDS,
            body: None,
            branch: None,
        };
        let sent = self.send_request(io, request, &|_| ());
        if let Some(timer) = &mut self.timer {
            (timer.refresh_at, timer.sent) = (None, Some(sent));
        }
    }

    /// The final answer to a request of ours: true if that was a refresh of the stack's own.
    pub(super) fn on_refreshed(&mut self, io: &mut Io<'_>, sent: SentId, status: u16) -> bool {
        let back_off = io.core.back_off(self.outgoing);
        let Some(timer) = self.timer.as_mut().filter(|timer| timer.sent == Some(sent)) else { return false };
        timer.sent = None;
        match status {
            // `agreed` has made a new timer already, or none.
            200..=299 => {}
            // The leg is lost.
            481 => self.timer = None,
            491 => timer.refresh_at = Some(io.now + back_off),
            405 | 501 if self.updates => {
                self.updates = false;
                timer.refresh_at = Some(io.now);
            }
            // What stands, stands until it expires (RFC 4028 §10). Who refuses is there, and may be only busy; who is silent is
            // checked (`presence`).
            _ => {
                let halves = [timer.expiry, timer.until].map(|end| end.since(io.now) / 2);
                timer.refresh_at =
                    halves.into_iter().find(|half| *half >= REFRESH_RETRY).map(|half| io.now + half);
            }
        }
        true
    }
}
