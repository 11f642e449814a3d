//! RFC 3261 figures 5 to 8, as RFC 6026 and RFC 4320 amend them, row by row and to the millisecond, in virtual time.
//!
//! Each test is a trace. A line is a time in milliseconds and one of:
//!
//! | line | it is |
//! |---|---|
//! | `send INVITE`, `cancel`, `respond 180`, `respond 200 CANCEL`, `again`, `acked` | what the layer above does |
//! | `< 180`, `< INVITE` | what comes in, as text that no code of Baton made |
//! | `fail`, `close` | the last message could not be sent, the connection died |
//! | `> INVITE`, `> 180` | what goes out |
//! | `up 180 Provisional`, `up INVITE`, `! Timeout` … | what the layer above is told |
//! | `gone` | no transaction is left |
//!
//! The first two kinds are done, the others are compared, all of them, in order. Every trace ends by asserting that
//! the table is empty: no transaction, no event, no deadline.

use baton::sip::outbox::Outbox;
use baton::sip::transaction::{Inbound, Outgoing, ServerId, Table, TransactionEvent};
use baton::sip::{Flow, Time, Transport};
use baton::wire::{Framing, Index, decode};

const BRANCH: &str = "z9hG4bKours";

struct World {
    table: Table<&'static str>,
    outbox: Outbox,
    flow: Flow,
    now: u64,
    log: Vec<String>,
    client: Option<baton::sip::transaction::ClientId>,
    servers: Vec<(String, ServerId)>,
    last_id: u64,
    sent: Vec<String>,
    /// The method of our request, which responses answer.
    asked: String,
    busy: bool,
}

fn udp() -> Flow {
    Flow { transport: Transport::Udp, listener: 0, peer: ([192, 0, 2, 7], 5060).into(), connection: 0 }
}

fn tcp() -> Flow {
    Flow { transport: Transport::Tcp, listener: 0, peer: ([192, 0, 2, 7], 40123).into(), connection: 9 }
}

