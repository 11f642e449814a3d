//! One thread, one engine, its sockets and its inbox.
