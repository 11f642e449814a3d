//! The cost of reading and writing one message: a 1.2 kB INVITE as a carrier sends it.
//!
//! Aims: index and the five keys in 0.5 µs, writing it out again in 0.2 µs, neither with an allocation.

use baton::wire::encode::{Forward, forward, response_to};
use baton::wire::frame::{Frame, Framer};
use baton::wire::peek::peek;
use baton::wire::{Framing, Index, decode, identify};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// 1.2 kB: two Vias, a Record-Route, identity, session timer and X- headers, SDP with three codecs.
const INVITE: &[u8] = b"INVITE sip:+14155550100@203.0.113.10:5060;transport=udp SIP/2.0\r\n\
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7c1.8e6a5f31.0;rport\r\n\
Via: SIP/2.0/UDP 10.20.30.40:5060;received=10.20.30.40;branch=z9hG4bKPj0f8e1c5a9b7d\r\n\
Record-Route: <sip:198.51.100.7;lr;ftag=as6f1e2d3c>\r\n\
Max-Forwards: 68\r\n\
From: \"Alice Example\" <sip:+14155550199@198.51.100.7>;tag=as6f1e2d3c\r\n\
To: <sip:+14155550100@203.0.113.10>\r\n\
Contact: <sip:+14155550199@10.20.30.40:5060;transport=udp>\r\n\
Call-ID: 7f9a1b2c3d4e5f60718293a4b5c6d7e8@10.20.30.40\r\n\
CSeq: 102 INVITE\r\n\
User-Agent: Example PBX 18.4\r\n\
Date: Mon, 03 Mar 2025 10:15:30 GMT\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO\r\n\
Supported: replaces, timer\r\n\
Session-Expires: 1800;refresher=uac\r\n\
P-Asserted-Identity: <sip:+14155550199@198.51.100.7>\r\n\
X-Account-ID: 00420042\r\n\
X-Session-Ref: 5f0c9a3e-7d21-4b8e-9c64-2a1b3c4d5e6f\r\n\
X-Language: en\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 249\r\n\
\r\n\
v=0\r\n\
o=root 1821263047 1821263047 IN IP4 10.20.30.40\r\n\
s=Example PBX\r\n\
c=IN IP4 10.20.30.40\r\n\
t=0 0\r\n\
m=audio 14762 RTP/AVP 0 8 101\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n\
";

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    let mut index = Index::default();
    decode(INVITE, &mut index, Framing::Datagram).expect("the sample is well-formed");
    let warm = index.capacity();

    group.bench_function("index_and_five_keys", |b| {
        b.iter(|| {
            let message = identify(black_box(INVITE), &mut index, Framing::Datagram).expect("well-formed");
            black_box((
                message.branch(),
                message.call_id(),
                message.from_tag(),
                message.to_tag(),
                message.cseq(),
            ));
        });
    });
    group.bench_function("and_its_addresses", |b| {
        b.iter(|| black_box(decode(black_box(INVITE), &mut index, Framing::Datagram)).is_ok());
    });
    assert_eq!(index.capacity(), warm, "the index allocated after warm-up");

    group.bench_function("peek", |b| b.iter(|| peek(black_box(INVITE))));

    let mut framer = Framer::new();
    group.bench_function("frame", |b| {
        b.iter(|| {
            framer.feed(black_box(INVITE));
            let whole = matches!(framer.poll(), Ok(Some(Frame::Message(_))));
            assert!(whole, "the sample is one whole message");
        });
    });
    group.finish();
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    let mut index = Index::default();
    let message = decode(INVITE, &mut index, Framing::Datagram).expect("the sample is well-formed");
    let mut out = Vec::with_capacity(4096);
    let own = Forward {
        uri: message.uri_bytes(),
        via: b"SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK4f9d0c7b21a86e53;rport",
        contact: b"<sip:203.0.113.10:5060>",
        max_forwards: message.max_forwards().expect("the sample has one") - 1,
    };
    group.bench_function("forward", |b| b.iter(|| forward(&mut out, black_box(&message), &own)));

    let source = "198.51.100.7:5060".parse().expect("an address");
    group.bench_function("response_180", |b| {
        b.iter(|| {
            response_to(&mut out, black_box(&message), 180, b"Ringing", Some(b"a1b2c3d4"), Some(source))
                .finish(None)
        });
    });
    assert_eq!(out.capacity(), 4096, "the buffer grew");
    group.finish();
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
