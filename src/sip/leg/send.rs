//! How requests of ours are written, sent, and sent again with credentials or by another flow.
//!
//! Not here: what a request is for. Called by everything in `leg/` that sends a request.

use super::modify::is_glare;
use super::presence::Purpose;
use super::reach::{Advice, Large, is_private};
use super::session_timer::wanted;
use super::tries::Try;
use super::usage::{Kind, Leg, PendingUac, Usage};
use super::{Body, Content, Event, Field, LegId, Origin, SentId, carry};
use crate::sip::dialog::{Dialog, Hop, listener_for};
use crate::sip::durations::NO_STREAM;
use crate::sip::flow::{Flow, Listener, Transport};
use crate::sip::ident::Text;
use crate::sip::stack::{Settings, Stack};
use crate::sip::timing::Time;
use crate::sip::transaction::{Outgoing, UDP_LIMIT};
use crate::wire::headers::{ALLOW, APPLICATION_SDP, NO_REFER_SUB, RELIABLE, TIMER};
use crate::wire::{Framing, Message, Method, Name, Writer, identify};

/// What a request is beside what its dialog gives it.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    pub(crate) id: SentId,
    /// As it is to stand on the wire.
    pub(crate) max_forwards: u8,
    /// Whether its body is an offer.
    pub(crate) offered: bool,
    /// Content-Type and body.
    pub(crate) body: Option<(&'a [u8], &'a [u8])>,
    /// The early dialog that it goes in; None: the leg's.
    pub(crate) within: Option<(Dialog, Flow)>,
}

/// How often a request is sent again that another one has overtaken.
const OVERTAKEN: u8 = 3;
/// Max-Forwards of a request that begins with us (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: u8 = 70;

/// What does not fit a dialog: it can only be answered with the peer's own address.
fn listener(listeners: &[Listener], flow: Flow) -> Option<&Listener> {
    listeners.get(usize::from(flow.listener))
}

/// Writes our Contact.
pub(crate) fn write_contact(writer: &mut Writer<'_>, listeners: &[Listener], flow: Flow) {
    let Some(listener) = listener(listeners, flow) else { return };
    let mut line = writer.begin(Name::Contact);
    line.push("<sip:baton@").push(listener.advertised.as_bytes());
    if listener.transport == Transport::Tcp {
        line.push(";transport=").push(listener.transport.as_param());
    }
    line.push(">");
}

fn write_via(writer: &mut Writer<'_>, listeners: &[Listener], flow: Flow, branch: &str) {
    let advertised = listener(listeners, flow).map_or("invalid", |listener| &listener.advertised);
    let mut line = writer.begin(Name::Via);
    line.push("SIP/2.0/").push(flow.transport.as_via()).push(" ").push(advertised.as_bytes());
    line.push(";rport;branch=").push(branch);
}

/// Writes everything of a request up to what its kind adds. `via`: the flow that it goes by; `flow`: the leg's.
pub(crate) fn write_head<'b>(
    buf: &'b mut Vec<u8>,
    stack: (&[Listener], &str),
    dialog: &Dialog,
    flows: (Flow, Flow),
    request: (Method, u8, u32),
    branch: &str,
) -> Writer<'b> {
    let ((listeners, product), (via, flow), (method, max_forwards, cseq)) = (stack, flows, request);
    let (addressing, parts) = (dialog.addressing(), dialog.parts());
    let mut writer = Writer::request(buf, method.as_str(), addressing.uri);
    write_via(&mut writer, listeners, via, branch);
    writer.begin(Name::MaxForwards).push_number(max_forwards.into());
    if !addressing.routes.is_empty() || addressing.last.is_some() {
        let mut line = writer.begin(Name::Route);
        line.push(addressing.routes);
        if let Some(last) = addressing.last {
            let comma = if addressing.routes.is_empty() { "" } else { ", " };
            line.push(comma).push("<").push(last).push(">");
        }
    }
    writer.begin(Name::From).push(parts.local).push(";tag=").push(parts.local_tag);
    let mut to = writer.begin(Name::To);
    to.push(parts.remote);
    if !parts.remote_tag.is_empty() {
        to.push(";tag=").push(parts.remote_tag);
    }
    drop(to);
    writer.header(Name::CallId, parts.call_id);
    writer.begin(Name::CSeq).push_number(cseq.into()).push(" ").push(method.as_str());
    if matches!(method, Method::Invite | Method::Update | Method::Refer | Method::Notify | Method::Options) {
        write_contact(&mut writer, listeners, flow);
    }
    if matches!(method, Method::Invite | Method::Update | Method::Options) {
        writer.header(Name::Allow, ALLOW);
    }
    writer.header(Name::UserAgent, product);
    writer
}

