//! The clocks of the process, as the engines see them.

use crate::sip::{Now, Time, UnixMillis};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One for the process, so that the shards' times can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Engine time zero. Deadlines may lie before "now"; nothing lies before this.
    zero: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Clock {
        Clock { zero: Instant::now() }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { mono: self.time(), wall: wall() }
    }

    /// The engine's time.
    pub fn time(&self) -> Time {
        Time(u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// An engine's time on the clock that the runtime waits by.
    pub fn instant(&self, time: Time) -> Instant {
        self.zero + Duration::from_micros(time.0)
    }
}

/// Milliseconds since the Unix epoch; 0 if the clock of the machine stands before it.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
