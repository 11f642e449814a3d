//! What a call, a request that is remembered and a connection cost: the figures of the memory law (systemd/README.md), as growth
//! of the resident memory by the number of things that have come to be. Only great deviations fail.

use crate::house::{House, PATIENCE, Plan, resident};
use crate::phone::{Phone, Talk};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

/// Measured are the second and third thousand: the first one fills what the process keeps for later.
const EACH: usize = 1000;

fn grown(house: &House, before: u64, count: usize, what: &str, most: f64) {
    let after = resident(&house.pid());
    let each = after.saturating_sub(before) as f64 / count as f64;
    println!("{each:.2} kB for each {what} ({count}, resident {before} kB before, {after} kB after)");
    assert!(each < most, "{each:.2} kB for each {what}");
}

#[test]
fn a_call_and_a_remembered_request_cost_little() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let mut talk = Talk::begin(caller, agent, house.udp, "memory");
    let mut before = 0;
    for number in 0..3 * EACH {
        if number == EACH {
            before = resident(&house.pid());
        }
        talk = Talk::begin(talk.caller, talk.agent, house.udp, &format!("memory-{number}"));
    }
    assert_eq!(house.metric("baton_calls"), 3 * EACH as u64 + 1);
    grown(&house, before, 2 * EACH, "call with two legs, and its transactions", 96.0);

    // Requests in a dialog are remembered for their copies: 32 s by UDP.
    let remembered = || house.metric("baton_sip_server_transactions");
    let (before, first) = (resident(&house.pid()), remembered());
    for number in 0..20_000 {
        talk.caller.send(&talk.caller.inside(&talk.dialog, "OPTIONS", 10 + number, "", ""));
        if number % 64 == 63 {
            (0..64).for_each(|_| drop(talk.caller.receive("SIP/2.0 200")));
        }
    }
    let count = usize::try_from(remembered() - first).unwrap();
    assert!(count > 5000, "{count} are remembered");
    grown(&house, before, count, "remembered request", 6.0);
}

#[test]
fn an_idle_connection_costs_little() {
    let extra = "[trunk.wide]\naddress = \"sip:127.0.2.1:9\"\naccept_from = [\"127.0.2.0/24\"]".to_owned();
    let house = House::open(Plan { extra, ..Plan::default() });
    let mut before = 0;
    let mut all = Vec::new();
    for number in 0..2 * EACH {
        if number == EACH {
            before = resident(&house.pid());
        }
        let from = IpAddr::from([127, 0, 2, u8::try_from(1 + number % 16).unwrap()]);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&house.tcp.into()).unwrap();
        let mut stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "OPTIONS sip:baton SIP/2.0\r\nVia: SIP/2.0/TCP {from}:5999;branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:pbx@{from}>;tag={number}\r\nTo: <sip:baton>\r\nCall-ID: idle-{number}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 11];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"SIP/2.0 200");
        all.push(stream);
    }
    assert_eq!(house.metric("baton_connections"), all.len() as u64);
    grown(&house, before, EACH, "idle TCP connection", 64.0);
}
