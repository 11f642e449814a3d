//! What stands in the file of a table when a change comes.

use super::{ChangeError, beside};
use crate::daemon::configuration::{self, MAX_FILE};
use crate::daemon::reload::Reloader;
use crate::daemon::watch::FileWatch;
use crate::http::request::ReloadError;
use crate::routing::Id;
use crate::routing::file::{Diagnostic, Source};
use crate::routing::table::{self, Table};
use crate::store::replace::Print;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The text of a table's file, and how the file looked, when a change came.
pub(super) struct OnDisk {
    pub(super) path: PathBuf,
    /// How it looked before it was read.
    pub(super) print: Option<Print>,
    /// Read once, for all environments whose tables it holds.
    holds: Holds,
    /// What the reload has said of it.
    faults: Vec<Diagnostic>,
}

enum Holds {
    /// A text, with its hash.
    Text(Source, Box<str>),
    /// Something that is no text: not UTF-8.
    Bytes(Vec<u8>),
    /// There is no such file.
    Nothing,
    /// Nobody can tell.
    Closed,
}

impl OnDisk {
    fn look(path: &Path) -> OnDisk {
        let print = Print::of(path);
        let (holds, faults) = match configuration::open(path) {
            Ok(source) => {
                let hash = table::hash(source.text());
                (Holds::Text(source, hash), Vec::new())
            }
            Err(_) if print.is_none() => (Holds::Nothing, Vec::new()),
            Err(fault) => {
                let is_small =
                    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
                let bytes = is_small.then(|| std::fs::read(path).ok()).flatten();
                (bytes.map_or(Holds::Closed, Holds::Bytes), vec![*fault])
            }
        };
        OnDisk { path: path.to_owned(), print, holds, faults }
    }

    /// Whether the text with that hash stands there.
    pub(super) fn has(&self, hash: &str) -> bool {
        matches!(&self.holds, Holds::Text(_, own) if **own == *hash)
    }

    /// Whether this table stands there.
    pub(super) fn holds(&self, table: &Table) -> bool {
        self.has(&table.hash)
    }

    /// Whether nobody can tell what stands there, so that it could not be kept aside.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.holds, Holds::Closed)
    }

    /// What would be lost if the file were replaced: it is not the table in force.
    pub(super) fn unknown(&self, in_force: &Table) -> Option<Vec<u8>> {
        match &self.holds {
            Holds::Text(source, hash) => {
                (**hash != *in_force.hash).then(|| source.text().as_bytes().to_vec())
            }
            Holds::Bytes(bytes) => Some(bytes.clone()),
            Holds::Nothing | Holds::Closed => None,
        }
    }

    /// Why this file keeps its environment from being edited, or from being promoted.
    pub(super) fn in_the_way(self, environment: &str) -> ChangeError {
        let path = self.path.display();
        let anew = format!(
            "mend the file (`baton check` tells its faults), or roll `{environment}` back to the version in force, which writes \
             the file anew and keeps this text aside"
        );
        let detail = match self.holds {
            Holds::Nothing => format!("{path} is not there: {anew}"),
            Holds::Text(..) | Holds::Bytes(_) => {
                format!("{path} holds something else than what is in force: {anew}")
            }
            Holds::Closed => format!(
                "{path} cannot be read, so nobody can tell what would be lost: let the daemon's user read it, or move it away"
            ),
        };
        ChangeError::NotInForce { detail, faults: self.faults }
    }
}

impl Reloader {
    /// The file of an environment's table, after what nobody has noticed yet was reloaded.
    pub(super) async fn settled(
        &mut self,
        environment: &str,
        watch: &mut FileWatch,
    ) -> Result<(Id, OnDisk), ChangeError> {
        let on_disk = self.on_disk(environment).await?;
        if on_disk.holds(self.table(environment)?) {
            return Ok((self.id(environment)?, on_disk));
        }
        let refused = self.reload("request", watch).await.err();
        let mut on_disk = self.on_disk(environment).await?;
        match refused {
            Some(ReloadError::Invalid(mut faults)) => {
                let name = on_disk.path.display().to_string();
                if faults.iter().any(|fault| fault.file == name) {
                    faults.retain(|fault| fault.file == name);
                }
                on_disk.faults = faults;
            }
            Some(ReloadError::Stuck(why)) => return Err(ChangeError::Stuck(why)),
            None => {}
        }
        Ok((self.id(environment)?, on_disk))
    }

    async fn on_disk(&self, environment: &str) -> Result<OnDisk, ChangeError> {
        let named = self.current.topology.environments().iter().find(|known| &*known.id == environment);
        let path = named.map(|known| known.table.clone());
        let path = path.ok_or_else(|| self.no_environment(environment))?;
        beside(move || OnDisk::look(&path)).await
    }

    fn id(&self, environment: &str) -> Result<Id, ChangeError> {
        Ok(Arc::clone(&self.table(environment)?.environment))
    }
}