/// A request of ours, as some layer above would write it.
fn our_request(method: &str) -> String {
    format!(
        "{method} sip:agent@192.0.2.7 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.10:5060;branch={BRANCH};rport\r\n\
         Max-Forwards: 69\r\n\
         Route: <sip:one.example.com;lr>\r\n\
         Route: <sip:two.example.com;lr>\r\n\
         From: \"Caller\" <sip:+14155550100@203.0.113.10>;tag=ours\r\n\
         To: <sip:agent@192.0.2.7>\r\n\
         Call-ID: b-1a3-whatever\r\n\
         CSeq: 42 {method}\r\n\
         Contact: <sip:203.0.113.10:5060>\r\n\
         X-Baton-Call-ID: c-1a3-whatever\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A response of the peer. Words change it: `cseq=BYE`, `branch=other`, `vias=2`, `to=fork`.
fn their_response(status: &str, method: &str, words: &[&str]) -> String {
    let word = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let more = if word("vias").is_some() { "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\n" } else { "" };
    format!(
        "SIP/2.0 {status} Whatever\r\n\
         v: SIP/2.0/UDP 203.0.113.10:5060;branch={branch};rport=5060;received=203.0.113.10\r\n{more}\
         f: \"Caller\" <sip:+14155550100@203.0.113.10>;tag=ours\r\n\
         t: <sip:agent@192.0.2.7>;tag={tag}\r\n\
         i: b-1a3-whatever\r\n\
         CSeq: 42 {method}\r\n\
         l: 0\r\n\r\n",
        branch = word("branch").unwrap_or(BRANCH),
        tag = word("to").unwrap_or("theirs"),
        method = word("cseq").unwrap_or(method),
    )
}

/// A request of the peer. Words change it: `branch=other`, `branch=` (RFC 2543), `by=host`, `tag=own`, `from=tag`.
fn their_request(method: &str, words: &[&str]) -> String {
    let word = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let branch = match word("branch").unwrap_or("z9hG4bKtheirs") {
        "" => String::new(),
        branch => format!(";branch={branch}"),
    };
    format!(
        "{method} sip:+14155550123@203.0.113.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {by}{branch}\r\n\
         Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbehind, SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKfarther\r\n\
         Record-Route: <sip:proxy.example.com;lr>\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:+14155550100@192.0.2.7>;tag={from}\r\n\
         To: <sip:+14155550123@203.0.113.10>{to}\r\n\
         Call-ID: theirs@192.0.2.7\r\n\
         CSeq: 7 {method}\r\n\
         Contact: <sip:192.0.2.7>\r\n\
         Timestamp: 54\r\n\
         Content-Length: 0\r\n\r\n",
        by = word("by").unwrap_or("192.0.2.7"),
        from = word("from").unwrap_or("theirs"),
        to = word("tag").map(|tag| format!(";tag={tag}")).unwrap_or_default(),
    )
}

/// Method or status of a message, and of a response the method that it answers if that is not the obvious one.
fn name_of(text: &str) -> String {
    let mut words = text.split(' ');
    match words.next() {
        Some("SIP/2.0") => words.next().unwrap_or_default().to_owned(),
        other => other.unwrap_or_default().to_owned(),
    }
}

impl World {
    fn new(flow: Flow) -> World {
        World {
            table: Table::new([3; 16]),
            outbox: Outbox::default(),
            flow,
            now: 0,
            log: Vec::new(),
            client: None,
            servers: Vec::new(),
            last_id: 0,
            sent: Vec::new(),
            asked: "INVITE".to_owned(),
            busy: false,
        }
    }

    fn time(&self) -> Time {
        Time(self.now * 1000)
    }

    fn note(&mut self, line: impl Into<String>) {
        let line: String = line.into();
        self.log.push(format!("{} {line}", self.now));
    }

    /// Writes down what came of the last step.
    fn drain(&mut self) {
        while let Some(transmit) = self.outbox.poll() {
            assert_eq!(transmit.flow.peer.ip(), self.flow.peer.ip());
            let text = String::from_utf8(transmit.bytes.to_vec()).expect("text");
            self.last_id = transmit.id;
            let line = format!("> {}", name_of(&text));
            self.sent.push(text);
            self.note(line);
        }
        while let Some(event) = self.table.poll_event() {
            let (name, owner) = match event {
                TransactionEvent::Timeout { owner, .. } => ("Timeout", owner),
                TransactionEvent::TransportFailed { owner, .. } => ("TransportFailed", owner),
                TransactionEvent::Acknowledged { owner } => ("Acknowledged", owner),
                TransactionEvent::NoAck { owner, .. } => ("NoAck", owner),
            };
            assert_eq!(owner, "owner");
            self.note(format!("! {name}"));
        }
        let counts = self.table.counts();
        let busy = counts.clients + counts.servers > 0;
        if self.busy && !busy {
            self.note("gone");
        }
        self.busy = busy;
    }

    /// Serves every deadline up to `until`, each at its time.
    fn run(&mut self, until: u64) {
        while let Some(at) = self.table.deadline().filter(|at| at.0 <= until * 1000) {
            assert_eq!(at.0 % 1000, 0, "deadlines fall on milliseconds here");
            self.now = at.0 / 1000;
            self.table.tick(at, 1, &mut self.outbox);
            self.drain();
        }
        self.now = until;
    }

    fn receive(&mut self, text: &str) {
        let mut index = Index::default();
        let message = decode(text.as_bytes(), &mut index, Framing::Datagram).expect("the test's text is SIP");
        if let Some(status) = message.status() {
            let request = self.table.request_of(&message).map(|(client, ..)| client);
            let answer = request.and_then(|client| {
                self.table.receive_response(self.time(), client, &message, &mut self.outbox)
            });
            if let Some(answer) = answer {
                assert_eq!((Some(answer.client), answer.owner), (self.client, "owner"));
                self.note(format!("up {status} {:?}", answer.kind));
            }
            return;
        }
        let method = name_of(text);
        let open = |world: &mut World| {
            let server = world.table.open(world.time(), world.flow, &message, "owner");
            world.servers.push((method.clone(), server));
        };
        match self.table.receive_request(self.time(), self.flow, &message, &mut self.outbox) {
            Inbound::New => {
                self.note(format!("up {method}"));
                if method != "ACK" {
                    open(self);
                }
            }
            Inbound::Absorbed => {}
            Inbound::Cancel { invite, owner } => {
                assert!(self.servers.contains(&("INVITE".to_owned(), invite)));
                assert_eq!(owner, "owner");
                self.note("up CANCEL of INVITE");
                open(self);
            }
            Inbound::Merged => {
                self.note("up merged");
            }
        }
    }

    fn act(&mut self, words: &[&str]) {
        let now = self.time();
        match words {
            ["send", method] => {
                let (method, owner) = (method.as_bytes(), "owner");
                let request = Outgoing { method, branch: BRANCH, owner, recallable: false, told: false };
                let method = words[1];
                let text = our_request(method);
                self.asked = (*method).to_owned();
                let write = |buffer: &mut Vec<u8>| buffer.extend_from_slice(text.as_bytes());
                self.client = Some(self.table.send(now, self.flow, request, &mut self.outbox, write));
            }
            ["cancel"] => {
                let client = self.client.expect("sent before");
                let reason = b"Reason: SIP;cause=200\r\n";
                let done = self.table.cancel(now, client, reason, &mut self.outbox);
                self.note(format!("cancel {done:?}"));
            }
            ["respond", status, rest @ ..] => {
                let named =
                    |(method, _): &&(String, ServerId)| rest.first().is_none_or(|name| method == name);
                let open = self.servers.iter().filter(named).find(|(_, server)| self.table.is_open(*server));
                let (_, server) = *open.or_else(|| self.servers.iter().find(named)).expect("opened before");
                let status = status.parse().expect("a status");
                let write = |writer: baton::wire::Writer<'_>| writer.finish(None);
                let done = self.table.respond(now, server, status, Some(b"tagged"), &mut self.outbox, write);
                if done.is_err() {
                    self.note("answered already");
                }
            }
            ["again"] => {
                let server = self.servers[0].1;
                if !self.table.respond_again(server, &mut self.outbox) {
                    self.note("nothing to send again");
                }
            }
            ["acked"] => self.table.acknowledged(self.servers[0].1),
            ["fail"] => self.table.send_failed(self.last_id, &mut self.outbox),
            ["close"] => self.table.flow_closed(9),
            ["<", status, rest @ ..] if status.parse::<u16>().is_ok() => {
                let asked = self.asked.clone();
                self.receive(&their_response(status, &asked, rest));
            }
            ["<", method, rest @ ..] => self.receive(&their_request(method, rest)),
            _ => panic!("not an action: {words:?}"),
        }
    }

    fn play(mut self, script: &str) -> World {
        let mut expected = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at: u64 = words[0].parse().expect("a line begins with its time");
            if matches!(words[1], ">" | "up" | "!" | "gone" | "nothing" | "answered")
                || words.len() > 2 && words[1] == "cancel"
            {
                expected.push(words.join(" "));
                continue;
            }
            self.run(at);
            self.act(&words[1..]);
            self.drain();
        }
        self.run(1_000_000);
        assert_eq!(self.log, expected, "\nhappened:\n{}\n", self.log.join("\n"));
        assert!(self.table.is_empty(), "left: {:?}", self.table);
        self
    }
}

fn over_udp(script: &str) -> World {
    World::new(udp()).play(script)
}

fn over_tcp(script: &str) -> World {
    World::new(tcp()).play(script)
}

mod figure_5_invite_client {
    use super::*;

    #[test]
    fn calling_timer_a_doubles_until_timer_b() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             500   > INVITE
             1500  > INVITE
             3500  > INVITE
             7500  > INVITE
             15500 > INVITE
             31500 > INVITE
             32000 ! Timeout
             32000 gone",
        );
    }

    #[test]
    fn calling_on_a_reliable_transport_only_timer_b() {
        over_tcp(
            "0     send INVITE
             0     > INVITE
             32000 ! Timeout
             32000 gone",
        );
    }

    #[test]
    fn calling_1xx_proceeding_neither_retransmits_nor_times_out() {
        over_udp(
            "0      send INVITE
             0      > INVITE
             500    > INVITE
             700    < 100
             700    up 100 Provisional
             900    < 180
             900    up 180 Provisional
             170000 < 183 to=fork
             170000 up 183 Provisional
             300000 < 200
             300000 up 200 Final
             332000 gone",
        );
    }

    #[test]
    fn calling_2xx_accepted_passes_every_2xx_until_timer_m() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 200
             100   up 200 Final
             600   < 200
             600   up 200 Again
             700   < 202 to=fork
             700   up 202 Again
             // neither a late provisional nor a late refusal means anything now
             800   < 180
             900   < 486
             32099 < 200
             32099 up 200 Again
             32100 gone
             32101 < 200",
        );
    }

    #[test]
    fn accepted_on_a_reliable_transport_has_timer_m_too() {
        over_tcp(
            "0     send INVITE
             0     > INVITE
             50    < 200
             50    up 200 Final
             32050 gone",
        );
    }

    #[test]
    fn calling_300_to_699_completed_acks_each_copy_until_timer_d() {
        for status in ["300", "486", "503", "699"] {
            over_udp(
                &"0     send INVITE
                  0     > INVITE
                  100   < 486
                  100   up 486 Final
                  100   > ACK
                  600   < 486
                  600   > ACK
                  // and nothing else
                  700   < 200
                  800   < 180
                  31000 < 486
                  31000 > ACK
                  32100 gone
                  32200 < 486"
                    .replace("486", status),
            );
        }
    }

    #[test]
    fn proceeding_300_to_699_completed() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 180
             100   up 180 Provisional
             5000  < 603
             5000  up 603 Final
             5000  > ACK
             37000 gone",
        );
    }

    #[test]
    fn completed_on_a_reliable_transport_ends_at_once() {
        over_tcp(
            "0     send INVITE
             0     > INVITE
             100   < 486
             100   up 486 Final
             100   > ACK
             100   gone
             101   < 486",
        );
    }

    #[test]
    fn calling_and_proceeding_transport_error() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             1     fail
             1     ! TransportFailed
             1     gone
             100   < 200",
        );
        over_tcp(
            "0     send INVITE
             0     > INVITE
             100   < 180
             100   up 180 Provisional
             200   close
             200   ! TransportFailed
             200   gone",
        );
    }

    #[test]
    fn completed_transport_error_of_the_ack_ends_it_quietly() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 486
             100   up 486 Final
             100   > ACK
             101   fail
             101   gone",
        );
    }

    #[test]
    fn the_ack_has_the_branch_the_route_and_the_to_of_the_response() {
        let world = over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 486
             100   up 486 Final
             100   > ACK
             32100 gone",
        );
        assert_eq!(
            world.sent[1],
            "ACK sip:agent@192.0.2.7 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bKours;rport\r\n\
             Max-Forwards: 70\r\n\
             Route: <sip:one.example.com;lr>\r\n\
             Route: <sip:two.example.com;lr>\r\n\
             From: \"Caller\" <sip:+14155550100@203.0.113.10>;tag=ours\r\n\
             To: <sip:agent@192.0.2.7>;tag=theirs\r\n\
             Call-ID: b-1a3-whatever\r\n\
             CSeq: 42 ACK\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_is_not_ours_is_dropped() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             10    < 200 branch=z9hG4bKother
             10    < 200 branch=z9hG4bKour
             10    < 200 cseq=BYE
             10    < 200 cseq=CANCEL
             10    < 200 vias=2
             500   > INVITE
             600   < 200
             600   up 200 Final
             32600 gone",
        );
    }
}

