//! `/v1/environments/{env}/destinations`: the table that decisions are made by now.

use super::Api;
use super::body::Segment;
use super::calls::Page;
use super::problem::Problem;
use crate::routing::table::{Destination, Ladder, Step, Table};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `GET /v1/environments/{env}/destinations`: a table is small; it comes on one page.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let table = api.table(&environment)?;
    let data = table.destinations.values().map(|destination| view(&table, destination)).collect();
    Ok(axum::Json(Page { data, next_cursor: None }))
}

/// `GET /v1/environments/{env}/destinations/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((environment, id)): Path<(String, String)>,
) -> Result<axum::Json<Value>, Problem> {
    let table = api.table(&environment)?;
    match table.find(&id) {
        Some(destination) => Ok(axum::Json(view(&table, destination))),
        None => {
            let detail = format!("the table of `{environment}` has no destination `{id}`");
            Err(Problem::new(StatusCode::NOT_FOUND, "no_destination", detail))
        }
    }
}

impl Api {
    /// The table in force of that environment.
    pub(super) fn table(&self, environment: &str) -> Result<Arc<Table>, Problem> {
        self.tables.borrow().environments.get(environment).cloned().ok_or_else(|| {
            let detail = format!("there is no environment `{environment}`");
            Problem::new(StatusCode::NOT_FOUND, "no_environment", detail)
        })
    }
}

fn view(table: &Table, destination: &Destination) -> Value {
    let headers: Map<String, Value> = destination
        .headers
        .iter()
        .map(|header| (header.name().to_string(), header.template().text().into()))
        .collect();
    let timeouts = &destination.timeouts;
    let seconds = |duration: std::time::Duration| duration.as_secs_f64();
    json!({
        "id": &*destination.id,
        "environment": &*table.environment,
        "table_version": table.version,
        "default": table.default == destination.id,
        "name": &*destination.name,
        "description": &*destination.description,
        "method": destination.method.name(),
        "brief": destination.brief,
        "require": destination.require_proven.then_some("proven"),
        "route": destination.route.as_ref().map(ToString::to_string),
        "trunk": destination.trunk.as_deref(),
        "caller_id": destination.caller_id.as_ref().map(|template| template.text()),
        "on_failure": ladder(&destination.on_failure),
        "headers": headers,
        "timeouts": {
            "response": seconds(timeouts.response),
            "outcome": seconds(timeouts.outcome),
            "ring": seconds(timeouts.ring),
            "total": seconds(timeouts.total),
        },
    })
}

fn ladder(ladder: &Ladder) -> Value {
    let names = |steps: &[Step]| -> Vec<String> { steps.iter().map(|step| step.name().to_owned()).collect() };
    if ladder.by_cause.is_empty() {
        return names(&ladder.default).into();
    }
    let mut table: Map<String, Value> =
        ladder.by_cause.iter().map(|(cause, steps)| (cause.name().to_owned(), names(steps).into())).collect();
    table.insert("default".to_owned(), names(&ladder.default).into());
    table.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::file::Source;
    use crate::routing::table;

    #[test]
    fn a_destination_is_shown_as_it_is_written() {
        let text = r#"
            default = "front-desk"
            [destination.front-desk]
            method = "attended"
            brief = true
            require = "proven"
            route = "+14155550123"
            on_failure = { busy = ["invite", "mobile", "hangup"], default = ["bye"] }
            [destination.mobile]
            method = "invite"
            require = "proven"
            route = "+14155550124"
            on_failure = ["attended", "agent"]
            [destination.plain]
            route = "+14155550125"
        "#;
        let (table, told) = table::read(&Source::new("t", text), &"production".into(), None);
        let table = table.unwrap_or_else(|| panic!("{told:#?}"));
        let shown = |id: &str| view(&table, table.find(id).expect("it is there"));
        let desk = shown("front-desk");
        assert_eq!((&desk["method"], &desk["brief"]), (&json!("attended"), &json!(true)));
        assert_eq!(desk["require"], "proven");
        assert_eq!(desk["on_failure"], json!({ "busy": ["invite", "mobile", "hangup"], "default": ["bye"] }));
        assert_eq!(shown("mobile")["on_failure"], json!(["attended", "agent"]));
        let plain = shown("plain");
        assert_eq!((&plain["brief"], &plain["require"]), (&json!(false), &Value::Null));
        assert_eq!(plain["on_failure"], json!(["agent"]));
    }
}
