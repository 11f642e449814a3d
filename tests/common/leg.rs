//! One dialog of a peer, as far as it takes to write the next request.

use super::message::{Message, parameter, uri_of};
use super::peer::{Kind, Peer, SOON, close, reply_text, sdp};
use super::{ms, s};
use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::time::Duration;

pub(super) struct State {
    pub(super) call_id: String,
    /// From value with tag.
    pub(super) local: String,
    /// To value, with tag once it is known.
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) routes: Vec<String>,
    pub(super) cseq: u32,
    pub(super) contact: String,
    /// Record-Route that its 1xx and 2xx carry back.
    pub(super) recorded: Vec<String>,
}

/// One dialog as a peer sees it.
#[derive(Clone)]
pub struct Leg {
    pub peer: Peer,
    pub(super) state: Rc<RefCell<State>>,
    pub(super) invite: Rc<RefCell<Option<Rc<Message>>>>,
}

impl Leg {
    pub(super) fn called(peer: &Peer, invite: Rc<Message>) -> Leg {
        let tag = peer.fresh("t");
        let state = State {
            call_id: invite.call_id().to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact().expect("an INVITE has a Contact").to_owned(),
            routes: invite.list("Record-Route"),
            cseq: 100,
            contact: peer.contact(),
            recorded: invite.list("Record-Route"),
        };
        Leg {
            peer: peer.clone(),
            state: Rc::new(RefCell::new(state)),
            invite: Rc::new(RefCell::new(Some(invite))),
        }
    }

    /// The same dialog, spoken by another peer: it has the tags, the Call-ID and the next CSeq.
    pub fn spoken_by(&self, peer: &Peer) -> Leg {
        Leg { peer: peer.clone(), ..self.clone() }
    }

    /// Bytes of the INVITE that made it.
    pub fn written(&self) -> usize {
        self.invite().text.len()
    }

    /// Sends that INVITE once more.
    pub fn send_again(&self) {
        self.again(&self.invite());
    }

    /// The INVITE that made it.
    pub fn invite(&self) -> Rc<Message> {
        self.invite.borrow().clone().expect("a leg begins with an INVITE")
    }

    /// Its Call-ID.
    pub fn call_id(&self) -> String {
        self.state.borrow().call_id.clone()
    }