mod cancelling {
    use super::*;

    #[test]
    fn a_cancel_waits_for_a_provisional_response() {
        let world = over_udp(
            "0     send INVITE
             0     > INVITE
             100   cancel
             100   cancel Waits
             200   cancel
             200   cancel No
             500   > INVITE
             600   < 100
             600   up 100 Provisional
             600   > CANCEL
             // the CANCEL is a transaction of its own, and nobody is told how it ends
             650   < 200 cseq=CANCEL
             700   < 487
             700   up 487 Final
             700   > ACK
             32700 gone",
        );
        assert_eq!(
            world.sent[2],
            "CANCEL sip:agent@192.0.2.7 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bKours;rport\r\n\
             Max-Forwards: 70\r\n\
             Route: <sip:one.example.com;lr>\r\n\
             Route: <sip:two.example.com;lr>\r\n\
             From: \"Caller\" <sip:+14155550100@203.0.113.10>;tag=ours\r\n\
             To: <sip:agent@192.0.2.7>\r\n\
             Call-ID: b-1a3-whatever\r\n\
             CSeq: 42 CANCEL\r\n\
             Reason: SIP;cause=200\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn nobody_answers_the_cancelled_invite() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 180
             100   up 180 Provisional
             1000  cancel
             1000  cancel Sent
             1000  > CANCEL
             1010  < 200 cseq=CANCEL
             33000 ! Timeout
             33000 gone",
        );
    }

