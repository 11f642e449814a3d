//! Floods from a trunk's address, which anybody can forge: what the process keeps of them, what it sends back and what it
//! writes stay bounded. All of it on loopback.

use crate::house::{House, Plan, write_configuration};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Resident memory of a process, in kB.
fn resident(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Requests a second and for how long: 20,000 for 30 s with `BATON_LONG=1`.
fn size() -> (u64, u64) {
    if std::env::var("BATON_LONG").is_ok_and(|long| long == "1") { (20_000, 30) } else { (5_000, 4) }
}

struct Flood {
    sent: u64,
    sent_bytes: u64,
    back: u64,
    back_bytes: u64,
}

/// Sends `text` of a number at that rate, and takes in what comes back until nothing does.
fn flood(socket: &UdpSocket, to: std::net::SocketAddr, text: impl Fn(u64) -> String) -> Flood {
    let (rate, seconds) = size();
    socket.set_nonblocking(true).unwrap();
    let mut flood = Flood { sent: 0, sent_bytes: 0, back: 0, back_bytes: 0 };
    let mut buffer = [0; 65_535];
    let started = Instant::now();
    let mut heard = Instant::now();
    while flood.sent < rate * seconds || heard.elapsed() < Duration::from_secs(3) {
        let due = (started.elapsed().as_millis() as u64 * rate / 1000).min(rate * seconds);
        while flood.sent < due {
            let text = text(flood.sent);
            flood.sent += 1;
            if socket.send_to(text.as_bytes(), to).is_ok() {
                flood.sent_bytes += text.len() as u64;
            }
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            flood.back += 1;
            flood.back_bytes += length as u64;
            heard = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    flood
}

fn request(method: &str, uri: &str, from: std::net::SocketAddr, number: u64) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKf{number};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:flood@{from}>;tag=f{number}\r\nTo: <{uri}>\r\nCall-ID: flood-{number}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:flood@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_flood_of_options_from_a_trunk_leaves_nothing_behind() {
    let house = House::open(Plan::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let uri = format!("sip:{}", house.udp);
    let before = resident(&house.pid());
    let told = flood(&socket, house.udp, |number| request("OPTIONS", &uri, from, number));
    let after = resident(&house.pid());
    println!(
        "OPTIONS: {} sent, {} answered; resident {before} kB before, {after} kB after",
        told.sent, told.back
    );
    assert!(told.back * 10 > told.sent, "most are answered: {} of {}", told.back, told.sent);
    assert!(after < before + 24 * 1024, "{before} kB grew to {after} kB");
    assert_eq!(house.metric("baton_sip_server_transactions"), 0);
}

/// Nobody acknowledges the refusals: a forged address cannot.
#[test]
fn a_flood_of_calls_beyond_max_calls_gets_one_answer_each() {
    // It rings with the first call for as long as it may.
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let plan = Plan { agent: agent.local_addr().unwrap(), ..Plan::default() };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_configuration(folder.path(), &plan);
    let file = folder.path().join("baton.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[sip]", "[sip]\nmax_calls = 1", 1)).unwrap();
    let house = House::again(folder, plan);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let uri = format!("sip:+14155550100@{}", house.udp);
    let told = flood(&socket, house.udp, |number| request("INVITE", &uri, from, number));
    println!(
        "INVITE: {} bytes sent, {} bytes back, a ratio of {:.2}",
        told.sent_bytes,
        told.back_bytes,
        told.back_bytes as f64 / told.sent_bytes as f64
    );
    assert!(told.back * 10 > told.sent, "most are answered: {} of {}", told.back, told.sent);
    assert!(told.back_bytes <= 2 * told.sent_bytes);
    assert!(house.lines("call.refused") < 10, "one line a minute");
}
