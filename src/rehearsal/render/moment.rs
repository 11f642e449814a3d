//! The time that is asked about: an instant, or what a clock shows at the place whose opening hours count.

use crate::call::command::{Invalid, Refusal};
use crate::call::record::Stamp;
use crate::routing::table::Table;
use crate::routing::table::rule::{MAX_CHAIN, Then};
use crate::sip::UnixMillis;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// When a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With a zone: `2026-12-25T10:00Z`.
    Instant(Stamp),
    /// What a clock shows: `2026-12-25T10:00`. Whose clock is decided by the destination.
    Civil(DateTime),
}

impl Moment {
    /// The instant. A time that the clock skips is that after the gap, one that it shows twice the first of both.
    pub(super) fn read_in(self, zone: &TimeZone) -> Result<Stamp, Refusal> {
        let civil = match self {
            Moment::Instant(at) => return Ok(at),
            Moment::Civil(civil) => civil,
        };
        let at = zone.to_ambiguous_zoned(civil).compatible().map_err(|error| {
            Refusal::Invalid(vec![Invalid { field: "at".to_owned(), message: error.to_string() }])
        })?;
        Ok(Stamp(UnixMillis(at.timestamp().as_millisecond())))
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant = text.parse::<Timestamp>().ok();
        let instant = instant.map(|at| Moment::Instant(Stamp(UnixMillis(at.as_millisecond()))));
        // A civil time would be read from one with a zone, too: without it.
        let civil = || text.parse::<DateTime>().ok().filter(|_| text.contains(':')).map(Moment::Civil);
        instant.or_else(civil).ok_or("expected a time like 2026-12-25T10:00 or 2026-12-25T10:00:00+01:00")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Instant(at) => at.fmt(f),
            Moment::Civil(civil) => civil.fmt(f),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Stamp {
    /// What a clock in that zone shows: `2026-12-25 10:00 America/New_York`.
    pub(super) fn local(self, zone: &TimeZone) -> String {
        let Ok(at) = Timestamp::from_millisecond(self.0.0) else { return self.to_string() };
        let civil = zone.to_datetime(at);
        let name = zone.iana_name().map_or_else(|| zone.to_offset(at).to_string(), str::to_owned);
        let (date, time) = (civil.date(), civil.time());
        format!("{date} {:02}:{:02} {name}", time.hour(), time.minute())
    }
}

/// The zone of the first opening hours that are asked when this destination is named: its own, or those of what it uses.
pub(super) fn zone(table: &Table, destination: &str) -> Option<TimeZone> {
    let mut asked = vec![destination];
    for _ in 0..=MAX_CHAIN {
        let found = asked.iter().filter_map(|id| table.find(id));
        let rules: Vec<_> = found.flat_map(|destination| &destination.rules).collect();
        if let Some(hours) = rules.iter().find_map(|rule| rule.hours.as_ref()) {
            return Some(hours.zone().clone());
        }
        asked = rules
            .iter()
            .filter_map(|rule| match &rule.then {
                Then::Use(id) => Some(&**id),
                Then::Itself | Then::Instead(_) => None,
            })
            .collect();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_a_zone_and_one_that_waits_for_it() {
        let at = |seconds: i64| Moment::Instant(Stamp(UnixMillis(seconds * 1000)));
        assert_eq!("1970-01-01T00:00:10Z".parse(), Ok(at(10)));
        assert_eq!("1970-01-01T01:00:10+01:00".parse(), Ok(at(10)));
        let civil: Moment = "2026-12-25T10:00".parse().expect("a time");
        assert!(matches!(civil, Moment::Civil(_)));
        assert_eq!(civil.to_string().parse(), Ok(civil), "as it goes over the API");
        for wrong in ["", "tomorrow", "2026-13-01T10:00", "10:00", "2026-12-25"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        let zone = crate::routing::rules::hours::timezone("America/New_York").expect("a zone");
        let read = civil.read_in(&zone).expect("a time");
        assert_eq!(read.to_string(), "2026-12-25T15:00:00.000Z");
        assert_eq!(read.local(&zone), "2026-12-25 10:00 America/New_York");
        let skipped: Moment = "2026-03-08T02:30".parse().expect("a time");
        assert_eq!(
            skipped.read_in(&zone).expect("the hour after it").to_string(),
            "2026-03-08T07:30:00.000Z"
        );
    }
}
