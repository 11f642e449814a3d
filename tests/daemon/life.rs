//! Start and end: the supervisor's socket, the drain, what survives a restart.

use crate::house::{House, PATIENCE, Plan, write_configuration};
use crate::http::request;
use crate::patient::patiently;
use crate::phone::{Phone, Talk, header};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

fn house_with(drain: &'static str) -> (House, Talk, Phone) {
    let (caller, agent, other) = (Phone::new(), Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, drain, ..Plan::default() });
    let talk = Talk::begin(caller, agent, house.udp, "life");
    other.towards(house.udp);
    (house, talk, other)
}

#[test]
fn a_drain_takes_no_new_calls_and_lets_the_live_one_finish() {
    let (mut house, talk, other) = house_with("1m");
    house.signal("TERM");
    house.await_line("serve.draining");
    let readyz = request(house.http, "GET", "/readyz", &[("Host", house.http.to_string())], "");
    readyz.problem(503, "draining");
    other.send(&other.request("OPTIONS", "o-1"));
    let refused = other.receive("SIP/2.0 503");
    assert!(header(&refused, "Retry-After").parse::<u32>().is_ok(), "{refused}");
    other.send(&other.request("INVITE", "i-1"));
    let refused = other.receive("SIP/2.0 503");
    let wait: u32 = header(&refused, "Retry-After").parse().unwrap();
    assert!((5..=10).contains(&wait), "{refused}");
    house.ask("POST", "/v1/reload", "").problem(503, "draining");
    // The live call goes on until the caller hangs up.
    assert_eq!(house.get(&format!("/v1/calls/{}", talk.call))["state"], "talking");
    talk.caller.send(&talk.caller.inside(&talk.dialog, "BYE", 2, "", ""));
    talk.caller.receive("SIP/2.0 200");
    let bye = talk.agent.receive("BYE ");
    talk.agent.send(&talk.agent.answer(&bye, "200 OK"));
    assert_eq!(house.ended().code(), Some(0));
    house.await_line("serve.stopped");
}

#[test]
fn what_lives_after_the_grace_is_closed_with_a_reason() {
    let (mut house, talk, _) = house_with("100ms");
    house.signal("TERM");
    let (caller, agent) = talk.end();
    assert!(!header(&caller, "Reason").is_empty() && !header(&agent, "Reason").is_empty());
    assert_eq!(house.ended().code(), Some(0));
    let records = fs::read_dir(house.path("state/records")).unwrap().count();
    assert_eq!(records, 1, "the record is written before the end");
}

#[test]
fn a_second_signal_ends_the_grace() {
    let (mut house, talk, _) = house_with("1h");
    house.signal("INT");
    house.await_line("serve.draining");
    house.signal("INT");
    talk.end();
    assert_eq!(house.ended().code(), Some(0));
    house.await_line("serve.hurried");
}

#[test]
fn the_supervisor_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |what: &str| -> String {
        let mut buffer = [0; 4096];
        loop {
            let length =
                patiently(|| socket.recv(&mut buffer)).unwrap_or_else(|error| panic!("{what}: {error}"));
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if text.lines().any(|line| line.starts_with(what)) {
                return text;
            }
        }
    };
    let environment =
        vec![("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "200000".to_owned())];
    let mut house = House::open(Plan { environment, ..Plan::default() });
    hear("READY=1");
    for _ in 0..5 {
        hear("WATCHDOG=1");
    }
    house.signal("HUP");
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    house.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(house.ended().code(), Some(0));
}

#[test]
fn a_restart_keeps_token_and_slots() {
    let mut first = House::open(Plan::default());
    let (token, key) = (first.token.clone(), fs::read(first.path("state/slot-key")).unwrap());
    first.signal("TERM");
    first.ended();
    let second = House::again(Arc::clone(&first.folder), Plan::default());
    assert_eq!(second.token, token);
    assert_eq!(fs::read(second.path("state/slot-key")).unwrap(), key);
    assert_eq!(second.ask("GET", "/v1/calls", "").status, 200);
}

#[test]
fn why_it_cannot_start_is_said_once_and_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    crate::house::write_configuration(folder.path(), &Plan::default());
    let path = folder.path().join("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.starts_with("listen") && !line.contains("udp")).unwrap();
    fs::write(&path, text.replace(line, &format!("listen = \"{at}\""))).unwrap();
    let ended = crate::house::baton().args(["serve", "--config"]).arg(&path).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said.matches("already in use").count(), 1, "{said}");
    assert!(said.contains("http.listen") && said.contains("ss -lnp"), "{said}");
}

