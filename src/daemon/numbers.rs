//! Whether somebody can have a number, by the numbering plans of the world (libphonenumber's, from the crate
//! `phonenumber`). For warnings: plans change, and what is not in them yet is not wrong.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What was said of numbers before: a reload asks about the same thousands again.
static SAID: LazyLock<Mutex<HashMap<Box<str>, Option<String>>>> = LazyLock::new(Mutex::default);

/// So many numbers are remembered; then all are forgotten.
const MOST: usize = 50_000;

/// Why nobody can have this number in E.164, as the rest of a sentence that begins with it; `None` where somebody can.
///
/// The first number takes 50 ms, because the plans are unpacked then, and the others some microseconds.
pub(super) fn doubt(number: &str) -> Option<String> {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = said.get(number) {
        return known.clone();
    }
    let why = ask(number);
    if said.len() >= MOST {
        said.clear();
    }
    said.insert(number.into(), why.clone());
    why
}

fn ask(number: &str) -> Option<String> {
    match phonenumber::parse(None, number) {
        Ok(read) if phonenumber::is_valid(&read) => None,
        Ok(read) => Some(format!("is no number that can exist under +{}", read.country().code())),
        // No country's code, or so few digits that nothing is left after it.
        Err(_) => Some("is no number of any country".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::doubt;

    #[test]
    fn numbers_that_somebody_can_have() {
        for number in ["+14155550123", "+442079460100", "+4930123456", "+81312345678", "+80012345678"] {
            assert_eq!((doubt(number), doubt(number)), (None, None), "{number}");
        }
    }

    #[test]
    fn numbers_that_nobody_can_have() {
        for (number, why) in [
            ("+1415555012", "is no number that can exist under +1"),
            ("+10155550123", "is no number that can exist under +1"),
            ("+44207946010000", "is no number that can exist under +44"),
            ("+999123456", "is no number of any country"),
        ] {
            assert_eq!(doubt(number).as_deref(), Some(why), "{number}");
            assert_eq!(doubt(number).as_deref(), Some(why), "{number}, from memory");
        }
    }
}
