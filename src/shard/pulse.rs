//! What a shard shows of itself without being asked: whether it still turns, and how much it has to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Written by one shard, read by anybody.
#[derive(Debug, Default)]
pub struct Pulse {
    turns: AtomicU64,
    live_calls: AtomicUsize,
    panics: AtomicU64,
    events_lost: AtomicU64,
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

    /// Events that telemetry had no room for.
    pub fn events_lost(&self) -> u64 {
        self.events_lost.load(Ordering::Relaxed)
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

    pub(super) fn event_lost(&self) {
        self.events_lost.fetch_add(1, Ordering::Relaxed);
    }
}
