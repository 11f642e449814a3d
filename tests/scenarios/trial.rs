//! A test of a destination: it is looked up, asked what it can, called, and let go at once.

use crate::common::config::Config;
use crate::common::digest::assert_right;
use crate::common::message::Message;
use crate::common::peer::{Leg, Peer, reply_text, sdp};
use crate::common::{Command, Name, Refusal, Reply, World, ms, s};
use baton::call::event::EventKind;
use baton::call::test_call::{Outcome, Said, TestCallRequest, TestCallView};
use baton::rehearsal::Tested;
use baton::routing::explain::Cause;
use std::rc::Rc;
use std::sync::Arc;

const DESK: &str = "10.0.0.30:5060";
const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"
[destination.named]
route = "sip:desk@desk.example.com"
[destination.shown]
route = "+14155550130"
caller_id = "+14155550100"
"#;

struct Bench {
    world: World,
    desk: Peer,
    id: u64,
}

impl Bench {
    /// Nothing is tested yet.
    fn new() -> Bench {
        let world = World::with(&Config::default().allow_test_calls().destination(TABLE));
        let desk = world.peer("desk", DESK);
        Bench { world, desk, id: 0 }
    }

    fn ask(&mut self, destination: &str, request: TestCallRequest) {
        self.id = self.world.ask(test(destination, request));
    }

    /// Called without a question.
    #[track_caller]
    fn calling(destination: &str) -> (Bench, Leg) {
        let mut bench = Bench::new();
        bench.ask(destination, TestCallRequest { options: false, ..TestCallRequest::default() });
        let leg = bench.desk.expect_call();
        (bench, leg)
    }

    /// What was found, in words too; the engine has forgotten it.
    #[track_caller]
    fn found(&self) -> Tested {
        self.world.settle();
        let Some(Reply::Tested(found)) = self.world.reply(self.id) else { panic!("the test is not over") };
        let told =
            self.world.events().into_iter().filter(|what| matches!(what, EventKind::Tested(_))).count();
        assert_eq!(told, 1, "it is told once");
        Tested::of(Arc::unwrap_or_clone(found))
    }

    #[track_caller]
    fn ends(&self, outcome: Outcome) -> Tested {
        let tested = self.found();
        assert_eq!(tested.found.outcome, outcome, "{tested:#?}");
        self.world.assert_empty();
        tested
    }
}

fn test(destination: &str, request: TestCallRequest) -> Command {
    Command::Test {
        environment: "production".to_owned(),
        destination: destination.to_owned(),
        request: Box::new(request),
    }
}

/// The messages of a test as `> INVITE` and `< 180`.
fn spoken(found: &TestCallView) -> Vec<String> {
    let word = |start: &str| match start.strip_prefix("SIP/2.0 ") {
        Some(status) => status[..3].to_owned(),
        None => start.split(' ').next().unwrap_or_default().to_owned(),
    };
    let arrow = |from: &str| if from == "baton" { '>' } else { '<' };
    found.messages.iter().map(|m| format!("{} {}", arrow(&m.from), word(&m.start))).collect()
}

fn answers_options(desk: &Peer, status: u16, headers: &[(&str, &str)]) -> Rc<Message> {
    let options = desk.expect("OPTIONS");
    desk.send(&reply_text(&options, status, "o", headers, ""));
    options
}

#[test]
fn it_is_asked_called_and_taken_back_when_it_rings() {
    let mut bench = Bench::new();
    bench.ask("desk", TestCallRequest::default());
    let abilities = [("Allow", "INVITE, ACK, refer, BYE"), ("k", "timer, replaces")];
    let options = answers_options(&bench.desk, 200, &abilities);
    assert_eq!((options.uri(), options.header("Max-Forwards")), ("sip:desk@10.0.0.30", "70"));
    let leg = bench.desk.expect_call();
    let invite = leg.invite();
    assert!(
        invite.body.contains("m=audio 9 RTP/AVP 0\r\n") && invite.body.contains("a=inactive"),
        "{invite}"
    );
    assert!(invite.header("From").contains("<sip:baton@192.0.2.10>"), "{invite}");
    assert_ne!(invite.call_id(), options.call_id());
    leg.reply(&invite, 180);
    let cancel = leg.expect("CANCEL");
    assert_eq!(cancel.header("Reason"), "SIP;cause=487;text=\"Test call\"");
    leg.reply(&cancel, 200);
    leg.reply(&invite, 487);
    leg.expect("ACK");
    let tested = bench.ends(Outcome::Rings);
    let said = tested.found.options.clone().expect("it was asked");
    assert_eq!((said.refer, said.replaces), (Some(true), Some(true)));
    assert_eq!(tested.found.addresses, ["udp:10.0.0.30:5060"]);
    assert_eq!(
        spoken(&tested.found),
        ["> OPTIONS", "< 200", "> INVITE", "< 180", "> CANCEL", "< 200", "< 487", "> ACK"]
    );
    assert!(tested.verdict.starts_with("It rings") && tested.next_step.is_empty(), "{tested:#?}");
}

