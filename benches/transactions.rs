//! A whole pair of transactions, client and server, for each method: every message decoded, matched, answered and
//! written, and each ended transaction kept for its time, so that the tables hold what they hold under load.
//!
//! One iteration is one pair; the clock moves a millisecond with each, which is 1,000 transactions a second.

use baton::sip::ident::{Ident, Seed};
use baton::sip::outbox::Outbox;
use baton::sip::transaction::{Inbound, Kind, Outgoing, Table};
use baton::sip::{Flow, Time, Transport};
use baton::wire::{Framing, Index, Message, Method, Name, Writer, decode};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

struct Pair {
    client: Table<u32>,
    server: Table<u32>,
    outbox: Outbox,
    ident: Ident,
    index: Index,
    now: Time,
    wire: Vec<u8>,
}

fn flow(transport: Transport) -> Flow {
    let connection = u64::from(transport.is_reliable());
    Flow { transport, listener: 0, peer: ([192, 0, 2, 7], 5060).into(), connection }
}

fn read<'a>(bytes: &'a [u8], index: &'a mut Index) -> Message<'a> {
    decode(bytes, index, Framing::Datagram).expect("what the pair wrote")
}

impl Pair {
    fn new() -> Pair {
        Pair {
            client: Table::new([1; 16]),
            server: Table::new([2; 16]),
            outbox: Outbox::default(),
            ident: Ident::new(Seed([3; 32])),
            index: Index::default(),
            now: Time(0),
            wire: Vec::new(),
        }
    }

    /// Moves the next message out of the outbox on to the wire.
    fn carry(&mut self) {
        let transmit = self.outbox.poll().expect("a message");
        self.wire.clear();
        self.wire.extend_from_slice(transmit.bytes);
    }

    /// One request with its final response; for an INVITE a 100 before it, and after a refusal the ACK.
    fn exchange(&mut self, flow: Flow, method: Method, status: u16) {
        self.now = Time(self.now.0 + 1000);
        self.client.tick(self.now, 64, &mut self.outbox);
        self.server.tick(self.now, 64, &mut self.outbox);
        let (branch, call_id, tag) = (self.ident.branch(), self.ident.sip_call_id(5), self.ident.tag());
        let text = method.as_str();
        let outgoing =
            Outgoing { method: text.as_bytes(), branch: &branch, owner: 7, recallable: false, told: false };
        self.client.send(self.now, flow, outgoing, &mut self.outbox, |buffer| {
            let mut writer = Writer::request(buffer, text, "sip:+14155550123@192.0.2.7:5060");
            writer
                .header_fmt(Name::Via, format_args!("SIP/2.0/UDP 203.0.113.10:5060;branch={branch};rport"))
                .header(Name::MaxForwards, "69")
                .header_fmt(Name::From, format_args!("<sip:+14155550100@203.0.113.10>;tag={tag}"))
                .header(Name::To, "<sip:+14155550123@192.0.2.7>")
                .header(Name::CallId, call_id)
                .header_fmt(Name::CSeq, format_args!("1 {text}"))
                .header(Name::Contact, "<sip:203.0.113.10:5060>")
                .header(Name::Supported, "replaces, norefersub");
            writer.finish(None);
        });
        self.carry();
        let request = read(&self.wire, &mut self.index);
        let inbound = self.server.receive_request(self.now, flow, &request, &mut self.outbox);
        assert_eq!(inbound, Inbound::New);
        let server = self.server.open(self.now, flow, &request, 8);
        let answers: &[u16] = if method == Method::Invite { &[100, status] } else { &[status] };
        for status in answers {
            let done = self.server.respond(
                self.now,
                server,
                *status,
                Some(&tag.as_bytes()[1..]),
                &mut self.outbox,
                |writer| writer.finish(None),
            );
            assert!(done.is_ok());
            self.carry();
            let response = read(&self.wire, &mut self.index);
            let (request, ..) = self.client.request_of(&response).expect("its request");
            let answer = self.client.receive_response(self.now, request, &response, &mut self.outbox);
            let answer = answer.expect("no copy");
            assert_eq!(answer.kind == Kind::Final, *status >= 200);
        }
        if method == Method::Invite && status >= 300 {
            self.carry();
            let ack = read(&self.wire, &mut self.index);
            let inbound = self.server.receive_request(self.now, flow, &ack, &mut self.outbox);
            assert_eq!(inbound, Inbound::Absorbed);
        }
        assert!(self.outbox.is_empty() && self.client.poll_event().is_none());
    }
}

fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("transactions");
    for (name, method, status) in [
        ("INVITE 100 200", Method::Invite, 200),
        ("INVITE 100 486 ACK", Method::Invite, 486),
        ("BYE 200", Method::Bye, 200),
        ("REFER 202", Method::Refer, 202),
        ("OPTIONS 200", Method::Options, 200),
    ] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut pair = Pair::new();
            // 33 seconds: every timer has been through once.
            (0..33_000).for_each(|_| pair.exchange(flow(transport), method, status));
            let name = format!("{name} {}", transport.as_via());
            group.bench_function(&name, |b| {
                b.iter(|| black_box(&mut pair).exchange(flow(transport), method, status))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, transactions);
criterion_main!(benches);
