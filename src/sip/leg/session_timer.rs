//! Session timers (RFC 4028), each side by itself: a session that nobody refreshes in time is over.
//!
//! As UAS we take what the caller asks for, within our bounds, and let the caller refresh unless it asks otherwise; a
//! caller that knows nothing of this gets no timer, unless a proxy on the way asked for one. As UAC we ask for ours.
//! A refresh of ours is an UPDATE without a body where the peer takes UPDATE, else a re-INVITE with what stands.

use super::reliable::names;
use super::send::{MAX_FORWARDS, Request};
use super::usage::{Kind, Leg};
use super::{LegId, Origin, SentId};
use crate::sip::durations::{OUR_REFRESH_MARGIN, PEERS_REFRESH_MARGIN, REFRESH_RETRY};
use crate::sip::offer_answer::Exchange;
use crate::sip::pace::Gap;
use crate::sip::stack::Stack;
use crate::sip::timing::Time;
use crate::wire::grammar::{self, Params};
use crate::wire::headers::{APPLICATION_SDP, TIMER, UAC, UAS};
use crate::wire::{Message, Method, Name, Writer};
use std::time::Duration;

/// What we ask for and take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Session-Expires of our requests, in seconds.
    pub expires: u32,
    /// The shortest that we take, in seconds (at least 90).
    pub min_se: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { expires: 1800, min_se: MINIMUM }
    }
}

/// The timer of one session.
#[derive(Debug)]
pub(crate) struct Timer {
    interval: u32,
    /// We refresh.
    ours: bool,
    /// When the next refresh of ours goes out; None: it is out, or not ours.
    refresh_at: Option<Time>,
    /// When the peer gives it up, or we do where the refresh is the peer's.
    expiry: Time,
    /// When it is over for us. Where the refresh is ours that is later, should the peer not hold to its side of RFC 4028 §10.
    until: Time,
    /// Our refresh that has no answer.
    sent: Option<SentId>,
}

impl Timer {
    /// The process stood still: our refresh goes by true time. When the peer's is missed is judged, so it does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        gap.pull(now, &mut self.refresh_at);
    }

    pub(crate) fn deadline(&self) -> Time {
        self.refresh_at.map_or(self.until, |at| at.min(self.until))
    }
}

/// What was agreed on with a request of the peer's: what our 2xx says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    interval: u32,
    ours: bool,
}

/// A Session-Expires that is shorter than we take: 422 with this Min-SE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooShort(pub(crate) u32);

/// Who refreshes a session, by its part in the request that says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

/// Seconds and refresher of a Session-Expires.
fn session_expires(message: &Message<'_>) -> Option<(u32, Option<Refresher>)> {
    let value = message.header(Name::SessionExpires)?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let seconds = grammar::decimal(grammar::trim(&value[..end]))?;
    let refresher = Params::new(&value[end..]).find(b"refresher").flatten();
    let named = refresher.and_then(|who| match who {
        _ if who.eq_ignore_ascii_case(UAC.as_bytes()) => Some(Refresher::Uac),
        _ if who.eq_ignore_ascii_case(UAS.as_bytes()) => Some(Refresher::Uas),
        _ => None,
    });
    Some((seconds, named))
}

fn min_se(message: &Message<'_>) -> Option<u32> {
    let value = message.header(Name::MinSe)?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    grammar::decimal(grammar::trim(&value[..end]))
}

/// What is agreed on with an INVITE or UPDATE of the peer's (RFC 4028 §9).
pub(crate) fn demand(settings: Option<Settings>, message: &Message<'_>) -> Result<Option<Demand>, TooShort> {
    let Some(settings) = settings else { return Ok(None) };
    let knows = names(message, Name::Supported, TIMER) || names(message, Name::Require, TIMER);
    let Some((asked, refresher)) = session_expires(message) else {
        return Ok(knows.then_some(Demand { interval: settings.expires, ours: false }));
    };
    if asked < settings.min_se && knows {
        return Err(TooShort(settings.min_se));
    }
    let floor = min_se(message).unwrap_or(0).max(settings.min_se);
    let interval = asked.min(settings.expires.max(floor));
    // Who knows nothing of it cannot refresh, whatever a proxy wrote.
    Ok(Some(Demand { interval, ours: !knows || refresher == Some(Refresher::Uas) }))
}

/// What our 2xx says (RFC 4028 §9).
pub(crate) fn write_demand(writer: &mut Writer<'_>, demand: Option<Demand>) {
    let Some(demand) = demand else { return };
    if !demand.ours {
        writer.header(Name::Require, TIMER);
    }
    let mut line = writer.begin(Name::SessionExpires);
    line.push_number(demand.interval.into());
    line.push(";refresher=").push(if demand.ours { UAS } else { UAC });
}

impl Leg {
    /// When its session is over for one of the two, unless it is refreshed.
    pub(crate) fn session_expiry(&self) -> Option<Time> {
        self.timer.as_ref().map(|timer| timer.expiry)
    }

