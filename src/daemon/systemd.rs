//! What a supervisor is told by the socket that `NOTIFY_SOCKET` names (sd_notify(3)); without one nothing happens.
//! The watchdog is fed only while every shard's loop turns.

use crate::observe::line::{Level, Line, Sink};
use crate::shard::Shards;
use sd_notify::NotifyState;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

/// Whether standard error is the journal's own stream: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
pub(crate) fn logs_to_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let own = std::fs::metadata("/proc/self/fd/2").map(|own| format!("{}:{}", own.dev(), own.ino()));
    named.is_some_and(|named| own.is_ok_and(|own| own == named))
}

/// What a line of the journal begins with (sd-daemon(3)): its level as syslog has it (RFC 5424 §6.2.1).
pub(crate) fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug => "<7>",
    }
}

/// New calls are taken.
pub(super) fn ready(log: &Sink, status: &str) {
    tell(log, &[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading(log: &Sink) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(log, &[NotifyState::Reloading, now]),
        Err(error) => failed(log, &error),
    }
}

/// New calls are refused.
pub(super) fn stopping(log: &Sink, status: &str) {
    tell(log, &[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(log: &Sink, state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        failed(log, &error);
    }
}

fn failed(log: &Sink, error: &std::io::Error) {
    log(Line::warn("systemd.not_told").text("reason", error.to_string()));
}

/// Feeds the watchdog, if there is one, for as long as every shard turns within a quarter of its time.
pub(super) async fn feed_watchdog(shards: Arc<Shards>, log: Sink) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let quarter = (within / 4).max(Duration::from_millis(1));
    loop {
        match shards.stuck(quarter).await {
            None => tell(&log, &[NotifyState::Watchdog]),
            Some(shard) => log(Line::error("shard.stuck")
                .number("shard", shard)
                .text("hint", "its loop does not turn; the watchdog is not fed and will restart Baton")),
        }
    }
}
