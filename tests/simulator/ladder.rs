//! The ladder once more, by its documentation alone: which step has to follow a failed attempt. Independent of the
//! product's own; it knows the table as it was drawn, not as it was read.

use super::tables::{Destination, Step, Table};
use std::collections::BTreeMap;

/// What has to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Try(String, &'static str),
    Agent,
    Bye,
    Hangup,
    None,
}

/// What is possible just then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footing {
    /// Somebody is there to return to.
    pub partner: bool,
    /// The caller has been answered.
    pub answered: bool,
    /// `total` has not passed.
    pub time: bool,
}

/// One handoff on its way down.
pub struct Ladder<'a> {
    table: &'a Table,
    first: String,
    /// Which destination led to which.
    from: BTreeMap<String, String>,
    tried: Vec<(String, &'static str)>,
}

impl<'a> Ladder<'a> {
    pub fn new(table: &'a Table, first: &str, method: &'static str) -> Ladder<'a> {
        let tried = vec![(first.to_owned(), method)];
        Ladder { table, first: first.to_owned(), from: BTreeMap::new(), tried }
    }

    /// The steps of a destination for a cause; `all`: also what counts where nothing is written.
    fn steps(destination: &Destination, cause: &str, all: bool) -> Vec<Step> {
        if cause == "lost_by_receiver" {
            return Vec::new();
        }
        if let Some(own) = destination.by_cause.get(cause) {
            return own.clone();
        }
        match &destination.default {
            _ if cause == "unknown" => Vec::new(),
            Some(written) => written.clone(),
            None if all => vec![Step::Agent],
            None => Vec::new(),
        }
    }

    fn was_tried(&self, id: &str, method: &str, on: Footing) -> bool {
        // Before the caller is answered all but `bye` is the same call.
        let same = |tried: &str| tried == method || (!on.answered && tried != "bye" && method != "bye");
        self.tried.iter().any(|(other, tried)| other == id && same(tried))
    }

    /// What follows an attempt at `id` that ended with `cause`.
    pub fn next(&self, id: &str, cause: &str, on: Footing) -> Next {
        self.look(id, cause, on).0
    }

    fn look(&self, id: &str, cause: &str, on: Footing) -> (Next, String) {
        let mut at = id.to_owned();
        loop {
            let Some(destination) = self.table.destinations.get(&at) else { return (Next::None, at) };
            for step in Self::steps(destination, cause, at == self.first) {
                let (id, method) = match step {
                    Step::Agent if on.partner => return (Next::Agent, at),
                    Step::Agent => continue,
                    Step::Bye => return (Next::Bye, at),
                    Step::Hangup => return (Next::Hangup, at),
                    Step::Method(method) => (at.clone(), method),
                    Step::Destination(id) => {
                        let method = self.table.destinations[&id].method;
                        (id, method)
                    }
                };
                if on.time && !self.was_tried(&id, method, on) {
                    return (Next::Try(id, method), at);
                }
            }
            match self.from.get(&at) {
                Some(before) => at.clone_from(before),
                None => return (Next::None, at),
            }
        }
    }

    /// Its target was joined by that method too, without a step.
    pub fn note(&mut self, id: &str, method: &'static str) {
        self.tried.push((id.to_owned(), method));
    }

    /// The step is taken.
    pub fn take(&mut self, id: &str, cause: &str, on: Footing) {
        if let (Next::Try(next, method), from) = self.look(id, cause, on) {
            if next != from {
                self.from.insert(next.clone(), from);
            }
            // Before the answer it is an INVITE whatever the table says.
            let carried_out = if on.answered || method == "bye" { method } else { "invite" };
            self.tried.push((next, carried_out));
        }
    }
}

impl Next {
    /// The word of the logs, where the attempt that failed was one at `id`.
    pub fn name(&self, id: &str) -> String {
        match self {
            Next::Try(next, method) if next == id => (*method).to_owned(),
            Next::Try(next, _) => next.clone(),
            Next::Agent => "agent".to_owned(),
            Next::Bye => "bye".to_owned(),
            Next::Hangup => "hangup".to_owned(),
            Next::None => "none".to_owned(),
        }
    }
}
