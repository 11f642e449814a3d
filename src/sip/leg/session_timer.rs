//! Session timers (RFC 4028), each side by itself: a session that nobody refreshes in time is over.
//!
//! As UAS we take what the caller asks for, within our bounds, and let the caller refresh unless it asks otherwise; a
//! caller that knows nothing of this gets no timer, unless a proxy on the way asked for one. As UAC we ask for ours.
//! A refresh of ours is an UPDATE without a body where the peer takes UPDATE, else a re-INVITE with what stands.
//!
//! Here is what is asked for and taken; not here: what a leg does about it (`refresh`).

use super::event::SentId;
use super::reading::names;
use crate::sip::pace::Gap;
use crate::sip::settings::SessionTimer;
use crate::sip::timing::Time;
use crate::wire::grammar::{self, Params};
use crate::wire::headers::{TIMER, UAC, UAS};
use crate::wire::{Message, Name, Writer};

pub use crate::sip::settings::SessionTimer as Settings;

/// The timer of one session.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(super) interval: u32,
    /// We refresh.
    pub(super) ours: bool,
    /// When the next refresh of ours goes out; None: it is out, or not ours.
    pub(super) refresh_at: Option<Time>,
    /// When the peer gives it up, or we do where the refresh is the peer's.
    pub(super) expiry: Time,
    /// When it is over for us. Where the refresh is ours that is later, should the peer not hold to its side of RFC 4028 §10.
    pub(super) until: Time,
    /// Our refresh that has no answer.
    pub(super) sent: Option<SentId>,
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
    pub(super) interval: u32,
    pub(super) ours: bool,
}

/// A Session-Expires that is shorter than we take: 422 with this Min-SE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooShort(pub(crate) u32);

/// Who refreshes a session, by its part in the request that says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresher {
    Uac,
    Uas,
}

/// Seconds and refresher of a Session-Expires.
pub(super) fn session_expires(message: &Message<'_>) -> Option<(u32, Option<Refresher>)> {
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
pub(super) fn demand(
    settings: Option<SessionTimer>,
    message: &Message<'_>,
) -> Result<Option<Demand>, TooShort> {
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
pub(super) fn write_demand(writer: &mut Writer<'_>, demand: Option<Demand>) {
    let Some(demand) = demand else { return };
    if !demand.ours {
        writer.header(Name::Require, TIMER);
    }
    let mut line = writer.begin(Name::SessionExpires);
    line.push_number(demand.interval.into());
    line.push(";refresher=").push(if demand.ours { UAS } else { UAC });
}

/// The Session-Expires and Min-SE that a 422 asks for.
pub(crate) fn wanted(settings: Option<SessionTimer>, response: &Message<'_>) -> Option<u32> {
    let settings = settings?;
    min_se(response).filter(|&seconds| seconds > settings.min_se).map(|least| least.max(settings.expires))
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