#[test]
fn it_is_let_go_when_it_answers() {
    let (bench, leg) = Bench::calling("desk");
    leg.answer(&leg.invite(), &sdp("desk", 1));
    leg.expect("ACK");
    leg.expect_bye();
    let tested = bench.ends(Outcome::Answers);
    assert_eq!(spoken(&tested.found), ["> INVITE", "< 200", "> ACK", "> BYE", "< 200"]);
    assert!(tested.found.call.expect("it was called").taken && tested.abilities.is_none());
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let (bench, leg) = Bench::calling("desk");
    let invite = leg.invite();
    leg.reply(&invite, 180);
    let cancel = leg.expect("CANCEL");
    leg.answer(&invite, &sdp("desk", 1));
    leg.reply(&cancel, 200);
    leg.expect("ACK");
    leg.expect_bye();
    let tested = bench.ends(Outcome::Rings);
    assert!(tested.verdict.contains("Somebody answered in that moment"), "{}", tested.verdict);
}

#[test]
fn what_it_answers_instead_is_told_with_its_cause() {
    for (status, cause, word) in [
        (486, Cause::Busy, "486 Busy Here"),
        (603, Cause::Busy, "603 Decline"),
        (404, Cause::Unreachable, "404 Not Found"),
        (403, Cause::Refused, "403 Forbidden"),
        (302, Cause::Failed, "302 Moved Temporarily"),
    ] {
        let (bench, leg) = Bench::calling("desk");
        leg.reply(&leg.invite(), status);
        leg.expect("ACK");
        let tested = bench.ends(Outcome::Refused(cause));
        assert!(tested.verdict.contains(word) && !tested.next_step.is_empty(), "{tested:#?}");
        assert_eq!(spoken(&tested.found), ["> INVITE", &format!("< {status}"), "> ACK"]);
        let json = serde_json::to_value(&tested).expect("JSON");
        assert_eq!(json["outcome"], cause.name());
        assert_eq!(serde_json::from_value::<Tested>(json).expect("JSON"), tested);
    }
}

#[test]
fn silence_to_the_question_says_nothing_of_the_destination() {
    let mut bench = Bench::new();
    bench.ask("desk", TestCallRequest::default());
    bench.desk.expect("OPTIONS");
    let leg = bench.desk.expect_call_within(s(4));
    leg.answer(&leg.invite(), &sdp("desk", 1));
    leg.expect("ACK");
    leg.expect_bye();
    let tested = bench.ends(Outcome::Answers);
    assert_eq!(tested.found.options, Some(Said::default()));
    assert!(tested.abilities.as_deref().is_some_and(|words| words.contains("proves nothing")), "{tested:#?}");
    assert!(tested.found.messages.iter().any(|message| message.retransmission), "it was asked again");
}

#[test]
fn an_answer_to_the_question_counts_as_long_as_the_call_is_on() {
    let mut bench = Bench::new();
    bench.ask("desk", TestCallRequest::default());
    let options = bench.desk.expect("OPTIONS");
    let leg = bench.desk.expect_call_within(s(4));
    bench.desk.send(&reply_text(&options, 200, "o", &[("Allow", "INVITE")], ""));
    bench.world.settle();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let tested = bench.ends(Outcome::Refused(Cause::Busy));
    assert_eq!(tested.found.options.and_then(|said| said.refer), Some(false));
}

#[test]
fn what_it_does_not_say_of_itself_is_not_claimed() {
    for (headers, expected) in [
        (&[][..], (None, None)),
        (&[("Allow", "INVITE, BYE")][..], (Some(false), None)),
        (&[("Supported", "timer")][..], (None, Some(false))),
    ] {
        let mut bench = Bench::new();
        bench.ask("desk", TestCallRequest { call: false, ..TestCallRequest::default() });
        answers_options(&bench.desk, 405, headers);
        let tested = bench.ends(Outcome::Found);
        let said = tested.found.options.expect("it was asked");
        assert_eq!((said.refer, said.replaces), expected);
        assert_eq!(said.answer.map(|answer| answer.status), Some(405));
        assert_eq!(tested.found.call, None, "nobody was called");
    }
}

