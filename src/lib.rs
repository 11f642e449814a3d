//! Baton: a SIP B2BUA that takes calls for AI voice agents and hands the callers over.
//!
//! # The one idea
//!
//! **The whole engine is a pure state machine; sockets, clocks, files and HTTP stand around it.** Time and randomness
//! are parameters, so that every test runs in virtual time and every bug replays.
//!
//! The contract, in one sentence: give [`Engine::handle`] one [`Input`] with the time it is, then take what
//! [`Engine::poll`] wants done until it says [`Output::Idle`], and come back with the next input or at the time that
//! Idle names.
//!
//! 1. Wait for a message, a command, an answer that was asked for, or the deadline.
//! 2. Read the clock, and hand the input to [`Engine::handle`].
//! 3. Do every [`Output`] as it comes: `Transmit` to a socket, `Recall` to whoever holds what waits for a stream,
//!    `Ask` to whoever can answer, `Reply` to whoever commanded, `Event` to the log and the records, `Adopted` to whoever
//!    waits for new tables.
//! 4. At `Idle { until }` go to 1.
//!
//! Time never runs ahead of what has arrived: a `Tick` is given when all is handed in that had arrived by then, and a time
//! in which the process stood still is left out of the time that the engine is given, and told by `StoodStill` before
//! what has arrived meanwhile ([`sip::pace`]).
//!
//! What takes time is a pair: a `Transmit` that fails comes back as `SendFailed`, and as `Sent` if it asks to be told when
//! it has left its stream's queue; a `Recall` comes back as one of the two, an `Ask` as `Answer`, new `Tables` are
//! told by `Adopted`. Downward is a function call, upward is a queue that the caller drains; nothing re-enters, and no layer
//! knows the ids of the one above it. One engine is one thread's; there is nothing to lock.
//!
//! # The layers
//!
//! Each layer imports only lower ones (`tests/layering.rs` holds this):
//!
//! | layer | module | what |
//! |---|---|---|
//! | 0 | [`observe`] | redaction, log fields, words |
//! | 1 | [`wire`] | bytes to messages and back; the only place that names `rsip` |
//! | 2 | [`sip`] | the RFC 3261 core: transactions, dialogs, legs |
//! | 3 | [`routing`] | the destination table, trunks and agents |
//! | 4 | [`call`] | the product: calls, handoffs, tests of destinations, the engine |
//! | 5 | `net`, `store` | sockets and files; tokio starts here |
//! | 6 | `shard` | one engine with its sockets, inbox and loop |
//! | 7 | `rehearsal` | the scripted peers of the demo; the agent inside the daemon; what a handoff would send |
//! | 8 | `http` | the API |
//! | 9 | `daemon` | configuration, start, reload, shutdown, telemetry |
//! | 10 | `cli` | one file for each verb |
//!
//! Layers 0 to 4 are the engine, and build without the feature `daemon`: no clock, socket, task, lock or file. Above
//! them everything is under it.
//!
//! # The life of a message
//!
//! 1. A datagram is read by the shard that owns the socket (`shard::turn`); a stream is cut into messages by its task
//!    (`net::tcp`, [`wire::frame`]). [`wire::peek`] finds the Call-ID, and its slot names the shard that owns the call:
//!    there the message is handled in place, or queued (`shard::inbox`).
//! 2. The engine asks [`routing::topology`] who sent it; a stranger gets no answer. [`wire::decode()`] makes an index of
//!    spans over the bytes and copies nothing.
//! 3. The stack ([`sip::stack`]) looks for its transaction, then for its dialog: a retransmission is answered from
//!    memory, a request inside a dialog goes to its leg ([`sip::leg`]), an INVITE outside of one becomes a new leg.
//! 4. The leg is handed the message with what all legs share (`sip::core`), changes itself alone, and says what that
//!    means as an event: ringing, answered, offered, referred, ended. The engine finds the call of the leg, and steps its
//!    phase (`setup`, `talking`, `moving`, `ending`); for a new INVITE `admission` makes the call, or refuses it.
//! 5. The phase calls verbs on legs: accept, connect, modify, refer, close. What they write leaves as `Transmit`, each
//!    with the path that its peer is reached by ([`sip::Flow`]).
//!
//! # The life of a handoff
//!
//! 1. Somebody decides: a command (HTTP, the command line), the agent's REFER, its BYE or 3xx with a name, or its
//!    absence. The tables that the call decides by from here on are pinned by their `Arc`.
//! 2. [`routing::select`] says which destination is named, [`routing::rules`] where that leads by the hour, the call or a
//!    draw, [`routing::template`] expands its headers, once.
//! 3. The phase `moving` runs one way to move the caller after the other. Each is a `Machine` in a file of its own under
//!    `call::handoff::way`: `refer` asks the caller's side and weighs what it tells; `target_call` has the target called,
//!    through redirections, and `join` brings it together with the caller, who is with the agent until then (RFC 3725);
//!    `brief` lets the agent speak with the target first, `attended` has the caller's side take the target's call over
//!    (RFC 3891); `fresh` makes the offer anew for a target that cannot use the caller's last one. A way that has done its
//!    part turns into the next one; what it has come to is an `Outcome`.
//! 4. [`routing::explain`] tells what a status means. On failure `ladder` takes the next step of `on_failure` that was
//!    not tried yet: another method, another destination, or an end (back with the agent, back to the PBX, BYE). The
//!    agent's conversation is not touched before the target has answered; before the caller leg is answered the phase
//!    `setup` takes the same steps.
//! 5. An outcome, with its proof and cause, is shown, logged, counted and recorded; BYE to both legs where it succeeded;
//!    and [`Engine::is_empty`] when the last call has gone, which every scenario asserts.
//!
//! # The life of a table
//!
//! 1. A file is read as a whole ([`routing::table::read()`](routing::table)), or a change through the API makes its new text
//!    (`daemon::change`) and replaces the file (`store::replace`).
//! 2. The versions say which number that text has (`store::versions`, by `daemon::numbering`).
//! 3. Every shard is given the new tables and tells that it has adopted them (`daemon::reload`). What handoffs still hold of
//!    the old ones is kept beside, and dropped on the daemon's thread when the last of them has ended.
//!
//! # The words
//!
//! Where a word of the field fits, the code uses it.
//!
//! | word | source | name in the code |
//! |---|---|---|
//! | transaction | RFC 3261 §17, RFC 6026 | [`sip::transaction`] |
//! | dialog | RFC 3261 §12 | `sip::dialog::Dialog` |
//! | leg: an INVITE usage and its dialog | RFC 5057 | `Leg`, [`sip::leg`] |
//! | early dialog of ours with the caller; of a forked INVITE of ours | RFC 3261 §12.1, §13.2.2.4 | `EarlyUas`; `EarlyUac` |
//! | branch of a fork whose 2xx does not count | RFC 3261 §13.2.2.4 | `ForkBranch` |
//! | request of the peer's in a dialog; what it asks | RFC 3261 §12.2.2 | `PendingUas`; [`sip::leg::InDialogRequest`] |
//! | request of ours in a dialog | RFC 3261 §12.2.1 | `PendingUac` |
//! | flow | RFC 5626 §2 | [`sip::Flow`] |
//! | question to the outside, and the ticket that its answer comes with | | [`sip::Question`], `Ticket` |
//! | offer and answer | RFC 3264 | `sip::offer_answer::Session` |
//! | both legs have each other's session | RFC 3725 | `SdpSync` |
//! | request that is relayed from leg to leg | RFC 7092 | `Relay`, `Relayed` |
//! | implicit subscription of a REFER; what its NOTIFY says | RFC 3515 §2.4.4, RFC 3420 | [`sip::leg::subscription`]; [`sip::leg::subscription::ReferProgress`] |
//! | Reason and Retry-After of a message | RFC 3326, RFC 3261 §20.33 | [`sip::leg::reason_info::ReasonInfo`] |
//! | blind transfer | RFC 5589 §6 | `BlindRefer` |
//! | attended transfer | RFC 5589 §7, RFC 3891 | `AttendedTransfer` |
//! | handoff: one decision to move a caller | | `Handoff` |
//! | attempt: one method at one destination | | `AttemptPlan`, `AttemptFacts`, `AttemptView` |
//! | way: how a method moves the caller; what it works on, and hears | | `Way`, `Machine`; `Scene`, `Signal` |
//! | REFER whose result is open while something else is tried; after its handoff | | `LateRefer`; `UnresolvedRefer` |
//! | test of a destination | | `TestCall` |
//!
//! [`Engine`]: call::engine::Engine
//! [`Engine::handle`]: call::engine::Engine::handle
//! [`Engine::poll`]: call::engine::Engine::poll
//! [`Engine::is_empty`]: call::engine::Engine::is_empty
//! [`Input`]: call::engine::Input
//! [`Output`]: call::engine::Output
//! [`Output::Idle`]: call::engine::Output::Idle

// The pure layers: `clippy.toml` says what they may not name, and why.
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod call;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod observe;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod routing;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod sip;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod rehearsal;
#[cfg(feature = "daemon")]
pub mod shard;
#[cfg(feature = "daemon")]
pub mod store;
