use super::*;

const BATON: &str = "127.0.0.1:5060";
const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 5006 RTP/AVP 0\r\n";
const MS: Duration = Duration::from_millis(1);

/// Baton's side of a call with the agent, in virtual time.
struct Bench {
    now: Instant,
    call: Call,
    out: VecDeque<Out>,
    cseq: u32,
}

impl Bench {
    fn ring(brief: bool, body: &str) -> Bench {
        let briefed = brief.then(|| "front-desk".to_owned()).into_iter().collect();
        let script =
            Script { destination: "front-desk".to_owned(), after: 2000 * MS, briefed, numbers: Vec::new() };
        let mut invite = Text::new("INVITE sip:trial@127.0.0.1:5090 SIP/2.0")
            .with("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-1;rport")
            .with("From", "<sip:+14155550142@baton>;tag=baton")
            .with("To", "<sip:+14155550100@baton>")
            .with("Call-ID", "one")
            .with("CSeq", "1 INVITE")
            .with("Contact", "<sip:baton@198.51.100.1:5060>");
        if !body.is_empty() {
            invite = invite.with_body(SDP, body);
        }
        let (now, from) = (Instant::now(), BATON.parse().unwrap());
        let who = ("trial", "127.0.0.1:5090".parse().unwrap());
        let (call, out) = Call::ring(now, &invite, from, who, (script, "mark".to_owned()));
        let mut bench = Bench { now, call, out: out.into(), cseq: 1 };
        bench.says("SIP/2.0 180 Ringing");
        bench
    }

    /// A call that stands.
    fn talking(brief: bool) -> Bench {
        let mut bench = Bench::ring(brief, OFFER);
        bench.passes(AGENT_RINGS);
        let ok = bench.says("SIP/2.0 200 OK");
        assert!(ok.body.contains("m=audio 9 RTP/AVP 0\r\na=inactive\r\n"), "{}", ok.body);
        assert_eq!(ok.tag("To"), Some("mark"));
        bench.tells(Told::Answered);
        bench.hears("ACK", 1, "", &[]);
        bench
    }

    /// A call whose REFER was accepted.
    fn waiting(brief: bool) -> Bench {
        let mut bench = Bench::talking(brief);
        bench.passes(2000 * MS);
        bench.tells(Told::Refers);
        let refer = bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0");
        assert_eq!(refer.header("Refer-To"), Some("<sip:front-desk@baton>"));
        bench.answers(&refer, 202);
        bench
    }

    /// Time passes from deadline to deadline.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while self.call.deadline() <= end && !self.call.is_over() {
            self.now = self.now.max(self.call.deadline());
            self.out.extend(self.call.tick(self.now));
        }
        self.now = end;
    }

    fn request(&self, method: &str, cseq: u32, body: &str, more: &[(&str, &str)]) -> Text {
        let mut text = Text::new(format!("{method} sip:trial@127.0.0.1:5090 SIP/2.0"))
            .with("Via", format!("SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-{cseq};rport"))
            .with("From", "<sip:+14155550142@baton>;tag=baton")
            .with("To", "<sip:+14155550100@baton>;tag=mark")
            .with("Call-ID", "one")
            .with("CSeq", format!("{cseq} {method}"));
        for (name, value) in more {
            text = text.with(name, *value);
        }
        if body.is_empty() { text } else { text.with_body(SDP, body) }
    }

    fn hears(&mut self, method: &str, cseq: u32, body: &str, more: &[(&str, &str)]) {
        let request = self.request(method, cseq, body, more);
        self.out.extend(self.call.hear(self.now, &request, BATON.parse().unwrap()));
    }

    /// A request inside the call, and what it is answered with.
    #[track_caller]
    fn asks(&mut self, method: &str, body: &str, status: &str) -> Text {
        self.cseq += 1;
        self.hears(method, self.cseq, body, &[("Event", "refer;id=1")]);
        self.says(&format!("SIP/2.0 {status}"))
    }

    #[track_caller]
    fn notifies(&mut self, status: u16, state: &str) {
        self.cseq += 1;
        let more = [("Event", "refer"), ("Subscription-State", state)];
        self.hears("NOTIFY", self.cseq, &format!("SIP/2.0 {status} Some Words"), &more);
        self.says("SIP/2.0 200 OK");
        self.tells(Told::Heard(status));
    }

    fn answers(&mut self, request: &Text, status: u16) {
        let answer = request.answered(status, "Words", None);
        self.out.extend(self.call.hear(self.now, &answer, BATON.parse().unwrap()));
    }

    #[track_caller]
    fn says(&mut self, start: &str) -> Text {
        match self.out.pop_front() {
            Some(Out::Send(to, text)) if text.start == start => {
                assert_eq!(to.to_string(), BATON);
                text
            }
            other => panic!("{start} awaited, and not {other:#?}"),
        }
    }

    #[track_caller]
    fn tells(&mut self, told: Told) {
        assert_eq!(self.out.pop_front(), Some(Out::Tell(told)));
    }

    #[track_caller]
    fn says_goodbye_and_ends(&mut self) {
        let bye = self.says("BYE sip:baton@198.51.100.1:5060 SIP/2.0");
        assert!(!self.call.is_over());
        self.answers(&bye, 200);
        self.is_over();
    }

    #[track_caller]
    fn is_over(&mut self) {
        assert_eq!(self.out.pop_front(), None);
        assert!(self.call.is_over(), "{:?}", self.call.state);
    }
}