#[test]
fn nothing_at_all_comes_back() {
    let (bench, leg) = Bench::calling("desk");
    bench.world.advance(s(20));
    let tested = bench.found();
    assert_eq!(tested.found.outcome, Outcome::Silent);
    assert!(tested.verdict.contains("Nobody knows whether anything arrived"), "{}", tested.verdict);
    // It had arrived, and somebody picks up now: nobody is left hanging.
    leg.answer(&leg.invite(), &sdp("desk", 1));
    leg.expect("ACK");
    leg.expect_bye();
    bench.world.assert_empty();
}

#[test]
fn it_neither_rings_nor_answers() {
    for (status, outcome, words) in
        [(100, Outcome::NoRing, "100 Trying"), (183, Outcome::Progress, "announcement")]
    {
        let (bench, leg) = Bench::calling("desk");
        let invite = leg.invite();
        leg.reply(&invite, status);
        let cancel = leg.expect_within("CANCEL", s(21));
        leg.reply(&cancel, 200);
        leg.reply(&invite, 487);
        leg.expect("ACK");
        let tested = bench.ends(outcome);
        assert!(tested.verdict.contains(words), "{}", tested.verdict);
        assert!(!outcome.is_good());
    }
}

#[test]
fn nobody_confirms_the_cancel() {
    let (bench, leg) = Bench::calling("desk");
    leg.reply(&leg.invite(), 180);
    leg.expect("CANCEL");
    bench.world.advance(s(7));
    let tested = bench.ends(Outcome::Rings);
    assert!(
        tested.verdict.contains("not confirmed") && tested.next_step.contains("rings still"),
        "{tested:#?}"
    );
}

#[test]
fn its_challenge_is_answered_with_the_credentials_of_its_trunk() {
    let mut bench = Bench::new();
    let pbx = bench.world.peer("pbx", "10.0.0.5:5060");
    let (caller, trunk) = (Some("+14155550111".to_owned()), Some("pbx".to_owned()));
    bench.ask("shown", TestCallRequest { caller, trunk, ..TestCallRequest::default() });
    let challenge = [("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5")];
    answers_options(&pbx, 401, &challenge);
    let again = answers_options(&pbx, 200, &[]);
    assert_right(again.header("Authorization"), "OPTIONS", "baton", "s3cret", "pbx", "n1");
    let leg = pbx.expect_call();
    assert!(leg.invite().header("From").contains("<sip:+14155550100@"), "the destination says whom it sees");
    leg.reply_with(&leg.invite(), 401, &challenge, "");
    leg.expect("ACK");
    let invite = leg.expect("INVITE");
    assert_right(invite.header("Authorization"), "INVITE", "baton", "s3cret", "pbx", "n1");
    leg.reply(&invite, 486);
    leg.expect("ACK");
    let tested = bench.ends(Outcome::Refused(Cause::Busy));
    assert_eq!(tested.found.trunk.as_deref(), Some("pbx"));
    assert_eq!(tested.found.uri, "sip:+14155550130@10.0.0.5:5060;transport=udp");
    assert_eq!(tested.found.options.and_then(|said| said.answer).map(|answer| answer.status), Some(200));
}

#[test]
fn a_name_without_an_address() {
    for name in [Name::Failing(ms(20)), Name::Failing(s(60))] {
        let mut bench = Bench::new();
        bench.world.name("desk.example.com", name);
        bench.ask("named", TestCallRequest::default());
        bench.world.advance(s(11));
        let tested = bench.found();
        assert_eq!(tested.found.outcome, Outcome::Unresolved);
        assert!(
            tested.found.messages.is_empty() && tested.verdict.contains("Nothing was sent"),
            "{tested:#?}"
        );
        bench.world.advance(s(60));
        bench.world.assert_empty();
    }
}

#[test]
fn the_network_gives_it_back() {
    let mut bench = Bench::new();
    bench.desk.is_dead(true);
    bench.ask("desk", TestCallRequest::default());
    bench.world.advance(ms(1));
    let tested = bench.ends(Outcome::Refused(Cause::Unreachable));
    assert!(tested.verdict.contains("could not be sent"), "{}", tested.verdict);
}

