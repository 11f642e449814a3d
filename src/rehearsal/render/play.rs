//! The engine with an invented caller and an invented agent, in virtual time: the decision is made, and what is sent to
//! the caller's side and to a target is kept.

use super::super::text::Text;
use super::origin::To;
use super::{CALLER, Ground, Ways, Wish};
use crate::call::command::{Command, HandoffRequest, Invalid, Refusal, Reply};
use crate::call::engine::{Engine, Input, Output, Settings};
use crate::call::event::EventKind;
use crate::call::record::{HandoffView, Stamp};
use crate::routing::Tables;
use crate::routing::address::{Address, Host};
use crate::routing::net::IpNet;
use crate::routing::table::Table;
use crate::routing::topology::{Agent, CalledFrom, Topology, Trunk};
use crate::sip::ident::{Seed, SlotKey};
use crate::sip::{self, Answer, Flow, Listener, Now, Question, Time, Transport};
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where the invented parties are: nobody's addresses (RFC 5737).
const CALLER_AT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const AGENT_AT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const TARGET_AT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The number that is called.
const CALLED: &str = "+14155550100";
const CALL_ID: &str = "render@192.0.2.1";

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// Runs the engine for an invented call, and keeps what it sends.
pub(super) struct Play {
    engine: Engine,
    now: Now,
    table: Arc<Table>,
    ways: Arc<dyn Ways>,
    /// Hosts whose address decides which socket reaches them, and is not known here.
    pub(super) unsure: BTreeSet<String>,
    /// What the engine sent and nobody has looked at yet.
    sent: VecDeque<(Flow, Text)>,
    reply: Option<Reply>,
    /// The Call-ID of the agent's leg.
    agent_call: String,
    call: String,
    /// What went to the caller's side and to a target since the decision.
    pub(super) messages: Vec<(Flow, To, Text)>,
    pub(super) left_out: Vec<String>,
}

impl Play {
    /// A call by that trunk, which the agent has taken, or rings with.
    pub(super) fn begin(
        ground: &Ground,
        table: &Arc<Table>,
        (trunk, agent): (&Trunk, &Agent),
        wish: &Wish,
        at: Stamp,
    ) -> Result<Play, Refusal> {
        let now = Now { mono: Time(0), wall: at.0 };
        let settings = Settings {
            stack: sip::Settings {
                listeners: ground.ways.listeners().to_vec(),
                parties: Vec::new(),
                // What it draws stands in tags and branches only; the same question gets the same answer.
                seed: Seed([7; 32]),
                product: sip::PRODUCT.into(),
                session_timer: ground.session_timer,
            },
            slot_key: SlotKey([7; 16]),
            max_calls: 1,
            occupancy: Default::default(),
            announced: Default::default(),
            shows_messages: false,
            max_duration: Duration::from_secs(3600),
            tables: Arc::new(tables(table, trunk, agent, &ground.tables)),
        };
        let mut play = Play {
            engine: Engine::new(now, settings),
            now,
            table: Arc::clone(table),
            ways: Arc::clone(&ground.ways),
            unsure: BTreeSet::new(),
            sent: VecDeque::new(),
            reply: None,
            agent_call: String::new(),
            call: String::new(),
            messages: Vec::new(),
            left_out: Vec::new(),
        };
        play.connect(trunk, wish)?;
        Ok(play)
    }

    fn connect(&mut self, trunk: &Trunk, wish: &Wish) -> Result<(), Refusal> {
        let caller = self.flow(CALLER_AT, &trunk.address.text);
        let invite = invite(trunk, wish);
        self.hears(caller, &invite);
        let (agent, ringing) = self.take(|text| text.method() == "INVITE" && text.status().is_none())?;
        self.agent_call = ringing.header("Call-ID").unwrap_or_default().to_owned();
        self.call = ringing.header("X-Baton-Call-ID").unwrap_or_default().to_owned();
        if wish.before_answer {
            self.hears(agent, &answer(&ringing, "180 Ringing", AGENT_AT));
            self.sent.clear();
            return Ok(());
        }
        self.hears(agent, &answer(&ringing, "200 OK", AGENT_AT));
        let (_, ok) =
            self.take(|text| text.status() == Some(200) && text.header("Call-ID") == Some(CALL_ID))?;
        let target = ok.bracketed("Contact").unwrap_or_default();
        let ack = Text::new(format!("ACK {target} SIP/2.0"))
            .with("Via", format!("SIP/2.0/UDP {CALLER_AT}:5060;branch=z9hG4bKrender-ack"))
            .with("Max-Forwards", "70")
            .with("From", invite.header("From").unwrap_or_default())
            .with("To", ok.header("To").unwrap_or_default())
            .with("Call-ID", CALL_ID)
            .with("CSeq", "1 ACK");
        self.hears(caller, &ack);
        self.sent.clear();
        Ok(())
    }

