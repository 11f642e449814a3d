//! The engines of a World: one, or several that share the calls as the process's shards do. Which of them an input is for
//! follows the same rule: by the Call-ID or id that it names, or by the shard that has asked.

use baton::call::command::{Command, Reply};
use baton::call::counters::Counters;
use baton::call::engine::{Engine, Input};
use baton::call::record::CallView;
use baton::call::test_call;
use baton::call::ticket::Ticket;
use baton::sip::ident::{self, SlotKey};
use baton::sip::{Now, Time};
use baton::wire::peek::peek;
use std::collections::BTreeMap;

/// One engine or several, each with its calls.
pub(super) struct Shards {
    engines: Vec<Engine>,
    key: SlotKey,
    /// When each of them has something to do.
    pub(super) idle: Vec<Option<Time>>,
    /// Whose a number of the World's is, and which of its own; and the other way round.
    inside: Vec<(usize, u64)>,
    outside: BTreeMap<(usize, u64), u64>,
    /// Commands that all of them are asked, with how many answers are to come.
    asked: BTreeMap<u64, (usize, Answers)>,
}

/// The answers of the shards so far.
enum Answers {
    Counters(Box<Counters>),
    /// At most so many.
    Calls(usize, Vec<CallView>),
}

impl Shards {
    pub(super) fn new(engines: Vec<Engine>, key: SlotKey) -> Shards {
        let idle = engines.iter().map(|_| None).collect();
        Shards { engines, key, idle, inside: Vec::new(), outside: BTreeMap::new(), asked: BTreeMap::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.engines.len()
    }

    pub(super) fn engine(&mut self, shard: usize) -> &mut Engine {
        &mut self.engines[shard]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.engines.iter().all(Engine::is_empty)
    }

    /// When the first of them has something to do.
    pub(super) fn idle_until(&self) -> Option<Time> {
        self.idle.iter().flatten().min().copied()
    }

    /// A number of one engine's, as the rest of the World knows it. 0 is none.
    pub(super) fn outside(&mut self, shard: usize, id: u64) -> u64 {
        if id == 0 || self.count() == 1 {
            return id;
        }
        let known = self.outside.entry((shard, id)).or_insert_with(|| {
            self.inside.push((shard, id));
            self.inside.len() as u64
        });
        *known
    }

    fn inside(&self, id: u64) -> (usize, u64) {
        if self.count() == 1 { (0, id) } else { self.inside[id as usize - 1] }
    }

    fn owner(&self, id: &[u8]) -> usize {
        usize::from(ident::slot(&self.key, id)) % self.count()
    }

    pub(super) fn handle(&mut self, now: Now, input: Input<'_>) {
        let (shard, input) = match input {
            Input::Message { bytes, .. } => (peek(bytes).map_or(0, |peek| self.owner(peek.call_id)), input),
            Input::SendFailed { id } => {
                let (shard, id) = self.inside(id);
                (shard, Input::SendFailed { id })
            }
            Input::Sent { id } => {
                let (shard, id) = self.inside(id);
                (shard, Input::Sent { id })
            }
            Input::Answer { ticket, answer } => {
                let (shard, ticket) = self.inside(ticket.0);
                (shard, Input::Answer { ticket: Ticket(ticket), answer })
            }
            Input::Command { id, command } => return self.command(now, id, command),
            Input::Refused { flow } => return self.all(now, || Input::Refused { flow }),
            Input::FlowClosed { connection, peer } => {
                return self.all(now, || Input::FlowClosed { connection, peer });
            }
            Input::Tables(tables) => return self.all(now, || Input::Tables(tables.clone())),
            Input::Drain { by } => return self.all(now, || Input::Drain { by }),
            Input::StoodStill(gap) => return self.all(now, || Input::StoodStill(gap)),
            Input::Tick => {
                for shard in 0..self.count() {
                    if self.idle[shard].is_some_and(|until| until <= now.mono) {
                        self.engines[shard].handle(now, Input::Tick);
                    }
                }
                return;
            }
        };
        self.engines[shard].handle(now, input);
    }

    fn all<'a>(&mut self, now: Now, input: impl Fn() -> Input<'a>) {
        self.engines.iter_mut().for_each(|engine| engine.handle(now, input()));
    }

    fn command(&mut self, now: Now, id: u64, command: Command) {
        let owner = match &command {
            Command::Handoff { call, .. }
            | Command::HangUp { call }
            | Command::SetVariables { call, .. }
            | Command::ShowCall { call } => self.owner(call.as_bytes()),
            Command::CancelHandoff { handoff }
            | Command::CompleteHandoff { handoff }
            | Command::ShowHandoff { handoff } => self.owner(handoff.as_bytes()),
            Command::Test { environment, destination, .. } => {
                self.owner(test_call::name(environment, destination).as_bytes())
            }
            Command::Count => {
                self.asked.insert(id, (self.count(), Answers::Counters(Box::default())));
                return self.all(now, || Input::Command { id, command: Command::Count });
            }
            Command::List { after, limit } => {
                self.asked.insert(id, (self.count(), Answers::Calls(*limit, Vec::new())));
                let limit = *limit;
                return self.all(now, || Input::Command {
                    id,
                    command: Command::List { after: after.clone(), limit },
                });
            }
        };
        self.engines[owner].handle(now, Input::Command { id, command });
    }

    /// The reply of one of them: that of all, once it is the last one.
    pub(super) fn reply(&mut self, id: u64, reply: Reply) -> Option<Reply> {
        let Some((left, answers)) = self.asked.get_mut(&id) else { return Some(reply) };
        *left -= 1;
        match (answers, reply) {
            (Answers::Counters(sum), Reply::Counters(counters)) => sum.add(&counters),
            (Answers::Calls(_, all), Reply::Calls(calls)) => all.extend(calls),
            (_, other) => panic!("{other:?}"),
        }
        if *left > 0 {
            return None;
        }
        self.asked.remove(&id).map(|(_, answers)| match answers {
            Answers::Counters(sum) => Reply::Counters(sum),
            Answers::Calls(limit, mut calls) => {
                calls.sort_by(|one, other| one.id.cmp(&other.id));
                calls.truncate(limit);
                Reply::Calls(calls)
            }
        })
    }
}
