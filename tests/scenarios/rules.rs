//! `rule`: where a decision goes by the hour, by what is known of the call, or by a draw. The world's clock says Monday,
//! 2026-03-02, 09:00 UTC.

use crate::common::config::Config;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, Talking, sdp};
use crate::common::{HandoffRequest, World, ms};
use std::collections::BTreeMap;

const DESK: &str = "10.0.0.30:5060";
const TABLE: &str = r#"
[destination.office]
route = "sip:office@10.0.0.30"
rule = [{ hours = "Mo-Fr 08:00-09:10", timezone = "UTC", use = "office" }, { use = "night" }]
[destination.away]
route = "sip:away@10.0.0.30"
rule = [{ hours = "Mo-Fr 09:00-18:00", timezone = "Europe/Berlin", use = "night" }]
[destination.away.headers]
X-Of = "away"
[destination.night]
route = "sip:night@10.0.0.30"
[destination.night.headers]
X-Of = "night"
X-Who = "$destination"

[destination.spanish]
route = "sip:es@10.0.0.30"
[destination.by-call]
route = "sip:en@10.0.0.30"
rule = [
    { when = 'language == "es"', use = "spanish" },
    { when = 'header["X-Tier"] == "gold" && caller_id.startsWith("+1415")', route = "sip:gold@10.0.0.30" },
    { when = 'int(nonsense) > 3', use = "night" },
    { when = 'reason == "call me"', method = "invite" },
]
on_failure = ["invite", "agent"]

[destination.ladder]
route = "sip:first@10.0.0.30"
on_failure = ["office", "by-call", "agent"]

[destination.split]
route = "sip:old@10.0.0.30"
rule = [{ weight = 0, use = "split" }, { weight = 1, use = "spanish" }]
"#;

fn config() -> Config {
    Config::default().destination(TABLE)
}

fn talking() -> Talking {
    Talking::with(&config())
}

fn to(destination: &str) -> HandoffRequest {
    HandoffRequest { destination: Some(destination.into()), ..Default::default() }
}

/// Where the REFER goes; it is refused, and the caller stays with the agent.
#[track_caller]
fn refers_to(t: &Talking) -> (String, std::rc::Rc<crate::common::message::Message>) {
    let refer = t.call.expect("REFER");
    let target = refer.header("Refer-To").to_owned();
    t.call.reply(&refer, 603);
    (target, refer)
}

