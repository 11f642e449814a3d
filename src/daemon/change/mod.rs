//! Carries out what the API asks to change in a table: promote, rollback, `PUT` and `DELETE` of a destination.
//!
//! 1. The file must hold what is in force: a change that nobody has noticed yet is reloaded first. What cannot be in force
//!    because it is faulty stands in the way of an edit; a promotion or a rollback replaces it and keeps it aside.
//! 2. The new text is made, and read as a reload would read it: one with a fault is refused before anything is written.
//! 3. It is written beside the file, noted in the versions, renamed into the file's place, and becomes a version.
//! 4. Every shard decides by it, and what ran before ends by what it began with.
//!
//! One after the other, so that nobody loses what somebody else has just done.

mod edit;
mod file;
mod wish;

use super::numbering::{UNNUMBERED, stamp};
use super::reload::Reloader;
use super::watch::FileWatch;
use crate::http::destinations;
use crate::http::request::{Change, ChangeError, Changed, Done, Put, What};
use crate::observe::line::Line;
use crate::routing::Id;
use crate::routing::diff::{self, Diff};
use crate::routing::document::{Document, DocumentError};
use crate::routing::file::{Diagnostic, Severity, Source};
use crate::routing::table::Table;
use crate::routing::tables::no_environment;
use crate::store::replace::{ReplaceError, Replacement};
use crate::store::versions::{Draft, Found, Origin, Version, Versions};
use file::OnDisk;
use std::sync::Arc;
use wish::Wish;

/// A text that was read as a table, and what it would change.
struct Candidate {
    source: Source,
    table: Table,
    warnings: Vec<String>,
    diff: Diff,
}

/// Does something that may wait for a disk, or take milliseconds.
async fn beside<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(what).await;
    done.map_err(|error| ChangeError::Fault(error.to_string()))
}

fn no_document(error: &DocumentError) -> ChangeError {
    ChangeError::Fault(format!("a version is no table: {error}"))
}

impl Reloader {
    /// Carries one change out, with its table's lock held.
    ///
    /// # Errors
    /// What stands in its way; nothing was changed then, except where the error says so.
    pub(super) async fn change(
        &mut self,
        change: Change,
        watch: &mut FileWatch,
    ) -> Result<Done, ChangeError> {
        self.mend().await;
        let (environment, on_disk) = self.settled(&change.environment, watch).await?;
        self.expected(&environment, change.expect_current).await?;
        let wish = self.wish(&environment, &change, watch).await?;
        // Asking for another environment may have reloaded all of them.
        let before = Arc::clone(self.table(&environment)?);
        let is_edit = matches!(change.what, What::Put { .. } | What::Delete { .. });
        if on_disk.is_closed() || (is_edit && !on_disk.holds(&before)) {
            return Err(on_disk.in_the_way(&environment));
        }
        let candidate = self.candidate(&environment, &before, &wish).await?;
        let is_new = candidate.table.hash != before.hash;
        let mut changed = Changed {
            environment: environment.to_string(),
            version: before.version,
            previous: before.version,
            changed: is_new,
            dry_run: change.dry_run,
            origin: wish.origin.clone(),
            hash: candidate.table.hash.to_string(),
            destinations: candidate.table.destinations.len(),
            handoffs_by_older: 0,
            diff: candidate.diff.clone(),
            warnings: candidate.warnings.clone(),
            left_behind: wish.left_behind.clone(),
            set_aside: None,
        };
        // Who holds a table is counted.
        drop(before);
        let mut table = candidate.table.clone();
        let is_written = !is_new && on_disk.has(&table.hash);
        let unblocks = self.not_in_force.borrow().is_by(&on_disk.path);
        if !change.dry_run && !is_written {
            changed.set_aside = self.set_aside(&environment, &on_disk).await?;
            let draft = is_new.then(|| Draft {
                environment: environment.to_string(),
                by: change.by,
                message: change.message,
                origin: wish.origin.clone(),
            });
            if let Some(version) = self.write(&environment, on_disk, candidate, draft, watch).await? {
                changed.version = version.number;
                table.version = version.number;
                self.bring_into_force(&environment, table.clone()).await?;
                changed.handoffs_by_older = self.handoffs_by_older(&environment);
                self.tell_change(&environment, &version, &changed);
            }
            if unblocks {
                // What the fault has kept out of force in other files comes into it now; what does not is logged.
                let _ = self.reload("change", watch).await;
            }
        }
        table.version = changed.version;
        changed.handoffs_by_older = self.handoffs_by_older(&environment);
        Ok(Done { put: wish.put(&table)?, changed })
    }

    fn table(&self, environment: &str) -> Result<&Arc<Table>, ChangeError> {
        let table = self.current.tables.get(environment);
        table.ok_or_else(|| self.no_environment(environment))
    }

    fn no_environment(&self, wanted: &str) -> ChangeError {
        let known = self.current.tables.keys().map(|id| &**id);
        ChangeError::NoEnvironment(no_environment(wanted, known))
    }

    /// The version in force must be the one that the request names.
    async fn expected(&self, environment: &Id, expected: Option<u64>) -> Result<(), ChangeError> {
        let current = self.table(environment)?.version;
        if expected.is_none_or(|expected| expected == current) {
            return Ok(());
        }
        let of = environment.to_string();
        let version = self.numbering.ask(move |versions| versions.find(&of, current)).await?;
        let about = version.map_or_else(|| "not written down yet".to_owned(), |version| about(&version));
        Err(ChangeError::NotCurrent { environment: environment.to_string(), current, about })
    }

