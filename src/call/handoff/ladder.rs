//! Which step follows a failed attempt.

use super::Handoff;
use crate::routing::explain::Cause;
use crate::routing::table::Step;

/// What is done after an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Back to the agent, who never left.
    Agent,
    /// Hand the call back with the first destination's headers.
    Bye,
    /// Plain BYE.
    Hangup,
    /// No step is left.
    None,
}

impl Next {
    /// The word of the logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Next::Agent => "agent",
            Next::Bye => "bye",
            Next::Hangup => "hangup",
            Next::None => "none",
        }
    }
}

impl Handoff {
    /// The next step after an attempt that ended with `cause`. An agent that has gone is not a place to return to.
    pub(crate) fn next(&mut self, cause: Cause, agent_is_there: bool) -> Next {
        while let Some(step) = self.plan.destination.on_failure.steps(cause).get(self.position) {
            self.position += 1;
            match step {
                // A handoff has one attempt: other methods and destinations are passed over.
                Step::Method(_) | Step::Destination(_) => {}
                Step::Agent if !agent_is_there => {}
                Step::Agent => return Next::Agent,
                Step::Bye => return Next::Bye,
                Step::Hangup => return Next::Hangup,
            }
        }
        Next::None
    }
}
