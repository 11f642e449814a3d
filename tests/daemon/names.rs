//! A name server that is slow, and callers whose Contacts name ever others: a handoff's name is still looked up, and so are
//! those of another trunk's callers.
//!
//! The daemon asks the name server of the system, at its own port; so this runs in namespaces of its own.

use crate::house::{House, PATIENCE, Plan, TABLE, write_configuration};
use crate::patient::patiently;
use crate::phone::{Phone, Talk};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Set where the test runs in its namespaces.
const INSIDE: &str = "BATON_TEST_NAMESPACE";
const NAME: &str = "names::slow_names_of_one_trunks_callers_stop_neither_a_handoff_nor_another_trunk";

#[test]
fn slow_names_of_one_trunks_callers_stop_neither_a_handoff_nor_another_trunk() {
    if std::env::var_os(INSIDE).is_some() {
        return attack();
    }
    let folder = tempfile::tempdir().unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 127.0.0.1\n").unwrap();
    let inside = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"]);
        unshare.arg(format!(
            "mount --bind '{}' /etc/resolv.conf && ip link set lo up && {command}",
            resolv.display()
        ));
        unshare
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED: this machine gives no namespaces to users (or has no `unshare`, `ip` or /etc/resolv.conf)"
        );
        return;
    }
    let test = std::env::current_exe().unwrap();
    let output = inside(&format!("exec '{}' --exact {NAME} --nocapture", test.display()))
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (told, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{faults}");
    told.lines().filter(|line| line.starts_with("slow names")).for_each(|line| println!("{line}"));
}

/// Knows `desk.test`, and never says a word about anything else.
fn name_server() -> Arc<Mutex<BTreeSet<String>>> {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let asked = Arc::<Mutex<BTreeSet<String>>>::default();
    let note = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = patiently(|| socket.recv_from(&mut buffer)) {
            let (mut at, mut labels) = (12, Vec::new());
            while at < length && buffer[at] > 0 {
                let end = at + 1 + usize::from(buffer[at]);
                labels.push(String::from_utf8_lossy(&buffer[at + 1..end]).to_ascii_lowercase());
                at = end;
            }
            let name = labels.join(".");
            let is_known = name == "desk.test";
            note.lock().unwrap().insert(name);
            if !is_known {
                continue;
            }
            // Of the question that is all: the root label, type and class.
            let (question, is_a) = (at + 5, buffer[at + 2] == 1);
            let mut answer = buffer[..question].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    asked
}

fn attack() {
    let asked = name_server();
    let (caller, other, agent, desk) = (Phone::new(), Phone::at("127.0.0.2:0"), Phone::new(), Phone::new());
    let extra = format!("[trunk.carrier]\naddress = \"sip:{}\"\naccept_from = [\"127.0.0.2\"]", other.at);
    let plan = Plan { agent: agent.at, pbx: caller.at, extra, ..Plan::default() };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_configuration(folder.path(), &plan);
    let table = format!(
        "{TABLE}\n[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@desk.test:{};transport=udp\"\n",
        desk.at.port()
    );
    std::fs::write(folder.path().join("destinations.toml"), table).unwrap();
    let house = House::again(folder, plan);

    let named = |phone: &Phone, id: &str, name: &str| {
        let contact = format!("Contact: <sip:caller@{}>", phone.at);
        phone.request("INVITE", id).replace(&contact, &format!("Contact: <sip:caller@{name}>"))
    };
    let begun = Instant::now();
    let mut talk = None;
    let mut phones = (caller, agent);
    for number in 0..400 {
        let request = named(&phones.0, &format!("slow-{number}"), &format!("c-{number}.slow.test"));
        let standing = Talk::begin_with(phones.0, phones.1, house.udp, &request);
        talk = Some(standing.call.clone());
        phones = (standing.caller, standing.agent);
    }
    let took = begun.elapsed();
    let refused = house.metric("baton_dns_lookups_refused_total");
    // Another trunk's caller has a name as well.
    let request = named(&other, "carrier", "carrier.slow.test");
    Talk::begin_with(other, phones.1, house.udp, &request);
    let end = Instant::now() + PATIENCE;
    while !asked.lock().unwrap().contains("carrier.slow.test") {
        assert!(Instant::now() < end, "the other trunk's caller's name is not looked up");
        std::thread::yield_now();
    }
    let decided = Instant::now();
    let wish = json!({ "destination": "desk" }).to_string();
    let answer = house.ask("POST", &format!("/v1/calls/{}/handoff", talk.unwrap()), &wish);
    assert_eq!(answer.status, 202, "{}", answer.body);
    desk.receive("INVITE ");
    println!(
        "slow names: 400 callers in {} ms, {refused} of their names not looked up; the handoff's target was called after {} ms",
        took.as_millis(),
        decided.elapsed().as_millis()
    );
    assert!(refused > 200, "{refused} names of one trunk's callers found no place");
    assert_eq!(house.lines("net.lookup_refused"), 1, "told once a minute");
}
