//! Peers that write SIP as text: a PBX, an agent, a target. They keep just enough of a dialog to write the next request;
//! everything that they receive is shown to the scenario.

pub use super::leg::Leg;
use super::leg::State;
use super::message::{Message, parameter, uri_of};
use super::{Door, Due, World, ms, s};
use baton::sip::Time;
use std::cell::{Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How long an expected message may take, where the scenario does not say.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// One that Baton talks with.
#[derive(Clone)]
pub struct Peer {
    pub world: World,
    pub name: String,
    pub tcp: bool,
    pub address: SocketAddr,
}

/// What is expected: a method or a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    Request(&'a str),
    Response(u16),
}

impl<'a> From<&'a str> for Kind<'a> {
    fn from(method: &'a str) -> Self {
        Kind::Request(method)
    }
}

impl From<u16> for Kind<'_> {
    fn from(status: u16) -> Self {
        Kind::Response(status)
    }
}

impl Kind<'_> {
    pub(super) fn fits(self, message: &Message) -> bool {
        match self {
            Kind::Request(method) => message.is_request() && message.method() == method,
            Kind::Response(status) => message.status() == status,
        }
    }
}

/// A description of a session: `o=` of `who`, version `version`.
pub fn sdp(who: &str, version: u64) -> String {
    sdp_with(
        who,
        version,
        "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
    )
}

/// The same with these media.
pub fn sdp_with(who: &str, version: u64, media: &str) -> String {
    format!(
        "v=0\r\no={who} 77 {version} IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{media}"
    )
}

impl Peer {
    fn key(&self) -> (bool, SocketAddr) {
        (self.tcp, self.address)
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its Contact.
    pub fn contact(&self) -> String {
        let transport = if self.tcp { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{transport}>", self.name, self.address)
    }

    /// Sends this text.
    pub fn send(&self, text: &str) {
        self.world.0.borrow_mut().send(self.tcp, self.address, text);
    }

    /// The next message that nobody has expected yet must be this one; waits a second for it.
    #[track_caller]
    pub fn expect<'a>(&self, kind: impl Into<Kind<'a>>) -> Rc<Message> {
        self.expect_within(kind, SOON)
    }

    /// The same, waiting longer.
    #[track_caller]
    pub fn expect_within<'a>(&self, kind: impl Into<Kind<'a>>, within: Duration) -> Rc<Message> {
        let kind = kind.into();
        let end = self.world.now() + within;
        loop {
            if let Some(message) = self.take(|_| true, kind) {
                assert!(kind.fits(&message), "{} expected {kind:?}, got\n{message}", self.name);
                return message;
            }
            assert!(self.world.step(end), "{} waited {within:?} for {kind:?} in vain", self.name);
        }
    }

    /// The first message in the inbox that `fits`; 100s are skipped unless asked for.
    pub fn take(&self, fits: impl Fn(&Message) -> bool, kind: Kind<'_>) -> Option<Rc<Message>> {
        let mut inner = self.world.0.borrow_mut();
        let inbox = &mut inner.posts.get_mut(&self.key())?.inbox;
        if kind != Kind::Response(100) {
            inbox.retain(|m| m.status() != 100);
        }
        let at = inbox.iter().position(|m| fits(m))?;
        inbox.remove(at)
    }

    /// Nothing may come for that long.
    #[track_caller]
    pub fn expect_silence(&self, time: Duration) {
        self.world.advance(time);
        let waiting = self.world.0.borrow_mut().posts.get_mut(&self.key()).map(|p| {
            p.inbox.retain(|m| m.status() != 100);
            p.left()
        });
        assert_eq!(waiting.unwrap_or_default(), Vec::<String>::new(), "{} expected silence", self.name);
    }

