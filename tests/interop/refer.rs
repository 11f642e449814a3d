//! Handoffs decided by HTTP: a REFER to the PBX and every way it can end, and the hand-back by BYE.

use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::assert_fields;
use crate::house::{CALLER, House, Log, NUMBER, Plan, REFER, bye_of, text};
use crate::peers::{Message, Transcript};

/// A call whose PBX plays `scenario` with the agent on the line; the front desk is decided, and where the caller is still
/// there in the end, the call is ended through the API. Gives back the handoff and what each side saw.
fn decide(house: House, scenario: &str, keys: &[(&str, &str)], status: &str) -> (Value, Transcript, Log) {
    let agent = house.agent("callee_answers").start();
    let script = house.caller(scenario).status(status);
    let caller = keys.iter().fold(script, |script, (name, value)| script.key(name, value)).start();
    let (call, handoff) = house.hand_over(&json!({ "destination": "front-desk", "reason": "asked" }));
    if !["succeeded", "handed_back"].contains(&text(&handoff["state"]).as_str()) {
        house.hang_up(&call);
    }
    let caller = caller.finish();
    bye_of(&agent.finish());
    (handoff, caller, house.close())
}

#[test]
fn the_refer_succeeds_and_both_legs_end() {
    let house = House::open();
    let (desk, sip) = (house.desk, house.sip);
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let call = house.answered_call();
    let (status, answer) = house.patch(&format!("/v1/calls/{call}/variables"), &json!({ "mood": "calm" }));
    assert!((200..300).contains(&status), "PATCH of variables: {status} {answer:#}");
    let (_, handoff) = house.hand_over(&json!({
        "destination": "front-desk",
        "variables": { "account_id": "42" },
        "headers": { "X-Ticket": "paid $5" },
    }));
    let (caller, agent) = (caller.finish(), agent.finish());

    assert_fields!(handoff, { state: "succeeded", proof: "reported", cause: null, destination: "front-desk" });
    assert_fields!(handoff["attempts"][0], { method: "refer", status: 202, final_status: 200, cause: null });
    let refer = caller.received("REFER");
    assert_eq!(refer.start, format!("REFER sip:pbx@{} SIP/2.0", caller_address(&caller)));
    assert_eq!(refer.header("Refer-To"), format!("<sip:desk@{desk}>"));
    assert!(
        refer.header("Referred-By").starts_with(&format!("<sip:{NUMBER}@")),
        "{}",
        refer.header("Referred-By")
    );
    assert!(refer.header("Contact").contains(&sip.to_string()));
    assert_eq!(refer.header("X-Caller-ID"), CALLER);
    assert_eq!(refer.header("X-Account-ID"), "42", "given with the decision");
    assert_eq!(refer.header("X-Language"), "en", "the fallback of an undefined variable");
    assert_eq!(refer.header("X-Mood"), "calm", "set on the call");
    assert_eq!(refer.header("X-Ticket"), "paid $5", "a header given with the decision is taken as it is");
    bye_of(&caller);
    bye_of(&agent);
    house.close().assert_quiet();
}

#[test]
fn an_undefined_variable_leaves_its_header_out() {
    let (_, caller, log) = decide(House::open(), "caller_follows_refer", &[("sipfrag", "200 OK")], "");
    assert!(caller.received("REFER").headers("X-Mood").is_empty());
    log.assert_quiet();
}

#[test]
fn the_refer_goes_back_over_the_callers_tcp_connection() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").over_tcp().start();
    let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    caller.finish();
    agent.finish();
    house.close().assert_quiet();
}

#[test]
fn a_refused_refer_returns_the_caller_to_the_agent() {
    for (status, code) in [("403 Forbidden", 403), ("603 Decline", 603)] {
        let (handoff, _, log) = decide(House::open(), "caller_refuses_refer", &[], status);
        assert_fields!(handoff, { state: "returned", proof: null, cause: "refused" });
        assert_fields!(handoff["attempts"][0], { status: code, cause: "refused", origin: "remote", final_status: null });
        log.assert_one_failure(&[
            &format!("status={code}"),
            "cause=refused",
            "origin=remote",
            "destination=front-desk",
        ]);
    }
}

