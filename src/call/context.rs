//! What one step of a call may touch: the stack below, the queue above, and nothing of other calls.

use super::command::Reply;
use super::durations::REPLACED_BYE;
use super::event::{Event, EventKind};
pub(crate) use super::occupancy::{Stay, Taken};
use super::record::{Role, Stamp};
use super::roster::Roster;
use super::ticket::{Ticket, Tickets, Waiter};
use crate::call::counters::Counters;
use crate::call::ids::{CallId, CallKey, HandoffId};
use crate::routing::Tables;
use crate::sip::ident::Ident;
use crate::sip::leg::RequestId;
use crate::sip::{Content, Flow, LegId, Listener, Now, Question, Stack, identity};
use std::collections::VecDeque;
use std::sync::Arc;

/// What waits for `poll`.
#[derive(Debug)]
pub(crate) enum Queued {
    Ask { ticket: Ticket, question: Question },
    Reply { id: u64, reply: Reply },
    Event(Box<Event>),
    Adopted { serial: u64 },
}

/// Which call each leg belongs to, and as what. Dense, beside the stack's slab.
#[derive(Debug, Default)]
pub(crate) struct LegIndex(Vec<Option<(u32, CallKey, Role)>>);

impl LegIndex {
    pub(crate) fn insert(&mut self, leg: LegId, call: CallKey, role: Role) {
        let at = leg.index as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some((leg.generation, call, role));
    }

    pub(crate) fn find(&self, leg: LegId) -> Option<(CallKey, Role)> {
        let (generation, call, role) = (*self.0.get(leg.index as usize)?)?;
        (generation == leg.generation).then_some((call, role))
    }

    pub(crate) fn remove(&mut self, leg: LegId) {
        if self.find(leg).is_some() {
            self.0[leg.index as usize] = None;
        }
    }

    /// Every leg of a call: for the purge after a fault.
    pub(crate) fn of_call(&self, call: CallKey) -> Vec<LegId> {
        let entries = self.0.iter().enumerate();
        entries
            .filter_map(|(index, entry)| {
                let (generation, key, _) = (*entry)?;
                (key == call).then_some(LegId { index: u32::try_from(index).ok()?, generation })
            })
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// How a REFER is refused whose sender may not refer at all.
pub(crate) const NOT_ALLOWED: (u16, &str) =
    (603, "this side may not move its partner: see `refer_from_caller` and `may_transfer`");
/// The same where the sender may, but not now.
pub(crate) const ONE_AT_A_TIME: (u16, &str) = (491, "a handoff or transfer of this call is running already");

/// All that one step of a call may read and change.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) call: CallKey,
    pub(crate) stack: &'a mut Stack,
    pub(crate) tables: &'a Arc<Tables>,
    pub(crate) listeners: &'a [Listener],
    pub(crate) roster: &'a Roster,
    pub(crate) ident: &'a mut Ident,
    pub(crate) counters: &'a mut Counters,
    pub(crate) legs: &'a mut LegIndex,
    pub(crate) tickets: &'a mut Tickets,
    pub(crate) agents: &'a mut Taken,
    /// Whose each handoff is, running or remembered.
    pub(crate) handoffs: &'a mut hashbrown::HashMap<HandoffId, CallKey>,
    pub(crate) queue: &'a mut VecDeque<Queued>,
}

impl Context<'_> {
    /// Tells the outside.
    pub(crate) fn tell(&mut self, what: EventKind) {
        self.tell_at(self.queue.len(), what);
    }

    /// Tells it before what is in the queue from `position` on.
    pub(crate) fn tell_at(&mut self, position: usize, what: EventKind) {
        let at = Stamp(self.now.wall);
        self.queue.insert(position, Queued::Event(Box::new(Event { at, what })));
    }

    /// Asks for the paths to a URI; the answer comes to this call.
    pub(crate) fn locate(&mut self, uri: &str) -> Ticket {
        self.ask(Waiter::Call(self.call), Question::Locate(uri.as_bytes().into()))
    }

    /// Asks something of the outside, for that one.
    pub(crate) fn ask(&mut self, waiter: Waiter, question: Question) -> Ticket {
        let ticket = self.tickets.issue(waiter);
        self.queue.push_back(Queued::Ask { ticket, question });
        ticket
    }

    /// Forgets a leg that is over, or that shall end by itself without a word to this call.
    pub(crate) fn release(&mut self, leg: LegId) {
        self.stack.release(self.now, leg);
        self.legs.remove(leg);
    }

    /// Refuses a request of a peer's. Why stands in a Warning, and so in the line that tells of the status.
    pub(crate) fn refuse(&mut self, request: RequestId, status: u16, why: &str) {
        let fields = [identity::warning(why)];
        let content = Content { fields: &fields, ..Content::default() };
        // Who has withdrawn it waits for no answer.
        let _ = self.stack.respond(self.now, request, status, content);
    }

    /// The same of a REFER, which is told as what a side has asked for in vain.
    pub(crate) fn refuse_refer(
        &mut self,
        call: &CallId,
        (by, request): (Role, RequestId),
        (status, why): (u16, &str),
    ) {
        let what = format!("the {}'s REFER: {why}", by.as_str());
        self.tell(EventKind::Ignored { call: call.clone(), what });
        self.refuse(request, status, why);
    }

    /// The caller's side has told that one of these legs replaces the other: a missing ACK ends neither before it has had the time
    /// to.
    pub(crate) fn leave_to_swap(&mut self, legs: [Option<LegId>; 2]) {
        let until = self.now.mono + REPLACED_BYE;
        legs.into_iter().flatten().for_each(|leg| self.stack.leave_to_peer(self.now, leg, until));
    }

    /// How we are seen by the peer of a flow: `host` or `host:port`.
    pub(crate) fn advertised(&self, flow: Option<Flow>) -> &str {
        let index = flow.map_or(0, |f| usize::from(f.listener));
        self.listeners.get(index).or(self.listeners.first()).map_or("localhost", |l| &l.advertised)
    }
}
