//! Changes one destination in the text of a table: comments, order and layout of all else stay as somebody wrote them.
//! What comes out is read again, so that an edit changes what it was asked to and nothing else, however the text was
//! written. Whether it is a table that can be used is for others to say.

use crate::routing::document::{DESTINATIONS, Document, DocumentError};
use crate::routing::table::Method;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

const DEFAULT: &str = "default";
const METHOD: &str = "method";
/// What a reader looks for first, so that a new destination begins with it; all else follows by the alphabet.
const FIRST: [&str; 5] = ["name", "description", "method", "route", "trunk"];

/// Why a text was not edited. Each would be a fault of Baton: the text was in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EditError {
    /// The text cannot be read.
    #[error(transparent)]
    Read(#[from] DocumentError),
    /// It cannot be read by the editor.
    #[error("no TOML: {0}")]
    Syntax(String),
    /// It came out otherwise than it should.
    #[error("editing `{0}` would have changed something else")]
    Astray(String),
}

/// The text with `keys` as the destination `id`, new or in the place of the one that is there; `is_default` also makes it
/// the table's default.
pub(super) fn put(text: &str, id: &str, keys: &toml::Table, is_default: bool) -> Result<String, EditError> {
    let before = Document::read(text)?;
    let mut keys = keys.clone();
    // What is served also where it is not written need not be written when it comes back.
    let refer = |value: &toml::Value| value.as_str() == Some(Method::Refer.name());
    if keys.get(METHOD).is_some_and(refer)
        && before.destinations.get(id).is_some_and(|written| !written.contains_key(METHOD))
    {
        keys.remove(METHOD);
    }
    let mut document = parse(text)?;
    let astray = || EditError::Astray(id.to_owned());
    if is_default && before.top.get(DEFAULT).and_then(toml::Value::as_str) != Some(id) {
        replace(document.entry(DEFAULT).or_insert(Item::None), id.into());
    }
    let all = document.entry(DESTINATIONS).or_insert_with(|| {
        let mut implied = Table::new();
        implied.set_implicit(true);
        Item::Table(implied)
    });
    if all.get(id).is_none() {
        let as_section = all.is_table() && !all.as_table_like().is_some_and(TableLike::is_dotted);
        let new = if as_section { Item::Table(Table::new()) } else { Item::Value(InlineTable::new().into()) };
        all.as_table_like_mut().ok_or_else(astray)?.insert(id, new);
    }
    let own = all.as_table_like_mut().and_then(|all| all.get_mut(id)).ok_or_else(astray)?;
    merge(own, &keys);
    let mut wanted = before;
    if is_default {
        wanted.top.insert(DEFAULT.to_owned(), id.into());
    }
    wanted.destinations.insert(id.to_owned(), keys);
    checked(document.to_string(), &wanted).ok_or_else(astray)
}

/// The text without the destination `id`.
pub(super) fn remove(text: &str, id: &str) -> Result<String, EditError> {
    let mut wanted = Document::read(text)?;
    let mut document = parse(text)?;
    let astray = || EditError::Astray(id.to_owned());
    let all = document.get_mut(DESTINATIONS).and_then(Item::as_table_like_mut);
    all.and_then(|all| all.remove(id)).ok_or_else(astray)?;
    wanted.destinations.remove(id);
    checked(document.to_string(), &wanted).ok_or_else(astray)
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.message().to_owned()))
}

fn checked(text: String, wanted: &Document) -> Option<String> {
    Document::read(&text).is_ok_and(|came_out| came_out == *wanted).then_some(text)
}

/// Has a table hold these keys and no others. What is right already is not touched.
fn merge(item: &mut Item, keys: &toml::Table) {
    let in_sections = item.is_table() && !item.as_table_like().is_some_and(TableLike::is_dotted);
    let Some(own) = item.as_table_like_mut() else { return };
    let gone: Vec<String> =
        own.iter().map(|(key, _)| key.to_owned()).filter(|key| !keys.contains_key(key)).collect();
    for key in gone {
        own.remove(&key);
    }
    let mut keys: Vec<(&String, &toml::Value)> = keys.iter().collect();
    keys.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    for (key, value) in keys {
        match (own.get_mut(key), value) {
            (Some(there), _) if same(there, value) => {}
            (Some(there), toml::Value::Table(keys)) if there.is_table_like() => merge(there, keys),
            (Some(there), _) => replace(there, written(value)),
            // Names with single values, as headers are: a section of their own reads best.
            (None, toml::Value::Table(keys)) if in_sections && !keys.is_empty() && is_flat(keys) => {
                let mut section = Item::Table(Table::new());
                merge(&mut section, keys);
                own.insert(key, section);
            }
            (None, _) => {
                own.insert(key, Item::Value(written(value)));
            }
        }
    }
}

