//! How tests of destinations begin and are stepped. They share keys, legs, tickets and deadlines with the calls.

use super::Engine;
use crate::call::command::Refusal;
use crate::call::ids::CallId;
use crate::call::ids::CallKey;
use crate::call::phase::CallInput;
use crate::call::test_call::{TestCall, TestCallRequest, name};
use crate::call::ticket::Waiter;
use crate::sip::ident::slot;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// The reply comes when it is over.
    pub(super) fn begin_test_call(
        &mut self,
        id: u64,
        (environment, destination): (&str, &str),
        request: TestCallRequest,
    ) -> Result<(), Refusal> {
        if self.draining.is_some() {
            return Err(Refusal::Closing);
        }
        self.last_key += 1;
        let key = CallKey(self.last_key);
        let slot = slot(&self.slot_key, name(environment, destination).as_bytes());
        let mut cx = self.context(key);
        let mut test_call = TestCall::begin(&mut cx, id, (environment, destination), request, slot)?;
        // After all else was checked: whoever asks wrongly is told so, whatever runs.
        self.test_calls.admit(environment, destination)?;
        test_call.find(&mut self.context(key));
        self.settle_test_call(key, Box::new(test_call));
        Ok(())
    }

    /// A call or a test: whoever has that key.
    pub(super) fn step_any(&mut self, key: CallKey, input: CallInput<'_>) {
        if self.test_calls.has(key) { self.step_test_call(key, input) } else { self.step(key, input) }
    }

    /// Takes a test out, steps it and puts it back. A panic costs this test.
    pub(super) fn step_test_call(&mut self, key: CallKey, input: CallInput<'_>) {
        let Some(mut test_call) = self.test_calls.take(key) else { return };
        let mut cx = self.context(key);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test_call.step(&mut cx, input))) {
            test_call.break_off();
            self.purge_legs(key);
            self.tell_fault(&CallId::default(), &*panic);
        }
        self.settle_test_call(key, test_call);
    }

    fn settle_test_call(&mut self, key: CallKey, mut test_call: Box<TestCall>) {
        if test_call.is_over() {
            self.tickets.forget(Waiter::TestCall(key));
        } else if let Some(at) = test_call.deadline()
            && test_call.armed.is_none_or(|armed| at < armed)
        {
            test_call.armed = Some(self.deadlines.arm(self.now.mono, at.since(self.now.mono), key));
        }
        self.test_calls.put(key, test_call);
    }
}
