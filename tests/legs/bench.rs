//! A stack, a clock and a peer that writes its messages by hand.

use baton::observe::secret::Secret;
use baton::sip::ident::Seed;
use baton::sip::leg::reach::Reach;
use baton::sip::leg::tries::Patience;
use baton::sip::{
    Body, Connect, Content, Credentials, Event, Flow, LegId, Listener, Now, Party, Settings, Stack, Time,
    Transport, UnixMillis, Untaken,
};
use baton::wire::{Framing, Index, Message, decode};
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) const SDP: &str =
    "v=0\r\no=pbx 7 7 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(crate) const ANSWER: &str =
    "v=0\r\no=agent 99 1 IN IP4 10.0.0.8\r\ns=-\r\nc=IN IP4 10.0.0.8\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
pub(crate) const CONTACT: &str = "Contact: <sip:bob@10.0.0.8:5081>";
pub(crate) const HOLD: &str = "v=0\r\no=pbx 7 8 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n";

pub(crate) struct Bench {
    pub(crate) stack: Stack,
    pub(crate) now: Now,
    pub(crate) flow: Flow,
    /// What went out and was not looked at yet.
    pub(crate) sent: VecDeque<(u64, Flow, String)>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) known: bool,
    /// Of calls of ours; longer than Timer B, unless it is about that.
    pub(crate) patience: Patience,
    pub(crate) reach: Reach,
    branches: u32,
}

fn listener(transport: Transport, local: &str) -> Listener {
    Listener { transport, local: local.parse().unwrap(), advertised: local.into() }
}

pub(crate) fn udp(peer: &str) -> Flow {
    Flow { transport: Transport::Udp, listener: 0, peer: peer.parse().unwrap(), connection: 0 }
}

/// Content with an SDP.
pub(crate) fn sdp(text: &str) -> Content<'_> {
    Content { body: Body::Sdp(text.as_bytes()), ..Content::default() }
}

/// The value of a header of a message.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    all(message, name).next().unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

pub(crate) fn all<'a, 'n>(message: &'a str, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
    let head = message.split("\r\n\r\n").next().unwrap_or("");
    head.split("\r\n").filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub(crate) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(crate) fn tag(value: &str) -> &str {
    value.split(";tag=").nth(1).unwrap_or_else(|| panic!("no tag in {value}")).split(';').next().unwrap()
}

/// The URI of a name-addr.
pub(crate) fn uri(value: &str) -> &str {
    value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(uri, _)| uri)
}

pub(crate) fn start(message: &str) -> &str {
    message.split("\r\n").next().unwrap()
}

fn with_body(head: &str, body: &str) -> String {
    let kind = if body.starts_with("v=") { "Content-Type: application/sdp\r\n" } else { "" };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn lines(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect()
}

/// A response of the peer to a request of ours.
pub(crate) fn response(request: &str, status: &str, to_tag: &str, extra: &str, body: &str) -> String {
    let to = header(request, "To");
    let to =
        if to.contains(";tag=") || to_tag.is_empty() { to.to_owned() } else { format!("{to};tag={to_tag}") };
    let head = format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{}",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
        lines(extra),
    );
    with_body(&head, body)
}

