//! Whether what we send leaves at all: requests that are given up, ACKs that have left, and the flow that serves where
//! the peer's Contact cannot be reached (RFC 5923).
//!
//! By UDP a message has left as soon as it was handed over. By a stream it may wait for its connection; then the network
//! tells when it has left ([`Stack::handle_sent`]), and gives it back until then if it is asked to
//! ([`Stack::poll_recall`]). Not here: what follows from it; that is the layer above's.

use super::send::{Again, rewrite};
use super::usage::{Accepted, Acknowledged, Kind, Leg, PendingUac};
use super::{Event, LegId, Origin, SentId};
use crate::sip::flow::Flow;
use crate::sip::slab::SlabId;
use crate::sip::stack::Stack;
use crate::sip::timing::{Now, Time};
use crate::sip::transaction::{GivenUp, OTHER, TOLD, slab_id, transmit_id};
use crate::wire::{Framing, Method, identify};

// Requests that are given up.
impl Stack {
    /// A request that cannot be cancelled (a REFER, RFC 3261 §9.1) is not wanted any more. Nothing of it is sent from now
    /// on: no copy, no answer to a challenge, nothing by another flow. Its transaction and its subscription stay, so that
    /// what comes late is heard. [`GivenUp::Waits`]: it is taken back, and either its [`Event::Response`] tells so by a
    /// local 503, or it had left just then, which [`Event::Left`] tells.
    pub fn give_up(&mut self, now: Now, leg: LegId, sent: SentId) -> GivenUp {
        let Some(leg) = self.legs.get_mut(leg.into()) else { return GivenUp::Over };
        if let Some(subscription) = leg.subscriptions.iter_mut().find(|one| one.refer == sent) {
            subscription.give_up();
        }
        let Some(found) = leg.sent.iter_mut().find(|one| one.id == sent) else { return GivenUp::Over };
        let again = std::mem::replace(&mut found.given_up, true);
        (found.request, found.fallback) = (None, None);
        let given_up = self.table.give_up(now.mono, found.client);
        if let Some(id) = self.table.transmit_id(found.client) {
            // A copy that fell due in the same moment.
            self.outbox.drop_datagrams(id);
        }
        if given_up == GivenUp::Waits && !again {
            self.recalls.extend(self.table.transmit_id(found.client));
        }
        given_up
    }

    /// The leg ends: no REFER is to arrive after its BYE.
    pub(crate) fn give_up_refers(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get(id.into()) else { return };
        let open = |sent: &&PendingUac| sent.kind == Kind::Refer && !sent.given_up;
        let open: smallvec::SmallVec<[SentId; 1]> =
            leg.sent.iter().filter(open).map(|sent| sent.id).collect();
        for sent in open {
            self.give_up(Now { mono: now, ..Now::default() }, id, sent);
        }
    }

    /// Whether a NOTIFY of that REFER can still be told: nothing has refused it, and its subscription goes on.
    pub fn is_subscribed(&self, leg: LegId, refer: SentId) -> bool {
        let leg = self.legs.get(leg.into());
        leg.is_some_and(|leg| leg.subscriptions.iter().any(|one| one.refer == refer))
    }
}

// What the network tells.
impl Stack {
    /// Transmit `id`, which asked to be told ([`super::super::outbox::Transmit::told`]), was written to its connection, or
    /// cannot be taken back any more.
    pub fn handle_sent(&mut self, now: Now, id: u64) {
        if id & OTHER != 0 {
            self.ack_left(slab_id(id).into());
        } else if let Some((client, Some(leg))) = self.table.sent(id) {
            self.try_left(now.mono, leg, client);
            let sent = self.legs.get(leg.into()).map(|leg| leg.sent.as_slice()).unwrap_or_default();
            let given_up = sent.iter().find(|sent| sent.client == client && sent.given_up);
            if let Some(sent) = given_up.map(|sent| sent.id) {
                self.tell(leg, Event::Left { leg, sent });
            }
        }
        self.drain_transactions(now.mono);
    }

    /// A request of ours inside a leg could not be sent.
    pub(crate) fn tell_undelivered(&mut self, id: LegId, sent: &PendingUac, status: u16) {
        let Some(leg) = self.legs.get(id.into()) else { return };
        // What only went by a stream for its size goes by UDP; a new call has its other addresses; what was taken back was
        // not to be delivered.
        if status != 503 || sent.fallback.is_some() || sent.kind == Kind::Invite || sent.given_up {
            return;
        }
        let again = leg.source().is_some() && !sent.by_source;
        let to = leg.flow;
        self.tell(id, Event::Undelivered { leg: id, method: sent.kind.method(), to, again });
    }

