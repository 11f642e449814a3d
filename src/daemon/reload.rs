//! Replaces trunks, agents and tables while calls are up: all of it or nothing. A faulty file changes nothing, the last
//! good state stays; a running handoff keeps the table that it began with. Old states are dropped here, never on a
//! shard's thread, where freeing ten thousand destinations would hold up calls.

use super::configuration::{Configuration, load};
use super::sources::Sources;
use crate::http::reload::{ReloadError, Reloaded, TableState};
use crate::observe::line::{Line, Sink};
use crate::routing::Tables;
use crate::routing::file::{Diagnostic, Severity};
use crate::routing::table::Table;
use crate::shard::Shards;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the daemon decides by, and what it decided by as long as a shard still holds it.
pub struct Reloader {
    /// As it was at the start: keys that need a restart are compared with it.
    started: Configuration,
    /// The latest that was good.
    current: Configuration,
    tables: watch::Sender<Arc<Tables>>,
    retired: Vec<Arc<Tables>>,
    shards: Arc<Shards>,
    sources: Sources,
    log: Sink,
}

/// The first tables: each begins with version 1.
pub fn first(configuration: &mut Configuration, sources: &Sources) -> Arc<Tables> {
    number(&mut configuration.tables, &BTreeMap::new());
    let mut tables = configuration.tables(1);
    sources.apply(&mut tables);
    Arc::new(tables)
}

/// Gives each table its version: that of the same text before, else the next. A table that did not change stays the same
/// object. Tells which have changed.
fn number<K: Ord + Clone>(
    new: &mut BTreeMap<K, Arc<Table>>,
    old: &BTreeMap<K, Arc<Table>>,
) -> BTreeMap<K, bool> {
    let mut changed = BTreeMap::new();
    for (environment, table) in new {
        let before = old.get(environment);
        match before {
            Some(before) if before.hash == table.hash => *table = Arc::clone(before),
            _ => Arc::make_mut(table).version = before.map_or(0, |before| before.version) + 1,
        }
        changed.insert(environment.clone(), before.is_none_or(|before| !Arc::ptr_eq(before, table)));
    }
    changed
}

impl Reloader {
    /// With what the shards were started with.
    pub fn new(
        configuration: Configuration,
        tables: watch::Sender<Arc<Tables>>,
        shards: Arc<Shards>,
        sources: Sources,
        log: Sink,
    ) -> Reloader {
        Reloader {
            started: configuration.clone(),
            current: configuration,
            tables,
            retired: Vec::new(),
            shards,
            sources,
            log,
        }
    }

    /// The files whose change is a reason to reload.
    pub fn files(&self) -> Vec<PathBuf> {
        self.current.files()
    }

    /// Reads the files, and if they are sound makes every shard decide by them. `why` is the word of the log: `signal`,
    /// `file`, `request`.
    ///
    /// # Errors
    /// All faults of all files; nothing was changed.
    pub async fn reload(&mut self, why: &'static str) -> Result<Reloaded, ReloadError> {
        let path = self.current.path.clone();
        let loaded = match tokio::task::spawn_blocking(move || load(&path)).await {
            Ok(loaded) => loaded,
            Err(error) => return Err(ReloadError::Stuck(format!("reading the files failed: {error}"))),
        };
        for diagnostic in &loaded.diagnostics {
            (self.log)(diagnostic_line(diagnostic));
        }
        let Some(mut next) = loaded.configuration else {
            let errors = loaded.diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
            (self.log)(
                Line::warn("config.rejected").text("by", why).text("hint", "the last good state stays"),
            );
            return Err(ReloadError::Invalid(errors));
        };
        let changed = number(&mut next.tables, &self.current.tables);
        self.sources.refresh(&next.topology).await;
        let serial = self.tables.borrow().serial + 1;
        let mut tables = next.tables(serial);
        self.sources.apply(&mut tables);
        self.adopt(Arc::new(tables)).await?;
        let restart_required = Configuration::restart_needed(&self.started, &next);
        let state = |table: &Arc<Table>, changed: bool| TableState {
            version: table.version,
            hash: table.hash.to_string(),
            destinations: table.destinations.len(),
            changed,
        };
        let environments = next
            .tables
            .iter()
            .map(|(id, table)| (id.to_string(), state(table, changed.get(id).copied().unwrap_or_default())));
        let reloaded = Reloaded {
            serial,
            environments: environments.collect(),
            restart_required: restart_required.iter().map(ToString::to_string).collect(),
            warnings: loaded.diagnostics.iter().map(ToString::to_string).collect(),
        };
        self.current = next;
        self.tell(why, &reloaded);
        Ok(reloaded)
    }

    /// Asks again what the names of trunks and agents resolve to, and has the shards know it.
    pub async fn refresh_sources(&mut self) {
        if self.sources.refresh(&self.current.topology).await {
            let serial = self.tables.borrow().serial + 1;
            let mut tables = self.current.tables(serial);
            self.sources.apply(&mut tables);
            match self.adopt(Arc::new(tables)).await {
                Ok(()) => (self.log)(Line::info("sources.changed").number("serial", serial)),
                Err(error) => (self.log)(Line::error("sources.stuck").text("reason", error.to_string())),
            }
        }
    }

    async fn adopt(&mut self, tables: Arc<Tables>) -> Result<(), ReloadError> {
        let adopted = self.shards.adopt(&tables).await;
        // A shard that did not answer has the tables in its inbox all the same: what it will decide by is what is told.
        self.retired.push(self.tables.send_replace(tables));
        self.sweep();
        adopted.map_err(|error| ReloadError::Stuck(error.to_string()))
    }

    /// Drops the old states that nobody holds any more.
    pub fn sweep(&mut self) {
        let current = Arc::clone(&self.tables.borrow());
        let is_held = |table: &Arc<Table>, holders: usize| Arc::strong_count(table) > holders;
        let mut kept = Vec::new();
        for tables in std::mem::take(&mut self.retired) {
            let in_use = Arc::strong_count(&tables) > 1
                || tables.environments.iter().any(|(environment, table)| {
                    let same =
                        current.environments.get(environment).is_some_and(|now| Arc::ptr_eq(now, table));
                    !same && is_held(table, 1)
                });
            if in_use {
                kept.push(tables);
            }
        }
        self.retired = kept;
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
