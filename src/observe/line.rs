//! One line of the log as a value: what happened and its fields, in a fixed order. Pure: the clock and the stream are
//! the daemon's. Whatever text a peer had a hand in leaves here without control characters.
//!
//! Built by everybody above that has something to tell; written by the daemon's telemetry alone.

use std::fmt::Write as _;
use std::sync::Arc;

/// Longest text of one field, in characters; the rest is cut and shown as `…`. A log line is no place for a message.
const LONGEST: usize = 512;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks into one call.
    Debug,
    /// What happens when all is well.
    Info,
    /// Something failed and nobody was hurt by it.
    Warn,
    /// A caller was hurt, or Baton cannot go on as configured.
    Error,
}

impl Level {
    /// The word of the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `key=value`, text quoted where it must be.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// How all lines of a process are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Of the line.
    pub format: Format,
    /// Whether telephone numbers are shown by their last three digits only.
    pub mask_numbers: bool,
}

/// Where lines go. Never blocks: a sink that is full counts and drops.
pub type Sink = Arc<dyn Fn(Line) + Send + Sync>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// Always in quotes: what a peer wrote, or a sentence.
    Quoted(String),
    Number(i64),
    Flag(bool),
    Phone(String),
}

/// What happened, with its fields in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Milliseconds since the Unix epoch; `None`: the writer's clock.
    pub at: Option<i64>,
    /// `handoff.attempt_failed`.
    pub event: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// A line without fields.
    pub fn new(level: Level, event: &'static str) -> Line {
        Line { level, at: None, event, fields: Vec::with_capacity(8) }
    }

    /// [`Level::Debug`].
    pub fn debug(event: &'static str) -> Line {
        Line::new(Level::Debug, event)
    }

    /// [`Level::Info`].
    pub fn info(event: &'static str) -> Line {
        Line::new(Level::Info, event)
    }

    /// [`Level::Warn`].
    pub fn warn(event: &'static str) -> Line {
        Line::new(Level::Warn, event)
    }

    /// [`Level::Error`].
    pub fn error(event: &'static str) -> Line {
        Line::new(Level::Error, event)
    }

    /// When it happened, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(mut self, unix_millis: i64) -> Line {
        self.at = Some(unix_millis);
        self
    }

    /// A field of text.
    #[must_use]
    pub fn text(mut self, key: &'static str, value: impl Into<String>) -> Line {
        self.fields.push((key, Value::Text(value.into())));
        self
    }

    /// A text that a peer wrote, or a sentence: in quotes whatever it holds, so that a reader of the log need not care.
    #[must_use]
    pub fn quoted(mut self, key: &'static str, value: Option<&str>) -> Line {
        if let Some(value) = value {
            self.fields.push((key, Value::Quoted(value.to_owned())));
        }
        self
    }

    /// A field of text, if there is one.
    #[must_use]
    pub fn some(self, key: &'static str, value: Option<&str>) -> Line {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A number. What does not fit (no counter reaches it) is shown as the largest.
    #[must_use]
    pub fn number(mut self, key: &'static str, value: impl TryInto<i64>) -> Line {
        self.fields.push((key, Value::Number(value.try_into().unwrap_or(i64::MAX))));
        self
    }

    /// Yes or no: `true` or `false`, in JSON without quotes.
    #[must_use]
    pub fn flag(mut self, key: &'static str, value: bool) -> Line {
        self.fields.push((key, Value::Flag(value)));
        self
    }

    /// A text that may hold telephone numbers: a number, a SIP URI.
    #[must_use]
    pub fn phone(mut self, key: &'static str, value: Option<&str>) -> Line {
        if let Some(value) = value {
            self.fields.push((key, Value::Phone(value.to_owned())));
        }
        self
    }

    /// The line as it is written, without its line end. `now` stands in for a line that brings no time of its own.
    pub fn render(&self, now: i64, style: Style) -> String {
        let mut out = String::with_capacity(160);
        self.render_into(&mut out, now, style);
        out
    }

    /// The same, appended to `out`.
    pub fn render_into(&self, out: &mut String, now: i64, style: Style) {
        let at = timestamp(self.at.unwrap_or(now));
        match style.format {
            Format::Logfmt => {
                let _ = write!(out, "{at} {} {}", self.level.as_str(), self.event);
            }
            Format::Json => {
                let _ = write!(
                    out,
                    r#"{{"at":"{at}","level":"{}","event":"{}""#,
                    self.level.as_str(),
                    self.event
                );
            }
        }
        for (key, value) in &self.fields {
            let parts = match style.format {
                Format::Logfmt => [" ", key, "="],
                Format::Json => [",\"", key, "\":"],
            };
            parts.iter().for_each(|part| out.push_str(part));
            match value {
                Value::Number(number) => {
                    let _ = write!(out, "{number}");
                }
                Value::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
                Value::Phone(text) if style.mask_numbers => push_text(out, &mask(text), style.format),
                Value::Text(text) | Value::Phone(text) => push_text(out, text, style.format),
                Value::Quoted(text) => push_quoted(out, text),
            }
        }
        if style.format == Format::Json {
            out.push('}');
        }
    }
}