    #[test]
    fn nobody_answers_the_cancel_either() {
        over_udp(
            "0     send INVITE
             0     > INVITE
             100   < 180
             100   up 180 Provisional
             1000  cancel
             1000  cancel Sent
             1000  > CANCEL
             1500  > CANCEL
             2500  > CANCEL
             4500  > CANCEL
             8500  > CANCEL
             12500 > CANCEL
             16500 > CANCEL
             20500 > CANCEL
             24500 > CANCEL
             28500 > CANCEL
             32500 > CANCEL
             33000 ! Timeout
             33000 gone",
        );
    }

    #[test]
    fn a_200_crosses_the_cancel() {
        over_tcp(
            "0     send INVITE
             0     > INVITE
             100   < 180
             100   up 180 Provisional
             1000  cancel
             1000  cancel Sent
             1000  > CANCEL
             1001  < 200
             1001  up 200 Final
             1002  cancel
             1002  cancel No
             1003  < 481 cseq=CANCEL
             33001 gone",
        );
    }
}

mod figure_6_client {
    use super::*;

    #[test]
    fn trying_timer_e_doubles_to_t2_until_timer_f() {
        over_udp(
            "0     send REFER
             0     > REFER
             500   > REFER
             1500  > REFER
             3500  > REFER
             7500  > REFER
             11500 > REFER
             15500 > REFER
             19500 > REFER
             23500 > REFER
             27500 > REFER
             31500 > REFER
             32000 ! Timeout
             32000 gone",
        );
    }