// Sending.
impl Stack {
    /// Sends a request in the dialog of a leg; `fill` adds its headers (it may be asked twice). None: the leg is gone.
    pub(crate) fn send_request(
        &mut self,
        now: Time,
        id: LegId,
        request: &Request<'_>,
        fill: &dyn Fn(&mut Writer<'_>),
    ) -> Option<SentId> {
        let branch = self.ident.branch();
        let leg = self.legs.get_mut(id.into())?;
        let within = request.within.as_ref();
        let cseq = leg.next_cseq(within.map(|(dialog, _)| dialog.remote_tag()));
        let early = within.map(|(dialog, _)| leg.branch_tag(dialog.local_tag(), dialog.remote_tag()).into());
        let settings = &self.settings;
        let listeners = &settings.listeners;
        let (dialog, mut flow) = match &request.within {
            Some((dialog, flow)) => (dialog, *flow),
            None => (&leg.dialog, leg.flow),
        };
        let by_streams = leg.reach().large == Large::Tcp;
        let mut write = |via: Flow| {
            let head = (request.method, request.max_forwards, cseq);
            let stack = (&**listeners, &*settings.product);
            let mut writer = write_head(&mut self.scratch, stack, dialog, (via, leg.flow), head, &branch);
            match request.kind {
                Kind::Invite | Kind::Modify | Kind::Update => {
                    // Who is sent no offer would have to send one in its first reliable response.
                    let reliable = request.offered && request.kind == Kind::Invite;
                    Supported { reliable, ..settings.supported() }.write(&mut writer);
                    leg.write_timer(&mut writer, settings.session_timer, request.kind);
                }
                Kind::Probe | Kind::KeepAlive | Kind::Check => settings.supported().write(&mut writer),
                Kind::Info | Kind::Refer | Kind::Notify(_) | Kind::Prack | Kind::Bye => {}
            }
            fill(&mut writer);
            writer.finish(request.body)
        };
        let mut fallback = None;
        let long = write(flow) > UDP_LIMIT && flow.transport == Transport::Udp;
        let quarantine = &self.quarantine;
        let takes = |stream: &Flow| long && by_streams && !quarantine.holds(now, stream);
        if let Some(stream) = by_stream(flow, listeners).filter(takes) {
            write(stream);
            (fallback, flow) = (Some(flow), stream);
        }
        let timed = settings.session_timer.is_some() && matches!(request.kind, Kind::Invite | Kind::Update);
        let bound =
            settings.answers(leg) || fallback.is_some() || leg.source().is_some() || leg.has_other_flows();
        let again = bound || timed || request.kind == Kind::Modify;
        let (scratch, outbox) = (&self.scratch, &mut self.outbox);
        let (method, recallable) = (request.method.as_str().as_bytes(), request.kind == Kind::Refer);
        let told = request.kind == Kind::Invite || fallback.is_some();
        let outgoing = Outgoing { method, branch: &branch, owner: Some(id), recallable, told };
        let client = self.table.send(now, flow, outgoing, outbox, |buf| buf.extend_from_slice(scratch));
        leg.sent.reserve_exact(1);
        leg.sent.push(PendingUac {
            id: request.id,
            client,
            cseq,
            kind: request.kind,
            purpose: Purpose::Itself,
            heard: false,
            offered: request.offered,
            branch: early,
            challenged: Vec::new(),
            widened: false,
            overtaken: 0,
            by_source: false,
            given_up: false,
            request: again.then(|| scratch.as_slice().into()),
            fallback,
            said: Vec::new(),
            expires: None,
            attempt: Try::begin(now, flow),
            accepted: None,
        });
        self.settle(now, id);
        Some(request.id)
    }

    /// Writes an ACK for a 2xx of `cseq` (RFC 3261 §13.2.2.4) and sends it. `name`: of the transmit.
    pub(crate) fn send_ack(
        &mut self,
        (id, name): (LegId, u64),
        dialog: &Dialog,
        flow: Flow,
        cseq: u32,
        body: Option<(&[u8], &[u8])>,
        fill: &dyn Fn(&mut Writer<'_>),
    ) -> Box<[u8]> {
        let branch = self.ident.branch();
        let stack = (&*self.settings.listeners, &*self.settings.product);
        let head = (Method::Ack, MAX_FORWARDS, cseq);
        let contact = self.legs.get(id.into()).map_or(flow, |leg| leg.flow);
        let mut writer = write_head(&mut self.scratch, stack, dialog, (flow, contact), head, &branch);
        fill(&mut writer);
        writer.finish(body);
        self.outbox.copy(name, flow, &self.scratch);
        self.scratch.as_slice().into()
    }

    /// Sends a request of ours again in a new transaction: with other headers (an answer to a challenge), or by another flow.
    /// It comes back if it was not kept, or the leg is gone.
    pub(crate) fn send_again(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        flow: Flow,
        changes: &[(Name, &[u8])],
    ) -> Option<PendingUac> {
        let branch = self.ident.branch();
        let Some(leg) = self.legs.get_mut(id.into()) else { return Some(sent) };
        let kept = sent.request.as_deref().unwrap_or_default();
        let Ok(message) = identify(kept, &mut self.index, Framing::Datagram) else { return Some(sent) };
        // Another address of a name that others of it are still called at.
        let beside = sent.kind == Kind::Invite && changes.is_empty() && leg.has_tries();
        if let (Kind::Invite, Usage::Calling(calling)) = (sent.kind, &mut leg.usage)
            && !beside
        {
            // They ended with the final response (RFC 3261 §13.2.2.3).
            calling.early.clear();
        }
        let cseq = if beside { sent.cseq } else { leg.next_cseq(message.to_tag()) };
        let mut again = Again { branch, cseq, via: flow, contact: leg.flow, changes };
        let mut fallback = None;
        let length = rewrite(&mut self.scratch, &message, &self.settings.listeners, &again);
        let long = (!changes.is_empty() || beside) && length > UDP_LIMIT && flow.transport == Transport::Udp;
        let by_streams = leg.reach().large == Large::Tcp;
        let takes = |stream: &Flow| long && by_streams && !self.quarantine.holds(now, stream);
        if let Some(stream) = by_stream(flow, &self.settings.listeners).filter(takes) {
            (again.via, fallback) = (stream, Some(flow));
            rewrite(&mut self.scratch, &message, &self.settings.listeners, &again);
        }
        let method = message.method_text();
        let scratch = &self.scratch;
        let recallable = sent.kind == Kind::Refer;
        let told = sent.kind == Kind::Invite || fallback.is_some();
        let outgoing = Outgoing { method, branch: &again.branch, owner: Some(id), recallable, told };
        let write = |buf: &mut Vec<u8>| buf.extend_from_slice(scratch);
        let client = self.table.send(now, again.via, outgoing, &mut self.outbox, write);
        if let Some(subscription) = leg.subscriptions.iter_mut().find(|one| one.refer == sent.id) {
            subscription.cseq = again.cseq;
        }
        let request = Some(scratch.as_slice().into());
        leg.sent.push(PendingUac {
            client,
            attempt: Try::begin(now, again.via),
            cseq: again.cseq,
            heard: false,
            request,
            fallback,
            said: Vec::new(),
            ..sent
        });
        self.settle(now, id);
        None
    }

    /// Sends a refused request again if that can help: answers a challenge (once, or again if only the nonce was
    /// stale), repeats a re-INVITE that came too late, falls back to UDP, or tries the next flow.
    /// It comes back if it failed for good.
    pub(crate) fn retry(
        &mut self,
        now: Time,
        id: LegId,
        mut sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<PendingUac> {
        let Some(leg) = self.legs.get_mut(id.into()) else { return Some(sent) };
        if sent.given_up || (leg.is_cancelled() && sent.kind == Kind::Invite) {
            return Some(sent);
        }
        if let (401 | 407, Some(response)) = (outcome.0, response) {
            return self.answer_challenge(now, id, sent, response);
        }
        if sent.request.is_none() {
            return Some(sent);
        }
        if let (422, Some(response)) = (outcome.0, response) {
            return self.widen(now, id, sent, response);
        }
        if outcome == (500, Origin::Remote) && !is_glare(500, response) && leg.was_overtaken(&sent) {
            sent.overtaken += 1;
            let flow = leg.flow;
            return self.send_again(now, id, sent, flow, &[]);
        }
        if let (Some(flow), (503, Origin::Local)) = (sent.fallback.take(), outcome) {
            self.quarantine.put(now, &sent.attempt.flow, NO_STREAM);
            return self.send_again(now, id, sent, flow, &[]);
        }
        if outcome == (503, Origin::Local)
            && let Some(flow) = leg.flow_of_source(&mut sent)
        {
            return self.send_again(now, id, sent, flow, &[]);
        }
        match leg.next_flow(&sent, outcome) {
            Some(flow) => {
                leg.flow = flow;
                self.send_again(now, id, sent, flow, &[])
            }
            None => Some(sent),
        }
    }

    /// 422: once more with the Session-Expires that the peer takes (RFC 4028 §7.4).
    fn widen(
        &mut self,
        now: Time,
        id: LegId,
        mut sent: PendingUac,
        response: &Message<'_>,
    ) -> Option<PendingUac> {
        let Some(seconds) = wanted(self.settings.session_timer, response).filter(|_| !sent.widened) else {
            return Some(sent);
        };
        sent.widened = true;
        let Some(flow) = self.legs.get(id.into()).map(|leg| leg.flow) else { return Some(sent) };
        let value = seconds.to_string();
        let least = response.header(Name::MinSe).unwrap_or(b"");
        self.send_again(
            now,
            id,
            sent,
            flow,
            &[(Name::SessionExpires, value.as_bytes()), (Name::MinSe, least)],
        )
    }

    /// After the routes or the target of a leg were set: where its next request goes.
    pub(crate) fn aim(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        // A stream that is gone leads nowhere.
        let stands = !leg.flow.transport.is_reliable() || leg.flow.connection != 0;
        if leg.goes_to_source() && stands {
            return;
        }
        match leg.dialog.hop(leg.flow, None, &self.settings.listeners) {
            Hop::Stay => {}
            Hop::Go(flow) => {
                let ips = (flow.peer.ip(), leg.flow.peer.ip());
                let odd = is_private(ips.0) && !is_private(ips.1) && leg.dialog.routes().is_empty();
                leg.aim_at(flow);
                if odd {
                    self.tell(id, Event::Advice { leg: id, advice: Advice::PrivateContact });
                }
            }
            Hop::Ask(uri) => self.resolves.push_back((Stack::query(id), uri.into())),
        }
    }

    /// The name of a leg's next hop has this address; port and transport are those of its URI.
    pub(crate) fn aim_at(&mut self, id: LegId, address: Flow) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let flow = leg.dialog.hop(leg.flow, Some(address), &self.settings.listeners).or(leg.flow);
        leg.aim_at(flow);
    }

    /// A message of the peer's came by this stream: what follows may use it.
    pub(crate) fn adopt(&mut self, id: LegId, flow: Flow) {
        let Some(leg) = self.legs.get_mut(id.into()).filter(|leg| leg.moves) else { return };
        let same = |one: Flow| {
            one.transport == flow.transport && one.peer.ip().to_canonical() == flow.peer.ip().to_canonical()
        };
        if flow.transport.is_reliable() && same(leg.flow) {
            leg.flow = flow;
        } else if let Some(source) = leg.aside.as_mut().and_then(|aside| aside.source.as_mut())
            && same(*source)
        {
            *source = flow;
        }
    }

    /// A stream died: legs that used it go where their dialog says.
    pub(crate) fn drop_connection(&mut self, connection: u64) {
        let by = |flow: &Flow| connection != 0 && flow.connection == connection;
        let used = |leg: &Leg| by(&leg.flow) || leg.source().as_ref().is_some_and(by);
        let legs: Vec<LegId> =
            self.legs.iter().filter(|(_, leg)| used(leg)).map(|(id, _)| id.into()).collect();
        for id in legs {
            let Some(leg) = self.legs.get_mut(id.into()) else { continue };
            if let Some(aside) = &mut leg.aside {
                aside.source.take_if(|source| by(source));
            }
            if by(&leg.flow) {
                leg.flow.connection = 0;
                self.aim(id);
                self.acknowledge_failed(id);
            }
        }
    }
}

/// The extensions that we understand.
#[derive(Clone, Copy)]
pub(crate) struct Supported {
    /// Provisional responses may be reliable (RFC 3262).
    pub(crate) reliable: bool,
    /// Sessions have a timer (RFC 4028).
    pub(crate) timer: bool,
}

impl Supported {
    /// The header that says so.
    pub(crate) fn write(self, writer: &mut Writer<'_>) {
        let mut line = writer.begin(Name::Supported);
        if self.reliable {
            line.push(RELIABLE).push(", ");
        }
        line.push(NO_REFER_SUB);
        if self.timer {
            line.push(", ").push(TIMER);
        }
    }
}

impl Settings {
    /// All that we understand.
    pub(crate) fn supported(&self) -> Supported {
        Supported { reliable: true, timer: self.session_timer.is_some() }
    }

    /// Whether we understand it.
    pub(crate) fn supports(&self, option: &[u8]) -> bool {
        let timer = self.session_timer.is_some().then_some(TIMER);
        [RELIABLE, NO_REFER_SUB]
            .into_iter()
            .chain(timer)
            .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// The flow of a request that is too long for a datagram.
pub(crate) fn by_stream(flow: Flow, listeners: &[Listener]) -> Option<Flow> {
    let listener = listener_for(listeners, Transport::Tcp, flow.peer, flow.listener)?;
    Some(Flow { transport: Transport::Tcp, listener, peer: flow.peer, connection: 0 })
}

/// What differs when a request is sent again.
pub(crate) struct Again<'a> {
    pub(crate) branch: Text,
    pub(crate) cseq: u32,
    pub(crate) via: Flow,
    pub(crate) contact: Flow,
    /// Headers that stand instead of those of that name, or beside the others.
    pub(crate) changes: &'a [(Name, &'a [u8])],
}

/// Gives the length in bytes.
pub(crate) fn rewrite(
    buf: &mut Vec<u8>,
    request: &Message<'_>,
    listeners: &[Listener],
    again: &Again<'_>,
) -> usize {
    let mut writer = Writer::request(buf, request.method_text(), request.uri_bytes());
    write_via(&mut writer, listeners, again.via, &again.branch);
    for header in request.all() {
        match header.name {
            Name::Via | Name::ContentLength | Name::ContentType => {}
            name if again.changes.iter().any(|(changed, _)| *changed == name) => {}
            Name::CSeq => {
                writer.begin(Name::CSeq).push_number(again.cseq.into()).push(" ").push(request.method_text());
            }
            Name::Contact => write_contact(&mut writer, listeners, again.contact),
            _ => _ = writer.header_raw(header.raw_name, header.value),
        }
    }
    for (name, value) in again.changes {
        writer.header(*name, value);
    }
    writer.finish(request.content_type().map(|content_type| (content_type, request.body())))
}

/// A body as it goes out, Content-Type and bytes; `dressed` is its SDP as the dialog sends it.
pub(crate) fn body_of<'a>(content: &Content<'a>, dressed: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    match content.body {
        Body::None => None,
        Body::Sdp(_) => Some((APPLICATION_SDP.as_bytes(), dressed)),
        Body::Other(content_type, body) => Some((content_type, body)),
        Body::Copied => {
            let message = content.copy.filter(|message| !message.body().is_empty())?;
            if message.has_sdp() {
                return Some((APPLICATION_SDP.as_bytes(), dressed));
            }
            Some((message.content_type()?, message.body()))
        }
    }
}

