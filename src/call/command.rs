//! What the outside asks of the engine, and its answers. Each command gets exactly one reply, and all but a test of a
//! destination at once: waiting for a handoff's end is done by listening to the events.

use super::record::{CallView, HandoffState, HandoffView};
use super::test_call::request::TestCallRequest;
use super::test_call::view::TestCallView;
use crate::call::counters::Counters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A variable's value as a client gives it: a text, or a number or a boolean, which is taken as the text that it is written
/// as. A model that fills in JSON does not ask whether an account is a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain(pub String);

mod plain {
    use super::Plain;
    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use std::collections::BTreeMap;
    use std::fmt;

    pub(super) fn variables<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        let all = BTreeMap::<String, Plain>::deserialize(from)?;
        Ok(all.into_iter().map(|(name, value)| (name, value.0)).collect())
    }

    struct Scalar;

    impl Visitor<'_> for Scalar {
        type Value = Plain;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, a number or a boolean")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Plain, E> {
            Ok(Plain(text.to_owned()))
        }

        fn visit_string<E: Error>(self, text: String) -> Result<Plain, E> {
            Ok(Plain(text))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Plain, E> {
            Ok(Plain(value.to_string()))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Plain, E> {
            Ok(Plain(value.to_string()))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Plain, E> {
            Ok(Plain(value.to_string()))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Plain, E> {
            // `1.0`, and not `1`.
            Ok(Plain(format!("{value:?}")))
        }
    }

    impl<'de> Deserialize<'de> for Plain {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Plain, D::Error> {
            from.deserialize_any(Scalar)
        }
    }
}

/// The decision to move a caller, as `POST /v1/calls/{id}/handoff` gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoffRequest {
    /// Destination id; the table's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Why, for `$reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the caller said, for `$utterance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utterance: Option<String>,
    /// Set on the call and used for the expansion; they win over what was set before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "plain::variables")]
    pub variables: BTreeMap<String, String>,
    /// Headers that win over the table's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A route in place of the destination's; must be allowed by the agent's `may_route`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// A method in place of the destination's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// What is asked. A `call` is Baton's call id or the agent leg's SIP Call-ID.
#[expect(missing_docs, reason = "a field that is named like its type needs no words")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Moves the caller. Reply: `Handoff`.
    Handoff {
        call: String,
        /// Where to and with what.
        request: Box<HandoffRequest>,
    },
    /// Cancels a handoff that is `pending` or `ringing`. Reply: `Handoff`.
    CancelHandoff { handoff: String },
    /// Completes a handoff whose agent speaks with the target (`attended` with `brief`). Reply: `Handoff`.
    CompleteHandoff { handoff: String },
    /// Shows a handoff of a live call. Reply: `Handoff`.
    ShowHandoff { handoff: String },
    /// Ends a call: BYE to all its legs. Reply: `Call`.
    HangUp { call: String },
    /// Sets (or with `None` removes) variables of a call. Reply: `Call`.
    SetVariables {
        call: String,
        /// Name to value.
        variables: BTreeMap<String, Option<String>>,
    },
    /// Shows a live call. Reply: `Call`.
    ShowCall { call: String },
    /// Live calls of this engine in the order of their ids. Reply: `Calls`.
    List {
        /// Ids greater than this.
        after: Option<String>,
        /// At most 100.
        limit: usize,
    },
    /// Tests a destination: asks it what it can, calls it, and lets it go. Reply when that is over
    /// (39 s at most): `Tested`.
    Test {
        /// Whose table.
        environment: String,
        destination: String,
        /// What is to be done.
        request: Box<TestCallRequest>,
    },
    /// The counters. Reply: `Counters`.
    Count,
}

impl Command {
    /// Whether its reply comes before the engine is idle again; if not, it comes when what was begun is over.
    pub fn is_replied_to_at_once(&self) -> bool {
        !matches!(self, Command::Test { .. })
    }
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The handoff as it stands.
    Handoff(Arc<HandoffView>),
    /// The call as it stands.
    Call(Box<CallView>),
    /// A page of calls.
    Calls(Vec<CallView>),
    /// The counters.
    Counters(Box<Counters>),
    /// What a test has found.
    Tested(Arc<TestCallView>),
    /// Nothing was done.
    Refused(Refusal),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("there is no call `{0}`, neither live nor lately ended")]
    NoCall(String),
    /// 404.
    #[error("there is no handoff `{0}`, neither of a live nor of a lately ended call")]
    NoHandoff(String),
    /// 409, with the first one's id.
    #[error("handoff {0} of this call is still running")]
    Busy(String),
    /// 409: a handoff that can no longer be cancelled.
    #[error("the handoff cannot be cancelled in its state `{}`: only while it is `pending` or `ringing`, and something is still tried", .0.as_str())]
    TooLate(HandoffState),
    /// 409: a handoff in which nobody waits for a word.
    #[error("the handoff is `{}` and there is nothing to complete: its agent does not speak with the target", .0.as_str())]
    NotBriefing(HandoffState),
    /// 409: the call is ending.
    #[error("the call is ending")]
    Ending,
    /// 404 by name: the destination is not in the table; with the nearest one.
    #[error("the table of `{environment}` has no destination `{id}`{}", .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoDestination {
        /// As asked.
        id: String,
        /// Whose table.
        environment: String,
        /// The nearest one.
        nearest: Option<String>,
    },
    /// 403: a route that whoever decides may not name.
    #[error(
        "the route `{0}` is neither in the table nor allowed by may_route of the agent, trunk or destination"
    )]
    RouteNotAllowed(String),
    /// 403: an environment whose destinations may not be called to try them.
    #[error(
        "the environment `{0}` allows no test calls, since they ring real phones: set `allow_test_calls = true` in [environment.{0}] of the configuration, and reload"
    )]
    TestsNotAllowed(String),
    /// 409: the destination is being tested.
    #[error("`{0}` is being tested; try again when that is over")]
    TestRunning(String),
    /// 409: too many tests at the same time.
    #[error("{0} tests are running; try again when one is over")]
    TooManyTests(usize),
    /// 422: fields of the request that cannot be carried out, all at once.
    #[error("{}", .0.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Invalid>),
    /// 503: the engine is closing.
    #[error("the engine is closing")]
    Closing,
}

/// One field of a request that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// JSON pointer-like: `variables.caller_id`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_booleans_are_taken_as_they_are_written() {
        let text = r#"{"variables":{"a":"x","b":4711,"c":-1,"d":true,"e":1.5,"f":1.0,"g":""}}"#;
        let request: HandoffRequest = serde_json::from_str(text).expect("JSON");
        let values: Vec<&str> = request.variables.values().map(String::as_str).collect();
        assert_eq!(values, ["x", "4711", "-1", "true", "1.5", "1.0", ""]);
        for text in [r#"{"variables":{"a":null}}"#, r#"{"variables":{"a":[1]}}"#, r#"{"variables":{"a":{}}}"#]
        {
            assert!(serde_json::from_str::<HandoffRequest>(text).is_err(), "{text}");
        }
    }
}