#[test]
fn a_call_whose_invite_carries_replaces_stays_in_one_shard() {
    let (mut caller, mut agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, workers: 4, ..Plan::default() });
    for number in 0..8 {
        caller.towards(house.udp);
        let invite = caller.request("INVITE", &format!("replaces-{number}"));
        let replaces = format!("Max-Forwards: 70\r\nReplaces: other-{number}@elsewhere;to-tag=1;from-tag=2");
        let invite = invite.replace("Max-Forwards: 70", &replaces);
        let talk = Talk::begin_with(caller, agent, house.udp, &invite);
        talk.caller.send(&talk.caller.inside(&talk.dialog, "BYE", 2, "", ""));
        let ended = talk.caller.receive("SIP/2.0 ");
        assert!(ended.starts_with("SIP/2.0 200") && ended.contains(" BYE\r\n"), "{ended}");
        let bye = talk.agent.receive("BYE ");
        talk.agent.send(&talk.agent.answer(&bye, "200 OK"));
        (caller, agent) = (talk.caller, talk.agent);
    }
}

#[test]
fn an_agents_limit_counts_over_all_shards() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let limit = "max_calls = 2\n[environment.production]";
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plan = Plan { agent: agent.at, pbx: caller.at, workers: 4, ..Plan::default() };
    write_configuration(folder.path(), &plan);
    let path = folder.path().join("baton.toml");
    let text = fs::read_to_string(&path).unwrap().replace("[environment.production]", limit);
    fs::write(&path, text).unwrap();
    let house = House::again(folder, plan);
    let first = Talk::begin(caller, agent, house.udp, "limit-0");
    let second = Talk::begin(first.caller, first.agent, house.udp, "limit-1");
    // Each further one goes to the fallback, which is the caller's own trunk.
    for number in 2..14 {
        second.caller.towards(house.udp);
        second.caller.send(&second.caller.request("INVITE", &format!("limit-{number}")));
        let target = second.caller.receive("INVITE ");
        assert!(target.starts_with("INVITE sip:+14155550123@"), "{target}");
        second.caller.send(&second.caller.answer(&target, "486 Busy Here"));
        second.caller.receive("SIP/2.0 486");
    }
    assert!(!second.agent.has_mail(), "the agent has two calls, and hears of no other");
}

#[test]
fn several_shards_serve_one_socket() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, workers: 3, ..Plan::default() });
    // Call-IDs of all kinds, so that each shard owns some; one pair of phones has them one after the other.
    let mut talk = Talk::begin(caller, agent, house.udp, "shard-0");
    let mut calls = vec![talk.call.clone()];
    for number in 1..12 {
        let Talk { caller, agent, .. } = talk;
        talk = Talk::begin(caller, agent, house.udp, &format!("shard-{number}"));
        calls.push(talk.call.clone());
    }
    let mut seen: Vec<String> = Vec::new();
    let mut page = house.get("/v1/calls?limit=5");
    loop {
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => page = house.get(&format!("/v1/calls?limit=5&cursor={cursor}")),
            None => break,
        }
    }
    seen.sort();
    calls.sort();
    assert_eq!(seen, calls, "every call on exactly one page");
    for call in &calls {
        assert_eq!(house.get(&format!("/v1/calls/{call}"))["state"], "talking");
    }
}

#[test]
fn a_call_over_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6 loopback");
        return;
    }
    let (caller, agent, other) = (Phone::at("[::1]:0"), Phone::at("[::1]:0"), Phone::at("[::1]:0"));
    let house = House::open(Plan { host: "[::1]", agent: agent.at, pbx: caller.at, ..Plan::default() });
    assert!(house.udp.is_ipv6() && house.tcp.is_ipv6());
    let talk = Talk::begin(caller, agent, house.udp, "six");
    let via = format!("SIP/2.0/UDP {};", house.udp);
    assert!(header(&talk.invite, "Via").starts_with(&via), "{}", talk.invite);
    assert!(header(&talk.invite, "Contact").contains(&format!("@{}", house.udp)), "{}", talk.invite);
    assert!(talk.dialog.target.contains(&house.udp.to_string()), "{:?}", talk.dialog);
    let peer = &house.get(&format!("/v1/calls/{}", talk.call))["legs"][0]["peer"];
    assert_eq!(peer, &format!("udp:{}", talk.caller.at));
    talk.caller.send(&talk.caller.inside(&talk.dialog, "BYE", 2, "", ""));
    talk.caller.receive("SIP/2.0 200");
    let bye = talk.agent.receive("BYE ");
    talk.agent.send(&talk.agent.answer(&bye, "200 OK"));
    house.await_line("call.ended");

    let mut stream = TcpStream::connect(house.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(other.request("OPTIONS", "six-tcp").replace("/UDP", "/TCP").as_bytes()).unwrap();
    let mut first = [0; 11];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"SIP/2.0 200");
}

