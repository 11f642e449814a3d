//! Which step follows a failed attempt.
//!
//! After an attempt at a destination that ended with a cause, the destination's steps for that cause are looked at in
//! order, and the first that was not tried yet is taken: each destination is tried by each method once. Where it has no
//! steps of its own left, the destination that led to it is asked the same. So every ladder ends.

use super::{Handoff, Tried};
use crate::call::decision;
use crate::call::event;
use crate::call::facts::Facts;
use crate::routing::explain::Cause;
use crate::routing::table::{Destination, Method, Step};
use std::sync::Arc;

/// What is done after an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another method, or another destination.
    Try(Arc<Destination>, Method),
    /// Back to the agent, who never left.
    Agent,
    /// Hand the call back with the first destination's headers.
    Bye,
    /// Plain BYE.
    Hangup,
    /// No step is left.
    None,
}

/// What is possible when the next step is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footing {
    /// The agent has not gone. It is not a place to return to otherwise.
    pub(crate) agent: bool,
    /// The caller leg is answered. Before that every method but `bye` is the same INVITE or 302.
    pub(crate) answered: bool,
    /// There is time for another attempt.
    pub(crate) time: bool,
}

impl Handoff {
    /// The next step after the running attempt ended with `cause`. A step that names a destination goes where the rules of
    /// that lead, by what stood when the handoff was decided; a method stays on the route that was tried.
    pub(crate) fn next(&mut self, facts: &Facts, cause: Cause, on: Footing) -> Next {
        for place in (0..self.chain.len()).rev() {
            let at = Arc::clone(&self.chain[place]);
            // Back to the agent is what follows where nothing is written; the destination that led here may know better.
            let ladder = &at.on_failure;
            let steps = if place == 0 { ladder.steps(cause) } else { ladder.written_steps(cause) };
            for step in steps {
                let next = match step {
                    Step::Method(method) => self.untried(&at, *method, cause, on),
                    Step::Destination(id) => self.other(facts, id, cause, on),
                    Step::Agent => on.agent.then_some(Next::Agent),
                    Step::Bye => Some(Next::Bye),
                    Step::Hangup => Some(Next::Hangup),
                };
                let Some(next) = next else { continue };
                if let Next::Try(destination, _) = &next {
                    self.chain.truncate(place + 1);
                    if destination.id != at.id {
                        self.chain.push(Arc::clone(destination));
                    }
                }
                return next;
            }
        }
        Next::None
    }

    /// Another destination, where it was not tried yet; the rules that lead there are told with it.
    fn other(&mut self, facts: &Facts, id: &str, cause: Cause, on: Footing) -> Option<Next> {
        let (destination, taken) = decision::ruled(facts, &self.plan, self.plan.table.find(id)?);
        let next = self.untried(&destination, destination.method, cause, on)?;
        if !taken.is_empty() {
            self.facts.rules.extend(taken);
        }
        Some(next)
    }

    /// What was taken back for a REFER that was heard of late may be tried again once that has failed, and not while nothing
    /// is known of it.
    fn untried(
        &self,
        destination: &Arc<Destination>,
        method: Method,
        cause: Cause,
        on: Footing,
    ) -> Option<Next> {
        let same = |tried: &&Tried| {
            let alike = |method: Method| on.answered || method == Method::Bye;
            tried.id == destination.id && (tried.method == method || !(alike(tried.method) || alike(method)))
        };
        let counts = |tried: &Tried| !tried.broken_off || cause == Cause::Unknown;
        let free = on.time && !self.tried.iter().filter(same).any(counts);
        free.then(|| Next::Try(Arc::clone(destination), method))
    }

    /// What the logs call a step: a method where the destination stays, else the destination.
    pub(crate) fn told(&self, next: &Next) -> event::Next {
        match next {
            Next::Try(destination, method) if destination.id == self.attempt_plan.destination.id => {
                event::Next::Method(*method)
            }
            Next::Try(destination, _) => event::Next::Destination(Arc::clone(&destination.id)),
            Next::Agent => event::Next::Agent,
            Next::Bye => event::Next::Bye,
            Next::Hangup => event::Next::Hangup,
            Next::None => event::Next::None,
        }
    }
}
