//! Called and caller numbers: separators taken out, and numbers without `+` read as their trunk's country writes them.
//!
//! Not a numbering plan: what is written to a trunk goes out as configured, and nobody's number is checked for being
//! in service.

use std::borrow::Cow;

use super::country::Country;

/// Shorter numbers are extensions and service codes, also where a numbering plan has shorter ones among longer.
const SHORTEST: u8 = 7;

/// `text` without visual separators (RFC 3966 §5.1.1: `-` `.` `(` `)`, and the space) if what remains is a telephone number;
/// any other user part, like `booking` or `john.smith`, stays as it is.
pub fn clean(text: &str) -> Cow<'_, str> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| is_dialled(b) || is_separator(b));
    if !number || !text.bytes().any(is_separator) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|c| !c.is_ascii() || !is_separator(*c as u8)).collect())
}

fn is_dialled(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'*' || byte == b'#'
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')' | b' ')
}

/// Whether `text` is `+` and 2 to 15 digits, the first of which is no zero (ITU-T E.164).
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// [`clean`], and a number without `+` turned into E.164 as `country` writes it: its international prefix becomes `+`, its
/// national prefix is dropped, its calling code put in front. Without a country, and where the length is none of a
/// national number (an extension, a service code), it stays as it is.
pub fn normalise<'a>(text: &'a str, country: Option<&Country>) -> Cow<'a, str> {
    let cleaned = clean(text);
    let Some(country) = country else { return cleaned };
    if cleaned.starts_with('+') || !cleaned.bytes().all(|b| b.is_ascii_digit()) {
        return cleaned;
    }
    let digits: &str = &cleaned;
    if let Some(rest) =
        digits.strip_prefix(country.international).filter(|_| !country.international.is_empty())
    {
        let number = format!("+{rest}");
        return if is_e164(&number) && rest.len() >= usize::from(SHORTEST) {
            Cow::Owned(number)
        } else {
            cleaned
        };
    }
    // A plan whose every number is short is believed; in the others a short number is more likely an extension.
    let shortest = if country.longest < SHORTEST { country.shortest } else { country.shortest.max(SHORTEST) };
    let lengths = usize::from(shortest)..=usize::from(country.longest);
    let national = match digits.strip_prefix(country.national) {
        Some(rest) if !country.national.is_empty() && lengths.contains(&rest.len()) => rest,
        _ => digits,
    };
    let number = format!("+{}{national}", country.code);
    if lengths.contains(&national.len()) && is_e164(&number) { Cow::Owned(number) } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::super::country;
    use super::*;

    #[test]
    fn separators_go_and_names_stay() {
        for (text, expected) in [
            ("+1 (415) 555-0123", "+14155550123"),
            ("030.123.456", "030123456"),
            ("100", "100"),
            ("*72-1", "*721"),
            ("booking", "booking"),
            ("john.smith", "john.smith"),
            ("room-12a", "room-12a"),
            ("-", "-"),
            ("", ""),
            ("+", "+"),
        ] {
            assert_eq!(clean(text), expected, "{text}");
        }
    }

    #[test]
    fn a_country_completes_its_own_numbers() {
        for (iso, text, expected) in [
            ("US", "4155550123", "+14155550123"),
            ("US", "14155550123", "+14155550123"),
            ("US", "(415) 555-0123", "+14155550123"),
            ("US", "5550123", "5550123"),
            ("US", "100", "100"),
            ("US", "011442079460100", "+442079460100"),
            ("US", "+442079460100", "+442079460100"),
            ("US", "booking", "booking"),
            ("US", "911", "911"),
            ("GB", "02079460100", "+442079460100"),
            ("GB", "00 1 415 555 0123", "+14155550123"),
            ("GB", "2001", "2001"),
            ("DE", "030123456", "+4930123456"),
            ("DE", "1234", "1234"),
            ("IT", "0612345678", "+390612345678"),
            ("RU", "84951234567", "+74951234567"),
            ("RU", "8101 415 555 0123", "+14155550123"),
            ("HU", "0611234567", "+3611234567"),
            ("FK", "25123", "+50025123"),
        ] {
            assert_eq!(normalise(text, country::find(iso)), expected, "{iso} {text}");
        }
        assert_eq!(normalise("4155550123", None), "4155550123");
    }

    #[test]
    fn e164_is_plus_and_two_to_fifteen_digits() {
        for good in ["+14155550123", "+49", "+123456789012345"] {
            assert!(is_e164(good), "{good}");
        }
        for bad in ["14155550123", "+", "+1", "+0123", "+1234567890123456", "+1-415", "+٣٤٥"] {
            assert!(!is_e164(bad), "{bad}");
        }
    }
}
