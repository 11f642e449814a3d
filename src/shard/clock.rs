//! The clocks of the process, as the engines see them.
//!
//! True time is CLOCK_BOOTTIME where there is one: it counts a suspend of the machine, which the runtime's clock leaves
//! out. Each shard makes its engine's time of it (`ShardClock`), which leaves out the times in which the process stood
//! still: see [`crate::sip::pace`] for what goes by which.

use crate::sip::pace::{Gap, Pace};
use crate::sip::{Now, Time, UnixMillis};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(target_os = "linux")]
const TRUE_TIME: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const TRUE_TIME: ClockId = ClockId::Monotonic;

/// True time. One for the process, so that the shards' readings can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Time zero. Deadlines may lie before "now"; nothing lies before this.
    zero: Duration,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Machine,
    /// Microseconds, as a test sets them.
    #[cfg(test)]
    Set(&'static std::sync::atomic::AtomicU64),
}

impl Source {
    fn read(self) -> Duration {
        match self {
            Source::Machine => {
                let read = clock_gettime(TRUE_TIME);
                let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
                Duration::new(seconds, u32::try_from(read.tv_nsec).unwrap_or_default())
            }
            #[cfg(test)]
            Source::Set(micros) => Duration::from_micros(micros.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Clock {
        Clock { zero: Source::Machine.read(), source: Source::Machine }
    }

    /// One that a test turns by hand, from zero.
    #[cfg(test)]
    pub(super) fn by_hand(micros: &'static std::sync::atomic::AtomicU64) -> Clock {
        Clock { zero: Duration::ZERO, source: Source::Set(micros) }
    }

    /// Both clocks, for an engine that begins now.
    pub fn now(&self) -> Now {
        Now { mono: self.time(), wall: wall() }
    }

    /// True time.
    pub fn time(&self) -> Time {
        let passed = self.source.read().saturating_sub(self.zero);
        Time(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The time of one shard's engine. Its turns begin with [`ShardClock::turn`], which is the only reading of a turn, and end
/// with [`ShardClock::plan`].
#[derive(Debug)]
pub(super) struct ShardClock {
    clock: Clock,
    pace: Pace,
    /// The same moment on the clock that the runtime waits by, and in true time.
    anchor: (Instant, Time),
}

/// What a turn begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The engine's time, and the wall's.
    pub(super) now: Now,
    /// True time.
    pub(super) at: Time,
    /// How much later the turn begins than was planned.
    pub(super) late: Duration,
    /// The process stood still before it, so long.
    pub(super) gap: Option<Gap>,
}

impl ShardClock {
    pub(super) fn new(clock: Clock) -> ShardClock {
        let at = clock.time();
        ShardClock { clock, pace: Pace::start(at), anchor: (Instant::now(), at) }
    }

    /// Reads the clocks.
    pub(super) fn turn(&mut self) -> Turn {
        let at = self.clock.time();
        let late = self.pace.late(at);
        let (mono, gap) = self.pace.read(at);
        if gap.is_some() {
            // A suspend has moved them apart.
            self.anchor = (Instant::now(), at);
        }
        Turn { now: Now { mono, wall: wall() }, at, late, gap }
    }

    /// The next turn comes when the engine's time is `until`, or before: when that is for the runtime.
    pub(super) fn plan(&mut self, until: Option<Time>) -> Instant {
        let (instant, at) = self.anchor;
        instant + self.pace.plan(until).since(at)
    }

    /// The engine's time as it was read last.
    pub(super) fn last(&self) -> Time {
        self.pace.last()
    }

    /// True time as the engine's.
    pub(super) fn engine(&self, at: Time) -> Time {
        self.pace.engine(at)
    }
}

/// Milliseconds since the Unix epoch; 0 if the clock of the machine stands before it.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn true_time_goes_on_and_counts_what_the_machine_has_slept() {
        let clock = Clock::start();
        let (first, second) = (clock.time(), clock.time());
        assert!(first <= second && second < Time(60_000_000));
        #[cfg(target_os = "linux")]
        {
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            let read = Source::Machine.read().as_secs_f64();
            assert!((read - seconds).abs() < 60.0, "/proc/uptime counts suspends: {seconds}, and not {read}");
        }
    }

    #[test]
    fn a_shards_clock_leaves_a_standstill_out_and_waits_for_what_is_left() {
        let micros: &AtomicU64 = Box::leak(Box::default());
        let mut shard = ShardClock::new(Clock::by_hand(micros));
        let began = shard.anchor.0;
        assert_eq!(shard.plan(Some(Time(400_000))), began + Duration::from_millis(400));
        micros.store(9_000_000, Ordering::Relaxed);
        let turn = shard.turn();
        assert_eq!((turn.now.mono, turn.at), (Time(0), Time(9_000_000)));
        assert_eq!((turn.gap, turn.late), (Some(Gap(Duration::from_secs(9))), Duration::from_millis(8600)));
        let again = shard.anchor.0;
        assert_eq!(shard.plan(Some(Time(400_000))), again + Duration::from_millis(400));
        assert_eq!((shard.engine(Time(9_100_000)), shard.last()), (Time(100_000), Time(0)));
    }
}
