//! OPTIONS outside of any call: is somebody there, and what does it say of itself (RFC 3261 §11)?

use super::send::Request;
use super::usage::{Kind, Usage};
use super::{Connect, LegId};
use crate::sip::stack::Stack;
use crate::sip::timing::Now;
use crate::wire::headers::APPLICATION_SDP;
use crate::wire::{Message, Method, Name};

/// What somebody says of itself in a response; `None` where the response says nothing of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It takes REFER: by Allow.
    pub refer: Option<bool>,
    /// It knows Replaces (RFC 3891): by Supported.
    pub replaces: Option<bool>,
}

impl Abilities {
    /// Of that response.
    pub fn of(message: &Message<'_>) -> Abilities {
        let says = |name: Name, value: &[u8]| {
            message.header(name)?;
            Some(message.values(name).any(|one| one.eq_ignore_ascii_case(value)))
        };
        Abilities {
            refer: says(Name::Allow, Method::Refer.as_str().as_bytes()),
            replaces: says(Name::Supported, b"replaces"),
        }
    }
}

impl Stack {
    /// OPTIONS by the first of the flows, in a leg that is no call and is over from the start. Challenges are answered.
    /// What comes of it is one [`super::Event::Response`], a timeout's 408 included; then the leg is to be released.
    /// `None`: there is no flow.
    pub fn inquire(&mut self, now: Now, connect: Connect<'_>) -> Option<LegId> {
        let id = self.leg_of_ours(&connect, *connect.flows.first()?, Usage::Over);
        let request = Request {
            method: Method::Options,
            kind: Kind::Probe,
            id: self.next_sent(),
            max_forwards: connect.max_forwards,
            offered: false,
            body: None,
            within: None,
        };
        self.send_request(now.mono, id, &request, &|writer| {
            writer.header(Name::Accept, APPLICATION_SDP);
        });
        Some(id)
    }
}