    #[test]
    fn trying_on_a_reliable_transport_only_timer_f() {
        over_tcp(
            "0     send BYE
             0     > BYE
             32000 ! Timeout
             32000 gone",
        );
    }

    #[test]
    fn proceeding_timer_e_goes_on_in_steps_of_t2_and_timer_f_stays() {
        over_udp(
            "0     send REFER
             0     > REFER
             500   > REFER
             600   < 100
             600   up 100 Provisional
             1500  > REFER
             5500  > REFER
             6000  < 100
             6000  up 100 Provisional
             9500  > REFER
             13500 > REFER
             17500 > REFER
             21500 > REFER
             25500 > REFER
             29500 > REFER
             32000 ! Timeout
             32000 gone",
        );
    }

    #[test]
    fn trying_200_to_699_completed_absorbs_copies_until_timer_k() {
        for status in ["200", "202", "302", "481", "503", "603"] {
            over_udp(
                &"0     send REFER
                  0     > REFER
                  100   < 202
                  100   up 202 Final
                  600   < 202
                  700   < 100
                  5100  gone
                  5200  < 202"
                    .replace("202", status),
            );
        }
    }

    #[test]
    fn proceeding_200_to_699_completed() {
        over_udp(
            "0     send BYE
             0     > BYE
             100   < 100
             100   up 100 Provisional
             400   < 200
             400   up 200 Final
             5400  gone",
        );
    }

    #[test]
    fn completed_on_a_reliable_transport_ends_at_once() {
        over_tcp(
            "0     send BYE
             0     > BYE
             100   < 200
             100   up 200 Final
             100   gone",
        );
    }

    #[test]
    fn trying_and_proceeding_transport_error() {
        over_udp(
            "0     send BYE
             0     > BYE
             2     fail
             2     ! TransportFailed
             2     gone
             3     fail",
        );
        over_tcp(
            "0     send REFER
             0     > REFER
             100   < 100
             100   up 100 Provisional
             200   close
             200   ! TransportFailed
             200   gone",
        );
    }
}

mod figure_7_invite_server {
    use super::*;

    #[test]
    fn proceeding_answers_a_copy_with_the_last_provisional_response() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             // nothing was said yet, so nothing can be said again
             1     < INVITE
             2     respond 100
             2     > 100
             500   < INVITE
             500   > 100
             600   respond 180
             600   > 180
             1500  < INVITE
             1500  > 180
             // an ACK means nothing yet
             1600  < ACK
             90000 respond 200
             90000 > 200
             122000 gone",
        );
    }

    #[test]
    fn completed_timer_g_doubles_to_t2_until_timer_h() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             0     respond 486
             0     > 486
             500   > 486
             1500  > 486
             3500  > 486
             7500  > 486
             11500 > 486
             15500 > 486
             19500 > 486
             23500 > 486
             27500 > 486
             31500 > 486
             32000 ! NoAck
             32000 gone",
        );
    }

    #[test]
    fn completed_on_a_reliable_transport_has_no_timer_g() {
        over_tcp(
            "0     < INVITE
             0     up INVITE
             0     respond 603
             0     > 603
             32000 ! NoAck
             32000 gone",
        );
    }

    #[test]
    fn completed_answers_a_copy_and_the_ack_confirms_until_timer_i() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             10    respond 404
             10    > 404
             20    < INVITE
             20    > 404
             510   > 404
             600   < ACK
             600 ! Acknowledged
             // Confirmed: silence
             700   < ACK
             800   < INVITE
             900   respond 200
             900   answered already
             5600  gone
             5700  < ACK
             5700  up ACK",
        );
    }

    #[test]
    fn completed_on_a_reliable_transport_ends_with_the_ack() {
        over_tcp(
            "0     < INVITE
             0     up INVITE
             10    respond 404
             10    > 404
             20    < ACK
             20 ! Acknowledged
             20    gone",
        );
    }

    #[test]
    fn accepted_absorbs_copies_and_passes_acks_until_timer_l() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             10    respond 200
             10    > 200
             // the 2xx is sent again by the leg, not here
             20    < INVITE
             510   again
             510   > 200
             600   < ACK
             600   up ACK
             600   acked
             700   again
             700   nothing to send again
             800   < INVITE
             900   respond 486
             900   answered already
             32010 gone",
        );
    }

    #[test]
    fn accepted_on_a_reliable_transport_has_timer_l_too() {
        over_tcp(
            "0     < INVITE
             0     up INVITE
             10    respond 200
             10    > 200
             32010 gone",
        );
    }

    #[test]
    fn an_ack_with_a_branch_of_its_own_is_the_legs() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             10    respond 200
             10    > 200
             60    < ACK branch=z9hG4bKack
             60    up ACK
             32010 gone",
        );
    }

    #[test]
    fn a_peer_of_rfc_2543_has_no_branch() {
        over_udp(
            "0     < INVITE branch=
             0     up INVITE
             10    respond 404
             10    > 404
             20    < INVITE branch=
             20    > 404
             60    < ACK branch= tag=tagged
             60 ! Acknowledged
             5060  gone",
        );
    }
}

