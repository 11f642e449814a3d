//! What follows a failed attempt: the steps of `on_failure`, and in which order they are taken.

use std::collections::BTreeMap;

use super::{Id, Method};
use crate::routing::explain::Cause;

/// One step of `on_failure`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Another method for the same route: invite, refer or attended.
    Method(Method),
    /// Another destination, by its own method. It is in the table, and its method is not redirect.
    Destination(Id),
    /// Give the caller back to the agent, who never left.
    Agent,
    /// Hand the call back by BYE with the headers of the handoff's first destination.
    Bye,
    /// End the call by a plain BYE.
    Hangup,
}

impl Step {
    /// The word of the table, the API and the logs; of a destination its id.
    pub fn name(&self) -> &str {
        match self {
            Self::Method(method) => method.name(),
            Self::Destination(id) => id,
            Self::Agent => "agent",
            Self::Bye => "bye",
            Self::Hangup => "hangup",
        }
    }

    /// Whether it ends the handoff: such a step is the last one of its list.
    pub fn ends(&self) -> bool {
        match self {
            Self::Agent | Self::Bye | Self::Hangup => true,
            Self::Method(_) | Self::Destination(_) => false,
        }
    }
}

/// `on_failure`: steps for every cause, or by cause.
///
/// The order in which a handoff takes them: after an attempt at destination D that ended with cause c
///
/// 1. the steps of D for c are looked at in their order, and the first that was not tried yet in this handoff is taken.
///    Each pair of destination and method is tried at most once, whichever list names it. [`Step::Agent`] is passed over
///    where the agent has gone.
/// 2. Where none is left and D was itself reached as a step, the destination that it was reached from is asked the same,
///    for the same c; and so on up to the destination that the handoff began with.
/// 3. Where that has none left either, the handoff ends with c.
///
/// The steps of the destination that the handoff began with are [`Ladder::steps`]; those of a destination that was reached
/// as a step are [`Ladder::written_steps`], so that the default `["agent"]` does not hide what comes after it in the list
/// that led there. A chain of steps never comes back to a destination; a table in which one does is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// Steps for the causes that `by_cause` does not name. Never covers [`Cause::Unknown`].
    pub default: Vec<Step>,
    /// Steps for the causes that are named.
    pub by_cause: BTreeMap<Cause, Vec<Step>>,
    /// Whether `default` is written, as a plain list or by that key; false where it is the `["agent"]` that counts without.
    /// What `by_cause` holds is always written.
    pub written: bool,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { default: vec![Step::Agent], by_cause: BTreeMap::new(), written: false }
    }
}

impl Ladder {
    /// The steps after an attempt that ended with `cause`.
    ///
    /// [`Cause::Unknown`] takes a step only where it is named: after a 2xx the caller may already be talking to
    /// somebody. [`Cause::LostByReceiver`] takes none, because the caller leg is gone.
    pub fn steps(&self, cause: Cause) -> &[Step] {
        match cause {
            Cause::LostByReceiver => &[],
            Cause::Unknown => self.by_cause.get(&cause).map_or(&[], Vec::as_slice),
            Cause::Refused | Cause::Busy | Cause::NoAnswer | Cause::Unreachable | Cause::Failed => {
                self.by_cause.get(&cause).unwrap_or(&self.default)
            }
        }
    }

    /// [`Ladder::steps`] without those that nobody has written: the steps of a destination that was reached as a step.
    pub fn written_steps(&self, cause: Cause) -> &[Step] {
        if self.written || self.by_cause.contains_key(&cause) { self.steps(cause) } else { &[] }
    }

    /// The methods that its steps try on the destination's own route.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        let lists = self.by_cause.values().chain([&self.default]);
        lists.flatten().filter_map(|step| match step {
            Step::Method(method) => Some(*method),
            Step::Destination(_) | Step::Agent | Step::Bye | Step::Hangup => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::routing::file::Source;

    /// The ladder of a destination that has this line, in a table with another one.
    fn ladder(on_failure: &str) -> Ladder {
        let text = format!(
            "default = \"a\"\n[destination.b]\nroute = \"+14155550124\"\n[destination.a]\nroute = \"+14155550123\"\n{on_failure}\n"
        );
        let (table, diagnostics) = read(&Source::new("t", &text), &"production".into(), None);
        let table = table.unwrap_or_else(|| panic!("{diagnostics:#?}"));
        table.find("a").expect("the default").on_failure.clone()
    }

    #[test]
    fn unknown_takes_a_step_only_where_it_is_named() {
        for text in ["", "on_failure = [\"hangup\"]", "on_failure = { default = [\"hangup\"] }"] {
            assert_eq!(ladder(text).steps(Cause::Unknown), [], "{text}");
            assert_eq!(ladder(text).written_steps(Cause::Unknown), [], "{text}");
            assert_eq!(ladder(text).steps(Cause::LostByReceiver), [], "{text}");
        }
        let named = ladder("on_failure = { unknown = [\"bye\"] }");
        assert_eq!(named.steps(Cause::Unknown), [Step::Bye]);
        assert_eq!(named.written_steps(Cause::Unknown), [Step::Bye]);
        assert_eq!(named.steps(Cause::Busy), [Step::Agent], "the default of all others");
    }

    #[test]
    fn a_named_cause_wins_over_the_default() {
        let ladder = ladder("on_failure = { busy = [\"hangup\"], default = [\"invite\", \"b\", \"bye\"] }");
        assert_eq!(ladder.steps(Cause::Busy), [Step::Hangup]);
        let all = [Step::Method(Method::Invite), Step::Destination("b".into()), Step::Bye];
        assert_eq!(ladder.steps(Cause::Refused), all);
        assert_eq!(ladder.written_steps(Cause::Refused), all);
        assert_eq!(ladder.methods().collect::<Vec<_>>(), [Method::Invite]);
        assert_eq!(all.map(|step| step.name().to_owned()), ["invite", "b", "bye"]);
    }

    #[test]
    fn what_nobody_wrote_hides_no_step_of_the_list_that_led_there() {
        let none = ladder("");
        assert_eq!(none, Ladder::default());
        assert_eq!(
            (none.steps(Cause::Failed), none.written_steps(Cause::Failed)),
            (&[Step::Agent][..], &[][..])
        );
        let some = ladder("on_failure = { busy = [\"hangup\"] }");
        assert_eq!(some.written_steps(Cause::Busy), [Step::Hangup]);
        assert_eq!(
            (some.steps(Cause::Failed), some.written_steps(Cause::Failed)),
            (&[Step::Agent][..], &[][..])
        );
        let written = ladder("on_failure = [\"agent\"]");
        assert_eq!(written.written_steps(Cause::Failed), [Step::Agent]);
        assert!(written.written && !some.written && !none.written);
    }
}
