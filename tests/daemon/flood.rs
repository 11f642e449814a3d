//! Floods from a trunk's address, which anybody can forge: what the process keeps of them, what it sends back and what it
//! writes stay bounded, and calls go on. All of it on loopback.

use crate::house::{House, Plan, resident, write_configuration};
use crate::patient::patiently;
use crate::phone::{Phone, Talk};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests a second and for how long: 20,000 for 30 s with `BATON_LONG=1`.
fn size() -> (u64, u64) {
    if std::env::var("BATON_LONG").is_ok_and(|long| long == "1") { (20_000, 30) } else { (5_000, 4) }
}

/// Nothing comes back for so long: what is sent again is so after 4 s at most (RFC 3261, T2).
const QUIET: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Flood {
    sent: u64,
    sent_bytes: u64,
    back: u64,
    back_bytes: u64,
    /// It took so long to send.
    took: Duration,
}

impl Flood {
    fn told(&self, what: &str) {
        println!(
            "{what}: {} sent in {:.1} s ({:.0} a second), {} came back; {} bytes there, {} back, a ratio of {:.2}",
            self.sent,
            self.took.as_secs_f64(),
            self.sent as f64 / self.took.as_secs_f64(),
            self.back,
            self.sent_bytes,
            self.back_bytes,
            self.back_bytes as f64 / self.sent_bytes as f64
        );
    }
}

/// Sends `text` of a number at that rate, and takes in what comes back until nothing does.
fn flood(socket: &UdpSocket, to: SocketAddr, text: impl Fn(u64) -> String) -> Flood {
    let (rate, seconds) = size();
    socket.set_nonblocking(true).unwrap();
    let mut flood = Flood::default();
    let mut buffer = [0; 65_535];
    let started = Instant::now();
    let mut heard = Instant::now();
    while flood.sent < rate * seconds || heard.elapsed() < QUIET {
        let due = (started.elapsed().as_millis() as u64 * rate / 1000).min(rate * seconds);
        while flood.sent < due {
            let text = text(flood.sent);
            flood.sent += 1;
            if socket.send_to(text.as_bytes(), to).is_ok() {
                flood.sent_bytes += text.len() as u64;
            }
            flood.took = started.elapsed();
        }
        while let Ok(length) = patiently(|| socket.recv(&mut buffer)) {
            flood.back += 1;
            flood.back_bytes += length as u64;
            heard = Instant::now();
        }
        // The rate is kept by the clock, not by this.
        std::thread::sleep(Duration::from_millis(1));
    }
    flood
}

fn request(method: &str, uri: &str, from: SocketAddr, number: u64) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKf{number};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:flood@{from}>;tag=f{number}\r\nTo: <{uri}>\r\nCall-ID: flood-{number}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:flood@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_flood_of_options_from_a_trunk_leaves_nothing_behind() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let uri = format!("sip:{}", house.udp);
    let before = resident(&house.pid());
    let told = flood(&socket, house.udp, |number| request("OPTIONS", &uri, from, number));
    let after = resident(&house.pid());
    told.told("OPTIONS");
    println!("OPTIONS: resident {before} kB before, {after} kB after");
    assert!(told.back * 10 > told.sent, "one in ten is answered at least: {} of {}", told.back, told.sent);
    assert!(told.back <= told.sent, "each once: {} of {}", told.back, told.sent);
    assert!(after < before + 24 * 1024, "{before} kB grew to {after} kB");
    assert_eq!(house.metric("baton_sip_server_transactions"), 0);
    Talk::begin(caller, agent, house.udp, "afterwards");
}

/// Nobody acknowledges the refusals: a forged address cannot.
#[test]
fn a_flood_of_calls_beyond_max_calls_gets_one_answer_each() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let plan = Plan { agent: agent.at, pbx: caller.at, ..Plan::default() };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_configuration(folder.path(), &plan);
    let file = folder.path().join("baton.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[sip]", "[sip]\nmax_calls = 1", 1)).unwrap();
    let house = House::again(folder, plan);
    let talk = Talk::begin(caller, agent, house.udp, "the-one");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let uri = format!("sip:+14155550100@{}", house.udp);
    let before = resident(&house.pid());
    let told = flood(&socket, house.udp, |number| request("INVITE", &uri, from, number));
    let after = resident(&house.pid());
    told.told("INVITE");
    println!("INVITE: resident {before} kB before, {after} kB after; {} lines of log", house.lines(""));
    assert!(told.back * 10 > told.sent, "one in ten is answered at least: {} of {}", told.back, told.sent);
    assert!(told.back_bytes <= 2 * told.sent_bytes);
    assert!(after < before + 24 * 1024, "{before} kB grew to {after} kB");
    assert!(house.lines("") < 300, "{} lines", house.lines(""));
    // The call that stands has noticed nothing.
    talk.caller.send(&talk.caller.inside(&talk.dialog, "BYE", 2, "", ""));
    talk.caller.receive("SIP/2.0 200");
}
