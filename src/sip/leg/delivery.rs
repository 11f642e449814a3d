//! Whether what we send leaves at all: requests that are given up, ACKs that have left, and the flow that serves where
//! the peer's Contact cannot be reached (RFC 5923).
//!
//! By UDP a message has left as soon as it was handed over. By a stream it may wait for its connection; then the network
//! tells when it has left ([`crate::sip::Stack::handle_sent`]), and gives it back until then if it is asked to
//! ([`crate::sip::Stack::poll_recall`]). Not here: what follows from it; that is the layer above's.

use super::Leg;
use super::event::{Event, Origin, SentId};
use super::pending::{Accepted, Acknowledged, Heard, Kind, PendingUac, Transit};
use super::reach::Advice;
use super::write::{Again, rewrite};
use crate::sip::core::Io;
use crate::sip::durations::{NO_STREAM, STREAM_OPENS};
use crate::sip::flow::Flow;
use crate::sip::timing::Time;
use crate::sip::transaction::{ClientId, GivenUp};
use crate::wire::{Framing, Method, identify};

// Requests that are given up.
impl Leg {
    /// What [`crate::sip::Stack::give_up`] does.
    pub(crate) fn give_up(&mut self, io: &mut Io<'_>, sent: SentId) -> GivenUp {
        if let Some(subscription) = self.subscriptions.iter_mut().find(|one| one.refer == sent) {
            subscription.give_up();
        }
        let Some(found) = self.sent.iter_mut().find(|one| one.id == sent) else { return GivenUp::Over };
        let again = std::mem::replace(&mut found.given_up, true);
        (found.request, found.fallback) = (None, None);
        let given_up = io.core.table.give_up(io.now, found.client);
        if let Some(id) = io.core.table.transmit_id(found.client) {
            // A copy that fell due in the same moment.
            io.core.outbox.drop_datagrams(id);
        }
        if given_up == GivenUp::Waits && !again {
            io.core.recalls.extend(io.core.table.transmit_id(found.client));
        }
        given_up
    }

    /// The leg ends: no REFER is to arrive after its BYE.
    pub(super) fn give_up_refers(&mut self, io: &mut Io<'_>) {
        let open = |sent: &&PendingUac| matches!(sent.kind, Kind::Refer) && !sent.given_up;
        let open: smallvec::SmallVec<[SentId; 1]> =
            self.sent.iter().filter(open).map(|sent| sent.id).collect();
        for sent in open {
            self.give_up(io, sent);
        }
    }

    /// Whether a NOTIFY of that REFER can still be told: nothing has refused it, and its subscription goes on.
    pub(crate) fn is_subscribed(&self, refer: SentId) -> bool {
        self.subscriptions.iter().any(|one| one.refer == refer)
    }
}

// What the network tells.
impl Leg {
    /// A request that asked to be told has left.
    pub(crate) fn request_left(&mut self, io: &mut Io<'_>, client: ClientId) {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.client == client) else { return };
        // From now on its peer may be silent.
        sent.transit.left.get_or_insert(io.now);
        if sent.given_up {
            let sent = sent.id;
            self.tell(io, Event::Left { leg: io.id, sent });
        }
    }

    /// The flow by which a request of ours is sent once more whose stream has died; `again`: not for the first time.
    pub(crate) fn other_flow(&self, client: ClientId, before: Flow, again: bool) -> Option<Flow> {
        let sent = self.sent.iter().find(|sent| sent.client == client)?;
        if let Kind::Invite { heard, .. } = sent.kind {
            // It may have been closing already; a second time nobody is there.
            let once = heard == Heard::Response || !again;
            let wanted = heard != Heard::Unwanted && sent.fallback.is_none();
            return (once && wanted).then_some(Flow { connection: 0, ..before });
        }
        let may = !matches!(sent.kind, Kind::Refer) && sent.branch.is_none();
        let same = (self.flow.transport, self.flow.listener) == (before.transport, before.listener);
        (may && same).then_some(self.flow)
    }

