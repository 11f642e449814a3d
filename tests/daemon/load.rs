//! A thousand reloads, and a hundred promotions and rollbacks, under fifty handoffs a second: none of them fails, and each
//! is made by one version as a whole.

use crate::change::with_sandbox;
use crate::house::{House, PATIENCE, Plan, TABLE};
use crate::patient::patiently;
use crate::phone::{Dialog, Phone, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RELOADS: usize = 1000;
const CHANGES: usize = 100;
/// From one call to the next.
const SPACING: Duration = Duration::from_millis(20);
/// From a REFER to its result: the table changes many times meanwhile.
const TAKES: Duration = Duration::from_millis(200);

/// A table that says in two places which one it is.
fn marked(mark: u64) -> String {
    TABLE.replace("+14155550123", &number(mark)).replace("\"${account:-none}\"", &format!("\"{mark}\""))
}

fn number(mark: u64) -> String {
    format!("+1415555{mark:04}")
}

/// The next message, if one comes soon.
fn next(phone: &Phone, buffer: &mut [u8]) -> Option<String> {
    match patiently(|| phone.socket.recv_from(buffer)) {
        Ok((length, _)) => Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

fn dialog(message: &str, [local, remote]: [String; 2]) -> Dialog {
    let contact = header(message, "Contact");
    let target = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
    Dialog { call_id: header(message, "Call-ID"), local, remote, target }
}

/// Takes every call and has each one moved as soon as it stands.
fn agent(phone: &Phone, is_over: &AtomicBool) {
    let mut buffer = [0; 65_535];
    let mut talking = HashMap::new();
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = next(phone, &mut buffer) else { continue };
        match message.split(' ').next().unwrap() {
            "INVITE" => {
                let answer = phone.answer(&message, "200 OK");
                let ends = [header(&answer, "To"), header(&message, "From")];
                talking.insert(header(&message, "Call-ID"), dialog(&message, ends));
                phone.send(&answer);
            }
            "ACK" => {
                if let Some(dialog) = talking.remove(&header(&message, "Call-ID")) {
                    let refer = "Refer-To: <sip:front-desk@baton>\r\n";
                    phone.send(&phone.inside(&dialog, "REFER", 1, refer, ""));
                }
            }
            "NOTIFY" | "BYE" => phone.send(&phone.answer(&message, "200 OK")),
            _ => {}
        }
    }
}

/// What the PBX was asked for a caller: the number, and the mark.
type Asked = (String, String);

/// Calls, takes every REFER, says that it worked, and hangs up when it is told to. Gives what it was asked, by Call-ID.
fn pbx(phone: &Phone, is_enough: &AtomicBool) -> BTreeMap<String, Asked> {
    let mut buffer = [0; 65_535];
    let (mut dialogs, mut asked, mut ended) = (HashMap::new(), BTreeMap::new(), 0);
    let mut results = VecDeque::<(Instant, String)>::new();
    let mut made = 0;
    let mut due = Instant::now();
    let mut last = Instant::now();
    loop {
        if !is_enough.load(Ordering::Relaxed) {
            if due <= Instant::now() {
                phone.send(&phone.request("INVITE", &format!("load-{made}")));
                made += 1;
                due += SPACING;
            }
        } else if ended == made {
            return asked;
        }
        while let Some((at, text)) = results.pop_front() {
            if Instant::now() < at {
                results.push_front((at, text));
                break;
            }
            phone.send(&text);
        }
        let Some(message) = next(phone, &mut buffer) else {
            assert!(last.elapsed() < PATIENCE, "{ended} of {made} calls have ended");
            continue;
        };
        last = Instant::now();
        let id = header(&message, "Call-ID");
        match message.split(' ').next().unwrap() {
            "SIP/2.0"
                if message.starts_with("SIP/2.0 200") && header(&message, "CSeq").ends_with("INVITE") =>
            {
                let dialog = dialog(&message, [header(&message, "From"), header(&message, "To")]);
                phone.send(&phone.inside(&dialog, "ACK", 1, "", ""));
                dialogs.insert(id, dialog);
            }
            "REFER" => {
                phone.send(&phone.answer(&message, "202 Accepted"));
                let more = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n\
                            Content-Type: message/sipfrag\r\n";
                let result = phone.inside(&dialogs[&id], "NOTIFY", 20, more, "SIP/2.0 200 OK\r\n");
                results.push_back((Instant::now() + TAKES, result));
                let to = header(&message, "Refer-To");
                let number = to.trim_start_matches("<sip:").split('@').next().unwrap().to_owned();
                asked.insert(id, (number, header(&message, "X-Account")));
            }
            "BYE" => {
                phone.send(&phone.answer(&message, "200 OK"));
                ended += usize::from(dialogs.remove(&id).is_some());
            }
            _ => {}
        }
    }
}

/// Changes the table all the time. Gives the mark of each version, and how often handoffs ran by an older one.
fn operator(house: &House) -> (BTreeMap<u64, u64>, usize) {
    let mut overlaps = 0;
    let mut post = |path: &str, body: Value| {
        let answer = house.ask("POST", path, &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let answer = answer.json();
        overlaps += usize::from(answer["handoffs_by_older"].as_u64().is_some_and(|older| older > 0));
        answer
    };
    let write = |name: &str, mark: u64| {
        fs::write(house.path("new"), marked(mark)).unwrap();
        fs::rename(house.path("new"), house.path(name)).unwrap();
    };
    let mut marks = BTreeMap::from([(2, 0)]);
    for step in 1..=RELOADS + CHANGES {
        let mark = step as u64;
        let (version, mark) = match step % 22 {
            11 => {
                write("destinations.sandbox.toml", mark);
                let body = json!({ "from": "sandbox", "message": "load" });
                (post("/v1/environments/production/promote", body)["version"].clone(), mark)
            }
            0 => {
                let (current, _) = marks.last_key_value().unwrap();
                let back = current - 5;
                let body = json!({ "version": back, "message": "load" });
                (post("/v1/environments/production/rollback", body)["version"].clone(), marks[&back])
            }
            _ => {
                write("destinations.toml", mark);
                (post("/v1/reload", json!({}))["environments"]["production"]["version"].clone(), mark)
            }
        };
        assert!(marks.insert(version.as_u64().unwrap(), mark).is_none(), "each step is a version: {marks:?}");
    }
    (marks, overlaps)
}

/// What was written of the calls that have ended; half a line is being written.
fn records(house: &House) -> Vec<Value> {
    let files = fs::read_dir(house.path("state/records")).unwrap();
    let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_thousand_reloads_and_a_hundred_changes_under_fifty_handoffs_a_second() {
    let (caller, agent_phone) = (Phone::new(), Phone::new());
    let house = with_sandbox(Plan { agent: agent_phone.at, pbx: caller.at, ..Plan::default() });
    fs::write(house.path("destinations.toml"), marked(0)).unwrap();
    house.await_line("changed=production:2");
    for phone in [&caller, &agent_phone] {
        phone.towards(house.udp);
        phone.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let (is_enough, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let begun = Instant::now();
    let ((marks, overlaps), asked, took) = std::thread::scope(|scope| {
        let is_over = &is_over;
        let is_enough = &is_enough;
        scope.spawn(move || agent(&agent_phone, is_over));
        let calls = scope.spawn(move || pbx(&caller, is_enough));
        let changed = operator(&house);
        is_enough.store(true, Ordering::Relaxed);
        let asked = calls.join();
        let took = begun.elapsed();
        // The agent answers its last BYE, too.
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| house.await_metric("baton_calls", 0)));
        is_over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (changed, asked.unwrap(), took)
    });
    let (calls, seconds) = (asked.len(), took.as_secs_f64());
    assert!(calls as f64 > seconds * 40.0, "{calls} handoffs in {seconds:.1} s");

    let end = Instant::now() + PATIENCE;
    let records = loop {
        let records = records(&house);
        if records.len() == calls || Instant::now() > end {
            break records;
        }
    };
    assert_eq!(records.len(), calls);
    let mut versions = BTreeMap::<u64, usize>::new();
    for record in &records {
        let [handoff] = record["handoffs"].as_array().unwrap().as_slice() else {
            panic!("one handoff: {record}")
        };
        assert_eq!(
            (&handoff["state"], &handoff["proof"]),
            (&json!("succeeded"), &json!("reported")),
            "{record}"
        );
        let version = handoff["table_version"].as_u64().unwrap();
        let mark = marks.get(&version).copied().unwrap_or_else(|| panic!("never a version: {record}"));
        let attempt = &handoff["attempts"][0];
        assert_eq!(attempt["route"], number(mark).as_str(), "{record}");
        let id = attempt["sip_call_id"].as_str().unwrap();
        assert_eq!(asked[id], (number(mark), mark.to_string()), "{record}");
        *versions.entry(version).or_default() += 1;
    }
    assert!(versions.len() > 100, "handoffs by {} versions", versions.len());
    assert_eq!(house.lines(" ERROR "), 0);
    assert_eq!(house.lines("handoff.attempt_failed"), 0);
    assert!(overlaps > CHANGES / 2, "handoffs ran on over {overlaps} changes");
    // And none of the old versions is held any more.
    let last = house.ask("POST", "/v1/environments/production/rollback", r#"{"message":"the last"}"#).json();
    assert_eq!(last["handoffs_by_older"], 0, "{last}");
}
