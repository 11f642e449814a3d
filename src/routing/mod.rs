//! The destination table, trunks and agents. Pure.