    /// What a request of ours asks for (RFC 4028 §7.1, §7.4): ours at first, later what stands, the roles kept.
    pub(crate) fn write_timer(&self, writer: &mut Writer<'_>, settings: Option<Settings>, kind: Kind) {
        let Some(settings) = settings else { return };
        match (&self.timer, kind) {
            (Some(timer), _) => {
                let mut line = writer.begin(Name::SessionExpires);
                line.push_number(timer.interval.into());
                line.push(";refresher=").push(if timer.ours { UAC } else { UAS });
            }
            (None, Kind::Invite) => {
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
    pub(crate) fn agreed(&mut self, now: Time, settings: Option<Settings>, message: &Message<'_>) {
        let found = session_expires(message).filter(|_| settings.is_some());
        match found {
            // An interval of nothing is nobody's wish.
            Some((interval, refresher)) => {
                self.start_timer(now, interval.max(MINIMUM), refresher != Some(Refresher::Uas));
            }
            None => self.timer = None,
        }
    }
}

/// The shortest interval there is (RFC 4028 §4).
const MINIMUM: u32 = 90;

/// The Session-Expires and Min-SE that a 422 asks for.
pub(crate) fn wanted(settings: Option<Settings>, response: &Message<'_>) -> Option<u32> {
    let settings = settings?;
    min_se(response).filter(|&seconds| seconds > settings.min_se).map(|least| least.max(settings.expires))
}

impl Stack {
    /// A session timer is due: our refresh, or the end.
    pub(crate) fn timer_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Some(timer) = leg.timer.as_mut().filter(|timer| timer.deadline() <= now) else { return };
        if timer.until <= now {
            leg.timer = None;
            if leg.is_answered() {
                self.lose(id, (408, Origin::Local));
            }
            return;
        }
        timer.refresh_at = Some(now + REFRESH_RETRY);
        let free = leg.session.exchange() == Exchange::Idle && !leg.invite_under_way();
        if !leg.is_answered() || !free {
            return;
        }
        let update = leg.updates;
        let sdp = leg.session.local().to_vec();
        if !update && sdp.is_empty() {
            return;
        }
        let sdp = (!update).then(|| leg.session.offer(&sdp).to_vec());
        let request = Request {
            method: if update { Method::Update } else { Method::Invite },
            kind: if update { Kind::Update } else { Kind::Modify },
            id: self.next_sent(),
            max_forwards: MAX_FORWARDS,
            offered: sdp.is_some(),
            body: sdp.as_deref().map(|sdp| (APPLICATION_SDP.as_bytes(), sdp)),
            within: None,
        };
        let sent = self.send_request(now, id, &request, &|_| ());
        if let Some(timer) = self.legs.get_mut(id.into()).and_then(|leg| leg.timer.as_mut()) {
            (timer.refresh_at, timer.sent) = (None, sent);
        }
    }

    /// The final answer to a request of ours: true if that was a refresh of the stack's own.
    pub(crate) fn on_refreshed(&mut self, now: Time, id: LegId, sent: SentId, status: u16) -> bool {
        let back_off = self.back_off(id);
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let Some(timer) = leg.timer.as_mut().filter(|timer| timer.sent == Some(sent)) else { return false };
        timer.sent = None;
        match status {
            // `agreed` has made a new timer already, or none.
            200..=299 => {}
            // The leg is lost.
            481 => leg.timer = None,
            491 => timer.refresh_at = Some(now + back_off),
            405 | 501 if leg.updates => {
                leg.updates = false;
                timer.refresh_at = Some(now);
            }
            // What stands, stands until it expires (RFC 4028 §10). Who refuses is there, and may be only busy; who is silent is
            // checked (`presence`).
            _ => {
                let halves = [timer.expiry, timer.until].map(|end| end.since(now) / 2);
                timer.refresh_at =
                    halves.into_iter().find(|half| *half >= REFRESH_RETRY).map(|half| now + half);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Framing, Index, decode};

    fn asked(headers: &str) -> Result<Option<Demand>, TooShort> {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n{headers}\r\n"
        );
        let mut index = Index::default();
        demand(
            Some(Settings::default()),
            &decode(text.as_bytes(), &mut index, Framing::Datagram).expect("decodes"),
        )
    }

    #[test]
    fn who_refreshes_and_when() {
        let demand = |interval, ours| Ok(Some(Demand { interval, ours }));
        assert_eq!(asked(""), Ok(None), "a caller that knows nothing of it");
        assert_eq!(asked("Supported: timer\r\n"), demand(1800, false));
        assert_eq!(asked("k: 100rel, TIMER\r\nx: 600\r\n"), demand(600, false));
        assert_eq!(asked("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n"), demand(600, true));
        assert_eq!(asked("Supported: timer\r\nSession-Expires: 600 ; refresher=uac\r\n"), demand(600, false));
        assert_eq!(
            asked("Supported: timer\r\nSession-Expires: 7200\r\n"),
            demand(1800, false),
            "ours is shorter"
        );
        assert_eq!(
            asked("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n"),
            demand(3600, false),
            "not shorter than they take"
        );
        assert_eq!(asked("Session-Expires: 600;refresher=uac\r\n"), demand(600, true), "a proxy asked");
        assert_eq!(asked("Supported: timer\r\nSession-Expires: 60\r\n"), Err(TooShort(90)));
        assert_eq!(asked("Session-Expires: 60\r\n"), demand(60, true), "nobody would understand a 422");
        assert_eq!(asked("Supported: timer\r\nSession-Expires: soon\r\n"), demand(1800, false));
    }
}
