//! What is told of calls and handoffs: the same data for the API, the logs and the records.

use super::ids::{CallId, HandoffId, SipCallId};
use crate::observe::words::words;
use crate::routing::Id;
use crate::routing::rules::Taken;
use crate::sip::{Origin, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The caller leg is not answered yet.
    Setup,
    /// Caller and agent (or target) talk.
    Talking,
    /// A handoff runs.
    Moving,
    /// Legs are being closed.
    Ending,
    /// Over.
    Ended,
}

/// Which party a leg connects us with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The PBX or carrier that called.
    Caller,
    /// The AI agent.
    Agent,
    /// A destination that Baton itself has INVITEd.
    Target,
}

impl Role {
    /// The word of the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Caller => "caller",
            Role::Agent => "agent",
            Role::Target => "target",
        }
    }
}

/// A leg as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegView {
    /// Whose.
    pub role: Role,
    /// The Call-ID of its dialog.
    pub sip_call_id: String,
    /// `udp:192.0.2.1:5060`.
    pub peer: String,
    /// `trying`, `ringing`, `answered`, `confirmed`, `closing`, `over`.
    pub state: Cow<'static, str>,
    /// Its own goodbye, if it said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodbye: Option<Goodbye>,
}

/// How a side ended its leg, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// `BYE`, or `CANCEL` before the answer.
    pub method: Cow<'static, str>,
    /// RFC 3339, UTC.
    pub at: Stamp,
    /// Its Reason headers (RFC 3326).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its Warning headers (RFC 3261 §20.43).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A call as the API shows it and as its record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Baton's own id.
    pub id: String,
    /// Where it stands.
    pub state: CallState,
    /// Of its agent.
    pub environment: String,
    /// Id of the agent; null when it had none.
    pub agent: Option<String>,
    /// Id of the trunk that it came by.
    pub trunk: String,
    /// E.164 or user part; null for an anonymous caller.
    pub caller_id: Option<String>,
    /// The called number or user part.
    pub called_number: String,
    /// What was set by `PATCH` and by decisions.
    pub variables: BTreeMap<String, String>,
    /// RFC 3339, UTC.
    pub started_at: Stamp,
    /// Null until the caller leg is answered.
    pub answered_at: Option<Stamp>,
    /// Null while it lives.
    pub ended_at: Option<Stamp>,
    /// Why it ended, for people: `caller hung up`.
    pub ended_by: Option<Cow<'static, str>>,
    /// Live legs (all legs that there were, in a record).
    pub legs: Vec<LegView>,
    /// Ids of its handoffs, oldest first.
    pub handoffs: Vec<HandoffId>,
}

words! {
    /// A handoff's state: the first four run, the others are final.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum HandoffState, as_str {
        /// Decided, nothing sent yet.
        Pending = "pending",
        /// A REFER is out.
        Referring = "referring",
        /// A target rings.
        Ringing = "ringing",
        /// Caller and target are being joined: no return from here.
        Joining = "joining",
        /// The target has the caller: proof `reported` or `proven`.
        Succeeded = "succeeded",
        /// Our BYE was answered 2xx, our 302/480 ACKed; what the other side does next is invisible.
        HandedBack = "handed_back",
        /// No step worked; caller and agent are together as before.
        Returned = "returned",
        /// No step worked and the caller is not with the agent.
        Failed = "failed",
        /// A REFER was accepted or unanswered and nothing tells the result.
        Unknown = "unknown",
        /// The caller hung up first.
        Abandoned = "abandoned",
        /// By request, while `pending` or `ringing`.
        Cancelled = "cancelled",
    }
}

impl HandoffState {
    /// Whether nothing more can come.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Referring | Self::Ringing | Self::Joining)
    }
}

/// How well a result is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// 2xx to the REFER, or 2xx/ACK of a hand-back.
    Accepted,
    /// A NOTIFY says so, and the profile believes it.
    Reported,
    /// Baton saw both ends answer.
    Proven,
}

impl Proof {
    /// The word of the API and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Reported => "reported",
            Self::Proven => "proven",
        }
    }
}

