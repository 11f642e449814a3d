//! Text for people: aligned tables and lists of keys, and JSON for programs. What peers wrote is shown without control
//! characters, so that no caller can steer a terminal.

use super::exit::{Exit, Failure};
use crate::daemon::systemd;
use crate::observe::line::{Level, is_deceptive};
use crate::rehearsal::Page;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

/// Columns where the terminal does not say.
const COLUMNS: usize = 80;

/// A table with a head.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    /// The columns as wide as their widest cell, two spaces between them, the last one as it is.
    pub(super) fn show(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Keys with their values, aligned.
pub(super) fn keys(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    pairs.iter().map(|(key, value)| format!("{key:width$}  {}\n", plain(value))).collect()
}

/// Says something beside the answer, on standard error.
pub(super) fn warn(text: &str) {
    // Nobody may be there to read it; the answer is what was asked for.
    let _ = writeln!(std::io::stderr(), "warning: {}", plain(text));
}

/// Without control characters, and without those that make a terminal show another text.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_deceptive(c) { '\u{fffd}' } else { c }).collect()
}

/// A value, or a dash where there is none.
pub(super) fn or_dash(value: Option<&str>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or("-").to_owned()
}

/// As wide as the terminal; coloured on a terminal unless `NO_COLOR` (<https://no-color.org>) or a dumb one says no.
pub(super) fn sheet() -> Page {
    let terminal = stdout().is_terminal();
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let measured = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let width = columns.or_else(measured).unwrap_or(COLUMNS);
    Page::new(width, terminal && !dumb && !set("NO_COLOR"))
}

/// C1 controls, and what turns the direction of writing or has no width, as `\u009b`: a terminal would obey them, and in
/// JSON it is the same text. Colours of our own pass.
fn escaped(text: &str) -> Cow<'_, str> {
    let steers = |c: char| matches!(c, '\u{80}'..='\u{9f}') || is_deceptive(c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match steers(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The message of a failure, which may quote what a peer wrote. In the journal each of its lines is an error.
pub(super) fn complain(message: &str) {
    let priority = if systemd::logs_to_journal() { systemd::priority(Level::Error) } else { "" };
    let lines: Vec<String> = message.lines().map(|line| format!("{priority}{}", plain(line))).collect();
    eprintln!("{}", lines.join("\n"));
}

/// Prints text. Whoever closes the pipe early has seen enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match stdout().lock().write_all(escaped(text).as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints JSON, indented.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_neither_holds_c1_controls_nor_turns_the_direction_of_writing() {
        let said = "a\u{9b}2J\u{202e}gpj\u{2066}\u{200b}é";
        let json = serde_json::to_string(&said).unwrap();
        let shown = escaped(&json);
        assert_eq!(shown, r#""a\u009b2J\u202egpj\u2066\u200bé""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), said, "it is the same text to a program");
        assert_eq!(escaped("\u{1b}[32mok\u{1b}[0m\n"), "\u{1b}[32mok\u{1b}[0m\n");
    }

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let mut table = Table::new(&["CALL", "STATE"]);
        table.row(vec!["c-1".to_owned(), "talking".to_owned()]);
        table.row(vec!["é\u{1b}[2J".to_owned(), String::new()]);
        assert_eq!(table.show(), "CALL   STATE\nc-1    talking\né\u{fffd}[2J\n");
        assert_eq!(plain("a\u{9b}2J\u{202e}b"), "a\u{fffd}2J\u{fffd}b");
        assert_eq!(keys(&[("id", "1".to_owned()), ("state", "x".to_owned())]), "id     1\nstate  x\n");
    }
}
