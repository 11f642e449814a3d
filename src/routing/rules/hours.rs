//! Opening hours in the syntax of OpenStreetMap, read in a time zone: `Mo-Fr 08:00-18:00; PH off`.
//!
//! The specification is <https://wiki.openstreetmap.org/wiki/Key:opening_hours/specification>. What depends on a place
//! (`sunrise`) or only enumerates points in time (`/00:30`) is refused: Baton knows no place, and asks whether it is open.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::NaiveDate;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use opening_hours::localization::Country;
use opening_hours::{Context, OpeningHours, RuleKind};
use opening_hours_syntax::error::Error as Fault;
use opening_hours_syntax::rules::OpeningHoursExpression;
use opening_hours_syntax::rules::day::{HolidayKind, WeekDayRange};
use opening_hours_syntax::rules::time::Time;
use opening_hours_syntax::{ExtendedTime, Parser};

use crate::sip::UnixMillis;

/// The longest text, in bytes. It bounds what an evaluation may cost.
pub const MAX_HOURS: usize = 256;

/// What `hours` looks like, for messages.
pub const FORM: &str =
    "opening hours like \"Mo-Fr 08:00-18:00\" or \"Mo-Su 09:00-17:00; PH off\" (OpenStreetMap's syntax)";

/// Opening hours of a place on the calendar: parsed once, asked for any moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Hours {
    text: Box<str>,
    zone: TimeZone,
    country: Option<Country>,
    hours: OpeningHours,
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hours({:?} in {})", self.text, self.timezone())
    }
}

/// Why a text is no [`Hours`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct HoursError {
    /// Where in the text it went wrong, in bytes; the whole of it where that cannot be told.
    pub place: Range<usize>,
    /// What is wrong.
    pub kind: HoursErrorKind,
}

/// What is wrong with opening hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursErrorKind {
    /// Over [`MAX_HOURS`].
    #[error("the opening hours are longer than {MAX_HOURS} bytes")]
    Long,
    /// No such syntax.
    #[error("the opening hours cannot be read from here on")]
    Syntax,
    /// Understood, but no hours: a year that ends before it begins, an hour 27:61.
    #[error("{0}")]
    Sense(String),
    /// Sunrise and its kin.
    #[error("dawn, sunrise, sunset and dusk depend on a place, and there is none: write the time")]
    Sun,
    /// Repeated points in time.
    #[error("`/` names points in time; what can be asked is from when to when it is open")]
    Points,
    /// PH or SH without a country.
    #[error("`{0}` needs a `country`")]
    NoCountry(&'static str),
    /// PH or SH in a country whose holidays are not known.
    #[error("no {0} are known of {1}")]
    NoHolidays(&'static str, &'static str),
}

/// The time zone of that IANA name, from the database that is built in: the same on every machine.
pub fn timezone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// Names of all time zones.
pub fn timezones() -> impl Iterator<Item = String> {
    let database = TimeZoneDatabase::bundled();
    let names: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
    names.into_iter()
}

/// The country of an ISO 3166-1 alpha-2 code, if it is one that holidays can be asked of.
pub fn country(iso: &str) -> Option<Country> {
    Country::from_str(iso).ok().filter(|country| country.iso_code() == iso)
}

impl Hours {
    /// Reads opening hours; `country` is whose public (`PH`) and school holidays (`SH`) are meant.
    ///
    /// # Errors
    /// What is wrong, and where in `text`.
    pub fn parse(text: &str, zone: TimeZone, country: Option<Country>) -> Result<Self, HoursError> {
        let fail = |kind| Err(HoursError { place: 0..text.len(), kind });
        if text.len() > MAX_HOURS {
            return fail(HoursErrorKind::Long);
        }
        let expression = match Parser::default().parse(text) {
            Ok(expression) => expression,
            Err(Fault::Syntax(error)) => {
                let at = match error.location {
                    pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _)) => at,
                };
                let place = at.min(text.len())..text.len();
                return Err(HoursError { place, kind: HoursErrorKind::Syntax });
            }
            Err(other) => return fail(HoursErrorKind::Sense(other.to_string())),
        };
        if let Err(kind) = check(&expression, country) {
            return fail(kind);
        }
        let context = match country {
            Some(country) => Context::default().with_holidays(country.holidays()),
            None => Context::default(),
        };
        let hours = OpeningHours::parse_with(&mut Parser::default(), text)
            .map_err(|error| HoursError {
                place: 0..text.len(),
                kind: HoursErrorKind::Sense(error.to_string()),
            })?
            .with_context(context);
        Ok(Self { text: text.into(), zone, country, hours })
    }

    /// Whether a country's holidays are named.
    pub fn names_holidays(&self) -> bool {
        holidays(&self.hours.get_expression()).next().is_some()
    }

    /// Whether it is open then. `unknown` and years that the specification does not know (before 1900) are not open.
    pub fn is_open(&self, at: UnixMillis) -> bool {
        let Ok(instant) = Timestamp::from_millisecond(at.0) else { return false };
        let civil = self.zone.to_datetime(instant);
        // Both are within 0..=99, by their types.
        let (month, day) = (civil.month().unsigned_abs(), civil.day().unsigned_abs());
        let date = NaiveDate::from_ymd_opt(civil.year().into(), month.into(), day.into());
        let time = ExtendedTime::new(civil.hour().unsigned_abs(), civil.minute().unsigned_abs());
        let (Some(date), Some(time)) = (date, time) else { return false };
        // Only the day is looked at: how far it is to the next change may take long to find.
        let mut day = self.hours.schedule_at(date).into_iter();
        day.find(|part| part.range.contains(&time)).is_some_and(|part| part.kind == RuleKind::Open)
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone in which it is read.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The IANA name of that zone.
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The country whose holidays are meant.
    pub fn country(&self) -> Option<&'static str> {
        self.country.map(Country::iso_code)
    }
}

