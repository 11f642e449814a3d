//! Each duration of the stack that nobody can configure and that RFC 3261 gives no name: value, unit and reason. What has
//! one there (T1, Timer C) stands in [`super::timing`], what tells a standstill in [`super::pace`].

use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// Transactions.

/// From a request that is no INVITE to our 100, when the client's Timer E reaches T2: T1 + 2·T1 + 4·T1 (RFC 4320 §4.2).
pub(crate) const TRYING_AFTER: Duration = ms(3500);

// Addresses where nobody answered.

/// How long an address is tried last that refused or was silent.
pub(crate) const QUARANTINE: Duration = s(30);
/// The longest that a peer can ask for by Retry-After.
pub(crate) const QUARANTINE_AT_MOST: Duration = s(300);

// Connections for requests that are too long for a datagram.

/// How long a connection may take that is opened only because a request is long (RFC 3261 §18.1.1).
pub(crate) const STREAM_OPENS: Duration = s(1);
/// How long nobody asks again whether a peer that takes datagrams takes streams.
pub(crate) const NO_STREAM: Duration = s(600);

// Legs.

/// How often a 18x is said again, so that no proxy gives up (RFC 3261 §13.3.1.1).
pub(crate) const PROGRESS_REPEAT: Duration = s(60);
/// How soon a suspicion is followed up that could not be while another request was under way.
pub(crate) const SUSPICION_RETRY: Duration = s(1);

// Session timers.

/// How long before its expiry a session is given up that the peer should have refreshed (RFC 4028 §10).
pub(crate) const PEERS_REFRESH_MARGIN: Duration = s(32);
/// The same where the refresh is ours: "slightly before". A peer that says 491 or is busy leaves us all the time that there is.
pub(crate) const OUR_REFRESH_MARGIN: Duration = s(2);
/// How often a refresh is tried that cannot go out now.
pub(crate) const REFRESH_RETRY: Duration = s(1);
