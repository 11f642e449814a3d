//! Everything that decisions are made by, as one immutable whole: a reload replaces all of it or nothing.

use super::file::{nearest, quoted};
use super::table::Table;
use super::topology::Topology;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trunks, agents and the destination tables of all environments.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Grows by one with each set that the daemon hands out.
    pub serial: u64,
    /// Trunks, agents, environments.
    pub topology: Topology,
    /// The table of each environment.
    pub environments: BTreeMap<Box<str>, Arc<Table>>,
}

impl Tables {
    /// The table of an environment.
    pub fn table(&self, environment: &str) -> Option<&Arc<Table>> {
        self.environments.get(environment)
    }

    /// What to say where that environment is not there.
    pub fn no_environment(&self, wanted: &str) -> String {
        no_environment(wanted, self.environments.keys().map(|id| &**id))
    }
}

/// What to say where `wanted` is none of the environments that are there.
pub fn no_environment<'k>(wanted: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wanted, known.iter().copied()) {
        Some(meant) => format!("there is no environment `{wanted}`; did you mean `{meant}`?"),
        None => format!("there is no environment `{wanted}`: name {}", quoted(known)),
    }
}
