//! A REFER whose result is in doubt: what is done meanwhile, and what a late word changes.

use crate::common::peer::Talking;
use crate::common::s;

const OK: &str = "SIP/2.0 200 OK\r\n";

#[test]
fn a_proxy_that_heard_nothing_from_the_receiver_refuses_nothing() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 408);
    t.world.settle();
    t.world.assert_ended("unknown");
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn a_receiver_that_is_at_it_is_heard_whatever_the_response_says() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.call.reply(&refer, 504);
    t.world.advance(s(1));
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_receiver_that_is_at_it_has_the_time_of_a_result() {
    // Its 202 is lost for good.
    let t = Talking::new();
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.world.advance(s(45));
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}