/// The SDP that `content` carries.
pub(crate) fn sdp_of<'a>(content: &Content<'a>) -> Option<&'a [u8]> {
    match content.body {
        Body::None | Body::Other(..) => None,
        Body::Sdp(sdp) => Some(sdp),
        Body::Copied => content.copy.filter(|message| message.has_sdp()).map(|message| message.body()),
    }
}

/// The headers of `content` as fields, for a message that is made later.
pub(crate) fn keep_fields(content: &Content<'_>) -> Box<[Field]> {
    let mut buffer = Vec::new();
    let mut writer = Writer::response(&mut buffer, 100, "");
    carry::write(&mut writer, content);
    writer.finish(None);
    let text = String::from_utf8_lossy(&buffer);
    let lines = text.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| *name != Name::ContentLength.as_str())
        .map(|(name, value)| Field { name: name.into(), value: value.into() })
        .collect()
}

impl Leg {
    /// CSeq of the next request to the peer with that tag.
    fn next_cseq(&mut self, remote_tag: Option<&[u8]>) -> u32 {
        let early = match (&mut self.usage, remote_tag) {
            (Usage::Calling(calling), Some(tag)) => {
                calling.early.iter_mut().find(|early| early.dialog.remote_tag() == tag)
            }
            _ => None,
        };
        let last = early.map_or(&mut self.local_cseq, |early| &mut early.cseq);
        *last = last.wrapping_add(1) & 0x7fff_ffff;
        *last
    }