mod cancelled_by_the_peer {
    use super::*;

    #[test]
    fn a_cancel_finds_its_invite() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             0     respond 100
             0     > 100
             900   < CANCEL
             900   up CANCEL of INVITE
             900   respond 200 CANCEL
             900   > 200
             900   respond 487 INVITE
             900   > 487
             950   < CANCEL
             950   > 200
             1000  < ACK
             1000 ! Acknowledged
             32900 gone",
        );
    }

    #[test]
    fn a_cancel_after_the_final_response_has_no_effect_on_it() {
        over_tcp(
            "0     < INVITE
             0     up INVITE
             0     respond 200
             0     > 200
             10    < CANCEL
             10    up CANCEL of INVITE
             10    respond 200 CANCEL
             10    > 200
             10    respond 487 INVITE
             10    answered already
             32000 gone",
        );
    }

    #[test]
    fn a_cancel_of_nothing_is_a_request_like_any_other() {
        over_tcp(
            "0     < CANCEL
             0     up CANCEL
             0     respond 481
             0     > 481
             0     gone",
        );
    }
}

mod figure_8_server {
    use super::*;

    #[test]
    fn trying_absorbs_copies_and_completed_answers_them_until_timer_j() {
        over_udp(
            "0     < BYE tag=ours
             0     up BYE
             500   < BYE tag=ours
             600   respond 200
             600   > 200
             1500  < BYE tag=ours
             1500  > 200
             1600  respond 481
             1600  answered already
             32000 < BYE tag=ours
             32000 > 200
             32600 gone",
        );
    }

    #[test]
    fn completed_on_a_reliable_transport_ends_at_once() {
        over_tcp(
            "0     < BYE tag=ours
             0     up BYE
             600   respond 200
             600   > 200
             600   gone",
        );
    }

    /// RFC 4320 §4.2: a 100 when the client's Timer E has come to T2.
    #[test]
    fn trying_proceeding_a_100_comes_by_itself() {
        over_udp(
            "0     < REFER tag=ours
             0     up REFER
             500   < REFER tag=ours
             1500  < REFER tag=ours
             3500  > 100
             7500  < REFER tag=ours
             7500  > 100
             9000  respond 202
             9000  > 202
             41000 gone",
        );
    }

    #[test]
    fn proceeding_by_the_layer_above() {
        over_tcp(
            "0     < REFER tag=ours
             0     up REFER
             100   respond 100
             100   > 100
             9000  respond 603
             9000  > 603
             9000  gone",
        );
    }

    /// RFC 4320 §4.1: no other provisional response.
    #[test]
    fn a_180_is_left_out() {
        over_tcp(
            "0     < REFER tag=ours
             0     up REFER
             100   respond 180
             200   respond 202
             200   > 202
             200   gone",
        );
    }

    /// RFC 4320 §4.2: a 408 would come when the client is gone.
    #[test]
    fn a_408_is_never_sent() {
        over_udp(
            "0     < INFO tag=ours
             0     up INFO
             100   respond 408
             100   gone",
        );
    }

    #[test]
    fn when_the_client_has_given_up_so_does_the_server() {
        over_udp(
            "0     < INFO tag=ours
             0     up INFO
             3500  > 100
             32000 gone
             32001 respond 200
             32001 answered already",
        );
    }

    /// RFC 3261 §18.2.2: once more, to the address that the request came from and the port of sent-by.
    #[test]
    fn completed_transport_error_on_a_stream_tries_a_new_connection_once() {
        over_tcp(
            "0     < INVITE by=192.0.2.7:5070
             0     up INVITE
             10    respond 486
             10    > 486
             20    fail
             20    > 486
             30    fail
             40    < ACK by=192.0.2.7:5070
             40 ! Acknowledged
             40    gone",
        );
    }
}

mod matching {
    use super::*;

    /// RFC 3261 §17.2.3: branch, sent-by and method.
    #[test]
    fn another_sent_by_or_method_is_another_transaction() {
        over_tcp(
            "0     < OPTIONS tag=ours
             0     up OPTIONS
             0     < OPTIONS tag=ours by=192.0.2.8
             0     up OPTIONS
             0     < OPTIONS tag=ours by=192.0.2.7:5060
             0     < INFO tag=ours
             0     up INFO
             0     < OPTIONS tag=ours by=EXAMPLE.com
             0     up OPTIONS
             0     < OPTIONS tag=ours by=example.com
             3500  > 100
             3500  > 100
             3500  > 100
             3500  > 100
             32000 gone",
        );
    }

