//! What the daemon is asked for by the API, and what it answers. It does one after the other.

use super::destinations::Condition;
use crate::call::command::Refusal;
use crate::routing::diff::Diff;
use crate::routing::file::Diagnostic;
use crate::store::versions::{Origin, Unavailable};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// What the daemon is asked to do, one after the other, and who waits for the result.
pub enum Request {
    /// Read the files again.
    Reload(oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// Change one table.
    Change(Box<Change>, oneshot::Sender<Result<Done, ChangeError>>),
}

/// A reload that was carried out: every shard decides by the new tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Number of this state of all tables, trunks and agents.
    pub serial: u64,
    /// Each environment's table.
    pub environments: BTreeMap<String, TableState>,
    /// Keys that have changed and only count after a restart.
    pub restart_required: Vec<String>,
    /// What is allowed but doubtful, as `check` prints it.
    pub warnings: Vec<String>,
}

/// Which state of a table is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Its number; 0 where the versions cannot be written down.
    pub version: u64,
    /// SHA-256 of the file.
    pub hash: String,
    /// Number of destinations.
    pub destinations: usize,
    /// Whether it differs from what was in force before.
    pub changed: bool,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The files are faulty.
    #[error("{} faults in the configuration; nothing was changed", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// The files are right, but a shard did not take them.
    #[error("{0}")]
    Stuck(String),
}

/// A wish to change the table of an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose table.
    pub environment: String,
    /// How.
    pub what: What,
    /// Who, as they call themselves.
    pub by: String,
    /// Why.
    pub message: Option<String>,
    /// The version that must be in force, or nothing is changed.
    pub expect_current: Option<u64>,
    /// Only say what would be changed.
    pub dry_run: bool,
}

/// The kinds of change.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The text of the version that is in force in another environment.
    Promote {
        /// Which environment.
        from: String,
    },
    /// The text of an earlier version; `None`: of the one before that in force.
    Rollback {
        /// Which.
        version: Option<u64>,
    },
    /// One destination as given, new or in the place of the one that is there.
    Put {
        /// Which.
        id: String,
        /// As the body gives them: all that the destination is to have.
        keys: toml::Table,
        /// Whether it is the table's default; `None`: nothing is said.
        default: Option<bool>,
        /// What must be so, or nothing is changed.
        condition: Condition,
    },
    /// One destination taken away.
    Delete {
        /// Which.
        id: String,
        /// What must be so, or nothing is changed.
        condition: Condition,
    },
}

/// What a change has come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Whose table.
    pub environment: String,
    /// The version that is in force now.
    pub version: u64,
    /// The version that was in force before.
    pub previous: u64,
    /// Whether the table is another one now; with `dry_run`, whether it would be.
    pub changed: bool,
    /// Whether this only tells what would be.
    pub dry_run: bool,
    /// Where the text comes from.
    pub origin: Origin,
    /// SHA-256 of the text.
    pub hash: String,
    /// How many destinations it has.
    pub destinations: usize,
    /// Handoffs that run and began with an older version of this table: they end by it.
    pub handoffs_by_older: usize,
    /// What differs from the version that was in force before.
    pub diff: Diff,
    /// What is allowed but doubtful, as `check` prints it.
    pub warnings: Vec<String>,
    /// For a promotion: the destinations that stay where they are (`only`).
    pub left_behind: Vec<String>,
    /// Where the text of the file was kept that was replaced and had not been in force.
    pub set_aside: Option<String>,
}

/// A change that was carried out, and for an edit the destination as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// For all.
    pub changed: Changed,
    /// For `PUT`.
    pub put: Option<Put>,
}

/// A destination that was put.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Whether it is new.
    pub created: bool,
    /// As `GET` serves it.
    pub view: Value,
    /// For `If-Match` of the next change.
    pub etag: String,
}

/// Why nothing was changed; except for [`ChangeError::Stuck`] and [`ChangeError::Unrecorded`].
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeError {
    /// There is no environment of that name; which there are.
    NoEnvironment(String),
    /// The version was never there, or is not kept any more.
    NoVersion(String),
    /// The table has no such destination.
    NoDestination(Refusal),
    /// Destinations of this environment are not edited through the API; the sentence says why.
    NotEditable(String),
    /// Another version is in force than was expected.
    NotCurrent {
        /// Whose table.
        environment: String,
        /// The one in force.
        current: u64,
        /// What is known of it.
        about: String,
    },
    /// The destination is not as the condition of the request says.
    Precondition(String),
    /// There must be a condition.
    NoCondition {
        /// Which destination.
        id: String,
    },
    /// A field of the request cannot be.
    Field(&'static str, String),
    /// The text would be no table of this environment.
    Invalid(Vec<Diagnostic>),
    /// The file holds something that is not in force, which would be lost.
    NotInForce {
        /// What to do.
        detail: String,
        /// What is wrong with it.
        faults: Vec<Diagnostic>,
    },
    /// The daemon may not replace the file.
    ReadOnly(String),
    /// Somebody else has changed the file meanwhile.
    FileChanged(String),
    /// The file could not be written.
    NotWritten(String),
    /// The versions cannot be read or written.
    Unavailable(Unavailable),
    /// The file was replaced and is in force; its version could not be written down yet.
    Unrecorded(Unavailable),
    /// The file was replaced, but a shard did not take the table.
    Stuck(String),
    /// A fault of our own; the sentence says which.
    Fault(String),
}

impl From<Unavailable> for ChangeError {
    fn from(error: Unavailable) -> ChangeError {
        ChangeError::Unavailable(error)
    }
}