    /// The decision, and what is sent for it: of `attended` also the REFER that follows the target's answer.
    pub(super) fn decide(&mut self, destination: &str, wish: &Wish) -> Result<Arc<HandoffView>, Refusal> {
        let request = Box::new(HandoffRequest {
            destination: Some(destination.to_owned()),
            reason: wish.reason.clone(),
            utterance: wish.utterance.clone(),
            variables: wish.variables.clone(),
            headers: wish.headers.clone(),
            route: wish.route.clone(),
            method: wish.method.clone(),
        });
        let command = Command::Handoff { call: self.call.clone(), request };
        self.drive(Input::Command { id: 1, command });
        let handoff = match self.reply.take() {
            Some(Reply::Handoff(handoff)) => handoff,
            Some(Reply::Refused(refusal)) => return Err(refusal),
            _ => return Err(stuck("the decision")),
        };
        self.keep();
        let attended = handoff.attempts.first().filter(|attempt| attempt.method == "attended");
        let to = attended.and_then(|attempt| self.table.find(&attempt.destination)).cloned();
        let called = self.messages.iter().find(|(_, to, _)| *to == To::Target).cloned();
        if let (Some((flow, _, invite)), Some(to), false) = (called, to, wish.before_answer) {
            self.hears(flow, &answer(&invite, "200 OK", TARGET_AT));
            // The REFER follows once the target has settled.
            self.now.mono = self.now.mono + to.timeouts.settle;
            self.drive(Input::Tick);
            self.keep();
        }
        Ok(handoff)
    }

    /// Requests and final answers to the caller's side and to a target; not what only keeps a dialog going.
    fn keep(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for (flow, text) in sent {
            let call_id = text.header("Call-ID").unwrap_or_default();
            let to = if call_id == CALL_ID { To::Caller } else { To::Target };
            let telling =
                text.status().map_or(!matches!(text.method(), "ACK" | "CANCEL"), |status| status >= 300);
            if call_id != self.agent_call && telling {
                self.messages.push((flow, to, text));
            }
        }
    }

    fn take(&mut self, wanted: impl Fn(&Text) -> bool) -> Result<(Flow, Text), Refusal> {
        let at = self.sent.iter().position(|(_, text)| wanted(text));
        if let Some(found) = at.and_then(|at| self.sent.remove(at)) {
            return Ok(found);
        }
        let refused = self.sent.iter().find(|(_, text)| text.status().is_some_and(|status| status >= 300));
        Err(stuck(refused.map_or("the call", |(_, text)| &text.start)))
    }

    fn hears(&mut self, flow: Flow, text: &Text) {
        self.drive(Input::Message { flow, bytes: &text.write() });
    }

    /// One input, and all that follows from it at once. Names are found at once, too, wherever they lead.
    fn drive(&mut self, input: Input<'_>) {
        self.now.mono = Time(self.now.mono.0 + 1000);
        self.engine.handle(self.now, input);
        let mut asked = Vec::new();
        loop {
            match self.engine.poll() {
                Output::Transmit { flow, bytes, .. } => {
                    self.sent.extend(Text::read(bytes).ok().map(|text| (flow, text)))
                }
                Output::Ask { ticket, question: Question::Locate(uri), .. } => asked.push((ticket, uri)),
                Output::Reply { reply, .. } => self.reply = Some(reply),
                Output::Event(event) => {
                    if let EventKind::Undefined { header, why, .. } = event.what {
                        self.left_out.push(format!("{header}: {why}"));
                    }
                }
                Output::Adopted { .. } | Output::Recall { .. } => {}
                Output::Idle { .. } => break,
            }
        }
        for (ticket, uri) in asked {
            let at = if self.agent_call.is_empty() { AGENT_AT } else { TARGET_AT };
            let flow = self.flow(at, &String::from_utf8_lossy(&uri));
            self.drive(Input::Answer { ticket, answer: Answer::Located(&[flow]) });
        }
    }

