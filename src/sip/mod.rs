//! The RFC 3261 core: transactions, dialogs and legs. Pure.
