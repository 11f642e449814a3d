//! What outlives the engine's memory of it, within bounds: ended calls and handoffs, Idempotency-Keys, and who waits for
//! a handoff's end. Fed by the events.

use crate::call::command::HandoffRequest;
use crate::call::event::{Event, What};
use crate::call::record::{CallRecord, CallView, HandoffView};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
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

#[derive(Debug)]
struct Inner {
    calls: Kept<String, Arc<CallRecord>>,
    handoffs: Kept<String, Arc<HandoffView>>,
    /// SIP Call-IDs of the agent legs of `calls`.
    by_sip_call_id: HashMap<String, String>,
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
            calls: Kept::new(CALLS),
            handoffs: Kept::new(HANDOFFS),
            by_sip_call_id: HashMap::new(),
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
            What::HandoffEnded { handoff, .. } => self.note_handoff(handoff),
            What::CallEnded(record) => {
                record.handoffs.iter().for_each(|handoff| self.note_handoff(handoff));
                self.note_call(record);
            }
            _ => {}
        }
    }

    fn note_handoff(&self, handoff: &Arc<HandoffView>) {
        let mut inner = self.inner();
        let now = Instant::now();
        for waiting in inner.waiting.remove(&handoff.id).unwrap_or_default() {
            // Whoever waited may have gone away.
            let _ = waiting.send(Arc::clone(handoff));
        }
        inner.handoffs.insert(handoff.id.clone(), Arc::clone(handoff), now);
        while inner.handoffs.forget(now, READABLE).is_some() {}
    }

    fn note_call(&self, record: &Arc<CallRecord>) {
        let call = &record.call;
        let mut inner = self.inner();
        let now = Instant::now();
        for leg in &call.legs {
            inner.by_sip_call_id.insert(leg.sip_call_id.clone(), call.id.clone());
        }
        inner.calls.insert(call.id.clone(), Arc::clone(record), now);
        while let Some((id, gone)) = inner.calls.forget(now, READABLE) {
            for leg in &gone.call.legs {
                inner.by_sip_call_id.remove(&leg.sip_call_id);
            }
            for key in inner.keys_of.remove(&id).unwrap_or_default() {
                inner.keys.map.remove(&(id.clone(), key));
            }
        }
    }

    /// An ended call by its id or the SIP Call-ID of one of its legs.
    pub(super) fn call(&self, id: &str) -> Option<CallView> {
        let inner = self.inner();
        let id = id.to_owned();
        let record = inner.calls.get(&id).or_else(|| inner.calls.get(inner.by_sip_call_id.get(&id)?));
        record.map(|record| record.call.clone())
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
