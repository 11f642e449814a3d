//! From a clock to the time that deadlines are measured by, for a process that may stand still: stopped, frozen with its
//! container, suspended with its machine, or without its share of a busy CPU. Pure: the clock is read by the driver.
//!
//! Two kinds of deadline want two things of a standstill, and one queue of deadlines serves both:
//!
//! - **What judges a peer** (is it late with an answer?) must not count a time in which the peer's word could not have
//!   been heard, nor ours been sent. [`Pace::read`] leaves a standstill out of the engine's time, so that every deadline
//!   moves by as much, and none of them is touched.
//! - **What we owe a peer** (a copy, a refresh of the session) and what is promised by the clock on the wall (the longest
//!   call, the end of a drain) must not wait for longer. The driver tells the engine of the standstill
//!   ([`Input::StoodStill`](crate::call::engine::Input::StoodStill)) before it hands in what has arrived meanwhile, so
//!   that only what stood is moved back by as much ([`Gap::back`]); deadlines are served once all was handed in, and then
//!   what is still overdue goes out once.
//!
//! A standstill is noticed by a clock that is read later than it was planned. A driver therefore plans to read it
//! every [`HEARTBEAT`] at least. Which part of the time since the last reading the process stood still for nobody can
//! know; all of it is left out, so that the doubt is in the peer's favour.

use super::timing::Time;
use std::time::Duration;

/// Later than planned by more than this is a standstill.
pub const STANDSTILL: Duration = Duration::from_millis(500);
/// A clock is planned to be read again after this long at the latest.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// A time in which the process stood still, which the engine's time leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap(pub Duration);

impl Gap {
    /// A deadline that goes by true time: earlier by the gap, but not earlier than `now`, which it is served at then.
    pub fn back(self, now: Time, deadline: Time) -> Time {
        Time(deadline.0.saturating_sub(self.micros())).max(now)
    }

    /// [`Gap::back`] for one that may not be set.
    pub fn pull(self, now: Time, deadline: &mut Option<Time>) {
        if let Some(at) = deadline {
            *at = self.back(now, *at);
        }
    }

    fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Gives the engine its time. The clock's time is called true here, the engine's is the true time without the standstills.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When the clock was read last.
    read: Time,
    /// When it was to be read again.
    planned: Time,
    left_out: Duration,
}

impl Pace {
    /// The clock was read for the first time.
    pub fn start(at: Time) -> Pace {
        Pace { read: at, planned: at, left_out: Duration::ZERO }
    }

    /// The clock was read: the engine's time, and the standstill since the last reading, if there was one.
    pub fn read(&mut self, at: Time) -> (Time, Option<Gap>) {
        let gap = (self.late(at) > STANDSTILL).then(|| Gap(at.since(self.read)));
        if let Some(gap) = gap {
            self.left_out += gap.0;
        }
        self.read = self.read.max(at);
        self.planned = self.read;
        (self.engine(at), gap)
    }

    /// How much later than planned the clock is read.
    pub fn late(&self, at: Time) -> Duration {
        at.since(self.planned)
    }

    /// The engine's time as it was read last.
    pub fn last(&self) -> Time {
        self.engine(self.read)
    }

    /// The engine has nothing to do before `until` (`None`: nothing at all): when the clock is read next, at the latest.
    pub fn plan(&mut self, until: Option<Time>) -> Time {
        let latest = self.read + HEARTBEAT;
        let next = until.map_or(latest, |until| self.at(until).min(latest));
        self.planned = next.max(self.read);
        self.planned
    }

    /// The engine's time as true time.
    pub fn at(&self, engine: Time) -> Time {
        engine + self.left_out
    }

    /// True time as the engine's.
    pub fn engine(&self, at: Time) -> Time {
        Time(at.0.saturating_sub(Gap(self.left_out).micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Time {
        Time(millis * 1000)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_clock_that_is_read_in_time_goes_on() {
        let mut pace = Pace::start(at(1000));
        assert_eq!(pace.plan(Some(at(1200))), at(1200));
        assert_eq!(pace.read(at(1201)), (at(1201), None));
        assert_eq!(pace.plan(Some(at(9000))), at(1701), "a heartbeat");
        assert_eq!(pace.read(at(1300)), (at(1300), None), "something has come");
        assert_eq!(pace.plan(None), at(1800));
        assert_eq!(pace.read(at(2300)), (at(2300), None), "late, but no standstill");
        assert_eq!(pace.plan(Some(at(7))), at(2300), "overdue: at once");
    }

    #[test]
    fn a_standstill_is_left_out_from_where_the_clock_was_read_last() {
        let mut pace = Pace::start(at(1000));
        pace.plan(Some(at(1400)));
        let gap = Gap(ms(9000));
        assert_eq!(pace.read(at(10_000)), (at(1000), Some(gap)));
        assert_eq!(pace.plan(Some(at(1400))), at(10_400), "the deadline has what it had left");
        assert_eq!(pace.read(at(10_400)), (at(1400), None));
        assert_eq!(
            pace.read(at(10_901)),
            (at(1400), Some(Gap(ms(501)))),
            "a turn that takes that long is one"
        );
        assert_eq!(pace.engine(at(20_000)), at(10_499));
    }

    #[test]
    fn what_we_owe_goes_by_true_time_and_is_never_due_before_now() {
        let gap = Gap(ms(9000));
        assert_eq!(gap.back(at(1000), at(30_000)), at(21_000));
        assert_eq!(gap.back(at(1000), at(1500)), at(1000));
        assert_eq!(gap.back(at(1000), at(900)), at(1000));
        let mut none = None;
        gap.pull(at(1000), &mut none);
        assert_eq!(none, None);
    }
}
