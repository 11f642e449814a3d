//! What was dropped or refused, as the log tells it: one line for each source and minute, and one for all others when too
//! many sources do it at once. It knows addresses and nothing of calls. Memory and lines are bounded, whoever forges
//! sources. Used by the engine for messages, and by the API for its clients.

use crate::call::durations::LINE_OF_SOURCE;
use crate::sip::Time;
use std::net::IpAddr;

/// Sources that have a line of their own within a minute.
const SOURCES: usize = 64;

/// Counts dropped messages by source, and says when a line is due.
#[derive(Debug)]
pub(crate) struct Dropped<W> {
    sources: Vec<Source<W>>,
    /// Of all sources that found no place.
    others: Option<(Time, u64)>,
}

impl<W> Default for Dropped<W> {
    fn default() -> Dropped<W> {
        Dropped { sources: Vec::new(), others: None }
    }
}

#[derive(Debug)]
struct Source<W> {
    address: IpAddr,
    why: W,
    /// When its last line was told.
    told: Time,
    /// Messages since.
    more: u64,
}

/// What a line says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// So many messages since its last line, this one included.
    Source(u64),
    /// So many messages of sources that have no line of their own.
    Others(u64),
}

impl<W: PartialEq> Dropped<W> {
    /// One message more, for which `why` has its own line. None: its line was told less than a minute ago.
    pub(crate) fn count(&mut self, now: Time, address: IpAddr, why: W) -> Option<Tell> {
        let address = address.to_canonical();
        let over = |told: Time| now.since(told) >= LINE_OF_SOURCE;
        let own = self.sources.iter_mut().find(|one| one.address == address && one.why == why);
        if let Some(source) = own {
            return again(now, &mut source.told, &mut source.more).map(Tell::Source);
        }
        let new = Source { address, why, told: now, more: 0 };
        if self.sources.len() < SOURCES {
            self.sources.push(new);
            return Some(Tell::Source(1));
        }
        if let Some(old) = self.sources.iter_mut().find(|one| over(one.told)) {
            *old = new;
            return Some(Tell::Source(1));
        }
        match &mut self.others {
            Some((told, more)) => again(now, told, more).map(Tell::Others),
            None => {
                self.others = Some((now, 0));
                Some(Tell::Others(1))
            }
        }
    }
}

/// Counts one more; the number since the last line if a new one is due.
fn again(now: Time, told: &mut Time, more: &mut u64) -> Option<u64> {
    *more += 1;
    if now.since(*told) < LINE_OF_SOURCE {
        return None;
    }
    *told = now;
    Some(std::mem::take(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::Why;

    fn ip(last: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + last))
    }

    #[test]
    fn a_source_has_one_line_a_minute_that_counts() {
        let mut dropped = Dropped::default();
        let start = Time(1_000_000);
        assert_eq!(dropped.count(start, ip(1), Why::Unknown), Some(Tell::Source(1)));
        for _ in 0..999 {
            assert_eq!(dropped.count(start, ip(1), Why::Unknown), None);
        }
        assert_eq!(dropped.count(start, ip(1), Why::Malformed), Some(Tell::Source(1)), "another reason");
        let later = start + LINE_OF_SOURCE;
        assert_eq!(dropped.count(later, ip(1), Why::Unknown), Some(Tell::Source(1000)));
        assert_eq!(dropped.count(later, ip(1), Why::Unknown), None);
    }

    #[test]
    fn forged_sources_share_one_line() {
        let mut dropped = Dropped::default();
        let start = Time(1_000_000);
        let lines = (0..100_000).filter_map(|one| dropped.count(start, ip(one), Why::Unknown)).count();
        assert_eq!((lines, dropped.sources.len()), (SOURCES + 1, SOURCES));
        let later = start + LINE_OF_SOURCE;
        assert_eq!(dropped.count(later, ip(200_000), Why::Unknown), Some(Tell::Source(1)), "a place is free");
        for one in 0..SOURCES as u32 - 1 {
            dropped.count(later, ip(300_000 + one), Why::Unknown);
        }
        let more = (100_000 - SOURCES) as u64;
        assert_eq!(dropped.count(later, ip(400_000), Why::Unknown), Some(Tell::Others(more)));
    }
}
