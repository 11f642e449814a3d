//! The last number of each environment a second time, as a small text beside the database: `production 12`. A record of
//! a call names a version by its number for ever, so a number must not be given twice, also where the database is lost.

use crate::store::StoreError;
use crate::store::secrets::replace;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What stands in the file. One that is not there, or lines that cannot be read, tell nothing.
pub(super) fn read(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (environment, number) = line.split_once(' ')?;
        Some((environment.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Replaces the file.
pub(super) fn write(path: &Path, numbers: &BTreeMap<String, u64>) -> Result<(), StoreError> {
    let lines: Vec<String> =
        numbers.iter().map(|(environment, number)| format!("{environment} {number}")).collect();
    replace(path, lines.join("\n").as_bytes())
}
