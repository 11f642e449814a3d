//! A destination table: one immutable state of an environment's destinations. It is read from TOML, held in an
//! `Arc` by every handoff that began with it, and never changed.

mod ladder;
mod read;
mod routes;
pub mod rule;

pub use ladder::{Ladder, Step};
pub use read::{MAX_DESTINATIONS, MAX_ID, hash, is_id, read};
pub(crate) use read::{check_id, expected_ids};
pub(crate) use routes::Routes;

use crate::observe::words::words;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Id;
use super::file::nearest;
pub use super::headers::HeaderTemplate;
use super::onward::Onward;
use super::profile::{Belief, Notify200, Overrides, Placement, Profile, Receiver};
pub use super::route::Route;
use super::template::Template;
use super::topology::Trunk;
use rule::{Rule, Then};

/// With so many ids one that is not there is compared ([`Table::nearest`]).
const COMPARED: usize = 200;

/// The longest that an outcome may be waited for, however many provisional NOTIFYs come.
pub const OUTCOME_CAP: Duration = Duration::from_secs(180);

/// One state of the destinations of one environment.
#[derive(Debug, Clone)]
pub struct Table {
    /// The environment that it belongs to.
    pub environment: Id,
    /// Number of this state, by which it can be looked up. The daemon counts; 0 until it did, and where it could not.
    pub version: u64,
    /// SHA-256 of the file's text, in hexadecimal: tells whether a reload changed anything.
    pub hash: Box<str>,
    /// The file's text.
    pub text: Arc<str>,
    /// The destination that is meant where none is named. Always in `destinations`.
    pub default: Id,
    /// All destinations by their id.
    pub destinations: BTreeMap<Id, Arc<Destination>>,
    /// The same by their routes.
    pub(crate) routes: Routes,
}

impl Table {
    /// The destination of that id.
    pub fn find(&self, id: &str) -> Option<&Arc<Destination>> {
        self.destinations.get(id)
    }

    /// The id that was probably meant by one that is not there. Only some hundred are compared: the call of the one who asked
    /// waits, and so do all others of the shard.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        nearest(id, self.destinations.keys().take(COMPARED).map(|id| &**id))
    }

    /// The destination that is meant where none is named. Always there in a table that was read.
    pub fn fallback(&self) -> Option<&Arc<Destination>> {
        self.find(&self.default)
    }
}

words! {
    /// How a caller is moved.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Method, name {
        /// A blind REFER inside the caller leg (RFC 3515).
        Refer = "refer",
        /// Baton calls the route and joins caller and target (RFC 3725).
        Invite = "invite",
        /// Baton calls the route first, then refers the caller to it with Replaces (RFC 5589 §7).
        Attended = "attended",
        /// A BYE to the caller leg with headers and a Reason: the PBX goes on.
        Bye = "bye",
        /// A 302 with the route as Contact; only before the caller leg is answered.
        Redirect = "redirect",
    }
}

impl Method {
    /// The method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether it moves the caller to the destination's route. A `bye` only gives the caller back.
    pub fn needs_route(self) -> bool {
        match self {
            Self::Refer | Self::Invite | Self::Attended | Self::Redirect => true,
            Self::Bye => false,
        }
    }

    /// Whether its success can be [proven](Destination::require_proven): the target's own answer is seen, or its dialog is
    /// seen to be replaced.
    pub fn can_be_proven(self) -> bool {
        match self {
            Self::Invite | Self::Attended => true,
            Self::Refer | Self::Bye | Self::Redirect => false,
        }
    }

