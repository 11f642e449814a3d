//! Every state that a table was ever in: a number, when, by whom, why, where it came from, and the whole text of its file.
//! Kept in one database below `state.dir`; `ledger` says which tables it has.
//!
//! **The file of a table is what counts, this is what is known about it.** [`Versions::accept`] is asked whenever the text
//! of a file is going to be in force, and says which version that is: the latest, the one that was
//! [intended](Versions::intend) before the file was replaced, or a new one by "file". So a crash at any moment leaves a
//! list that is true: a version whose text never reached the file is never listed, and one whose text did is listed with
//! what was said of it.
//!
//! The database may be missing, locked or spoilt, and calls go on: then every question here is answered by
//! [`Unavailable`], and it is tried again with [`Versions::reopen`]. Called by the daemon, which alone writes, and by the
//! API, which reads. Blocking file access, so never called on a shard's thread.

mod ledger;
mod numbers;

use super::StateDir;
use crate::call::record::Stamp;
use ledger::{Fault, Kept, Ledger};
use serde::{Deserialize, Serialize};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const DATABASE: &str = "versions.redb";
const NUMBERS: &str = "version-numbers";

/// Who a version is by that was found in the file.
pub const BY_FILE: &str = "file";

/// A table of 10,000 destinations has about 1.5 MB: of that size some 170 versions are kept, of an ordinary one 1,000.
const KEPT: Kept = Kept { versions: 1000, bytes: 256 << 20, least: 20 };

/// One accepted state of a table. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counted from 1 in each environment; never given twice.
    #[serde(rename = "version")]
    pub number: u64,
    /// When it was accepted; of one that was intended, when that was.
    pub at: Stamp,
    /// Who brought it, as they called themselves; `file`, `api`.
    pub by: String,
    /// What they said about it.
    pub message: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// Length of its text.
    pub bytes: u64,
}

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Found in the file.
    File,
    /// One destination changed through the API.
    Edit {
        /// Which.
        destination: String,
    },
    /// The text of another environment's version.
    Promote {
        /// Where it was promoted from.
        environment: String,
        /// The number that it has there.
        version: u64,
    },
    /// The text of an earlier version.
    Rollback {
        /// Which.
        version: u64,
    },
}

/// The words for where versions come from.
pub const ORIGINS: [&str; 4] = ["file", "edit", "promote", "rollback"];

impl Origin {
    /// Its word, one of [`ORIGINS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Origin::File => "file",
            Origin::Edit { .. } => "edit",
            Origin::Promote { .. } => "promote",
            Origin::Rollback { .. } => "rollback",
        }
    }
}

/// What is going to be a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whose table.
    pub environment: String,
    /// As in [`Version`].
    pub by: String,
    /// As in [`Version`].
    pub message: Option<String>,
    /// As in [`Version`].
    pub origin: Origin,
}

/// A text that stands in the file of an environment's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Whose table.
    pub environment: &'a str,
    /// The file's text.
    pub text: &'a str,
    /// Its hash, by [`crate::routing::table::hash`].
    pub hash: &'a str,
}

/// Which version a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// This one.
    pub version: Version,
    /// Whether it was not listed before.
    pub is_new: bool,
    /// What was intended and did not come about.
    pub dropped: Option<Version>,
}

/// The versions cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct Unavailable {
    /// The database.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
    /// Whether another process has it open.
    pub in_use: bool,
}

impl Unavailable {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        if self.in_use {
            "another daemon runs with this state.dir: stop it, or give each a directory of its own"
        } else {
            "free the disk, or the permission of the file; it is tried again every few seconds"
        }
    }
}

/// What became of an attempt to open the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reopened {
    /// It is open already.
    Already,
    /// It is open from now on.
    Now,
    /// It was spoilt: kept aside as this file, and a new one is open from now on.
    Anew {
        /// Where the spoilt one is now.
        aside: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// It cannot be opened.
    No(Unavailable),
}

/// The versions of all environments.
pub struct Versions {
    folder: PathBuf,
    state: Mutex<Result<Arc<Ledger>, Unavailable>>,
    kept: Kept,
    /// Versions that were new, in the order of [`ORIGINS`].
    accepted: [AtomicU64; ORIGINS.len()],
}

impl std::fmt::Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Versions {
    /// Below `state`, not opened yet.
    pub fn new(state: &StateDir) -> Versions {
        let folder = state.path().to_owned();
        let closed =
            Unavailable { path: folder.join(DATABASE), reason: "is not open yet".to_owned(), in_use: false };
        Versions { folder, state: Mutex::new(Err(closed)), kept: KEPT, accepted: Default::default() }
    }

