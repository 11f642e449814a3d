//! Time as a parameter, and the timer values of RFC 3261 §17.1.1.1, appendix A.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds on a clock that never goes back. Its zero means nothing; it is made by whoever drives the engine.
/// (`std::time::Instant` cannot be made, saved or fuzzed.)
///
/// Whatever may have no deadline has an `Option<Time>`: there is no time that means never. So nothing that has none can be
/// armed, and `into_iter().flatten().min()` finds the earliest of several.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Time(pub u64);

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct UnixMillis(pub i64);

/// Both clocks, read once for each turn of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines. Times in which the process stood still are left out ([`super::pace`]).
    pub mono: Time,
    /// For what people read. Nothing is left out.
    pub wall: UnixMillis,
}

impl Time {
    /// Time passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl UnixMillis {
    /// Time passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: UnixMillis) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, rhs: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, rhs: Time) -> Duration {
        self.since(rhs)
    }
}

/// T1, the round-trip estimate.
pub const T1: Duration = Duration::from_millis(500);
/// T2, the longest interval between retransmissions of non-INVITE requests and INVITE responses.
pub const T2: Duration = Duration::from_secs(4);
/// T4, the longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: Timers B, F, H, J, L and M, and how long a 2xx is retransmitted.
pub const T1X64: Duration = Duration::from_secs(32);
/// Timer C, how long a proxy (or a B2BUA) waits after the last provisional response (§16.6 step 11: over 3 minutes).
pub const TIMER_C: Duration = Duration::from_secs(181);
/// Timer D for unreliable transports: at least 32 s.
pub const TIMER_D: Duration = Duration::from_secs(32);