    /// Transmits that are to be taken back if they have not left: each is answered by [`Stack::handle_send_failed`] if it
    /// never will, else by [`Stack::handle_sent`]. None before all is polled that is to be sent.
    pub fn poll_recall(&mut self) -> Option<u64> {
        if self.outbox.is_empty() { self.recalls.pop_front() } else { None }
    }
}

// The ACK of a 2xx.
impl Stack {
    /// Whether each 2xx to an INVITE of ours in this leg has its ACK, and the ACK has left.
    pub fn is_acknowledged(&self, leg: LegId) -> bool {
        let done = |sent: &PendingUac| sent.accepted.as_deref().is_none_or(Accepted::is_acknowledged);
        self.legs.get(leg.into()).is_none_or(|leg| leg.sent.iter().all(done))
    }

    /// The id of an ACK by that flow: what it is told by.
    pub(crate) fn ack_id(id: LegId, flow: Flow) -> u64 {
        let told = if flow.transport.is_reliable() { TOLD } else { 0 };
        transmit_id(OTHER, SlabId::from(id)) | told
    }

    fn ack_left(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let mut left: smallvec::SmallVec<[SentId; 1]> = smallvec::SmallVec::new();
        for sent in &mut leg.sent {
            let name = sent.id;
            if let Some(accepted) = sent.accepted.as_mut().filter(|accepted| accepted.ack.is_some())
                && accepted.acknowledged != Acknowledged::Sent
            {
                accepted.acknowledged = Acknowledged::Sent;
                left.push(name);
            }
        }
        for sent in left {
            self.tell(id, Event::Left { leg: id, sent });
        }
    }

    /// An ACK could not be sent: once more by the flow that the peer itself has used. Where there is none, a further copy
    /// of the 2xx asks for it again, or another stream in place of one that has died; but a stream that cannot be opened
    /// means that the peer of a new call cannot be reached.
    pub(crate) fn ack_failed(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let open = |sent: &PendingUac| {
            !sent.attempt.is_unwanted() && sent.accepted.as_deref().is_some_and(Accepted::may_have_failed)
        };
        let Some(place) = leg.sent.iter().rposition(open) else { return };
        let by = leg.sent[place].accepted.as_deref().and_then(|accepted| accepted.ack.as_ref());
        let to = by.map_or(leg.flow, |(flow, _)| *flow);
        let again = self.acknowledge_by_source(id, place);
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let sent = &mut leg.sent[place];
        let first = sent.kind == Kind::Invite;
        if let Some(accepted) = sent.accepted.as_mut().filter(|_| !again) {
            accepted.acknowledged = Acknowledged::Failed;
        }
        self.tell(id, Event::Undelivered { leg: id, method: Method::Ack, to, again });
        if !again && first && to.transport.is_reliable() && to.connection == 0 {
            self.lose(id, (503, Origin::Local));
        }
        self.settle(now, id);
    }

