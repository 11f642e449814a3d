//! A scripted SIP peer on a UDP socket: a call, or two of which one is set aside, driven by `async` scripts that read
//! as a trace.
//!
//! It does what a decent user agent does below the script (ACK, retransmission of its requests, the same answer again
//! to a request that comes again, dialog matching) and leaves every decision to the script. It is no user agent for
//! production: no media, no transfer of its own, UDP only. Called by [`super::scenes`].

use super::dialog::Dialog;
use super::durations::{NEXT_MESSAGE, T1};
use super::fault::{Fault, Received};
use super::tape::{Party, Tape};
use super::text::Text;
use std::collections::VecDeque;
use std::io::ErrorKind::{ConnectionRefused, ConnectionReset};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Messages that wait for the script. More means that it does not read: they are dropped, as a full socket would.
const INBOX: usize = 64;
/// The largest datagram.
const DATAGRAM: usize = 65_535;

/// What the socket brought: a message, or what is wrong with it.
type Heard = Result<Received, String>;

/// One peer.
#[derive(Debug)]
pub struct Peer {
    party: Party,
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    baton: SocketAddr,
    tape: Tape,
    inbox: mpsc::Receiver<Heard>,
    reader: JoinHandle<()>,
    /// The call that the script speaks in.
    dialog: Option<Dialog>,
    /// The other one.
    aside: Option<Dialog>,
    /// Requests and responses that the script has not asked for yet.
    waiting: VecDeque<Received>,
    /// Branch and method of what was answered, with the answer.
    answers: Vec<(String, String, Text)>,
    minted: u32,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Peer {
    /// A peer on an ephemeral port of the loopback interface. It hears everybody and talks to `baton` (see
    /// [`Peer::meet`]). Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Fault::Io`] if no socket can be had.
    pub async fn bind(party: Party, tape: Tape) -> Result<Peer, Fault> {
        let io = |source| Fault::Io { what: "cannot bind a UDP socket on 127.0.0.1".to_owned(), source };
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?);
        let address = socket.local_addr().map_err(io)?;
        tape.knows(party, address);
        let (outbox, inbox) = mpsc::channel(INBOX);
        let reader = tokio::spawn(listen(Arc::clone(&socket), party, tape.clone(), outbox));

        Ok(Peer {
            party,
            socket,
            address,
            baton: address,
            tape,
            inbox,
            reader,
            dialog: None,
            aside: None,
            waiting: VecDeque::new(),
            answers: Vec::new(),
            minted: 0,
        })
    }

    /// Where this peer listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Baton listens.
    pub fn meet(&mut self, baton: SocketAddr) {
        self.baton = baton;
    }

    /// Calls `number` as `caller` with these headers, and waits until the call stands (100 and 18x, 200, ACK).
    ///
    /// # Errors
    /// [`Fault`] if it does not come to stand.
    pub async fn call(
        &mut self,
        number: &str,
        caller: &str,
        headers: &[(&str, &str)],
    ) -> Result<Received, Fault> {
        self.call_at(&format!("sip:{number}@{}", self.baton), self.baton, caller, headers).await
    }

    /// Calls that URI at that address, past Baton if it is another peer's.
    ///
    /// # Errors
    /// [`Fault`] if the call does not come to stand.
    pub async fn call_at(
        &mut self,
        uri: &str,
        other: SocketAddr,
        caller: &str,
        headers: &[(&str, &str)],
    ) -> Result<Received, Fault> {
        let local = format!("{caller};tag={}", self.mint("tag"));
        let call_id = format!("{}@{}", self.mint("call"), self.address);
        self.dialog = Some(Dialog::calling(call_id, local, format!("<{uri}>"), uri.to_owned(), other));
        let mut invite = self.new_request("INVITE")?;
        for (name, value) in headers {
            invite = invite.with(name, *value);
        }
        let invite = invite.with_body("application/sdp", self.sdp("sendrecv"));
        let answer = self.transact(&invite).await?;
        if answer.text.status() != Some(200) {
            self.acknowledge(&invite, &answer.text).await?;
            return Err(self.unexpected("200 to its INVITE", &answer.text.start));
        }
        self.dialog()?.answered(&answer.text);
        self.acknowledge(&invite, &answer.text).await?;
        Ok(answer)
    }

