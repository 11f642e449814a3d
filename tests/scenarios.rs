//! What Baton does, one trace for each behaviour: the engine in virtual time against peers that write SIP as text.

mod common;

#[path = "scenarios/agent.rs"]
mod agent;
#[path = "scenarios/agents.rs"]
mod agents;
#[path = "scenarios/alone.rs"]
mod alone;
#[path = "scenarios/attended.rs"]
mod attended;
#[path = "scenarios/bridge.rs"]
mod bridge;
#[path = "scenarios/brief.rs"]
mod brief;
#[path = "scenarios/bye.rs"]
mod bye;
#[path = "scenarios/calls.rs"]
mod calls;
#[path = "scenarios/checks.rs"]
mod checks;
#[path = "scenarios/contacts.rs"]
mod contacts;
#[path = "scenarios/decisions.rs"]
mod decisions;
#[path = "scenarios/doors.rs"]
mod doors;
#[path = "scenarios/doubt.rs"]
mod doubt;
#[path = "scenarios/early.rs"]
mod early;
#[path = "scenarios/fallback.rs"]
mod fallback;
#[path = "scenarios/faulty.rs"]
mod faulty;
#[path = "scenarios/forks.rs"]
mod forks;
#[path = "scenarios/fraud.rs"]
mod fraud;
#[path = "scenarios/given_up.rs"]
mod given_up;
#[path = "scenarios/headers.rs"]
mod headers;
#[path = "scenarios/identity.rs"]
mod identity;
#[path = "scenarios/keepalive.rs"]
mod keepalive;
#[path = "scenarios/ladder.rs"]
mod ladder;
#[path = "scenarios/large.rs"]
mod large;
#[path = "scenarios/lifecycle.rs"]
mod lifecycle;
#[path = "scenarios/onward.rs"]
mod onward;
#[path = "scenarios/pressure.rs"]
mod pressure;
#[path = "scenarios/quirks.rs"]
mod quirks;
#[path = "scenarios/races.rs"]
mod races;
#[path = "scenarios/redirect.rs"]
mod redirect;
#[path = "scenarios/refer.rs"]
mod refer;
#[path = "scenarios/refer_races.rs"]
mod refer_races;
#[path = "scenarios/refusals.rs"]
mod refusals;
#[path = "scenarios/passing.rs"]
mod relay;
#[path = "scenarios/returned.rs"]
mod returned;
#[path = "scenarios/rules.rs"]
mod rules;
#[path = "scenarios/sessions.rs"]
mod sessions;
#[path = "scenarios/silence.rs"]
mod silence;
#[path = "scenarios/standstill.rs"]
mod standstill;
#[path = "scenarios/trial.rs"]
mod trial;
#[path = "scenarios/unanswered.rs"]
mod unanswered;
#[path = "scenarios/unreachable.rs"]
mod unreachable;
