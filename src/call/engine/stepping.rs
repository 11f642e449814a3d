//! How calls begin, are stepped and end.

use super::Engine;
use crate::call::admission::{self, Load};
use crate::call::context::Context;
use crate::call::durations::DEADLINE_HORIZON;
use crate::call::end_reason::EndReason;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::ids::CallKey;
use crate::call::ids::{CallId, SipCallId};
use crate::call::live::Call;
use crate::call::phase::setup::Setup;
use crate::call::phase::{CallInput, Phase};
use crate::call::ticket::Waiter;
use crate::call::view;
use crate::sip::ident::slot;
use crate::sip::{Content, Flow, Gap, LegId, Time, identity};
use crate::wire::Message;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is told of an INVITE that carries Replaces.
const NOT_REPLACED: &str = "Replaces: it names a dialog to be taken over, which Baton does not do, and does not require that; the INVITE is a new call";

impl Engine {
    /// How full it is, over all shards.
    pub(super) fn load(&self) -> Load {
        Load { calls: self.agents.calls(), max_calls: self.max_calls, draining: self.draining.is_some() }
    }

    pub(super) fn incoming(&mut self, leg: LegId, flow: Flow, invite: &Message<'_>) {
        let admitted = match admission::admit(&self.tables, self.load(), flow, invite) {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse(leg, invite, &refused),
        };
        let slot = slot(&self.slot_key, invite.call_id());
        let id = CallId::from(&*self.ident.call_id(slot));
        let (trunk, agent) = (&admitted.trunk, &admitted.agent);
        if let Err(calls) = self.agents.take_call(self.max_calls) {
            // Another shard has taken the last one just now.
            return self.refuse(leg, invite, &admission::overload(trunk, calls));
        }
        let full = !self.agents.take(&agent.id, agent.max_calls);
        let home = trunk.auth.is_some() && self.tables.topology.is_home(&trunk.id, flow.peer.ip());
        self.stack.belongs_to(leg, self.roster.trunk(trunk), home);
        self.stack.reach(leg, trunk.reach, flow);
        let mut facts = Facts::new(self.now, (id.clone(), slot), admitted, invite);
        facts.holds_agent = !full;
        self.warn_of_refers(&facts);
        self.last_key += 1;
        let key = CallKey(self.last_key);
        let call = Call {
            facts,
            phase: Phase::Over { why: EndReason::Fault },
            until: Some(self.now.mono + self.max_duration),
            until_why: EndReason::TooLong,
            leave: None,
            armed: None,
            why: EndReason::Fault,
        };
        self.calls.insert(key, Some(Box::new(call)));
        self.by_id.insert(id, key);
        self.counters.calls_started += 1;
        self.with_call(key, |call, cx| {
            call.facts.own_caller(cx, leg);
            let first = cx.queue.len();
            call.advance(cx, |_, facts, cx| {
                if full {
                    Setup::begin_without_agent(cx, facts, leg, invite)
                } else {
                    Setup::begin(cx, facts, leg, invite)
                }
            });
            if identity::wants_to_replace(invite) {
                let (call, what) = (call.facts.id.clone(), NOT_REPLACED.to_owned());
                cx.tell_at(first, EventKind::Ignored { call, what });
            }
            // Told as it stands now, but before what has become of it already.
            cx.tell_at(
                first,
                EventKind::CallStarted(Box::new(view::call(&call.phase, &call.facts, cx.stack))),
            );
        });
    }

    fn refuse(&mut self, leg: LegId, invite: &Message<'_>, refused: &admission::Refused) {
        self.counters.calls_refused[refused.kind.index()] += 1;
        self.refusals.count(self.now.mono);
        // Spread, so that those who were turned away do not come back together.
        let seconds = 5 + self.ident.millis_below(6);
        let fields = [identity::retry_after_field(seconds)];
        let fields = if refused.retry_after { &fields[..] } else { &[] };
        let _ = self.stack.reject(self.now, leg, refused.status, Content { fields, ..Content::default() });
        self.stack.release(self.now, leg);
        self.tell(EventKind::CallRefused {
            sip_call_id: SipCallId::of(invite.call_id()),
            trunk: refused.trunk.to_string(),
            status: refused.status,
            reason: refused.why.clone(),
            count: 1,
        });
    }

