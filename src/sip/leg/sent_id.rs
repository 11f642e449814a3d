//! What a request of ours in a leg is known by.

/// A request that we sent inside a leg. Answered by exactly one [`Event::Response`](super::event::Event::Response), unless
/// the leg is over before, or lost by the answer; by a second one if a REFER that had a local 408 is taken after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SentId(pub(crate) u64);