fn is_flat(keys: &toml::Table) -> bool {
    keys.values().all(|value| !value.is_array() && !value.is_table())
}

/// Puts a value in the place of another; a comment behind it stays.
fn replace(item: &mut Item, mut value: Value) {
    if let Some(before) = item.as_value() {
        *value.decor_mut() = before.decor().clone();
    }
    *item = Item::Value(value);
}

/// Whether what is written there means `value`.
fn same(item: &Item, value: &toml::Value) -> bool {
    match (item, value) {
        (Item::Value(written), _) => same_value(written, value),
        (Item::Table(table), toml::Value::Table(keys)) => same_keys(table, keys),
        (Item::ArrayOfTables(tables), toml::Value::Array(list)) => {
            tables.len() == list.len()
                && tables
                    .iter()
                    .zip(list)
                    .all(|(table, value)| value.as_table().is_some_and(|keys| same_keys(table, keys)))
        }
        _ => false,
    }
}

fn same_keys(table: &dyn TableLike, keys: &toml::Table) -> bool {
    table.len() == keys.len()
        && keys.iter().all(|(key, value)| table.get(key).is_some_and(|item| same(item, value)))
}

fn same_value(written: &Value, value: &toml::Value) -> bool {
    match (written, value) {
        (Value::String(a), toml::Value::String(b)) => a.value() == b,
        (Value::Integer(a), toml::Value::Integer(b)) => a.value() == b,
        (Value::Float(a), toml::Value::Float(b)) => a.value() == b,
        (Value::Boolean(a), toml::Value::Boolean(b)) => a.value() == b,
        (Value::Array(a), toml::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::InlineTable(a), toml::Value::Table(b)) => same_keys(a, b),
        _ => false,
    }
}