    pub(super) fn step(&mut self, key: CallKey, input: CallInput<'_>) {
        self.with_call(key, |call, cx| call.step(cx, input));
    }

    /// Takes a call out of its map, steps it and puts it back. A panic costs this call.
    pub(super) fn with_call<R>(
        &mut self,
        key: CallKey,
        f: impl FnOnce(&mut Call, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let mut call = self.calls.get_mut(&key)?.take()?;
        let mut cx = self.context(key);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let result = f(&mut call, &mut cx);
            if call.is_over() {
                call.conclude(&mut cx);
            }
            result
        }));
        let result = match stepped {
            Ok(result) => result,
            Err(panic) => {
                self.purge(key, &call, &*panic);
                return None;
            }
        };
        if call.is_over() {
            self.forget(key, &call);
        } else {
            self.arm(key, &mut call);
            if let Some(place) = self.calls.get_mut(&key) {
                *place = Some(call);
            }
        }
        Some(result)
    }

    /// What one step may touch.
    pub(super) fn context(&mut self, call: CallKey) -> Context<'_> {
        Context {
            now: self.now,
            call,
            stack: &mut self.stack,
            tables: &self.tables,
            listeners: &self.listeners,
            roster: &self.roster,
            ident: &mut self.ident,
            counters: &mut self.counters,
            legs: &mut self.legs,
            tickets: &mut self.tickets,
            agents: &mut self.agents,
            handoffs: &mut self.by_handoff,
            queue: &mut self.queue,
        }
    }

    fn arm(&mut self, key: CallKey, call: &mut Call) {
        let horizon = self.now.mono + DEADLINE_HORIZON;
        let at = call.deadline().map_or(horizon, |at| at.min(horizon));
        if call.armed.is_none_or(|armed| at < armed) {
            call.armed = Some(self.deadlines.arm(self.now.mono, at.since(self.now.mono), key));
        }
    }

    /// The process stood still: what goes by true time is due sooner by as much.
    pub(super) fn catch_up(&mut self, gap: Gap) {
        self.stack.handle_standstill(self.now, gap);
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            self.with_call(key, |call, cx| call.catch_up(cx.now.mono, gap));
        }
    }

    /// The call is over and told: nothing of it stays.
    fn forget(&mut self, key: CallKey, call: &Call) {
        self.agents.free_call();
        self.calls.remove(&key);
        self.by_id.remove(&call.facts.id);
        self.tickets.forget(Waiter::Call(key));
        for handoff in &call.facts.handoffs {
            self.by_handoff.remove(&*handoff.id);
        }
        if call.facts.holds_agent {
            self.agents.free(&call.facts.agent.id);
        }
    }

    /// A fault of ours cost this call: its legs get what can still be said, and its ids are taken out everywhere.
    fn purge(&mut self, key: CallKey, call: &Call, panic: &(dyn Any + Send)) {
        self.counters.calls_ended += 1;
        self.purge_legs(key);
        self.by_handoff.retain(|_, owner| *owner != key);
        self.forget(key, call);
        self.tell_fault(&call.facts.id, panic);
    }

    pub(super) fn tell_fault(&mut self, call: &CallId, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        self.counters.faults += 1;
        self.tell(EventKind::Fault { call: call.clone(), message });
    }

    /// Its legs get what can still be said.
    pub(super) fn purge_legs(&mut self, key: CallKey) {
        for leg in self.legs.of_call(key) {
            let fields = [identity::reason(500, "Internal fault")];
            let content = Content { fields: &fields, ..Content::default() };
            let (stack, now) = (&mut self.stack, self.now);
            // If the fault is in the stack itself, the leg is left to its timers.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                stack.close(now, leg, 500, content);
                stack.release(now, leg);
            }));
            self.legs.remove(leg);
        }
        self.tickets.forget(Waiter::Call(key));
        self.tickets.forget(Waiter::TestCall(key));
    }

    /// From now on no new calls; what lives at `by` is closed.
    pub(super) fn drain(&mut self, by: Time) {
        self.draining = Some(by);
        self.stack.set_draining(Some(5 + self.ident.millis_below(6)));
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            self.with_call(key, |call, cx| call.drain(cx.now.mono, by));
        }
        for key in self.test_calls.keys() {
            self.step_test_call(key, CallInput::HangUp { why: EndReason::Draining });
        }
    }
}
