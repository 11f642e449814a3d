//! A list that all shards of a daemon add to without a lock: what is in it once stays where it is. For a handful of entries,
//! one for each id of the configuration.

use std::sync::OnceLock;

/// A list that grows without a lock; entries never move.
#[derive(Debug)]
pub(crate) struct Roll<K, V>(OnceLock<Box<Entry<K, V>>>);

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    next: Roll<K, V>,
}

impl<K, V> Default for Roll<K, V> {
    fn default() -> Roll<K, V> {
        Roll(OnceLock::new())
    }
}

impl<K, V: Default> Roll<K, V> {
    /// The value of the first key that is the one; at the end of the list a default for a new key.
    pub(crate) fn entry(&self, is: impl Fn(&K) -> bool, new: impl Fn() -> K) -> &V {
        let mut place = self;
        loop {
            let add = || Box::new(Entry { key: new(), value: V::default(), next: Roll::default() });
            let entry = place.0.get_or_init(add);
            if is(&entry.key) {
                return &entry.value;
            }
            place = &entry.next;
        }
    }

    /// The same, where nothing is to be added.
    pub(crate) fn find(&self, is: impl Fn(&K) -> bool) -> Option<&V> {
        let mut place = self;
        while let Some(entry) = place.0.get() {
            if is(&entry.key) {
                return Some(&entry.value);
            }
            place = &entry.next;
        }
        None
    }
}
