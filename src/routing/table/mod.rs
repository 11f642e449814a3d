//! A destination table: one immutable state of an environment's destinations. It is read from TOML, held in an
//! `Arc` by every handoff that began with it, and never changed.

mod read;

pub use read::{MAX_DESTINATIONS, MAX_ID, is_id, read};
pub(crate) use read::{check_id, expected_ids};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::explain::Cause;
pub use super::headers::HeaderTemplate;
use super::profile::{Overrides, Placement, Profile};
pub use super::route::Route;
use super::template::Template;
use super::topology::Trunk;

/// A destination's or an environment's name: short, cheap to clone.
pub type Id = Arc<str>;

/// The longest that an outcome may be waited for, however many provisional NOTIFYs come.
pub const OUTCOME_CAP: Duration = Duration::from_secs(180);

/// One state of the destinations of one environment.
#[derive(Debug, Clone)]
pub struct Table {
    /// The environment that it belongs to.
    pub environment: Id,
    /// Number of this state; the daemon counts, 0 until it did.
    pub version: u64,
    /// SHA-256 of the file's text, in hexadecimal: tells whether a reload changed anything.
    pub hash: Box<str>,
    /// The destination that is meant where none is named. Always in `destinations`.
    pub default: Id,
    /// All destinations by their id.
    pub destinations: BTreeMap<Id, Arc<Destination>>,
}

impl Table {
    /// The destination of that id.
    pub fn find(&self, id: &str) -> Option<&Arc<Destination>> {
        self.destinations.get(id)
    }

    /// The destination that is meant where none is named. Always there in a table that was read.
    pub fn fallback(&self) -> Option<&Arc<Destination>> {
        self.find(&self.default)
    }
}

/// How a caller is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A blind REFER inside the caller leg (RFC 3515).
    Refer,
    /// A BYE to the caller leg with headers and a Reason: the PBX goes on.
    Bye,
}

impl Method {
    /// The name as the table, the API and the logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refer => "refer",
            Self::Bye => "bye",
        }
    }
}

/// How long each part of a handoff may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From sending the REFER to its final answer.
    pub response: Duration,
    /// From the 2xx to the final NOTIFY; starts again at each provisional one, [`OUTCOME_CAP`] at most.
    pub outcome: Duration,
    /// How long a target may ring (the INVITE to a fallback before the caller leg is answered).
    pub ring: Duration,
    /// The whole handoff.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            response: Duration::from_secs(8),
            outcome: Duration::from_secs(60),
            ring: Duration::from_secs(30),
            total: Duration::from_secs(180),
        }
    }
}

/// What a header with an undefined variable does (`undefined`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undefined {
    /// The header is left out, logged and counted.
    Leave,
    /// The handoff is refused.
    Refuse,
}

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its id, the key in the table.
    pub id: Id,
    /// Name for people; the id where none is written.
    pub name: Arc<str>,
    /// When it is to be used, for people and for agents' prompts.
    pub description: Arc<str>,
    /// How the caller is moved there.
    pub method: Method,
    /// Where it lies. Always there for [`Method::Refer`].
    pub route: Option<Route>,
    /// The trunk for an INVITE to a number; `None`: the caller's own.
    pub trunk: Option<Id>,
    /// The caller's number as shown to the target by an INVITE; `None`: the caller's own.
    pub caller_id: Option<Template>,
    /// Headers that the handoff carries.
    pub headers: Vec<HeaderTemplate>,
    /// What follows when an attempt fails.
    pub on_failure: Ladder,
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// What an undefined variable does.
    pub undefined: Undefined,
    /// Value of the Reason header for [`Method::Bye`].
    pub reason: Arc<str>,
    /// Keys of the trunk's profile that this destination sets itself.
    pub overrides: Overrides,
}

/// The Reason of a BYE that hands the call back, where the destination names none (RFC 3326).
pub const DEFAULT_REASON: &str = "SIP;cause=200;text=\"Handoff\"";

impl Destination {
    /// The profile in force when this destination is reached through `trunk`. A `tel:` URI cannot carry headers, so
    /// for one they stand on the request whatever the trunk says.
    pub fn profile(&self, trunk: &Trunk) -> Profile {
        let mut profile = Profile::generic().with(&trunk.overrides).with(&self.overrides);
        if matches!(self.route, Some(Route::Tel { .. })) {
            profile.header_placement = Placement::Request;
        }
        profile
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Give the caller back to the agent, who never left.
    Agent,
    /// Hand the call back by BYE with the destination's headers.
    Bye,
    /// End the call by a plain BYE.
    Hangup,
}

impl Step {
    /// The name as the table, the API and the logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Bye => "bye",
            Self::Hangup => "hangup",
        }
    }
}

/// `on_failure`: steps for every cause, or by cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// Steps for the causes that `by_cause` does not name. Never covers [`Cause::Unknown`].
    pub default: Vec<Step>,
    /// Steps for the causes that are named.
    pub by_cause: BTreeMap<Cause, Vec<Step>>,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { default: vec![Step::Agent], by_cause: BTreeMap::new() }
    }
}

