//! Durations as the configuration writes them: `"500ms"`, `"20s"`, `"1m30s"`, `"4h"`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing is written.
    #[error("an empty duration")]
    Empty,
    /// A number without a unit.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// A unit that is none of ms, s, m, h, d.
    #[error("`{0}` is no unit")]
    Unit(String),
    /// No number where one must stand.
    #[error("a number must stand before `{0}`")]
    NoNumber(String),
    /// Units not from the largest to the smallest, or one twice.
    #[error("units go from the largest to the smallest, each once")]
    Order,
    /// Longer than a hundred years.
    #[error("longer than a hundred years")]
    TooLong,
}

/// What a duration looks like, for the `expected` of a diagnostic.
pub const FORM: &str = "a duration like \"500ms\", \"20s\", \"1m30s\" or \"4h\"";

const LONGEST_WRITTEN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Reads a duration: whole numbers with the units `d`, `h`, `m`, `s`, `ms`, from the largest to the smallest.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().position(|b| b.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(DurationError::NoNumber(unit.to_owned()));
        }
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(DurationError::NoUnit(number.to_owned())),
            other => return Err(DurationError::Unit(other.to_owned())),
        };
        if millis >= last {
            return Err(DurationError::Order);
        }
        last = millis;
        let part = number.parse().ok().and_then(|n: u64| n.checked_mul(millis)).map(Duration::from_millis);
        total = part.and_then(|p| total.checked_add(p)).ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    if total > LONGEST_WRITTEN { Err(DurationError::TooLong) } else { Ok(total) }
}

/// Writes a duration as [`parse`] reads it; below a millisecond it is cut.
pub fn format(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, millis) in [
            ("500ms", 500),
            ("20s", 20_000),
            ("1m30s", 90_000),
            ("4h", 14_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn says_what_is_wrong() {
        use DurationError as E;
        for (text, error) in [
            ("", E::Empty),
            ("20", E::NoUnit("20".into())),
            ("20 s", E::Unit(" s".into())),
            ("20sec", E::Unit("sec".into())),
            ("s", E::NoNumber("s".into())),
            ("-5s", E::NoNumber("-".into())),
            ("1.5s", E::Unit(".".into())),
            ("1s1m", E::Order),
            ("1s1s", E::Order),
            ("99999999999999999999h", E::TooLong),
            ("40000d", E::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