    /// What it got and nobody has expected is of no interest.
    pub fn forgets(&self) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.inbox.clear();
        }
    }

    /// How many messages it got again, byte for byte.
    pub fn retransmissions(&self) -> usize {
        self.world.0.borrow().posts.get(&self.key()).map_or(0, |p| p.retransmissions)
    }

    /// OPTIONS are answered by themselves with that status from now on.
    pub fn answers_options(&self, status: u16) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.options = Some(status);
        }
    }

    /// OPTIONS are the scenario's own again.
    pub fn is_silent_to_options(&self) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.options = None;
        }
    }

    /// The network gives back what is sent to it.
    pub fn is_dead(&self, dead: bool) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.dead = dead;
        }
    }

    /// What becomes of datagrams to it from now on.
    pub fn door(&self, door: Door) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.door = door;
        }
    }

    /// A stream to it takes that long to be opened; to who takes datagrams only, to fail.
    pub fn connects_after(&self, time: Duration) {
        if let Some(post) = self.world.0.borrow_mut().posts.get_mut(&self.key()) {
            post.connects = time;
        }
    }

    /// Its stream breaks; it may come back by a new one.
    pub fn closes_connection(&self) {
        self.world.0.borrow_mut().break_stream(self.key());
    }

    /// A new identifier, different for each peer.
    pub fn fresh(&self, what: &str) -> String {
        let mut inner = self.world.0.borrow_mut();
        let bits = inner.random.bits();
        format!("{what}{bits:016x}")
    }

    /// The beginning of an INVITE to this number.
    pub fn calling(&self, number: &str) -> Invite {
        Invite {
            peer: self.clone(),
            uri: format!("sip:{number}@192.0.2.10"),
            to: format!("<sip:{number}@192.0.2.10>"),
            from: "\"Ada Lovelace\" <sip:+14155550199@pbx.example.com>".to_owned(),
            max_forwards: 70,
            headers: Vec::new(),
            body: Some(sdp(&self.name, 1)),
            contact: self.contact(),
            routes: Vec::new(),
        }
    }

    /// INVITE to this number as anybody would send it.
    pub fn invite(&self, number: &str) -> Leg {
        self.calling(number).send()
    }

    /// Expects an INVITE outside any dialog; the leg it makes.
    #[track_caller]
    pub fn expect_call(&self) -> Leg {
        self.expect_call_within(SOON)
    }

    /// The same, waiting longer.
    #[track_caller]
    pub fn expect_call_within(&self, within: Duration) -> Leg {
        let invite = self.expect_within("INVITE", within);
        assert_eq!(invite.to_tag(), "", "a new call expected\n{invite}");
        Leg::called(self, invite)
    }

    /// An OPTIONS outside any dialog.
    pub fn ping(&self) -> Rc<Message> {
        let (via, tag, id) = (self.via(), self.fresh("t"), self.fresh("i"));
        let text = format!(
            "OPTIONS sip:192.0.2.10 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:ping@pbx.example.com>;tag={tag}\r\nTo: <sip:192.0.2.10>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        self.send(&text);
        Rc::new(Message::parse(text.as_bytes()).expect("our own text"))
    }

    /// A new Via value of its own.
    pub fn via(&self) -> String {
        let word = if self.tcp { "TCP" } else { "UDP" };
        format!("SIP/2.0/{word} {};branch={};rport", self.address, self.fresh("z9hG4bK"))
    }
}

/// An INVITE that is being written.
pub struct Invite {
    peer: Peer,
    uri: String,
    to: String,
    from: String,
    max_forwards: u32,
    headers: Vec<(String, String)>,
    body: Option<String>,
    contact: String,
    routes: Vec<String>,
}

impl Invite {
    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Who calls, as a From value without tag.
    pub fn from(mut self, from: &str) -> Self {
        self.from = from.to_owned();
        self
    }

    /// To without tag.
    pub fn to(mut self, to: &str) -> Self {
        self.to = to.to_owned();
        self
    }

    /// Request-URI.
    pub fn uri(mut self, uri: &str) -> Self {
        self.uri = uri.to_owned();
        self
    }

    /// Max-Forwards.
    pub fn max_forwards(mut self, hops: u32) -> Self {
        self.max_forwards = hops;
        self
    }

    /// This SDP, or none (a late offer).
    pub fn body(mut self, body: Option<&str>) -> Self {
        self.body = body.map(str::to_owned);
        self
    }

    /// Contact value.
    pub fn contact(mut self, contact: &str) -> Self {
        self.contact = contact.to_owned();
        self
    }

    /// Record-Route values, as proxies between would have put them.
    pub fn record_routes(mut self, routes: &[&str]) -> Self {
        self.routes = routes.iter().map(|r| (*r).to_owned()).collect();
        self
    }

