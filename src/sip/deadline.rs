//! When something is due: one FIFO for each constant duration, a small heap for the rest.
//!
//! Entries are never taken back. Whoever owns a deadline keeps the valid one and drops a popped entry that differs
//! from it. Nearly all deadlines of SIP are one of a dozen constants, and a FIFO of equal durations is sorted by
//! itself; only odd durations pay for a heap. Not a clock: time is a parameter.

use super::durations::TRYING_AFTER;
use super::timing::{T1, T1X64, T2, T4, TIMER_C, Time};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// The durations that get a FIFO: T1 and its doublings up to 32·T1, T4, 64·T1, 7·T1 (RFC 4320) and Timer C.
const CONSTANTS: [Duration; 10] = [
    T1,
    Duration::from_millis(1000),
    Duration::from_millis(2000),
    T2,
    Duration::from_millis(8000),
    Duration::from_millis(16000),
    T4,
    T1X64,
    TRYING_AFTER,
    TIMER_C,
];

/// Deadlines with their keys, popped in order of time; equal times come in no particular order.
#[derive(Debug)]
pub struct Deadlines<K> {
    fifos: [VecDeque<(Time, K)>; CONSTANTS.len()],
    heap: BinaryHeap<Reverse<Odd<K>>>,
}

/// An entry of the heap, ordered by time alone, so that keys need no order.
#[derive(Debug)]
struct Odd<K> {
    at: Time,
    key: K,
}

impl<K> PartialEq for Odd<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<K> Eq for Odd<K> {}

impl<K> PartialOrd for Odd<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Odd<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { fifos: std::array::from_fn(|_| VecDeque::new()), heap: BinaryHeap::new() }
    }
}

impl<K> Deadlines<K> {
    /// `key` is due `after` from `now`. `now` may go back without harm (such an entry goes to the heap).
    /// Returns when it is due, which is what the owner compares a popped entry with.
    pub fn arm(&mut self, now: Time, after: Duration, key: K) -> Time {
        let at = now + after;
        if let Some(kind) = CONSTANTS.iter().position(|constant| *constant == after) {
            let fifo = &mut self.fifos[kind];
            if fifo.back().is_none_or(|(last, _)| *last <= at) {
                fifo.push_back((at, key));
                return at;
            }
        }
        self.heap.push(Reverse(Odd { at, key }));
        at
    }

    /// The earliest entry, be it stale or not.
    pub fn next(&self) -> Option<Time> {
        let fifos = self.fifos.iter().filter_map(|fifo| fifo.front().map(|(at, _)| *at)).min();
        let heap = self.heap.peek().map(|odd| odd.0.at);
        fifos.into_iter().chain(heap).min()
    }

    /// Takes out the earliest entry if it is due at `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<(Time, K)> {
        let fifo = (0..CONSTANTS.len())
            .filter_map(|kind| self.fifos[kind].front().map(|(at, _)| (*at, kind)))
            .min_by_key(|(at, _)| *at);
        let heap = self.heap.peek().map(|odd| odd.0.at);
        match (fifo, heap) {
            (Some((at, kind)), other) if at <= now && other.is_none_or(|other| at <= other) => {
                self.fifos[kind].pop_front()
            }
            (_, Some(at)) if at <= now => self.heap.pop().map(|Reverse(odd)| (odd.at, odd.key)),
            _ => None,
        }
    }

    /// Entries held, stale ones too.
    pub fn len(&self) -> usize {
        self.fifos.iter().map(VecDeque::len).sum::<usize>() + self.heap.len()
    }

    /// Whether nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Arm(Duration),
        Wait(Duration),
        Pop,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let constant = (0..CONSTANTS.len()).prop_map(|kind| Act::Arm(CONSTANTS[kind]));
        let odd = (0u64..40_000).prop_map(|ms| Act::Arm(Duration::from_millis(ms)));
        let wait = (0u64..3_000).prop_map(|ms| Act::Wait(Duration::from_millis(ms)));
        proptest::collection::vec(
            prop_oneof![3 => constant, 1 => odd, 2 => wait, 3 => Just(Act::Pop)],
            0..200,
        )
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_list(acts in acts()) {
            let (mut deadlines, mut model) = (Deadlines::default(), Vec::<(Time, usize)>::new());
            let mut now = Time(0);
            for (key, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Arm(after) => {
                        prop_assert_eq!(deadlines.arm(now, after, key), now + after);
                        model.push((now + after, key));
                    }
                    Act::Wait(pause) => now = now + pause,
                    Act::Pop => match deadlines.pop_due(now) {
                        None => prop_assert!(model.iter().all(|(at, _)| *at > now)),
                        Some((at, key)) => {
                            prop_assert!(at <= now);
                            prop_assert_eq!(Some(at), model.iter().map(|(at, _)| *at).min());
                            let place = model.iter().position(|entry| *entry == (at, key));
                            prop_assert!(place.is_some());
                            model.swap_remove(place.unwrap_or_default());
                        }
                    },
                }
                prop_assert_eq!(deadlines.len(), model.len());
                prop_assert_eq!(deadlines.next(), model.iter().map(|(at, _)| *at).min());
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_disturb_the_order() {
        let mut deadlines = Deadlines::default();
        deadlines.arm(Time(9_000_000), T1, "late");
        deadlines.arm(Time(1_000_000), T1, "early");
        assert_eq!(deadlines.pop_due(Time(u64::MAX)), Some((Time(1_500_000), "early")));
        assert_eq!(deadlines.pop_due(Time(u64::MAX)), Some((Time(9_500_000), "late")));
        assert!(deadlines.is_empty());
    }
}
