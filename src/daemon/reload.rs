//! Replaces trunks, agents and tables while calls are up: all of it or nothing. A faulty file changes nothing, the last
//! good state stays; a running handoff keeps the table that it began with. Old states are dropped here, never on a
//! shard's thread, where freeing ten thousand destinations would hold up calls.

use super::configuration::{Configuration, load};
use super::numbering::{ByEnvironment, Numbering, UNNUMBERED};
use super::sources::Sources;
use super::watch::FileWatch;
use crate::http::in_force::NotInForce;
use crate::http::request::{ReloadError, Reloaded, TableState};
use crate::observe::line::{Line, Sink};
use crate::routing::Id;
use crate::routing::Tables;
use crate::routing::file::{Diagnostic, Severity};
use crate::routing::table::Table;
use crate::shard::Shards;
use crate::store::StateDir;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the daemon decides by, and what it decided by as long as a shard still holds it.
pub struct Reloader {
    /// As it was at the start, without its tables: keys that need a restart are compared with it.
    started: Configuration,
    /// The latest that was good.
    pub(super) current: Configuration,
    tables: watch::Sender<Arc<Tables>>,
    /// What the files say beside that.
    pub(super) not_in_force: watch::Sender<NotInForce>,
    retired: Vec<Arc<Tables>>,
    shards: Arc<Shards>,
    sources: Sources,
    pub(super) numbering: Numbering,
    /// Where files are kept that are replaced without ever having been in force.
    pub(super) state: StateDir,
    pub(super) log: Sink,
}

/// What a reloader is made of, beside the configuration.
pub(super) struct Parts {
    pub(super) tables: watch::Sender<Arc<Tables>>,
    pub(super) not_in_force: watch::Sender<NotInForce>,
    pub(super) shards: Arc<Shards>,
    pub(super) sources: Sources,
    pub(super) numbering: Numbering,
    pub(super) state: StateDir,
    pub(super) log: Sink,
}

/// The first tables, with their numbers.
pub(super) async fn first(
    configuration: &mut Configuration,
    sources: &Sources,
    numbering: &mut Numbering,
) -> Arc<Tables> {
    let numbered = numbering.number(&mut configuration.tables, &ByEnvironment::new()).await;
    numbering.tell_settled(&numbered);
    let mut tables = configuration.tables(1);
    sources.apply(&mut tables);
    Arc::new(tables)
}

impl Reloader {
    /// With what the shards were started with.
    pub(super) fn new(configuration: Configuration, parts: Parts) -> Reloader {
        let Parts { tables, not_in_force, shards, sources, numbering, state, log } = parts;
        let mut started = configuration.clone();
        // Who holds a table is counted.
        started.tables.clear();
        let retired = Vec::new();
        let current = configuration;
        Reloader { started, current, tables, not_in_force, retired, shards, sources, numbering, state, log }
    }

    /// The files whose change is a reason to reload.
    fn files(&self) -> Vec<PathBuf> {
        self.current.files()
    }

    /// Reads the files, and if they are sound makes every shard decide by them. `why` is the word of the log: `signal`,
    /// `file`, `request`.
    ///
    /// # Errors
    /// All faults of all files; nothing was changed.
    pub(super) async fn reload(
        &mut self,
        why: &'static str,
        watch: &mut FileWatch,
    ) -> Result<Reloaded, ReloadError> {
        watch.seen();
        let reloaded = self.read_again(why).await;
        watch.follow(self.files());
        reloaded
    }

    async fn read_again(&mut self, why: &'static str) -> Result<Reloaded, ReloadError> {
        let path = self.current.path.clone();
        let loaded = match tokio::task::spawn_blocking(move || load(&path)).await {
            Ok(loaded) => loaded,
            Err(error) => return Err(ReloadError::Stuck(format!("reading the files failed: {error}"))),
        };
        for diagnostic in &loaded.diagnostics {
            (self.log)(diagnostic_line(diagnostic));
        }
        let Some(mut next) = loaded.configuration else {
            let faulty = NotInForce::faulty(&loaded.diagnostics, &self.not_in_force.borrow());
            self.not_in_force.send_replace(faulty);
            let errors = loaded.diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
            (self.log)(
                Line::warn("config.rejected").text("by", why).text("hint", "the last good state stays"),
            );
            return Err(ReloadError::Invalid(errors));
        };
        let numbered = self.numbering.number(&mut next.tables, &self.current.tables).await;
        self.sources.refresh(&next.topology).await;
        let restart_required = Configuration::restart_needed(&self.started, &next);
        let state = |(id, table): (&Id, &Arc<Table>)| {
            let state = TableState {
                version: table.version,
                hash: table.hash.to_string(),
                destinations: table.destinations.len(),
                changed: numbered.changed.get(&**id).copied().unwrap_or_default(),
            };
            (id.to_string(), state)
        };
        let environments = next.tables.iter().map(state).collect();
        // What could not be given to a shard at once is in its inbox: it is what is decided by from now on.
        self.current = next;
        let serial = self.adopt().await?;
        self.numbering.tell_settled(&numbered);
        let reloaded = Reloaded {
            serial,
            environments,
            restart_required: restart_required.iter().map(ToString::to_string).collect(),
            warnings: loaded.diagnostics.iter().map(ToString::to_string).collect(),
        };
        self.not_in_force.send_replace(NotInForce::restart(reloaded.restart_required.clone()));
        self.tell(why, &reloaded);
        Ok(reloaded)
    }

