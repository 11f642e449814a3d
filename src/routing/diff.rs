//! What differs between two tables, by destination and key. A pure function of two [documents](super::document): keys
//! are compared as they are written, whatever they mean, so that a new key needs no mention here.
//!
//! Two texts that differ in comments, order or layout alone differ in nothing here. Used by the API and the command line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::document::Document;

/// What differs between two tables.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Diff {
    /// Keys outside of the destinations: `default`.
    pub table: Vec<KeyChange>,
    /// The destinations that differ, by their ids.
    pub destinations: Vec<DestinationChange>,
}

/// What became of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the later table has it.
    Added,
    /// Only the earlier table has it.
    Removed,
    /// Both have it, and its keys differ.
    Changed,
}

/// One destination that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationChange {
    /// As the table names it; a renamed destination is one removed and one added.
    pub id: String,
    /// What became of it.
    pub change: Change,
    /// Its keys that differ; all of them where it was added or removed.
    pub keys: Vec<KeyChange>,
}

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Its path within the destination, as TOML writes it: `headers.X-Account`.
    pub key: String,
    /// Its value before; `None`: it was not there.
    pub from: Option<Value>,
    /// Its value after; `None`: it is gone.
    pub to: Option<Value>,
}

impl Diff {
    /// What has to change in `from` to have `to`.
    pub fn between(from: &Document, to: &Document) -> Self {
        let mut table = Vec::new();
        keys("", Some(&from.top), Some(&to.top), &mut table);
        let ids: BTreeSet<&String> = from.destinations.keys().chain(to.destinations.keys()).collect();
        let mut destinations = Vec::new();
        for id in ids {
            let (before, after) = (from.destinations.get(id), to.destinations.get(id));
            let change = match (before, after) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                _ => Change::Changed,
            };
            let mut changes = Vec::new();
            keys("", before, after, &mut changes);
            // A destination without a key is one all the same.
            if change != Change::Changed || !changes.is_empty() {
                destinations.push(DestinationChange { id: id.clone(), change, keys: changes });
            }
        }
        Self { table, destinations }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.destinations.is_empty()
    }

    /// How many destinations are of that kind.
    pub fn count(&self, change: Change) -> usize {
        self.destinations.iter().filter(|destination| destination.change == change).count()
    }
}

/// The keys that differ between two tables of keys, those of tables within them by their path.
fn keys(path: &str, from: Option<&Table>, to: Option<&Table>, into: &mut Vec<KeyChange>) {
    let names: BTreeSet<&String> = [from, to].into_iter().flatten().flat_map(Table::keys).collect();
    for name in names {
        let (before, after) = (from.and_then(|t| t.get(name)), to.and_then(|t| t.get(name)));
        if before == after {
            continue;
        }
        let key = join(path, name);
        let tables = (before.map(Value::as_table), after.map(Value::as_table));
        let holds_keys = |table: &Table| !table.is_empty();
        match tables {
            // What is a table on each side where it is there is compared key by key; anything else as a whole.
            (Some(Some(before)), Some(Some(after))) => keys(&key, Some(before), Some(after), into),
            (Some(Some(before)), None) if holds_keys(before) => keys(&key, Some(before), None, into),
            (None, Some(Some(after))) if holds_keys(after) => keys(&key, None, Some(after), into),
            _ => into.push(KeyChange { key, from: before.cloned(), to: after.cloned() }),
        }
    }
}

/// A path and one more key, in quotes where TOML wants them.
fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let key = if is_bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(from: &str, to: &str) -> Diff {
        Diff::between(&Document::read(from).unwrap(), &Document::read(to).unwrap())
    }

    fn shown(diff: &Diff) -> Vec<String> {
        let value = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        let key = |id: &str, k: &KeyChange| format!("{id} {}: {} -> {}", k.key, value(&k.from), value(&k.to));
        let top = diff.table.iter().map(|k| key("*", k));
        let rest = diff.destinations.iter().flat_map(|d| {
            let head = format!("{} {:?}", d.id, d.change);
            std::iter::once(head).chain(d.keys.iter().map(|k| key(&d.id, k)))
        });
        top.chain(rest).collect()
    }

    const FROM: &str = r#"
        default = "a"
        [destination.a]
        route = "+14155550123"
        on_failure = ["agent"]
        [destination.a.headers]
        X-A = "1"
        X-B = "2"
        [destination.gone]
        method = "bye"
        timeouts = { total = "9s" }
        [destination.same]
        route = "+14155550125"
    "#;

    #[test]
    fn by_destination_and_key() {
        let to = r#"
            default = "b"
            [destination.same]
            route = "+14155550125"   # only a comment is new here
            [destination.a]
            on_failure = { busy = ["agent"] }
            route = "+14155550199"
            headers = { X-A = "1", X-C = "3" }
            rule = [{ when = "x", use = "b" }]
            [destination.b]
        "#;
        assert_eq!(
            shown(&diff(FROM, to)),
            [
                r#"* default: "a" -> "b""#,
                "a Changed",
                r#"a headers.X-B: "2" -> -"#,
                r#"a headers.X-C: - -> "3""#,
                r#"a on_failure: ["agent"] -> { busy = ["agent"] }"#,
                r#"a route: "+14155550123" -> "+14155550199""#,
                r#"a rule: - -> [{ use = "b", when = "x" }]"#,
                "b Added",
                "gone Removed",
                r#"gone method: "bye" -> -"#,
                r#"gone timeouts.total: "9s" -> -"#,
            ]
        );
    }

    #[test]
    fn layout_comments_and_order_are_no_difference() {
        let to =
            format!("# head\n{}", FROM.replace("route = \"+14155550123\"", "route = '+14155550123' # x"));
        assert!(diff(FROM, &to).is_empty());
        assert_eq!(diff(FROM, FROM), Diff::default());
    }

    #[test]
    fn an_empty_table_is_a_value_and_a_strange_key_is_quoted() {
        let to = FROM.replace("on_failure = [\"agent\"]", "on_failure = [\"agent\"]\n\"a b\" = {}");
        assert_eq!(shown(&diff(FROM, &to)), ["a Changed", "a \"a b\": - -> {}"]);
    }

    #[test]
    fn there_and_back() {
        let (there, back) = (diff(FROM, "default = \"z\""), diff("default = \"z\"", FROM));
        assert_eq!((there.count(Change::Removed), back.count(Change::Added)), (3, 3));
        let turned = |diff: Diff| -> Vec<_> {
            diff.destinations.into_iter().flat_map(|d| d.keys).map(|k| (k.key, k.to, k.from)).collect()
        };
        let as_is: Vec<_> = back
            .destinations
            .iter()
            .flat_map(|d| &d.keys)
            .map(|k| (k.key.clone(), k.from.clone(), k.to.clone()))
            .collect();
        assert_eq!(turned(there), as_is);
    }
}
