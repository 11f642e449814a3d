//! The agent inside the daemon (`address = "rehearsal:front-desk?after=2s"`): it answers real calls and hands each over
//! to a destination by itself, so that the PBX's side can be tried before there is any AI agent.
//!
//! One UDP socket on loopback, opened when the first such agent is configured, serves all of them; the user part of the
//! Request-URI says which one is meant. Baton calls it like every other agent, through its own sockets, and it imports
//! nothing of Baton's SIP code. It has no media: it says `inactive`, and callers hear silence. Bounded by [`MOST_CALLS`],
//! the size of a datagram, and the longest time of a call; what goes wrong in one call ends that call. Used by the daemon.

mod call;
mod media;

use super::durations::AGENT_IDLE;
use super::text::Text;
use crate::observe::line::{Line, Sink};
use crate::routing::topology::rehearsed;
use call::{ALLOW, Call, Out, Told};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind::{ConnectionRefused, ConnectionReset};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

/// Calls at the same time; the next one gets 486.
const MOST_CALLS: usize = 64;
/// The largest datagram.
const DATAGRAM: usize = 65_535;

/// What one agent does with its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The id of the destination that it names, unless it was called as `rehearsal-ID`.
    pub destination: String,
    /// How long it talks before that.
    pub after: Duration,
    /// The destinations with whose targets it speaks first, and then hangs up (`brief = true`).
    pub briefed: BTreeSet<String>,
    /// The numbers that reach it for that destination.
    pub numbers: Vec<Box<str>>,
}

impl Script {
    /// The destination that somebody is handed to who called this user part.
    fn of(mut self, called: &str) -> Script {
        if let Some(id) = rehearsed(called, &self.numbers) {
            id.clone_into(&mut self.destination);
        }
        self
    }

    /// Whether it speaks with the target first.
    fn briefs(&self) -> bool {
        self.briefed.contains(&self.destination)
    }
}

/// By the id of the agent.
pub type Scripts = BTreeMap<String, Script>;

/// All agents inside a daemon. They end when this is dropped.
pub struct Agents {
    ip: IpAddr,
    log: Sink,
    scripts: watch::Sender<Scripts>,
    running: Mutex<Option<(SocketAddr, JoinHandle<()>)>>,
}

impl Agents {
    /// None yet. `v4`: Baton has a UDP socket for IPv4.
    pub fn new(v4: bool, log: Sink) -> Agents {
        let ip = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Agents { ip, log, scripts: watch::Sender::default(), running: Mutex::new(None) }
    }

    /// From now on these answer, and nobody else; calls that stand keep to their script. Where they listen: `None` before
    /// there is the first one, or where no socket can be had, which is logged. Must be called inside a tokio runtime.
    pub fn play(&self, scripts: Scripts) -> Option<SocketAddr> {
        let none = scripts.is_empty();
        self.scripts.send_replace(scripts);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, _)) = &*running {
            return Some(*address);
        }
        if none {
            return None;
        }
        match self.open() {
            Ok((address, house, socket)) => {
                *running = Some((address, tokio::spawn(serve(socket, house))));
                Some(address)
            }
            Err(error) => {
                (self.log)(
                    Line::error("rehearsal.failed")
                        .text("reason", error.to_string())
                        .text("hint", "rehearsal agents answer nobody; their callers go to the fallback"),
                );
                None
            }
        }
    }

    fn open(&self) -> std::io::Result<(SocketAddr, House, UdpSocket)> {
        let socket = std::net::UdpSocket::bind((self.ip, 0))?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let own = socket.local_addr()?;
        let house =
            House { own, scripts: self.scripts.subscribe(), calls: HashMap::new(), log: self.log.clone() };
        Ok((own, house, socket))
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, task)) = running.take() {
            task.abort();
        }
    }
}

/// Reads the socket and the clock for all calls.
async fn serve(socket: UdpSocket, mut house: House) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let due = house.deadline().unwrap_or_else(|| Instant::now() + AGENT_IDLE);
        let out = tokio::select! {
            came = socket.recv_from(&mut buffer) => match came {
                Ok((length, from)) => house.hear(Instant::now(), &buffer[..length], from),
                // An ICMP message about something that was sent: its retransmission or its end repairs it.
                Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset) => continue,
                Err(error) => {
                    (house.log)(Line::error("rehearsal.failed").text("reason", error.to_string()));
                    return;
                }
            },
            () = sleep_until(due.into()) => house.tick(Instant::now()),
        };
        for (to, message) in out {
            // As on any network: what is lost is sent again.
            let _ = socket.send_to(&message.write(), to).await;
        }
    }
}

/// What is sent, and to whom.
type Sent = Vec<(SocketAddr, Text)>;

/// The calls of all agents, without their socket.
struct House {
    own: SocketAddr,
    scripts: watch::Receiver<Scripts>,
    /// By Call-ID.
    calls: HashMap<String, Call>,
    log: Sink,
}

impl House {
    fn deadline(&self) -> Option<Instant> {
        self.calls.values().map(Call::deadline).min()
    }

