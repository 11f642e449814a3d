//! Everything that decisions are made by, as one immutable whole: a reload replaces all of it or nothing.

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
}
