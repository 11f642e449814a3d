//! What the daemon writes to may stop taking it: a log that nobody reads, a file of records that is moved away or whose disk
//! is full. It costs what cannot be written, which is counted, and no call, no other record and no shutdown.

use crate::house::{House, PATIENCE, Plan, field, resident};
use crate::phone::{Phone, Talk};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOST: &str = "baton_log_lines_lost_total";

/// A daemon that writes a line for each message.
fn talkative() -> (House, Phone, Phone) {
    let (caller, agent) = (Phone::new(), Phone::new());
    let extra = "[log]\nlevel = \"debug\"".to_owned();
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, extra, ..Plan::default() });
    (house, caller, agent)
}

/// Sends OPTIONS, two lines each, until lines are lost.
fn fill(house: &House) {
    let phone = Phone::new();
    phone.towards(house.udp);
    let end = Instant::now() + PATIENCE;
    let mut number = 0;
    while house.metric(LOST) == 0 {
        assert!(Instant::now() < end, "no line is lost after {number} OPTIONS");
        for _ in 0..64 {
            phone.send(&phone.request("OPTIONS", &format!("fill-{number}")));
            number += 1;
        }
        (0..64).for_each(|_| drop(phone.receive("SIP/2.0 200")));
    }
}

/// A call that stands and is ended by its caller.
fn call(house: &House, caller: Phone, agent: Phone, id: &str) -> (Phone, Phone) {
    let talk = Talk::begin(caller, agent, house.udp, id);
    hang_up(&talk);
    (talk.caller, talk.agent)
}

fn hang_up(talk: &Talk) {
    talk.caller.send(&talk.caller.inside(&talk.dialog, "BYE", 2, "", ""));
    talk.caller.receive("SIP/2.0 200");
    let bye = talk.agent.receive("BYE ");
    talk.agent.send(&talk.agent.answer(&bye, "200 OK"));
}

/// The files of records.
fn files(house: &House) -> Vec<PathBuf> {
    let folder = fs::read_dir(house.path("state/records"));
    folder.map(|all| all.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Waits until there are so many records in all files.
fn await_records(house: &House, count: usize) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found: usize = files(house).iter().map(|file| lines(file)).sum();
        if found == count {
            return;
        }
        assert!(Instant::now() < end, "{found} records and not {count}");
        std::thread::yield_now();
    }
}

#[test]
fn a_log_that_nobody_reads_costs_lines_and_neither_records_nor_the_end() {
    let (mut house, caller, agent) = talkative();
    let talk = Talk::begin(caller, agent, house.udp, "before");
    let before = resident(&house.pid());
    house.read_log(false);
    fill(&house);
    hang_up(&talk);
    await_records(&house, 1);
    let (caller, agent) = call(&house, talk.caller, talk.agent, "meanwhile");
    await_records(&house, 2);
    assert_eq!(house.metric("baton_records_lost_total{reason=\"no_room\"}"), 0);
    let lost = house.metric(LOST);
    let after = resident(&house.pid());
    assert!(after < before + 64 * 1024, "{before} kB grew to {after} kB");
    // One call is left for the end to close.
    let last = Talk::begin(caller, agent, house.udp, "last");
    let began = Instant::now();
    house.signal("TERM");
    last.end();
    assert_eq!(house.ended().code(), Some(0));
    let took = began.elapsed();
    println!(
        "unread log: {lost} lines lost, resident {before} kB before, {after} kB after; SIGTERM to the end {} ms",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(5), "the grace is 200 ms, and the log gets one second: {took:?}");
    await_records(&house, 3);
}

#[test]
fn a_log_that_is_read_again_says_how_many_lines_are_missing() {
    let (house, ..) = talkative();
    house.read_log(false);
    fill(&house);
    house.read_log(true);
    let said = house.await_line("log.lines_lost");
    let lines: u64 = field(&said, "lines").parse().unwrap();
    assert!(lines > 0 && said.contains(" WARN "), "{said}");
    assert_eq!(house.metric(LOST), lines);
    house.ask("POST", "/v1/reload", "");
    house.await_line("config.reloaded");
    assert_eq!(house.lines("log.lines_lost"), 1);
}

#[test]
fn records_go_on_in_a_new_file_when_theirs_is_moved_or_deleted() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let (caller, agent) = call(&house, caller, agent, "one");
    await_records(&house, 1);
    let file = files(&house).remove(0);
    let moved = house.path("moved.jsonl");
    fs::rename(&file, &moved).unwrap();
    let (caller, agent) = call(&house, caller, agent, "two");
    await_records(&house, 1);
    let said = house.await_line("records.file_gone");
    assert!(said.contains("reason=moved") && lines(&moved) == 1, "{said}");
    // Nobody calls; its space is given back all the same.
    let file = files(&house).remove(0);
    fs::remove_file(&file).unwrap();
    let gone = house.await_lines("records.file_gone", 2).remove(1);
    assert!(gone.contains("reason=deleted"), "{gone}");
    let open = fs::read_dir(format!("/proc/{}/fd", house.pid())).unwrap();
    let open = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    assert_eq!(open.filter(|to| to.to_string_lossy().contains(".jsonl")).count(), 0);
    call(&house, caller, agent, "three");
    await_records(&house, 1);
}

#[test]
fn a_full_disk_costs_the_records_that_it_does_not_take_and_is_told_once() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    // Whatever is written there finds the disk full, today and if the day ends meanwhile.
    let day = |hours: i64| {
        let at = jiff::Timestamp::now() + jiff::Span::new().hours(hours);
        house.path(&format!("state/records/{}.jsonl", &at.to_string()[..10]))
    };
    for file in [day(0), day(24)] {
        std::os::unix::fs::symlink("/dev/full", file).unwrap();
    }
    let (caller, agent) = call(&house, caller, agent, "one");
    house.await_metric("baton_records_lost_total{reason=\"not_written\"}", 1);
    let (caller, agent) = call(&house, caller, agent, "two");
    house.await_metric("baton_records_lost_total{reason=\"not_written\"}", 2);
    for file in [day(0), day(24)] {
        fs::remove_file(file).unwrap();
    }
    call(&house, caller, agent, "three");
    await_records(&house, 1);
    let said = house.await_line("records.written_again");
    assert!(said.contains("lost=2"), "{said}");
    assert_eq!(house.lines("records.not_written"), 1);
}