/// A value as it is written in one line.
fn written(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        // JSON has none, so none comes here; as a text it is refused with its place.
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(list) => Value::Array(list.iter().map(written).collect::<Array>()),
        toml::Value::Table(keys) => {
            let mut table = InlineTable::new();
            for (key, value) in keys {
                table.insert(key, written(value));
            }
            table.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"# The desks of Springfield.
default = "front-desk"   # since May

# Ann sits there.
[destination.front-desk]
name        = "Front desk"
route       = "+14155550123" # until the move
on_failure  = ["invite", "mobile",
               "agent"]
[destination.front-desk.headers]
# for the popup
X-Caller-ID = "$caller_id"
X-Language  = "${language:-en}"

# Ann again.
[destination.mobile]
method = 'invite'
route = "+14155550124"
timeouts = { ring = "20s" } # she is slow

# The end.
"#;

    fn keys(text: &str, id: &str) -> toml::Table {
        Document::read(text).unwrap().destinations[id].clone()
    }

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_put_back_as_it_was_changes_no_byte() {
        for id in ["front-desk", "mobile"] {
            assert_eq!(put(TEXT, id, &keys(TEXT, id), false).unwrap(), TEXT);
        }
        let mut served = keys(TEXT, "front-desk");
        served.insert("method".to_owned(), "refer".into());
        assert_eq!(put(TEXT, "front-desk", &served, true).unwrap(), TEXT);
    }

    #[test]
    fn a_number_is_changed_and_nothing_else() {
        let mut desk = keys(TEXT, "front-desk");
        desk.insert("route".to_owned(), "+14155559999".into());
        let edited = put(TEXT, "front-desk", &desk, false).unwrap();
        assert_eq!(edited, TEXT.replace("+14155550123", "+14155559999"));
        let mut mobile = keys(TEXT, "mobile");
        mobile["timeouts"]["ring"] = "25s".into();
        assert_eq!(put(TEXT, "mobile", &mobile, false).unwrap(), TEXT.replace("20s", "25s"));
        assert_eq!(
            put(TEXT, "mobile", &keys(TEXT, "mobile"), true).unwrap(),
            TEXT.replace("default = \"front-desk\"", "default = \"mobile\"")
        );
    }

    #[test]
    fn keys_come_and_go_where_they_belong() {
        let mut desk = keys(TEXT, "front-desk");
        desk["headers"].as_table_mut().unwrap().remove("X-Caller-ID");
        desk["headers"].as_table_mut().unwrap().insert("X-Account".to_owned(), "$account".into());
        desk.remove("on_failure");
        desk.insert("trunk".to_owned(), "pbx".into());
        desk.insert("timeouts".to_owned(), table("ring = \"9s\"").into());
        let edited = put(TEXT, "front-desk", &desk, false).unwrap();
        assert_eq!(
            edited,
            r#"# The desks of Springfield.
default = "front-desk"   # since May

# Ann sits there.
[destination.front-desk]
name        = "Front desk"
route       = "+14155550123" # until the move
trunk = "pbx"
[destination.front-desk.headers]
X-Language  = "${language:-en}"
X-Account = "$account"

[destination.front-desk.timeouts]
ring = "9s"

# Ann again.
[destination.mobile]
method = 'invite'
route = "+14155550124"
timeouts = { ring = "20s" } # she is slow

# The end.
"#
        );
    }

    #[test]
    fn a_new_one_stands_at_the_end_and_an_old_one_goes_with_its_comment() {
        let new =
            table("route = \"+14155550125\"\non_failure = { busy = [\"agent\"] }\n[headers]\nX-A = \"1\"\n");
        let added = put(TEXT, "spanish-desk", &new, false).unwrap();
        let shown = "\n[destination.spanish-desk]\nroute = \"+14155550125\"\non_failure = { busy = [\"agent\"] }\n\n\
                     [destination.spanish-desk.headers]\nX-A = \"1\"\n";
        assert_eq!(added, TEXT.replace("\n# The end.\n", &format!("{shown}\n# The end.\n")));
        assert_eq!(remove(&added, "spanish-desk").unwrap(), TEXT);
        let removed = remove(TEXT, "front-desk").unwrap();
        assert!(
            !removed.contains("front-desk]")
                && !removed.contains("Ann sits")
                && removed.contains("Ann again")
        );
        assert!(remove(TEXT, "nobody").is_err());
    }

    #[test]
    fn other_ways_to_write_a_table_are_edited_in_their_own_way() {
        let new = table("route = \"+1\"\n[headers]\nX-A = \"1\"\n");
        for text in [
            "default = \"a\"\ndestination.a.route = \"+2\" # dotted\ndestination.a.headers.X-B = \"2\"\n",
            "default = \"a\"\ndestination = { a = { route = \"+2\" } } # inline\n",
            "default = \"a\"\n[destination]\na = { route = \"+2\" } # half\n",
            "default = \"a\"\n[destination.a.headers]\nX-B = \"2\" # implied\n",
            "default = \"a\"\n[destination.a]\n[[destination.a.rule]]\nuse = \"b\" # rows\n[[destination.a.rule]]\nuse = \"c\"\n",
            "default = \"a\"\r\n[destination.a]\r\nroute = \"+2\" # windows\r\n",
            "default = \"a\"\n[destination.\"a\"]\nroute = \"+2\" # no line end",
            "default = \"a\"\n",
        ] {
            let added = put(text, "new", &new, false).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(keys(&added, "new"), new);
            let comment =
                text.split_once("# ").map(|(_, comment)| comment.split(['\r', '\n']).next().unwrap());
            assert!(added.contains(comment.unwrap_or_default()), "{added}");
            for id in ["a", "new"] {
                let changed = put(&added, id, &table("route = \"+3\"\n[headers]\nX-C = \"3\""), true);
                assert_eq!(
                    keys(&changed.unwrap_or_else(|error| panic!("{error}: {text}")), id)["route"].as_str(),
                    Some("+3")
                );
            }
            assert!(
                !Document::read(&remove(&added, "new").unwrap()).unwrap().destinations.contains_key("new")
            );
        }
    }

    fn value() -> impl Strategy<Value = toml::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(toml::Value::from),
            any::<bool>().prop_map(toml::Value::from),
            "\\PC{0,12}".prop_map(toml::Value::from),
            any::<String>().prop_map(toml::Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(toml::Value::from),
                map(inner).prop_map(toml::Value::from),
            ]
        })
    }

    fn map(value: impl Strategy<Value = toml::Value>) -> impl Strategy<Value = toml::Table> {
        let key = prop_oneof!["[a-d]", "X-[A-C]", "\\PC{0,4}"];
        prop::collection::btree_map(key, value, 0..5).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn whatever_is_put_is_what_is_there(first in map(value()), second in map(value()), id in "[a-z]{1,3}|front-desk|mobile") {
            // Every result was checked against what was wanted, so an error is all there is to look for.
            let once = put(TEXT, &id, &first, false).unwrap();
            let twice = put(&once, &id, &second, true).unwrap();
            let mut wanted = second.clone();
            if !first.contains_key("method") && second.get("method").and_then(toml::Value::as_str) == Some("refer") {
                wanted.remove("method");
            }
            prop_assert_eq!(keys(&twice, &id), wanted);
            prop_assert!(twice.contains("# The end."));
        }
    }
}
