//! A small user agent for the simulator's peers: it repeats what the network may lose, knows a repetition when it sees one,
//! and leaves everything else to the party that it belongs to. Text only; nothing of the product.

use super::common::message::{Message, parameter};
use super::common::peer::reply_text;
use super::common::random::Random;
use super::common::{Action, ms};
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
    /// A request of ours was never answered.
    Timeout { method: String, call_id: String },
    /// Nothing for the party.
    Nothing,
}

enum Alarm<T> {
    Own(T),
    Client(String, Duration, Duration),
    Repeat((String, u32), Duration, Duration),
}

/// See the module.
pub struct Ua<T> {
    pub name: &'static str,
    pub address: SocketAddr,
    pub random: Random,
    count: u64,
    alarms: HashMap<u64, Alarm<T>>,
    /// Requests without a final response, by branch and method.
    clients: HashMap<String, (String, bool)>,
    /// Finished ones, with the ACK to be sent again.
    acks: HashMap<String, String>,
    /// Last response by branch and method.
    served: HashMap<String, String>,
    /// Final responses to INVITEs that wait for their ACK, by Call-ID and CSeq.
    repeats: HashMap<(String, u32), String>,
}

fn key(message: &Message) -> String {
    format!("{} {}", message.branch(), message.method())
}

impl<T> Ua<T> {
    pub fn new(name: &'static str, address: SocketAddr, seed: u64) -> Self {
        Ua {
            name,
            address,
            random: Random(seed),
            count: 0,
            alarms: HashMap::new(),
            clients: HashMap::new(),
            acks: HashMap::new(),
            served: HashMap::new(),
            repeats: HashMap::new(),
        }
    }

    pub fn fresh(&mut self, what: &str) -> String {
        format!("{what}{:016x}", self.random.bits())
    }

    pub fn via(&mut self) -> String {
        let branch = self.fresh("z9hG4bK");
        format!("SIP/2.0/UDP {};branch={branch};rport", self.address)
    }

    pub fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.name, self.address)
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

    /// A request, repeated until it is answered.
    pub fn request(&mut self, text: String, out: &mut Vec<Action>) {
        let Ok(message) = Message::parse(text.as_bytes()) else { return };
        let key = key(&message);
        self.clients.insert(key.clone(), (text.clone(), message.method() == "INVITE"));
        self.alarm(T1, Alarm::Client(key, T1, T1), out);
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
        let text = reply_text(request, status, tag, headers, sdp);
        if request.method() == "INVITE" && status >= 200 {
            let key = (request.call_id().to_owned(), request.cseq().0);
            self.repeats.insert(key.clone(), text.clone());
            self.alarm(T1, Alarm::Repeat(key, T1, T1), out);
        }
        self.served.insert(key(request), text.clone());
        out.push(Action::Send(text));
    }

    /// Remembers and sends an ACK.
    pub fn ack(&mut self, response: &Message, text: String, out: &mut Vec<Action>) {
        self.acks.insert(format!("{} {}", key(response), response.to_tag()), text.clone());
        out.push(Action::Send(text));
    }

    pub fn handle(&mut self, message: &Message, out: &mut Vec<Action>) -> News {
        let key = key(message);
        if message.is_request() {
            if message.method() == "ACK" {
                self.repeats.remove(&(message.call_id().to_owned(), message.cseq().0));
                return News::Request;
            }
            if let Some(before) = self.served.get(&key) {
                out.push(Action::Send(before.clone()));
                return News::Nothing;
            }
            self.served.insert(key, reply_text(message, 100, "", &[], ""));
            return News::Request;
        }
        if message.status() < 200 {
            return match self.clients.get_mut(&key) {
                Some((_, quiet)) => {
                    *quiet = true;
                    News::Response
                }
                None => News::Nothing,
            };
        }
        if let Some(ack) = self.acks.get(&format!("{key} {}", message.to_tag())) {
            out.push(Action::Send(ack.clone()));
            return News::Nothing;
        }
        let forked = message.method() == "INVITE" && message.status() < 300;
        if self.clients.remove(&key).is_some() || forked { News::Response } else { News::Nothing }
    }

    pub fn alarmed(&mut self, alarm: u64, out: &mut Vec<Action>) -> Wake<T> {
        match self.alarms.remove(&alarm) {
            None => Wake::Nothing,
            Some(Alarm::Own(what)) => Wake::Own(what),
            Some(Alarm::Client(key, interval, passed)) => {
                let Some((text, _)) = self.clients.get(&key).cloned() else { return Wake::Nothing };
                if passed >= LIFE {
                    self.clients.remove(&key);
                    let Ok(message) = Message::parse(text.as_bytes()) else { return Wake::Nothing };
                    return Wake::Timeout {
                        method: message.method().to_owned(),
                        call_id: message.call_id().to_owned(),
                    };
                }
                let invite = key.ends_with(" INVITE");
                let quiet = invite && self.clients.get(&key).is_some_and(|(_, heard)| *heard);
                if quiet {
                    return Wake::Nothing;
                }
                let next = if invite { interval * 2 } else { (interval * 2).min(T2) };
                out.push(Action::Send(text));
                self.alarm(next, Alarm::Client(key, next, passed + next), out);
                Wake::Nothing
            }
            Some(Alarm::Repeat(key, interval, passed)) => {
                let Some(text) = self.repeats.get(&key).cloned() else { return Wake::Nothing };
                if passed >= LIFE {
                    self.repeats.remove(&key);
                    return Wake::Nothing;
                }
                let next = (interval * 2).min(T2);
                out.push(Action::Send(text));
                self.alarm(next, Alarm::Repeat(key, next, passed + next), out);
                Wake::Nothing
            }
        }
    }
}

/// One dialog of a party.
pub struct Dialog {
    pub call_id: String,
    pub local: String,
    pub remote: String,
    pub target: String,
    pub cseq: u32,
    pub heard: u32,
    pub up: bool,
    pub over: bool,
}

impl Dialog {
    /// From the INVITE that made it.
    pub fn called(invite: &Message, tag: &str) -> Dialog {
        Dialog {
            call_id: invite.call_id().to_owned(),
            local: format!("{};tag={tag}", invite.find("To").unwrap_or_default()),
            remote: invite.find("From").unwrap_or_default().to_owned(),
            target: invite.contact().unwrap_or_default().to_owned(),
            cseq: 10,
            heard: invite.cseq().0,
            up: false,
            over: false,
        }
    }

    pub fn tag(&self) -> String {
        parameter(&self.local, "tag").unwrap_or_default().to_owned()
    }

    /// A request as text; `head` are complete lines.
    #[allow(clippy::too_many_arguments)]
    pub fn write(
        &self,
        method: &str,
        cseq: u32,
        via: &str,
        contact: &str,
        head: &str,
        kind: &str,
        body: &str,
    ) -> String {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        format!(
            "{method} {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: {contact}\r\n{head}{kind}Content-Length: {}\r\n\r\n{body}",
            self.target,
            self.local,
            self.remote,
            self.call_id,
            body.len()
        )
    }
}
