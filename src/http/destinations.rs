//! `/v1/environments/{env}/destinations`: the table that decisions are made by now, each destination as it is written.
//! What `GET` serves can be `PUT` back as it is; what is changed there is carried out in [`super::change`].

use super::Api;
use super::body::{Segment, Segments};
use super::calls::Page;
use super::problem::Problem;
use crate::call::command::Refusal;
use crate::routing::document::{Document, DocumentError};
use crate::routing::table::{self, Method, Table};
use axum::extract::State;
use axum::http::header::{AsHeaderName, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is served beside a destination's own keys.
const ID: &str = "id";
const ENVIRONMENT: &str = "environment";
const TABLE_VERSION: &str = "table_version";
const DEFAULT: &str = "default";
const METHOD: &str = "method";

/// How deep the values of a destination may lie in each other.
const DEEPEST: usize = 8;

/// A table as it is written, and the hash of its text.
type Written = (Box<str>, Arc<Document>);

/// The tables in force as they are written, by environment. Read anew when another version is in force.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<Box<str>, Written>>);

impl Documents {
    fn of(&self, table: &Table) -> Result<Arc<Document>, DocumentError> {
        // Nothing that is done under this lock can leave the map half changed.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hash, document)) = known().get(&*table.environment)
            && *hash == table.hash
        {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(Document::read(&table.text)?);
        known().insert((&*table.environment).into(), (table.hash.clone(), Arc::clone(&document)));
        Ok(document)
    }
}

/// `GET /v1/environments/{env}/destinations`: a table is small; it comes on one page.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
) -> Result<axum::Json<Whole>, Problem> {
    let not_in_force = api.not_in_force.borrow().said();
    api.with_table(&environment, |table, document| {
        let data = document.destinations.keys().filter_map(|id| view(table, document, id)).collect();
        Ok(axum::Json(Whole { page: Page { data, next_cursor: None }, not_in_force }))
    })
}

/// A whole table as it is served.
#[derive(Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    page: Page<Value>,
    /// What stands in the files beside that, if it is not in force.
    not_in_force: Option<String>,
}

/// `GET /v1/environments/{env}/destinations/{id}`, with its ETag.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Segments(environment, id): Segments,
) -> Result<Response, Problem> {
    api.with_table(&environment, |table, document| {
        let view = view(table, document, &id).ok_or_else(|| Problem::no_destination(table, &id))?;
        Ok(([(ETAG, etag(&view))], axum::Json(view)).into_response())
    })
}

impl Api {
    /// Looks at the table of an environment. Nobody holds it beyond that: who still does is counted.
    pub(super) fn with_table<T>(
        &self,
        environment: &str,
        look: impl FnOnce(&Table, &Document) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let tables = Arc::clone(&self.tables.borrow());
        let table = tables
            .table(environment)
            .ok_or_else(|| Problem::no_environment(tables.no_environment(environment)))?;
        let document = self.documents.of(table).map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", format!("the table in force: {error}"))
        })?;
        look(table, &document)
    }
}

/// A destination as it is served: its keys as they are written, and what it belongs to. The method is there also where it is
/// not written.
pub fn view(table: &Table, document: &Document, id: &str) -> Option<Value> {
    let keys = document.destinations.get(id)?;
    let mut view = Map::new();
    for (key, value) in keys {
        // A table that was accepted has no date and no number that JSON cannot write.
        view.insert(key.clone(), serde_json::to_value(value).unwrap_or_default());
    }
    view.entry(METHOD).or_insert_with(|| Method::Refer.name().into());
    view.insert(ID.to_owned(), id.into());
    view.insert(ENVIRONMENT.to_owned(), (&*table.environment).into());
    view.insert(TABLE_VERSION.to_owned(), table.version.into());
    view.insert(DEFAULT.to_owned(), (&*table.default == id).into());
    Some(view.into())
}

/// What tells one state of a destination from another: all that is served of it but the version of the table.
pub fn etag(view: &Value) -> String {
    let mut own = view.clone();
    if let Some(keys) = own.as_object_mut() {
        keys.remove(TABLE_VERSION);
        keys.sort_keys();
    }
    format!("\"{}\"", &table::hash(&own.to_string())[..32])
}

