//! Each duration of the scripted peers and of the agent in the daemon: value, unit and reason. Those of RFC 3261 are written
//! again here, for nothing of the engine's SIP code judges itself.

use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// RFC 3261 §17.1.1.1.

/// A request without an answer is sent again after it.
pub(super) const T1: Duration = ms(500);
/// The longest time between two of its copies.
pub(super) const T2: Duration = s(4);
/// 64·T1: then it is given up.
pub(super) const T1X64: Duration = s(32);

// The demo.

/// No scene takes longer, whatever goes wrong in it.
pub(super) const SCENE_AT_MOST: Duration = s(10);
/// How long Baton's own news may take.
pub(super) const BATONS_NEWS: Duration = s(5);
/// How long a script waits for the message that must come next.
pub(super) const NEXT_MESSAGE: Duration = s(3);
/// How long a party rings: people read the ladder, and with no pause at all everything happens at once.
pub(super) const PARTY_RINGS: Duration = ms(25);

// The agent in the daemon.

/// How long it rings.
pub(super) const AGENT_RINGS: Duration = ms(300);
/// How long it stays with a caller who could not be moved, so that a person notices who they are with.
pub(super) const AGENT_STAYS: Duration = s(5);
/// How long it speaks with the target of a destination with `brief = true`.
pub(super) const AGENT_BRIEFS: Duration = s(2);
/// How long it waits before it refers again when another handoff is running.
pub(super) const AGENT_REFERS_AGAIN: Duration = s(5);
/// No call of it is longer, whatever becomes of it.
pub(super) const AGENT_CALL_AT_MOST: Duration = s(30 * 60);
/// Without a call nothing is due to it; its loop looks again now and then all the same.
pub(super) const AGENT_IDLE: Duration = s(3600);