fn timestamp(unix_millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_millis) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => "0000-00-00T00:00:00.000Z".to_owned(),
    }
}

fn push_text(out: &mut String, text: &str, format: Format) {
    let plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'=' | b'\\');
    if format == Format::Logfmt && !text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain) {
        out.push_str(text);
    } else {
        push_quoted(out, text);
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_deceptive(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Line and paragraph separators, marks without width and those that turn the direction of writing: a terminal would
/// show another line than the one that was written.
pub(crate) fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Every run of five digits and more by its last three.
fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    let flush = |out: &mut String, digits: &mut String| {
        let hidden = if digits.len() >= 5 { digits.len() - 3 } else { 0 };
        out.extend(std::iter::repeat_n('*', hidden));
        out.push_str(&digits[hidden..]);
        digits.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            flush(&mut out, &mut digits);
            out.push(c);
        }
    }
    flush(&mut out, &mut digits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000_123;

    fn line() -> Line {
        Line::warn("handoff.attempt_failed")
            .at(AT)
            .text("call", "c-1a3-x")
            .number("status", 403u16)
            .text("reason", "For\"bid\r\nden\u{1b}[31m\u{202e}")
            .phone("route", Some("sip:+14155550123@10.0.0.5:5060"))
            .text("empty", "")
            .quoted("hint", Some("look"))
            .some("absent", None)
    }

    #[test]
    fn logfmt_quotes_what_a_peer_wrote() {
        assert_eq!(
            line().render(0, Style::default()),
            "2023-11-14T22:13:20.123Z WARN handoff.attempt_failed call=c-1a3-x status=403 \
             reason=\"For\\\"bid\\r\\nden\\u001b[31m\\u202e\" route=sip:+14155550123@10.0.0.5:5060 empty=\"\" \
             hint=\"look\""
        );
    }

    #[test]
    fn json_lines_are_json() {
        let style = Style { format: Format::Json, mask_numbers: true };
        assert_eq!(
            line().render(0, style),
            "{\"at\":\"2023-11-14T22:13:20.123Z\",\"level\":\"WARN\",\"event\":\"handoff.attempt_failed\",\
             \"call\":\"c-1a3-x\",\"status\":403,\"reason\":\"For\\\"bid\\r\\nden\\u001b[31m\\u202e\",\
             \"route\":\"sip:+********123@10.0.0.5:5060\",\"empty\":\"\",\"hint\":\"look\"}"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = Line::info("x").text("t", "é".repeat(2000)).render(AT, Style::default());
        assert_eq!(text.matches('é').count(), LONGEST);
        assert!(text.ends_with("…\""));
    }
}
