//! What a test has found, as the API shows it. Facts only.

use crate::call::record::Stamp;
use crate::routing::explain::Cause;
use crate::sip::Origin;
use serde::{Deserialize, Serialize};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was looked up and asked, and was not to be called.
    Found,
    /// Its name has no address.
    Unresolved,
    /// It rings; the call was taken back.
    Rings,
    /// It has answered; the call was ended.
    Answers,
    /// Something was heard of it (181 to 199), but no ringing.
    Progress,
    /// The call arrived somewhere, and nothing more was heard in time.
    NoRing,
    /// Nothing came back.
    Silent,
    /// It will not take the call.
    Refused(Cause),
    /// Baton broke it off: it was ending, or has a fault.
    Aborted,
}

impl Outcome {
    /// The word for programs; of a refusal its cause.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Found => "found",
            Outcome::Unresolved => "unresolved",
            Outcome::Rings => "rings",
            Outcome::Answers => "answers",
            Outcome::Progress => "progress",
            Outcome::NoRing => "no_ring",
            Outcome::Silent => "silent",
            Outcome::Refused(cause) => cause.name(),
            Outcome::Aborted => "aborted",
        }
    }

    /// Whether it did what was hoped for. `Progress` did not: nobody knows what it was.
    pub fn is_good(self) -> bool {
        matches!(self, Outcome::Found | Outcome::Rings | Outcome::Answers)
    }

    const ALL: [Outcome; 8] = [
        Outcome::Found,
        Outcome::Unresolved,
        Outcome::Rings,
        Outcome::Answers,
        Outcome::Progress,
        Outcome::NoRing,
        Outcome::Silent,
        Outcome::Aborted,
    ];
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        let word = String::deserialize(deserializer)?;
        let all = Outcome::ALL.into_iter().chain(Cause::ALL.map(Outcome::Refused));
        let found = all.into_iter().find(|outcome| outcome.as_str() == word);
        found.ok_or_else(|| serde::de::Error::custom(format!("`{word}` is no outcome of a test")))
    }
}

/// A final answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// 200 to 699.
    pub status: u16,
    /// Its phrase, as it stood there.
    pub reason: String,
    /// Who made it: a transport fault is a local 503.
    pub origin: Origin,
}

/// What it says of itself. All `None`: it did not answer, which says nothing of the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// To the question.
    pub answer: Option<Answer>,
    /// Whether it takes a REFER; `None`: it does not say.
    pub refer: Option<bool>,
    /// Whether it knows Replaces; `None`: it does not say.
    pub replaces: Option<bool>,
}

/// How it took the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The last provisional status that says more than that the call has arrived.
    pub progress: Option<u16>,
    /// The final answer; `None`: it was taken back before there was one, or nothing came.
    pub answer: Option<Answer>,
    /// It was answered, if only while it was being taken back.
    pub taken: bool,
    /// Its end was confirmed by the other side.
    pub ended: bool,
}

/// One message of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Microseconds since the test began.
    pub at_us: u64,
    /// `baton` or `target`.
    pub from: String,
    /// The first line.
    pub start: String,
    /// Of the request, or of the one that is answered.
    pub method: String,
    /// The same message as before: a retransmission.
    pub retransmission: bool,
}

/// The whole of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCallView {
    /// Whose table.
    pub environment: String,
    /// The version that the test was begun with.
    pub table_version: u64,
    /// As it was asked for by its id.
    pub destination: String,
    /// How a caller would be moved there.
    pub method: String,
    /// Its own route.
    pub route: String,
    /// How many rules it has: a test does not go by them, for it has no call that they could be asked about.
    #[serde(default)]
    pub rules_not_asked: usize,
    /// Through which trunk, if the route is a number.
    pub trunk: Option<String>,
    /// What was called: the Request-URI.
    pub uri: String,
    /// Where it is, in the order in which the addresses are tried: `udp:10.0.0.5:5060`.
    pub addresses: Vec<String>,
    /// What it says of itself; `None`: it was not asked.
    pub options: Option<Said>,
    /// How it took the call; `None`: it was not called.
    pub call: Option<Called>,
    /// What came of it.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: Stamp,
    /// When it was over.
    pub ended_at: Stamp,
    /// How long it took.
    pub duration_ms: u64,
    /// What was said, in order.
    pub messages: Vec<Spoken>,
}