/// What the body of a `PUT` says: the destination's keys, and whether it is the default. What is served beside the keys
/// must be right where it is given; a null is a key that is not there.
pub(super) fn read(
    environment: &str,
    id: &str,
    mut body: Map<String, Value>,
) -> Result<(toml::Table, Option<bool>), Problem> {
    for (key, right) in [(ID, id), (ENVIRONMENT, environment)] {
        if let Some(given) = body.remove(key)
            && given != right
        {
            return Err(Problem::field(key, format!("the path says `{right}`")));
        }
    }
    // Of no meaning here: If-Match says which state is meant.
    body.remove(TABLE_VERSION);
    let default = match body.remove(DEFAULT) {
        None | Some(Value::Null) => None,
        Some(Value::Bool(default)) => Some(default),
        Some(_) => return Err(Problem::field(DEFAULT, "expected true or false")),
    };
    Ok((keys(body, "", DEEPEST)?, default))
}

fn keys(object: Map<String, Value>, path: &str, depth: usize) -> Result<toml::Table, Problem> {
    let mut table = toml::Table::new();
    for (key, value) in object {
        if !value.is_null() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            table.insert(key, toml_of(value, &path, depth)?);
        }
    }
    Ok(table)
}

fn toml_of(value: Value, path: &str, depth: usize) -> Result<toml::Value, Problem> {
    let Some(below) = depth.checked_sub(1) else {
        return Err(Problem::field(path, "no key of a destination lies so deep"));
    };
    Ok(match value {
        Value::Null => return Err(Problem::field(path, "a list cannot hold null")),
        Value::Bool(value) => value.into(),
        Value::String(value) => value.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) => float.into(),
            (None, None) => return Err(Problem::field(path, "a number that TOML cannot write")),
        },
        Value::Array(list) => {
            let entries = list.into_iter().map(|entry| toml_of(entry, path, below));
            toml::Value::Array(entries.collect::<Result<_, _>>()?)
        }
        Value::Object(object) => toml::Value::Table(keys(object, path, below)?),
    })
}

/// Which state of a destination a request means (RFC 9110 section 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is said.
    Unsaid,
    /// One of these states, by their ETags; `None`: any, but it must be there.
    Matches(Option<Vec<String>>),
    /// It must not be there.
    Absent,
}

impl Condition {
    pub(super) fn of(headers: &HeaderMap) -> Result<Condition, Problem> {
        fn all(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Vec<String>, Problem> {
            let values = headers.get_all(name).iter();
            let tags =
                values.map(|value| value.to_str().map(|text| text.split(',').map(|t| t.trim().to_owned())));
            let tags =
                tags.collect::<Result<Vec<_>, _>>().map_err(|_| Problem::field("ETag", "is no text"))?;
            Ok(tags.into_iter().flatten().filter(|tag| !tag.is_empty()).collect())
        }
        let (matches, none) = (all(headers, IF_MATCH)?, all(headers, IF_NONE_MATCH)?);
        match (matches.as_slice(), none.as_slice()) {
            ([], []) => Ok(Condition::Unsaid),
            ([], [any]) if any == "*" => Ok(Condition::Absent),
            ([], _) => Err(Problem::field("If-None-Match", "only `*` is taken: it must not be there yet")),
            ([any], []) if any == "*" => Ok(Condition::Matches(None)),
            (_, []) => Ok(Condition::Matches(Some(matches))),
            _ => Err(Problem::field("If-Match", "with If-None-Match, one of them cannot be so")),
        }
    }
}

impl Problem {
    /// 404.
    pub(super) fn no_environment(detail: String) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no_environment", detail)
    }

