//! What the network counts of itself. Shared by all threads: plain relaxed numbers, read on scrape.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of sockets, connections, queues and names.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams received.
    pub datagrams_in: Count,
    /// Datagrams sent.
    pub datagrams_out: Count,
    /// Datagrams that the socket had no room for; retransmission repairs them.
    pub datagrams_dropped: Count,
    /// Datagrams that the kernel refused: no route, too long.
    pub datagrams_failed: Count,
    /// Messages that the owning shard had no room for.
    pub queue_dropped: Count,
    /// Connections taken.
    pub accepted: Count,
    /// Connections opened by us.
    pub opened: Count,
    /// Connections that could not be opened.
    pub connect_failed: Count,
    /// Connections from sources that are neither trunk nor agent, closed at once.
    pub refused_unknown: Count,
    /// Connections beyond the cap, in all or of one source.
    pub refused_full: Count,
    /// Closed: nothing came or went for too long.
    pub closed_idle: Count,
    /// Closed: a message that had begun did not get whole in time.
    pub closed_slow: Count,
    /// Closed: the peer did not take what we wrote.
    pub closed_full: Count,
    /// Closed: bytes that cannot be cut into messages.
    pub closed_framing: Count,
    /// Names looked up.
    pub lookups: Count,
    /// Names that gave no address.
    pub lookups_failed: Count,
    /// Questions for names that there was no place for.
    pub lookups_refused: Count,
}

/// What telemetry dropped. It stands here because the metrics show it, and the writer is above them.
#[derive(Debug, Default)]
pub struct Lost {
    /// Lines of the log that there was no room for, or that could not be written.
    pub lines: Count,
    /// Records of ended calls that there was no room for.
    pub records: Count,
    /// Records that could not be written.
    pub records_failed: Count,
}
