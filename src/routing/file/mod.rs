//! TOML text into values that know their place, and the diagnostics about it: all of a file's faults at once, each with
//! line, column, what was expected and a suggestion.
//!
//! A [`Report`] collects; a [`Section`] reads one table key by key and at its end names every key that nobody asked
//! for. Readers are [`super::table`], [`super::topology`] and the daemon's configuration; nothing here opens a file.

mod diagnostic;
mod syntax;

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::duration;
pub use diagnostic::{Diagnostic, Severity, Source};

/// Diagnostics that one report keeps; what comes after them is only counted.
const MOST_DIAGNOSTICS: usize = 200;

/// Collects the diagnostics of one file.
#[derive(Debug)]
pub struct Report<'s> {
    source: &'s Source,
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
    syntax: Vec<usize>,
}

impl<'s> Report<'s> {
    /// An empty report on `source`.
    pub fn new(source: &'s Source) -> Self {
        Self { source, diagnostics: Vec::new(), dropped: 0, syntax: Vec::new() }
    }

    /// Reads the text as TOML; syntax errors go into the report, and what could be read comes back.
    pub fn parse(&mut self) -> DeTable<'s> {
        let text = self.source.text();
        let (table, errors) = DeTable::parse_recoverable(text);
        // The end of a table that is there twice: each of its keys is, too.
        let mut told = 0;
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let (line, _, shown) = self.source.place(span.start);
            let first = !self.syntax.contains(&line);
            self.syntax.push(line);
            // One slip makes the parser stumble several times over a line; the first time says it.
            if !first || (error.message() == syntax::TWICE && span.start < told) {
                continue;
            }
            if error.message() == syntax::TWICE && shown.trim_start().starts_with('[') {
                told = text[span.end..].find("\n[").map_or(text.len(), |next| span.end + next);
            }
            let what = text.get(span.clone()).unwrap_or_default();
            let syntax::Fault { message, expected, help } = syntax::fault(error.message(), what, shown);
            self.push(Severity::Error, span, message, expected, help);
        }
        table.into_inner()
    }

    /// Whether syntax errors have hidden parts of the file, so that a missing key means nothing.
    pub fn is_partial(&self) -> bool {
        !self.syntax.is_empty()
    }

    /// Whether an error was found.
    pub fn has_errors(&self) -> bool {
        self.dropped > 0 || self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// How many errors were found so far.
    pub fn errors(&self) -> usize {
        self.dropped + self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// An error at `span`.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>) -> Note<'_> {
        self.add(Severity::Error, span, message.into())
    }

    /// A warning at `span`.
    pub fn warn(&mut self, span: Range<usize>, message: impl Into<String>) -> Note<'_> {
        self.add(Severity::Warning, span, message.into())
    }

    /// An error that something is missing; silent where syntax errors may have hidden it.
    pub fn missing(&mut self, span: Range<usize>, message: impl Into<String>) -> Note<'_> {
        if self.is_partial() {
            return Note(None);
        }
        self.error(span, message)
    }

    /// An error at `span` whose line is not shown, because it may hold a secret.
    pub fn hidden(&mut self, span: Range<usize>, message: impl Into<String>) -> Note<'_> {
        let Note(Some(diagnostic)) = self.add(Severity::Error, span, message.into()) else {
            return Note(None);
        };
        let shown = diagnostic.column.saturating_sub(1);
        diagnostic.source = diagnostic.source.chars().take(shown).chain("\"***\"".chars()).collect();
        Note(Some(diagnostic))
    }

    fn add(&mut self, severity: Severity, span: Range<usize>, message: String) -> Note<'_> {
        // What stands on a line with a syntax error was not read as it is meant.
        let (line, ..) = self.source.place(span.start);
        if self.syntax.contains(&line) {
            return Note(None);
        }
        Note(self.push(severity, span, message, None, None))
    }

    fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: String,
        expected: Option<String>,
        suggestion: Option<String>,
    ) -> Option<&mut Diagnostic> {
        if self.diagnostics.len() >= MOST_DIAGNOSTICS {
            self.dropped += usize::from(severity == Severity::Error);
            return None;
        }
        let (line, column, text) = self.source.place(span.start);
        self.diagnostics.push(Diagnostic {
            severity,
            file: self.source.name().to_owned(),
            line,
            column,
            span,
            message,
            expected,
            suggestion,
            source: text.to_owned(),
        });
        self.diagnostics.last_mut()
    }

    /// The diagnostics in the order of the file.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|d| (d.span.start, d.span.end));
        if self.dropped > 0 {
            let message = format!("{} more errors are not shown", self.dropped);
            self.diagnostics.push(Diagnostic::of_file(self.source.name(), message, None));
        }
        self.diagnostics
    }
}

/// Completes the diagnostic that was just reported.
#[derive(Debug)]
pub struct Note<'r>(Option<&'r mut Diagnostic>);

