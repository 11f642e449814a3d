//! What the network, the resolver and the clock tell of what no message says, and what the stack wants of them.

use super::Stack;
use crate::sip::core::Owner;
use crate::sip::flow::Flow;
use crate::sip::leg::event::{Declined, Event, LegId};
use crate::sip::outbox::Transmit;
use crate::sip::pace::Gap;
use crate::sip::question::{Answer, Question};
use crate::sip::shares::Asker;
use crate::sip::timing::{Now, Time};
use crate::sip::transaction::{ClientId, OTHER, slab_id};
use std::net::SocketAddr;

// What has happened.
impl Stack {
    /// The network could not send transmit `id` (ICMP unreachable, connect failure, full queue): the client
    /// transaction fails with a local 503.
    pub fn handle_send_failed(&mut self, now: Now, id: u64) {
        if id & OTHER != 0 {
            self.with_leg(now.mono, slab_id(id).into(), |leg, io| leg.ack_failed(io));
        }
        self.core.table.send_failed(id, &mut self.core.outbox);
        self.drain_transactions(now.mono);
    }

    /// A stream died: requests in flight on it are sent again over a new one to where their dialog says. A REFER is not, nor
    /// what would go by another transport: those fail as above.
    pub fn handle_flow_closed(&mut self, now: Now, connection: u64, peer: SocketAddr) {
        self.drop_connection(now.mono, connection);
        let legs = &self.legs;
        let other = |client: ClientId, owner: Owner, before: Flow, again: bool| {
            legs.get(owner?.into())?.other_flow(client, before, again)
        };
        self.core.table.reroute(now.mono, (connection, Some(peer)), &mut self.core.outbox, other);
        self.drain_transactions(now.mono);
    }

    /// Nobody is at the other end of that flow: the host has said so (ICMP port unreachable). For new calls that have heard
    /// nothing it is the end of that try, and for nothing else anything: whoever can forge it must not end a call.
    pub fn handle_refused(&mut self, now: Now, flow: Flow) {
        for (client, owner) in self.core.table.calling_by(flow) {
            if let Some(leg) = owner {
                self.with_leg(now.mono, leg, |leg, io| leg.try_refused(io, client));
            }
        }
        self.drain_transactions(now.mono);
    }

    /// Transmit `id`, which asked to be told ([`Transmit::told`]), was written to its connection, or
    /// cannot be taken back any more.
    pub fn handle_sent(&mut self, now: Now, id: u64) {
        if id & OTHER != 0 {
            self.with_leg(now.mono, slab_id(id).into(), |leg, io| leg.ack_left(io));
        } else if let Some((client, Some(leg))) = self.core.table.sent(id) {
            self.with_leg(now.mono, leg, |leg, io| leg.request_left(io, client));
        }
        self.drain_transactions(now.mono);
    }

    /// The answer to a question of that leg's ([`Stack::poll_question`]). Of the flows only the address counts: port and
    /// transport stand in the dialog's URI.
    pub fn handle_answer(&mut self, now: Now, leg: LegId, answer: Answer<'_>) {
        let Answer::Located(flows) = answer;
        self.with_leg(now.mono, leg, |leg, io| leg.located(io, flows.first().copied()));
    }

    /// The process stood still, and nothing that arrived meanwhile was handed in yet. Copies of requests and responses, the 18x
    /// that is said again, and refreshes of sessions that are ours go by true time: what is overdue of them goes out once,
    /// with the next [`Stack::handle_tick`], unless what arrived has settled it. Everything else judges a peer and is left as it is.
    pub fn handle_standstill(&mut self, now: Now, gap: Gap) {
        self.core.table.catch_up(now.mono, gap);
        for id in self.legs.ids() {
            self.with_leg(now.mono, id.into(), |leg, io| leg.catch_up(io.now, gap));
        }
    }

    /// Serves at most `max` due deadlines; true if more are due.
    pub fn handle_tick(&mut self, now: Now, max: usize) -> bool {
        let mut served = self.core.table.tick(now.mono, max, &mut self.core.outbox);
        self.drain_transactions(now.mono);
        while served < max {
            let Some((at, id)) = self.deadlines.pop_due(now.mono) else { break };
            served += 1;
            if self.legs.get_mut(id.into()).is_some_and(|leg| leg.disarm(at)) {
                self.with_leg(now.mono, id, |leg, io| leg.on_due(io));
            }
        }
        self.drain_transactions(now.mono);
        self.deadline().is_some_and(|at| at <= now.mono)
    }

    /// A stream died: legs that used it go where their dialog says.
    fn drop_connection(&mut self, now: Time, connection: u64) {
        let used = self.legs.iter().filter(|(_, leg)| leg.uses(connection));
        let legs: Vec<LegId> = used.map(|(id, _)| id.into()).collect();
        for id in legs {
            self.with_leg(now, id, |leg, io| leg.drop_connection(io, connection));
        }
    }
}

// What is wanted.
impl Stack {
    /// What no message caused: timeouts, transport faults.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// The challenge that the message at hand brought and that was left without an answer, though there is a password.
    pub fn take_declined(&mut self) -> Option<(LegId, Declined)> {
        self.core.declined.take()
    }

    /// What is to be sent, oldest first.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.core.outbox.poll()
    }

    /// What [`Stack::poll_transmit`] gives next.
    pub fn next_transmit(&self) -> Option<Transmit<'_>> {
        self.core.outbox.peek()
    }

    /// Transmits that are to be taken back if they have not left: each is answered by [`Stack::handle_send_failed`] if it
    /// never will, else by [`Stack::handle_sent`]. None before all is polled that is to be sent.
    pub fn poll_recall(&mut self) -> Option<u64> {
        if self.core.outbox.is_empty() { self.core.recalls.pop_front() } else { None }
    }

    /// What a leg asks of the outside, to be answered by [`Stack::handle_answer`].
    pub fn poll_question(&mut self) -> Option<(LegId, Question)> {
        self.core.questions.pop_front()
    }

    /// A leg that is gone, and waits for no answer any more.
    pub fn poll_withdrawn(&mut self) -> Option<LegId> {
        self.core.withdrawn.pop_front()
    }

    /// For whom a question of that leg is.
    pub fn asker(&self, leg: LegId) -> Asker {
        Asker { party: self.party(leg), of: self.core.settings.parties.len(), in_dialog: true }
    }
}
