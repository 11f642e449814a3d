//! A small user agent for the simulator's peers: it repeats what the network may lose, knows a repetition when it sees one,
//! and leaves everything else to the party that it belongs to. Text only; nothing of the product.

use super::common::message::Message;
use super::common::peer::reply_text;
use super::common::random::Random;
use super::common::{Action, ms};
use super::models::Draw;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

const T1: Duration = ms(500);
const T2: Duration = ms(4000);
const LIFE: Duration = ms(32_000);

/// What the party should know.
pub enum News {
    /// A request that is new (an ACK as well).
    Request,
    /// A provisional response, or the first final one.
    Response,
    /// Nothing new.
    Nothing,
}

/// An alarm of the party.
#[derive(Clone, Debug)]
pub enum Wake<T> {
    /// The party's own.
    Own(T),
    /// A request of ours was never answered. `tag` is ours.
    Timeout { method: String, call_id: String, tag: String },
    /// A 2xx of ours to an INVITE was never acknowledged. `tag` is ours.
    Unacknowledged { call_id: String, tag: String },
    /// Nothing for the party.
    Nothing,
}

enum Alarm<T> {
    Own(T),
    Client(String, Duration, Duration),
    Repeat(Reply, Duration, Duration),
}

/// A response that is said again until somebody acknowledges it: Call-ID, CSeq of the INVITE, our tag, and RSeq for
/// a provisional one (0: final).
type Reply = (String, u32, String, u32);

struct Client {
    text: String,
    heard: bool,
}

/// One user agent: its transactions, dialogs and timers, for a party that owns it.
pub struct Ua<T> {
    pub name: &'static str,
    pub address: SocketAddr,
    /// By stream: nothing is lost, and nothing said twice but what goes end to end.
    pub tcp: bool,
    pub random: Random,
    count: u64,
    alarms: HashMap<u64, Alarm<T>>,
    /// Requests without a final response, by branch and method.
    clients: HashMap<String, Client>,
    /// Finished ones, with the ACK to be sent again.
    acks: HashMap<String, String>,
    /// Requests that were seen by branch and method, and the last response.
    served: HashMap<String, Option<String>>,
    /// Of 100 descriptions those that go without their type.
    pub untyped: u64,
    /// Descriptions that did.
    pub bared: u64,
    /// Of 100 messages those that have a fault in a header that nobody needs, drawn from numbers of their own.
    pub careless: u64,
    pub faults: Random,
    /// Those that had one.
    pub made: Vec<Draw>,
    /// Responses that wait to be acknowledged.
    repeats: HashMap<Reply, String>,
}

fn key(message: &Message) -> String {
    format!("{} {}", message.branch(), message.method())
}

impl<T> Ua<T> {
    pub fn new(name: &'static str, address: SocketAddr, tcp: bool, seed: u64) -> Self {
        Ua {
            name,
            address,
            tcp,
            random: Random(seed),
            count: 0,
            alarms: HashMap::new(),
            clients: HashMap::new(),
            acks: HashMap::new(),
            served: HashMap::new(),
            untyped: 0,
            bared: 0,
            careless: 0,
            faults: Random(seed ^ 0x6661_756c_7473),
            made: Vec::new(),
            repeats: HashMap::new(),
        }
    }

    pub fn fresh(&mut self, what: &str) -> String {
        format!("{what}{:016x}", self.random.bits())
    }

    pub fn via(&mut self) -> String {
        let branch = self.fresh("z9hG4bK");
        let word = if self.tcp { "TCP" } else { "UDP" };
        format!("SIP/2.0/{word} {};branch={branch};rport", self.address)
    }