#[track_caller]
fn over(t: &Talking) {
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The rules of the handoff that ended last, as people read them.
fn rules(t: &Talking) -> Vec<String> {
    let ended = t.world.ended_handoffs();
    ended.last().expect("a handoff").rules.iter().map(ToString::to_string).collect()
}

#[test]
fn the_hour_of_the_decision_chooses() {
    let t = talking();
    let view = t.world.handoff("away");
    assert_eq!(&*view.destination, "night");
    let rule = &view.rules[0];
    assert_eq!((&*rule.destination, rule.rule, &*rule.to, rule.share), ("away", 1, "night", None));
    let (target, refer) = refers_to(&t);
    assert_eq!(target, "<sip:night@10.0.0.30>");
    assert_eq!(
        (refer.header("X-Of"), refer.header("X-Who")),
        ("night", "night"),
        "all that the used one has"
    );
    t.world.advance(ms(600));
    assert_eq!(&*t.world.assert_ended("returned").attempts[0].destination, "night");
    over(&t);
}

#[test]
fn the_entry_itself_is_meant_while_it_is_open() {
    let t = talking();
    let view = t.world.handoff("office");
    assert_eq!((&*view.destination, &*view.rules[0].to), ("office", "office"));
    assert_eq!(refers_to(&t).0, "<sip:office@10.0.0.30>");
    t.world.advance(ms(600));
    // A quarter of an hour later it is closed.
    t.world.advance(ms(15 * 60 * 1000));
    assert_eq!(&*t.world.handoff("office").destination, "night");
    assert_eq!(refers_to(&t).0, "<sip:night@10.0.0.30>");
    over(&t);
}

#[test]
fn no_rule_that_matches_leaves_the_entry_itself() {
    let t = talking();
    let view = t.world.handoff("by-call");
    assert_eq!((&*view.destination, view.rules.len()), ("by-call", 0), "`int` of nothing is no match");
    assert_eq!(refers_to(&t).0, "<sip:en@10.0.0.30>");
    let target = t.world.peer("desk", DESK).expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    over(&t);
}

#[test]
fn variables_of_the_decision_count() {
    let t = talking();
    let variables = BTreeMap::from([("language".to_owned(), "es".to_owned())]);
    t.world.handoff_with(HandoffRequest { variables, ..to("by-call") });
    assert_eq!(refers_to(&t).0, "<sip:es@10.0.0.30>");
    t.world.advance(ms(600));
    assert_eq!(rules(&t), ["by-call rule 1: spanish"]);
    over(&t);
}

/// Another method of the ladder stays on the route that the rule has set.
#[test]
fn a_header_of_the_caller_counts_and_the_next_method_stays_on_the_route() {
    let t = Talking::by(&config(), |invite| invite.header("X-Tier", "gold"));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("by-call");
    assert_eq!(refers_to(&t).0, "<sip:gold@10.0.0.30>");
    let target = desk.expect_call();
    assert!(target.invite().uri().starts_with("sip:gold@10.0.0.30"), "{}", target.invite().uri());
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    let routes: Vec<_> = handoff.attempts.iter().map(|a| a.route.as_deref().unwrap_or_default()).collect();
    assert_eq!(routes, ["sip:gold@10.0.0.30"; 2]);
    assert_eq!(rules(&t), ["by-call rule 2: refer sip:gold@10.0.0.30"]);
    over(&t);
}

#[test]
fn a_rule_sets_the_method() {
    let t = talking();
    let desk = t.world.peer("desk", DESK);
    t.world.handoff_with(HandoffRequest { reason: Some("call me".into()), ..to("by-call") });
    let target = desk.expect_call();
    assert!(target.invite().uri().starts_with("sip:en@10.0.0.30"));
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    over(&t);
}

#[test]
fn a_route_that_the_decision_names_goes_before_every_rule() {
    let t = talking();
    let route = Some("sip:spare@10.0.0.30".to_owned());
    let t2 = Talking::with(&config().agent_key("may_route = [\"sip:*@10.0.0.30\"]"));
    let view = t2.world.handoff_with(HandoffRequest { route, ..to("away") });
    assert_eq!((&*view.destination, view.rules.len()), ("away", 0));
    assert_eq!(refers_to(&t2).0, "<sip:spare@10.0.0.30>");
    over(&t2);
    // And a method that it names is used with the route of the rule.
    let desk = t.world.peer("desk", DESK);
    t.world.handoff_with(HandoffRequest { method: Some("invite".into()), ..to("away") });
    let target = desk.expect_call();
    assert!(target.invite().uri().starts_with("sip:night@10.0.0.30"));
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    over(&t);
}

#[test]
fn the_agent_names_a_destination_by_sip_and_the_rules_decide() {
    let t = talking();
    t.leg.refer("sip:away@baton", &[]);
    t.leg.expect(202);
    let trying = t.leg.expect("NOTIFY");
    t.leg.reply(&trying, 200);
    assert_eq!(refers_to(&t).0, "<sip:night@10.0.0.30>");
    let notify = t.leg.expect("NOTIFY");
    t.leg.reply(&notify, 200);
    over(&t);
}

#[test]
fn the_agent_names_a_route_by_sip_and_that_is_where_it_goes() {
    let t = talking();
    t.leg.refer("sip:away@10.0.0.30", &[]);
    t.leg.expect(202);
    let trying = t.leg.expect("NOTIFY");
    t.leg.reply(&trying, 200);
    assert_eq!(refers_to(&t).0, "<sip:away@10.0.0.30>");
    let notify = t.leg.expect("NOTIFY");
    t.leg.reply(&notify, 200);
    over(&t);
}

/// A step that names a destination goes where its rules lead, at the time of the decision, however late the step is.
#[test]
fn a_step_goes_where_the_rules_of_its_destination_lead() {
    let t = talking();
    let variables = BTreeMap::from([("language".to_owned(), "es".to_owned())]);
    t.world.handoff_with(HandoffRequest { variables, ..to("ladder") });
    assert_eq!(refers_to(&t).0, "<sip:first@10.0.0.30>");
    assert_eq!(refers_to(&t).0, "<sip:office@10.0.0.30>");
    assert_eq!(refers_to(&t).0, "<sip:es@10.0.0.30>");
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    let tried: Vec<_> = handoff.attempts.iter().map(|a| &*a.destination).collect();
    assert_eq!(tried, ["ladder", "office", "spanish"]);
    assert_eq!(rules(&t), ["office rule 1: office", "by-call rule 1: spanish"]);
    over(&t);
}

#[test]
fn a_split_is_drawn() {
    let t = talking();
    t.world.handoff("split");
    assert_eq!(refers_to(&t).0, "<sip:es@10.0.0.30>");
    t.world.advance(ms(600));
    assert_eq!(rules(&t), ["split rule 2: spanish (1 of 1)"]);
    over(&t);
}

/// The agent refuses the call, and its fallback has rules. Its night desk does not answer either: the fallback was tried.
#[test]
fn a_fallback_goes_where_its_rules_lead() {
    let world = World::with(&config().agent_key("fallback = \"away\""));
    let (pbx, agent): (Peer, Peer) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let desk = world.peer("desk", DESK);
    let call: Leg = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    let target = desk.expect_call();
    assert!(target.invite().uri().starts_with("sip:night@10.0.0.30"));
    assert_eq!(target.invite().header("X-Of"), "night");
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    assert_eq!(&*world.assert_ended("succeeded").destination, "night");
    call.hang_up();
    target.expect_bye();
    world.assert_empty();
}

/// A handoff that was ruled to the night desk, whose agent then goes: the fallback, which leads there again, is not tried
/// a second time.
#[test]
fn a_fallback_that_was_ruled_elsewhere_counts_as_tried() {
    let t = Talking::with(&config().agent_key("fallback = \"away\""));
    t.world.handoff("away");
    let refer = t.call.expect("REFER");
    t.leg.hang_up();
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.call.expect_bye();
    assert_eq!(t.world.assert_ended("failed").attempts.len(), 1);
    assert_eq!(t.world.ended_handoffs().len(), 1);
    t.world.assert_empty();
}
