//! What is told once for all calls of an agent or a trunk, over all shards.
//!
//! An engine asks what it knows itself first, so that the shards meet here once for each thing that is told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Matter {
    /// It does not answer keepalives.
    Ignoring,
    /// Its Contact is a private address.
    Private,
    /// Its blind REFERs prove nothing: so it is, whatever the tables say.
    Unproven,
}

/// What the shards of one daemon have told. A clone is of the same.
#[derive(Clone, Debug, Default)]
pub struct Announced(Arc<OnceLock<Box<Said>>>);

/// One thing that was told of one party. They are added at the end and stay: there are as many as there were ids.
#[derive(Debug)]
struct Said {
    matter: Matter,
    whom: String,
    /// By which tables it was told last, plus 1.
    by: AtomicU64,
    next: OnceLock<Box<Said>>,
}

/// The same, and what one engine knows of it.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    all: Announced,
    serial: u64,
    known: BTreeSet<(Matter, String)>,
}

impl Announcer {
    pub(crate) fn of(all: Announced) -> Announcer {
        Announcer { all, ..Announcer::default() }
    }

    /// Whether nobody has told it yet; from now on somebody has.
    pub(crate) fn is_new(&mut self, matter: Matter, whom: String) -> bool {
        let by = if matter == Matter::Unproven { 1 } else { self.serial + 1 };
        self.known.insert((matter, whom.clone())) && self.all.is_new(matter, whom, by)
    }

    /// Whether this engine knows that it is told.
    pub(crate) fn knows(&self, matter: Matter, whom: &str) -> bool {
        self.known.iter().any(|(of, name)| *of == matter && name == whom)
    }

    /// The tables have changed: what they may have mended is told again.
    pub(crate) fn adopt(&mut self, serial: u64) {
        self.serial = serial;
        self.known.retain(|(matter, _)| *matter == Matter::Unproven);
    }
}

impl Announced {
    fn is_new(&self, matter: Matter, whom: String, by: u64) -> bool {
        let mut place = &*self.0;
        loop {
            let said = place.get_or_init(|| {
                Box::new(Said { matter, whom: whom.clone(), by: AtomicU64::new(0), next: OnceLock::new() })
            });
            if said.matter == matter && said.whom == whom {
                return said.by.fetch_max(by, Ordering::Relaxed) < by;
            }
            place = &said.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_tell_it_once_for_each_set_of_tables() {
        let all = Announced::default();
        let (mut one, mut other) = (Announcer::of(all.clone()), Announcer::of(all));
        let tell = |engine: &mut Announcer| engine.is_new(Matter::Private, "trunk.pbx".to_owned());
        assert_eq!([tell(&mut one), tell(&mut one), tell(&mut other)], [true, false, false]);
        one.adopt(2);
        other.adopt(2);
        assert_eq!([tell(&mut other), tell(&mut one)], [true, false]);
    }

    #[test]
    fn what_a_receiver_is_outlives_the_tables() {
        let mut one = Announcer::of(Announced::default());
        assert!(one.is_new(Matter::Unproven, "pbx".to_owned()));
        one.adopt(2);
        assert!(one.knows(Matter::Unproven, "pbx") && !one.is_new(Matter::Unproven, "pbx".to_owned()));
    }
}
