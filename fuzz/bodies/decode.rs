//! Any bytes through the decoder: no panic, and what it accepts reads, answers, forwards and reads again.

use baton::wire::encode::{Forward, forward, response_to};
use baton::wire::{Framing, Index, Message, Name, Uri, decode, peek, salvage, sdp};

/// Runs the decoder over `bytes` and holds what it promises.
pub fn decode_body(bytes: &[u8]) {
    let mut index = Index::default();
    let looked = peek::peek(bytes);
    let _ = decode(bytes, &mut index, Framing::Stream).map(|message| message.body().len());
    match decode(bytes, &mut index, Framing::Datagram) {
        Ok(message) => accepted(&message, looked),
        Err(fault) => {
            let status = fault.status();
            assert!((400..600).contains(&status));
            if let Some(message) = salvage(bytes, &index) {
                answer(&message, status);
            }
        }
    }
    if let Some(origin) = sdp::Origin::find(bytes) {
        assert!(bytes[origin.line.clone()].starts_with(b"o="));
        assert!(origin.line.start < origin.version.start && origin.version.end < origin.line.end);
    }
    if let Ok(uri) = Uri::parse(bytes) {
        assert!(uri.equivalent(&uri), "a URI equals itself");
    }
}

fn accepted(message: &Message<'_>, looked: Option<peek::Peek<'_>>) {
    let looked = looked.expect("peek sees what decode accepts");
    assert_eq!(looked.call_id, message.call_id(), "peek and decode agree");
    assert_eq!(message.via().branch, message.branch());
    for header in message.all() {
        assert!(message.custom(header.raw_name).is_some());
    }
    if !message.is_request() {
        assert!(message.status().is_some());
        return;
    }
    assert!(message.uri().is_ok());
    // The tag is always read, the URI beside it where the method needs it.
    for (address, tag) in [(message.from(), message.from_tag()), (message.to(), message.to_tag())] {
        assert!(address.uri.bytes.is_empty() || address.tag() == tag);
    }
    answer(message, 480);
    let mut out = Vec::new();
    let own = Forward {
        uri: message.uri_bytes(),
        via: b"SIP/2.0/UDP a;branch=z9hG4bKo",
        contact: b"<sip:a>",
        max_forwards: 1,
    };
    forward(&mut out, message, &own);
    let mut index = Index::default();
    let again = decode(&out, &mut index, Framing::Stream).expect("what was forwarded reads");
    assert_eq!(again.call_id(), message.call_id());
    assert_eq!(again.cseq(), message.cseq());
    assert_eq!((again.from_tag(), again.to_tag()), (message.from_tag(), message.to_tag()));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.values(Name::Via).count(), 1);
}

fn answer(message: &Message<'_>, status: u16) {
    let mut out = Vec::new();
    let source = "192.0.2.9:5060".parse().expect("an address");
    response_to(&mut out, message, status, b"No", Some(b"t"), Some(source)).finish(None);
    let mut index = Index::default();
    match decode(&out, &mut index, Framing::Stream) {
        Ok(answer) => {
            assert_eq!(answer.call_id(), message.call_id());
            assert_eq!(answer.branch(), message.branch());
            assert_eq!(answer.from_tag(), message.from_tag());
        }
        Err(fault) => assert_eq!(fault.reason(), "CSeq Out of Range"),
    }
}
