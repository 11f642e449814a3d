//! The product: calls and handoffs. Pure. It names no header and no SIP method; those are the business of
//! [`crate::sip`].
//!
//! ```text
//! engine        one input in, outputs out: routes and indexes only
//! live          one call: its facts and its phase
//! admission     INVITE -> trunk, agent, or a refusal
//! conversation  two answered legs: what passes between them, and what brings their sessions into step
//! target_address  where an INVITE of ours to a target goes, and what it says
//! occupancy     how many calls there are, over all shards
//! announced     what is told once for all calls of an agent or a trunk, over all shards
//! roll          a list that all shards add to without a lock
//! roster        which index a trunk or an agent has in the stack, and whose an address is
//! relay         requests of one leg that wait for the answer of another
//! alone         what a side is answered that is with nobody just now
//! given         what was decided, as it was said, and by whom
//! decision      that -> a checked, expanded plan
//! waiting       targets that have answered, and may still be taken over by a REFER in doubt
//! phase/        setup -> talking <-> moving -> ending; each owns exactly what is valid in it
//! handoff/      one decision while it runs: facts, doubt, plan, ladder, outcome, report, view; and what is asked of a
//!               peer for it: calling, still_here, swap
//! handoff/way/  a file for each way to move the caller, all of them a Machine
//! test_call/    a test of a destination, beside the calls: asked what it can, called, and let go at once
//! counters      what is counted of all that
//! view          what is shown of a call
//! ```

mod admission;
mod alone;
mod announced;
pub mod command;
mod context;
mod conversation;
pub mod counters;
mod decision;
pub(crate) mod dropped;
pub(crate) mod durations;
pub mod end_reason;
pub mod engine;
pub mod event;
mod facts;
mod given;
mod handoff;
pub mod ids;
mod io;
mod live;
mod occupancy;
mod phase;
pub mod record;
mod relay;
mod roll;
mod roster;
mod target_address;
pub mod test_call;
pub mod ticket;
mod view;
mod waiting;
