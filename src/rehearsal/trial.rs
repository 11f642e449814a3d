//! What a test of a destination has found, in words and as a ladder. It claims what was seen and nothing else. Used by
//! the API and the command line.

use super::ladder::Page;
use super::tape::{Entry, Party};
use super::text::Text;
use crate::call::test_call::{Called, Outcome, Said, TestCallView};
use crate::routing::explain::{self, Where};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What was found, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The facts.
    #[serde(flatten)]
    pub found: TestCallView,
    /// What it says of itself, in words.
    pub abilities: Option<String>,
    /// What came of the call, in words.
    pub verdict: String,
    /// What to do now; empty: nothing.
    pub next_step: String,
}

impl Tested {
    /// What the test leaves out, in words: whoever tries a destination may mean where it leads now.
    pub fn without_rules(&self) -> Option<String> {
        let found = &self.found;
        let rules = match found.rules_not_asked {
            0 => return None,
            1 => "rule was not asked".to_owned(),
            more => format!("{more} rules were not asked"),
        };
        let id = &found.destination;
        Some(format!(
            "Its {rules}, since a test has no call: this is the route of `{id}` itself. Where a decision for it goes now, `baton \
             render {id} --env {}` tells; try that one, too.",
            found.environment
        ))
    }

    /// Puts it into words.
    pub fn of(found: TestCallView) -> Tested {
        let (verdict, next_step) = verdict(&found);
        Tested { abilities: found.options.as_ref().map(abilities), verdict, next_step, found }
    }

    /// Every message, as a ladder.
    pub fn ladder(&self, page: &Page) -> String {
        let entries: Vec<Entry> = self
            .found
            .messages
            .iter()
            .map(|message| {
                let (from, to) = match message.from.as_str() {
                    "baton" => (Party::Baton, Party::Target),
                    _ => (Party::Target, Party::Baton),
                };
                Entry::Message {
                    at: Duration::from_micros(message.at_us),
                    from,
                    to,
                    message: Text::new(message.start.clone()).with("CSeq", format!("1 {}", message.method)),
                    again: message.retransmission,
                }
            })
            .collect();
        page.ladder_between(&[Party::Baton, Party::Target], &entries)
    }
}

fn abilities(said: &Said) -> String {
    let Some(answer) = &said.answer else {
        return "It does not answer OPTIONS. That proves nothing: many systems never do.".to_owned();
    };
    let refer = match said.refer {
        Some(true) => "it takes REFER",
        Some(false) => "it does not take REFER (its Allow lacks it)",
        None => "it does not say whether it takes REFER",
    };
    let replaces = match said.replaces {
        Some(true) => "it knows Replaces",
        Some(false) => "it does not know Replaces (its Supported lacks it), so no attended transfer to it",
        None => "it does not say whether it knows Replaces",
    };
    format!("It answers OPTIONS with {} {}: {refer}, and {replaces}.", answer.status, answer.reason)
}

/// What came of it, and what to do now.
fn verdict(found: &TestCallView) -> (String, String) {
    let uri = &found.uri;
    let default = Called::default();
    let call = found.call.as_ref().unwrap_or(&default);
    let told = |status: u16| format!("{status} {}", explain::status(status).title);
    let (mut verdict, mut next_step) = match found.outcome {
        Outcome::Found => {
            let at = found.addresses.first().map_or("nowhere", String::as_str);
            (format!("{uri} is at {at}. It was not called."), String::new())
        }
        Outcome::Unresolved => (
            format!("{uri} has no address that Baton could send to. Nothing was sent."),
            "Check the name in the route, or in the `address` of its trunk, and the resolver of this machine; its transport \
             must be one that `listen` serves."
                .to_owned(),
        ),
        Outcome::Rings => {
            let answered = match call.taken {
                true => " Somebody answered in that moment, and was hung up on.",
                false => "",
            };
            (format!("It rings: {uri} said 180 Ringing, and the call was taken back.{answered}"), String::new())
        }
        Outcome::Answers => (format!("It answers: {uri} took the call, and was let go at once."), String::new()),
        Outcome::Progress => (
            format!(
                "{uri} said {}, and neither rang nor answered in time. With early media that may be a ringing tone, or an \
                 announcement that the number does not exist: nobody knows without listening.",
                told(call.progress.unwrap_or_default())
            ),
            "Call it by hand and listen.".to_owned(),
        ),
        Outcome::NoRing => (
            format!("The call arrived at {uri} (100 Trying), and nothing more was heard in time."),
            "Look into the log of whatever stands at this address for what it does with this number.".to_owned(),
        ),
        Outcome::Silent => (
            format!("Nothing came back from {uri}. Nobody knows whether anything arrived."),
            "Check the address, the port and the transport of the route, the firewall between, and that the other side knows \
             Baton as a peer."
                .to_owned(),
        ),
        Outcome::Refused(_) => refused(uri, call),
        Outcome::Aborted => (
            "Baton broke the test off: it is stopping, or has a fault, which its log tells.".to_owned(),
            "Try again.".to_owned(),
        ),
    };
    if found.call.is_some()
        && !call.ended
        && matches!(found.outcome, Outcome::Rings | Outcome::Progress | Outcome::NoRing)
    {
        verdict.push_str(" That it shall stop was not confirmed.");
        next_step = format!("Look whether it rings still. {next_step}").trim_end().to_owned();
    }
    if found.outcome.is_good() && found.method == "refer" {
        verdict.push_str(
            " A handoff by `refer` is carried out by the caller's side, which was not asked: it has to reach the same place.",
        );
    }
    (verdict, next_step)
}

fn refused(uri: &str, call: &Called) -> (String, String) {
    let Some(answer) = &call.answer else {
        return (format!("{uri} does not take the call."), String::new());
    };
    let entry = explain::status(answer.status);
    let verdict = match answer.origin {
        crate::sip::Origin::Local => format!("The call could not be sent to {uri}."),
        crate::sip::Origin::Remote => {
            format!("{uri} does not take the call: {} {}. {}", answer.status, answer.reason, entry.cause)
        }
    };
    (verdict, entry.hint_for(Where::InviteResponse).to_owned())
}