    /// The 2xx at `place` came once more: its ACK is sent again, or at last.
    pub(crate) fn acknowledge_again(&mut self, id: LegId, place: usize) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let (current, source) = (leg.flow, leg.source());
        let Some(sent) = leg.sent.get_mut(place) else { return };
        let name = sent.id;
        let Some(accepted) = &mut sent.accepted else { return };
        let Some((flow, ack)) = &accepted.ack else { return };
        // A stream may have died with the first one; then the leg has another by now.
        let other = sent.attempt.is_unwanted();
        let streams = flow.transport.is_reliable() && flow.transport == current.transport && !other;
        let to = if streams { current } else { *flow };
        let before = accepted.acknowledged;
        match before {
            Acknowledged::Sent => self.outbox.copy(0, to, ack),
            Acknowledged::Failed => {
                self.outbox.copy(Stack::ack_id(id, to), to, ack);
                accepted.acknowledged = Acknowledged::on(to);
                if let Some((flow, _)) = &mut accepted.ack {
                    *flow = to;
                }
            }
            // It waits for a connection while the peer asks for it by one that stands.
            Acknowledged::Waiting => {
                let stands = |one: &Flow| one.connection != 0 && one.connection != flow.connection;
                let Some(to) = [Some(current), source].into_iter().flatten().find(stands) else { return };
                self.outbox.copy(0, to, ack);
                (accepted.acknowledged, leg.flow) = (Acknowledged::Sent, to);
            }
        }
        if before != Acknowledged::Sent && accepted.acknowledged == Acknowledged::Sent {
            self.tell(id, Event::Left { leg: id, sent: name });
        }
    }

    /// A stream of the leg has died, and the leg has another flow by now: for the ACKs that were lost with it.
    pub(crate) fn acknowledge_failed(&mut self, id: LegId) {
        let failed = |sent: &PendingUac| {
            sent.accepted.as_deref().is_some_and(|accepted| accepted.acknowledged == Acknowledged::Failed)
        };
        let Some(leg) = self.legs.get(id.into()) else { return };
        if let Some(place) = leg.sent.iter().rposition(failed) {
            self.acknowledge_again(id, place);
        }
    }

    /// Sends the ACK of the 2xx at `place` by the flow that the peer itself has used. False: there is no other, or it went
    /// by that already.
    pub(crate) fn acknowledge_by_source(&mut self, id: LegId, place: usize) -> bool {
        let branch = self.ident.branch();
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let Some(source) = leg.source() else { return false };
        let Some(sent) = leg.sent.get_mut(place) else { return false };
        let cseq = sent.cseq;
        let accepted = sent.accepted.as_mut().filter(|accepted| !accepted.by_source);
        let Some(accepted) = accepted else { return false };
        let Some((_, ack)) = &accepted.ack else { return false };
        let Ok(message) = identify(ack, &mut self.index, Framing::Datagram) else { return false };
        leg.flow = source;
        let again = Again { branch, cseq, via: source, contact: source, changes: &[] };
        rewrite(&mut self.scratch, &message, &self.settings.listeners, &again);
        self.outbox.copy(Stack::ack_id(id, source), source, &self.scratch);
        accepted.ack = Some((source, self.scratch.as_slice().into()));
        accepted.acknowledged = Acknowledged::on(source);
        accepted.by_source = true;
        true
    }
}

impl Leg {
    /// Requests go to that flow from now on, because the dialog says so. What the peer itself has used stays known, where
    /// the two differ.
    pub(crate) fn aim_at(&mut self, flow: Flow) {
        let before = self.flow;
        let apart = before.peer.ip().to_canonical() != flow.peer.ip().to_canonical();
        // A stream that is gone leads nowhere.
        let serves = if before.transport.is_reliable() { before.connection != 0 } else { apart };
        if self.source().is_none() && serves && before != flow {
            self.aside.get_or_insert_default().source = Some(before);
        }
        self.flow = flow;
        if apart {
            self.note_address(before.peer.ip());
        }
    }

    /// The flow for a request that could not be sent to where the dialog says.
    pub(crate) fn flow_of_source(&mut self, sent: &mut PendingUac) -> Option<Flow> {
        let source = self.source()?;
        if std::mem::replace(&mut sent.by_source, true) {
            return None;
        }
        self.flow = source;
        Some(source)
    }
}

impl Accepted {
    /// Whether what the network could not send may be its ACK. By a stream one that was told to have left has left; by UDP
    /// only a failure is told, and at once.
    fn may_have_failed(&self) -> bool {
        match (&self.ack, self.acknowledged) {
            (None, _) | (Some(_), Acknowledged::Failed) => false,
            (Some(_), Acknowledged::Waiting) => true,
            (Some((flow, _)), Acknowledged::Sent) => !flow.transport.is_reliable(),
        }
    }

    /// Whether its ACK has left.
    fn is_acknowledged(&self) -> bool {
        self.ack.is_some() && self.acknowledged == Acknowledged::Sent
    }
}

impl Acknowledged {
    /// Of an ACK that was just handed over to be sent by that flow.
    pub(crate) fn on(flow: Flow) -> Acknowledged {
        if flow.transport.is_reliable() { Acknowledged::Waiting } else { Acknowledged::Sent }
    }
}

impl Kind {
    /// Its method.
    pub(crate) fn method(self) -> Method {
        match self {
            Kind::Invite | Kind::Modify => Method::Invite,
            Kind::Update => Method::Update,
            Kind::Info => Method::Info,
            Kind::Refer => Method::Refer,
            Kind::Notify(_) => Method::Notify,
            Kind::Probe | Kind::KeepAlive | Kind::Check => Method::Options,
            Kind::Prack => Method::Prack,
            Kind::Bye => Method::Bye,
        }
    }
}
