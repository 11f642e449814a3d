//! Habits of peers, and corners of the RFCs, that a call has to go on with.

use crate::common::config::Config;
use crate::common::message::without_origin;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, Talking, reply_text, sdp, sdp_with};
use crate::common::{HandoffRequest, World, ms, s};
use baton::call::event::EventKind;

const DESK: &str = "10.0.0.30:5060";
const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"

[destination.taken-over]
method = "attended"
route = "sip:desk@10.0.0.30"
"#;
const RELIABLE: (&str, &str) = ("Require", "100rel");

fn media(who: &str, version: u64, port: u16) -> String {
    sdp_with(who, version, &format!("m=audio {port} RTP/AVP 0 101\r\na=sendrecv\r\n"))
}

/// The agent has answered and has its ACK; the caller has the 200.
fn unacknowledged() -> (World, Peer, Leg, Leg, std::rc::Rc<crate::common::message::Message>) {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    (world, pbx, call, leg, ok)
}

#[test]
fn a_reinvite_of_the_agent_before_the_callers_ack_waits_for_it() {
    let (world, _pbx, call, leg, ok) = unacknowledged();
    let moved = media("agent", 2, 4400);
    leg.reinvite(&moved);
    leg.peer.expect_silence(ms(300));
    call.ack(&ok);
    let passed = call.expect("INVITE");
    assert_eq!(without_origin(passed.sdp()), without_origin(&moved));
    call.answer(&passed, &sdp("pbx", 1));
    call.expect("ACK");
    let answer = leg.expect(200);
    leg.ack(&answer);
    world.settle();
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_reinvite_that_waits_for_an_ack_may_be_taken_back() {
    let (world, _pbx, call, leg, ok) = unacknowledged();
    let waiting = leg.reinvite(&media("agent", 2, 4400));
    world.settle();
    leg.cancel_of(&waiting, &[]);
    leg.expect(200);
    let gone = leg.expect(487);
    leg.ack(&gone);
    call.ack(&ok);
    world.advance(s(2));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_reinvite_that_waits_for_an_ack_that_never_comes_is_answered() {
    let (world, _pbx, call, leg, _ok) = unacknowledged();
    leg.reinvite(&media("agent", 2, 4400));
    let refused = leg.peer.expect_within(504, s(33));
    leg.ack(&refused);
    leg.expect_bye_within(s(40));
    call.expect_within("BYE", s(40));
    world.finish();
}

#[test]
fn who_referred_the_caller_reaches_the_target() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let desk = t.world.peer("desk", DESK);
    let by = "<sip:booking@agents.example.com>;cid=\"x\"";
    t.leg.refer("sip:desk@baton", &[("Referred-By", by)]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let target = desk.expect_call();
    assert_eq!(target.invite().header("Referred-By"), "<sip:booking@agents.example.com>");
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.leg.expect_notify_within("SIP/2.0 486 Busy Here", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_invite_expires() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).header("Expires", "2").send();
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    let gone = call.expect_within(487, s(3));
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    assert!(world.now().0 >= 2_000_000);
    world.assert_empty();
}

#[test]
fn an_answered_invite_does_not_expire() {
    let t = Talking::by(&Config::default(), |invite| invite.header("Expires", "2"));
    t.world.advance(s(10));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_prack_with_an_offer_is_answered_and_the_agent_hears_of_it() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.calling(NUMBER).header(RELIABLE.0, RELIABLE.1).send();
    let leg = agent.expect_call();
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let early = call.expect(183);
    call.learn(&early);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    let moved = media("pbx", 2, 4600);
    call.request("PRACK", &[("RAck", &rack)], "application/sdp", &moved);
    let ok = call.expect(200);
    assert_eq!(ok.cseq().1, "PRACK");
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)), "its answer is what stands");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    let told = leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    leg.answer(&told, &sdp("agent", 1));
    leg.expect("ACK");
    world.settle();
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_keepalive_of_line_ends_is_no_malformed_message() {
    let world = World::with(&Config::default());
    for keepalive in [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b""] {
        world.inject(PBX, keepalive);
    }
    world.settle();
    let counters = world.counters();
    assert_eq!(counters.messages_malformed, 0);
    world.inject(PBX, b"hello\r\n\r\n");
    world.settle();
    assert_eq!(world.counters().messages_malformed, 1);
    world.assert_empty();
}

