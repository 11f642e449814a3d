//! What a shard shows of itself without being asked: whether it still turns, and how much it has to do.

use crate::sip::Time;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Written by one shard, read by anybody.
#[derive(Debug, Default)]
pub struct Pulse {
    turns: AtomicU64,
    live_calls: AtomicUsize,
    panics: AtomicU64,
    behind: AtomicBool,
}

impl Pulse {
    /// Turns of the loop so far: what the watchdog goes by.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Calls that live, at the end of the latest turn or at the latest command.
    pub fn live_calls(&self) -> usize {
        self.live_calls.load(Ordering::Acquire)
    }

    /// Faults that the engine itself could not confine to one call.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Whether datagrams may wait that the latest turn had no room for.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    pub(super) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    pub(super) fn lives(&self, live_calls: usize) {
        self.live_calls.store(live_calls, Ordering::Release);
    }

    pub(super) fn turned(&self, live_calls: usize) {
        self.lives(live_calls);
        self.turns.fetch_add(1, Ordering::Release);
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// The standstills of the process, which each shard notices by itself.
#[derive(Debug, Default)]
pub struct Standstills {
    count: AtomicU64,
    millis: AtomicU64,
    /// True time at which the latest was over.
    over: Mutex<Time>,
}

impl Standstills {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long they were in all, to the millisecond.
    pub fn lasted(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// A shard stood still for that long before `at`. True: no other has told of the same standstill.
    pub(super) fn noticed(&self, at: Time, gap: Duration) -> bool {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let new = at.since(*over);
        *over = at.max(*over);
        let first = gap <= new;
        self.count.fetch_add(first.into(), Ordering::Relaxed);
        let millis = u64::try_from(new.min(gap).as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_add(millis, Ordering::Relaxed);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_of_all_shards_is_one() {
        let (all, s) = (Standstills::default(), Duration::from_secs);
        assert!(all.noticed(Time(10_000_000), s(4)));
        assert!(!all.noticed(Time(10_200_000), s(3)), "the same, seen a little later");
        assert!(!all.noticed(Time(9_900_000), s(3)), "and a little earlier");
        assert!(all.noticed(Time(20_000_000), s(2)));
        assert_eq!((all.count(), all.lasted()), (2, Duration::from_millis(6200)));
    }
}
