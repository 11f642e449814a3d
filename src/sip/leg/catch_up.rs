//! What a leg owes its peer after the process stood still (see [`crate::sip::pace`]).

use super::Leg;
use super::usage::Usage;
use crate::sip::pace::Gap;
use crate::sip::timing::Time;

impl Leg {
    /// The process stood still.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let Some(unacked) = &mut self.unacked {
            unacked.at = gap.back(now, unacked.at);
        }
        if let Usage::Offered(offered) = &mut self.usage {
            gap.pull(now, &mut offered.repeat_at);
            if let Some(reliable) = &mut offered.reliable {
                reliable.catch_up(now, gap);
            }
        }
        if let Some(timer) = &mut self.timer {
            timer.catch_up(now, gap);
        }
        for referral in &mut self.referrals {
            gap.pull(now, &mut referral.again_at);
        }
    }
}
