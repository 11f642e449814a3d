//! Listens on the wire and knows RFC 3261 by itself. It sees every message as Baton sees it: what Baton sends when it is
//! sent, what Baton gets when it arrives. It holds no opinion on what a call is for; only on what may never be seen:
//!
//! * a request whose CSeq does not follow (§12.2.1.1), that is not in the dialog's route set or not to its remote target
//! * two final responses of different status to one request, or a response to a request that never came
//! * a final response to an INVITE of Baton that gets no ACK
//! * SDP whose `o=` does not grow by one exactly when the description changes (RFC 3264 §8)
//! * a CANCEL without a provisional response, a BYE while Baton's 2xx is not acknowledged (§9.1, §15)
//! * a REFER sent twice, a NOTIFY after the last one
//! * a packet to an address that is neither configured nor out of a dialog
//! * a message that is not well-formed: lengths, mandatory fields, branches, names of fields

use super::Way;
use super::message::{Message, host_of, origin, parameter, uri_of, without_origin};
use baton::call::record::{CallRecord, Role};
use baton::sip::Time;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// A dialog: Call-ID, Baton's tag, the peer's tag.
type Dialog = (String, String, String);

struct Known {
    routes: Vec<String>,
    target: String,
    /// Offered by a target refresh that is not settled yet; either may be used meanwhile.
    candidates: Vec<String>,
    /// CSeqs of the peer's INVITEs that Baton answered 2xx and that are not acknowledged yet.
    unacknowledged: BTreeMap<u32, Time>,
    /// Events of the subscriptions that had their last NOTIFY.
    last_notify: BTreeSet<String>,
    ended: bool,
}

#[derive(Clone)]
struct Described {
    session: String,
    version: u64,
    body: String,
}

struct Sent {
    method: String,
    peer: SocketAddr,
    /// The stream that it went by broke before there was a final response: what comes then is a stray.
    broken: bool,
    at: Time,
    provisional: bool,
    final_status: Option<u16>,
    final_at: Time,
    /// To-tags of the final responses that arrived, and whether each got its ACK.
    acks: BTreeMap<String, bool>,
    call_id: String,
    cseq: u32,
    text: String,
}

/// See the head of the file.
pub struct Checker {
    faults: Vec<String>,
    configured: BTreeSet<SocketAddr>,
    hosts: BTreeSet<IpAddr>,
    /// Addresses out of dialogs and of packets that came.
    learnt: BTreeSet<SocketAddr>,
    cseqs: BTreeMap<Dialog, u32>,
    /// CSeqs of INVITEs that began dialogs.
    begun: BTreeSet<(Dialog, u32)>,
    dialogs: BTreeMap<Dialog, Known>,
    described: BTreeMap<Dialog, Described>,
    /// Requests of Baton by branch and method.
    sent: BTreeMap<(String, String), Sent>,
    /// Requests to Baton by Call-ID, CSeq, method, branch; the final status that it gave.
    got: BTreeMap<(String, u32, String, String), Option<u16>>,
    /// REFERs by Call-ID: new ones and challenges.
    refers: BTreeMap<String, (usize, usize)>,
    /// Contact and Record-Route of INVITEs and UPDATEs that came, by Call-ID, From-tag and CSeq: each branch of a fork counts
    /// by itself.
    incoming: BTreeMap<(String, String, u32), (String, Vec<String>)>,
    /// What Baton said already, by hash: the same once more is a retransmission and says nothing new.
    said: HashSet<u64>,
}

const KNOWN_METHODS: [&str; 12] = [
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REFER", "NOTIFY", "UPDATE", "INFO", "PRACK", "REGISTER",
    "MESSAGE",
];