    /// When a request is due that waits for a connection which it could do without.
    pub(super) fn opens_by(&self) -> Option<Time> {
        self.sent.iter().filter_map(PendingUac::opens_by).min()
    }

    /// A deadline may be due: what waits for a connection only for its size is taken back, and goes by UDP.
    pub(super) fn opens_due(&mut self, io: &mut Io<'_>) {
        let mut late = false;
        for sent in self.sent.iter_mut().filter(|sent| sent.opens_by().is_some_and(|at| at <= io.now)) {
            sent.transit.recalled = true;
            io.core.recalls.extend(io.core.table.transmit_id(sent.client));
            io.core.quarantine.put(io.now, &sent.transit.flow, NO_STREAM);
            late = true;
        }
        if late {
            self.tell(io, Event::Advice { leg: io.id, advice: Advice::NoStream });
        }
    }

    /// A request of ours inside a leg could not be sent.
    pub(super) fn tell_undelivered(&mut self, io: &mut Io<'_>, sent: &PendingUac, status: u16) {
        // What only went by a stream for its size goes by UDP; a new call has its other addresses; what was taken back was
        // not to be delivered.
        if status != 503 || sent.fallback.is_some() || sent.kind.is_invite() || sent.given_up {
            return;
        }
        let again = self.source().is_some() && !sent.by_source;
        let to = self.flow;
        self.tell(io, Event::Undelivered { leg: io.id, method: sent.kind.method(), to, again });
    }
}

// The ACK of a 2xx.
impl Leg {
    /// Whether each 2xx to an INVITE of ours in this leg has its ACK, and the ACK has left.
    pub(crate) fn is_acknowledged(&self) -> bool {
        let done = |sent: &PendingUac| sent.accepted().is_none_or(Accepted::is_acknowledged);
        self.sent.iter().all(done)
    }

    /// An ACK of this leg has left, and so have all before it.
    pub(crate) fn ack_left(&mut self, io: &mut Io<'_>) {
        let mut left: smallvec::SmallVec<[SentId; 1]> = smallvec::SmallVec::new();
        for sent in &mut self.sent {
            let name = sent.id;
            if let Some(accepted) = sent.accepted_mut().filter(|accepted| accepted.ack.is_some())
                && accepted.acknowledged != Acknowledged::Sent
            {
                accepted.acknowledged = Acknowledged::Sent;
                left.push(name);
            }
        }
        for sent in left {
            self.tell(io, Event::Left { leg: io.id, sent });
        }
    }

    /// An ACK could not be sent: once more by the flow that the peer itself has used. Where there is none, a further copy
    /// of the 2xx asks for it again, or another stream in place of one that has died; but a stream that cannot be opened
    /// means that the peer of a new call cannot be reached.
    pub(crate) fn ack_failed(&mut self, io: &mut Io<'_>) {
        let open =
            |sent: &PendingUac| !sent.is_unwanted() && sent.accepted().is_some_and(Accepted::may_have_failed);
        let Some(place) = self.sent.iter().rposition(open) else { return };
        let by = self.sent[place].accepted().and_then(|accepted| accepted.ack.as_ref());
        let to = by.map_or(self.flow, |(flow, _)| *flow);
        let again = self.acknowledge_by_source(io, place);
        let sent = &mut self.sent[place];
        let first = sent.kind.is_invite();
        if let Some(accepted) = sent.accepted_mut().filter(|_| !again) {
            accepted.acknowledged = Acknowledged::Failed;
        }
        self.tell(io, Event::Undelivered { leg: io.id, method: Method::Ack, to, again });
        if !again && first && to.transport.is_reliable() && to.connection == 0 {
            self.lose(io, (503, Origin::Local));
        }
    }