    /// Whether an attempt by it can end as `unknown`: only a REFER is accepted without a result.
    pub fn ends_unknown(self) -> bool {
        match self {
            Self::Refer | Self::Attended => true,
            Self::Invite | Self::Bye | Self::Redirect => false,
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
    /// How long a target may ring that Baton calls itself, also for a `refer` before the caller leg is answered.
    pub ring: Duration,
    /// From the answer of an `attended` target to the REFER: a phone that has just answered may still be moving its media.
    pub settle: Duration,
    /// The whole handoff.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            response: Duration::from_secs(8),
            outcome: Duration::from_secs(60),
            ring: Duration::from_secs(30),
            settle: Duration::from_millis(600),
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
    /// Whether the agent speaks with the target before the caller is moved to it. Only with [`Method::Attended`].
    pub brief: bool,
    /// Whether a handoff here succeeds only when that is proven (`require = "proven"`). Then its method, and every step of
    /// `on_failure` that does not end the handoff, can be proven, too.
    pub require_proven: bool,
    /// Where it lies. Always there for a method that [needs it](Method::needs_route).
    pub route: Option<Route>,
    /// The trunk for an INVITE to a number; `None`: the caller's own.
    pub trunk: Option<Id>,
    /// The caller's number as shown to the target by an INVITE; `None`: the caller's own.
    pub caller_id: Option<Template>,
    /// Headers that the handoff carries.
    pub headers: Vec<HeaderTemplate>,
    /// What chooses in its place, by the time, the call or a draw; in the order in which they are asked.
    pub rules: Vec<Rule>,
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
    /// Whether whoever was joined with a caller here may move the caller on.
    pub onward: Onward,
    /// How many calls it takes.
    pub capacity: Capacity,
}

/// How many calls a destination takes, over all workers; 0: as many as come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// At once: attempts that run, and callers who were joined there.
    pub max_calls: u32,
    /// Attempts that begin in one second.
    pub max_cps: u32,
}

/// The Reason of a BYE that hands the call back, where the destination names none (RFC 3326).
pub const DEFAULT_REASON: &str = "SIP;cause=200;text=\"Handoff\"";

impl Destination {
    /// The profile in force when `route` is reached through `trunk`. A `tel:` URI cannot carry headers, so for one they
    /// stand on the request whatever the trunk says.
    pub fn profile(&self, trunk: &Trunk, route: Option<&Route>) -> Profile {
        let mut profile = Profile::base(trunk.profile).with(&trunk.overrides).with(&self.overrides);
        if matches!(route, Some(Route::Tel { .. })) {
            profile.header_placement = Placement::Request;
        }
        profile
    }

    /// Whether a blind REFER may be sent for it to a receiver whose 200 proves nothing. `belief`: of the trunk; `seen`: who
    /// that is seen to be.
    pub fn refers_unproven(&self, belief: Belief, seen: Receiver) -> bool {
        let by_rule = |rule: &Rule| matches!(&rule.then, Then::Instead(own) if own.method == Method::Refer);
        let refers = self.method == Method::Refer
            || self.on_failure.methods().any(|method| method == Method::Refer)
            || self.rules.iter().any(by_rule);
        let notify_200 = self.overrides.notify_200.unwrap_or_else(|| belief.notify_200(seen));
        refers && notify_200 == Notify200::Accepted
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
            diversion: false,
            onward: Onward::default(),
            keepalive: None,
            patience: Default::default(),
            reach: Default::default(),
            profile: None,
            overrides: Overrides { header_placement: Some(Placement::Both), ..Overrides::default() },
            in_dialog: crate::sip::InDialog::Known,
            redirects: crate::routing::topology::Redirects::Table,
        };
        let destination = table.fallback().unwrap();
        assert_eq!(
            destination.profile(&trunk, destination.route.as_ref()).header_placement,
            Placement::Request
        );
        let route = destination.route.as_ref().unwrap();
        assert_eq!(route.refer_uri(&trunk.address, None), "tel:+14155550123");
        assert_eq!(route.request_uri(&trunk.address).0, "sip:+14155550123@pbx.example.com:5070");
        let number = Route::parse("+14155550123").unwrap();
        assert_eq!(number.refer_uri(&trunk.address, None), "sip:+14155550123@pbx.example.com");
        assert_eq!(number.refer_uri(&trunk.address, Some("a:5080")), "sip:+14155550123@a:5080");
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