impl Checker {
    pub fn new() -> Checker {
        Checker {
            faults: Vec::new(),
            configured: BTreeSet::new(),
            hosts: BTreeSet::new(),
            learnt: BTreeSet::new(),
            cseqs: BTreeMap::new(),
            begun: BTreeSet::new(),
            dialogs: BTreeMap::new(),
            described: BTreeMap::new(),
            sent: BTreeMap::new(),
            got: BTreeMap::new(),
            refers: BTreeMap::new(),
            incoming: BTreeMap::new(),
            said: HashSet::new(),
        }
    }

    /// Whether it is said for the first time.
    fn is_new(&mut self, m: &Message) -> bool {
        let mut hasher = std::hash::DefaultHasher::new();
        m.text.hash(&mut hasher);
        self.said.insert(hasher.finish())
    }

    /// An address of the configuration.
    pub fn allow(&mut self, address: SocketAddr) {
        self.configured.insert(address);
    }

    /// What a name of the configuration resolves to.
    pub fn allow_host(&mut self, host: IpAddr) {
        self.hosts.insert(host);
    }

    /// The stream to that peer breaks.
    pub fn broken(&mut self, peer: SocketAddr) {
        let open = |sent: &&mut Sent| sent.peer == peer && sent.final_status.is_none();
        self.sent.values_mut().filter(open).for_each(|sent| sent.broken = true);
    }

    /// Baton stood still: that much of the time is none of its transactions' (Timer M).
    pub fn stood(&mut self, gap: std::time::Duration) {
        for sent in self.sent.values_mut() {
            (sent.at, sent.final_at) = (sent.at + gap, sent.final_at + gap);
        }
    }

