//! A shard: one thread, one runtime of its own, one engine, its sockets and its inbox.
//!
//! The owner of a message is `slot(Call-ID) mod shards`; a call never moves between shards. [`handle`] is how the rest
//! of the process speaks to them, [`turn`] is the loop, [`inbox`] what stands between. What must have been read before a
//! deadline is served stands in `arrears`, and what a standstill of the process does to deadlines in [`clock`].

mod arrears;
pub mod clock;
pub mod handle;
pub mod inbox;
pub mod pulse;
pub mod turn;

pub use clock::Clock;
pub use handle::{Shards, Unavailable};
pub use turn::{Events, Network, Start};
