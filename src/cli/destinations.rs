//! `baton destinations`

use super::api::{Client, segment};
use super::exit::{Exit, Failure};
use super::page::{Table, or_dash};
use super::{Global, page};
use clap::Args;
use serde_json::Value;

/// Lists the destinations of an environment.
#[derive(Debug, Args)]
pub(super) struct Destinations {
    /// Whose table
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Destinations {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let path = format!("/v1/environments/{}/destinations", segment(&self.environment));
        let list: Value = client.get(&path)?;
        if self.json {
            page::json(&list)?;
        } else {
            page::print(&show(&list))?;
        }
        Ok(Exit::Done)
    }
}

fn show(list: &Value) -> String {
    let mut table = Table::new(&["DESTINATION", "METHOD", "ROUTE", "ON FAILURE", "NAME"]);
    for destination in list["data"].as_array().into_iter().flatten() {
        let text = |key: &str| or_dash(destination[key].as_str());
        let mark = if destination["default"] == Value::Bool(true) { " *" } else { "" };
        table.row(vec![
            format!("{}{mark}", text("id")),
            method(destination),
            route(destination),
            ladder(&destination["on_failure"]).unwrap_or_else(|| UNSAID.to_owned()),
            text("name"),
        ]);
    }
    format!("{}\n* is taken where a decision names none\n", table.show())
}

/// The method with what it is bound to: `attended, brief, proven`.
fn method(destination: &Value) -> String {
    let brief = (destination["brief"] == Value::Bool(true)).then_some("brief");
    let words = [destination["method"].as_str(), brief, destination["require"].as_str()];
    or_dash(Some(&words.into_iter().flatten().collect::<Vec<_>>().join(", ")))
}

/// The route, and how many rules may lead elsewhere.
fn route(destination: &Value) -> String {
    let route = or_dash(destination["route"].as_str());
    match destination["rule"].as_array().map_or(0, Vec::len) {
        0 => route,
        1 => format!("{route}, 1 rule"),
        rules => format!("{route}, {rules} rules"),
    }
}

/// What `on_failure` is where it is not written.
const UNSAID: &str = "agent";

fn ladder(value: &Value) -> Option<String> {
    let steps = |list: &Value| -> String {
        let steps: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        steps.join(", ")
    };
    match value {
        Value::Null => None,
        Value::Object(table) => {
            let rows: Vec<String> =
                table.iter().map(|(cause, list)| format!("{cause}: {}", steps(list))).collect();
            Some(rows.join("; "))
        }
        list => Some(steps(list)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_for_each_destination() {
        let list = json!({ "data": [
            {
                "id": "front-desk", "default": true, "method": "attended", "brief": true, "require": "proven",
                "route": "+14155550123", "name": "Front desk", "rule": [{ "use": "menu" }],
                "on_failure": { "busy": ["invite", "mobile", "hangup"], "default": ["bye"] },
            },
            {
                "id": "menu", "default": false, "method": "bye", "name": "Menu",
            },
        ] });
        assert_eq!(
            show(&list),
            "\
DESTINATION   METHOD                   ROUTE                 ON FAILURE                                  NAME
front-desk *  attended, brief, proven  +14155550123, 1 rule  busy: invite, mobile, hangup; default: bye  Front desk
menu          bye                      -                     agent                                       Menu

* is taken where a decision names none
"
        );
    }
}
