//! What is seen of a dialog that is replaced (RFC 3891 §3): a final 2xx in a NOTIFY, and the BYE of the target's leg.
//!
//! A target that has been taken over ends its dialog with us by BYE, and so does a person who hears nobody: the BYE alone
//! proves nothing. A 2xx may come before it is done (Asterisk: 2 ms before the BYE), and whoever ends one of the legs
//! then destroys what the caller is being moved into: so the BYE is waited for. Pure.

use crate::call::durations::REPLACED_BYE;
use crate::sip::{Gap, Time};
use std::time::Duration;

/// Tells whether a dialog was replaced: by a NOTIFY of 2xx and the BYE of the target's leg.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swap {
    /// When a final 2xx came.
    told: Option<Time>,
    /// The profile believes it.
    believed: bool,
    /// When the target ended its leg by BYE.
    left: Option<Time>,
    /// How long the process stood still between the two.
    stood: Duration,
}

/// What both together show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No final 2xx came.
    Nothing,
    /// One did, and the target's BYE is waited for until then.
    Told { until: Time },
    /// The caller has the target.
    Worked,
    /// A 2xx that proves nothing by itself, and no BYE near it.
    Doubtful,
}

impl Swap {
    /// A final 2xx came, which the profile believes or not. The first one counts.
    pub(crate) fn tell(&mut self, now: Time, believed: bool) {
        if self.told.is_none() {
            (self.told, self.believed) = (Some(now), believed);
        }
    }

    /// The target's BYE came.
    pub(crate) fn leave(&mut self, now: Time) {
        self.left = Some(now);
    }

    /// The process stood still: nobody knows when in that time the other one of the two has come, so all of it lies between
    /// them.
    pub(crate) fn catch_up(&mut self, gap: Gap) {
        if self.told.is_some() != self.left.is_some() {
            self.stood += gap.0;
        }
    }

    /// Whether a final 2xx came.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Whether one came that the profile believes: what follows cannot make it fail.
    pub(crate) fn is_believed(&self) -> bool {
        self.believed && self.is_told()
    }

    /// A 2xx after which no BYE came is as good as none.
    pub(crate) fn forget(&mut self) {
        self.told = None;
        if self.left.is_none() {
            self.stood = Duration::ZERO;
        }
    }

    /// See [`Shown`]. `there`: the target's leg stands.
    pub(crate) fn shown(&self, now: Time, there: bool) -> Shown {
        let Some(told) = self.told else { return Shown::Nothing };
        let window = REPLACED_BYE.saturating_sub(self.stood);
        let until = told + window;
        let open = there && now < until;
        match self.left {
            _ if self.believed && !open => Shown::Worked,
            _ if open => Shown::Told { until },
            Some(_) if self.stood > REPLACED_BYE => Shown::Doubtful,
            Some(left) if left.since(told) <= window && told.since(left) <= window => Shown::Worked,
            Some(_) | None => Shown::Doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(0) + Duration::from_millis(10_000 + ms)
    }

    #[test]
    fn a_bye_alone_shows_nothing() {
        let mut swap = Swap::default();
        swap.leave(at(0));
        assert_eq!(swap.shown(at(60_000), false), Shown::Nothing);
    }

    #[test]
    fn a_believed_2xx_waits_for_the_bye_and_needs_none() {
        let mut swap = Swap::default();
        swap.tell(at(0), true);
        assert_eq!(swap.shown(at(1_999), true), Shown::Told { until: at(2_000) });
        assert_eq!(swap.shown(at(1_999), false), Shown::Worked);
        assert_eq!(swap.shown(at(2_000), true), Shown::Worked);
    }

    #[test]
    fn a_doubted_2xx_and_the_bye_prove_it_within_two_seconds_in_either_order() {
        for (told, left, expected) in [
            (0, 2, Shown::Worked),
            (0, 2_000, Shown::Worked),
            (0, 2_001, Shown::Doubtful),
            (2, 0, Shown::Worked),
            (2_000, 0, Shown::Worked),
            (2_001, 0, Shown::Doubtful),
        ] {
            let mut swap = Swap::default();
            swap.leave(at(left));
            swap.tell(at(told), false);
            assert_eq!(swap.shown(at(told.max(left)), false), expected, "told {told}, left {left}");
        }
    }

    #[test]
    fn a_standstill_lies_between_the_two() {
        for (gap, expected) in [(1_900, Shown::Worked), (1_999, Shown::Doubtful)] {
            let mut swap = Swap::default();
            swap.tell(at(0), false);
            swap.catch_up(Gap(Duration::from_millis(gap)));
            swap.leave(at(2));
            assert_eq!(swap.shown(at(2), false), expected, "{gap} ms");
        }
    }

    #[test]
    fn a_doubted_2xx_alone_proves_nothing() {
        let mut swap = Swap::default();
        swap.tell(at(0), false);
        assert_eq!(swap.shown(at(1_999), true), Shown::Told { until: at(2_000) });
        assert_eq!(swap.shown(at(2_000), true), Shown::Doubtful);
        // Its leg broke, and was not ended by BYE.
        assert_eq!(swap.shown(at(1), false), Shown::Doubtful);
    }
}
