//! Decisions by HTTP: what is refused, what is replied, what can still be taken back.

use crate::common::config::Config;
use crate::common::peer::Talking;
use crate::common::{Command, HandoffRequest, Refusal, Reply, ms};
use std::collections::BTreeMap;

fn to(destination: &str) -> HandoffRequest {
    HandoffRequest { destination: Some(destination.into()), ..Default::default() }
}

#[test]
fn a_second_handoff_is_refused_with_the_first_ones_id() {
    let t = Talking::new();
    let first = t.world.handoff("front-desk");
    assert_eq!(t.world.try_handoff(to("back")), Err(Refusal::Busy(first.id.to_string())));
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn no_destination_means_the_tables_default() {
    let t = Talking::new();
    let view = t.world.handoff_with(HandoffRequest::default());
    assert_eq!(&*view.destination, "front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_unknown_destination_names_the_nearest() {
    let t = Talking::new();
    let wanted = Refusal::NoDestination {
        id: "frontdesk".into(),
        environment: "production".into(),
        nearest: Some("front-desk".into()),
    };
    assert_eq!(t.world.try_handoff(to("frontdesk")), Err(wanted));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_unknown_call_is_not_found() {
    let t = Talking::new();
    let request = Box::new(to("front-desk"));
    let reply = t.world.command(Command::Handoff { call: "nobody".into(), request });
    assert_eq!(reply, Reply::Refused(Refusal::NoCall("nobody".into())));
    let reply = t.world.command(Command::ShowHandoff { handoff: "nothing".into() });
    assert_eq!(reply, Reply::Refused(Refusal::NoHandoff("nothing".into())));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_agent_legs_call_id_names_the_call_too() {
    let t = Talking::new();
    let request = Box::new(to("front-desk"));
    let reply = t.world.command(Command::Handoff { call: t.leg.call_id(), request });
    assert!(matches!(reply, Reply::Handoff(_)), "{reply:?}");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn built_in_variables_cannot_be_set() {
    let t = Talking::new();
    let request = HandoffRequest {
        variables: BTreeMap::from([("caller_id".to_owned(), "+1900".to_owned())]),
        ..to("front-desk")
    };
    let refusal = t.world.try_handoff(request).expect_err("a built-in is refused");
    let Refusal::Invalid(fields) = refusal else { panic!("{refusal:?}") };
    assert_eq!(fields[0].field, "variables.caller_id");
    let variables = BTreeMap::from([("handoff_id".to_owned(), Some("x".to_owned()))]);
    let reply = t.world.command(Command::SetVariables { call: t.world.call_id(), variables });
    assert!(matches!(reply, Reply::Refused(Refusal::Invalid(_))), "{reply:?}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn headers_that_are_not_allowed_are_refused_all_at_once() {
    let t = Talking::new();
    let bad = [("Route", "<sip:evil>"), ("Call-ID", "x"), ("X-Good", "1"), ("v", "x"), ("X Bad", "1")];
    let headers = bad.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let refusal = t.world.try_handoff(HandoffRequest { headers, ..to("front-desk") }).expect_err("refused");
    let Refusal::Invalid(fields) = refusal else { panic!("{refusal:?}") };
    let names: Vec<&str> = fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(names.len(), 4, "{fields:?}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_route_that_the_agent_may_not_name_is_refused() {
    let t = Talking::with(&Config::default().agent_key("may_route = [\"+1415555\"]"));
    let wild = HandoffRequest { route: Some("+19005550000".into()), ..Default::default() };
    assert!(matches!(t.world.try_handoff(wild), Err(Refusal::RouteNotAllowed(_))));
    let good = HandoffRequest { route: Some("+14155550142".into()), ..Default::default() };
    t.world.handoff_with(good);
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550142@10.0.0.5>");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_method_may_be_named_with_the_decision() {
    let t = Talking::new();
    t.world.handoff_with(HandoffRequest { method: Some("bye".into()), ..to("front-desk") });
    let bye = t.call.expect_bye();
    assert_eq!(bye.header("X-Caller-ID"), "+14155550199");
    t.leg.expect_bye();
    t.world.assert_ended("handed_back");
    t.world.assert_empty();
}

#[test]
fn methods_that_are_not_there_are_refused() {
    let t = Talking::new();
    for method in ["redirect", "teleport"] {
        let request = HandoffRequest { method: Some(method.into()), ..to("front-desk") };
        assert!(matches!(t.world.try_handoff(request), Err(Refusal::Invalid(_))), "{method}");
    }
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refer_cannot_be_cancelled() {
    let t = Talking::new();
    let view = t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    let reply = t.world.command(Command::CancelHandoff { handoff: view.id.to_string() });
    assert!(matches!(reply, Reply::Refused(Refusal::TooLate(_))), "{reply:?}");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_handoff_of_an_unanswered_call_is_cancelled_while_the_target_rings() {
    let world = crate::common::World::new();
    let pbx = world.peer("pbx", crate::common::peer::PBX);
    let agent = world.peer("agent", crate::common::peer::AGENT);
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    let view = world.handoff("front-desk");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    world.settle();
    let reply = world.command(Command::CancelHandoff { handoff: view.id.to_string() });
    assert!(matches!(reply, Reply::Handoff(_)), "{reply:?}");
    let cancel = desk.expect("CANCEL");
    desk.reply(&cancel, 200);
    desk.reply(&desk.invite(), 487);
    desk.expect("ACK");
    world.assert_ended("cancelled");
    call.cancel();
    call.peer.world.advance(ms(10));
    world.finish();
}

#[test]
fn a_running_and_an_ended_handoff_can_be_read() {
    let t = Talking::new();
    let view = t.world.handoff("front-desk");
    let reply = t.world.command(Command::ShowHandoff { handoff: view.id.to_string() });
    let Reply::Handoff(shown) = reply else { panic!("{reply:?}") };
    assert_eq!(shown.state.as_str(), "referring");
    assert_eq!(t.world.call().handoffs, std::slice::from_ref(&view.id));
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    let reply = t.world.command(Command::ShowHandoff { handoff: view.id.to_string() });
    let Reply::Handoff(shown) = reply else { panic!("{reply:?}") };
    assert_eq!(shown.state.as_str(), "returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn calls_are_listed_in_pages() {
    let t = Talking::new();
    let second = t.pbx.invite(crate::common::peer::NUMBER);
    let leg = crate::common::peer::establish(&second, &t.agent);
    let Reply::Calls(all) = t.world.command(Command::List { after: None, limit: 100 }) else { panic!() };
    assert_eq!(all.len(), 2);
    assert!(all[0].id < all[1].id);
    let Reply::Calls(one) = t.world.command(Command::List { after: None, limit: 1 }) else { panic!() };
    let after = Some(one[0].id.clone());
    let Reply::Calls(rest) = t.world.command(Command::List { after, limit: 100 }) else { panic!() };
    assert_eq!((one, rest), (vec![all[0].clone()], vec![all[1].clone()]));
    second.hang_up();
    leg.expect_bye();
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn hanging_up_while_a_refer_runs_ends_all() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.command(Command::HangUp { call: t.world.call_id() });
    t.both_get_bye();
    // The receiver has taken it, and nothing tells what comes of it.
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.cause.as_deref(), Some("unknown"));
    assert_eq!(t.world.complaints(), (1, 1));
    t.world.assert_empty();
}

#[test]
fn hanging_up_after_the_refer_failed_warns_once() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    t.world.advance(ms(100));
    t.world.command(Command::HangUp { call: t.world.call_id() });
    t.both_get_bye();
    t.world.assert_ended("failed");
    assert_eq!(t.world.complaints(), (1, 1));
    t.world.assert_empty();
}

#[test]
fn a_call_that_ends_takes_no_handoff() {
    let t = Talking::new();
    t.call.bye();
    t.call.expect(200);
    let bye = t.leg.expect("BYE");
    let refused = t.world.try_handoff(to("front-desk")).expect_err("the call is ending");
    assert!(matches!(refused, Refusal::Ending | Refusal::NoCall(_)), "{refused:?}");
    t.leg.reply(&bye, 200);
    t.world.assert_empty();
}