impl Ladder {
    /// The step at `position` (0 first) after an attempt that ended with `cause`; `None` when there is none left.
    ///
    /// [`Cause::Unknown`] takes a step only where it is named: after a 2xx the caller may already be talking to
    /// somebody. [`Cause::LostByReceiver`] takes none, because the caller leg is gone.
    pub fn next(&self, cause: Cause, position: usize) -> Option<Step> {
        let steps = match cause {
            Cause::LostByReceiver => return None,
            Cause::Unknown => self.by_cause.get(&cause)?,
            Cause::Refused | Cause::Busy | Cause::NoAnswer | Cause::Unreachable | Cause::Failed => {
                self.by_cause.get(&cause).unwrap_or(&self.default)
            }
        };
        steps.get(position).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Severity, Source};
    use super::*;

    fn table(text: &str) -> Table {
        let (table, diagnostics) = read(&Source::new("t", text), &"production".into(), None);
        table.unwrap_or_else(|| panic!("{diagnostics:#?}"))
    }

    fn ladder(on_failure: &str) -> Ladder {
        let text = format!("default = \"a\"\n[destination.a]\nroute = \"+14155550123\"\n{on_failure}\n");
        table(&text).find("a").expect("the default").on_failure.clone()
    }

    #[test]
    fn unknown_takes_a_step_only_where_it_is_named() {
        for text in ["", "on_failure = [\"hangup\"]", "on_failure = { default = [\"hangup\"] }"] {
            assert_eq!(ladder(text).next(Cause::Unknown, 0), None, "{text}");
            assert_eq!(ladder(text).next(Cause::LostByReceiver, 0), None, "{text}");
        }
        let named = ladder("on_failure = { unknown = [\"bye\"] }");
        assert_eq!(named.next(Cause::Unknown, 0), Some(Step::Bye));
        assert_eq!(named.next(Cause::Unknown, 1), None);
        assert_eq!(named.next(Cause::Busy, 0), Some(Step::Agent), "the default of all others");
    }

    #[test]
    fn a_named_cause_wins_over_the_default() {
        let ladder = ladder("on_failure = { busy = [\"hangup\"], default = [\"bye\"] }");
        assert_eq!(ladder.next(Cause::Busy, 0), Some(Step::Hangup));
        assert_eq!(ladder.next(Cause::Refused, 0), Some(Step::Bye));
        assert_eq!(ladder.next(Cause::Refused, 1), None);
        assert_eq!(Ladder::default().next(Cause::Failed, 0), Some(Step::Agent));
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        let text = "default = \"a\"\n[destination.a]\nmethod = \"bye\"\n";
        assert_eq!(table(text).hash, table(text).hash);
        assert_ne!(table(text).hash, table(&format!("{text}\n")).hash);
        assert_eq!(table(text).hash.len(), 64);
    }

    #[test]
    fn a_tel_uri_has_its_headers_on_the_request() {
        let text = "default = \"a\"\n[destination.a]\nroute = \"tel:+14155550123\"\n";
        let table = table(text);
        let trunk = Trunk {
            id: "pbx".into(),
            address: super::super::address::Address::parse("sip:pbx.example.com:5070").unwrap(),
            accept_from: None,
            trusted: false,
            called_from: super::super::topology::CalledFrom::RequestUri,
            country: None,
            auth: None,
            unanswered: super::super::topology::Unanswered::Invite,
            refer_from_caller: false,
            overrides: Overrides { header_placement: Some(Placement::Both), ..Overrides::default() },
        };
        let destination = table.fallback().unwrap();
        assert_eq!(destination.profile(&trunk).header_placement, Placement::Request);
        let route = destination.route.as_ref().unwrap();
        assert_eq!(route.refer_uri(&trunk, None), "tel:+14155550123");
        assert_eq!(route.request_uri(&trunk).0, "sip:+14155550123@pbx.example.com:5070");
        let number = Route::parse("+14155550123").unwrap();
        assert_eq!(number.refer_uri(&trunk, None), "sip:+14155550123@pbx.example.com");
        assert_eq!(number.refer_uri(&trunk, Some("a:5080")), "sip:+14155550123@a:5080");
    }

    #[test]
    fn ten_thousand_destinations_and_as_many_faults() {
        let mut text = String::from("default = \"d0\"\n");
        for index in 0..MAX_DESTINATIONS {
            text.push_str(&format!("[destination.d{index}]\nroute = \"+14155550123\"\n"));
        }
        assert_eq!(table(&text).destinations.len(), MAX_DESTINATIONS);
        let broken = text.replace("route", "rout");
        let (none, diagnostics) = read(&Source::new("t", &broken), &"production".into(), None);
        assert!(none.is_none());
        assert_eq!(diagnostics.len(), 201, "200 are shown and the rest is counted");
        assert_eq!(
            diagnostics[200].message,
            format!("{} more errors are not shown", 2 * MAX_DESTINATIONS - 200)
        );
        assert!(diagnostics.iter().all(|d| d.severity == Severity::Error));
    }
}