    /// Waits for an INVITE and makes it this peer's call. It is not answered yet.
    ///
    /// # Errors
    /// [`Fault`] if none comes.
    pub async fn ring(&mut self) -> Result<Received, Fault> {
        self.dialog = None;
        let invite = self.request("INVITE").await?;
        let tag = self.mint("tag");
        self.dialog = Some(Dialog::called(&invite.text, &tag, invite.source));
        self.reply(&invite, 180, "Ringing").await?;
        Ok(invite)
    }

    /// Sets this call aside and speaks in the other one, or in none yet.
    pub fn other_line(&mut self) {
        std::mem::swap(&mut self.dialog, &mut self.aside);
    }

    /// What must stand in Replaces for a call that takes over the one in which this peer speaks.
    ///
    /// # Errors
    /// [`Fault`] if there is no call.
    pub fn replaces(&mut self) -> Result<String, Fault> {
        self.dialog().map(|dialog| dialog.replaces())
    }

    /// Answers the INVITE, or the one inside the call, with 200 and waits for the ACK.
    ///
    /// # Errors
    /// [`Fault`] if no ACK comes.
    pub async fn answer(&mut self, invite: &Received) -> Result<(), Fault> {
        let answer =
            self.response(&invite.text, 200, "OK").with_body("application/sdp", self.sdp("sendrecv"));
        self.remember(&invite.text, &answer);
        self.send(&answer, invite.source).await?;
        self.request("ACK").await.map(drop)
    }

    /// Waits for the next request, which must be `method`, inside this peer's dialog.
    ///
    /// # Errors
    /// [`Fault`] if nothing or something else comes.
    pub async fn request(&mut self, method: &str) -> Result<Received, Fault> {
        let mine = |peer: &Peer, text: &Text| {
            text.status().is_none() && peer.dialog.as_ref().is_none_or(|dialog| dialog.owns(text))
        };
        let waits = self.waiting.iter().position(|received| mine(self, &received.text));
        let received = match waits.and_then(|at| self.waiting.remove(at)) {
            Some(received) => received,
            None => loop {
                let received =
                    self.next(&format!("{method} within {} s", NEXT_MESSAGE.as_secs()), NEXT_MESSAGE).await?;
                if mine(self, &received.text) {
                    break received;
                }
                self.waiting.push_back(received);
            },
        };
        if received.text.method() != method {
            return Err(self.unexpected(method, &received.text.start));
        }
        self.check_dialog(&received.text)?;
        Ok(received)
    }

    /// Sends a request inside the dialog and waits for its final answer, which must be `status`.
    ///
    /// # Errors
    /// [`Fault`] if another answer or none comes.
    pub async fn ask(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: Option<(&str, &str)>,
        status: u16,
    ) -> Result<Received, Fault> {
        let mut request = self.new_request(method)?;
        for (name, value) in headers {
            request = request.with(name, *value);
        }
        if let Some((content_type, body)) = body {
            request = request.with_body(content_type, body);
        }
        let answer = self.transact(&request).await?;
        if answer.text.status() == Some(status) {
            return Ok(answer);
        }
        Err(self.unexpected(&format!("{status} to its {method}"), &answer.text.start))
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`Fault::Io`] if the socket fails.
    pub async fn reply(&mut self, request: &Received, status: u16, phrase: &str) -> Result<(), Fault> {
        let response = self.response(&request.text, status, phrase);
        self.remember(&request.text, &response);
        self.send(&response, request.source).await
    }

    /// Tells how a REFER stands (RFC 3515 §2.4.4); 200 and above end the subscription.
    ///
    /// # Errors
    /// [`Fault`] if the NOTIFY is not answered 200.
    pub async fn notify(&mut self, refer: &Received, status: u16, phrase: &str) -> Result<(), Fault> {
        let state = if status < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
        let event = format!("refer;id={}", refer.text.cseq());
        let sipfrag = format!("SIP/2.0 {status} {phrase}\r\n");
        let headers = [("Event", event.as_str()), ("Subscription-State", state)];
        self.ask("NOTIFY", &headers, Some(("message/sipfrag;version=2.0", &sipfrag)), 200).await.map(drop)
    }

