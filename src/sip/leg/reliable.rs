//! What is kept of provisional responses of ours that are to be acknowledged (RFC 3262 §3).
//!
//! Data only; not here: what is sent, and what a PRACK does (`prack`).

use super::carry::keep_fields;
use super::content::{Body, Content, Field, sdp_of};
use crate::sip::pace::Gap;
use crate::sip::timing::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Our side of an INVITE that requires it.
#[derive(Debug)]
pub(crate) struct Reliable {
    /// RSeq of the last one sent; grows by one with each.
    pub(super) rseq: u32,
    pub(super) open: Option<Open>,
    pub(super) waiting: VecDeque<Waiting>,
    /// The 2xx, which waits for the PRACK of its answer.
    pub(super) accepting: Option<Waiting>,
}

/// Sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Open {
    /// It carries the answer.
    pub(super) answers: bool,
    /// When it is sent again.
    pub(super) at: Time,
    /// The interval that ends then.
    pub(super) interval: Duration,
    /// When it is given up.
    pub(super) until: Time,
}

/// A response that may not be sent yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) party: u8,
    pub(super) status: u16,
    pub(super) fields: Box<[Field]>,
    pub(super) sdp: Option<Box<[u8]>>,
}

impl Waiting {
    pub(super) fn new(party: u8, status: u16, content: &Content<'_>) -> Waiting {
        Waiting { party, status, fields: keep_fields(content), sdp: sdp_of(content).map(Into::into) }
    }

    pub(super) fn content(&self) -> Content<'_> {
        let body = self.sdp.as_deref().map_or(Body::None, Body::Sdp);
        Content { fields: &self.fields, body, ..Content::default() }
    }
}

impl Reliable {
    /// The first RSeq is drawn from 1 to 2^31 - 1 (RFC 3262 §3).
    pub(crate) fn new(first: u32) -> Reliable {
        Reliable { rseq: first & 0x3fff_ffff, open: None, waiting: VecDeque::new(), accepting: None }
    }

    /// The process stood still: the copies go by true time, the end of the patience does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let Some(open) = &mut self.open {
            open.at = gap.back(now, open.at);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.at.min(open.until))
    }

    /// RSeq of the one that is not acknowledged.
    pub(super) fn waits_for(&self) -> Option<u32> {
        self.open.as_ref().map(|_| self.rseq)
    }

    /// Our answer may not have been seen yet.
    pub(crate) fn answers(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.answers)
    }
}
