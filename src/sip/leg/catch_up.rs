//! What a leg owes its peer after the process stood still (see [`crate::sip::pace`]).

use super::LegId;
use super::usage::{Leg, Usage};
use crate::sip::pace::Gap;
use crate::sip::stack::Stack;
use crate::sip::timing::{Now, Time};

impl Stack {
    /// The process stood still, and nothing that arrived meanwhile was handed in yet. Copies of requests and responses, the 18x
    /// that is said again, and refreshes of sessions that are ours go by true time: what is overdue of them goes out once,
    /// with the next [`Stack::handle_tick`], unless what arrived has settled it. Everything else judges a peer and is left as it is.
    pub fn handle_standstill(&mut self, now: Now, gap: Gap) {
        self.table.catch_up(now.mono, gap);
        for id in self.legs.ids() {
            if let Some(leg) = self.legs.get_mut(id) {
                leg.catch_up(now.mono, gap);
            }
            self.settle(now.mono, LegId::from(id));
        }
    }
}

impl Leg {
    fn catch_up(&mut self, now: Time, gap: Gap) {
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
