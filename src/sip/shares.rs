//! Places that several parties share, so that none of them can take them all.
//!
//! Half of the places is kept, an equal part for each party; the other half is for whoever comes. Pure counting; nobody is
//! pushed out. Used for server transactions here, and for connections and look-ups by the network.

use hashbrown::HashMap;
use std::hash::Hash;

/// For whom an address is looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The trunk or agent whose leg or call it is, by its index; None: nobody's.
    pub party: Option<u16>,
    /// How many of them there are.
    pub of: usize,
    /// A peer has put the name into a dialog; false: it is where a call is to be placed.
    pub in_dialog: bool,
}

/// Places, and how many of them each party has taken. `K` names a party.
#[derive(Debug)]
pub struct Shares<K> {
    total: usize,
    parties: usize,
    taken: HashMap<K, usize>,
    /// Places that are taken beyond the part that is kept for their party.
    common: usize,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// So many places for so many parties.
    pub fn new(total: usize, parties: usize) -> Shares<K> {
        Shares { total, parties: parties.max(1), taken: HashMap::new(), common: 0 }
    }

    /// How many parties there are from now on.
    pub fn set_parties(&mut self, parties: usize) {
        if self.parties == parties.max(1) {
            return;
        }
        self.parties = parties.max(1);
        let kept = self.kept();
        self.common = self.taken.values().map(|taken| taken.saturating_sub(kept)).sum();
    }

    /// Places that are kept for each party.
    pub fn kept(&self) -> usize {
        self.total / 2 / self.parties
    }

    /// Whether there is a place for that party.
    pub fn has_place(&self, party: &K) -> bool {
        let taken = self.taken.get(party).copied().unwrap_or(0);
        taken < self.kept() || self.common < self.total - self.kept() * self.parties
    }

    /// Takes a place, whether there is one or not; who may be refused asks before.
    pub fn take(&mut self, party: &K) {
        let kept = self.kept();
        let taken = match self.taken.get_mut(party) {
            Some(taken) => taken,
            None => self.taken.entry(party.clone()).or_insert(0),
        };
        *taken += 1;
        self.common += usize::from(*taken > kept);
    }

    /// Gives it back.
    pub fn give(&mut self, party: &K) {
        let kept = self.kept();
        let Some(taken) = self.taken.get_mut(party) else { return };
        self.common = self.common.saturating_sub(usize::from(*taken > kept));
        *taken -= 1;
        if *taken == 0 {
            self.taken.remove(party);
        }
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_cannot_take_the_places_of_another() {
        let mut shares = Shares::new(100, 2);
        let mut flood = 0;
        while shares.has_place(&"wide") {
            shares.take(&"wide");
            flood += 1;
        }
        assert_eq!(flood, 75, "its own quarter and the common half");
        for _ in 0..25 {
            assert!(shares.has_place(&"pbx"));
            shares.take(&"pbx");
        }
        assert!(!shares.has_place(&"pbx"), "all are taken");
        for _ in 0..75 {
            shares.give(&"wide");
        }
        assert!(shares.has_place(&"pbx"));
        for _ in 0..25 {
            shares.give(&"pbx");
        }
        assert_eq!((shares.taken(), shares.common), (0, 0));
    }

    #[test]
    fn another_number_of_parties_keeps_the_count_right() {
        let mut shares = Shares::new(100, 1);
        (0..60).for_each(|_| shares.take(&1));
        shares.set_parties(5);
        assert_eq!((shares.kept(), shares.common), (10, 50));
        assert!(!shares.has_place(&1));
        assert!(shares.has_place(&2), "what is kept for it is there");
        (0..60).for_each(|_| shares.give(&1));
        assert_eq!(shares.common, 0);
    }
}
