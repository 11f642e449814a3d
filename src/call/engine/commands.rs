//! What is asked from outside. Every command is answered at once.

use super::Engine;
use crate::call::command::{Command, Refusal, Reply};
use crate::call::end_reason::EndReason;
use crate::call::ids::CallKey;
use crate::call::phase::CallInput;
use crate::call::record::CallView;
use crate::call::view;
use std::ops::Bound;

/// The longest page.
const PAGE: usize = 100;

impl Engine {
    /// None: the reply comes later.
    pub(super) fn command(&mut self, id: u64, command: Command) -> Option<Reply> {
        if let Command::Test { environment, destination, request } = command {
            return self
                .begin_test_call(id, (&environment, &destination), *request)
                .err()
                .map(Reply::Refused);
        }
        Some(self.carry_out(command).unwrap_or_else(Reply::Refused))
    }

    fn carry_out(&mut self, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::Handoff { call, request } => {
                let key = self.find_call(&call)?;
                let started = self.with_call(key, |call, cx| call.handoff(cx, *request));
                Ok(Reply::Handoff(started.ok_or(Refusal::NoCall(call))??))
            }
            Command::CancelHandoff { handoff } => {
                let key = self.find_handoff(&handoff)?;
                let cancelled = self.with_call(key, |call, cx| call.cancel(cx, &handoff));
                Ok(Reply::Handoff(cancelled.ok_or(Refusal::NoHandoff(handoff))??))
            }
            Command::CompleteHandoff { handoff } => {
                let key = self.find_handoff(&handoff)?;
                let completed = self.with_call(key, |call, cx| call.complete(cx, &handoff));
                Ok(Reply::Handoff(completed.ok_or(Refusal::NoHandoff(handoff))??))
            }
            Command::ShowHandoff { handoff } => {
                let key = self.find_handoff(&handoff)?;
                let call = self.calls.get(&key).and_then(Option::as_ref);
                let found = call.and_then(|call| view::handoff(&call.phase, &call.facts, &handoff));
                Ok(Reply::Handoff(found.ok_or(Refusal::NoHandoff(handoff))?))
            }
            Command::HangUp { call } => {
                let key = self.find_call(&call)?;
                let before = self.show(key).ok_or(Refusal::NoCall(call))?;
                self.step(key, CallInput::HangUp { why: EndReason::ByRequest });
                // Without a leg that still has to close, the call is gone already.
                Ok(Reply::Call(Box::new(self.show(key).unwrap_or(before))))
            }
            Command::SetVariables { call, variables } => {
                let key = self.find_call(&call)?;
                let missing = || Refusal::NoCall(call.clone());
                self.with_call(key, |call, cx| call.set(cx, variables)).ok_or_else(missing)??;
                Ok(Reply::Call(Box::new(self.show(key).ok_or_else(missing)?)))
            }
            Command::ShowCall { call } => {
                let key = self.find_call(&call)?;
                Ok(Reply::Call(Box::new(self.show(key).ok_or(Refusal::NoCall(call))?)))
            }
            Command::List { after, limit } => Ok(Reply::Calls(self.list(after, limit))),
            Command::Count => Ok(Reply::Counters(Box::new(self.counters()))),
            // It is begun, and replied to when it is over.
            Command::Test { destination, .. } => Err(Refusal::TestRunning(destination)),
        }
    }

    fn list(&self, after: Option<String>, limit: usize) -> Vec<CallView> {
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.by_id.range::<str, _>((from, Bound::Unbounded));
        keys.take(limit.min(PAGE)).filter_map(|(_, key)| self.show(*key)).collect()
    }

    fn show(&self, key: CallKey) -> Option<CallView> {
        let call = self.calls.get(&key)?.as_ref()?;
        Some(view::call(&call.phase, &call.facts, &self.stack))
    }

    /// By Baton's id, or by the Call-ID of one of its legs.
    fn find_call(&self, id: &str) -> Result<CallKey, Refusal> {
        let by_leg = || {
            let leg = self.stack.find_leg_by_call_id(id.as_bytes())?;
            self.legs.find(leg).map(|(key, _)| key)
        };
        self.by_id.get(id).copied().or_else(by_leg).ok_or_else(|| Refusal::NoCall(id.into()))
    }

    fn find_handoff(&self, id: &str) -> Result<CallKey, Refusal> {
        self.by_handoff.get(id).copied().ok_or_else(|| Refusal::NoHandoff(id.into()))
    }
}