/// A dialog as the peer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) call_id: String,
    /// From of the peer's requests.
    pub(crate) local: String,
    /// To of the peer's requests.
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) cseq: u32,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let settings = Settings {
            listeners: vec![
                listener(Transport::Udp, "10.0.0.1:5060"),
                listener(Transport::Tcp, "10.0.0.1:5060"),
            ],
            parties: vec![Party {
                credentials: Some(Credentials {
                    username: "baton".into(),
                    password: Secret::new("secret"),
                    realm: None,
                }),
                ..Party::default()
            }],
            seed: Seed([3; 32]),
            product: "Baton/test".into(),
            session_timer: Some(baton::sip::leg::session_timer::Settings::default()),
        };
        Bench {
            stack: Stack::new(settings),
            now: Now { mono: Time(1_000_000), wall: UnixMillis(0) },
            flow: udp("10.0.0.9:5060"),
            sent: VecDeque::new(),
            events: VecDeque::new(),
            known: true,
            patience: Patience {
                failover_after: Duration::from_millis(32_500),
                first_response: Duration::from_millis(32_500),
            },
            reach: Reach::default(),
            branches: 0,
        }
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.stack.poll_transmit() {
            let text = String::from_utf8(transmit.bytes.to_vec()).expect("text");
            let mut index = Index::default();
            decode(text.as_bytes(), &mut index, Framing::Stream)
                .unwrap_or_else(|fault| panic!("we sent what does not decode: {fault}\n{text}"));
            self.sent.push_back((transmit.id, transmit.flow, text));
        }
        while let Some(event) = self.stack.poll_event() {
            self.events.push_back(event);
        }
    }

    /// A message comes in.
    pub(crate) fn recv(&mut self, text: &str) -> Option<Event> {
        self.recv_with(text, |_, _, event| event)
    }

    /// A message comes in, and the layer above acts while it is at hand.
    pub(crate) fn recv_with<T>(
        &mut self,
        text: &str,
        act: impl FnOnce(&mut Stack, &Message<'_>, Option<Event>) -> T,
    ) -> T {
        let mut index = Index::default();
        let message = decode(text.as_bytes(), &mut index, Framing::Datagram)
            .unwrap_or_else(|fault| panic!("{fault} in\n{text}"));
        let event = self.stack.handle_message(self.now, self.flow, &message, &self.known);
        let event = match event {
            Ok(event) => event,
            Err(Untaken::Malformed(fault)) => panic!("{fault} in\n{text}"),
            Err(
                Untaken::Strange(_) | Untaken::TurnedAway { .. } | Untaken::Stray { .. } | Untaken::Unknown,
            ) => None,
        };
        let result = act(&mut self.stack, &message, event);
        self.collect();
        result
    }

    /// The layer above does something.
    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Stack, Now) -> T) -> T {
        let result = act(&mut self.stack, self.now);
        self.collect();
        result
    }

    /// Time passes; deadlines are served as they come.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.stack.deadline().filter(|at| *at <= end) {
            self.now.mono = self.now.mono.max(at);
            while self.stack.handle_tick(self.now, 64) {}
            self.collect();
        }
        self.now.mono = end;
    }

    pub(crate) fn ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// The next message that went out; its start line begins with `what`.
    pub(crate) fn sent(&mut self, what: &str) -> String {
        self.sent_by(what).1
    }

    pub(crate) fn sent_by(&mut self, what: &str) -> (Flow, String) {
        let (_, flow, text) = self.sent_as(what);
        (flow, text)
    }

    /// The same, with the id by which the network would tell of it.
    pub(crate) fn sent_as(&mut self, what: &str) -> (u64, Flow, String) {
        self.collect();
        let (id, flow, text) =
            self.sent.pop_front().unwrap_or_else(|| panic!("nothing sent, {what} expected"));
        let line = start(&text).trim_start_matches("SIP/2.0 ");
        assert!(line.starts_with(what), "{what} expected, got\n{text}");
        (id, flow, text)
    }

    pub(crate) fn quiet(&mut self) {
        self.collect();
        assert!(self.sent.is_empty(), "nothing expected, got {:#?}", self.sent);
    }

    pub(crate) fn event(&mut self) -> Event {
        self.collect();
        self.events.pop_front().expect("an event")
    }

    /// Everything was released and is over: 64·T1 later nothing is left.
    pub(crate) fn end(mut self) {
        self.pass(Duration::from_millis(64 * 500 + 1));
        self.collect();
        assert!(self.events.is_empty(), "{:?}", self.events);
        let counts = self.stack.counts();
        assert!(self.stack.is_empty(), "left: {counts:?}");
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bKpeer{}", self.branches)
    }

    /// An INVITE of the peer.
    pub(crate) fn invite(&mut self, extra: &str, body: &str) -> String {
        let branch = self.branch();
        self.invite_as(&branch, "sip:+14155550100@10.0.0.1", extra, body)
    }

    pub(crate) fn invite_as(&mut self, branch: &str, uri: &str, extra: &str, body: &str) -> String {
        let head = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch={branch};rport\r\n\
             From: \"Ann\" <sip:+14155550111@10.0.0.9>;tag=ann\r\nTo: <sip:+14155550100@10.0.0.1>\r\n\
             Call-ID: call-1@pbx\r\nCSeq: 10 INVITE\r\nContact: <sip:ann@10.0.0.9:5062;ob>\r\n{}",
            lines(extra)
        );
        let forwards = if extra.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
        with_body(&format!("{head}{forwards}"), body)
    }

    /// A request of the peer inside a dialog.
    pub(crate) fn request(&mut self, peer: &mut Peer, method: &str, extra: &str, body: &str) -> String {
        peer.cseq += 1;
        self.request_as(peer, method, peer.cseq, extra, body)
    }

    pub(crate) fn request_as(
        &mut self,
        peer: &Peer,
        method: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        let branch = self.branch();
        let contact = if extra.contains("Contact:") { "" } else { "Contact: <sip:ann@10.0.0.9:5062>\r\n" };
        let head = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch={branch};rport\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{contact}{}",
            peer.target,
            peer.local,
            peer.remote,
            peer.call_id,
            lines(extra)
        );
        with_body(&head, body)
    }

    /// The caller's side of the dialog that a response of ours makes.
    pub(crate) fn caller_of(&self, response: &str) -> Peer {
        Peer {
            call_id: header(response, "Call-ID").into(),
            local: header(response, "From").into(),
            remote: header(response, "To").into(),
            target: uri(header(response, "Contact")).into(),
            cseq: 10,
        }
    }

    /// A caller's leg, answered and acknowledged.
    pub(crate) fn answered(&mut self) -> (LegId, Peer) {
        let invite = self.invite("", SDP);
        let Some(Event::Incoming { leg }) = self.recv(&invite) else { panic!("no leg") };
        self.sent("100");
        self.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
        let ok = self.sent("200");
        let peer = self.caller_of(&ok);
        let ack = self.request_as(&peer, "ACK", 10, "", "");
        assert_eq!(self.recv(&ack), Some(Event::Confirmed { leg }));
        (leg, peer)
    }

    /// An INVITE of ours to one flow.
    pub(crate) fn connect(&mut self, flows: &[Flow], offer: &str) -> LegId {
        let content = if offer.is_empty() { Content::default() } else { sdp(offer) };
        let (patience, reach) = (self.patience, self.reach);
        self.act(|stack, now| {
            stack.connect(
                now,
                Connect {
                    patience,
                    reach,
                    flows,
                    uri: b"sip:booking@10.0.0.8:5080",
                    to: b"sip:+14155550100@10.0.0.1",
                    from_user: Some(b"+14155550111"),
                    from_display: Some(b"Ann"),
                    max_forwards: 69,
                    slot: 0x1a3,
                    party: Some(0),
                    digest: true,
                    content,
                },
            )
        })
    }

    /// The callee's side of the dialog that an INVITE of ours makes.
    pub(crate) fn callee_of(&self, invite: &str, to_tag: &str) -> Peer {
        Peer {
            call_id: header(invite, "Call-ID").into(),
            local: format!("{};tag={to_tag}", header(invite, "To")),
            remote: header(invite, "From").into(),
            target: uri(header(invite, "Contact")).into(),
            cseq: 500,
        }
    }

    /// A leg of ours, answered; its INVITE comes back too.
    pub(crate) fn connected(&mut self) -> (LegId, Peer, String) {
        let leg = self.connect(&[udp("10.0.0.8:5080")], SDP);
        let invite = self.sent("INVITE");
        let ok = response(&invite, "200 OK", "bob", "Contact: <sip:bob@10.0.0.8:5081>", ANSWER);
        assert_eq!(self.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
        self.sent("ACK");
        let peer = self.callee_of(&invite, "bob");
        (leg, peer, invite)
    }

    pub(crate) fn release(&mut self, leg: LegId) {
        self.act(|stack, now| stack.release(now, leg));
    }
}