    /// 404.
    pub(super) fn no_destination(table: &Table, id: &str) -> Problem {
        let environment = table.environment.to_string();
        let nearest = table.nearest(id).map(str::to_owned);
        Refusal::NoDestination { id: id.to_owned(), environment, nearest }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::file::Source;
    use serde_json::json;

    const TEXT: &str = r#"
        default = "front-desk"
        [destination.front-desk]
        method = "attended"
        brief = true
        require = "proven"
        route = "+14155550123"
        on_failure = { busy = ["invite", "mobile", "hangup"], default = ["bye"] }
        [destination.front-desk.headers]
        X-Caller-ID = "$caller_id"
        [destination.mobile]
        method = "invite"
        require = "proven"
        route = "+14155550124"
        on_failure = ["attended", "agent"]
        timeouts = { ring = "20s" }
        [destination.plain]
        route = "+14155550125"
    "#;

    fn table() -> (Table, Document) {
        let (table, told) = table::read(&Source::new("t", TEXT), &"production".into(), None);
        (table.unwrap_or_else(|| panic!("{told:#?}")), Document::read(TEXT).unwrap())
    }

    #[test]
    fn a_destination_is_shown_as_it_is_written() {
        let (table, document) = table();
        let shown = |id: &str| view(&table, &document, id).expect("it is there");
        let desk = shown("front-desk");
        assert_eq!((&desk["method"], &desk["brief"]), (&json!("attended"), &json!(true)));
        assert_eq!((&desk["require"], &desk["default"]), (&json!("proven"), &json!(true)));
        assert_eq!(desk["on_failure"], json!({ "busy": ["invite", "mobile", "hangup"], "default": ["bye"] }));
        assert_eq!(desk["headers"], json!({ "X-Caller-ID": "$caller_id" }));
        assert_eq!(shown("mobile")["timeouts"], json!({ "ring": "20s" }));
        assert_eq!(
            shown("plain"),
            json!({
                "id": "plain", "environment": "production", "table_version": 0, "default": false,
                "method": "refer", "route": "+14155550125",
            })
        );
        assert_eq!(view(&table, &document, "none"), None);
    }

    #[test]
    fn an_etag_is_that_of_the_destination_and_not_of_the_table() {
        let (table, document) = table();
        let tag = |table: &Table, document: &Document| etag(&view(table, document, "plain").unwrap());
        let before = tag(&table, &document);
        assert!(before.len() == 34 && before.starts_with('"') && before.ends_with('"'), "{before}");
        assert_eq!(tag(&Table { version: 7, ..table.clone() }, &document), before);
        assert_ne!(tag(&Table { default: "plain".into(), ..table.clone() }, &document), before);
        let mut other = document.clone();
        other.destinations.get_mut("plain").unwrap().insert("name".to_owned(), "Plain".into());
        assert_ne!(tag(&table, &other), before);
    }

    #[test]
    fn what_is_served_beside_the_keys_must_be_right() {
        let body = |more: Value| {
            let mut body = json!({ "route": "+1", "trunk": null, "headers": { "X-A": "1", "X-B": null } });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read("sandbox", "desk", body.as_object().unwrap().clone())
        };
        let whole = json!({ "id": "desk", "environment": "sandbox", "table_version": 3, "default": true });
        let (keys, default) = body(whole).unwrap();
        assert_eq!(
            (keys.to_string().as_str(), default),
            ("route = \"+1\"\n\n[headers]\nX-A = \"1\"\n", Some(true))
        );
        for (wrong, field) in [
            (json!({ "id": "front-desk" }), "id"),
            (json!({ "environment": "production" }), "environment"),
            (json!({ "default": "yes" }), "default"),
            (json!({ "on_failure": ["agent", null] }), "on_failure"),
            (json!({ "a": [[[[[[[[[1]]]]]]]]] }), "a"),
        ] {
            assert_eq!(body(wrong).unwrap_err().errors[0].field, field);
        }
    }

    #[test]
    fn conditions() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            pairs.iter().for_each(|(name, value)| {
                headers.append(*name, value.parse().unwrap());
            });
            Condition::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Condition::Unsaid));
        assert_eq!(of(&[("if-none-match", "*")]), Ok(Condition::Absent));
        assert_eq!(of(&[("if-match", "*")]), Ok(Condition::Matches(None)));
        let tags =
            Condition::Matches(Some(vec!["\"a\"".to_owned(), "\"b\"".to_owned(), "W/\"c\"".to_owned()]));
        assert_eq!(of(&[("if-match", "\"a\", \"b\""), ("if-match", "W/\"c\"")]), Ok(tags));
        assert!(of(&[("if-none-match", "\"a\"")]).is_err());
        assert!(of(&[("if-match", "\"a\""), ("if-none-match", "*")]).is_err());
    }
}
