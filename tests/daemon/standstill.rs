//! The process is stopped and goes on: nobody is judged for what it could not hear meanwhile, and it says so.

use crate::house::{House, PATIENCE, Plan, field, write_configuration};
use crate::phone::{Dialog, Phone, Talk, header};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon with a destination by REFER and one by INVITE, whose timeouts are short.
fn house(caller: SocketAddr, agent: SocketAddr, desk: SocketAddr, response: &str) -> House {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plan = Plan { agent, pbx: caller, ..Plan::default() };
    write_configuration(folder.path(), &plan);
    let table = format!(
        "default = \"front-desk\"\n[destination.front-desk]\nroute = \"+14155550123\"\n\
         timeouts = {{ response = \"{response}\" }}\n[destination.desk]\nmethod = \"invite\"\n\
         route = \"sip:desk@{desk}\"\ntimeouts = {{ ring = \"3s\" }}\non_failure = [\"agent\"]\n"
    );
    fs::write(folder.path().join("destinations.toml"), table).unwrap();
    House::again(folder, plan)
}

fn hand_over(house: &House, call: &str, destination: &str) {
    let body = format!("{{\"destination\": \"{destination}\"}}");
    let answer = house.ask("POST", &format!("/v1/calls/{call}/handoff"), &body);
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// How a process stands still. Gives back when it goes on.
trait Still {
    fn stop(&self, house: &House);
    fn go_on(&self, house: &House);
}

struct Signals;

impl Still for Signals {
    fn stop(&self, house: &House) {
        house.signal("STOP");
        // The signal is sent; it has come when the kernel says so.
        let stat = format!("/proc/{}/stat", house.pid());
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().starts_with(" T") {
            assert!(Instant::now() < end, "it does not stop");
        }
    }

    fn go_on(&self, house: &House) {
        house.signal("CONT");
    }
}

/// The freezer of cgroups, as `docker pause` uses it (version 1 here; where there is none, the test says so).
struct Freezer(String);

impl Freezer {
    fn new() -> Option<Freezer> {
        let group = format!("/sys/fs/cgroup/freezer/baton-standstill-{}", std::process::id());
        fs::create_dir(&group).ok()?;
        Path::new(&group).join("freezer.state").exists().then(|| Freezer(group))
    }

    fn set(&self, state: &str) {
        let file = format!("{}/freezer.state", self.0);
        fs::write(&file, state).unwrap();
        let end = Instant::now() + PATIENCE;
        while fs::read_to_string(&file).unwrap().trim() != state {
            assert!(Instant::now() < end, "{file} is not {state}");
        }
    }
}

impl Still for Freezer {
    fn stop(&self, house: &House) {
        fs::write(format!("{}/cgroup.procs", self.0), house.pid()).unwrap();
        self.set("FROZEN");
    }

    fn go_on(&self, _: &House) {
        self.set("THAWED");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(format!("{}/freezer.state", self.0), "THAWED");
        // The group goes when the process has gone.
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// A REFER that the PBX confirms while the process stands still, for longer than `response`.
fn a_refer_confirmed_meanwhile(still: &dyn Still, lasting: Duration) -> House {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = house(caller.at, agent.at, agent.at, "3s");
    let talk = Talk::begin(caller, agent, house.udp, "still-refer");
    hand_over(&house, &talk.call, "front-desk");
    let refer = talk.caller.receive("REFER ");
    // Shortly before the deadline, so that a short standstill is over after it.
    sleep(Duration::from_millis(2600));
    still.stop(&house);
    talk.caller.send(&talk.caller.answer(&refer, "202 Accepted"));
    sleep(lasting);
    still.go_on(&house);
    talk.report(&refer, "200 OK");
    talk.end();
    house.await_metric("baton_handoffs_ended_total{state=\"succeeded\"}", 1);
    house
}

#[test]
fn a_refer_that_was_confirmed_while_the_process_was_stopped_succeeds() {
    let house = a_refer_confirmed_meanwhile(&Signals, Duration::from_millis(2500));
    let line = house.await_line("process.stood_still");
    assert!(line.contains(" WARN ") && line.contains("hint="), "{line}");
    let ms: u64 = field(&line, "ms").parse().unwrap();
    assert!((2400..20_000).contains(&ms), "{line}");
    assert_eq!(house.lines("process.stood_still"), 1);
    assert_eq!(house.metric("baton_standstills_total"), 1);
}

#[test]
fn a_standstill_that_is_too_short_to_be_told_costs_nobody_an_answer() {
    let house = a_refer_confirmed_meanwhile(&Signals, Duration::from_millis(450));
    assert_eq!(house.lines("shard.stuck"), 0);
}

#[test]
fn a_refer_that_was_confirmed_while_the_container_was_frozen_succeeds() {
    let Some(freezer) = Freezer::new() else {
        eprintln!("NOT RUN: there is no cgroup freezer that this user may use");
        return;
    };
    let house = a_refer_confirmed_meanwhile(&freezer, Duration::from_millis(2500));
    house.await_line("process.stood_still");
    drop(house);
}

#[test]
fn a_target_that_answered_while_the_process_was_stopped_is_not_hung_up_as_no_answer() {
    let (caller, agent, desk) = (Phone::new(), Phone::new(), Phone::new());
    let house = house(caller.at, agent.at, desk.at, "3s");
    let talk = Talk::begin(caller, agent, house.udp, "still-ring");
    hand_over(&house, &talk.call, "desk");
    let invite = desk.receive("INVITE ");
    desk.send(&desk.answer(&invite, "180 Ringing"));
    house.await_line("state=ringing");
    Signals.stop(&house);
    desk.send(&desk.answer(&invite, "200 OK"));
    sleep(Duration::from_millis(3500));
    Signals.go_on(&house);
    desk.receive("ACK ");
    let offer = talk.caller.receive("INVITE ");
    talk.caller.send(&talk.caller.answer(&offer, "200 OK"));
    talk.caller.receive("ACK ");
    let bye = talk.agent.receive("BYE ");
    talk.agent.send(&talk.agent.answer(&bye, "200 OK"));
    house.await_metric("baton_handoffs_ended_total{state=\"succeeded\"}", 1);
}

#[test]
fn two_hundred_refers_that_were_confirmed_while_the_process_was_stopped_succeed() {
    const CALLS: usize = 200;
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = house(caller.at, agent.at, agent.at, "5s");
    caller.towards(house.udp);
    let mut dialogs = HashMap::new();
    let mut calls = Vec::new();
    for number in 0..CALLS {
        caller.send(&caller.request("INVITE", &format!("crowd-{number}")));
        let invite = agent.receive("INVITE ");
        agent.send(&agent.answer(&invite, "200 OK"));
        let dialog = Dialog::answered(&caller.receive("SIP/2.0 200"));
        caller.send(&caller.inside(&dialog, "ACK", 1, "", ""));
        agent.receive("ACK ");
        calls.push(header(&invite, "X-Baton-Call-ID"));
        dialogs.insert(dialog.call_id.clone(), dialog);
    }
    calls.iter().for_each(|call| hand_over(&house, call, "front-desk"));
    let mut refers = HashMap::new();
    while refers.len() < CALLS {
        let refer = caller.receive("REFER ");
        refers.insert(header(&refer, "Call-ID"), refer);
    }
    Signals.stop(&house);
    refers.values().for_each(|refer| caller.send(&caller.answer(refer, "202 Accepted")));
    sleep(Duration::from_millis(5500));
    Signals.go_on(&house);
    let more = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n";
    for dialog in dialogs.values() {
        caller.send(&caller.inside(dialog, "NOTIFY", 20, more, "SIP/2.0 200 OK\r\n"));
        // In turn, so that no buffer runs over.
        caller.receive("SIP/2.0 200");
    }
    house.await_metric("baton_handoffs_ended_total{state=\"succeeded\"}", CALLS as u64);
    assert_eq!(house.metric("baton_handoffs_ended_total{state=\"unknown\"}"), 0);
    assert_eq!(house.lines("process.stood_still"), 1);
}

/// A caller that speaks TCP: text on one stream.
struct Stream(TcpStream);

impl Stream {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.replace("SIP/2.0/UDP", "SIP/2.0/TCP").as_bytes()).unwrap();
    }

    /// The next message whose first line contains `what`; others are passed over.
    fn receive(&mut self, what: &str) -> String {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                self.0.read_exact(&mut byte).unwrap_or_else(|error| panic!("{what} awaited: {error}"));
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let mut body = vec![0; header(&head, "Content-Length").parse().unwrap()];
            self.0.read_exact(&mut body).unwrap();
            if head.lines().next().unwrap().contains(what) {
                return head;
            }
        }
    }
}