fn holidays(expression: &OpeningHoursExpression) -> impl Iterator<Item = HolidayKind> + '_ {
    expression.rules.iter().flat_map(|rule| &rule.day_selector.weekday).filter_map(|day| match day {
        WeekDayRange::Holiday { kind, .. } => Some(*kind),
        WeekDayRange::Fixed { .. } => None,
    })
}

fn check(expression: &OpeningHoursExpression, country: Option<Country>) -> Result<(), HoursErrorKind> {
    for span in expression.rules.iter().flat_map(|rule| &rule.time_selector.spans) {
        let sun = |time: &Time| matches!(time, Time::Variable(_));
        if sun(&span.range.start) || sun(&span.range.end) {
            return Err(HoursErrorKind::Sun);
        }
        if span.repeats.is_some() {
            return Err(HoursErrorKind::Points);
        }
    }
    for kind in holidays(expression) {
        let (word, name) = match kind {
            HolidayKind::Public => ("PH", "public holidays"),
            HolidayKind::School => ("SH", "school holidays"),
        };
        let country = country.ok_or(HoursErrorKind::NoCountry(word))?;
        if country.holidays().get_for_kind(kind).iter().next().is_none() {
            return Err(HoursErrorKind::NoHolidays(name, country.name()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str, zone: &str, country: &str) -> Hours {
        let country = super::country(country);
        Hours::parse(text, timezone(zone).expect("a zone"), country).expect("hours")
    }

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().expect("a time").as_millisecond())
    }

    #[test]
    fn the_zone_decides_which_hour_it_is() {
        let new_york = hours("Mo-Fr 08:00-18:00", "America/New_York", "");
        // Thursday; 09:00 EST.
        assert!(new_york.is_open(at("2026-11-26T14:00:00Z")));
        assert!(!new_york.is_open(at("2026-11-26T12:59:59Z")));
        assert!(new_york.is_open(at("2026-11-26T22:59:59.999Z")));
        assert!(!new_york.is_open(at("2026-11-26T23:00:00Z")), "the end is not in it");
        assert!(!new_york.is_open(at("2026-11-28T14:00:00Z")), "a Saturday");
        // Summer time begins on 2026-03-08: 08:00 is 12:00 UTC after it and 13:00 UTC before.
        assert!(!new_york.is_open(at("2026-03-06T12:30:00Z")));
        assert!(new_york.is_open(at("2026-03-09T12:30:00Z")));
        assert!(hours("Mo-Fr 08:00-18:00", "Asia/Tokyo", "").is_open(at("2026-11-26T23:00:00Z")));
    }

    #[test]
    fn nights_and_holidays() {
        let night = hours("Fr,Sa 22:00-02:00", "Europe/Berlin", "");
        assert!(night.is_open(at("2026-11-28T00:30:00Z")), "Saturday 01:30, which Friday's night reaches");
        assert!(!night.is_open(at("2026-11-29T01:30:00Z")), "Sunday 02:30");
        let desk = hours("Mo-Fr 09:00-17:00; PH off", "Europe/Berlin", "DE");
        assert!(desk.names_holidays());
        assert!(!desk.is_open(at("2026-12-25T10:00:00Z")), "a Friday, and Christmas");
        assert!(desk.is_open(at("2026-12-18T10:00:00Z")));
        assert!(hours("24/7", "UTC", "").is_open(at("1970-01-01T00:00:00Z")));
        assert!(!hours("Mo unknown", "UTC", "").is_open(at("2026-11-23T10:00:00Z")));
    }

    #[test]
    fn what_is_no_hours() {
        use HoursErrorKind as K;
        let parse = |text: &str, country: &str| {
            let found = Hours::parse(text, TimeZone::UTC, super::country(country)).expect_err(text);
            (found.place, found.kind)
        };
        assert_eq!(parse("Mo-Fr 8am-6pm", ""), (6..13, K::Syntax));
        assert_eq!(parse("", ""), (0..0, K::Syntax));
        assert_eq!(parse("Mo-Fr sunrise-sunset", "").1, K::Sun);
        assert_eq!(parse("Mo 10:00-16:00/01:30", "").1, K::Points);
        assert_eq!(parse("Mo-Fr 08:00-18:00; PH off", "").1, K::NoCountry("PH"));
        assert_eq!(parse("SH off", "US").1, K::NoHolidays("school holidays", "United States"));
        assert!(matches!(parse("2030-2020 Mo", "").1, K::Sense(_)));
        assert_eq!(parse(&"Mo 10:00-16:00,".repeat(20), "").1, K::Long);
        assert!(timezone("Europe/Berlni").is_none());
        assert!(super::country("us").is_none() && super::country("XX").is_none());
        assert!(timezones().any(|name| name == "Europe/Berlin"));
    }
}