#[test]
fn a_busy_desk_returns_the_caller_to_the_agent() {
    let (handoff, _, log) =
        decide(House::open(), "caller_follows_refer_in_vain", &[("sipfrag", "486 Busy Here")], "");
    assert_fields!(handoff, { state: "returned", cause: "busy" });
    assert_fields!(handoff["attempts"][0], { status: 202, final_status: 486, cause: "busy" });
    log.assert_one_failure(&["status=486", "cause=busy"]);
}

#[test]
fn a_report_may_come_before_the_202() {
    let (handoff, _, log) = decide(House::open(), "caller_reports_early", &[("sipfrag", "200 OK")], "");
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    log.assert_quiet();
}

#[test]
fn silence_after_the_202_is_unknown_and_the_legs_stay() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_accepts_and_is_silent").start();
    let (call, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
    assert_fields!(handoff, { state: "unknown", proof: "accepted", cause: "unknown" });
    assert_fields!(handoff["attempts"][0], { status: 202, final_status: null });
    assert!(agent.so_far().all_received("BYE").is_empty(), "the agent's leg stays");
    assert!(caller.so_far().all_received("BYE").is_empty(), "the caller's leg stays");
    house.hang_up(&call);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_nobody_hurt();
}

#[test]
fn no_answer_to_the_refer_is_unknown_and_no_refusal() {
    let (handoff, caller, log) = decide(House::open(), "caller_ignores_refer", &[], "");
    assert_fields!(handoff, { state: "unknown", proof: null, cause: "unknown" });
    let refers = caller.all_received("REFER");
    assert!(refers.len() > 1, "over UDP it is retransmitted");
    assert!(
        refers.iter().all(|again| again.header("CSeq") == refers[0].header("CSeq")),
        "the same message again"
    );
    log.assert_nobody_hurt();
}

#[test]
fn the_caller_may_leave_before_the_result_is_known() {
    for (sipfrag, state) in
        [("200 OK", "succeeded"), ("486 Busy Here", "failed"), ("487 Request Terminated", "abandoned")]
    {
        let house = House::open();
        let agent = house.agent("callee_answers").start();
        let caller = house.caller("caller_leaves_and_reports").key("sipfrag", sipfrag).start();
        let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
        assert_fields!(handoff, { state: state });
        caller.finish();
        bye_of(&agent.finish());
        house.close();
    }
}

#[test]
fn the_caller_may_hang_up_instead_of_being_moved() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_leaves_instead").start();
    let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
    assert_fields!(handoff, { state: "abandoned", proof: null });
    caller.finish();
    bye_of(&agent.finish());
    house.close().assert_nobody_hurt();
}

#[test]
fn a_hostile_value_adds_no_line() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let call = house.answered_call();
    let hostile =
        json!({ "destination": "front-desk", "variables": { "account_id": "7\r\nX-Evil: yes\r\n\r\nbody" } });
    let (status, answer) = house.post(&format!("/v1/calls/{call}/handoff?wait=15s"), &hostile);
    if (400..500).contains(&status) {
        // Refused as a whole: the caller is still there and can be handed over without it.
        house.hand_over(&json!({ "destination": "front-desk" }));
    } else {
        assert_eq!(status, 200, "{answer:#}");
    }
    let caller = caller.finish();
    let refer = caller.received("REFER");
    assert!(refer.headers("X-Evil").is_empty(), "{refer:#?}");
    assert_eq!(refer.body, "");
    agent.finish();
    house.close().assert_nobody_hurt();
}

#[test]
fn a_second_handoff_while_one_runs_is_a_conflict() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_accepts_and_is_silent").start();
    let path = format!("/v1/calls/{}/handoff", house.answered_call());
    let (first, handoff) = house.post(&path, &json!({ "destination": "front-desk" }));
    let (second, problem) = house.post(&path, &json!({ "destination": "front-desk" }));
    assert_eq!((first, second), (202, 409), "{handoff:#} {problem:#}");
    assert!(problem.to_string().contains(&text(&handoff["id"])), "the conflict names the first: {problem:#}");
    let call = text(&handoff["call_id"]);
    assert_fields!(house.ended_handoff(&call), { state: "unknown" });
    house.hang_up(&call);
    caller.finish();
    agent.finish();
    house.close().assert_nobody_hurt();
}