#[test]
fn a_repeated_18x_is_told_once() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    for _ in 0..5 {
        target.reply(&target.invite(), 180);
        t.world.advance(ms(100));
    }
    target.reply(&target.invite(), 183);
    let ringing = |status| {
        let told = |what: &EventKind| matches!(what, EventKind::HandoffProgress { status: Some(one), .. } if *one == status);
        t.world.events().iter().filter(|what| told(what)).count()
    };
    assert_eq!((ringing(180), ringing(183)), (1, 1));
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_local_number_with_a_global_context_is_a_global_number() {
    for to in ["sip:4155550100;phone-context=+1@192.0.2.10;user=phone", "tel:4155550100;phone-context=+1"] {
        let world = World::with(&Config::default());
        let carrier = world.peer("carrier", "203.0.113.7:5060");
        let agent = world.peer("agent", AGENT);
        let call = carrier.calling(NUMBER).uri(to).send();
        let leg = agent.expect_call();
        assert_eq!(world.call().called_number, NUMBER, "{to}");
        leg.reply(&leg.invite(), 180);
        call.expect(180);
        call.cancels(&leg);
        world.assert_empty();
    }
}

#[test]
fn an_invite_with_replaces_that_is_not_required_is_told() {
    let t = Talking::by(&Config::default(), |invite| {
        invite.header("Replaces", "other@elsewhere;to-tag=1;from-tag=2")
    });
    let told =
        |what: &EventKind| matches!(what, EventKind::Ignored { what, .. } if what.contains("Replaces"));
    assert_eq!(t.world.events().iter().filter(|what| told(what)).count(), 1);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_2xx_with_a_multipart_body_has_its_own_hint() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    let body = format!("--x\r\nContent-Type: application/sdp\r\n\r\n{}--x--\r\n", sdp("desk", 1));
    let headers = [("Content-Type", "multipart/mixed;boundary=x"), ("Contact", "<sip:desk@10.0.0.30>")];
    let head = reply_text(&target.invite(), 200, "multi", &headers, "");
    let length = format!("Content-Length: {}", body.len());
    desk.send(&(head.replace("Content-Length: 0", &length) + &body));
    target.expect("ACK");
    target.expect_bye();
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    let hinted = |what: &EventKind| matches!(what, EventKind::AttemptFailed { hint, .. } if hint.contains("multipart"));
    assert_eq!(t.world.events().iter().filter(|what| hinted(what)).count(), 1);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn options_of_a_trunk_keep_nothing() {
    let world = World::with(&Config::default());
    let pbx = world.peer("pbx", PBX);
    let ping = pbx.ping();
    let one = pbx.expect(200);
    assert!(world.is_empty(), "nothing is kept of it");
    // A copy gets the same answer, To tag and all.
    pbx.send(&ping.text);
    world.settle();
    assert_eq!(pbx.retransmissions(), 1, "{one}");
    assert!(world.is_empty());
    world.assert_empty();
}

#[test]
fn a_new_call_of_another_target_is_addressed_to_it() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    assert_eq!(target.invite().header("To"), "<sip:desk@10.0.0.30>");
    assert_eq!(target.invite().find("Diversion"), None);
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_number_is_addressed_as_it_is_called() {
    let number = "[destination.number]\nmethod = \"invite\"\nroute = \"+14155550130\"\n";
    let t = Talking::with(&Config::default().destination(number));
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    let invite = target.invite();
    assert_eq!(invite.header("To"), format!("<{}>", invite.uri()));
    target.reply(&invite, 486);
    target.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A call whose caller holds by an address where nobody is.
fn held() -> (Talking, String) {
    let t = Talking::with(&Config::default().destination(TABLE));
    let nowhere = sdp("pbx", 2).replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    assert!(nowhere.contains("c=IN IP4 0.0.0.0"), "{nowhere}");
    t.call.reinvite(&nowhere);
    let hold = t.leg.expect("INVITE");
    assert_eq!(without_origin(hold.sdp()), without_origin(&nowhere));
    t.leg.answer(&hold, &sdp("agent", 1));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.world.settle();
    (t, nowhere)
}

#[test]
fn a_caller_who_holds_by_an_address_where_nobody_is_is_asked_for_another() {
    let (t, _) = held();
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let asked = t.call.expect("INVITE");
    assert!(!asked.has_sdp(), "an offer is asked for");
    let real = media("pbx", 3, 4700);
    t.call.answer(&asked, &real);
    let target = desk.expect_call();
    assert_eq!(without_origin(target.invite().sdp()), without_origin(&real));
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_is_never_offered_an_address_where_nobody_is() {
    let (t, nowhere) = held();
    t.world.handoff("desk");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &nowhere);
    t.call.expect("ACK");
    let back = t.call.expect("INVITE");
    t.call.answer(&back, &nowhere);
    t.call.expect("ACK");
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (1, Some("refused")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_attended_transfer_of_a_caller_who_holds_so_does_not_say_that_anybody_was_asked() {
    let (t, _) = held();
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("taken-over");
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (1, Some("refused")));
    let told = t.world.lines("handoff.attempt_failed");
    assert!(told[0].contains("Method `invite` asks that side for another address first"), "{told:?}");
    desk.expect_silence(s(1));
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_diverted_call_says_where_it_was_for() {
    let number = "[destination.number]\nmethod = \"invite\"\nroute = \"+14155550130\"\n";
    for before in [false, true] {
        let config = Config::default().trunk_key("diversion = true").destination(number);
        let t = Talking::by(&config, |invite| match before {
            false => invite,
            true => invite
                .header("Diversion", "<sip:+14155550111@a.example>;reason=no-answer")
                .header("History-Info", "<sip:+14155550111@a.example>;index=1, <sip:x@b>;index=1.2"),
        });
        t.world.handoff("number");
        let target = t.pbx.expect_call();
        let invite = target.invite();
        let ours = "<sip:+14155550100@192.0.2.10>";
        let to = invite.uri();
        let (diversion, history) = match before {
            false => (format!("{ours};reason=deflection"), format!("{ours};index=1, <{to}>;index=1.1;mp=1")),
            true => (
                format!("{ours};reason=deflection, <sip:+14155550111@a.example>;reason=no-answer"),
                format!(
                    "<sip:+14155550111@a.example>;index=1, <sip:x@b>;index=1.2, {ours};index=1.2.1, <{to}>;index=1.2.1.1;mp=1.2.1"
                ),
            ),
        };
        assert_eq!(invite.all("Diversion").collect::<Vec<_>>(), [diversion]);
        assert_eq!(invite.all("History-Info").collect::<Vec<_>>(), [history]);
        target.reply(&invite, 486);
        target.expect("ACK");
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

/// What `X-Caller-ID` says by now.
fn caller_id(t: &Talking) -> String {
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    let told = refer.header("X-Caller-ID").to_owned();
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    told
}

#[test]
fn of_several_asserted_identities_the_number_is_the_caller() {
    let t = Talking::by(&Config::default(), |invite| {
        invite
            .header("P-Asserted-Identity", "<sip:ada@pbx.example.com>")
            .header("P-Asserted-Identity", "<tel:+14155550188>")
    });
    assert_eq!(t.world.call().caller_id.as_deref(), Some("+14155550188"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_identity_that_is_asserted_later_reaches_the_agent_and_the_variable() {
    const ALLOW: (&str, &str) = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE");
    let asserted = |number: &str| format!("\"Grace\" <sip:{number}@pbx.example.com>");
    for updates in [false, true] {
        let world = World::with(&Config::default());
        let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
        agent.answers_options(200);
        let call = pbx.calling(NUMBER).header("P-Asserted-Identity", &asserted("+14155550199")).send();
        let leg = agent.expect_call();
        let allow = [ALLOW];
        leg.reply_with(&leg.invite(), 200, if updates { &allow } else { &[] }, &sdp("agent", 1));
        leg.expect("ACK");
        let ok = call.expect(200);
        call.ack(&ok);
        world.settle();
        let t = Talking { world, pbx, agent, call, leg };
        // A re-INVITE that changes nothing else.
        let pai = asserted("+14155550177");
        t.call.request("INVITE", &[("P-Asserted-Identity", &pai)], "application/sdp", &sdp("pbx", 1));
        let told = t.leg.expect("INVITE");
        assert_eq!(told.header("P-Asserted-Identity"), pai);
        t.leg.answer(&told, &sdp("agent", 1));
        t.leg.expect("ACK");
        let ok = t.call.expect(200);
        t.call.ack(&ok);
        assert_eq!(caller_id(&t), "+14155550177");
        // The same again is no news.
        t.call.request("INVITE", &[("P-Asserted-Identity", &pai)], "application/sdp", &sdp("pbx", 1));
        let ok = t.call.expect(200);
        t.call.ack(&ok);
        // An UPDATE that has nothing else to say.
        let pai = asserted("+14155550166");
        t.call.request("UPDATE", &[("P-Asserted-Identity", &pai)], "", "");
        let told = t.leg.expect(if updates { "UPDATE" } else { "INVITE" });
        assert_eq!(told.header("P-Asserted-Identity"), pai);
        assert_eq!(told.has_sdp(), !updates);
        t.leg.reply_with(&told, 200, &[], if updates { "" } else { &AGENT_SDP });
        if !updates {
            t.leg.expect("ACK");
        }
        assert_eq!(t.call.expect(200).body, "", "nobody has offered anything");
        assert_eq!(caller_id(&t), "+14155550166");
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

static AGENT_SDP: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| sdp("agent", 1));

#[test]
fn an_empty_value_where_a_token_or_uri_needs_one_leaves_its_header_out() {
    let all = r#"
[destination.all]
route = "+14155550124"
[destination.all.headers]
User-to-User = "${empty};encoding=hex"
X-Who        = "<sip:${empty}@pbx.example.com>"
X-Quoted     = "\"${empty}\";x"
X-Text       = "account ${empty}"
"#;
    let t = Talking::with(&Config::default().destination(all));
    let variables = [("empty".to_owned(), String::new())].into();
    let request = HandoffRequest { destination: Some("all".into()), variables, ..HandoffRequest::default() };
    t.world.handoff_with(request);
    let refer = t.call.expect("REFER");
    assert_eq!((refer.find("User-to-User"), refer.find("X-Who")), (None, None), "{refer}");
    assert_eq!((refer.header("X-Quoted"), refer.header("X-Text")), ("\"\";x", "account"));
    let told = |what: &&EventKind| matches!(what, EventKind::Undefined { why, .. } if why.contains("empty"));
    assert_eq!(t.world.events().iter().filter(told).count(), 2);
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// 0 seconds would have the INVITE over before anybody could be called. Who writes that means that it never is.
#[test]
fn an_invite_that_expires_at_once_is_a_call_like_any_other() {
    let t = Talking::by(&Config::default(), |invite| invite.header("Expires", "0"));
    t.world.advance(s(10));
    t.caller_hangs_up();
    t.world.assert_empty();
    // It rings for as long as the agent lets it ring.
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).header("Expires", "0").send();
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.advance(s(15));
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}
