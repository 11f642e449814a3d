//! A record-routing Kamailio between the PBX and Baton. The PBX's own host name means something to the proxy only, so
//! whatever Baton sends inside the dialog arrives by the route set or not at all (see the proxy's story in `rehearsal`).

use serde_json::json;

use crate::assert_fields;
use crate::house::{House, NUMBER, Plan, bye_of};
use crate::peers::{PROXY, Script, free_address, kamailio};

#[test]
fn refer_and_bye_follow_the_route_set() {
    let at = free_address(PROXY);
    let house = House::built(Plan { trunk_address: Some(at), ..Plan::default() });
    let proxy = kamailio(at, house.sip, house.pbx, house.dir());
    let agent = house.agent("callee_answers").start();
    let caller = Script::caller(house.dir(), "caller_follows_refer", house.pbx, at, NUMBER)
        .contact("pbx@pbx.invalid")
        .key("sipfrag", "200 OK")
        .start();
    let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    let caller = caller.finish();
    agent.finish();
    for request in [caller.received("REFER"), bye_of(&caller)] {
        let path = request.headers("Via");
        assert_eq!(path.len(), 2, "{path:?}");
        assert!(path[0].contains(&at.to_string()), "the proxy handed it on: {path:?}");
        assert!(path[1].contains(&house.sip.to_string()), "Baton sent it: {path:?}");
        assert!(request.start.contains("sip:pbx@pbx.invalid"), "the remote target stands in the Request-URI");
    }
    house.close().assert_quiet();
    drop(proxy);
}