    /// RFC 3261 §8.2.2.2.
    #[test]
    fn the_same_request_by_another_way_is_merged() {
        over_udp(
            "0     < INVITE
             0     up INVITE
             0     < INVITE branch=z9hG4bKother
             0     up merged
             // inside a dialog, or of another client, it is not
             0     < INFO branch=z9hG4bKinfo tag=ours
             0     up INFO
             0     < INFO branch=z9hG4bKinfo2 tag=ours
             0     up INFO
             0     < INVITE branch=z9hG4bKthird from=another
             0     up INVITE
             1     respond 408 INFO
             1     respond 408 INFO
             1     respond 404 INVITE
             1     > 404
             1     respond 404 INVITE
             1     > 404
             10    < ACK
             10 ! Acknowledged
             10    < ACK branch=z9hG4bKthird from=another
             10 ! Acknowledged
             // after a refusal a proxy goes on, with the same request in a new branch (§16.7)
             20    < INVITE branch=z9hG4bKlate
             20    up INVITE
             20    respond 404 INVITE
             20    > 404
             30    < ACK branch=z9hG4bKlate
             30 ! Acknowledged
             5030  gone",
        );
    }
}

mod responses {
    use super::*;

    /// What the one response to a request with these words looks like, and which port it goes to.
    fn respond(request: &str, source: Flow, status: u16) -> (String, Flow) {
        let (mut table, mut outbox, mut index) = (Table::new([0; 16]), Outbox::default(), Index::default());
        let message =
            decode(request.as_bytes(), &mut index, Framing::Datagram).expect("the test's text is SIP");
        let server = table.open(Time(0), source, &message, ());
        let done = table.respond(Time(0), server, status, Some(b"tagged"), &mut outbox, |mut writer| {
            writer.header(baton::wire::Name::Server, "Baton");
            writer.finish(Some((b"text/plain", b"body")))
        });
        assert_eq!(done, Ok(()));
        let transmit = outbox.poll().expect("a response");
        (String::from_utf8(transmit.bytes.to_vec()).expect("text"), transmit.flow)
    }

    fn from_port(port: u16) -> Flow {
        Flow { peer: ([192, 0, 2, 7], port).into(), ..udp() }
    }

    const VIAS: &str =
        "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbehind, SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKfarther\r\n";
    const COMMON: &str = "From: <sip:+14155550100@192.0.2.7>;tag=theirs\r\n\
                          To: <sip:+14155550123@203.0.113.10>;tag=tagged\r\n\
                          Call-ID: theirs@192.0.2.7\r\nCSeq: 7 INVITE\r\n";
    const OURS: &str = "Server: Baton\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody";

    #[test]
    fn they_copy_what_belongs_in_them() {
        let via = "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKtheirs\r\n";
        let route = "Record-Route: <sip:proxy.example.com;lr>\r\n";
        let invite = their_request("INVITE", &[]);
        let text = |status| respond(&invite, from_port(5060), status).0;
        assert_eq!(text(180), format!("SIP/2.0 180 Ringing\r\n{via}{VIAS}{COMMON}{route}{OURS}"));
        assert_eq!(text(200), format!("SIP/2.0 200 OK\r\n{via}{VIAS}{COMMON}{route}{OURS}"));
        assert_eq!(text(486), format!("SIP/2.0 486 Busy Here\r\n{via}{VIAS}{COMMON}{OURS}"));
        assert_eq!(text(100), format!("SIP/2.0 100 Trying\r\n{via}{VIAS}{COMMON}Timestamp: 54\r\n{OURS}"));
        let again = their_request("INVITE", &["tag=dialog"]);
        let common = COMMON.replace("tagged", "dialog");
        let text = respond(&again, from_port(5060), 200).0;
        assert_eq!(
            text,
            format!("SIP/2.0 200 OK\r\n{via}{VIAS}{common}{OURS}"),
            "no second tag, no Record-Route"
        );
    }

