//! How many calls there are, and how many each agent and each destination with a limit has, over all shards.
//!
//! A call belongs to one shard, and its limits do not: each engine counts in what all of them share. There is no lock: a
//! seat is found once, and from then on it is a number that is added to.

use super::roll::Roll;
use crate::routing::table::{Capacity, Destination};
use crate::sip::Time;
use hashbrown::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the shards of one daemon share. A clone counts in the same.
#[derive(Clone, Debug, Default)]
pub struct Occupancy(Arc<Shared>);

/// Seats stay: there are as many as there were ids.
#[derive(Debug, Default)]
struct Shared {
    calls: Count,
    agents: Seats,
    /// By environment and id.
    destinations: Seats,
}

type Seats = Roll<Box<str>, Arc<Count>>;

/// How many there are, and in the low bits of the other how many were begun in the second that its high bits name.
#[derive(Debug, Default)]
struct Count(AtomicUsize, AtomicU64);

/// Bits for those of one second.
const BEGUN: u32 = 20;

impl Count {
    /// One more, unless there are `most` already; 0: there is no limit.
    fn take(&self, most: usize) -> bool {
        let more = |count: usize| (most == 0 || count < most).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// One more in that second, unless there were `most` already; 0: there is no limit. The clocks of the shards may differ by
    /// a standstill: the latest one counts.
    fn begin(&self, second: u64, most: u32) -> bool {
        let most = u64::from(most).min((1 << BEGUN) - 1);
        let more = |last: u64| {
            let (of, begun) = (last >> BEGUN, last & ((1 << BEGUN) - 1));
            let begun = if second > of { 0 } else { begun };
            (begun < most).then_some(second.max(of) << BEGUN | (begun + 1))
        };
        most == 0 || self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn free(&self) {
        let less = |count: usize| count.checked_sub(1);
        // It was taken before.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

fn seat(seats: &Seats, whose: &str) -> Arc<Count> {
    Arc::clone(seats.entry(|known| **known == *whose, || whose.into()))
}

/// A call's stay at a destination that has a limit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stay(Arc<Count>);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// Why a destination takes no further call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It has `max_calls`.
    Calls,
    /// It has had `max_cps` in this second.
    Rate,
}

impl Full {
    /// As the reason of an attempt that calls nobody.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Full::Calls => "the destination has max_calls",
            Full::Rate => "the destination has had max_cps in this second",
        }
    }

    /// What to do.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Full::Calls => {
                "Baton has as many calls at the destination as its `max_calls` allows: raise it, or give the destination a next step for `busy`."
            }
            Full::Rate => {
                "More handoffs came for the destination in one second than its `max_cps` allows: raise it, or give the destination a next step for `busy`."
            }
        }
    }
}

/// What one engine has taken of it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    shared: Occupancy,
    agents: HashMap<Arc<str>, (usize, Arc<Count>)>,
}

impl Taken {
    pub(crate) fn of(shared: Occupancy) -> Taken {
        Taken { shared, agents: HashMap::new() }
    }

    /// One more call, unless there are `most` already.
    pub(crate) fn take_call(&self, most: usize) -> Result<(), usize> {
        // A limit of 0 calls is none that a configuration can say.
        if self.shared.0.calls.take(most.max(1)) { Ok(()) } else { Err(self.calls()) }
    }

    pub(crate) fn free_call(&self) {
        self.shared.0.calls.free();
    }

    /// Calls of all shards.
    pub(crate) fn calls(&self) -> usize {
        self.shared.0.calls.0.load(Ordering::Relaxed)
    }

    /// The agent has one more call, unless it has `most` already; 0: there is no limit.
    pub(crate) fn take(&mut self, agent: &Arc<str>, most: u32) -> bool {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (own, count) = match self.agents.entry(Arc::clone(agent)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((0, seat(&self.shared.0.agents, agent))),
        };
        let taken = count.take(most);
        *own += usize::from(taken);
        if *own == 0 {
            self.agents.remove(agent);
        }
        taken
    }

    pub(crate) fn free(&mut self, agent: &Arc<str>) {
        let Some((own, count)) = self.agents.get_mut(agent) else { return };
        count.free();
        *own -= 1;
        if *own == 0 {
            self.agents.remove(agent);
        }
    }

    /// A call's stay at a destination; None: it has no limit.
    pub(crate) fn stay(
        &self,
        now: Time,
        environment: &str,
        destination: &Destination,
    ) -> Result<Option<Stay>, Full> {
        let Capacity { max_calls, max_cps } = destination.capacity;
        if max_calls == 0 && max_cps == 0 {
            return Ok(None);
        }
        let count = seat(&self.shared.0.destinations, &format!("{environment}/{}", destination.id));
        if !count.take(usize::try_from(max_calls).unwrap_or(usize::MAX)) {
            return Err(Full::Calls);
        }
        let stay = Stay(count);
        if stay.0.begin(now.0 / 1_000_000, max_cps) { Ok(Some(stay)) } else { Err(Full::Rate) }
    }

    /// Whether this engine has taken nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_count_in_one() {
        let shared = Occupancy::default();
        let (mut one, mut two) = (Taken::of(shared.clone()), Taken::of(shared));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(one.take(&a, 2) && two.take(&a, 2) && !one.take(&a, 2) && !two.take(&a, 2));
        assert!(one.take(&b, 1) && !two.take(&b, 1), "each agent has its own seat");
        assert!(two.take(&b, 0), "0 is no limit");
        one.free(&a);
        assert!(two.take(&a, 2));
        one.free(&b);
        assert!(one.is_empty() && !two.is_empty());
    }

    #[test]
    fn calls_are_counted_over_all() {
        let shared = Occupancy::default();
        let (one, two) = (Taken::of(shared.clone()), Taken::of(shared));
        assert_eq!((one.take_call(1), two.take_call(1)), (Ok(()), Err(1)));
        one.free_call();
        assert_eq!((two.take_call(1), one.calls()), (Ok(()), 1));
    }

    #[test]
    fn a_second_has_so_many_and_the_next_one_as_many_again() {
        let count = Count::default();
        let begun = |second| (0..5).filter(|_| count.begin(second, 2)).count();
        assert_eq!([begun(7), begun(8), begun(7), begun(9)], [2, 2, 0, 2]);
        assert!((0..5).all(|_| count.begin(9, 0)), "0 is no limit");
    }

    #[test]
    fn threads_take_no_more_than_there_is() {
        let shared = Occupancy::default();
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let mut own = Taken::of(shared.clone());
                    scope.spawn(move || {
                        let agent: Arc<str> = "a".into();
                        (0..1000).filter(|_| own.take(&agent, 700)).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum::<usize>()
        });
        assert_eq!(taken, 700);
    }
}