    /// The next message to this peer must be this one, and of this dialog.
    #[track_caller]
    pub fn expect<'a>(&self, kind: impl Into<Kind<'a>>) -> Rc<Message> {
        self.expect_within(kind, SOON)
    }

    /// The same, waiting longer. Messages of other dialogs of this peer wait meanwhile.
    #[track_caller]
    pub fn expect_within<'a>(&self, kind: impl Into<Kind<'a>>, within: Duration) -> Rc<Message> {
        let kind = kind.into();
        let (id, end) = (self.call_id(), self.peer.world.now() + within);
        loop {
            if let Some(message) = self.peer.take(|m| m.call_id() == id, kind) {
                assert!(kind.fits(&message), "{} expected {kind:?}, got\n{message}", self.peer.name);
                self.learn(&message);
                return message;
            }
            assert!(self.peer.world.step(end), "{} waited {within:?} for {kind:?} in vain", self.peer.name);
        }
    }

    pub fn learn(&self, message: &Message) {
        let mut state = self.state.borrow_mut();
        let invited = message.method() == "INVITE";
        if !message.is_request() && invited && (101..300).contains(&message.status()) {
            if !message.to_tag().is_empty() {
                state.remote = message.header("To").to_owned();
            }
            if state.routes.is_empty() {
                state.routes = message.list("Record-Route").into_iter().rev().collect();
            }
        }
        if let (true, Some(contact)) = (invited && message.status() < 300, message.contact()) {
            state.target = contact.to_owned();
        }
    }

    /// Its own tag.
    pub fn local_tag(&self) -> String {
        parameter(&self.state.borrow().local, "tag").unwrap_or_default().to_owned()
    }

    /// The route set of this side, for a peer that called through proxies.
    pub fn set_contact(&self, contact: &str) {
        self.state.borrow_mut().contact = contact.to_owned();
    }

    /// Record-Route values in its answers, as proxies on the way would have put them.
    pub fn record_routes(&self, routes: &[&str]) {
        self.state.borrow_mut().recorded = routes.iter().map(|r| (*r).to_owned()).collect();
    }

    /// Another To-tag: another fork of the INVITE answers.
    pub fn fork(&self) -> Leg {
        let invite = self.invite();
        Leg::called(&self.peer, invite)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn write(
        &self,
        method: &str,
        cseq: u32,
        via: &str,
        hops: u32,
        head: &str,
        kind: &str,
        body: &str,
    ) -> String {
        let state = self.state.borrow();
        let mut text = format!("{method} {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: {hops}\r\n", state.target);
        for route in &state.routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        text.push_str(&format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: {}\r\n{head}",
            state.local, state.remote, state.call_id, state.contact
        ));
        close(&mut text, kind, body);
        text
    }

    /// A request of the next CSeq in this dialog, with header lines and a body.
    pub fn request(&self, method: &str, headers: &[(&str, &str)], kind: &str, body: &str) -> Rc<Message> {
        let cseq = {
            let mut state = self.state.borrow_mut();
            state.cseq += 1;
            state.cseq
        };
        self.request_numbered(method, cseq, headers, kind, body)
    }

    /// The same with this CSeq.
    pub fn request_numbered(
        &self,
        method: &str,
        cseq: u32,
        headers: &[(&str, &str)],
        kind: &str,
        body: &str,
    ) -> Rc<Message> {
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = self.write(method, cseq, &self.peer.via(), 70, &head, kind, body);
        self.peer.send(&text);
        Rc::new(Message::parse(text.as_bytes()).expect("our own text"))
    }

    /// Sends a message of this peer again, byte for byte.
    pub fn again(&self, message: &Message) {
        self.peer.send(&message.text);
    }

    /// Sends a request again and again until that status comes, as a transaction would.
    #[track_caller]
    pub fn insist(&self, request: &Message, status: u16) -> Rc<Message> {
        let id = self.call_id();
        let branch = request.branch().to_owned();
        for _ in 0..11 {
            self.peer.world.advance(ms(500));
            let fits = |m: &Message| m.call_id() == id && m.branch() == branch && m.status() >= 200;
            if let Some(response) = self.peer.take(fits, Kind::Response(status)) {
                assert_eq!(response.status(), status, "{response}");
                return response;
            }
            self.again(request);
        }
        panic!("{} never got its {status}", self.peer.name)
    }

    /// A response without a body.
    pub fn reply(&self, request: &Message, status: u16) -> Rc<Message> {
        self.reply_with(request, status, &[], "")
    }

    /// A response with header lines and (if not empty) SDP.
    pub fn reply_with(
        &self,
        request: &Message,
        status: u16,
        headers: &[(&str, &str)],
        sdp: &str,
    ) -> Rc<Message> {
        let state = self.state.borrow();
        let tag = parameter(&state.local, "tag").unwrap_or_default().to_owned();
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "Contact") {
            all.push(("Contact", &state.contact));
        }
        if status < 300 && request.method() == "INVITE" && request.to_tag().is_empty() {
            all.extend(state.recorded.iter().map(|r| ("Record-Route", r.as_str())));
        }
        let text = reply_text(request, status, &tag, &all, sdp);
        self.peer.send(&text);
        Rc::new(Message::parse(text.as_bytes()).expect("our own text"))
    }

    /// 200 with SDP to this dialog's INVITE (or another offer).
    pub fn answer(&self, request: &Message, sdp: &str) -> Rc<Message> {
        self.reply_with(request, 200, &[], sdp)
    }

    /// ACK for a final response: in its own transaction for a 2xx, in the INVITE's for others.
    pub fn ack(&self, response: &Message) {
        self.ack_with(response, "");
    }

    /// ACK for a 2xx that carried an offer, with the answer.
    pub fn ack_with(&self, response: &Message, sdp: &str) {
        self.learn(response);
        let cseq = response.cseq().0;
        let kind = if sdp.is_empty() { "" } else { "application/sdp" };
        if response.status() < 300 {
            let text = self.write("ACK", cseq, &self.peer.via(), 70, "", kind, sdp);
            return self.peer.send(&text);
        }
        let via = response.header("Via").split(";received").next().unwrap_or_default().to_owned();
        let to = response.header("To");
        let invite = self.invite();
        let text = format!(
            "ACK {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n",
            invite.uri(),
            response.header("From"),
            response.call_id(),
        );
        self.peer.send(&text);
    }

    /// CANCEL of the INVITE.
    pub fn cancel(&self) -> Rc<Message> {
        self.cancel_with(&[])
    }

    /// The same with headers.
    pub fn cancel_with(&self, headers: &[(&str, &str)]) -> Rc<Message> {
        self.cancel_of(&self.invite(), headers)
    }

    /// CANCEL of another INVITE than the first.
    pub fn cancel_of(&self, invite: &Message, headers: &[(&str, &str)]) -> Rc<Message> {
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!(
            "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} CANCEL\r\n{head}Content-Length: 0\r\n\r\n",
            invite.uri(),
            invite.header("Via"),
            invite.header("From"),
            invite.header("To"),
            invite.call_id(),
            invite.cseq().0
        );
        self.peer.send(&text);
        Rc::new(Message::parse(text.as_bytes()).expect("our own text"))
    }

    /// BYE.
    pub fn bye(&self) -> Rc<Message> {
        self.request("BYE", &[], "", "")
    }

    /// BYE with headers.
    pub fn bye_with(&self, headers: &[(&str, &str)]) -> Rc<Message> {
        self.request("BYE", headers, "", "")
    }

    /// BYE, and its 200.
    #[track_caller]
    pub fn hang_up(&self) {
        self.bye();
        self.expect(200);
    }

    /// Expects BYE and answers it.
    #[track_caller]
    pub fn expect_bye(&self) -> Rc<Message> {
        self.expect_bye_within(SOON)
    }

    /// The same, waiting longer.
    #[track_caller]
    pub fn expect_bye_within(&self, within: Duration) -> Rc<Message> {
        let bye = self.expect_within("BYE", within);
        self.reply(&bye, 200);
        bye
    }

    /// re-INVITE with this offer (empty: none).
    pub fn reinvite(&self, sdp: &str) -> Rc<Message> {
        let kind = if sdp.is_empty() { "" } else { "application/sdp" };
        self.request("INVITE", &[], kind, sdp)
    }

    /// REFER.
    pub fn refer(&self, to: &str, headers: &[(&str, &str)]) -> Rc<Message> {
        let to = format!("<{to}>");
        let mut all = vec![("Refer-To", to.as_str())];
        all.extend_from_slice(headers);
        self.request("REFER", &all, "", "")
    }

    /// NOTIFY about a REFER that Baton has sent, with the `id` of its CSeq left out.
    pub fn notify(&self, sipfrag: &str, state: &str) -> Rc<Message> {
        self.notify_event("refer", sipfrag, state)
    }

    /// The same with this Event value.
    pub fn notify_event(&self, event: &str, sipfrag: &str, state: &str) -> Rc<Message> {
        let headers = [("Event", event), ("Subscription-State", state)];
        let kind = if sipfrag.is_empty() { "" } else { "message/sipfrag;version=2.0" };
        self.request("NOTIFY", &headers, kind, sipfrag)
    }

    /// NOTIFY, and its 200.
    #[track_caller]
    pub fn notify_ok(&self, sipfrag: &str, state: &str) {
        self.notify(sipfrag, state);
        self.expect(200);
    }

    /// Baton asks by a re-INVITE whether this side still has the caller. It has.
    #[track_caller]
    pub fn still_has_caller(&self) {
        self.still_has_caller_within(SOON);
    }

    /// The same, and once more: a 2xx that is not believed may have been told before the caller was taken.
    #[track_caller]
    pub fn keeps_caller(&self) {
        self.still_has_caller();
        self.still_has_caller_within(Duration::from_secs(3));
    }

    #[track_caller]
    fn still_has_caller_within(&self, within: Duration) {
        let question = self.expect_within("INVITE", within);
        assert!(question.has_sdp(), "an offer of its own stands in it\n{question}");
        self.answer(&question, &sdp(&self.peer.name, 1));
        self.expect("ACK");
    }

    /// The caller gives up while that one rings, and both INVITEs are over.
    #[track_caller]
    pub fn cancels(&self, ringing: &Leg) {
        self.cancel();
        self.expect(200);
        let gone = self.expect(487);
        self.ack(&gone);
        let cancel = ringing.expect("CANCEL");
        ringing.reply(&cancel, 200);
        ringing.reply(&ringing.invite(), 487);
        ringing.expect("ACK");
    }

    /// Expects a NOTIFY with this first line in its body and this word in Subscription-State, and answers it.
    #[track_caller]
    pub fn expect_notify(&self, sipfrag: &str, state: &str) -> Rc<Message> {
        self.expect_notify_within(sipfrag, state, SOON)
    }

    /// The same, waiting longer.
    #[track_caller]
    pub fn expect_notify_within(&self, sipfrag: &str, state: &str, within: Duration) -> Rc<Message> {
        let notify = self.expect_within("NOTIFY", within);
        assert_eq!(notify.body.lines().next().unwrap_or_default(), sipfrag, "{notify}");
        let got = notify.header("Subscription-State");
        assert_eq!(got.split(';').next().unwrap_or_default(), state, "{notify}");
        assert!(notify.header("Event").starts_with("refer"), "{notify}");
        self.reply(&notify, 200);
        notify
    }
}
