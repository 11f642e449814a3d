//! What a message of the peer's says, in one look. Not here: what follows from it.

use crate::wire::grammar::Commas;
use crate::wire::{Message, Name};

/// Whether a message names an extension in that header.
pub(crate) fn names(message: &Message<'_>, header: Name, option: &str) -> bool {
    message.headers(header).flat_map(Commas::new).any(|one| one.eq_ignore_ascii_case(option.as_bytes()))
}

/// Whether the body of a request is one that Baton carries for an INVITE or UPDATE.
pub(crate) fn carries(message: &Message<'_>) -> bool {
    let identity = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
    message.body().is_empty()
        || (message.has_sdp() && message.header(Name::ContentEncoding).is_none_or(identity))
}

/// Whether the final response to a re-INVITE of ours says that another request is under way, and it may be tried again soon:
/// 491, or 500 with Retry-After from a peer whose last INVITE is not done yet (RFC 3261 §14.2).
pub fn is_glare(status: u16, message: Option<&Message<'_>>) -> bool {
    status == 491 || (status == 500 && message.is_some_and(|m| m.header(Name::RetryAfter).is_some()))
}
