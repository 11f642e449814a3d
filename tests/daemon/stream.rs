//! Streams and sources: framing, pings, caps, slow senders, and silence towards strangers.

use crate::house::{House, PATIENCE, Plan};
use crate::patient::patiently;
use crate::phone::Phone;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

fn connect(house: &House) -> TcpStream {
    let stream = TcpStream::connect(house.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn connect_from(house: &House, source: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&house.tcp.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn options(id: &str) -> String {
    format!(
        "OPTIONS sip:baton SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5999;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:pbx@127.0.0.1>;tag={id}\r\nTo: <sip:baton>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Reads until `count` heads are whole, or the stream ends.
fn read_heads(stream: &mut TcpStream, count: usize) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while text.matches("\r\n\r\n").count() < count {
        match patiently(|| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(length) => text.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {text:?}"),
        }
    }
    text
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match patiently(|| stream.read(&mut [0; 64])) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn messages_are_cut_by_their_length() {
    let house = House::open(Plan::default());
    let mut stream = connect(&house);
    // Two and a half messages in one piece, the rest byte by byte.
    let (two, third) = (options("a") + &options("b"), options("c"));
    let (begin, rest) = third.split_at(70);
    stream.write_all((two + begin).as_bytes()).unwrap();
    let first = read_heads(&mut stream, 2);
    assert!(first.contains("Call-ID: a\r\n") && first.contains("Call-ID: b\r\n"), "{first}");
    stream.set_nodelay(true).unwrap();
    for byte in rest.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let last = read_heads(&mut stream, 1);
    assert!(last.starts_with("SIP/2.0 200") && last.contains("Call-ID: c\r\n"), "{last}");
}

#[test]
fn a_ping_is_answered() {
    let house = House::open(Plan::default());
    let mut stream = connect(&house);
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
    stream.write_all(options("after").as_bytes()).unwrap();
    assert!(read_heads(&mut stream, 1).starts_with("SIP/2.0 200"));
}

#[test]
fn a_stream_that_cannot_be_cut_gets_400_and_is_closed() {
    let house = House::open(Plan::default());
    let mut stream = connect(&house);
    stream.write_all(options("x").replace("Content-Length: 0", "Content-Length: much").as_bytes()).unwrap();
    let answer = read_heads(&mut stream, 1);
    assert!(answer.starts_with("SIP/2.0 400"), "{answer}");
    assert!(is_closed(&mut stream));
    house.await_metric("baton_connections_closed_total{reason=\"framing\"}", 1);

    let mut endless = connect(&house);
    let filler = format!("X-Long: {}\r\n", "x".repeat(4000));
    let _ = endless.write_all(b"OPTIONS sip:baton SIP/2.0\r\n");
    while endless.write_all(filler.as_bytes()).is_ok() {}
    house.await_metric("baton_connections_closed_total{reason=\"framing\"}", 2);
    house.await_metric("baton_connections", 0);
}

#[test]
fn a_slow_sender_is_closed() {
    let house = House::open(Plan::default());
    let mut stream = connect(&house);
    let text = options("slow");
    let began = Instant::now();
    let mut bytes = text.as_bytes().iter();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // One byte now and then: never idle, never whole.
    let closed = loop {
        let Some(byte) = bytes.next() else { break false };
        if stream.write_all(&[*byte]).is_err() {
            break true;
        }
        match stream.read(&mut [0; 16]) {
            Ok(0) => break true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break true,
            _ => {}
        }
    };
    assert!(closed, "still open after {:?}", began.elapsed());
    house.await_metric("baton_connections_closed_total{reason=\"slow\"}", 1);
}

#[test]
fn one_source_has_so_many_connections_and_no_more() {
    let house = House::open(Plan::default());
    let mut streams: Vec<TcpStream> = (0..256).map(|_| connect(&house)).collect();
    house.await_metric("baton_connections", 256);
    let mut more = connect(&house);
    assert!(is_closed(&mut more));
    assert_eq!(house.metric("baton_connections_refused_total{reason=\"full\"}"), 1);
    drop(streams.split_off(128));
    house.await_metric("baton_connections", 128);
    let mut again = connect(&house);
    again.write_all(options("again").as_bytes()).unwrap();
    assert!(read_heads(&mut again, 1).starts_with("SIP/2.0 200"));
}

#[test]
fn strangers_get_nothing() {
    let house = House::open(Plan::default());
    let (stranger, known) = (Phone::at("127.0.0.9:0"), Phone::new());
    for phone in [&stranger, &known] {
        phone.towards(house.udp);
    }
    // The daemon reads one socket in order: when the known one has its answer, the stranger's was due.
    stranger.send(&stranger.request("OPTIONS", "s-1"));
    stranger.send(&stranger.request("INVITE", "s-2"));
    stranger.send("INVITE sip:x SIP/2.0\r\n\r\n");
    known.send(&known.request("OPTIONS", "k-1"));
    known.receive("SIP/2.0 200");
    assert!(!stranger.has_mail());
    assert_eq!(house.metric("baton_sip_messages_unknown_source_total"), 2);
    assert_eq!(house.metric("baton_calls_started_total"), 0);

    let mut stream = connect_from(&house, "127.0.0.9");
    let _ = stream.write_all(options("s-3").as_bytes());
    assert!(is_closed(&mut stream));
    house.await_metric("baton_connections_refused_total{reason=\"unknown_source\"}", 1);
}
