//! What is told once for all calls of an agent or a trunk, over all shards.

use super::roll::Roll;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// It does not answer keepalives.
    Ignoring,
    /// Its Contact is a private address.
    Private,
    /// Its blind REFERs prove nothing: so it is, whatever the tables say.
    Unproven,
}

/// What the shards of one daemon have told: of each matter and party, by which tables it was told last, plus 1. A clone is of
/// the same.
#[derive(Clone, Debug, Default)]
pub struct Announced(Arc<Roll<(Matter, String), AtomicU64>>);

/// The same for one engine, by the tables that it decides by.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    all: Announced,
    serial: u64,
}

impl Announcer {
    pub(crate) fn of(all: Announced) -> Announcer {
        Announcer { all, serial: 0 }
    }

    /// Whether nobody has told it yet; from now on somebody has.
    pub(crate) fn is_new(&self, matter: Matter, whom: &str) -> bool {
        let by = self.by(matter);
        let told = self.all.0.entry(|one| is(one, matter, whom), || (matter, whom.to_owned()));
        told.fetch_max(by, Ordering::Relaxed) < by
    }

    /// Whether somebody has told it.
    pub(crate) fn knows(&self, matter: Matter, whom: &str) -> bool {
        let told = self.all.0.find(|one| is(one, matter, whom));
        told.is_some_and(|told| told.load(Ordering::Relaxed) >= self.by(matter))
    }

    /// The tables have changed: what they may have mended is told again.
    pub(crate) fn adopt(&mut self, serial: u64) {
        self.serial = serial;
    }

    fn by(&self, matter: Matter) -> u64 {
        if matter == Matter::Unproven { 1 } else { self.serial + 1 }
    }
}

fn is((of, name): &(Matter, String), matter: Matter, whom: &str) -> bool {
    *of == matter && name == whom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_tell_it_once_for_each_set_of_tables() {
        let all = Announced::default();
        let (mut one, mut other) = (Announcer::of(all.clone()), Announcer::of(all));
        let tell = |engine: &Announcer| engine.is_new(Matter::Private, "trunk.pbx");
        assert_eq!([tell(&one), tell(&one), tell(&other)], [true, false, false]);
        one.adopt(2);
        other.adopt(2);
        assert_eq!([tell(&other), tell(&one)], [true, false]);
    }

    #[test]
    fn what_a_receiver_is_outlives_the_tables() {
        let mut one = Announcer::of(Announced::default());
        assert!(!one.knows(Matter::Unproven, "pbx") && one.is_new(Matter::Unproven, "pbx"));
        one.adopt(2);
        assert!(one.knows(Matter::Unproven, "pbx") && !one.is_new(Matter::Unproven, "pbx"));
    }
}