    /// Asks again what the names of trunks and agents resolve to, and has the shards know it.
    pub(super) async fn refresh_sources(&mut self) {
        if self.sources.refresh(&self.current.topology).await {
            match self.adopt().await {
                Ok(serial) => (self.log)(Line::info("sources.changed").number("serial", serial)),
                Err(error) => (self.log)(Line::error("sources.stuck").text("reason", error.to_string())),
            }
        }
    }

    /// Gives tables their numbers that could not be written down when they came into force.
    pub(super) async fn mend(&mut self) {
        let is_whole = self.current.tables.values().all(|table| table.version != UNNUMBERED);
        if !self.numbering.reopen().await || is_whole {
            return;
        }
        let old = self.current.tables.clone();
        let numbered = self.numbering.number(&mut self.current.tables, &old).await;
        drop(old);
        if numbered.changed.values().any(|changed| *changed)
            && let Err(error) = self.adopt().await
        {
            (self.log)(Line::error("config.stuck").text("reason", error.to_string()));
        }
        self.numbering.tell_settled(&numbered);
    }

    /// Has every shard decide by what is current. Gives the serial number of that.
    pub(super) async fn adopt(&mut self) -> Result<u64, ReloadError> {
        let serial = self.tables.borrow().serial + 1;
        let mut tables = self.current.tables(serial);
        self.sources.apply(&mut tables);
        let tables = Arc::new(tables);
        let adopted = self.shards.adopt(&tables).await;
        // A shard that did not answer has the tables in its inbox all the same: what it will decide by is what is told.
        self.retired.push(self.tables.send_replace(tables));
        self.sweep();
        adopted.map_err(|error| ReloadError::Stuck(error.to_string()))?;
        Ok(serial)
    }

    /// Drops the old states that nobody holds any more.
    pub(super) fn sweep(&mut self) {
        let held: Vec<bool> = self
            .retired
            .iter()
            .map(|tables| {
                let mut older = tables.environments.values().filter(|table| !self.is_current(table));
                Arc::strong_count(tables) > 1 || older.any(|table| self.handoffs_by(table) > 0)
            })
            .collect();
        let mut held = held.into_iter();
        self.retired.retain(|_| held.next().unwrap_or_default());
    }

    fn is_current(&self, table: &Arc<Table>) -> bool {
        self.current.tables.get(&table.environment).is_some_and(|current| Arc::ptr_eq(current, table))
    }

    /// How many handoffs run by a table that was retired. Each holds it once, and so does each retired state; nobody else
    /// holds one for longer than a look.
    fn handoffs_by(&self, table: &Arc<Table>) -> usize {
        let of = |tables: &&Arc<Tables>| {
            tables.table(&table.environment).is_some_and(|other| Arc::ptr_eq(other, table))
        };
        Arc::strong_count(table).saturating_sub(self.retired.iter().filter(of).count())
    }

    /// How many handoffs run that began with an older version of an environment's table.
    pub(super) fn handoffs_by_older(&self, environment: &str) -> usize {
        let mut older: Vec<&Arc<Table>> = Vec::new();
        for table in self.retired.iter().filter_map(|tables| tables.table(environment)) {
            if !self.is_current(table) && !older.iter().any(|other| Arc::ptr_eq(other, table)) {
                older.push(table);
            }
        }
        older.into_iter().map(|table| self.handoffs_by(table)).sum()
    }

    fn tell(&self, why: &'static str, reloaded: &Reloaded) {
        let changed: Vec<String> = reloaded
            .environments
            .iter()
            .filter(|(_, state)| state.changed)
            .map(|(environment, state)| format!("{environment}:{}", state.version))
            .collect();
        (self.log)(
            Line::info("config.reloaded")
                .text("by", why)
                .number("serial", reloaded.serial)
                .text("changed", changed.join(",")),
        );
        if !reloaded.restart_required.is_empty() {
            (self.log)(
                Line::warn("config.restart_required")
                    .text("keys", reloaded.restart_required.join(","))
                    .text("hint", "these keys have changed and count after a restart only"),
            );
        }
    }
}

/// A fault or doubt about a file, as a line.
pub fn diagnostic_line(diagnostic: &Diagnostic) -> Line {
    let line = match diagnostic.severity {
        Severity::Error => Line::warn("config.error"),
        Severity::Warning => Line::warn("config.warning"),
    };
    let place = match diagnostic.line {
        0 => diagnostic.file.clone(),
        line => format!("{}:{line}:{}", diagnostic.file, diagnostic.column),
    };
    line.text("place", place)
        .text("message", &diagnostic.message)
        .some("expected", diagnostic.expected.as_deref())
        .some("hint", diagnostic.suggestion.as_deref())
}
