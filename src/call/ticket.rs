//! Questions to the outside that are under way: who waits for the answer to each. A question whose owner has gone is forgotten,
//! and an answer to it is dropped.

use crate::call::ids::CallKey;
use crate::sip::LegId;
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// Names a question of one engine until its answer has come; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiter {
    Call(CallKey),
    Leg(LegId),
    TestCall(CallKey),
}

/// The tickets whose answers are still to come.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    last: u64,
    open: HashMap<Ticket, Waiter>,
    /// The same by owner.
    by_waiter: BTreeSet<(Waiter, Ticket)>,
}

impl Tickets {
    /// A new one.
    pub(crate) fn issue(&mut self, waiter: Waiter) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.insert(ticket, waiter);
        self.by_waiter.insert((waiter, ticket));
        ticket
    }

    /// Who waits for it.
    pub(crate) fn waiter(&self, ticket: Ticket) -> Option<Waiter> {
        self.open.get(&ticket).copied()
    }

    /// Its answer has come. None: nobody waits for it any more.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.open.remove(&ticket)?;
        self.by_waiter.remove(&(waiter, ticket));
        Some(waiter)
    }

    /// That one waits for nothing any more.
    pub(crate) fn forget(&mut self, waiter: Waiter) {
        let of = (waiter, Ticket(0))..=(waiter, Ticket(u64::MAX));
        while let Some(&(waiter, ticket)) = self.by_waiter.range(of.clone()).next() {
            self.by_waiter.remove(&(waiter, ticket));
            self.open.remove(&ticket);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_is_forgotten_with_its_owner_only() {
        let mut tickets = Tickets::default();
        let (call, test) = (Waiter::Call(CallKey(7)), Waiter::TestCall(CallKey(7)));
        let of_call = [tickets.issue(call), tickets.issue(call)];
        let of_test = tickets.issue(test);
        tickets.forget(call);
        assert_eq!(of_call.map(|ticket| tickets.take(ticket)), [None, None]);
        assert_eq!(tickets.take(of_test), Some(test));
        assert_eq!(tickets.take(of_test), None, "an answer comes once");
        assert!(tickets.is_empty() && tickets.by_waiter.is_empty());
    }
}
