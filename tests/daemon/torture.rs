//! Every torture message through the real sockets: what the decoder accepts reaches the engine, what it refuses does
//! not, and neither keeps the daemon from its work. The verdicts themselves stand in each set's `EXPECT.tsv`, and
//! `tests/torture.rs` holds the decoder to them.

use crate::house::{House, PATIENCE, Plan};
use crate::patient::patiently;
use baton::wire::frame::{Frame, Framer};
use baton::wire::{Framing, Index, decode};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

/// The folders of `tests/torture`, and of the RFCs' own messages where a checkout has them next to it.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let published = root.join("../shared/torture");
    let mut folders = vec![root.join("tests/torture")];
    if published.exists() {
        folders.push(published);
    } else {
        println!("SKIPPED: {} is not there; the own set is run", published.display());
    }
    folders
}

/// Name, verdict and bytes of every message.
fn cases() -> Vec<(String, String, Vec<u8>)> {
    let mut cases = Vec::new();
    for folder in folders() {
        let table = std::fs::read_to_string(folder.join("EXPECT.tsv")).unwrap();
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut columns = line.split('\t');
            let (file, _, verdict) =
                (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            let bytes = std::fs::read(folder.join(format!("{file}.dat"))).unwrap();
            cases.push((file.to_owned(), verdict.to_owned(), bytes));
        }
    }
    assert!(cases.len() > 60, "one message for each section");
    cases
}

fn ping(transport: &str, number: usize) -> String {
    format!(
        "OPTIONS sip:baton SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;rport;branch=z9hG4bKping{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:pbx@127.0.0.1>;tag=p\r\nTo: <sip:baton>\r\nCall-ID: ping{number}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

fn received(house: &House) -> u64 {
    house.metric("baton_sip_messages_total{direction=\"in\"}")
}

#[test]
fn over_udp_every_message_gets_its_verdict() {
    let house = House::open(Plan::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wrong = Vec::new();
    for (number, (file, verdict, bytes)) in cases().into_iter().enumerate() {
        let before = received(&house);
        socket.send_to(&bytes, house.udp).unwrap();
        // One socket, one order: once this is answered, the message has had its turn.
        socket.send_to(ping("UDP", number).as_bytes(), house.udp).unwrap();
        let branch = format!("z9hG4bKping{number}");
        let mut buffer = [0; 65_535];
        loop {
            let length = patiently(|| socket.recv(&mut buffer)).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with("SIP/2.0 200 ") && text.contains(&branch) {
                break;
            }
        }
        let taken = received(&house) - before - 1;
        let expected = match verdict.as_str() {
            "accept" => 1,
            "reject" => 0,
            _ => taken,
        };
        if taken != expected {
            wrong.push(format!("{file}: {verdict}, but {taken} messages were taken"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(house.metric("baton_call_faults_total"), 0);
}

/// What becomes of a stream.
#[derive(Debug, PartialEq)]
enum Fate {
    /// Everything in it is read, the ping behind the message too.
    Read,
    /// The message takes the ping for a part of its body, and is not whole with it.
    Waits,
    /// It is closed for a fault.
    Closed,
}

/// What the framer and the decoder make of a stream: messages taken, and what becomes of it.
fn expected(stream: &[u8]) -> (u64, Fate) {
    let (mut framer, mut index, mut taken) = (Framer::new(), Index::default(), 0);
    framer.feed(stream);
    loop {
        match framer.poll() {
            Ok(Some(Frame::Message(bytes))) => {
                taken += u64::from(decode(bytes, &mut index, Framing::Stream).is_ok());
            }
            Ok(Some(Frame::Ping)) => {}
            Ok(None) => break,
            Err(_) => return (taken, Fate::Closed),
        }
    }
    (taken, if framer.pending().is_empty() { Fate::Read } else { Fate::Waits })
}

/// Reads until `wanted` came or the stream ends; true if it came.
fn read_until(stream: &mut TcpStream, wanted: &str) -> bool {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        match patiently(|| stream.read(&mut buffer)) {
            Ok(0) => return text.contains(wanted),
            Ok(length) => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return text.contains(wanted),
            Err(error) => panic!("{error} after {text:?}"),
        }
        if text.contains(wanted) {
            return true;
        }
    }
}

#[test]
fn over_tcp_every_message_gets_its_verdict() {
    let house = House::open(Plan::default());
    let mut wrong = Vec::new();
    for (number, (file, verdict, bytes)) in cases().into_iter().enumerate() {
        let ping = ping("TCP", number);
        let stream_bytes = [&bytes, ping.as_bytes()].concat();
        let (taken, fate) = expected(&stream_bytes);
        let before = received(&house);
        let mut stream = TcpStream::connect(house.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A stream that is closed for a fault may refuse the rest.
        let _ = stream.write_all(&stream_bytes);
        let mut answered = || read_until(&mut stream, &format!("z9hG4bKping{number}"));
        if fate != Fate::Waits && answered() != (fate == Fate::Read) {
            wrong.push(format!("{file}: {verdict}, but its stream is not {fate:?}"));
        }
        if received(&house) - before != taken {
            wrong.push(format!(
                "{file}: {verdict}, {} messages taken, not {taken}",
                received(&house) - before
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(house.metric("baton_call_faults_total"), 0);
}
