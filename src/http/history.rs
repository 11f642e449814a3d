//! What outlives the engine's memory of it, within bounds: ended calls and handoffs, Idempotency-Keys, and who waits for
//! a handoff's end. Fed by the events.

use crate::call::command::HandoffRequest;
use crate::call::event::{Event, EventKind};
use crate::call::record::{CallRecord, CallView, HandoffView};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long ended calls and handoffs can be read.
const READABLE: Duration = Duration::from_secs(3600);
/// Ended calls that are kept.
const CALLS: usize = 10_000;
/// Ended handoffs that are kept.
const HANDOFFS: usize = 20_000;
/// Idempotency-Keys that are kept.
const KEYS: usize = 50_000;

/// A handoff request that was carried out under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) request: HandoffRequest,
    pub(super) handoff: String,
}

/// The place of one key. Whoever locks it first carries the request out; the others wait and see the result.
pub(super) type KeySlot = Arc<tokio::sync::Mutex<Option<Done>>>;

/// A map that forgets the oldest.
#[derive(Debug)]
struct Kept<K, V> {
    map: HashMap<K, (V, Instant)>,
    order: VecDeque<(K, Instant)>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    fn new(most: usize) -> Self {
        Kept { map: HashMap::new(), order: VecDeque::new(), most }
    }

    fn insert(&mut self, key: K, value: V, now: Instant) {
        self.map.insert(key.clone(), (value, now));
        self.order.push_back((key, now));
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(value, _)| value)
    }

    /// Forgets what is too old or too much; gives the next one that went.
    fn forget(&mut self, now: Instant, readable: Duration) -> Option<(K, V)> {
        loop {
            let (_, at) = self.order.front()?;
            if self.order.len() <= self.most && now.duration_since(*at) < readable {
                return None;
            }
            let (key, at) = self.order.pop_front()?;
            // Inserted again since, or taken out: this entry of the order is stale.
            if self.map.get(&key).is_some_and(|(_, of)| *of == at)
                && let Some((value, _)) = self.map.remove(&key)
            {
                return Some((key, value));
            }
        }
    }
}

/// Ended calls, by their ids and the SIP Call-IDs of their legs; the oldest go first. Each call of a daemon passes here, so
/// that no name is copied.
#[derive(Debug, Default)]
struct Ended {
    calls: VecDeque<(Arc<CallRecord>, Instant)>,
    /// The number of the first of them; each further one has the next.
    first: u64,
    /// The hash of each name of a call, and the call's number.
    numbers: HashTable<(u64, u64)>,
    hasher: DefaultHashBuilder,
}

fn names(record: &CallRecord) -> impl Iterator<Item = &str> {
    let legs = record.call.legs.iter().map(|leg| leg.sip_call_id.as_str());
    std::iter::once(record.call.id.as_str()).chain(legs)
}

impl Ended {
    fn insert(&mut self, record: Arc<CallRecord>, now: Instant) {
        let number = self.first + self.calls.len() as u64;
        for name in names(&record) {
            let hash = self.hasher.hash_one(name);
            self.numbers.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        }
        self.calls.push_back((record, now));
    }

    fn at(&self, number: u64) -> Option<&CallRecord> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.calls.get(place).map(|(record, _)| &**record)
    }

    /// The newest with that name.
    fn find(&self, name: &str) -> Option<&CallRecord> {
        let hash = self.hasher.hash_one(name);
        let found = self.numbers.iter_hash(hash).filter_map(|(_, number)| Some((number, self.at(*number)?)));
        let named = found.filter(|(_, record)| names(record).any(|own| own == name));
        named.max_by_key(|(number, _)| **number).map(|(_, record)| record)
    }

    /// Forgets what is too old or too much; gives the next one that went.
    fn forget(&mut self, now: Instant) -> Option<Arc<CallRecord>> {
        let (_, at) = self.calls.front()?;
        if self.calls.len() <= CALLS && now.duration_since(*at) < READABLE {
            return None;
        }
        let (record, _) = self.calls.pop_front()?;
        for name in names(&record) {
            let entry =
                self.numbers.find_entry(self.hasher.hash_one(name), |(_, number)| *number == self.first);
            if let Ok(entry) = entry {
                entry.remove();
            }
        }
        self.first += 1;
        Some(record)
    }
}