#[test]
fn it_answers_refers_and_is_let_go() {
    let mut bench = Bench::waiting(false);
    bench.notifies(100, "active;expires=60");
    bench.notifies(180, "active;expires=60");
    bench.notifies(200, "terminated;reason=noresource");
    bench.asks("BYE", "", "200 OK");
    bench.is_over();
}

#[test]
fn after_a_failure_it_stays_some_seconds_and_says_goodbye() {
    let mut bench = Bench::waiting(false);
    bench.notifies(486, "terminated;reason=noresource");
    bench.passes(AGENT_STAYS - MS);
    assert_eq!(bench.out.pop_front(), None);
    bench.passes(MS);
    bench.says_goodbye_and_ends();
}

#[test]
fn a_refer_that_is_refused_is_a_failure_and_one_that_came_too_early_is_sent_again() {
    let mut bench = Bench::talking(false);
    bench.passes(2000 * MS);
    bench.tells(Told::Refers);
    let refer = bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0");
    bench.answers(&refer, 491);
    bench.tells(Told::Heard(491));
    bench.passes(AGENT_REFERS_AGAIN);
    bench.tells(Told::Refers);
    let again = bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0");
    assert_eq!((refer.cseq(), again.cseq()), (1, 2));
    bench.answers(&again, 403);
    bench.tells(Told::Heard(403));
    bench.passes(AGENT_STAYS);
    bench.says_goodbye_and_ends();
}

#[test]
fn where_the_result_is_unknown_it_stays() {
    for (status, state) in [(408, "terminated;reason=noresource"), (180, "terminated;reason=timeout")] {
        let mut bench = Bench::waiting(false);
        bench.notifies(status, state);
        bench.passes(Duration::from_secs(20 * 60));
        assert_eq!(bench.out.pop_front(), None);
        bench.passes(AGENT_CALL_AT_MOST);
        bench.says("BYE sip:baton@198.51.100.1:5060 SIP/2.0");
    }
}

#[test]
fn the_result_may_be_faster_than_the_answer() {
    let mut bench = Bench::talking(false);
    bench.passes(2000 * MS);
    bench.tells(Told::Refers);
    let refer = bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0");
    bench.notifies(503, "terminated;reason=noresource");
    bench.answers(&refer, 202);
    bench.passes(AGENT_STAYS);
    bench.says_goodbye_and_ends();
}

#[test]
fn it_speaks_with_the_target_where_the_destination_says_so() {
    for brief in [true, false] {
        let mut bench = Bench::waiting(brief);
        let ok = bench.asks("INVITE", &OFFER.replace("10.0.0.9", "10.0.0.7"), "200 OK");
        assert!(ok.body.contains("a=inactive"));
        bench.hears("ACK", bench.cseq, "", &[]);
        bench.passes(AGENT_BRIEFS);
        if brief {
            bench.says_goodbye_and_ends();
        } else {
            assert_eq!(bench.out.pop_front(), None);
        }
    }
}