    /// Where requests in an early dialog go (see [`Leg::session_in`]).
    pub(crate) fn flow_in(&self, branch: Option<&[u8]>) -> Flow {
        let early = match (&self.usage, branch) {
            (Usage::Calling(calling), Some(tag)) => {
                calling.early.iter().find(|early| early.dialog.remote_tag() == tag)
            }
            _ => None,
        };
        early.map_or(self.flow, |early| early.flow)
    }

    /// A re-INVITE that another request of ours arrived before gets 500 (RFC 3261 §12.2.2), and has not been looked at.
    fn was_overtaken(&self, sent: &PendingUac) -> bool {
        let later = sent.kind == Kind::Modify && sent.cseq != self.local_cseq;
        later && sent.overtaken < OVERTAKEN && self.is_answered()
    }

    fn has_other_flows(&self) -> bool {
        match &self.usage {
            Usage::Calling(calling) => !calling.others.is_empty(),
            _ => false,
        }
    }

    fn is_cancelled(&self) -> bool {
        match &self.usage {
            Usage::Calling(calling) => calling.cancelled.is_some(),
            _ => false,
        }
    }

    /// The next flow of the INVITE that made the leg: on a transport fault, a 503, or a timeout before any 1xx
    /// (RFC 3263 §4.3).
    fn next_flow(&mut self, sent: &PendingUac, outcome: (u16, Origin)) -> Option<Flow> {
        match (&mut self.usage, outcome) {
            (Usage::Calling(calling), (503, _) | (408, Origin::Local))
                if sent.kind == Kind::Invite && (outcome.0 == 503 || !calling.provisional) =>
            {
                let flow = calling.others.pop()?;
                // It has its time as the one before.
                calling.provisional = false;
                Some(flow)
            }
            _ => None,
        }
    }
}
