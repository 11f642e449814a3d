//! A table that is not in its file yet: what a reload would say of it, if nothing else had changed. So a promotion, a
//! rollback or an edit is refused before anything is written, and a fault in another file does not stand in its way.

use super::Configuration;
use crate::daemon::numbers;
use crate::observe::secret::Secret;
use crate::routing::Id;
use crate::routing::file::{Diagnostic, Report, Section, Severity, Source};
use crate::routing::table::{self, Table};
use crate::routing::topology::read::Parties;
use crate::routing::topology::secret::{SecretSource, Secrets};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Secrets say nothing about tables, and where they come from may be closed by now.
struct Unread;

impl Secrets for Unread {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Ok(Secret::new("unread"))
    }
}

impl Configuration {
    /// Reads `source` as the table of an environment, with the trunks and agents that are in force. The table is there if
    /// there is no error; what is wrong with it may stand in the configuration file, too (an agent whose fallback it does
    /// not have). Warnings are about the table only.
    pub fn candidate(&self, environment: &Id, source: &Source) -> (Option<Table>, Vec<Diagnostic>) {
        let base = self.path.parent().unwrap_or(Path::new(""));
        let mut report = Report::new(&self.source);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &Unread, base);
        let (table, mut diagnostics) =
            table::read(source, environment, Some(&parties.surroundings(Some(numbers::doubt))));
        let Some(table) = table else { return (None, diagnostics) };
        let tables = BTreeMap::from([(Arc::clone(environment), Arc::new(table))]);
        parties.check(&mut report, &tables);
        // It was sound when it was read; only what this table makes wrong in it is news.
        diagnostics.extend(report.finish().into_iter().filter(|d| d.severity == Severity::Error));
        let sound = diagnostics.iter().all(|d| d.severity != Severity::Error);
        let table = sound.then(|| tables.into_values().next()).flatten().and_then(Arc::into_inner);
        (table, diagnostics)
    }
}
