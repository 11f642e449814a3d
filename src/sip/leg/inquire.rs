//! OPTIONS outside of any call: is somebody there, and what does it say of itself (RFC 3261 §11)?

use super::Leg;
use super::connect::Connect;
use super::pending::Kind;
use super::send::Request;
use super::usage::Usage;
use crate::sip::core::{Core, Io};
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

impl Leg {
    /// A leg that is no call, over from the start, to the first of the flows. None: there is none.
    pub(crate) fn to_inquire(core: &mut Core, connect: &Connect<'_>) -> Option<Leg> {
        Some(Leg::of_ours(core, connect, *connect.flows.first()?, Usage::Over))
    }

    /// Its OPTIONS.
    pub(crate) fn inquire(&mut self, io: &mut Io<'_>, connect: &Connect<'_>) {
        let request = Request {
            kind: Kind::Probe,
            id: io.core.next_sent(),
            max_forwards: connect.max_forwards,
            body: None,
            branch: None,
        };
        self.send_request(io, request, &|writer| {
            writer.header(Name::Accept, APPLICATION_SDP);
        });
    }
}