#[derive(Debug)]
struct Inner {
    calls: Ended,
    handoffs: Kept<String, Arc<HandoffView>>,
    keys: Kept<(String, String), KeySlot>,
    keys_of: HashMap<String, Vec<String>>,
    waiting: HashMap<String, Vec<oneshot::Sender<Arc<HandoffView>>>>,
}

/// The bounded stores.
#[derive(Debug)]
pub struct History {
    inner: Mutex<Inner>,
}

impl Default for History {
    fn default() -> History {
        let inner = Inner {
            calls: Ended::default(),
            handoffs: Kept::new(HANDOFFS),
            keys: Kept::new(KEYS),
            keys_of: HashMap::new(),
            waiting: HashMap::new(),
        };
        History { inner: Mutex::new(inner) }
    }
}

impl History {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change under the lock is complete in itself.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event.
    pub fn note(&self, event: &Event) {
        match &event.what {
            EventKind::HandoffEnded { handoff, .. } => self.note_handoff(handoff),
            EventKind::CallEnded(record) => {
                record.handoffs.iter().for_each(|handoff| self.note_handoff(handoff));
                self.note_call(record);
            }
            _ => {}
        }
    }

    fn note_handoff(&self, handoff: &Arc<HandoffView>) {
        let mut inner = self.inner();
        let now = Instant::now();
        for waiting in inner.waiting.remove(&*handoff.id).unwrap_or_default() {
            // Whoever waited may have gone away.
            let _ = waiting.send(Arc::clone(handoff));
        }
        inner.handoffs.insert(handoff.id.to_string(), Arc::clone(handoff), now);
        while inner.handoffs.forget(now, READABLE).is_some() {}
    }

    fn note_call(&self, record: &Arc<CallRecord>) {
        let mut inner = self.inner();
        let now = Instant::now();
        inner.calls.insert(Arc::clone(record), now);
        while let Some(gone) = inner.calls.forget(now) {
            let id = &gone.call.id;
            for key in inner.keys_of.remove(id).unwrap_or_default() {
                inner.keys.map.remove(&(id.clone(), key));
            }
        }
    }

    /// An ended call by its id or the SIP Call-ID of one of its legs.
    pub(super) fn call(&self, id: &str) -> Option<CallView> {
        self.inner().calls.find(id).map(|record| record.call.clone())
    }

    /// An ended handoff.
    pub(crate) fn handoff(&self, id: &str) -> Option<HandoffView> {
        self.inner().handoffs.get(&id.to_owned()).map(|handoff| HandoffView::clone(handoff))
    }

