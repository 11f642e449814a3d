//! The races of a two-leg call: each ends with no leg and no timer.

use crate::common::config::Config;
use crate::common::message::without_origin;
use crate::common::peer::{AGENT, NUMBER, PBX, Talking, sdp, sdp_with};
use crate::common::{Link, World, ms, s};

/// PBX and agent with an INVITE on its way to the agent.
fn ringing() -> (World, crate::common::peer::Leg, crate::common::peer::Leg) {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    (world, call, leg)
}

#[test]
fn a_cancel_crosses_the_agents_200() {
    let (world, call, leg) = ringing();
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.reply(&cancel, 200);
    leg.expect("ACK");
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_cancel_crosses_our_200_to_the_caller() {
    let (world, call, leg) = ringing();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    call.cancel();
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.method(), "INVITE");
    assert_eq!(call.expect(200).method(), "CANCEL");
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_cancel_crosses_the_agents_486() {
    let (world, call, leg) = ringing();
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    leg.reply(&leg.invite(), 486);
    leg.reply(&cancel, 200);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn a_cancel_whose_487_never_comes() {
    let (world, call, leg) = ringing();
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    world.assert_empty();
}

#[test]
fn two_forks_answer_and_the_second_gets_ack_and_bye() {
    let (world, call, leg) = ringing();
    let other = leg.fork();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    other.answer(&other.invite(), &sdp("other", 1));
    let ack = other.expect("ACK");
    let bye = other.expect_bye();
    assert_eq!(ack.to_tag(), bye.to_tag());
    assert_ne!(ack.to_tag(), "");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_second_fork_that_answers_again_and_again_gets_one_bye() {
    let (world, call, leg) = ringing();
    let other = leg.fork();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    let answer = other.answer(&other.invite(), &sdp("other", 1));
    other.expect("ACK");
    let bye = other.expect("BYE");
    // Its ACK is lost, and so is the BYE at first.
    other.again(&answer);
    world.advance(ms(100));
    assert_eq!(leg.peer.retransmissions(), 1, "the same ACK");
    world.assert_expected();
    other.reply(&bye, 200);
    other.again(&answer);
    world.advance(ms(600));
    assert_eq!(leg.peer.retransmissions(), 2);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn both_sides_hang_up_at_once() {
    let t = Talking::new();
    t.call.bye();
    t.leg.bye();
    t.call.expect(200);
    let bye = t.leg.expect("BYE");
    t.leg.expect(200);
    t.leg.reply(&bye, 481);
    t.world.assert_empty();
}

#[test]
fn a_bye_before_the_ack() {
    let (world, call, leg) = ringing();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    // The caller's BYE overtakes its ACK. (§15: the caller may send it on a dialog that it has confirmed.)
    call.hang_up();
    leg.expect_bye();
    call.ack(&ok);
    world.assert_empty();
}

#[test]
fn the_agent_hangs_up_before_the_callers_ack() {
    let (world, call, leg) = ringing();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    leg.hang_up();
    // Baton's BYE waits for the ACK of its own 200.
    world.advance(ms(100));
    call.ack(&ok);
    call.expect_bye();
    world.assert_empty();
}

#[test]
fn a_bye_that_nobody_answers_is_given_up() {
    let t = Talking::new();
    t.call.hang_up();
    t.leg.expect("BYE");
    t.world.advance(s(33));
    assert_eq!(t.agent.retransmissions(), 10, "at T1, 2*T1, 4*T1 and then every 4 s");
    t.world.assert_empty();
}

#[test]
fn reinvites_from_both_sides_cross() {
    let t = Talking::new();
    t.call.reinvite(&sdp("pbx", 2));
    t.leg.reinvite(&sdp("agent", 2));
    let to_agent = t.leg.expect("INVITE");
    let glare = t.leg.expect(491);
    t.leg.ack(&glare);
    t.leg.reply(&to_agent, 491);
    t.leg.expect("ACK");
    let no = t.call.expect(491);
    t.call.ack(&no);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_update_crosses_a_reinvite() {
    let t = Talking::new();
    t.call.reinvite(&sdp("pbx", 2));
    let re = t.leg.expect("INVITE");
    t.leg.request("UPDATE", &[], "application/sdp", &sdp("agent", 2));
    t.leg.expect(491);
    t.leg.answer(&re, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_second_reinvite_while_the_first_is_open_is_500() {
    let t = Talking::new();
    t.call.reinvite(&sdp("pbx", 2));
    let re = t.leg.expect("INVITE");
    t.call.reinvite(&sdp("pbx", 3));
    let no = t.call.expect(500);
    assert!(no.find("Retry-After").is_some(), "{no}");
    t.call.ack(&no);
    t.leg.answer(&re, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_bye_while_a_reinvite_is_open() {
    let t = Talking::new();
    t.leg.reinvite(&sdp("agent", 2));
    let re = t.call.expect("INVITE");
    t.call.hang_up();
    t.call.reply(&re, 487);
    t.call.expect("ACK");
    let gone = t.leg.expect(487);
    t.leg.ack(&gone);
    t.leg.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_late_provisional_after_the_final_does_nothing() {
    let (world, call, leg) = ringing();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    leg.reply(&leg.invite(), 180);
    let ok = call.expect(200);
    call.ack(&ok);
    world.advance(ms(10));
    world.assert_expected();
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_request_in_no_dialog_is_481_and_an_old_cseq_500() {
    let t = Talking::new();
    t.call.request_numbered("INFO", 1, &[], "", "");
    t.call.expect(500);
    let text = format!(
        "NOTIFY sip:192.0.2.10 SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: nobody\r\nCSeq: 5 NOTIFY\r\nEvent: refer\r\nSubscription-State: active\r\nContact: <sip:a@10.0.0.5>\r\nContent-Length: 0\r\n\r\n",
        t.pbx.via()
    );
    t.pbx.send(&text);
    t.pbx.expect(481);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_481_to_an_info_and_to_its_check_ends_the_dialog_that_is_no_more() {
    let t = Talking::new();
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 481);
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 481);
    // The agent's own dialog stood until now; the caller is gone, so it ends.
    t.leg.expect(480);
    t.leg.expect_bye();
    t.call.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_call_survives_a_network_that_loses_doubles_and_reorders() {
    for seed in 0..40 {
        let world = World::seeded(&Config::default(), seed);
        let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
        let call = pbx.invite(NUMBER);
        let leg = agent.expect_call();
        leg.answer(&leg.invite(), &sdp("agent", 1));
        leg.expect("ACK");
        let ok = call.expect(200);
        call.ack(&ok);
        world.settle();
        let rough = Link { delay: ms(20), jitter: ms(60), loss: 30, duplicates: 20 };
        world.link(Link::default(), rough);
        let bye = leg.bye();
        leg.insist(&bye, 200);
        call.expect_bye_within(s(33));
        world.assert_empty();
    }
}

#[test]
fn a_stream_that_dies_with_a_request_in_flight() {
    let world = World::with(&Config::default().pbx_address("sip:10.0.0.5:5060;transport=tcp"));
    let (pbx, agent) = (world.peer("pbx", "tcp:10.0.0.5:5060"), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = crate::common::peer::establish(&call, &agent);
    leg.hang_up();
    let bye = call.expect("BYE");
    pbx.closes_connection();
    // It may be lost, and the caller would wait for ever.
    world.settle();
    assert_eq!(pbx.retransmissions(), 1);
    call.reply(&bye, 200);
    world.assert_empty();
}

#[test]
fn a_stream_that_dies_while_a_reinvite_is_cancelled() {
    let config = Config::default().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| invite);
    let reinvite = t.leg.reinvite(&sdp("agent", 2));
    t.leg.expect(100);
    let passed = t.call.expect("INVITE");
    t.call.reply(&passed, 180);
    t.leg.cancel_of(&reinvite, &[]);
    t.leg.expect(200);
    let terminated = t.leg.expect(487);
    t.leg.ack(&terminated);
    t.call.expect("CANCEL");
    t.pbx.closes_connection();
    // Both again: the caller's side is at it, or has never heard of it.
    t.world.settle();
    assert_eq!(t.pbx.retransmissions(), 2);
    t.call.reply(&passed, 487);
    t.call.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_that_hangs_up_before_its_offer_is_answered_gets_its_ack() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).body(None).send();
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let offer = call.expect(200);
    leg.bye();
    assert_eq!(leg.expect(200).method(), "BYE");
    assert!(leg.expect("ACK").sdp().contains("m=audio 0 "), "declined, for nobody answers it");
    call.ack_with(&offer, &sdp("pbx", 1));
    call.expect_bye();
    world.assert_empty();
}

#[test]
fn a_cancel_of_a_call_that_is_over_gets_a_tag() {
    let world = World::new();
    let pbx = world.peer("pbx", PBX);
    let call = pbx.invite("+19995550000");
    let no = call.expect(404);
    call.ack(&no);
    call.cancel();
    let ok = call.expect(200);
    assert_ne!(ok.to_tag(), "");
    world.assert_empty();
}

#[test]
fn a_request_in_a_leg_that_nobody_listens_to_any_more_leaves_nothing() {
    let (world, call, leg) = ringing();
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    world.advance(s(20));
    leg.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let fits = |m: &crate::common::message::Message| m.method() == "INFO" && m.status() >= 400;
    world.settle();
    let no = leg.peer.take(fits, crate::common::peer::Kind::Response(481));
    assert!(no.is_some(), "it is refused at once");
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

/// For all that is known the caller has not seen the answer to its own offer yet. A 491 would speak of a glare, and the agent
/// has done nothing wrong.
#[test]
fn an_update_of_the_agent_waits_for_the_callers_ack_as_a_reinvite_does() {
    for updates in [true, false] {
        let world = World::with(&Config::default());
        let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
        let allow = if updates { "INVITE, ACK, BYE, CANCEL, UPDATE" } else { "INVITE, ACK, BYE, CANCEL" };
        let call = pbx.calling(NUMBER).header("Allow", allow).send();
        let leg = agent.expect_call();
        leg.answer(&leg.invite(), &sdp("agent", 1));
        leg.expect("ACK");
        let ok = call.expect(200);
        leg.request("UPDATE", &[], "application/sdp", &sdp("agent", 2));
        agent.expect_silence(ms(200));
        call.ack(&ok);
        let offer = call.expect(if updates { "UPDATE" } else { "INVITE" });
        call.reply_with(&offer, 200, &[], &sdp("pbx", 2));
        if !updates {
            call.expect("ACK");
        }
        assert!(leg.expect(200).sdp().contains("pbx"));
        call.hang_up();
        leg.expect_bye();
        world.assert_empty();
    }
}

#[test]
fn an_offer_of_the_agent_is_declined_when_the_caller_never_acknowledges() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.calling(NUMBER).body(None).send();
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    call.expect(200);
    // Both 2xx are given up in the same moment, and the agent's gets its ACK all the same.
    let ack = leg.expect_within("ACK", s(33));
    assert!(ack.sdp().contains("m=audio 0 "), "{ack}");
    leg.expect_bye();
    call.expect_bye();
    world.assert_empty();
}

#[test]
fn a_caller_without_a_dialog_is_lost_even_if_nobody_waits_for_its_answer_any_more() {
    let t = Talking::new();
    let asked = t.leg.reinvite(&sdp("agent", 2));
    t.leg.expect(100);
    let offer = t.call.expect("INVITE");
    t.leg.cancel_of(&asked, &[]);
    t.leg.expect(200);
    let gone = t.leg.expect(487);
    t.leg.ack(&gone);
    // RFC 3261 §12.2.1.2.
    t.call.reply(&offer, 481);
    t.call.expect("ACK");
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn a_caller_that_says_481_to_a_request_of_an_agent_that_has_left_is_lost() {
    let t = Talking::new();
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    t.leg.expect(487);
    t.call.expect("REFER");
    t.call.reply(&info, 481);
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 481);
    t.call.expect_bye();
    t.world.assert_ended("failed");
    t.world.assert_empty();
}

#[test]
fn an_info_that_waits_for_its_answer_does_not_keep_the_two_from_accord() {
    let t = Talking::new();
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    let asked = t.leg.reinvite(&sdp_with("agent", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.leg.expect(100);
    let offer = t.call.expect("INVITE");
    t.leg.cancel_of(&asked, &[]);
    t.leg.expect(200);
    let gone = t.leg.expect(487);
    t.leg.ack(&gone);
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    // The caller has what the agent has taken back.
    let told = t.call.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("agent", 1)));
    t.call.answer(&told, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.call.reply(&info, 200);
    t.leg.expect(200);
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// For many a side, a request that is never answered ends its dialog: the caller would hang up because its agent is silent.
#[test]
fn a_caller_is_answered_before_it_gives_up_on_a_silent_agent() {
    let t = Talking::new();
    t.call.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    t.leg.expect("INFO");
    t.call.expect_within(504, s(21));
    // And the agent, which answers OPTIONS, keeps its caller.
    t.world.advance(s(60));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A caller whose session of 90 s Baton is to refresh, after 40 s of talk.
fn refreshed_by_baton(config: &Config) -> Talking {
    let dress = |invite: crate::common::peer::Invite| {
        invite.header("Supported", "timer").header("Session-Expires", "90;refresher=uas")
    };
    let t = Talking::by(config, dress);
    t.world.advance(s(40));
    t
}

/// Where a re-INVITE of the caller's waits for ever, nobody can refresh its session, and the call would end.
#[test]
fn an_agent_that_never_answers_a_reinvite_does_not_cost_the_callers_session() {
    let t = refreshed_by_baton(&Config::default());
    let hold = t.call.reinvite(&sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n"));
    t.call.expect(100);
    let asked = t.leg.expect("INVITE");
    t.leg.reply(&asked, 100);
    let late = t.call.expect_within(504, s(13));
    assert_eq!(late.cseq(), hold.cseq());
    t.call.ack(&late);
    t.leg.expect("CANCEL");
    refreshes(&t);
    // It answers OPTIONS, so it keeps its caller, and is told what stands: it may have taken the hold.
    let told = t.leg.expect_within("INVITE", s(33));
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

const DESK: &str = "10.0.0.30:5060";
const BRIDGE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"
"#;

/// Answers the refresh of [`refreshed_by_baton`]'s caller.
fn refreshes(t: &Talking) {
    let refresh = t.call.expect_within("INVITE", s(3));
    assert_eq!(refresh.header("Session-Expires"), "90;refresher=uac");
    let timer = [("Require", "timer"), ("Session-Expires", "90;refresher=uac")];
    t.call.reply_with(&refresh, 200, &timer, &sdp("pbx", 1));
    t.call.expect("ACK");
}

#[test]
fn a_caller_that_never_answers_the_join_has_its_session_refreshed() {
    let t = refreshed_by_baton(&Config::default().destination(BRIDGE));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.reply(&offer, 100);
    let cancel = t.call.expect_within("CANCEL", s(13));
    t.call.reply(&cancel, 200);
    t.call.reply(&offer, 487);
    t.call.expect("ACK");
    target.expect_bye();
    refreshes(&t);
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// 504 was said, and it has the new session.
#[test]
fn an_agent_that_answers_a_reinvite_after_it_was_given_up_is_told_what_stands() {
    let t = Talking::new();
    t.call.reinvite(&sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n"));
    t.call.expect(100);
    let asked = t.leg.expect("INVITE");
    t.leg.reply(&asked, 100);
    let late = t.call.expect_within(504, s(31));
    t.call.ack(&late);
    let cancel = t.leg.expect("CANCEL");
    t.leg.answer(&asked, &sdp_with("agent", 2, "m=audio 4010 RTP/AVP 0 101\r\na=recvonly\r\n"));
    t.leg.expect("ACK");
    t.leg.reply(&cancel, 200);
    let told = t.leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.answer(&told, &sdp("agent", 3));
    t.leg.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_that_never_answers_what_baton_tells_it_keeps_its_caller_if_it_answers_options() {
    let t = apart();
    // The agent has what the caller has taken back.
    let told = t.leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.reply(&told, 100);
    t.leg.expect_within("CANCEL", s(31));
    // It is told no more.
    t.world.advance(s(90));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The agent knows what the caller has taken back, and is told so; what else there is to be told is up to the test.
fn apart() -> Talking {
    let t = Talking::new();
    let asked = t.call.reinvite(&sdp_with("pbx", 2, "m=audio 5000 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.call.cancel_of(&asked, &[]);
    t.call.expect(200);
    let gone = t.call.expect(487);
    t.call.ack(&gone);
    t.leg.answer(&passed, &sdp("agent", 1));
    t.leg.expect("ACK");
    t
}

/// Agent and caller by turns take a new port for each INVITE that they get, three times; and then one is asked for an offer.
fn changing() -> (Talking, std::rc::Rc<crate::common::message::Message>) {
    let t = apart();
    for round in 0..3 {
        let (leg, who) = if round % 2 == 0 { (&t.leg, "agent") } else { (&t.call, "pbx") };
        let told = leg.expect_within("INVITE", s(1));
        leg.answer(&told, &on_port(who, round));
        leg.expect("ACK");
    }
    let asked = t.call.expect_within("INVITE", s(1));
    assert_eq!(asked.body, "");
    (t, asked)
}

fn on_port(who: &str, round: u64) -> String {
    sdp_with(who, 3 + round, &format!("m=audio {} RTP/AVP 0 101\r\na=sendrecv\r\n", 6000 + 2 * round))
}

fn are_left_alone(t: &Talking) {
    t.call.peer.expect_silence(s(1));
    t.leg.peer.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn two_that_take_new_ports_each_time_end_with_each_others() {
    let (t, asked) = changing();
    t.call.answer(&asked, &on_port("pbx", 3));
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&on_port("pbx", 3)));
    t.leg.answer(&told, &on_port("agent", 4));
    t.leg.expect("ACK");
    assert_eq!(without_origin(t.call.expect("ACK").sdp()), without_origin(&on_port("agent", 4)));
    are_left_alone(&t);
}

#[test]
fn a_side_that_offers_nothing_when_asked_is_told_all_the_same() {
    let (t, asked) = changing();
    let refused = t.call.reply(&asked, 488);
    assert_eq!(refused.status(), 488);
    t.call.expect("ACK");
    let told = t.call.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&on_port("agent", 2)));
    t.call.answer(&told, &on_port("pbx", 1));
    t.call.expect("ACK");
    are_left_alone(&t);
}

#[test]
fn an_offer_that_was_asked_for_is_answered_with_what_stands_if_the_other_side_is_busy() {
    let (t, asked) = changing();
    t.call.answer(&asked, &on_port("pbx", 1));
    let told = t.leg.expect("INVITE");
    t.leg.reply(&told, 491);
    t.leg.expect("ACK");
    assert_eq!(without_origin(t.call.expect("ACK").sdp()), without_origin(&on_port("agent", 2)));
    are_left_alone(&t);
}

#[test]
fn an_offer_that_was_asked_for_is_answered_if_the_partner_leaves_meanwhile() {
    let (t, asked) = changing();
    t.call.answer(&asked, &on_port("pbx", 3));
    t.leg.expect("INVITE");
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    assert_eq!(without_origin(t.call.expect("ACK").sdp()), without_origin(&on_port("agent", 2)));
    t.call.expect("REFER");
    t.call.hang_up();
    t.world.settle();
    t.world.advance(s(40));
    t.world.assert_empty();
}