    fn state(&self) -> MutexGuard<'_, Result<Arc<Ledger>, Unavailable>> {
        // Nothing that is done under this lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, fault: &Fault) -> Unavailable {
        let (reason, in_use) = match fault {
            Fault::InUse => ("is in use by another process".to_owned(), true),
            Fault::Spoilt(why) => (format!("is spoilt: {why}"), false),
            Fault::Failed(why) | Fault::Lost(why) => (why.clone(), false),
        };
        Unavailable { path: self.folder.join(DATABASE), reason, in_use }
    }

    /// Opens the database, if it is not open. One that is spoilt is kept aside, never deleted; `at` is in its new name.
    pub fn reopen(&self, at: Stamp) -> Reopened {
        let mut state = self.state();
        if state.is_ok() {
            return Reopened::Already;
        }
        let opened = match self.open() {
            Err(Fault::Spoilt(reason)) => match self.set_aside(at) {
                Ok(aside) => {
                    self.open().map(|ledger| (ledger, Reopened::Anew { aside, reason: reason.clone() }))
                }
                Err(error) => Err(Fault::Failed(format!("{reason}; it cannot be kept aside: {error}"))),
            },
            other => other.map(|ledger| (ledger, Reopened::Now)),
        };
        match opened {
            Ok((ledger, how)) => {
                *state = Ok(Arc::new(ledger));
                how
            }
            Err(fault) => {
                let unavailable = self.unavailable(&fault);
                *state = Err(unavailable.clone());
                Reopened::No(unavailable)
            }
        }
    }

    fn open(&self) -> Result<Ledger, Fault> {
        let (database, numbers) = (self.folder.join(DATABASE), self.folder.join(NUMBERS));
        guarded(|| Ledger::open(&database, &numbers, self.kept))
    }

    /// Renames the database out of the way.
    fn set_aside(&self, at: Stamp) -> std::io::Result<PathBuf> {
        let database = self.folder.join(DATABASE);
        let stamp: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        let free = (0..).map(|n| self.folder.join(format!("{DATABASE}.spoilt-{stamp}{}", suffix(n))));
        let aside = free.into_iter().find(|path| !path.exists()).unwrap_or_else(|| database.clone());
        fs::rename(&database, &aside)?;
        Ok(aside)
    }

    /// Why a question got no answer, where the fault is not the database's.
    pub fn unanswered(&self, reason: String) -> Unavailable {
        Unavailable { path: self.folder.join(DATABASE), reason, in_use: false }
    }

    /// Whether questions are answered.
    pub fn is_available(&self) -> bool {
        self.state().is_ok()
    }

    /// Does something with the database. One that fails is closed until [`Versions::reopen`]: what its last write has left
    /// is only known when it was opened again.
    fn with<T>(&self, ask: impl FnOnce(&Ledger) -> Result<T, Fault>) -> Result<T, Unavailable> {
        let ledger = match &*self.state() {
            Ok(ledger) => Arc::clone(ledger),
            Err(unavailable) => return Err(unavailable.clone()),
        };
        guarded(|| ask(&ledger)).map_err(|fault| {
            let unavailable = self.unavailable(&fault);
            let mut state = self.state();
            let is_general = !matches!(fault, Fault::Lost(_));
            if is_general && state.as_ref().is_ok_and(|open| Arc::ptr_eq(open, &ledger)) {
                *state = Err(unavailable.clone());
            }
            unavailable
        })
    }

    /// Up to `limit` versions of an environment, the newest first; with `below`, only those with a smaller number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn list(
        &self,
        environment: &str,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Version>, Unavailable> {
        self.with(|ledger| ledger.list(environment, below, limit))
    }

    /// The version of that number; `None`: there never was one, or it is not kept any more.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn find(&self, environment: &str, number: u64) -> Result<Option<Version>, Unavailable> {
        self.with(|ledger| ledger.find(environment, number))
    }

    /// The version before that number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn before(&self, environment: &str, number: u64) -> Result<Option<Version>, Unavailable> {
        Ok(self.list(environment, Some(number), 1)?.pop())
    }

    /// The text of a version.
    ///
    /// # Errors
    /// The database cannot be read, or the text is not there any more.
    pub fn text(&self, version: &Version) -> Result<String, Unavailable> {
        self.with(|ledger| ledger.text(&version.hash))
    }

    /// Before a file is replaced: notes what its text is going to be, and what is said of it. Gives the number that it will
    /// have; it is not listed before [`Versions::accept`] has found it in the file.
    ///
    /// # Errors
    /// The database cannot be written; nothing may be replaced then.
    pub fn intend(&self, draft: Draft, text: &str, at: Stamp) -> Result<Version, Unavailable> {
        self.with(|ledger| ledger.intend(draft, text, at))
    }

    /// The file was not replaced after all.
    ///
    /// # Errors
    /// The database cannot be written; what was intended is dropped later, because the file says otherwise.
    pub fn withdraw(&self, environment: &str) -> Result<(), Unavailable> {
        self.with(|ledger| ledger.withdraw(environment))
    }

    /// Which versions the texts in the files are, in the order of `found`. All are on disk when this returns.
    ///
    /// # Errors
    /// The database cannot be read or written; then it is not known whether they have a number.
    pub fn accept(&self, found: &[Found<'_>], at: Stamp) -> Result<Vec<Accepted>, Unavailable> {
        let accepted = self.with(|ledger| ledger.accept(found, at))?;
        for new in accepted.iter().filter(|accepted| accepted.is_new) {
            let kind = new.version.origin.kind();
            if let Some(at) = ORIGINS.iter().position(|origin| *origin == kind) {
                self.accepted[at].fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(accepted)
    }

    /// How many versions were new since the start, by the word for their origin.
    pub fn counts(&self) -> [(&'static str, u64); ORIGINS.len()] {
        std::array::from_fn(|at| (ORIGINS[at], self.accepted[at].load(Ordering::Relaxed)))
    }
}

fn suffix(number: usize) -> String {
    if number == 0 { String::new() } else { format!("-{number}") }
}

/// A fault in the database's own code costs the answer and not the daemon: calls do not need it.
fn guarded<T>(ask: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(ask))
        .unwrap_or_else(|_| Err(Fault::Spoilt("reading it ended in a panic".to_owned())))
}

#[cfg(test)]
mod tests;
