//! A table as it is written: keys and values without their meaning, so that a key needs no mention here to be shown,
//! compared or edited. What they mean is read by [`super::table`].
//!
//! Used by [`super::diff`], by the API, which serves a destination in this form, and by whoever edits one.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The key at the top of a table that holds its destinations.
pub const DESTINATIONS: &str = "destination";

/// The key of a destination with the environments whose tables may hold it.
pub const ONLY: &str = "only";

/// The keys and values of one table's text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// What stands outside of the destinations: `default`.
    pub top: Table,
    /// Each destination's own keys, by its id.
    pub destinations: BTreeMap<String, Table>,
}

/// Why a text is no document. A table that was accepted is always one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no TOML.
    #[error("no TOML: {0}")]
    Syntax(String),
    /// A destination is no table of keys.
    #[error("`{0}` is no table of keys")]
    NoTable(String),
}

impl Document {
    /// The keys and values of `text`.
    ///
    /// # Errors
    /// It is no TOML, or its destinations are no tables.
    pub fn read(text: &str) -> Result<Self, DocumentError> {
        let mut top: Table =
            toml::from_str(text).map_err(|error| DocumentError::Syntax(error.message().to_owned()))?;
        let destinations = match top.remove(DESTINATIONS) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(DocumentError::NoTable(DESTINATIONS.to_owned())),
        };
        let keys = |(id, value)| match value {
            Value::Table(keys) => Ok((id, keys)),
            _ => Err(DocumentError::NoTable(format!("{DESTINATIONS}.{id}"))),
        };
        Ok(Self { top, destinations: destinations.into_iter().map(keys).collect::<Result<_, _>>()? })
    }

    /// The destinations that a table of `environment` may not hold (`only`).
    pub fn left_behind(&self, environment: &str) -> Vec<String> {
        let is_elsewhere = |keys: &Table| {
            let only = keys.get(ONLY).and_then(Value::as_array);
            only.is_some_and(|only| only.iter().all(|named| named.as_str() != Some(environment)))
        };
        self.destinations.iter().filter(|(_, keys)| is_elsewhere(keys)).map(|(id, _)| id.clone()).collect()
    }

    /// The same without those that a table of `environment` may not hold.
    #[must_use]
    pub fn for_environment(mut self, environment: &str) -> Self {
        for id in self.left_behind(environment) {
            self.destinations.remove(&id);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_written_it_says_the_same() {
        let long = "default = \"a\"\n[destination.a]\nroute = '+14155550123'\n[destination.a.headers]\nX-A = \"1\"\n";
        let short = "default = 'a'\n# said shortly\ndestination.a = { route = \"+14155550123\", headers = { X-A = '1' } }\n";
        let document = Document::read(long).unwrap();
        assert_eq!(document, Document::read(short).unwrap());
        assert_eq!(document.top["default"].as_str(), Some("a"));
        assert_eq!(document.destinations["a"]["headers"]["X-A"].as_str(), Some("1"));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(matches!(Document::read("default = "), Err(DocumentError::Syntax(_))));
        for text in ["destination = 1", "[destination]\na = 1"] {
            assert!(matches!(Document::read(text), Err(DocumentError::NoTable(_))), "{text}");
        }
        assert_eq!(Document::read("").unwrap(), Document::default());
    }
}