    fn tick(&mut self, now: Instant) -> Sent {
        let due = self.calls.iter().filter(|(_, call)| call.deadline() <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        due.into_iter().flat_map(|id| self.step(&id, |call| call.tick(now))).collect()
    }

    /// One datagram.
    fn hear(&mut self, now: Instant, bytes: &[u8], from: SocketAddr) -> Sent {
        // What a caller wrote into its name may be no UTF-8, and matters to nobody here.
        let message = match Text::read(String::from_utf8_lossy(bytes).as_bytes()) {
            Ok(message) => message,
            Err(wrong) => {
                (self.log)(Line::warn("rehearsal.malformed").quoted("reason", Some(&wrong)));
                return Vec::new();
            }
        };
        let Some(id) = message.header("Call-ID").map(str::to_owned) else { return Vec::new() };
        if self.calls.contains_key(&id) {
            return self.step(&id, |call| call.hear(now, &message, from));
        }
        let refuse = |status, phrase| {
            let to = message.header("To").map(|to| format!("{to};tag=nobody"));
            let mut refused = message.answered(status, phrase, to.as_deref()).with("Allow", ALLOW);
            if let Some(required) = message.header("Require").filter(|_| status == 420) {
                refused = refused.with("Unsupported", required);
            }
            vec![(from, refused)]
        };
        match message.method() {
            _ if message.status().is_some() => Vec::new(),
            "ACK" => Vec::new(),
            "INVITE" if message.tag("To").is_none() => match self.admit(&message) {
                Ok((script, mark)) => {
                    let who = (user(message.uri()), self.own);
                    let (call, out) = Call::ring(now, &message, from, who, (script, mark));
                    self.calls.insert(id.clone(), call);
                    self.done(&id, out)
                }
                Err((status, phrase)) => refuse(status, phrase),
            },
            "OPTIONS" if message.tag("To").is_none() => refuse(200, "OK"),
            _ => refuse(481, "Call/Transaction Does Not Exist"),
        }
    }

    /// What is done with a new caller, and a tag that nobody can guess.
    fn admit(&self, invite: &Text) -> Result<(Script, String), (u16, &'static str)> {
        if invite.header("Require").is_some() {
            return Err((420, "Bad Extension"));
        }
        let script = self.scripts.borrow().get(user(invite.uri())).cloned().ok_or((404, "Not Found"))?;
        if self.calls.len() >= MOST_CALLS {
            return Err((486, "Busy Here"));
        }
        let mut mark = [0; 8];
        getrandom::fill(&mut mark).map_err(|_| (500, "Server Internal Error"))?;
        let called = user(invite.header("To").map_or("", uri_of));
        Ok((script.of(called), format!("{:016x}", u64::from_le_bytes(mark))))
    }

    /// Steps one call. A panic costs that call; its other side finds it gone.
    fn step(&mut self, id: &str, step: impl FnOnce(&mut Call) -> Vec<Out>) -> Sent {
        let Some(call) = self.calls.get_mut(id) else { return Vec::new() };
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let out = step(call);
            (out, call.is_over())
        }));
        let (out, over) = stepped.unwrap_or_else(|_| (Vec::new(), true));
        if over {
            self.calls.remove(id);
        }
        self.done(id, out)
    }

    fn done(&self, id: &str, out: Vec<Out>) -> Sent {
        let sent = out.into_iter().filter_map(|out| match out {
            Out::Send(to, message) => Some((to, message)),
            Out::Tell(told) => {
                (self.log)(line(&told).quoted("sip_call_id", Some(id)));
                None
            }
        });
        sent.collect()
    }
}

fn line(told: &Told) -> Line {
    match told {
        Told::Answered => Line::info("rehearsal.answered"),
        Told::Refers => Line::info("rehearsal.refers"),
        Told::Heard(status) => Line::info("rehearsal.heard").number("result", *status),
        Told::Fault(what) => Line::warn("rehearsal.fault").quoted("reason", Some(what)),
    }
}

/// The URI of a header like To.
fn uri_of(value: &str) -> &str {
    value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(uri, _)| uri)
}

