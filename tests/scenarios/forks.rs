//! Forks, both ways: branches of an INVITE of ours towards the caller, and an INVITE that reaches Baton by several ways;
//! and who may cancel it.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, Talking, reply_text, sdp, sdp_with};
use crate::common::{World, s};

const RELIABLE: (&str, &str) = ("Require", "100rel");

fn media(port: u16) -> String {
    sdp_with("agent", 1, &format!("m=audio {port} RTP/AVP 0 101\r\na=sendrecv\r\n"))
}

fn calling(headers: &[(&str, &str)]) -> (World, Peer, Leg, Leg) {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let mut invite = pbx.calling(NUMBER);
    for (name, value) in headers {
        invite = invite.header(name, value);
    }
    let call = invite.send();
    let leg = agent.expect_call();
    (world, pbx, call, leg)
}

/// What a proxy that goes on makes of an INVITE: the same in another branch, to that number.
fn other_branch(invite: &Message, number: &str, branch: &str) -> String {
    invite.text.replace(invite.branch(), branch).replacen(
        &format!("sip:{NUMBER}@"),
        &format!("sip:{number}@"),
        1,
    )
}

#[test]
fn each_branch_of_the_agent_has_its_own_tag_towards_the_caller() {
    let (world, _pbx, call, leg) = calling(&[]);
    let other = leg.fork();
    leg.reply_with(&leg.invite(), 183, &[], &media(5100));
    let one = call.expect(183);
    other.reply_with(&other.invite(), 183, &[], &media(5200));
    let two = call.expect(183);
    assert_ne!(one.to_tag(), two.to_tag(), "two sessions in one dialog: the caller keeps the first");
    // The first one again: it is the dialog that it was.
    leg.reply_with(&leg.invite(), 180, &[], "");
    assert_eq!(call.expect(180).to_tag(), one.to_tag());
    other.answer(&other.invite(), &media(5200));
    other.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.to_tag(), two.to_tag());
    assert_eq!(without_origin(ok.sdp()), without_origin(&media(5200)));
    call.ack(&ok);
    call.hang_up();
    other.expect_bye();
    world.assert_empty();
}

#[test]
fn a_branch_that_was_never_heard_answers_under_a_tag_of_its_own() {
    let (world, _pbx, call, leg) = calling(&[]);
    let other = leg.fork();
    leg.reply_with(&leg.invite(), 183, &[], &media(5100));
    let one = call.expect(183);
    other.answer(&other.invite(), &media(5200));
    other.expect("ACK");
    let ok = call.expect(200);
    assert_ne!(one.to_tag(), ok.to_tag());
    assert_eq!(without_origin(ok.sdp()), without_origin(&media(5200)));
    call.ack(&ok);
    call.hang_up();
    other.expect_bye();
    world.assert_empty();
}

#[test]
fn a_response_without_a_tag_belongs_to_the_branch_that_names_itself_later() {
    let (world, pbx, call, leg) = calling(&[]);
    leg.peer.send(&reply_text(&leg.invite(), 180, "", &[("Contact", "<sip:agent@10.0.0.80:5080>")], ""));
    let first = call.expect(180);
    leg.answer(&leg.invite(), &media(5100));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.to_tag(), first.to_tag());
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    drop(pbx);
    world.assert_empty();
}

#[test]
fn branches_beyond_the_bound_are_not_heard_and_may_answer() {
    let (world, _pbx, call, leg) = calling(&[]);
    let mut last = leg.clone();
    for at in 0..40 {
        last = leg.fork();
        last.reply_with(&last.invite(), 180, &[], "");
        if at < 8 {
            call.expect(180);
        }
    }
    world.settle();
    last.answer(&last.invite(), &media(5300));
    last.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&media(5300)));
    call.ack(&ok);
    call.hang_up();
    last.expect_bye();
    world.assert_empty();
}

#[test]
fn each_branch_has_its_own_reliable_answer() {
    let (world, _pbx, call, leg) = calling(&[RELIABLE]);
    let other = leg.fork();
    leg.reply_with(&leg.invite(), 183, &[], &media(5100));
    let one = call.expect(183);
    call.learn(&one);
    call.request("PRACK", &[("RAck", &format!("{} 1 INVITE", one.header("RSeq")))], "", "");
    call.expect(200);
    other.answer(&other.invite(), &media(5200));
    other.expect("ACK");
    let ok = call.expect(200);
    assert_ne!(one.to_tag(), ok.to_tag());
    assert_eq!(
        without_origin(ok.sdp()),
        without_origin(&media(5200)),
        "its own answer stands in its own dialog"
    );
    call.ack(&ok);
    world.settle();
    call.hang_up();
    other.expect_bye();
    world.assert_empty();
}