#[test]
fn its_answer_is_sent_again_until_the_ack_and_no_ack_is_the_end() {
    let mut bench = Bench::ring(false, OFFER);
    bench.passes(AGENT_RINGS);
    let ok = bench.says("SIP/2.0 200 OK");
    bench.tells(Told::Answered);
    bench.passes(3500 * MS);
    for _ in 0..3 {
        assert_eq!(bench.says("SIP/2.0 200 OK"), ok);
    }
    assert_eq!(bench.out.pop_front(), None, "without an ACK nobody is referred");
    bench.passes(T1X64 - 3500 * MS);
    while bench.out.front() == Some(&Out::Send(BATON.parse().unwrap(), ok.clone())) {
        bench.out.pop_front();
    }
    bench.says_goodbye_and_ends();
}

#[test]
fn a_request_that_comes_again_gets_the_same_answer() {
    let mut bench = Bench::talking(false);
    let info = bench.asks("INFO", "", "200 OK");
    bench.hears("INFO", bench.cseq, "", &[]);
    assert_eq!(bench.says("SIP/2.0 200 OK"), info);
    for _ in 0..ANSWERS {
        bench.asks("OPTIONS", "", "200 OK");
    }
    assert_eq!(bench.call.answers.len(), ANSWERS);
}

#[test]
fn its_requests_are_sent_again_until_they_are_answered() {
    let mut bench = Bench::talking(false);
    bench.passes(2000 * MS + T1 * 3);
    bench.tells(Told::Refers);
    let refer = bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0");
    for _ in 0..2 {
        assert_eq!(bench.says("REFER sip:baton@198.51.100.1:5060 SIP/2.0"), refer);
    }
    bench.passes(T1X64);
    while bench.out.front() == Some(&Out::Send(BATON.parse().unwrap(), refer.clone())) {
        bench.out.pop_front();
    }
    bench.says("BYE sip:baton@198.51.100.1:5060 SIP/2.0");
    bench.out.clear();
    bench.passes(T1X64);
    bench.out.clear();
    bench.is_over();
}

#[test]
fn a_caller_who_gives_up_while_it_rings() {
    let mut bench = Bench::ring(false, OFFER);
    bench.hears("CANCEL", 1, "", &[]);
    bench.says("SIP/2.0 200 OK");
    bench.says("SIP/2.0 487 Request Terminated");
    bench.passes(T1);
    bench.says("SIP/2.0 487 Request Terminated");
    bench.hears("ACK", 1, "", &[]);
    bench.is_over();
}

#[test]
fn a_caller_without_an_offer_gets_one_and_one_that_cannot_be_answered_488() {
    let mut bench = Bench::ring(false, "");
    bench.passes(AGENT_RINGS);
    let ok = bench.says("SIP/2.0 200 OK");
    assert!(ok.body.contains("m=audio 9 RTP/AVP 0 101") && ok.body.contains("a=inactive"), "{}", ok.body);
    bench.tells(Told::Answered);
    bench.hears("ACK", 1, OFFER, &[]);
    bench.asks("UPDATE", &OFFER.replace("RTP/AVP", "RTP/SAVP"), "488 Not Acceptable Here");
    bench.asks("UPDATE", "", "200 OK");

    let mut bench = Bench::ring(false, &OFFER.replace("RTP/AVP", "RTP/SAVP"));
    bench.passes(AGENT_RINGS);
    bench.says("SIP/2.0 488 Not Acceptable Here");
    bench.hears("ACK", 1, "", &[]);
    bench.is_over();
}

#[test]
fn what_it_does_not_take() {
    let mut bench = Bench::talking(false);
    for (method, status) in [
        ("REFER", "405 Method Not Allowed"),
        ("PRACK", "405 Method Not Allowed"),
        ("DANCE", "501 Not Implemented"),
    ] {
        bench.asks(method, "", status);
    }
    bench.cseq += 1;
    bench.hears("NOTIFY", bench.cseq, "", &[("Event", "dialog")]);
    bench.says("SIP/2.0 489 Bad Event");
    bench.hears("INFO", bench.cseq, "", &[]);
    assert!(matches!(bench.out.pop_front(), Some(Out::Tell(Told::Fault(_)))), "an old number");
    bench.says("SIP/2.0 481 Call/Transaction Does Not Exist");
}

#[test]
fn two_goodbyes_cross() {
    let mut bench = Bench::waiting(false);
    bench.notifies(480, "terminated");
    bench.passes(AGENT_STAYS);
    bench.says("BYE sip:baton@198.51.100.1:5060 SIP/2.0");
    bench.asks("BYE", "", "200 OK");
    bench.is_over();
}