    /// Waits for the BYE and answers it.
    ///
    /// # Errors
    /// [`Fault`] if something else comes.
    pub async fn bye_comes(&mut self) -> Result<Received, Fault> {
        let bye = self.request("BYE").await?;
        self.reply(&bye, 200, "OK").await?;
        Ok(bye)
    }

    /// Asserts that nobody said anything that the script did not ask for, and forgets its calls.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] with the first such message.
    pub fn quiet(&mut self) -> Result<(), Fault> {
        while let Ok(read) = self.inbox.try_recv() {
            let received = read.map_err(|wrong| self.unexpected("a well-formed message", &wrong))?;
            if self.is_new(&received.text) {
                self.waiting.push_back(received);
            }
        }
        match self.waiting.pop_front() {
            Some(received) => Err(self.unexpected("nothing more", &received.text.start)),
            None => {
                (self.dialog, self.aside) = (None, None);
                self.answers.clear();
                Ok(())
            }
        }
    }

    /// An SDP of this peer: PCMU on its own port, with its name as session name, so that one can see whose it is.
    fn sdp(&self, direction: &str) -> String {
        let (ip, port, name) = (self.address.ip(), self.address.port(), self.party.as_str());
        format!(
            "v=0\r\no=- {port} 1 IN IP4 {ip}\r\ns={name}\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )
    }

    fn mint(&mut self, what: &str) -> String {
        self.minted += 1;
        format!("{what}-{}-{}", self.party.as_str().to_ascii_lowercase(), self.minted)
    }

    fn dialog(&mut self) -> Result<&mut Dialog, Fault> {
        let who = self.party;
        self.dialog.as_mut().ok_or_else(|| Fault::Unexpected {
            who,
            expected: "a call".to_owned(),
            got: "there is none".to_owned(),
        })
    }

    fn new_request(&mut self, method: &str) -> Result<Text, Fault> {
        let branch = self.mint("z9hG4bK");
        let (via, contact) = (self.via(&branch), self.contact());
        Ok(self.dialog()?.request(method, via).with("Contact", contact))
    }

    fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/UDP {};branch={branch};rport", self.address)
    }

    fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.party.as_str().to_ascii_lowercase(), self.address)
    }

    /// A response with this peer's tag.
    fn response(&self, request: &Text, status: u16, phrase: &str) -> Text {
        let local = self.dialog.as_ref().map(|dialog| dialog.local.as_str());
        request.answered(status, phrase, local).with("Contact", self.contact())
    }

    /// ACK: a new transaction for a 2xx (RFC 3261 §13.2.2.4), the INVITE's for everything else (§17.1.1.3).
    async fn acknowledge(&mut self, invite: &Text, answer: &Text) -> Result<(), Fault> {
        let success = answer.status().is_some_and(|status| status < 300);
        let branch =
            if success { self.mint("z9hG4bK") } else { invite.branch().unwrap_or_default().to_owned() };
        let via = self.via(&branch);
        let dialog = self.dialog()?;
        let (uri, other) = (if success { &dialog.target } else { invite.uri() }, dialog.other);
        let ack = Text::new(format!("ACK {uri} SIP/2.0"))
            .with("Via", via)
            .with("Max-Forwards", "70")
            .with("From", dialog.local.clone())
            .with("To", answer.header("To").unwrap_or_default())
            .with("Call-ID", dialog.call_id.clone())
            .with("CSeq", format!("{} ACK", invite.cseq()));
        self.answers.push((answer_key(answer), "INVITE".to_owned(), ack.clone()));
        self.send(&ack, other).await
    }

    /// Sends a request, again after T1, and waits for its final answer. Requests that come meanwhile wait.
    async fn transact(&mut self, request: &Text) -> Result<Received, Fault> {
        let other = self.dialog()?.other;
        self.send(request, other).await?;
        let what = format!("a final answer to its {}", request.method());
        let deadline = tokio::time::Instant::now() + NEXT_MESSAGE;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Err(self.unexpected(&what, "nothing came"));
            }
            let heard = self.next_or_none(&what, left.min(T1)).await?;
            let Some(received) = heard else {
                self.send(request, other).await?;
                continue;
            };
            match received.text.status() {
                None => self.waiting.push_back(received),
                // Late answers to an earlier request that was sent twice.
                Some(_) if received.text.branch() != request.branch() => {}
                Some(status) if status >= 200 => return Ok(received),
                Some(_) => {}
            }
        }
    }

    async fn next(&mut self, expected: &str, patience: Duration) -> Result<Received, Fault> {
        match self.next_or_none(expected, patience).await? {
            Some(received) => Ok(received),
            None => Err(self.unexpected(expected, "nothing came")),
        }
    }

    /// The next message of this call that is new. A request that comes again gets the same answer again, below the
    /// script; what belongs to an earlier call is passed over.
    async fn next_or_none(&mut self, expected: &str, patience: Duration) -> Result<Option<Received>, Fault> {
        loop {
            let received = match timeout(patience, self.inbox.recv()).await {
                Err(_) => return Ok(None),
                Ok(None) => return Err(self.unexpected(expected, "its socket was closed")),
                Ok(Some(Err(wrong))) => {
                    return Err(self.unexpected(expected, &format!("a malformed message came: {wrong}")));
                }
                Ok(Some(Ok(received))) => received,
            };
            if self.is_new(&received.text) {
                return Ok(Some(received));
            }
            if let Some(answer) = self.known_answer(&received.text) {
                self.send(&answer, received.source).await?;
            }
        }
    }

    fn is_new(&self, text: &Text) -> bool {
        let lines = [&self.dialog, &self.aside];
        let own = self.dialog.is_none() || lines.into_iter().flatten().any(|dialog| dialog.owns(text));
        own && self.known_answer(text).is_none()
    }

    fn known_answer(&self, text: &Text) -> Option<Text> {
        let key = answer_key(text);
        let known = self.answers.iter().find(|(own, method, _)| *own == key && method == text.method());
        known.map(|(_, _, answer)| answer.clone())
    }

    fn remember(&mut self, request: &Text, response: &Text) {
        self.answers
            .retain(|(branch, method, _)| *branch != answer_key(request) || method != request.method());
        self.answers.push((answer_key(request), request.method().to_owned(), response.clone()));
    }

    fn check_dialog(&mut self, text: &Text) -> Result<(), Fault> {
        if text.method() == "INVITE" && text.tag("To").is_none() {
            return Ok(());
        }
        let contact = self.contact();
        let checked = self.dialog()?.check(text, &contact);
        checked.map_err(|(expected, got)| self.unexpected(&expected, &got))
    }

    async fn send(&self, message: &Text, to: SocketAddr) -> Result<(), Fault> {
        // First the tape, then the wire: the ladder must never show an effect before its cause.
        self.tape.sent(self.party, to, message);
        let sent = self.socket.send_to(&message.write(), to).await;
        sent.map(drop).map_err(|source| Fault::Io { what: format!("cannot send to {to}"), source })
    }

    fn unexpected(&self, expected: &str, got: &str) -> Fault {
        Fault::Unexpected { who: self.party, expected: expected.to_owned(), got: got.to_owned() }
    }
}

/// A response is known by its status too: 180 and 200 of one INVITE are two messages.
fn answer_key(text: &Text) -> String {
    let status = text.status().map(|status| status.to_string()).unwrap_or_default();
    format!("{}{status}", text.branch().unwrap_or_default())
}

