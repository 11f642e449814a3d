//! One fault of a file, its place, and how it is printed; and the text that places are found in.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; `check --strict` still fails.
    Warning,
}

/// One fault of a file and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was named to the reader.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant (it cannot be read).
    pub line: usize,
    /// Column in characters, from 1; 0 with `line`.
    pub column: usize,
    /// The faulty part as offsets in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do, where there is a good guess.
    pub suggestion: Option<String>,
    /// The line's text, for the caret.
    pub source: String,
}

/// Characters of a source line that are shown.
const SHOWN: usize = 160;

impl Diagnostic {
    /// A fault of a file as a whole: it is not there, it cannot be read.
    pub fn of_file(file: &str, message: impl Into<String>, suggestion: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            span: 0..0,
            message: message.into(),
            expected: None,
            suggestion,
            source: String::new(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: error: message`, the line with carets, what was expected, the suggestion. Ends without a
    /// newline. Control characters of the file do not reach the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if self.line == 0 {
            write!(f, "{}: {severity}: {}", self.file, visible(&self.message))?;
        } else {
            write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, visible(&self.message))?;
            self.excerpt(f)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected: {}", visible(expected))?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  help: {}", visible(suggestion))?;
        }
        Ok(())
    }
}

impl Diagnostic {
    fn excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string().len();
        let before = self.column.saturating_sub(1);
        // A long line is shown around its fault.
        let long = self.source.chars().count() > SHOWN;
        let skipped = if long { before.saturating_sub(SHOWN / 2) } else { 0 };
        let shown: String = self.source.chars().skip(skipped).take(SHOWN).map(printable).collect();
        let padding: String =
            shown.chars().take(before - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let marked = self.marked().min(SHOWN.saturating_sub(padding.chars().count())).max(1);
        write!(
            f,
            "\n {:gutter$} |\n {} | {shown}\n {:gutter$} | {padding}{}",
            "",
            self.line,
            "",
            "^".repeat(marked)
        )
    }

    /// Characters of the span that lie on its first line.
    fn marked(&self) -> usize {
        let mut bytes = self.span.len();
        let marked = self.source.chars().skip(self.column.saturating_sub(1)).take_while(|c| {
            let inside = bytes > 0;
            bytes = bytes.saturating_sub(c.len_utf8());
            inside
        });
        marked.count()
    }
}

fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The text of one file, and where its lines begin.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    lines: Vec<usize>,
}

impl Source {
    /// A source of that name.
    pub fn new(name: &str, text: &str) -> Self {
        let lines =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { name: name.into(), text: text.into(), lines }
    }

    /// Its name, as diagnostics show it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its text, to be kept.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Line (from 1), column in characters (from 1) and the line's text.
    pub(super) fn place(&self, offset: usize) -> (usize, usize, &str) {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let text = self.text.get(start..end).unwrap_or_default();
        let column = text.char_indices().take_while(|(at, _)| start + at < offset).count() + 1;
        (line, column, text.trim_end_matches('\r'))
    }
}