    /// A way to an invented party, by the transport that the URI asks for and the socket that reaches its host.
    fn flow(&mut self, to: Ipv4Addr, uri: &str) -> Flow {
        let address = Address::parse(uri).ok();
        let wanted = address.as_ref().and_then(|address| address.transport).unwrap_or(Transport::Udp);
        let fits = |listener: &Listener| listener.transport == wanted;
        let any = || (0u16..).zip(self.ways.listeners()).filter(|(_, listener)| fits(listener));
        let listener = match address.map(|address| address.host) {
            Some(Host::Ip(ip)) => self.ways.listener_for(wanted, ip),
            Some(Host::Name(name)) if to != AGENT_AT && any().nth(1).is_some() => {
                self.unsure.insert(name.to_string());
                None
            }
            Some(Host::Name(_)) | None => None,
        };
        let listener = listener.or_else(|| any().next().map(|(index, _)| index)).unwrap_or_default();
        let transport = self.ways.listeners().get(usize::from(listener)).map_or(wanted, |one| one.transport);
        let peer = SocketAddr::new(IpAddr::V4(to), 5060);
        Flow { transport, listener, peer, connection: 0 }
    }
}

fn stuck(what: &str) -> Refusal {
    let message = format!("the invented call came to no decision: {what}");
    Refusal::Invalid(vec![Invalid { field: "call".to_owned(), message }])
}

/// The tables of this environment alone, with parties that are known by their invented addresses.
fn tables(table: &Arc<Table>, trunk: &Trunk, agent: &Agent, real: &Tables) -> Tables {
    let from = |address: Ipv4Addr| Some(vec![IpNet::host(IpAddr::V4(address))]);
    // Another trunk may be the one that a destination names, but no call comes by it.
    let trunks = real.topology.trunks().iter().map(|other| match other.id == trunk.id {
        true => Trunk { accept_from: from(CALLER_AT), ..Trunk::clone(other) },
        false => Trunk { accept_from: Some(Vec::new()), ..Trunk::clone(other) },
    });
    let agents = vec![Agent { accept_from: from(AGENT_AT), ..agent.clone() }];
    let environments =
        real.topology.environments().iter().map(|environment| (**environment).clone()).collect();
    Tables {
        serial: 1,
        topology: Topology::new(trunks.collect(), agents, environments),
        environments: [(Box::from(&*table.environment), Arc::clone(table))].into(),
    }
}

fn invite(trunk: &Trunk, wish: &Wish) -> Text {
    let caller = wish.caller.as_deref().unwrap_or(CALLER);
    let mut invite = Text::new(format!("INVITE sip:{CALLED}@baton SIP/2.0"))
        .with("Via", format!("SIP/2.0/UDP {CALLER_AT}:5060;branch=z9hG4bKrender"))
        .with("Max-Forwards", "70")
        .with("From", format!("<sip:{caller}@{}>;tag=caller", trunk.address.host_port()))
        .with("To", format!("<sip:{CALLED}@baton>"))
        .with("Call-ID", CALL_ID)
        .with("CSeq", "1 INVITE")
        .with("Contact", format!("<sip:{caller}@{}>", trunk.address.host_port()))
        .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY")
        .with("Supported", "replaces");
    if trunk.called_from == CalledFrom::PCalledPartyId {
        invite = invite.with("P-Called-Party-ID", format!("<sip:{CALLED}@baton>"));
    }
    for (name, value) in &wish.caller_headers {
        invite = invite.with(name, value.clone());
    }
    invite.with_body("application/sdp", SDP)
}

/// An answer of the agent or of a target.
fn answer(request: &Text, status: &str, at: Ipv4Addr) -> Text {
    let mut answer = Text::new(format!("SIP/2.0 {status}"));
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        for value in request.all(name) {
            answer = answer.with(name, value);
        }
    }
    let to = request.header("To").unwrap_or_default();
    let answer =
        answer.with("To", format!("{to};tag=answers")).with("Contact", format!("<sip:answers@{at}>"));
    if status.starts_with("200") {
        answer.with_body("application/sdp", SDP.replace("192.0.2.1", &at.to_string()))
    } else {
        answer
    }
}
