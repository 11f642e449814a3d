//! Waiting for somebody, for a process that may stand still: a time in which nothing could be heard does not count, and what
//! has arrived is looked at before anybody is given up. (The runtime may run its timers before it has asked the kernel
//! what there is to read.) The shards have [`crate::sip::pace`] for it.

use crate::sip::pace::STANDSTILL;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Waited at once: what a standstill costs at most.
const WAIT_SLICE: Duration = Duration::from_millis(500);
/// A last look, for what the runtime has not heard of when the time is over.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(50);

/// What comes of `future` within `limit`; `None`: nothing.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::pin!(future);
    let mut left = limit;
    while !left.is_zero() {
        let (slice, began) = (left.min(WAIT_SLICE), Instant::now());
        if let Ok(output) = timeout(slice, future.as_mut()).await {
            return Some(output);
        }
        if !is_standstill(began + slice) {
            left -= slice;
        }
    }
    timeout(LAST_LOOK, future).await.ok()
}

/// Minutes in which something was told already: once in each is enough.
#[derive(Debug)]
pub(crate) struct Minutes {
    born: Instant,
    /// The latest, from 1.
    told: AtomicU64,
}

impl Default for Minutes {
    fn default() -> Minutes {
        Minutes { born: Instant::now(), told: AtomicU64::new(0) }
    }
}

impl Minutes {
    /// Whether it is the first time in this minute.
    pub(crate) fn is_new(&self) -> bool {
        let minute = self.born.elapsed().as_secs() / 60 + 1;
        self.told.swap(minute, Ordering::Relaxed) != minute
    }
}

/// Whether the process stood still, now that a timer for `planned` has run.
pub(crate) fn is_standstill(planned: Instant) -> bool {
    planned.elapsed() > STANDSTILL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_time_in_which_the_thread_stood_still_does_not_count() {
        let began = Instant::now();
        let still = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            // As if the process was stopped: the runtime's only thread does nothing.
            std::thread::sleep(Duration::from_millis(1300));
            tokio::time::sleep(Duration::from_millis(100)).await;
            7
        };
        assert_eq!(within(Duration::from_millis(600), still).await, Some(7));
        assert!(began.elapsed() > Duration::from_millis(1400));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
        assert_eq!(within(Duration::ZERO, async { 7 }).await, Some(7), "what is there is taken");
    }
}