/// Reads the socket until it is dropped, so that the tape has the times of arrival and not those of the script.
async fn listen(socket: Arc<UdpSocket>, party: Party, tape: Tape, outbox: mpsc::Sender<Heard>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, source) = match socket.recv_from(&mut buffer).await {
            Ok(came) => came,
            // An ICMP message about something that we sent; whoever waits for an answer finds out.
            Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset) => continue,
            Err(_) => return,
        };
        let read = Text::read(&buffer[..length]);
        if let Ok(text) = &read {
            tape.received(party, source, text);
        }
        let _ = outbox.try_send(read.map(|text| Received { who: party, text, source }));
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tape::Entry;
    use super::*;

    async fn pair() -> (Peer, Peer, Tape) {
        let tape = Tape::default();
        let mut pbx = Peer::bind(Party::Pbx, tape.clone()).await.unwrap();
        let mut agent = Peer::bind(Party::Agent, tape.clone()).await.unwrap();
        pbx.meet(agent.address());
        agent.meet(pbx.address());
        (pbx, agent, tape)
    }

    async fn connected() -> (Peer, Peer, Tape) {
        let (mut pbx, mut agent, tape) = pair().await;
        let caller =
            async { pbx.call("+14155550100", "<sip:+14155550142@pbx>", &[("X-Tier", "gold")]).await };
        let called = async {
            let invite = agent.ring().await?;
            invite.says("X-Tier", "gold")?.lacks("X-Other")?;
            agent.answer(&invite).await
        };
        tokio::try_join!(caller, called).unwrap();
        (pbx, agent, tape)
    }

    #[tokio::test]
    async fn two_peers_play_a_call_with_each_other() {
        let (mut pbx, mut agent, tape) = connected().await;
        let asks = async {
            agent.ask("REFER", &[("Refer-To", "<sip:front-desk@baton>")], None, 202).await?;
            let notify = agent.request("NOTIFY").await?;
            notify.says("Event", "refer;id=1")?.body_has("SIP/2.0 200 OK")?;
            agent.reply(&notify, 200, "OK").await?;
            agent.bye_comes().await
        };
        let serves = async {
            let refer = pbx.request("REFER").await?;
            pbx.reply(&refer, 202, "Accepted").await?;
            pbx.notify(&refer, 200, "OK").await?;
            pbx.ask("BYE", &[], None, 200).await
        };
        tokio::try_join!(asks, serves).unwrap();
        pbx.quiet().unwrap();
        agent.quiet().unwrap();
        let messages = tape.take();
        assert!(messages.windows(2).all(|pair| pair[0].at() <= pair[1].at()), "{messages:#?}");
        let starts = messages.iter().filter_map(|entry| match entry {
            Entry::Message { from: Party::Pbx, message, .. } => Some(message.start.clone()),
            _ => None,
        });
        let starts: Vec<String> =
            starts.map(|start| start.split(" sip:").next().unwrap().to_owned()).collect();
        assert_eq!(starts, ["INVITE", "ACK", "SIP/2.0 202 Accepted", "NOTIFY", "BYE"]);
    }

    #[tokio::test]
    async fn another_request_than_awaited_is_a_fault() {
        let (mut pbx, mut agent, _) = connected().await;
        let serves = pbx.request("REFER");
        let asks = agent.ask("BYE", &[], None, 200);
        let fault =
            tokio::select! { fault = serves => fault.unwrap_err(), _ = asks => panic!("nobody answers it") };
        let text = fault.to_string();
        assert!(text.starts_with("the PBX expected REFER, but BYE sip:pbx@127.0.0.1"), "{text}");
    }

    #[tokio::test]
    async fn a_wrong_header_is_a_fault() {
        let (mut pbx, mut agent, _) = connected().await;
        let asks = agent.ask("REFER", &[("Refer-To", "<sip:a@b>"), ("X-Account", "4712")], None, 202);
        let serves = async { pbx.request("REFER").await };
        let refer =
            tokio::select! { refer = serves => refer.unwrap(), _ = asks => panic!("nobody answers it") };
        let fault = refer.says("X-Account", "4711").unwrap_err().to_string();
        assert!(fault.contains("`X-Account: 4711`") && fault.contains("4712"), "{fault}");
        assert!(refer.lacks("X-Account").is_err());
        assert!(refer.says("X-Account", "4712").is_ok());
    }

    #[tokio::test]
    async fn a_request_that_comes_again_gets_the_same_answer_below_the_script() {
        let (mut pbx, mut agent, tape) = connected().await;
        let info = agent.new_request("INFO").unwrap();
        let other = pbx.address();
        agent.send(&info, other).await.unwrap();
        let received = pbx.request("INFO").await.unwrap();
        pbx.reply(&received, 200, "OK").await.unwrap();
        agent.send(&info, other).await.unwrap();
        let asks = agent.ask("BYE", &[], None, 200);
        let serves = async { pbx.bye_comes().await };
        // The second 200 to the INFO belongs to no transaction of the agent's any more and is passed over.
        tokio::try_join!(asks, serves).unwrap();
        agent.quiet().unwrap();
        let again =
            tape.take().into_iter().filter(|e| matches!(e, Entry::Message { again: true, .. })).count();
        assert!(again >= 2, "the request and its answer: {again}");
    }
}