impl Note<'_> {
    /// What would have been right.
    pub fn expected(self, text: impl Into<String>) -> Self {
        let Self(Some(diagnostic)) = self else { return self };
        diagnostic.expected = Some(text.into());
        Self(Some(diagnostic))
    }

    /// What to do.
    pub fn help(self, text: impl Into<String>) -> Self {
        let Self(Some(diagnostic)) = self else { return self };
        diagnostic.suggestion = Some(text.into());
        Self(Some(diagnostic))
    }

    /// Suggests the nearest of `known` to `wrong`, if one is near.
    pub fn nearest<'k>(self, wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        // Looking is the dear part of a fault, and the ones that are only counted are the many.
        if self.0.is_none() {
            return self;
        }
        match nearest(wrong, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// The name among `known` that `wrong` was probably meant to be.
pub fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Edit distance is quadratic in the length; nobody mistypes a hundred characters.
    if wrong.len() > 100 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    known
        .into_iter()
        .map(|name| (name, strsim::jaro_winkler(&wrong, &name.to_lowercase())))
        .filter(|(_, similarity)| *similarity >= 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// As TOML gives it, not checked yet.
    pub value: T,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

/// One TOML table that is read key by key. [`Section::finish`] reports the keys that nobody took.
#[derive(Debug)]
pub struct Section<'a> {
    name: String,
    place: Range<usize>,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The table itself: `name` as messages call it (empty for the whole file), `place` where a missing key is
    /// reported.
    pub fn new(name: impl Into<String>, place: Range<usize>, table: &'a DeTable<'a>) -> Self {
        Self { name: name.into(), place, table, known: Vec::new(), refused: Vec::new() }
    }

    /// Where the section is named.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// ` in [name]`, or nothing for the whole file.
    fn within(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) }
    }

    /// Whether the key is written. It does not count as known by this.
    pub fn contains(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key is written; it counts as known from now on.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.take(key).is_some()
    }

    /// Whether the key is written as a list. It does not count as known by this.
    pub fn is_list(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// The value of a key.
    pub fn take(&mut self, key: &'static str) -> Option<At<&'a DeValue<'a>>> {
        self.know(key);
        self.table.get(key).map(|value| At { value: value.get_ref(), span: value.span() })
    }

    /// The place of a key's name.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.place(), |(name, _)| name.span())
    }

    /// The place of a key's value.
    pub fn value_span(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.place(), toml::Spanned::span)
    }

    fn wrong(&self, report: &mut Report<'_>, key: &str, found: &At<&DeValue<'_>>, expected: &str) {
        report
            .error(found.span.clone(), format!("`{key}` is {}{}", with_article(found.value), self.within()))
            .expected(expected);
    }

    /// A string.
    pub fn string(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        expected: &str,
    ) -> Option<At<&'a str>> {
        let found = self.take(key)?;
        match found.value.as_str() {
            Some(value) => Some(At { value, span: found.span }),
            None => {
                self.wrong(report, key, &found, expected);
                None
            }
        }
    }

    /// A string that must be there.
    pub fn required(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        expected: &str,
    ) -> Option<At<&'a str>> {
        if self.table.get(key).is_none() {
            self.know(key);
            report.missing(self.place(), format!("`{key}` is missing{}", self.within())).expected(expected);
            return None;
        }
        self.string(report, key, expected)
    }

    /// A string that is one of `choices`.
    pub fn choice<T: Copy>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names = choices.iter().map(|(name, _)| *name);
        let expected = format!("one of {}", quoted(names.clone()));
        let found = self.string(report, key, &expected)?;
        let chosen = choices.iter().find(|(name, _)| *name == found.value).map(|(_, value)| *value);
        if chosen.is_none() {
            report
                .error(found.span, format!("`{}` is no `{key}`", found.value))
                .expected(expected)
                .nearest(found.value, names);
        }
        chosen
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<bool> {
        let found = self.take(key)?;
        if found.value.as_bool().is_none() {
            self.wrong(report, key, &found, "`true` or `false`");
        }
        found.value.as_bool()
    }

    /// A whole number within `range`.
    pub fn number(&mut self, report: &mut Report<'_>, key: &'static str, range: Range<u32>) -> Option<u32> {
        let found = self.take(key)?;
        let expected = format!("a whole number from {} to {}", range.start, range.end - 1);
        let Some(integer) = found.value.as_integer() else {
            self.wrong(report, key, &found, &expected);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            report.error(found.span, format!("`{key}` is out of range{}", self.within())).expected(expected);
        }
        number
    }

    /// A duration from `shortest` to `longest`.
    pub fn duration(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        shortest: Duration,
        longest: Duration,
    ) -> Option<Duration> {
        let found = self.string(report, key, duration::FORM)?;
        let value = match duration::parse(found.value) {
            Ok(value) => value,
            Err(error) => {
                report.error(found.span, format!("`{key}`: {error}")).expected(duration::FORM);
                return None;
            }
        };
        if value < shortest || value > longest {
            report.error(found.span, format!("`{key}` is out of range")).expected(format!(
                "from \"{}\" to \"{}\"",
                duration::format(shortest),
                duration::format(longest)
            ));
            return None;
        }
        Some(value)
    }

    /// A list of strings. `None` where the key is absent or no list; entries that are no strings are reported and
    /// left out.
    pub fn strings(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        expected: &str,
    ) -> Option<Vec<At<&'a str>>> {
        let found = self.take(key)?;
        let Some(list) = found.value.as_array() else {
            self.wrong(report, key, &found, expected);
            return None;
        };
        let mut strings = Vec::new();
        for entry in list.iter() {
            match entry.get_ref().as_str() {
                Some(value) => strings.push(At { value, span: entry.span() }),
                None => {
                    let entry = At { value: entry.get_ref(), span: entry.span() };
                    report
                        .error(
                            entry.span.clone(),
                            format!("an entry of `{key}` is {}", with_article(entry.value)),
                        )
                        .expected(expected);
                }
            }
        }
        Some(strings)
    }

    /// A table inside this one, as a section of its own.
    pub fn section(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<Section<'a>> {
        let found = self.take(key)?;
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        match found.value.as_table() {
            Some(table) => Some(Section::new(name, self.key_span(key), table)),
            None => {
                self.wrong(report, key, &found, &format!("a table: [{name}]"));
                None
            }
        }
    }

    /// The tables inside the table `key`, each with its name: `[trunk.pbx]`, `[trunk.carrier]`.
    pub fn sections(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Vec<(At<&'a str>, Section<'a>)> {
        let Some(parent) = self.section(report, key) else { return Vec::new() };
        let mut sections = Vec::new();
        for (name, value) in parent.table.iter() {
            let id = At { value: name.get_ref().as_ref(), span: name.span() };
            match value.get_ref().as_table() {
                Some(table) => {
                    let title = format!("{key}.{}", id.value);
                    sections.push((id, Section::new(title, name.span(), table)));
                }
                None => {
                    let form = format!("a table: [{key}.{}]", id.value);
                    report
                        .error(value.span(), format!("`{}` is {}", id.value, with_article(value.get_ref())))
                        .expected(form);
                }
            }
        }
        sections
    }

    /// The tables in a list, each as a section of its own. Entries that are no tables are reported and left out.
    pub fn tables(&mut self, report: &mut Report<'_>, key: &'static str, expected: &str) -> Vec<Section<'a>> {
        let Some(found) = self.take(key) else { return Vec::new() };
        let Some(list) = found.value.as_array() else {
            self.wrong(report, key, &found, expected);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for entry in list.iter() {
            match entry.get_ref().as_table() {
                Some(table) => {
                    sections.push(Section::new(format!("{}.{key}", self.name), entry.span(), table))
                }
                None => {
                    let message = format!("an entry of `{key}` is {}", with_article(entry.get_ref()));
                    report.error(entry.span(), message).expected(expected);
                }
            }
        }
        sections
    }

    /// All entries, for tables whose keys are free.
    pub fn entries(&self) -> impl Iterator<Item = (At<&'a str>, At<&'a DeValue<'a>>)> + use<'a> {
        self.table.iter().map(|(name, value)| {
            (
                At { value: name.get_ref().as_ref(), span: name.span() },
                At { value: value.get_ref(), span: value.span() },
            )
        })
    }

    /// A key that exists in the product and is not carried out yet.
    pub fn refuse(&mut self, report: &mut Report<'_>, key: &'static str, instead: &str) {
        self.refused.push(key);
        if self.table.contains_key(key) {
            let message = format!("`{key}` is not carried out yet{}", self.within());
            report.error(self.key_span(key), message).help(instead);
        }
    }

    /// Reports every key that nobody took.
    pub fn finish(self, report: &mut Report<'_>) {
        // Keys under a header that could not be read land at the top.
        if self.name.is_empty() && report.is_partial() {
            return;
        }
        for (name, _) in self.table.iter() {
            let key: &str = name.get_ref();
            if !self.known.contains(&key) && !self.refused.contains(&key) {
                let note = report
                    .error(name.span(), format!("unknown key `{key}`{}", self.within()))
                    .expected(format!("one of {}", quoted(self.known.iter().copied())));
                match key {
                    // A key at the end of a table's file belongs to the last section that stands before it.
                    "default" if self.name.starts_with("destination") => {
                        note.help(
                            "`default` stands at the top of the file, before the first [destination.ID]",
                        );
                    }
                    _ => _ = note.nearest(key, self.known.iter().copied()),
                }
            }
        }
    }
}

/// `` `a`, `b` or `c` ``.
pub fn quoted<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// What a value is, with its article.
pub fn with_article(value: &DeValue<'_>) -> String {
    let kind = match value {
        DeValue::Boolean(_) => return "a boolean".to_owned(),
        DeValue::Datetime(_) => "date",
        DeValue::Float(_) => "number with a fraction",
        other => other.type_str(),
    };
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}