#[test]
fn it_hangs_up_itself_and_asks_for_things_meanwhile() {
    let (bench, leg) = Bench::calling("desk");
    let ok = leg.answer(&leg.invite(), &sdp("desk", 1));
    leg.expect("ACK");
    let bye = leg.expect("BYE");
    leg.hang_up();
    leg.reply(&bye, 200);
    drop(ok);
    let tested = bench.ends(Outcome::Answers);
    assert!(tested.found.call.expect("it was called").ended);
}

#[test]
fn one_test_of_a_destination_at_a_time() {
    let (mut bench, leg) = Bench::calling("desk");
    let first = bench.id;
    let refused = |reply| match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let again = refused(bench.world.command(test("desk", TestCallRequest::default())));
    assert_eq!(again, Refusal::TestRunning("desk".to_owned()));
    // Another one may run beside it.
    let trunk = Some("pbx".to_owned());
    bench.ask("shown", TestCallRequest { call: false, trunk, ..TestCallRequest::default() });
    let pbx = bench.world.peer("pbx", "10.0.0.5:5060");
    answers_options(&pbx, 200, &[]);
    bench.world.settle();
    assert!(
        matches!(bench.world.reply(bench.id), Some(Reply::Tested(found)) if found.destination == "shown")
    );
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    bench.world.settle();
    assert!(matches!(bench.world.reply(first), Some(Reply::Tested(found)) if found.destination == "desk"));
    bench.world.assert_empty();
}

#[test]
fn what_may_not_be_tested() {
    let world = World::with(&Config::default().destination(TABLE));
    let refused = |world: &World, command: Command| match world.command(command) {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let all = TestCallRequest::default;
    let told = refused(&world, test("desk", all()));
    assert_eq!(told, Refusal::TestsNotAllowed("production".to_owned()));
    assert!(told.to_string().contains("set `allow_test_calls = true` in [environment.production]"), "{told}");
    world.assert_empty();

    let world = World::with(&Config::default().allow_test_calls().destination(TABLE));
    let near = refused(&world, test("dask", all())).to_string();
    assert!(near.contains("did you mean `desk`?"), "{near}");
    let invalid = |request: TestCallRequest, destination: &str, field: &str| match refused(
        &world,
        test(destination, request),
    ) {
        Refusal::Invalid(fields) => assert_eq!(fields[0].field, field, "{fields:?}"),
        other => panic!("{other:?}"),
    };
    invalid(all(), "back", "destination");
    invalid(TestCallRequest { options: false, call: false, ..all() }, "desk", "call");
    invalid(TestCallRequest { trunk: Some("pbxx".to_owned()), ..all() }, "desk", "trunk");
    invalid(all(), "shown", "trunk");
    invalid(TestCallRequest { caller: Some("a\r\nX: y".to_owned()), ..all() }, "desk", "caller");
    world.drain(s(1));
    assert_eq!(refused(&world, test("desk", all())), Refusal::Closing);
    world.assert_empty();
}

#[test]
fn a_drain_takes_the_call_back() {
    let (bench, leg) = Bench::calling("desk");
    let invite = leg.invite();
    leg.reply(&invite, 183);
    bench.world.settle();
    bench.world.drain(s(25));
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&invite, 487);
    leg.expect("ACK");
    bench.ends(Outcome::Aborted);
}

#[test]
fn it_goes_on_beside_calls_and_over_a_lossy_link() {
    use crate::common::Link;
    use crate::common::peer::{AGENT, NUMBER, PBX, establish};
    let mut bench = Bench::new();
    let (pbx, agent) = (bench.world.peer("pbx", PBX), bench.world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let agent_leg = establish(&call, &agent);
    bench.world.link(Link { delay: ms(20), ..Link::default() }, Link { delay: ms(20), ..Link::default() });
    bench.ask("desk", TestCallRequest { options: false, ..TestCallRequest::default() });
    let leg = bench.desk.expect_call();
    let invite = leg.invite();
    leg.reply(&invite, 180);
    let cancel = leg.expect("CANCEL");
    call.hang_up();
    agent_leg.expect_bye();
    leg.reply(&invite, 487);
    leg.reply(&cancel, 200);
    leg.expect("ACK");
    bench.world.advance(ms(50));
    bench.ends(Outcome::Rings);
}