#[test]
fn an_agent_whose_port_is_closed_by_tcp_costs_no_more_than_its_attempt() {
    // Bound and not listening: the port is ours, and a connection to it is refused at once.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = socket.local_addr().unwrap().as_socket().unwrap();
    let caller = Phone::new();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plan = Plan { agent: nobody, pbx: caller.at, ..Plan::default() };
    write_configuration(folder.path(), &plan);
    let path = folder.path().join("baton.toml");
    let by_tcp = format!("sip:booking@{nobody};transport=tcp");
    let text = fs::read_to_string(&path).unwrap().replace(&format!("sip:booking@{nobody}"), &by_tcp);
    fs::write(&path, text).unwrap();
    let house = House::again(folder, plan);
    caller.towards(house.udp);
    caller.send(&caller.request("INVITE", "nobody"));
    // The agent is absent, so the fallback's route is called: at the trunk's host, which is the caller's own phone.
    let line = house.await_line("net.connect_failed");
    assert!(line.contains(&nobody.to_string()), "{line}");
    let lost = house.await_line("leg.lost");
    assert!(lost.contains("leg=agent") && lost.contains("origin=local"), "{lost}");
    let fallback = caller.receive("INVITE ");
    assert!(fallback.starts_with("INVITE sip:+14155550123@127.0.0.1"), "{fallback}");
    house.await_metric("baton_connections", 0);
}

/// The journal takes a priority from the beginning of each line, so that `journalctl -p warning` finds the warnings.
#[test]
fn a_line_of_the_journal_has_its_priority() {
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &Plan::default());
    let (reader, writer) = std::io::pipe().unwrap();
    let journal = fs::metadata(format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap();
    let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_baton"))
        .args(["serve", "--config", folder.path().join("baton.toml").to_str().unwrap()])
        .env("JOURNAL_STREAM", format!("{}:{}", journal.dev(), journal.ino()))
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let ready = lines.find(|line| line.contains("serve.ready")).unwrap();
    assert!(ready.starts_with("<6>20"), "{ready}");
    fs::write(folder.path().join("destinations.toml"), "default = ").unwrap();
    let fault = lines.find(|line| line.contains("config.error")).unwrap();
    assert!(fault.starts_with("<4>20"), "{fault}");
    serve.kill().unwrap();
    serve.wait().unwrap();
}

/// What stops it before there is a log is an error of the journal, too, in each of its lines.
#[test]
fn a_configuration_that_is_refused_is_an_error_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &Plan::default());
    fs::write(folder.path().join("destinations.toml"), "default = ").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let journal = fs::metadata(format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap();
    let mut serve = crate::house::baton()
        .args(["serve", "--config", folder.path().join("baton.toml").to_str().unwrap()])
        .env("JOURNAL_STREAM", format!("{}:{}", journal.dev(), journal.ino()))
        .stderr(writer)
        .spawn()
        .unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(78));
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(said.lines().count() > 2 && said.lines().all(|line| line.starts_with("<3>")), "{said}");
}

#[test]
fn state_is_kept_in_the_directory_that_systemd_gives() {
    let given = tempfile::tempdir().unwrap();
    let state = given.path().join("baton");
    let environment = vec![("STATE_DIRECTORY", state.display().to_string())];
    let house = House::open(Plan { environment, ..Plan::default() });
    assert_eq!(house.ask("GET", "/v1/calls", "").status, 200);
    assert!(state.join("versions.redb").is_file());
    assert!(!house.path("state").exists(), "and nowhere else");
}

/// A start that would end the same way each time is not tried again: `RestartPreventExitStatus=78`.
#[test]
fn what_is_not_permitted_is_a_fault_of_the_configuration() {
    let ends = |change: &dyn Fn(String) -> String, word: &str| {
        let folder = tempfile::tempdir().unwrap();
        write_configuration(folder.path(), &Plan::default());
        let path = folder.path().join("baton.toml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        let mut serve = crate::house::unprivileged(folder.path());
        let ended = serve.args(["serve", "--config"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(78), "{said}");
        assert!(said.contains(word), "{said}");
    };
    for state in ["/etc/nowhere", "destinations.toml/state"] {
        ends(&|text| format!("{text}[state]\ndir = \"{state}\"\n"), "state.dir");
    }
    let low = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if low.trim() == "0" {
        eprintln!("SKIPPED: every port is free to everybody here");
        return;
    }
    ends(&|text| text.replace("udp:127.0.0.1:0", "udp:127.0.0.1:1"), "CAP_NET_BIND_SERVICE");
}
