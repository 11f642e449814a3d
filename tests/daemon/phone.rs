//! A caller and an agent that know just enough SIP to be in a call: text over UDP.

use crate::house::PATIENCE;
use crate::patient::patiently;
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

pub(crate) struct Phone {
    pub(crate) socket: UdpSocket,
    pub(crate) at: SocketAddr,
    baton: Cell<Option<SocketAddr>>,
}

/// A dialog, from the side that sends requests in it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
}

impl Dialog {
    /// Of a call that was made, by its 200.
    pub(crate) fn answered(ok: &str) -> Dialog {
        let contact = header(ok, "Contact");
        let target = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let (local, remote) = (header(ok, "From"), header(ok, "To"));
        Dialog { call_id: header(ok, "Call-ID"), local, remote, target }
    }
}

impl Phone {
    pub(crate) fn new() -> Phone {
        Phone::at("127.0.0.1:0")
    }

    pub(crate) fn at(address: &str) -> Phone {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let at = socket.local_addr().unwrap();
        Phone { socket, at, baton: Cell::new(None) }
    }

    pub(crate) fn towards(&self, baton: SocketAddr) {
        self.baton.set(Some(baton));
    }

    pub(crate) fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.baton.get().expect("towards() was called")).unwrap();
    }

    /// The next message whose first line contains `what`; others (retransmissions, provisional ones) are passed over.
    #[track_caller]
    pub(crate) fn receive(&self, what: &str) -> String {
        let mut buffer = [0; 65_535];
        let mut passed = Vec::new();
        loop {
            let (length, from) = patiently(|| self.socket.recv_from(&mut buffer))
                .unwrap_or_else(|error| panic!("{what} awaited: {error}; there came {passed:?}"));
            self.baton.set(Some(from));
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let first = text.lines().next().unwrap_or_default().to_owned();
            if first.contains(what) {
                return text;
            }
            passed.push(first);
        }
    }

    /// Whether something waits to be read right now.
    pub(crate) fn has_mail(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mail = self.socket.peek_from(&mut [0; 16]).is_ok();
        self.socket.set_nonblocking(false).unwrap();
        mail
    }

    /// A request outside of a dialog.
    pub(crate) fn request(&self, method: &str, id: &str) -> String {
        let at = self.at;
        let body = if method == "INVITE" { SDP } else { "" };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:+14155550100@baton SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{id}-{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550111@{at}>;tag=from-{id}\r\nTo: <sip:+14155550100@baton>\r\n\
             Call-ID: {id}\r\nCSeq: 1 {method}\r\nContact: <sip:caller@{at}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// A request inside a dialog.
    pub(crate) fn inside(
        &self,
        dialog: &Dialog,
        method: &str,
        number: u32,
        more: &str,
        body: &str,
    ) -> String {
        let at = self.at;
        let Dialog { call_id, local, remote, target } = dialog;
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{call_id}{method}{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:me@{at}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The answer to a request.
    pub(crate) fn answer(&self, request: &str, status: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap();
            match name {
                "Via" | "From" | "Call-ID" | "CSeq" => text.push_str(&format!("{line}\r\n")),
                "To" if line.contains("tag=") => text.push_str(&format!("{line}\r\n")),
                "To" => text.push_str(&format!("{line};tag=agent\r\n")),
                _ => {}
            }
        }
        let body =
            if header(request, "CSeq").ends_with("INVITE") && status.starts_with('2') { SDP } else { "" };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text.push_str(&format!(
            "Contact: <sip:me@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.at,
            body.len()
        ));
        text
    }
}

/// The value of a header.
pub(crate) fn header(message: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    let line = message.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {name} in\n{message}")).to_owned()
}

/// A call that stands: caller and agent talk.
pub(crate) struct Talk {
    pub(crate) caller: Phone,
    pub(crate) agent: Phone,
    /// The caller's dialog with Baton, from the caller's side.
    pub(crate) dialog: Dialog,
    /// The INVITE as the agent got it.
    pub(crate) invite: String,
    /// Baton's id of the call.
    pub(crate) call: String,
}

impl Talk {
    /// Brings a call up between two phones.
    pub(crate) fn begin(caller: Phone, agent: Phone, baton: SocketAddr, id: &str) -> Talk {
        let request = caller.request("INVITE", id);
        Talk::begin_with(caller, agent, baton, &request)
    }

    /// The same with this INVITE.
    pub(crate) fn begin_with(caller: Phone, agent: Phone, baton: SocketAddr, request: &str) -> Talk {
        caller.towards(baton);
        caller.send(request);
        let invite = agent.receive("INVITE ");
        agent.send(&agent.answer(&invite, "180 Ringing"));
        agent.send(&agent.answer(&invite, "200 OK"));
        let ok = caller.receive("SIP/2.0 200");
        let dialog = Dialog::answered(&ok);
        caller.send(&caller.inside(&dialog, "ACK", 1, "", ""));
        agent.receive("ACK ");
        let call = header(&invite, "X-Baton-Call-ID");
        Talk { caller, agent, dialog, invite, call }
    }

    /// The caller takes a REFER and reports `status` of it.
    pub(crate) fn report(&self, refer: &str, status: &str) {
        let caller = &self.caller;
        caller.send(&caller.answer(refer, "202 Accepted"));
        let more = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n";
        caller.send(&caller.inside(&self.dialog, "NOTIFY", 20, more, &format!("SIP/2.0 {status}\r\n")));
        caller.receive("SIP/2.0 200");
    }

    /// Both answer the BYE that Baton sends them; gives the two.
    pub(crate) fn end(&self) -> (String, String) {
        let bye = |phone: &Phone| {
            let bye = phone.receive("BYE ");
            phone.send(&phone.answer(&bye, "200 OK"));
            bye
        };
        (bye(&self.caller), bye(&self.agent))
    }
}