    /// Resolves when the handoff has ended; at once if it has already.
    pub(super) fn wait(&self, handoff: &str) -> oneshot::Receiver<Arc<HandoffView>> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner();
        if let Some(ended) = inner.handoffs.get(&handoff.to_owned()) {
            let _ = sender.send(Arc::clone(ended));
        } else {
            let waiting = inner.waiting.entry(handoff.to_owned()).or_default();
            waiting.retain(|other| !other.is_closed());
            waiting.push(sender);
        }
        receiver
    }

    /// Whoever has waited in vain tidies up behind himself.
    pub(super) fn stop_waiting(&self, handoff: &str) {
        let mut inner = self.inner();
        if let Some(waiting) = inner.waiting.get_mut(handoff) {
            waiting.retain(|other| !other.is_closed());
            if waiting.is_empty() {
                inner.waiting.remove(handoff);
            }
        }
    }

    /// The place of a key of a call, made where it is new.
    pub(super) fn key(&self, call: &str, key: &str) -> KeySlot {
        let mut inner = self.inner();
        let id = (call.to_owned(), key.to_owned());
        if let Some(slot) = inner.keys.get(&id) {
            return Arc::clone(slot);
        }
        let now = Instant::now();
        let slot = KeySlot::default();
        inner.keys.insert(id, Arc::clone(&slot), now);
        inner.keys_of.entry(call.to_owned()).or_default().push(key.to_owned());
        // By number only: a key lives as long as its call.
        while let Some(((call, key), _)) = inner.keys.forget(now, Duration::MAX) {
            if let Some(keys) = inner.keys_of.get_mut(&call) {
                keys.retain(|other| *other != key);
                if keys.is_empty() {
                    inner.keys_of.remove(&call);
                }
            }
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut kept: Kept<u32, u32> = Kept::new(2);
        let start = Instant::now();
        kept.insert(1, 1, start);
        kept.insert(2, 2, start);
        kept.insert(1, 10, start + Duration::from_secs(1));
        assert_eq!(kept.forget(start + Duration::from_secs(1), READABLE), None, "the stale entry of 1");
        assert_eq!(kept.get(&1), Some(&10));
        kept.insert(3, 3, start + Duration::from_secs(2));
        assert_eq!(kept.forget(start + Duration::from_secs(2), READABLE), Some((2, 2)));
        assert_eq!(kept.forget(start + Duration::from_secs(2), READABLE), None);
        assert_eq!(kept.forget(start + READABLE + Duration::from_secs(1), READABLE), Some((1, 10)));
    }

    fn ended(id: &str, call_ids: &[&str]) -> Arc<CallRecord> {
        let legs = call_ids.iter().map(|id| {
            serde_json::json!({ "role": "caller", "sip_call_id": id, "peer": "udp:192.0.2.1:5060", "state": "over" })
        });
        let call = serde_json::json!({
            "id": id, "state": "ended", "environment": "production", "agent": "a", "trunk": "t", "caller_id": null,
            "called_number": "1", "variables": {}, "started_at": "2026-01-01T00:00:00.000Z", "answered_at": null,
            "ended_at": null, "ended_by": null, "legs": legs.collect::<Vec<_>>(), "handoffs": [],
        });
        Arc::new(serde_json::from_value(serde_json::json!({ "call": call, "handoffs": [] })).unwrap())
    }

    #[test]
    fn an_ended_call_is_found_by_each_of_its_names_until_it_is_too_old() {
        let mut calls = Ended::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        calls.insert(ended("c-1", &["x", "b-1"]), start);
        calls.insert(ended("c-2", &["x", "b-2"]), later);
        let found = |calls: &Ended, name| calls.find(name).map(|record| record.call.id.clone());
        for (name, id) in [("c-1", "c-1"), ("b-1", "c-1"), ("x", "c-2"), ("c-2", "c-2")] {
            assert_eq!(found(&calls, name).as_deref(), Some(id), "{name}");
        }
        assert_eq!(found(&calls, "y"), None);
        assert!(calls.forget(start).is_none());
        let gone = calls.forget(start + READABLE).unwrap();
        assert_eq!(gone.call.id, "c-1");
        assert!(calls.forget(start + READABLE).is_none());
        assert_eq!((found(&calls, "b-1"), found(&calls, "x").as_deref()), (None, Some("c-2")));
        assert!(calls.forget(later + READABLE).is_some());
        assert_eq!((calls.numbers.len(), calls.calls.len()), (0, 0));
    }

    #[test]
    fn one_key_is_one_place() {
        let history = History::default();
        let slot = history.key("c", "k");
        assert!(Arc::ptr_eq(&slot, &history.key("c", "k")));
        assert!(!Arc::ptr_eq(&slot, &history.key("d", "k")));
    }

    #[test]
    fn whoever_goes_away_leaves_nothing() {
        let history = History::default();
        drop(history.wait("h"));
        history.stop_waiting("h");
        assert!(history.inner().waiting.is_empty());
    }
}
