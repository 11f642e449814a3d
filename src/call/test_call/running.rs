//! The tests that run in one engine.

use super::tape::Sender;
use super::view::{Spoken, TestCallView};
use super::{TestCall, name};
use crate::call::command::{Refusal, Reply};
use crate::call::context::Queued;
use crate::call::event::{Event, EventKind};
use crate::call::ids::CallKey;
use crate::call::record::Stamp;
use crate::sip::Now;
use crate::wire::peek;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Tests at the same time: each may ring a phone.
const MOST: usize = 8;

/// The test calls that run in one engine.
#[derive(Debug, Default)]
pub(crate) struct TestCalls(BTreeMap<CallKey, Box<TestCall>>);

impl TestCalls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn has(&self, key: CallKey) -> bool {
        self.0.contains_key(&key)
    }

    pub(crate) fn keys(&self) -> Vec<CallKey> {
        self.0.keys().copied().collect()
    }

    /// Takes it out, to be stepped.
    pub(crate) fn take(&mut self, key: CallKey) -> Option<Box<TestCall>> {
        self.0.remove(&key)
    }

    /// Puts it back.
    pub(crate) fn put(&mut self, key: CallKey, test_call: Box<TestCall>) {
        self.0.insert(key, test_call);
    }

    /// The test whose deadline this was.
    pub(crate) fn due(&mut self, at: crate::sip::Time, key: CallKey) -> bool {
        let due = self.0.get_mut(&key).filter(|test_call| test_call.armed == Some(at));
        due.map(|test_call| test_call.armed = None).is_some()
    }

    /// Whether one more may begin.
    pub(crate) fn admit(&self, environment: &str, destination: &str) -> Result<(), Refusal> {
        let wanted = name(environment, destination);
        let same =
            |test_call: &TestCall| name(&test_call.view.environment, &test_call.view.destination) == wanted;
        if self.0.values().any(|test_call| same(test_call)) {
            return Err(Refusal::TestRunning(destination.to_owned()));
        }
        if self.0.len() >= MOST { Err(Refusal::TooManyTests(MOST)) } else { Ok(()) }
    }

    /// A message that came. Costs nothing while there is no test.
    pub(crate) fn received(&mut self, now: Now, call_id: &[u8], method: &'static str, bytes: &[u8]) {
        for test_call in self.0.values_mut() {
            test_call.tape.hear(now.mono, Sender::Target, call_id, method, bytes);
        }
    }

    /// A message that is sent.
    pub(crate) fn sent(&mut self, now: Now, bytes: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        let Some(peeked) = peek::peek(bytes) else { return };
        let method = peek::cseq_method(bytes).as_str();
        for test_call in self.0.values_mut() {
            test_call.tape.hear(now.mono, Sender::Baton, peeked.call_id, method, bytes);
        }
    }

    /// A test that is over: its reply, and its events. To be asked when all that it had to say is sent.
    pub(crate) fn conclude(&mut self, now: Now, queue: &mut VecDeque<Queued>) -> Option<(u64, Reply)> {
        let key = *self.0.iter().find(|(_, test_call)| test_call.is_over())?.0;
        let test_call = self.0.remove(&key)?;
        let command = test_call.command;
        let view = Arc::new(test_call.into_view());
        let what = EventKind::Tested(Arc::clone(&view));
        queue.push_back(Queued::Event(Box::new(Event { at: Stamp(now.wall), what })));
        Some((command, Reply::Tested(view)))
    }
}

impl TestCall {
    fn into_view(self) -> TestCallView {
        let TestCall { mut view, tape, .. } = self;
        if let Some(call) = &mut view.call {
            call.taken = tape.taken();
        }
        view.messages = tape
            .messages
            .iter()
            .map(|message| Spoken {
                at_us: u64::try_from(message.after.as_micros()).unwrap_or(u64::MAX),
                from: message.sender.name().to_owned(),
                start: message.start(),
                method: message.method.to_owned(),
                retransmission: message.again,
            })
            .collect();
        view
    }
}
