//! Any text as a condition and as opening hours: no panic, neither when it is read nor when it is asked, and never an
//! answer that depends on when it is asked again.

use std::borrow::Cow;

use baton::routing::rules::condition::{Condition, MAX_TEXT};
use baton::routing::rules::hours::{Hours, MAX_HOURS, country, timezone};
use baton::routing::template::Variables;
use baton::sip::UnixMillis;

struct Any;

impl Variables for Any {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        match name.len() % 4 {
            0 => Some("ñ\u{0}\r\n".repeat(500).into()),
            1 => Some("-9223372036854775808".into()),
            2 => Some("es".into()),
            _ => None,
        }
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.variable(name)
    }
}

/// Moments that calendars stumble over, in milliseconds: far away, a leap day, the ends of years, hours that a clock skips
/// or shows twice.
const MOMENTS: [i64; 10] = [
    i64::MIN,
    -377_705_000_000_000,
    -2_208_988_800_000,
    0,
    951_782_400_000,
    1_772_953_200_000,
    1_793_512_800_000,
    1_798_761_599_999,
    253_402_207_200_000,
    i64::MAX,
];

/// Reads `bytes` both ways.
pub fn rules_body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Condition::parse(text) {
        Ok(condition) => {
            assert!(text.len() <= MAX_TEXT);
            assert_eq!(condition.is_met(&Any), condition.is_met(&Any), "{text:?}");
        }
        Err(error) => assert!(error.at.is_none_or(|at| at <= text.len()), "{text:?}: {error:?}"),
    }
    for zone in ["UTC", "America/New_York", "Pacific/Apia"] {
        let zone = timezone(zone).expect("it is built in");
        match Hours::parse(text, zone, country("US")) {
            Ok(hours) => {
                assert!(text.len() <= MAX_HOURS);
                let open = |at| hours.is_open(UnixMillis(at));
                assert_eq!(MOMENTS.map(open), MOMENTS.map(open), "{text:?}");
                // A year, by odd steps.
                for step in 0..300 {
                    open(1_767_225_600_000 + step * 107_000_000);
                }
            }
            Err(error) => {
                assert!(error.place.start <= error.place.end && error.place.end <= text.len(), "{text:?}");
            }
        }
    }
}