    /// RFC 3261 §18.2.2, RFC 3581 §4.
    #[test]
    fn they_go_to_the_source_at_the_port_of_rport_or_sent_by() {
        for (via, source, port, received) in [
            ("192.0.2.7", 40000, 5060, ""),
            ("192.0.2.7:5070", 40000, 5070, ""),
            ("192.0.2.7:5070;rport", 40000, 40000, ";received=192.0.2.7;rport=40000"),
            ("pbx.example.com:5070", 40000, 5070, ";received=192.0.2.7"),
            ("10.1.1.1;maddr=198.51.100.9", 40000, 5060, ";received=192.0.2.7"),
            ("10.1.1.1;received=198.51.100.9", 40000, 5060, ";received=192.0.2.7"),
        ] {
            let request = their_request("INVITE", &[&format!("by={via}")]);
            let (text, flow) = respond(&request, from_port(source), 200);
            assert_eq!(flow, from_port(port), "{via}");
            let top = text.lines().nth(1).expect("a Via");
            assert!(top.ends_with(&received.to_string()) && !top.contains("received=198"), "{via}: {top}");
            assert_eq!(top.contains("received"), !received.is_empty(), "{via}: {top}");
        }
        let request = their_request("INVITE", &["by=192.0.2.7:5070"]);
        assert_eq!(respond(&request, tcp(), 200).1, tcp(), "the same connection");
    }

    /// A retransmission over a new connection shows that the old one is gone.
    #[test]
    fn they_follow_the_peer_to_its_new_connection() {
        let (mut table, mut outbox, mut index) = (Table::new([0; 16]), Outbox::default(), Index::default());
        let request = their_request("INVITE", &[]);
        let message =
            decode(request.as_bytes(), &mut index, Framing::Datagram).expect("the test's text is SIP");
        let server = table.open(Time(0), tcp(), &message, ());
        let other = Flow { connection: 10, peer: ([192, 0, 2, 7], 40124).into(), ..tcp() };
        let stranger = Flow { connection: 11, peer: ([192, 0, 2, 8], 40125).into(), ..tcp() };
        for flow in [other, stranger] {
            assert_eq!(table.receive_request(Time(1), flow, &message, &mut outbox), Inbound::Absorbed);
        }
        let done = table.respond(Time(2), server, 200, None, &mut outbox, |writer| writer.finish(None));
        assert_eq!((done, outbox.poll().map(|transmit| transmit.flow)), (Ok(()), Some(other)));
    }
}

mod whatever_happens {
    use super::*;
    use proptest::prelude::*;

    const ACTS: [&str; 26] = [
        "send INVITE",
        "send BYE",
        "cancel",
        "fail",
        "close",
        "again",
        "acked",
        "< 100",
        "< 180",
        "< 200",
        "< 200 cseq=CANCEL",
        "< 200 to=fork",
        "< 302",
        "< 487",
        "< INVITE",
        "< INVITE branch=",
        "< INVITE branch=z9hG4bKother",
        "< CANCEL",
        "< ACK",
        "< ACK branch= tag=tagged",
        "< BYE tag=ours",
        "respond 100",
        "respond 180 INVITE",
        "respond 200 INVITE",
        "respond 487",
        "respond 408 BYE",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        /// Acts that make no sense are part of it. In the end every request of a peer is answered and time passes.
        #[test]
        fn the_table_ends_empty(
            stream in any::<bool>(),
            acts in proptest::collection::vec((0..ACTS.len(), prop_oneof![0u64..50, 400u64..9000]), 0..40),
        ) {
            let mut world = World::new(if stream { tcp() } else { udp() });
            let (mut sent, mut at) = (false, 0);
            for (act, pause) in acts {
                at += pause;
                world.run(at);
                let words: Vec<&str> = ACTS[act].split(' ').collect();
                let needs_server = matches!(words[0], "respond" | "again" | "acked");
                let names = |(method, _): &(String, ServerId)| words.get(2).is_none_or(|name| method == name);
                let possible = match words[0] {
                    // One request of ours at a time: they all have the same branch.
                    "send" => !std::mem::replace(&mut sent, true),
                    "cancel" => world.client.is_some(),
                    _ => !needs_server || world.servers.iter().any(names),
                };
                // `again` and `acked` are said of the first one, which is an INVITE.
                let first_is_invite = world.servers.first().is_some_and(|(method, _)| method == "INVITE");
                if possible && (words[1..] != ["CANCEL"] && words[1..] != ["BYE", "tag=ours"] || first_is_invite) {
                    world.act(&words);
                    world.drain();
                }
            }
            for (_, server) in world.servers.clone() {
                let write = |writer: baton::wire::Writer<'_>| writer.finish(None);
                let _ = world.table.respond(world.time(), server, 500, None, &mut world.outbox, write);
                world.drain();
            }
            world.run(at + 200_000);
            // A request of ours that rings for ever is ended by the layer above.
            if world.table.counts().clients > 0 {
                world.act(&["cancel"]);
                world.drain();
                world.run(at + 400_000);
            }
            prop_assert!(world.table.is_empty(), "left: {:?}\n{}", world.table, world.log.join("\n"));
        }
    }
}
