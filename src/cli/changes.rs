//! What `diff`, `promote` and `rollback` have in common: how a difference and a change of a table are shown.

use super::Global;
use super::api::{Ask, Client, IN_FORCE_WITHIN, segment};
use super::exit::{Exit, Failure};
use super::page::{self, plain};
use crate::http::request::Changed;
use crate::rehearsal::{Ink, Page};
use crate::routing::diff::{Change, Diff, KeyChange};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use toml::Value;

/// On what terms a table is replaced.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Whose table is replaced
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    pub(super) environment: String,
    /// Why, for the list of versions
    #[arg(short, long, required_unless_present = "dry_run")]
    pub(super) message: Option<String>,
    /// Refuse if another version than this is in force
    #[arg(long, value_name = "VERSION")]
    pub(super) expect_current: Option<u64>,
    /// Only show what would change
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Who asks, for the list of versions: the person behind `sudo`, if there is one.
pub(super) fn who() -> Option<String> {
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.trim().is_empty());
    name("SUDO_USER").or_else(|| name("USER")).or_else(|| Some("cli".to_owned()))
}

/// What differs, a destination after the other: `-` as it was, `+` as it is.
pub(super) fn diff(page: &Page, diff: &Diff) -> String {
    let mut out = String::new();
    keys(page, "", &diff.table, &mut out);
    for destination in &diff.destinations {
        let (mark, ink) = match destination.change {
            Change::Added => ('+', Ink::Good),
            Change::Removed => ('-', Ink::Bad),
            Change::Changed => ('~', Ink::Strong),
        };
        let _ = writeln!(out, "{}", page.ink(ink, &plain(&format!("{mark} {}", destination.id))));
        keys(page, "    ", &destination.keys, &mut out);
    }
    out
}

fn keys(page: &Page, indent: &str, changes: &[KeyChange], out: &mut String) {
    for KeyChange { key, from, to } in changes {
        for (mark, ink, value) in [('-', Ink::Bad, from), ('+', Ink::Good, to)] {
            if let Some(value) = value {
                let line = plain(&format!("{indent}{mark} {key} = {}", written(value)));
                let _ = writeln!(out, "{}", page.ink(ink, &line));
            }
        }
    }
}

/// A value in one line.
fn written(value: &Value) -> String {
    match value {
        Value::Table(keys) => {
            let keys: Vec<String> =
                keys.iter().map(|(key, value)| format!("{key} = {}", written(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

/// What a promotion or a rollback has come to.
fn changed(page: &Page, changed: &Changed) -> String {
    let Changed { environment, version, previous, handoffs_by_older: older, .. } = changed;
    let mut out = String::new();
    for warning in &changed.warnings {
        let _ = writeln!(out, "{warning}\n");
    }
    out += &diff(page, &changed.diff);
    if changed.changed && changed.diff.is_empty() {
        out.push_str("only comments or layout differ\n");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    match (changed.changed, changed.dry_run) {
        (true, true) => {
            let _ = writeln!(out, "{environment} would change; it stays at version {version}: a dry run");
        }
        (true, false) => {
            let _ = writeln!(out, "{environment} is at version {version} now, and was at {previous}");
            if *older > 0 {
                let _ = writeln!(out, "running handoffs that end by an older version: {older}");
            }
        }
        (false, _) => {
            let _ = writeln!(out, "{environment} has this text already; it stays at version {version}");
        }
    }
    if !changed.left_behind.is_empty() {
        let ids = plain(&changed.left_behind.join(", "));
        let _ = writeln!(out, "left behind, by `only`: {ids}");
    }
    if let Some(kept) = &changed.set_aside {
        let _ = writeln!(out, "the file held something that was not in force; it is kept in {}", plain(kept));
    }
    out
}

/// Asks for it, and prints what it has come to.
pub(super) fn carry_out(
    global: &Global,
    environment: &str,
    verb: &str,
    body: &impl Serialize,
    json: bool,
) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let path = format!("/v1/environments/{}/{verb}", segment(environment));
    let done: Changed = client.ask(Ask::Post(&path, body), IN_FORCE_WITHIN)?;
    if json {
        page::json(&done)?;
    } else {
        page::print(&changed(&page::sheet(), &done))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::document::Document;

    #[test]
    fn a_difference_is_read_line_by_line() {
        let read = |text: &str| Document::read(text).unwrap();
        let from = read(
            "default = \"a\"\n[destination.a]\nroute = \"+1\"\nheaders = { X-A = \"1\" }\n[destination.b]\nmethod = \"bye\"\n",
        );
        let to = read(
            "default = \"c\"\n[destination.a]\nroute = \"+2\"\nheaders = { X-A = \"1\", X-B = \"\\u001b[2J\" }\n\
             [destination.c]\non_failure = { busy = [\"invite\", \"agent\"] }\n",
        );
        let between = Diff::between(&from, &to);
        assert_eq!(
            diff(&Page::new(80, false), &between),
            "\
- default = \"a\"
+ default = \"c\"
~ a
    + headers.X-B = \"\\u001B[2J\"
    - route = \"+1\"
    + route = \"+2\"
- b
    - method = \"bye\"
+ c
    + on_failure.busy = [\"invite\", \"agent\"]
"
        );
        assert!(diff(&Page::new(80, true), &between).contains("\u{1b}[3"));
    }
}
