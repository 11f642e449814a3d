//! The end: no new calls, those that live finish within the grace, what is left is closed, and then nothing is lost
//! that was to be written.

use super::systemd;
use crate::http::Readiness;
use crate::observe::line::{Line, Sink};
use crate::shard::{Clock, Shards};
use crate::sip::pace::STANDSTILL;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After the grace: 64·T1 for the last BYE to be answered, and a little more.
const CLOSING: Duration = Duration::from_secs(34);
/// Between two looks at what still lives.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Drains all shards. `hurry` resolves when somebody asks a second time: then the grace is over at once.
pub(super) async fn drain(
    shards: &Arc<Shards>,
    clock: Clock,
    grace: Duration,
    readiness: &Readiness,
    log: &Sink,
    hurry: impl Future<Output = ()>,
) {
    readiness.draining();
    shards.drain(clock.time() + grace);
    // Asked after the drain and answered after it: from here on the pulses tell what is left.
    let live = match shards.counters().await {
        Ok(counters) => counters.calls_live,
        Err(_) => shards.live_calls() as u64,
    };
    log(Line::info("serve.draining").number("calls", live).number("grace_ms", grace.as_millis()));
    systemd::stopping(log, &format!("draining, {live} calls live"));
    let mut last = Instant::now() + grace + CLOSING;
    tokio::pin!(hurry);
    let mut hurried = false;
    while shards.live_calls() > 0 && Instant::now() < last {
        let looked = Instant::now();
        tokio::select! {
            () = sleep(BETWEEN_LOOKS) => {
                // The peers have had no time to answer while the process stood still.
                let late = looked.elapsed();
                if late > STANDSTILL {
                    last += late;
                }
            }
            () = &mut hurry, if !hurried => {
                hurried = true;
                last = Instant::now() + CLOSING;
                shards.drain(clock.time());
                log(Line::warn("serve.hurried").number("calls", shards.live_calls()));
            }
        }
    }
    let left = shards.live_calls();
    if left > 0 {
        log(Line::error("serve.calls_left")
            .number("calls", left)
            .text("hint", "their peers did not answer our BYE"));
    }
}