#[test]
fn an_answer_that_waits_in_a_stream_is_read_before_its_deadline() {
    for lasting in [450, 2500] {
        let (phone, agent) = (Phone::new(), Phone::new());
        let house = house(phone.at, agent.at, agent.at, "3s");
        let stream = TcpStream::connect(house.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let at = stream.local_addr().unwrap();
        let mut caller = Stream(stream);
        // Its texts name the phone's address; Baton answers by the stream that they came by.
        let named = |text: String| text.replace(&phone.at.to_string(), &format!("{at};transport=tcp"));
        let via = |text: String| {
            text.replace(";transport=tcp;branch", ";branch").replace(";transport=tcp>;tag", ">;tag")
        };
        let write = |text: String| via(named(text));
        caller.send(&write(phone.request("INVITE", "still-stream")));
        let invite = agent.receive("INVITE ");
        agent.send(&agent.answer(&invite, "200 OK"));
        let dialog = Dialog::answered(&caller.receive("SIP/2.0 200"));
        caller.send(&write(phone.inside(&dialog, "ACK", 1, "", "")));
        agent.receive("ACK ");
        hand_over(&house, &header(&invite, "X-Baton-Call-ID"), "front-desk");
        let refer = caller.receive("REFER ");
        sleep(Duration::from_millis(2600));
        Signals.stop(&house);
        caller.send(&write(phone.answer(&refer, "202 Accepted")));
        sleep(Duration::from_millis(lasting));
        Signals.go_on(&house);
        let more = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n";
        caller.send(&write(phone.inside(&dialog, "NOTIFY", 20, more, "SIP/2.0 200 OK\r\n")));
        caller.receive("SIP/2.0 200");
        house.await_metric("baton_handoffs_ended_total{state=\"succeeded\"}", 1);
    }
}

#[test]
fn a_watchdog_is_not_told_of_a_stuck_shard_after_a_standstill() {
    let house = House::open(Plan {
        environment: vec![
            ("WATCHDOG_USEC", "2000000".to_owned()),
            ("NOTIFY_SOCKET", "/nonexistent".to_owned()),
        ],
        ..Plan::default()
    });
    Signals.stop(&house);
    sleep(Duration::from_millis(2500));
    Signals.go_on(&house);
    house.await_line("process.stood_still");
    house.get("/v1/calls");
    assert_eq!(house.lines("shard.stuck"), 0);
}