    /// Sends it.
    pub fn send(self) -> Leg {
        let peer = self.peer;
        let (call_id, tag) = (peer.fresh("call-"), peer.fresh("t"));
        let state = State {
            call_id,
            local: format!("{};tag={tag}", self.from),
            remote: self.to,
            target: self.uri.clone(),
            routes: Vec::new(),
            cseq: 1,
            contact: self.contact,
            recorded: Vec::new(),
        };
        let mut head = String::new();
        for route in &self.routes {
            head.push_str(&format!("Record-Route: {route}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let leg = Leg { peer, state: Rc::new(RefCell::new(state)), invite: Rc::new(RefCell::new(None)) };
        let body = self.body.unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "application/sdp" };
        let text = leg.write("INVITE", 1, &leg.peer.via(), self.max_forwards, &head, kind, &body);
        leg.peer.send(&text);
        *leg.invite.borrow_mut() = Some(Rc::new(Message::parse(text.as_bytes()).expect("our own text")));
        leg
    }
}

/// A response to `request` as text.
pub fn reply_text(request: &Message, status: u16, tag: &str, headers: &[(&str, &str)], sdp: &str) -> String {
    let mut text = format!("SIP/2.0 {status} {}\r\n", phrase(status));
    for via in request.all("Via") {
        text.push_str(&format!("Via: {via}\r\n"));
    }
    let to = request.find("To").unwrap_or_default();
    let to = if parameter(to, "tag").is_some() || status == 100 || tag.is_empty() {
        to.to_owned()
    } else {
        format!("{to};tag={tag}")
    };
    text.push_str(&format!(
        "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        request.find("From").unwrap_or_default(),
        request.call_id(),
        request.find("CSeq").unwrap_or_default()
    ));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    close(&mut text, if sdp.is_empty() { "" } else { "application/sdp" }, sdp);
    text
}

pub(super) fn close(text: &mut String, kind: &str, body: &str) {
    if !kind.is_empty() {
        text.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
}

/// Reason phrases as peers write them.
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Whatever",
    }
}

/// A call that stands: PBX and agent talk through Baton.
pub struct Talking {
    pub world: World,
    pub pbx: Peer,
    pub agent: Peer,
    /// The PBX's dialog with Baton.
    pub call: Leg,
    /// The agent's dialog with Baton.
    pub leg: Leg,
}

impl Talking {
    /// With the usual configuration.
    #[track_caller]
    pub fn new() -> Talking {
        Talking::with(&super::Config::default())
    }

    /// With this one.
    #[track_caller]
    pub fn with(config: &super::Config) -> Talking {
        Talking::by(config, |invite| invite)
    }

    /// With an INVITE of one's own.
    #[track_caller]
    pub fn by(config: &super::Config, dress: impl FnOnce(Invite) -> Invite) -> Talking {
        Talking::at(config, PBX, dress)
    }

    /// The PBX has this address.
    #[track_caller]
    pub fn at(config: &super::Config, pbx: &str, dress: impl FnOnce(Invite) -> Invite) -> Talking {
        let world = World::with(config);
        let (pbx, agent) = (world.peer("pbx", pbx), world.peer("agent", AGENT));
        agent.answers_options(200);
        let call = dress(pbx.calling(NUMBER)).send();
        let leg = establish(&call, &agent);
        Talking { world, pbx, agent, call, leg }
    }

    /// BYE of the caller, passed on.
    #[track_caller]
    pub fn caller_hangs_up(&self) {
        self.call.hang_up();
        self.leg.expect_bye();
    }

    /// BYE by Baton on both legs, answered.
    #[track_caller]
    pub fn both_get_bye(&self) {
        self.call.expect_bye();
        self.leg.expect_bye();
    }
}

/// The agent answers the call, and both sides see it.
#[track_caller]
pub fn establish(call: &Leg, agent: &Peer) -> Leg {
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    agent.world.settle();
    leg
}

/// The usual PBX.
pub const PBX: &str = "10.0.0.5:5060";
/// The usual agent.
pub const AGENT: &str = "10.0.0.80:5080";
/// The number that reaches the usual agent.
pub const NUMBER: &str = "+14155550100";