    /// The 2xx at `place` came once more: its ACK is sent again, or at last.
    pub(super) fn acknowledge_again(&mut self, io: &mut Io<'_>, place: usize) {
        let (current, source) = (self.flow, self.source());
        let Some(sent) = self.sent.get_mut(place) else { return };
        let name = sent.id;
        // A stream may have died with the first one; then the leg has another by now.
        let other = sent.is_unwanted();
        let Some(accepted) = sent.accepted_mut() else { return };
        let Some((flow, ack)) = &accepted.ack else { return };
        let streams = flow.transport.is_reliable() && flow.transport == current.transport && !other;
        let to = if streams { current } else { *flow };
        let before = accepted.acknowledged;
        match before {
            Acknowledged::Sent => io.core.outbox.copy(0, to, ack),
            Acknowledged::Failed => {
                io.core.outbox.copy(io.ack_id(to), to, ack);
                accepted.acknowledged = Acknowledged::on(to);
                if let Some((flow, _)) = &mut accepted.ack {
                    *flow = to;
                }
            }
            // It waits for a connection while the peer asks for it by one that stands.
            Acknowledged::Waiting => {
                let stands = |one: &Flow| one.connection != 0 && one.connection != flow.connection;
                let Some(to) = [Some(current), source].into_iter().flatten().find(stands) else { return };
                io.core.outbox.copy(0, to, ack);
                (accepted.acknowledged, self.flow) = (Acknowledged::Sent, to);
            }
        }
        if before != Acknowledged::Sent && accepted.acknowledged == Acknowledged::Sent {
            self.tell(io, Event::Left { leg: io.id, sent: name });
        }
    }

    /// A stream of the leg has died, and the leg has another flow by now: for the ACKs that were lost with it.
    pub(super) fn acknowledge_failed(&mut self, io: &mut Io<'_>) {
        let failed = |sent: &PendingUac| {
            sent.accepted().is_some_and(|accepted| accepted.acknowledged == Acknowledged::Failed)
        };
        if let Some(place) = self.sent.iter().rposition(failed) {
            self.acknowledge_again(io, place);
        }
    }

    /// Sends the ACK of the 2xx at `place` by the flow that the peer itself has used. False: there is no other, or it went
    /// by that already.
    fn acknowledge_by_source(&mut self, io: &mut Io<'_>, place: usize) -> bool {
        let branch = io.core.ident.branch();
        let Some(source) = self.source() else { return false };
        let Some(sent) = self.sent.get_mut(place) else { return false };
        let cseq = sent.cseq;
        let accepted = sent.accepted_mut().filter(|accepted| !accepted.by_source);
        let Some(accepted) = accepted else { return false };
        let Some((_, ack)) = &accepted.ack else { return false };
        let Ok(message) = identify(ack, &mut io.core.index, Framing::Datagram) else { return false };
        self.flow = source;
        let again = Again { branch, cseq, via: source, contact: source, changes: &[] };
        rewrite(&mut io.core.scratch, &message, &io.core.settings.listeners, &again);
        io.core.outbox.copy(io.ack_id(source), source, &io.core.scratch);
        accepted.ack = Some((source, io.core.scratch.as_slice().into()));
        accepted.acknowledged = Acknowledged::on(source);
        accepted.by_source = true;
        true
    }
}

impl Leg {
    /// The flow for a request that could not be sent to where the dialog says.
    pub(super) fn flow_of_source(&mut self, sent: &mut PendingUac) -> Option<Flow> {
        let source = self.source()?;
        if std::mem::replace(&mut sent.by_source, true) {
            return None;
        }
        self.flow = source;
        Some(source)
    }
}

impl PendingUac {
    /// Until when it waits for a connection that it could do without.
    fn opens_by(&self) -> Option<Time> {
        let Transit { begun, left, recalled, .. } = self.transit;
        let waits = self.fallback.is_some() && left.is_none() && !recalled && self.accepted().is_none();
        waits.then(|| begun + STREAM_OPENS)
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