/// One method on one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Destination id.
    pub destination: Id,
    /// `refer`, `invite`, `bye`.
    pub method: Cow<'static, str>,
    /// As the table (or the agent) names it; null for `bye`.
    pub route: Option<Arc<str>>,
    /// The Refer-To header's value, for `refer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refer_to: Option<String>,
    /// Call-ID of the dialog that the attempt's request went in.
    pub sip_call_id: Option<SipCallId>,
    /// The final response to the attempt's first request, after authentication.
    pub status: Option<u16>,
    /// Its reason phrase.
    pub status_reason: Option<String>,
    /// The Warning headers of that response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Its Reason headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_reason: Option<String>,
    /// The final sipfrag; null for other methods.
    pub final_status: Option<u16>,
    /// From the one table of causes; null while it runs and when it worked.
    pub cause: Option<Cow<'static, str>>,
    /// Who made `status`; null before there is one.
    pub origin: Option<Origin>,
    /// RFC 3339, UTC.
    pub started_at: Stamp,
    /// Null while it runs.
    pub ended_at: Option<Stamp>,
}

/// A result in words that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// One line.
    pub title: Cow<'static, str>,
    /// Why, as far as it is known.
    pub cause: Cow<'static, str>,
    /// What to do.
    pub next_step: Cow<'static, str>,
}

/// A rule of the table that led a handoff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// The destination that it belongs to.
    pub destination: String,
    /// Which of its rules, counted from 1.
    pub rule: usize,
    /// The destination that it leads to, or the method and route that it sets.
    pub to: String,
    /// Of a split: its weight and the sum of the weights that it was drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<(u32, u32)>,
}

impl RuleView {
    /// As the table tells it.
    pub fn of(taken: &Taken) -> Self {
        let Taken { destination, number, to, share } = taken;
        Self { destination: destination.to_string(), rule: *number, to: to.to_string(), share: *share }
    }
}

impl std::fmt::Display for RuleView {
    /// `front-desk rule 2: night-desk`, of a split with `(10 of 100)` after it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rule {}: {}", self.destination, self.rule, self.to)?;
        match self.share {
            Some((weight, all)) => write!(f, " ({weight} of {all})"),
            None => Ok(()),
        }
    }
}

/// A handoff as the API shows it and as the record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoffView {
    /// `handoff_id`.
    pub id: HandoffId,
    /// The call whose caller is moved.
    pub call_id: CallId,
    /// Whose table.
    pub environment: Id,
    /// The version of the table that it was decided by.
    pub table_version: u64,
    /// Destination id.
    pub destination: Id,
    /// As given with the decision.
    pub reason: Option<String>,
    /// As given with the decision.
    pub utterance: Option<String>,
    /// The rules of the table that were taken, in order; those of a step come when it is taken.
    #[serde(default)]
    pub rules: Vec<RuleView>,
    /// Where it stands, or how it ended.
    pub state: HandoffState,
    /// Null below `accepted`.
    pub proof: Option<Proof>,
    /// Null unless it failed.
    pub cause: Option<Cow<'static, str>>,
    /// One for each method tried on each route.
    pub attempts: Vec<AttemptView>,
    /// In words.
    pub explain: Explain,
    /// RFC 3339, UTC.
    pub created_at: Stamp,
    /// Null while it runs.
    pub ended_at: Option<Stamp>,
}

/// One ended call with all that is to be kept of it: one line in `state.dir/records/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call; `variables` holds names only (values are the caller's business): each is `""`.
    pub call: CallView,
    /// Its handoffs, oldest first.
    #[serde(serialize_with = "write_shared", deserialize_with = "read_shared")]
    pub handoffs: Vec<Arc<HandoffView>>,
}

fn write_shared<S: Serializer>(handoffs: &[Arc<HandoffView>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(handoffs.iter().map(|handoff| &**handoff))
}

fn read_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<HandoffView>>, D::Error> {
    Ok(Vec::<HandoffView>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
}

/// A point in time that is written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub UnixMillis);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => f.write_str("0000-00-00T00:00:00.000Z"),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Stamp(UnixMillis(at.as_millisecond())))
    }
}