fn refused(pbx: &Peer, call: &Leg, leg: &Leg) {
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    // The fallback goes to the trunk, which is busy too.
    let target = pbx.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let busy = call.expect(486);
    call.ack(&busy);
}

#[test]
fn the_next_branch_of_a_proxy_that_goes_on_is_a_new_call() {
    let world = World::with(&Config::default().agent_key("fallback = \"phone-invite\"").destination(
        "[destination.phone-invite]\nmethod = \"invite\"\nroute = \"+14155550177\"\non_failure = [\"hangup\"]\n",
    ));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    refused(&pbx, &call, &leg);
    pbx.send(&other_branch(&call.invite(), NUMBER, "z9hG4bK-next"));
    let again = agent.expect_call();
    again.answer(&again.invite(), &sdp("agent", 1));
    again.expect("ACK");
    let ok = pbx.expect(200);
    assert_eq!(ok.branch(), "z9hG4bK-next");
    call.ack(&ok);
    call.hang_up();
    again.expect_bye();
    world.assert_empty();
}

#[test]
fn two_agents_on_one_forked_invite_are_two_calls() {
    let config = Config::default().section(
        "[agent.billing]\naddress = \"sip:billing@10.0.0.81:5080\"\naccept_from = [\"10.0.0.81/32\"]\nnumbers = [\"+14155550101\"]\nenvironment = \"production\"\n",
    );
    let world = World::with(&config);
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let billing = world.peer("billing", "10.0.0.81:5080");
    let call = pbx.invite(NUMBER);
    let one = agent.expect_call();
    one.reply(&one.invite(), 180);
    call.expect(180);
    pbx.send(&other_branch(&call.invite(), "+14155550101", "z9hG4bK-beside"));
    let two = billing.expect_call();
    // Who answers first has the caller; the proxy cancels the other branch.
    two.answer(&two.invite(), &sdp("billing", 1));
    two.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.branch(), "z9hG4bK-beside");
    call.ack(&ok);
    call.cancel();
    pbx.expect(200);
    let gone = pbx.expect(487);
    call.ack(&gone);
    let cancel = one.expect("CANCEL");
    one.reply(&cancel, 200);
    one.reply(&one.invite(), 487);
    one.expect("ACK");
    call.learn(&ok);
    call.hang_up();
    two.expect_bye();
    world.assert_empty();
}

#[test]
fn the_parallel_copy_that_comes_after_our_200_is_a_merged_one() {
    let t = Talking::new();
    t.world.advance(s(20));
    t.pbx.send(&other_branch(&t.call.invite(), NUMBER, "z9hG4bK-late"));
    let merged = t.call.expect(482);
    assert_eq!(merged.branch(), "z9hG4bK-late");
    t.call.ack(&merged);
    t.world.advance(s(13));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A CANCEL of that INVITE.
fn cancel(invite: &Message) -> String {
    format!(
        "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
        invite.uri(),
        invite.header("Via"),
        invite.header("From"),
        invite.header("To"),
        invite.call_id()
    )
}

#[test]
fn a_stranger_cannot_cancel_a_call_by_its_branch() {
    let (world, _pbx, call, leg) = calling(&[]);
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    let invite = call.invite();
    let whole = cancel(&invite);
    world.inject("198.51.100.66:5060", whole.as_bytes());
    world.settle();
    let from = invite.header("From").to_owned();
    for (what, part) in [
        ("Call-ID", whole.replace(&format!("Call-ID: {}", invite.call_id()), "Call-ID: another")),
        ("From tag", whole.replace(&from, "<sip:a@h>;tag=another")),
        ("CSeq", whole.replace("CSeq: 1 ", "CSeq: 99 ")),
    ] {
        // From the PBX itself: a branch that it counts may come again, and is another's.
        call.peer.send(&part);
        let answer = call.peer.expect(481);
        assert_eq!(answer.cseq().1, "CANCEL", "{what}");
        assert_eq!(world.call().legs.len(), 2, "another {what} cancels nothing");
    }
    call.peer.expect_silence(s(1));
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn an_invite_with_a_branch_that_was_used_is_a_new_call() {
    let t = Talking::new();
    let first = t.call.invite();
    // A peer that counts its branches begins again after a restart.
    let text = first.text.replace(first.call_id(), "restarted").replace(first.from_tag(), "restarted");
    t.pbx.send(&text);
    let leg = t.agent.expect_call();
    leg.reply(&leg.invite(), 180);
    t.pbx.expect(180);
    let again = Message::parse(text.as_bytes()).expect("our own text");
    t.pbx.send(&cancel(&again));
    t.pbx.expect(200);
    let gone = t.pbx.expect(487);
    let ack = cancel(&again).replace("CANCEL", "ACK").replace(again.header("To"), gone.header("To"));
    t.pbx.send(&ack);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}
