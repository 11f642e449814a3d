//! Questions to the outside: who gets a ticket, and for whom it is asked.

use super::Engine;
use crate::call::context::Queued;
use crate::call::ticket::{Ticket, Waiter};
use crate::sip::shares::Asker;

impl Engine {
    /// What legs ask gets its tickets, and those of legs that are gone are forgotten.
    pub(super) fn take_questions(&mut self) {
        while let Some((leg, question)) = self.stack.poll_question() {
            let ticket = self.tickets.issue(Waiter::Leg(leg));
            self.queue.push_back(Queued::Ask { ticket, question });
        }
        while let Some(leg) = self.stack.poll_withdrawn() {
            self.tickets.forget(Waiter::Leg(leg));
        }
    }

    /// For whom a question is: for a leg its party, for a call the trunk that its caller came by. A test of a destination has
    /// none. None: nobody waits for the answer any more.
    pub(super) fn asker(&self, ticket: Ticket) -> Option<Asker> {
        let party = match self.tickets.waiter(ticket)? {
            Waiter::Leg(leg) => return Some(self.stack.asker(leg)),
            Waiter::Call(key) => {
                let call = self.calls.get(&key).and_then(Option::as_ref);
                call.and_then(|call| self.roster.trunk(&call.facts.trunk))
            }
            Waiter::TestCall(_) => None,
        };
        Some(Asker { party, of: self.roster.len(), in_dialog: false })
    }
}