    pub fn contact(&self) -> String {
        let transport = if self.tcp { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{transport}>", self.name, self.address)
    }

    fn alarm(&mut self, after: Duration, alarm: Alarm<T>, out: &mut Vec<Action>) {
        self.count += 1;
        self.alarms.insert(self.count, alarm);
        out.push(Action::Alarm(after, self.count));
    }

    /// An alarm of the party.
    pub fn wake(&mut self, after: Duration, what: T, out: &mut Vec<Action>) {
        self.alarm(after, Alarm::Own(what), out);
    }

    /// A description may go without its Content-Type: pjsip and Sofia write it, not all others do.
    fn undress(&mut self, text: String) -> String {
        const TYPE: &str = "Content-Type: application/sdp\r\n";
        if self.untyped == 0 || !text.contains(TYPE) || !self.random.chance(self.untyped) {
            return text;
        }
        self.bared += 1;
        text.replacen(TYPE, "", 1)
    }

    /// A request that needs little may have a fault in what it does not need.
    fn spoil(&mut self, text: String) -> String {
        const NEEDS_LITTLE: [&str; 6] = ["BYE ", "INFO ", "OPTIONS ", "NOTIFY ", "PRACK ", "ACK "];
        let little = NEEDS_LITTLE.iter().any(|method| text.starts_with(method));
        if self.careless == 0 || !little || !self.faults.chance(self.careless) {
            return text;
        }
        let (draw, line) = self.faults.pick(&[
            (Draw::MalformedHeader, "Expires: never\r\n"),
            (Draw::MalformedHeader, "Record-Route: <sip:\r\n"),
            (Draw::MalformedHeader, "Refer-To: <sip:a@b>;;x\r\n"),
            (Draw::EmptyHeader, "Record-Route: <>\r\n"),
            (Draw::EmptyHeader, "Min-SE:\r\n"),
            (Draw::DoubledHeader, "Session-Expires: 90\r\nSession-Expires: 1800\r\n"),
            (Draw::DoubledHeader, "RSeq: 1\r\nRSeq: 2\r\n"),
            (Draw::EqualTags, ""),
        ]);
        let Ok(message) = Message::parse(text.as_bytes()) else { return text };
        if draw == Draw::EqualTags && message.to_tag().is_empty() {
            return text;
        }
        self.made.push(draw);
        match draw {
            Draw::EqualTags => {
                let to = message.header("To");
                text.replacen(&format!("To: {to}\r\n"), &format!("To: {to};tag={}\r\n", message.to_tag()), 1)
            }
            _ => text.replacen("Max-Forwards:", &format!("{line}Max-Forwards:"), 1),
        }
    }

    /// A 2xx may have a header twice that may stand once.
    fn double(&mut self, text: String) -> String {
        if self.careless == 0 || !text.starts_with("SIP/2.0 2") || !self.faults.chance(self.careless) {
            return text;
        }
        self.made.push(Draw::DoubledInResponse);
        let line =
            self.faults.pick(&["Content-Disposition: session\r\n", "Retry-After: 1\r\n", "Min-SE: 90\r\n"]);
        text.replacen("Call-ID:", &format!("{line}{line}Call-ID:"), 1)
    }

    /// A request, repeated until it is answered.
    pub fn request(&mut self, text: String, out: &mut Vec<Action>) {
        let text = self.undress(text);
        let text = self.spoil(text);
        let Ok(message) = Message::parse(text.as_bytes()) else { return };
        let key = key(&message);
        self.clients.insert(key.clone(), Client { text: text.clone(), heard: false });
        let first = if self.tcp { LIFE } else { T1 };
        self.alarm(first, Alarm::Client(key, first, first), out);
        out.push(Action::Send(text));
    }

    /// A response; a final one to an INVITE is repeated until the ACK.
    pub fn respond(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        headers: &[(&str, &str)],
        sdp: &str,
        out: &mut Vec<Action>,
    ) {
        let text = self.undress(reply_text(request, status, tag, headers, sdp));
        let text = self.double(text);
        if request.method() == "INVITE" && status >= 200 {
            self.repeat((request.call_id().to_owned(), request.cseq().0, tag.to_owned(), 0), &text, out);
        }
        self.served.insert(key(request), Some(text.clone()));
        out.push(Action::Send(text));
    }

    /// A provisional response that is repeated until its PRACK comes: its RSeq stands in `headers`.
    pub fn respond_reliably(
        &mut self,
        request: &Message,
        (status, rseq): (u16, u32),
        tag: &str,
        headers: &[(&str, &str)],
        sdp: &str,
        out: &mut Vec<Action>,
    ) {
        let text = self.undress(reply_text(request, status, tag, headers, sdp));
        self.repeat((request.call_id().to_owned(), request.cseq().0, tag.to_owned(), rseq), &text, out);
        self.served.insert(key(request), Some(text.clone()));
        out.push(Action::Send(text));
    }

    fn repeat(&mut self, reply: Reply, text: &str, out: &mut Vec<Action>) {
        self.repeats.insert(reply.clone(), text.to_owned());
        self.alarm(T1, Alarm::Repeat(reply, T1, T1), out);
    }

    /// The PRACK of a provisional response came, or nobody waits for it any more.
    pub fn acknowledged(&mut self, call_id: &str, cseq: u32, tag: &str, rseq: u32) {
        self.repeats.remove(&(call_id.to_owned(), cseq, tag.to_owned(), rseq));
    }

    /// Remembers and sends an ACK.
    pub fn ack(&mut self, response: &Message, text: String, out: &mut Vec<Action>) {
        let text = self.undress(text);
        let text = self.spoil(text);
        self.acks.insert(format!("{} {}", key(response), response.to_tag()), text.clone());
        out.push(Action::Send(text));
    }

    pub fn handle(&mut self, message: &Message, out: &mut Vec<Action>) -> News {
        let key = key(message);
        if message.is_request() {
            if message.method() == "ACK" {
                self.acknowledged(message.call_id(), message.cseq().0, message.to_tag(), 0);
                return News::Request;
            }
            if let Some(before) = self.served.get(&key) {
                out.extend(before.clone().map(Action::Send));
                return News::Nothing;
            }
            // RFC 4320 §4.1: no 100 to anything else.
            let trying = (message.method() == "INVITE").then(|| reply_text(message, 100, "", &[], ""));
            if self.tcp {
                // Nothing is repeated that could fetch it (RFC 3261 §17.2.1).
                out.extend(trying.clone().map(Action::Send));
            }
            self.served.insert(key, trying);
            return News::Request;
        }
        if message.status() < 200 {
            return match self.clients.get_mut(&key) {
                Some(client) => {
                    client.heard = true;
                    News::Response
                }
                None => News::Nothing,
            };
        }
        if let Some(ack) = self.acks.get(&format!("{key} {}", message.to_tag())) {
            out.push(Action::Send(ack.clone()));
            return News::Nothing;
        }
        if self.clients.remove(&key).is_some() { News::Response } else { News::Nothing }
    }

    pub fn alarmed(&mut self, alarm: u64, out: &mut Vec<Action>) -> Wake<T> {
        match self.alarms.remove(&alarm) {
            None => Wake::Nothing,
            Some(Alarm::Own(what)) => Wake::Own(what),
            Some(Alarm::Client(key, interval, passed)) => self.client_due(key, interval, passed, out),
            Some(Alarm::Repeat(reply, interval, passed)) => self.repeat_due(reply, interval, passed, out),
        }
    }

    fn client_due(
        &mut self,
        key: String,
        interval: Duration,
        passed: Duration,
        out: &mut Vec<Action>,
    ) -> Wake<T> {
        let Some(client) = self.clients.get(&key) else { return Wake::Nothing };
        let invite = key.ends_with(" INVITE");
        if invite && client.heard {
            return Wake::Nothing;
        }
        if passed >= LIFE {
            let text = self.clients.remove(&key).map(|client| client.text).unwrap_or_default();
            let Ok(message) = Message::parse(text.as_bytes()) else { return Wake::Nothing };
            return Wake::Timeout {
                method: message.method().to_owned(),
                call_id: message.call_id().to_owned(),
                tag: message.from_tag().to_owned(),
            };
        }
        out.push(Action::Send(client.text.clone()));
        let next = if invite { interval * 2 } else { (interval * 2).min(T2) };
        self.alarm(next, Alarm::Client(key, next, passed + next), out);
        Wake::Nothing
    }

    fn repeat_due(
        &mut self,
        reply: Reply,
        interval: Duration,
        passed: Duration,
        out: &mut Vec<Action>,
    ) -> Wake<T> {
        let Some(text) = self.repeats.get(&reply).cloned() else { return Wake::Nothing };
        if passed >= LIFE {
            self.repeats.remove(&reply);
            let (call_id, _, tag, rseq) = reply;
            let accepted = text.starts_with("SIP/2.0 2") && rseq == 0;
            return if accepted { Wake::Unacknowledged { call_id, tag } } else { Wake::Nothing };
        }
        // A refusal goes hop by hop; what is acknowledged end to end is repeated by stream as well.
        if !self.tcp || text.starts_with("SIP/2.0 2") || reply.3 > 0 {
            out.push(Action::Send(text));
        }
        let next = (interval * 2).min(T2);
        self.alarm(next, Alarm::Repeat(reply, next, passed + next), out);
        Wake::Nothing
    }
}
