//! Who is told who calls: P-Asserted-Identity and Privacy pass between those that are trusted, and nobody vouches for what
//! the others say (RFC 3325).

use crate::common::World;
use crate::common::config::Config;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Talking, sdp, sdp_with};

const CARRIER: &str = "203.0.113.7:5060";
const CALLER: [(&str, &str); 2] =
    [("P-Asserted-Identity", "<sip:+14155550198@pbx.example.com>"), ("Privacy", "id")];
const LIAR: (&str, &str) = ("P-Asserted-Identity", "<sip:+19995550000@liar.example.com>");

fn config() -> Config {
    Config::default().destination(
        r#"
[destination.outside]
method = "invite"
trunk  = "carrier"
route  = "+14155550144"

[destination.inside]
method = "invite"
trunk  = "pbx"
route  = "+14155550144"

[destination.shown]
method    = "invite"
trunk     = "pbx"
route     = "+14155550145"
caller_id = "+14155550100"
"#,
    )
}

/// What the caller's side asserts inside the call stays behind, and so does what the target's side asserts.
fn says_nothing(call: &Leg, target: &Leg) {
    let hold = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendonly\r\n");
    call.request("INVITE", &CALLER, "application/sdp", &hold);
    let offer = target.expect("INVITE");
    assert_eq!((offer.find("P-Asserted-Identity"), offer.find("Privacy")), (None, None), "{offer}");
    target.reply_with(&offer, 200, &[LIAR], &sdp("target", 1));
    target.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.find("P-Asserted-Identity"), None, "{ok}");
    call.ack(&ok);
}

#[test]
fn an_untrusted_target_that_is_called_before_the_answer() {
    let world = World::with(&config().agent_key("fallback = \"outside\""));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let carrier = world.peer("carrier", CARRIER);
    let call = pbx.calling(NUMBER).header(CALLER[0].0, CALLER[0].1).header(CALLER[1].0, CALLER[1].1).send();
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let target = carrier.expect_call();
    assert_eq!(target.invite().find("P-Asserted-Identity"), None);
    target.reply_with(&target.invite(), 180, &[LIAR], "");
    assert_eq!(call.expect(180).find("P-Asserted-Identity"), None);
    target.reply_with(&target.invite(), 200, &[LIAR], &sdp("target", 1));
    target.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.find("P-Asserted-Identity"), None);
    call.ack(&ok);
    world.settle();
    says_nothing(&call, &target);
    call.hang_up();
    target.expect_bye();
    world.assert_empty();
}

#[test]
fn an_untrusted_target_that_the_caller_was_joined_with() {
    let t = Talking::by(&config(), |i| i.header(CALLER[0].0, CALLER[0].1).header(CALLER[1].0, CALLER[1].1));
    let carrier = t.world.peer("carrier", CARRIER);
    t.world.handoff("outside");
    let target = carrier.expect_call();
    assert_eq!(target.invite().find("P-Asserted-Identity"), None);
    target.answer(&target.invite(), &sdp("target", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.settle();
    says_nothing(&t.call, &target);
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// From of an untrusted trunk is a claim; the number of the destination is the operator's word.
#[test]
fn what_an_untrusted_caller_says_of_itself_is_not_asserted() {
    for (destination, asserted) in [("inside", None), ("shown", Some("<sip:+14155550100@192.0.2.10>"))] {
        let t = Talking::at(&config(), CARRIER, |i| i.from("<sip:+15005550006@liar.example.com>"));
        let pbx = t.world.peer("real", PBX);
        t.world.handoff(destination);
        let target = pbx.expect_call();
        assert_eq!(target.invite().find("P-Asserted-Identity"), asserted, "{}", target.invite());
        t.call.hang_up();
        t.leg.expect_bye();
        target.reply(&target.invite(), 100);
        let cancel = target.expect("CANCEL");
        target.reply(&cancel, 200);
        target.reply(&target.invite(), 487);
        target.expect("ACK");
        t.world.assert_empty();
    }
}

/// A number is one with its separators, too (RFC 3966 §3), and `$caller_id` has none.
#[test]
fn a_number_with_separators_wins_over_a_name_that_is_asserted_before_it() {
    for number in [
        "sip:+1-415-555-0100@pbx.example.com",
        "sip:+1.415.555.0100@pbx.example.com;user=phone",
        "sip:+1(415)555-0100@pbx.example.com",
        "tel:+1(415)555-0100",
        "tel:+1-415-555-0100",
    ] {
        let asserted = format!("<sip:ada.lovelace@example.com>, <{number}>");
        let t = Talking::by(&Config::default(), |invite| invite.header("P-Asserted-Identity", &asserted));
        assert_eq!(t.world.call().caller_id.as_deref(), Some("+14155550100"), "{number}");
        t.caller_hangs_up();
        t.world.assert_empty();
    }
    // What has no digit is no number.
    let asserted = "<sip:-.-@example.com>, <tel:+14155550100>";
    let t = Talking::by(&Config::default(), |invite| invite.header("P-Asserted-Identity", asserted));
    assert_eq!(t.world.call().caller_id.as_deref(), Some("+14155550100"));
    t.caller_hangs_up();
    t.world.assert_empty();
}
