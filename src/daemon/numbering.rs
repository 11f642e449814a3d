//! Which number a table has: asks the versions, and tells once when they cannot be read or written. Calls do not wait for
//! that: a table whose state could not be written down is in force all the same, as version 0, until it can be.

use crate::call::record::Stamp;
use crate::observe::line::{Line, Sink};
use crate::routing::Id;
use crate::routing::table::Table;
use crate::shard::clock::wall;
use crate::store::versions::{Accepted, Found, Origin, Reopened, Unavailable, Version, Versions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tables of all environments.
pub(super) type ByEnvironment = BTreeMap<Id, Arc<Table>>;

/// The number of a table that could not be written down.
pub(super) const UNNUMBERED: u64 = 0;

/// Gives a table its number, from the store of versions.
pub(super) struct Numbering {
    pub(super) versions: Arc<Versions>,
    log: Sink,
    /// It was told that the versions are unavailable, and not yet that they are there again.
    is_told: bool,
}

/// Now, as versions are stamped.
pub(super) fn stamp() -> Stamp {
    Stamp(wall())
}

impl Numbering {
    /// Opens the versions.
    pub(super) async fn open(versions: Arc<Versions>, log: Sink) -> Numbering {
        let mut numbering = Numbering { versions, log, is_told: false };
        numbering.reopen().await;
        numbering
    }

    /// Does something with the versions beside the tasks that must not wait for a disk.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Versions) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let versions = Arc::clone(&self.versions);
        let asked = tokio::task::spawn_blocking(move || ask(&versions)).await;
        asked.unwrap_or_else(|error| Err(self.versions.unanswered(error.to_string())))
    }

    /// Opens the versions where they are closed. True if they can be asked.
    pub(super) async fn reopen(&mut self) -> bool {
        if self.versions.is_available() {
            return true;
        }
        match self.ask(|versions| Ok(versions.reopen(stamp()))).await {
            Ok(Reopened::Already) => {}
            Ok(Reopened::Now) if !self.is_told => {}
            Ok(Reopened::Now) => (self.log)(Line::info("versions.available")),
            Ok(Reopened::Anew { aside, reason }) => (self.log)(
                Line::error("versions.spoilt")
                    .text("reason", reason)
                    .text("kept", aside.display().to_string())
                    .text("hint", "a new list has begun; numbers go on behind the last one"),
            ),
            Ok(Reopened::No(unavailable)) | Err(unavailable) => {
                self.tell(&unavailable);
                return false;
            }
        }
        self.is_told = false;
        true
    }

    /// One ERROR for each time that they go away: it is not the calls that are hurt, but nobody can promote or roll back.
    pub(super) fn tell(&mut self, unavailable: &Unavailable) {
        if !std::mem::replace(&mut self.is_told, true) {
            (self.log)(
                Line::error("versions.unavailable")
                    .text("reason", unavailable.to_string())
                    .text("hint", unavailable.hint()),
            );
        }
    }

    /// Gives each of `new` its number: these texts are going to be in force, and stand in their files. One that is what it
    /// was stays the same object. Tells which are not what they were, and which versions are new.
    pub(super) async fn number(&mut self, new: &mut ByEnvironment, old: &ByEnvironment) -> Numbered {
        let texts: Vec<_> = new
            .iter()
            .map(|(id, table)| (Arc::clone(id), Arc::clone(&table.text), table.hash.clone()))
            .collect();
        let accepted = if self.reopen().await {
            let accept = move |versions: &Versions| {
                let found: Vec<Found<'_>> =
                    texts.iter().map(|(environment, text, hash)| Found { environment, text, hash }).collect();
                versions.accept(&found, stamp())
            };
            match self.ask(accept).await {
                Ok(accepted) => Some(accepted),
                Err(unavailable) => {
                    self.tell(&unavailable);
                    None
                }
            }
        } else {
            None
        };
        let numbers =
            accepted.as_ref().map(|all| all.iter().map(|one| one.version.number).collect::<Vec<_>>());
        let mut changed = BTreeMap::new();
        for (at, (environment, table)) in new.iter_mut().enumerate() {
            let before = old.get(environment);
            let number = numbers.as_ref().and_then(|numbers| numbers.get(at).copied());
            match before {
                Some(before)
                    if before.hash == table.hash && number.is_none_or(|number| number == before.version) =>
                {
                    *table = Arc::clone(before);
                }
                _ => Arc::make_mut(table).version = number.unwrap_or(UNNUMBERED),
            }
            let same = before.is_some_and(|before| Arc::ptr_eq(before, table));
            changed.insert(environment.to_string(), !same);
        }
        let settled = self.settled(new, accepted.unwrap_or_default());
        Numbered { changed, settled }
    }

    /// Tells of the versions that were settled late.
    pub(super) fn tell_settled(&self, numbered: &Numbered) {
        for (environment, version) in &numbered.settled {
            (self.log)(self.line_of(environment, version));
        }
    }

    /// What a line says of a version that came by the API.
    pub(super) fn line_of(&self, environment: &Id, version: &Version) -> Line {
        let (event, key, from) = match &version.origin {
            Origin::File => ("table.accepted", "from", "file".to_owned()),
            Origin::Edit { destination } => ("table.edited", "destination", destination.clone()),
            Origin::Promote { environment, version } => {
                ("table.promoted", "from", format!("{environment}:{version}"))
            }
            Origin::Rollback { version } => ("table.rolled_back", "to", version.to_string()),
        };
        Line::info(event)
            .text("environment", environment.to_string())
            .number("version", version.number)
            .text(key, from)
            .text("by", &version.by)
            .quoted("message", version.message.as_deref())
    }

    /// What was intended, and is settled only now: a crash came in between, or the disk was full.
    fn settled(&self, tables: &ByEnvironment, accepted: Vec<Accepted>) -> Vec<(Id, Version)> {
        let mut new = Vec::new();
        for (environment, Accepted { version, is_new, dropped }) in tables.keys().zip(accepted) {
            if let Some(dropped) = dropped {
                (self.log)(
                    Line::warn("table.change_dropped")
                        .text("environment", environment.to_string())
                        .text("by", &dropped.by)
                        .quoted("message", dropped.message.as_deref())
                        .text("hint", "it was under way when the daemon ended, and has not reached the file"),
                );
            }
            if is_new && version.origin != Origin::File {
                new.push((Arc::clone(environment), version));
            }
        }
        new
    }
}

/// What numbering has found.
pub(super) struct Numbered {
    /// Whether the table is another one now, by environment.
    pub(super) changed: BTreeMap<String, bool>,
    /// Versions that were intended and are listed from now on.
    pub(super) settled: Vec<(Id, Version)>,
}