#[test]
fn a_challenge_is_answered_once_and_rightly() {
    for algorithm in ["MD5", "SHA-256"] {
        let trunk = r#"auth = { username = "baton", password = "env:PBX_PASSWORD" }"#.to_owned();
        let house = House::built(Plan { trunk, ..Plan::default() });
        let (handoff, caller, log) =
            decide(house, "caller_challenges_refer", &[("algorithm", algorithm)], "");
        assert_fields!(handoff, { state: "succeeded", proof: "reported" });
        assert_fields!(handoff["attempts"][0], { status: 202 });
        let refers = caller.all_received("REFER");
        assert_eq!(refers.len(), 2, "one challenge, one answer");
        assert_eq!(refers[1].header("Call-ID"), refers[0].header("Call-ID"));
        assert_eq!(sequence(refers[1]), sequence(refers[0]) + 1);
        assert_ne!(refers[1].header("Via"), refers[0].header("Via"), "a new transaction");
        assert_eq!(refers[1].header("X-Caller-ID"), CALLER, "the context comes with it");
        assert_eq!(refers[1].digest("Authorization", "username"), "baton");
        assert_eq!(refers[1].digest("Authorization", "response"), digest_response(refers[1], algorithm));
        log.assert_quiet();
    }
}

#[test]
fn a_hand_back_is_a_bye_with_the_headers() {
    let (handoff, caller, log) = decide(House::with_destination("method = \"bye\""), "caller_waits", &[], "");
    assert_fields!(handoff, { state: "handed_back", proof: "accepted", cause: null });
    assert_fields!(handoff["attempts"][0], { method: "bye", status: 200 });
    let bye = bye_of(&caller);
    assert_eq!(bye.header("X-Caller-ID"), CALLER);
    assert_eq!(bye.header("X-Language"), "en");
    assert_eq!(bye.header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    log.assert_quiet();
}

#[test]
fn a_refused_refer_may_be_handed_back() {
    let house = House::with_destination(&format!(
        "{REFER}\non_failure = {{ refused = [\"bye\"], default = [\"agent\"] }}"
    ));
    let (handoff, caller, log) = decide(house, "caller_refuses_refer", &[], "405 Method Not Allowed");
    assert_fields!(handoff, { state: "handed_back", proof: "accepted" });
    assert_fields!(handoff["attempts"][0], { method: "refer", status: 405 });
    assert_fields!(handoff["attempts"][1], { method: "bye", status: 200 });
    assert_eq!(bye_of(&caller).header("X-Caller-ID"), CALLER);
    log.assert_one_failure(&["status=405", "next=bye"]);
}

fn caller_address(caller: &Transcript) -> String {
    let contact = caller.sent("INVITE").header("Contact");
    contact.trim_start_matches("<sip:pbx@").trim_end_matches('>').to_owned()
}

fn sequence(message: &Message) -> u32 {
    message
        .header("CSeq")
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("CSeq has a number")
}

/// What RFC 7616 section 3.4 wants as `response` from user `baton` with the password that the house was given.
fn digest_response(request: &Message, algorithm: &str) -> String {
    let hash = |text: String| match algorithm {
        "MD5" => hex(&Md5::digest(text)),
        _ => hex(&Sha256::digest(text)),
    };
    let field = |name| request.digest("Authorization", name);
    assert_eq!((field("qop").as_str(), field("nonce").as_str()), ("auth", "d2f0a7"));
    let secret = hash("baton:pbx:s3cret".to_owned());
    let what = hash(format!("REFER:{}", field("uri")));
    hash(format!("{secret}:{}:{}:{}:auth:{what}", field("nonce"), field("nc"), field("cnonce")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