    /// Reads the text as a reload would.
    async fn candidate(
        &self,
        environment: &Id,
        before: &Table,
        wish: &Wish,
    ) -> Result<Candidate, ChangeError> {
        let (configuration, id) = (self.current.clone(), Arc::clone(environment));
        let (source, old) = (wish.source.clone(), Arc::clone(&before.text));
        let read = beside(move || {
            let (table, diagnostics) = configuration.candidate(&id, &source);
            let diff =
                Document::read(&old).and_then(|old| Ok(Diff::between(&old, &Document::read(source.text())?)));
            (table, diagnostics, diff)
        });
        let (table, diagnostics, diff) = read.await?;
        let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
        let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics.into_iter().partition(is_error);
        let Some(table) = table else { return Err(ChangeError::Invalid(errors)) };
        Ok(Candidate {
            source: wish.source.clone(),
            table,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            diff: diff.map_err(|error| no_document(&error))?,
        })
    }

    /// Keeps what the file holds and was never in force, if it holds such.
    async fn set_aside(&self, environment: &Id, on_disk: &OnDisk) -> Result<Option<String>, ChangeError> {
        let in_force = self.table(environment)?;
        let Some(bytes) = on_disk.unknown(in_force) else { return Ok(None) };
        let (state, of) = (self.state.clone(), Arc::clone(environment));
        let kept = beside(move || state.set_aside(&of, &bytes, stamp())).await?;
        let path = kept.map_err(|error| ChangeError::NotWritten(error.to_string()))?.display().to_string();
        (self.log)(
            Line::warn("table.set_aside")
                .text("environment", environment.to_string())
                .text("kept", &path)
                .text("hint", "the file held this, and it was not in force"),
        );
        Ok(Some(path))
    }

    /// Puts the text into the file. Gives the version that it is; `None` without a draft: it is the latest already.
    async fn write(
        &mut self,
        environment: &Id,
        on_disk: OnDisk,
        candidate: Candidate,
        draft: Option<Draft>,
        watch: &mut FileWatch,
    ) -> Result<Option<Version>, ChangeError> {
        let OnDisk { path, print: seen, .. } = on_disk;
        let (at, text, own) = (path.clone(), candidate.source.shared(), self.state.path().to_owned());
        let replacement = beside(move || Replacement::prepare(&at, &text, &own)).await?;
        let replacement = replacement.map_err(not_replaced)?;
        let text = candidate.source.shared();
        let is_noted = draft.is_some();
        if let Some(draft) = draft {
            let noted = self.numbering.ask(move |versions| versions.intend(draft, &text, stamp())).await;
            noted.inspect_err(|unavailable| self.numbering.tell(unavailable))?;
        }
        match beside(move || replacement.carry_out(seen)).await? {
            Ok(print) => watch.replaced(&path, print),
            Err(error) => {
                let of = environment.to_string();
                if is_noted && let Err(error) = self.numbering.ask(move |v| v.withdraw(&of)).await {
                    self.numbering.tell(&error);
                }
                return Err(not_replaced(error));
            }
        }
        if !is_noted {
            return Ok(None);
        }
        let (of, text, hash) =
            (environment.to_string(), candidate.source.shared(), candidate.table.hash.clone());
        let accept = move |versions: &Versions| {
            versions.accept(&[Found { environment: &of, text: &text, hash: &hash }], stamp())
        };
        match self.numbering.ask(accept).await {
            Ok(accepted) => Ok(accepted.into_iter().next().map(|accepted| accepted.version)),
            Err(unavailable) => {
                self.numbering.tell(&unavailable);
                // It is in the file, so it is what is decided by.
                self.bring_into_force(environment, Table { version: UNNUMBERED, ..candidate.table }).await?;
                Err(ChangeError::Unrecorded(unavailable))
            }
        }
    }

    fn tell_change(&self, environment: &Id, version: &Version, changed: &Changed) {
        let line = self.numbering.line_of(environment, version);
        (self.log)(
            line.number("previous", changed.previous)
                .number("added", changed.diff.count(diff::Change::Added))
                .number("removed", changed.diff.count(diff::Change::Removed))
                .number("changed", changed.diff.count(diff::Change::Changed))
                .number("handoffs_by_older", changed.handoffs_by_older),
        );
    }

    async fn bring_into_force(&mut self, environment: &Id, table: Table) -> Result<(), ChangeError> {
        self.current.tables.insert(Arc::clone(environment), Arc::new(table));
        self.adopt().await.map(|_| ()).map_err(|error| ChangeError::Stuck(error.to_string()))
    }
}

/// What is known of a version, in a few words.
fn about(version: &Version) -> String {
    let message = version.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("by {}, {}{message}", version.by, version.at)
}

fn not_replaced(error: ReplaceError) -> ChangeError {
    let detail = error.to_string();
    match error {
        ReplaceError::ReadOnly { .. } => ChangeError::ReadOnly(detail),
        ReplaceError::Changed(_) => ChangeError::FileChanged(format!("{detail}; look at it and try again")),
        ReplaceError::Failed { .. } => ChangeError::NotWritten(detail),
    }
}
