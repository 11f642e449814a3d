//! The product: calls and handoffs. Pure.