    /// What was wrong so far.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    fn fault(&mut self, at: Time, what: &str, message: &Message) {
        if self.faults.len() < 20 {
            self.faults.push(format!("at {} ms: {what}\n{message}", (at.0.saturating_sub(1_000_000)) / 1000));
        }
    }

    /// One message on the tap.
    pub fn see(&mut self, at: Time, way: Way, peer: SocketAddr, bytes: &[u8]) {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(why) => {
                if way == Way::Out {
                    self.faults.push(format!("Baton sent no message: {why}"));
                }
                return;
            }
        };
        self.see_message(at, way, peer, &message);
    }

    /// The same of a message that was read already.
    pub fn see_message(&mut self, at: Time, way: Way, peer: SocketAddr, message: &Message) {
        match (way, message.is_request()) {
            (Way::In, true) => self.request_in(peer, message),
            (Way::In, false) => self.response_in(at, message),
            (Way::Out, true) => {
                self.well_formed(at, message);
                self.request_out(at, peer, message);
            }
            (Way::Out, false) => {
                self.well_formed(at, message);
                self.response_out(at, peer, message);
            }
        }
    }

    fn well_formed(&mut self, at: Time, m: &Message) {
        for name in ["From", "To", "Call-ID", "CSeq", "Content-Length"] {
            if m.all(name).count() != 1 {
                self.fault(at, &format!("{name} must stand there once"), m);
            }
        }
        for name in
            ["Contact", "Max-Forwards", "Content-Type", "Refer-To", "Referred-By", "Event", "Retry-After"]
        {
            if m.all(name).count() > 1 {
                self.fault(at, &format!("{name} stands there twice"), m);
            }
        }
        if m.find("Content-Length").and_then(|v| v.parse::<usize>().ok()) != Some(m.body.len()) {
            self.fault(at, "Content-Length is not the length of the body", m);
        }
        let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if m.fields.iter().any(|(name, _)| name.is_empty() || !name.chars().all(token)) {
            self.fault(at, "a field name is no token", m);
        }
        if m.fields.iter().any(|(_, value)| value.chars().any(|c| c.is_control() && c != '\t')) {
            self.fault(at, "a control character in a field", m);
        }
        if m.cseq().1.is_empty() || (m.is_request() && m.cseq().1 != m.method()) {
            self.fault(at, "CSeq names another method", m);
        }
        if m.find("Authorization").is_some() && !m.is_request() {
            self.fault(at, "credentials in a response", m);
        }
        if !m.is_request() {
            if m.status() > 100 && m.to_tag().is_empty() {
                self.fault(at, "a response without To-tag", m);
            }
            return;
        }
        if !m.branch().starts_with("z9hG4bK") || m.branch().len() < 12 {
            self.fault(at, "the branch is no RFC 3261 branch", m);
        }
        if m.find("Max-Forwards").and_then(|v| v.parse::<u8>().ok()).is_none() {
            self.fault(at, "no Max-Forwards", m);
        }
        if m.from_tag().is_empty() {
            self.fault(at, "a request without From-tag", m);
        }
        let wants_contact = ["INVITE", "REFER", "NOTIFY", "UPDATE"].contains(&m.method());
        if wants_contact && m.contact().is_none() {
            self.fault(at, "no Contact", m);
        }
        if m.list("Via").len() != 1 {
            self.fault(at, "a request of Baton has one Via", m);
        }
    }

    // -- what comes to Baton

    fn request_in(&mut self, peer: SocketAddr, m: &Message) {
        self.learnt.insert(peer);
        self.learn_via(peer, m);
        let key = got_key(m);
        self.got.entry(key).or_insert(None);
        let dialog = (m.call_id().to_owned(), m.to_tag().to_owned(), m.from_tag().to_owned());
        if m.method() == "ACK" {
            if let Some(known) = self.dialogs.get_mut(&dialog) {
                known.unacknowledged.remove(&m.cseq().0);
            }
            return;
        }
        if let (Some(contact), true) = (m.contact(), ["INVITE", "UPDATE"].contains(&m.method())) {
            self.learn_uri(contact);
            if let Some(known) = self.dialogs.get_mut(&dialog) {
                known.candidates.push(contact.to_owned());
            }
        }
        for route in m.list("Record-Route") {
            self.learn_uri(uri_of(&route));
        }
        if ["INVITE", "UPDATE"].contains(&m.method()) {
            let key = asked_key(m);
            let contact = m.contact().unwrap_or_default().to_owned();
            self.incoming.entry(key).or_insert_with(|| (contact, m.list("Record-Route")));
        }
        if m.method() == "BYE"
            && let Some(known) = self.dialogs.get_mut(&dialog)
        {
            known.ended = true;
        }
    }

    fn learn_via(&mut self, peer: SocketAddr, m: &Message) {
        let Some(via) = m.find("Via") else { return };
        let sent_by = via.split_whitespace().nth(1).unwrap_or_default();
        let (host, port, _) = host_of(&format!("sip:{}", sent_by.split(';').next().unwrap_or_default()));
        let ip = host.parse().unwrap_or(peer.ip());
        self.learnt.insert(SocketAddr::new(ip, port.unwrap_or(5060)));
        self.learnt.insert(SocketAddr::new(peer.ip(), port.unwrap_or(5060)));
    }

    fn learn_uri(&mut self, uri: &str) {
        let (host, port, _) = host_of(uri);
        if let Ok(ip) = host.parse::<IpAddr>() {
            self.learnt.insert(SocketAddr::new(ip, port.unwrap_or(5060)));
        }
    }

    fn response_in(&mut self, at: Time, m: &Message) {
        let key = (m.branch().to_owned(), m.method().to_owned());
        let Some(sent) = self.sent.get_mut(&key) else { return };
        let status = m.status();
        if status < 200 {
            sent.provisional = true;
        } else {
            if sent.final_status.is_none() {
                sent.final_status = Some(status);
                sent.final_at = at;
            }
            // What comes 64*T1 after the first is a stray (RFC 6026, Timer M).
            if sent.method == "INVITE" && at.since(sent.final_at) < super::T1X64 {
                sent.acks.entry(m.to_tag().to_owned()).or_insert(false);
            }
        }
        if sent.method == "NOTIFY" && status == 491 {
            // It is said once more.
            let dialog = (m.call_id().to_owned(), m.from_tag().to_owned(), m.to_tag().to_owned());
            if let Some(known) = self.dialogs.get_mut(&dialog) {
                known.last_notify.clear();
            }
        }
        if sent.method == "REFER" && (status == 401 || status == 407) && sent.final_at == at {
            self.refers.entry(m.call_id().to_owned()).or_default().1 += 1;
        }
        let makes = m.method() == "INVITE" && (101..300).contains(&status) && !m.to_tag().is_empty();
        let refreshes = makes || (m.method() == "UPDATE" && (200..300).contains(&status));
        let dialog = (m.call_id().to_owned(), m.from_tag().to_owned(), m.to_tag().to_owned());
        if makes && !self.dialogs.contains_key(&dialog) {
            let routes: Vec<String> = m.list("Record-Route").into_iter().rev().collect();
            for route in &routes {
                self.learn_uri(uri_of(route));
            }
            self.dialogs.insert(dialog.clone(), Known::new(routes, m.contact().unwrap_or_default()));
        }
        if let (true, Some(contact)) = (refreshes, m.contact()) {
            self.learn_uri(contact);
            if let Some(known) = self.dialogs.get_mut(&dialog) {
                if status >= 200 && known.target != contact {
                    // A 1xx and a 2xx of one INVITE may name different ones; an older one is in flight at most.
                    known.candidates.push(known.target.clone());
                    known.target = contact.to_owned();
                } else if status < 200 {
                    known.candidates.push(contact.to_owned());
                }
                if status >= 200 && m.method() == "INVITE" {
                    // RFC 3261 §13.2.2.4: the route set of the 2xx replaces that of an early dialog.
                    let routes: Vec<String> = m.list("Record-Route").into_iter().rev().collect();
                    if !routes.is_empty() {
                        known.routes = routes;
                    }
                }
            }
        }
    }

    // -- what Baton sends

    fn request_out(&mut self, at: Time, peer: SocketAddr, m: &Message) {
        self.address(at, peer, m);
        let method = m.method().to_owned();
        if !KNOWN_METHODS.contains(&method.as_str()) {
            self.fault(at, "a method that Baton does not speak", m);
        }
        match method.as_str() {
            "ACK" => return self.ack_out(at, m),
            "CANCEL" => return self.cancel_out(at, peer, m),
            _ => {}
        }
        let key = (m.branch().to_owned(), method.clone());
        if let Some(sent) = self.sent.get(&key) {
            if sent.text != m.text {
                self.fault(at, "another request with the same branch", m);
            }
            return;
        }
        self.sent.insert(
            key,
            Sent {
                method: method.clone(),
                peer,
                broken: false,
                at,
                provisional: false,
                final_status: None,
                final_at: Time(0),
                acks: BTreeMap::new(),
                call_id: m.call_id().to_owned(),
                cseq: m.cseq().0,
                text: m.text.clone(),
            },
        );
        self.cseq_out(at, m);
        self.in_dialog(at, m);
        self.description(at, m);
        if method == "REFER" {
            self.refers.entry(m.call_id().to_owned()).or_default().0 += 1;
        }
        if method == "BYE" || method == "NOTIFY" {
            self.ending_out(at, m, &method);
        }
    }

    fn ending_out(&mut self, at: Time, m: &Message, method: &str) {
        let dialog = (m.call_id().to_owned(), m.from_tag().to_owned(), m.to_tag().to_owned());
        let Some(known) = self.dialogs.get_mut(&dialog) else { return };
        let early = known.unacknowledged.values().any(|since| at.since(*since) < super::T1X64);
        let event = m.find("Event").unwrap_or_default();
        let after_last = method == "NOTIFY" && known.last_notify.contains(event);
        if method == "NOTIFY" && m.find("Subscription-State").is_some_and(|v| v.starts_with("terminated")) {
            known.last_notify.insert(event.to_owned());
        }
        if method == "BYE" && early {
            self.fault(at, "BYE before the ACK of Baton's 2xx, and before 64*T1 (§15)", m);
        }
        if after_last && m.find("Authorization").is_none() {
            self.fault(at, "a NOTIFY after the last one", m);
        }
    }

    fn cseq_out(&mut self, at: Time, m: &Message) {
        let dialog = (m.call_id().to_owned(), m.from_tag().to_owned(), m.to_tag().to_owned());
        let begun = (m.call_id().to_owned(), m.from_tag().to_owned(), String::new());
        let number = m.cseq().0;
        // Each fork of an INVITE is a dialog that counts on from it: from the one that it has got, while another branch may
        // have asked for it once more.
        let first = self.cseqs.get(&begun).copied();
        let known = self.cseqs.insert(dialog, number);
        if known.is_none() && self.begun.contains(&(begun, number.wrapping_sub(1))) {
            return;
        }
        if m.to_tag().is_empty() {
            self.begun.insert(((m.call_id().to_owned(), m.from_tag().to_owned(), String::new()), number));
        }
        match known.or(first) {
            // An INVITE once more (after a challenge, say), while branches of the first counted on by themselves.
            Some(last) if m.to_tag().is_empty() && number > last => {}
            // The same INVITE to a further address of its name, as a fork of it: another branch.
            Some(last) if m.to_tag().is_empty() && m.method() == "INVITE" && number == last => {}
            Some(last) if number != last + 1 => {
                self.fault(at, &format!("CSeq {number} follows {last}"), m);
            }
            None if number == 0 || number >= 1 << 31 => self.fault(at, "CSeq out of range", m),
            _ => {}
        }
    }

    /// Route set and target of a request in a dialog.
    fn in_dialog(&mut self, at: Time, m: &Message) {
        if m.to_tag().is_empty() {
            return;
        }
        let dialog = (m.call_id().to_owned(), m.from_tag().to_owned(), m.to_tag().to_owned());
        let Some(known) = self.dialogs.get(&dialog) else {
            return self.fault(at, "a request in a dialog that never was", m);
        };
        let target_fits = |uri: &str| uri == known.target || known.candidates.iter().any(|c| c == uri);
        let (routes, target): (Vec<String>, String) = match known.routes.first() {
            Some(first) if !is_loose(first) => {
                let mut rest: Vec<String> = m.list("Route");
                let last = rest.pop().map(|r| uri_of(&r).to_owned()).unwrap_or_default();
                rest.insert(0, format!("<{}>", m.uri()));
                (rest, last)
            }
            _ => (m.list("Route"), m.uri().to_owned()),
        };
        let same = |a: &[String], b: &[String]| {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| uri_of(x) == uri_of(y))
        };
        let route_fault = !same(&routes, &known.routes);
        let target_fault = !target_fits(&target);
        let why = format!("recorded {:?}, target {}", known.routes, known.target);
        if route_fault {
            self.fault(at, &format!("not the dialog's route set: {why}"), m);
        }
        if target_fault {
            self.fault(at, &format!("not the dialog's remote target: {why}"), m);
        }
    }

    fn ack_out(&mut self, at: Time, m: &Message) {
        let (call_id, tag, cseq) = (m.call_id(), m.to_tag(), m.cseq().0);
        let of_invite = |s: &&mut Sent| {
            s.method == "INVITE" && s.call_id == call_id && s.cseq == cseq && s.acks.contains_key(tag)
        };
        let Some(sent) = self.sent.values_mut().find(of_invite) else {
            return self.fault(at, "ACK for a response that never came", m);
        };
        sent.acks.insert(tag.to_owned(), true);
        let positive = sent.final_status.is_some_and(|s| s < 300);
        if positive {
            self.in_dialog(at, m);
            if self.is_new(m) {
                self.description(at, m);
            }
        } else if !self.sent.contains_key(&(m.branch().to_owned(), "INVITE".to_owned())) {
            self.fault(at, "ACK for a refusal must have the branch of its INVITE", m);
        }
    }

    fn cancel_out(&mut self, at: Time, peer: SocketAddr, m: &Message) {
        match self.sent.get(&(m.branch().to_owned(), "INVITE".to_owned())) {
            None => self.fault(at, "CANCEL of nothing", m),
            Some(sent) if !sent.provisional => {
                self.fault(at, "CANCEL before a provisional response (§9.1)", m)
            }
            Some(sent) if sent.cseq != m.cseq().0 => self.fault(at, "CANCEL with another CSeq", m),
            Some(_) => {}
        }
        self.sent.entry((m.branch().to_owned(), "CANCEL".to_owned())).or_insert(Sent {
            method: "CANCEL".to_owned(),
            peer,
            broken: false,
            at,
            provisional: false,
            final_status: None,
            final_at: Time(0),
            acks: BTreeMap::new(),
            call_id: m.call_id().to_owned(),
            cseq: m.cseq().0,
            text: m.text.clone(),
        });
    }

    fn response_out(&mut self, at: Time, peer: SocketAddr, m: &Message) {
        self.address(at, peer, m);
        let status = m.status();
        let key = got_key(m);
        match self.got.get_mut(&key) {
            None => self.fault(at, "a response to a request that never came", m),
            Some(Some(before)) if *before != status => {
                let before = *before;
                self.fault(at, &format!("{status} after {before} for the same request"), m);
            }
            Some(given) => {
                if status >= 200 {
                    *given = Some(status);
                }
            }
        }
        if m.method() == "INVITE" && status > 100 && status < 300 {
            self.dialog_made(at, m);
        }
        let target_refresh = ["INVITE", "UPDATE"].contains(&m.method());
        if target_refresh && (101..300).contains(&status) && self.is_new(m) {
            self.description(at, m);
        }
        if target_refresh && (200..300).contains(&status) {
            let dialog = (m.call_id().to_owned(), m.to_tag().to_owned(), m.from_tag().to_owned());
            let asked = self.incoming.get(&asked_key(m));
            if let (Some(known), Some((contact, _))) = (self.dialogs.get_mut(&dialog), asked)
                && !contact.is_empty()
            {
                known.target = contact.clone();
                known.candidates.clear();
            }
        }
    }

    /// Baton as the UAS made or refreshed a dialog. The request's Contact and Record-Route were noted when it came.
    fn dialog_made(&mut self, at: Time, m: &Message) {
        if m.contact().is_none() {
            self.fault(at, "no Contact in a response that makes a dialog", m);
        }
        let dialog = (m.call_id().to_owned(), m.to_tag().to_owned(), m.from_tag().to_owned());
        let status = m.status();
        if !self.dialogs.contains_key(&dialog) {
            let contact = self.incoming.get(&asked_key(m)).cloned();
            let Some((contact, routes)) = contact else {
                return self.fault(at, "a dialog without an INVITE", m);
            };
            if m.list("Record-Route") != routes {
                self.fault(at, "Record-Route is not that of the INVITE (§12.1.1)", m);
            }
            self.dialogs.insert(dialog.clone(), Known::new(routes, &contact));
        }
        if let Some(known) = self.dialogs.get_mut(&dialog)
            && status >= 200
        {
            known.unacknowledged.entry(m.cseq().0).or_insert(at);
        }
    }

    /// `o=` of what Baton sends in a dialog.
    fn description(&mut self, at: Time, m: &Message) {
        if !m.has_sdp() {
            return;
        }
        let (own, other) =
            if m.is_request() { (m.from_tag(), m.to_tag()) } else { (m.to_tag(), m.from_tag()) };
        let side = (m.call_id().to_owned(), own.to_owned(), other.to_owned());
        // What was offered with the INVITE is the first that each branch of its fork has seen.
        let begun = (side.0.clone(), side.1.clone(), String::new());
        if !self.described.contains_key(&side)
            && let Some(first) = self.described.get(&begun).cloned()
        {
            self.described.insert(side.clone(), first);
        }
        let words = origin(&m.body);
        let (Some(session), Some(version)) = (words.get(1), words.get(2).and_then(|v| v.parse::<u64>().ok()))
        else {
            return self.fault(at, "no o= line", m);
        };
        let body = without_origin(&m.body);
        if let Some(last) = self.described.get(&side) {
            let wanted = if last.body == body { last.version } else { last.version + 1 };
            if last.session != *session {
                let why = format!("o= names session {session}, before {}", last.session);
                self.fault(at, &why, m);
            } else if version != wanted {
                let why = format!("o= version {version}, {wanted} expected (before {})", last.version);
                self.fault(at, &why, m);
            }
        }
        self.described.insert(side, Described { session: (*session).to_owned(), version, body });
    }

    fn address(&mut self, at: Time, peer: SocketAddr, m: &Message) {
        let known =
            self.configured.contains(&peer) || self.learnt.contains(&peer) || self.hosts.contains(&peer.ip());
        if !known {
            self.fault(at, &format!("a packet to {peer}, which is neither configured nor of a dialog"), m);
        }
    }

    /// All is over: what never came?
    /// `passed`: REFERs of one side that were passed to the other.
    pub fn finish(&mut self, records: &[CallRecord], passed: usize) {
        let mut missing = Vec::new();
        for sent in self.sent.values() {
            // What arrives after the transaction's end (64*T1) is a stray and answered by nobody.
            let in_time = sent.final_at.since(sent.at) < super::T1X64;
            for (tag, acked) in &sent.acks {
                if !acked && in_time && !sent.broken {
                    missing.push(format!("no ACK for {:?} (tag {tag}) of\n{}", sent.final_status, sent.text));
                }
            }
        }
        self.faults.extend(missing.into_iter().take(5));
        let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
        for attempt in records.iter().flat_map(|r| &r.handoffs).flat_map(|h| &h.attempts) {
            if let (true, Some(id)) = (attempt.method == "refer", attempt.sip_call_id.as_deref()) {
                *attempts.entry(id).or_default() += 1;
            }
        }
        // The last part of `attended` is a REFER in the caller's leg.
        for record in records {
            let caller = record.call.legs.iter().find(|leg| leg.role == Role::Caller);
            let attended = record.handoffs.iter().flat_map(|h| &h.attempts);
            let attended = attended.filter(|a| a.method == "attended" && a.refer_to.is_some()).count();
            if let Some(caller) = caller {
                *attempts.entry(&caller.sip_call_id).or_default() += attended;
            }
        }
        for (call_id, (refers, challenges)) in &self.refers {
            let most = attempts.get(call_id.as_str()).copied().unwrap_or(0) + challenges + passed;
            if *refers > most {
                self.faults.push(format!("{refers} REFERs in {call_id}, for {most} attempts and challenges"));
            }
        }
    }

    /// Forgets what is over, for those who run long.
    pub fn forget(&mut self) {
        self.cseqs.clear();
        self.begun.clear();
        self.dialogs.clear();
        self.described.clear();
        self.sent.clear();
        self.got.clear();
        self.refers.clear();
        self.incoming.clear();
        self.said.clear();
    }
}

impl Known {
    fn new(routes: Vec<String>, target: &str) -> Known {
        Known {
            routes,
            target: target.to_owned(),
            candidates: Vec::new(),
            unacknowledged: BTreeMap::new(),
            last_notify: BTreeSet::new(),
            ended: false,
        }
    }
}

fn got_key(m: &Message) -> (String, u32, String, String) {
    (m.call_id().to_owned(), m.cseq().0, m.method().to_owned(), m.branch().to_owned())
}

/// The request of a peer's that is asked or answered.
fn asked_key(m: &Message) -> (String, String, u32) {
    (m.call_id().to_owned(), m.from_tag().to_owned(), m.cseq().0)
}

fn is_loose(route: &str) -> bool {
    uri_of(route).split(';').skip(1).any(|p| p.split('=').next().unwrap_or(p).eq_ignore_ascii_case("lr"))
}
