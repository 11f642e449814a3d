//! What a message says besides its status: why (Reason, RFC 3326), and whether it is so for a while only (Retry-After).
//!
//! It only reads; what that means is the business of the layers above, which so name no header.

use crate::wire::grammar::{self, Commas, Params};
use crate::wire::{Message, Name, sipfrag};

/// Why a response, BYE or sipfrag says that something failed, beside its status: its Reason values (RFC 3326), and whether it
/// has a Retry-After.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonInfo {
    /// The cause of the first Reason of SIP: `SIP;cause=503` is 503. 100 to 699.
    pub sip: Option<u16>,
    /// The same of Q.850, which is what the telephone network behind a gateway said: 1 to 127.
    pub q850: Option<u16>,
    /// Whether there is a Retry-After.
    pub retry_after: bool,
}

impl ReasonInfo {
    /// Reads a message.
    pub fn of(message: &Message<'_>) -> ReasonInfo {
        let mut reason_info =
            ReasonInfo { retry_after: message.header(Name::RetryAfter).is_some(), ..ReasonInfo::default() };
        message.values(Name::Reason).for_each(|value| reason_info.add(value));
        reason_info
    }

    /// Reads the headers of a sipfrag, where there are any.
    pub(super) fn of_sipfrag(body: &[u8]) -> ReasonInfo {
        let mut reason_info = ReasonInfo::default();
        for (name, value) in sipfrag::headers(body) {
            match Name::parse(name) {
                Name::Reason => Commas::new(value).for_each(|value| reason_info.add(value)),
                Name::RetryAfter => reason_info.retry_after = true,
                _ => {}
            }
        }
        reason_info
    }

    fn add(&mut self, value: &[u8]) {
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        let (protocol, params) = value.split_at(end);
        let protocol = grammar::trim(protocol);
        let cause = || {
            let cause = Params::new(params).find(b"cause").flatten()?;
            u16::try_from(grammar::decimal(cause)?).ok()
        };
        if protocol.eq_ignore_ascii_case(b"SIP") {
            self.sip = self.sip.or_else(|| cause().filter(|cause| (100..700).contains(cause)));
        } else if protocol.eq_ignore_ascii_case(b"Q.850") {
            self.q850 = self.q850.or_else(|| cause().filter(|cause| (1..128).contains(cause)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Framing, Index, decode};

    fn reason_info(lines: &str) -> ReasonInfo {
        let text = format!(
            "SIP/2.0 480 No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n{lines}\r\n\r\n"
        );
        let mut index = Index::default();
        ReasonInfo::of(&decode(text.as_bytes(), &mut index, Framing::Datagram).expect("decodes"))
    }

    #[test]
    fn each_protocol_has_its_own() {
        let both = reason_info("Reason: Q.850;cause=16, SIP ;text=\"a,b\";cause=503");
        assert_eq!(both, ReasonInfo { sip: Some(503), q850: Some(16), retry_after: false });
        let again = reason_info(
            "Reason: q.850 ;cause=17;text=\"User busy\"\r\nReason: Q.850;cause=1\r\nRetry-After: 5",
        );
        assert_eq!(again, ReasonInfo { sip: None, q850: Some(17), retry_after: true });
        for nothing in
            ["X: y", "Reason: Q.850", "Reason: Q.850;cause=x", "Reason: SIP;cause=7", "Reason: ISUP;cause=17"]
        {
            assert_eq!(reason_info(nothing), ReasonInfo::default(), "{nothing}");
        }
    }

    #[test]
    fn a_sipfrag_may_say_it_too() {
        let body = b"SIP/2.0 480 No\r\nreason : Q.850;cause=17\r\nRetry-After: 5\r\n\r\n";
        assert_eq!(ReasonInfo::of_sipfrag(body), ReasonInfo { sip: None, q850: Some(17), retry_after: true });
        assert_eq!(ReasonInfo::of_sipfrag(b"SIP/2.0 480 No"), ReasonInfo::default());
        assert_eq!(
            ReasonInfo::of_sipfrag(b"SIP/2.0 480 No\r\n\r\nReason: Q.850;cause=17"),
            ReasonInfo::default()
        );
    }
}