/// The user part of a `sip:` URI as Baton writes it; ids need no escapes.
fn user(uri: &str) -> &str {
    uri.strip_prefix("sip:").and_then(|rest| rest.split_once('@')).map_or("", |(user, _)| user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const BATON: &str = "127.0.0.1:5060";

    fn house(log: Sink) -> (House, watch::Sender<Scripts>) {
        let script = Script {
            destination: "front-desk".to_owned(),
            after: Duration::from_secs(2),
            briefed: BTreeSet::new(),
            numbers: Vec::new(),
        };
        let sender = watch::Sender::new(Scripts::from([("trial".to_owned(), script)]));
        let (own, scripts) = ("127.0.0.1:5090".parse().unwrap(), sender.subscribe());
        (House { own, scripts, calls: HashMap::new(), log }, sender)
    }

    fn request(method: &str, user: &str, id: &str) -> Text {
        Text::new(format!("{method} sip:{user}@127.0.0.1:5090 SIP/2.0"))
            .with("Via", format!("SIP/2.0/UDP {BATON};branch=z9hG4bK{id};rport"))
            .with("From", "\"Dana\" <sip:+14155550142@baton>;tag=baton")
            .with("To", "<sip:+14155550100@baton>")
            .with("Call-ID", id)
            .with("CSeq", format!("1 {method}"))
            .with("Contact", format!("<sip:baton@{BATON}>"))
    }

    fn quiet() -> Sink {
        Arc::new(|_| ())
    }

    impl House {
        fn says(&mut self, bytes: &[u8]) -> Vec<String> {
            let sent = self.hear(Instant::now(), bytes, BATON.parse().unwrap());
            sent.into_iter().map(|(_, text)| text.start).collect()
        }
    }

    #[test]
    fn who_is_not_taken() {
        let (mut house, scripts) = house(quiet());
        let says = |house: &mut House, text: Text| house.says(&text.write());
        assert_eq!(says(&mut house, request("INVITE", "nobody", "1")), ["SIP/2.0 404 Not Found"]);
        let requires = request("INVITE", "trial", "2").with("Require", "100rel");
        let refused = house.hear(Instant::now(), &requires.write(), BATON.parse().unwrap());
        assert_eq!(refused[0].1.start, "SIP/2.0 420 Bad Extension");
        assert_eq!(refused[0].1.header("Unsupported"), Some("100rel"));
        assert_eq!(says(&mut house, request("OPTIONS", "trial", "3")), ["SIP/2.0 200 OK"]);
        let gone = ["SIP/2.0 481 Call/Transaction Does Not Exist"];
        assert_eq!(says(&mut house, request("BYE", "trial", "4")), gone);
        assert_eq!(says(&mut house, request("ACK", "trial", "5")), [""; 0]);
        assert!(house.says(b"INVITE\r\n\r\n").is_empty() && house.says(b"\xff").is_empty());
        assert!(house.calls.is_empty() && house.deadline().is_none());
        // One that went with a reload takes no more calls.
        scripts.send_replace(Scripts::new());
        assert_eq!(says(&mut house, request("INVITE", "trial", "6")), ["SIP/2.0 404 Not Found"]);
    }

    #[test]
    fn only_so_many_at_a_time_and_each_by_itself() {
        let (mut house, _scripts) = house(quiet());
        for number in 0..MOST_CALLS {
            let invite = request("INVITE", "trial", &format!("call-{number}"));
            assert_eq!(house.says(&invite.write()), ["SIP/2.0 180 Ringing"]);
        }
        let invite = request("INVITE", "trial", "one-more").write();
        assert_eq!(house.says(&invite), ["SIP/2.0 486 Busy Here"]);
        let cancelled = house.says(&request("CANCEL", "trial", "call-7").write());
        assert_eq!(cancelled.len(), 2, "{cancelled:?}");
        assert_eq!(house.says(&request("ACK", "trial", "call-7").write()), [""; 0]);
        assert_eq!(house.says(&invite), ["SIP/2.0 180 Ringing"], "there is room again");
        let due = house.deadline().unwrap();
        assert_eq!(house.tick(due + Duration::from_secs(9)).len(), MOST_CALLS, "all have rung and answer");
    }

    #[test]
    fn a_name_that_is_no_utf8_is_nobodys_business() {
        let (mut house, _scripts) = house(quiet());
        let mut bytes = request("INVITE", "trial", "latin").write();
        let name = bytes.windows(4).position(|window| window == b"Dana").unwrap();
        bytes[name] = 0xe4;
        assert_eq!(house.says(&bytes), ["SIP/2.0 180 Ringing"]);
    }

    #[test]
    fn a_fault_costs_one_call() {
        let (mut house, _scripts) = house(quiet());
        for id in ["one", "two"] {
            house.says(&request("INVITE", "trial", id).write());
        }
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        assert!(house.step("one", |_| panic!("a fault")).is_empty());
        std::panic::set_hook(hook);
        assert!(!house.calls.contains_key("one") && house.calls.contains_key("two"));
    }

    #[tokio::test]
    async fn its_socket_is_opened_once_and_goes_with_it() {
        let agents = Agents::new(true, quiet());
        assert_eq!(agents.play(Scripts::new()), None, "nobody needs one");
        let (house, _) = house(quiet());
        let scripts = house.scripts.borrow().clone();
        let at = agents.play(scripts.clone()).expect("a socket");
        assert_eq!(agents.play(Scripts::new()), Some(at), "calls that stand keep it");
        assert_eq!(agents.play(scripts), Some(at));
        let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        phone.send_to(&request("OPTIONS", "trial", "o").write(), at).await.unwrap();
        let mut answer = [0; 2048];
        let length = phone.recv(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"SIP/2.0 200 OK"));
        drop(agents);
        while std::net::UdpSocket::bind(at).is_err() {
            tokio::task::yield_now().await;
        }
    }
}
