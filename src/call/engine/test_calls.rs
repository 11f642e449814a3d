//! How tests of destinations begin and are stepped. They share keys, legs, queries and deadlines with the calls.

use super::Engine;
use crate::call::command::Refusal;
use crate::call::context::CallKey;
use crate::call::phase::CallInput;
use crate::call::test_call::{TestCall, TestCallRequest, name};
use crate::sip::ident::slot;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// The reply comes when it is over.
    pub(super) fn begin_trial(
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
        let mut trial = TestCall::begin(&mut cx, id, (environment, destination), request, slot)?;
        // After all else was checked: whoever asks wrongly is told so, whatever runs.
        self.trials.admit(environment, destination)?;
        trial.find(&mut self.context(key));
        self.settle_trial(key, Box::new(trial));
        Ok(())
    }

    /// A call or a test: whoever has that key.
    pub(super) fn step_any(&mut self, key: CallKey, stimulus: CallInput<'_>) {
        if self.trials.has(key) { self.step_trial(key, stimulus) } else { self.step(key, stimulus) }
    }

    /// Takes a test out, steps it and puts it back. A panic costs this test.
    pub(super) fn step_trial(&mut self, key: CallKey, stimulus: CallInput<'_>) {
        let Some(mut trial) = self.trials.take(key) else { return };
        let mut cx = self.context(key);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| trial.step(&mut cx, stimulus))) {
            trial.break_off();
            self.purge_legs(key);
            self.tell_fault("", &*panic);
        }
        self.settle_trial(key, trial);
    }

    fn settle_trial(&mut self, key: CallKey, mut trial: Box<TestCall>) {
        if trial.is_over() {
            self.queries.forget(key);
        } else if let Some(at) = trial.deadline()
            && trial.armed.is_none_or(|armed| at < armed)
        {
            trial.armed = Some(self.deadlines.arm(self.now.mono, at.since(self.now.mono), key));
        }
        self.trials.put(key, trial);
    }
}
