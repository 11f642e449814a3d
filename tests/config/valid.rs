//! What is right: the shipped files, the defaults, what a restart is needed for.

use std::path::Path;

use baton::daemon::configuration::{Configuration, load};
use baton::routing::table::{Capacity, Ladder};
use baton::routing::topology::Redirects;
use baton::sip::InDialog;
use baton::sip::leg::reach::{Contact, Large, Reach};

use super::{BATON, TABLE, compare, read, shown};

#[test]
fn the_shipped_configuration_is_valid_and_needs_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/baton.toml");
    let loaded = load(&path);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let configuration = loaded.configuration.expect("no errors");
    assert!(configuration.http.token.is_none());
    assert_eq!(configuration.files().len(), 3);
    let topology = &configuration.topology;
    let trunk = topology.trunk_at("127.0.0.1".parse().unwrap()).expect("this machine");
    assert_eq!(&*topology.agent_for(trunk, "+1 (415) 555-0100").expect("its number").id, "booking");
    let test_calls = |id: &str| topology.environment(id).map(|environment| environment.allow_test_calls);
    assert_eq!((test_calls("production"), test_calls("sandbox")), (Some(false), Some(true)));
    let rehearsal = topology.agent_for(trunk, "rehearsal").expect("its number");
    assert_eq!((&*rehearsal.id, &*rehearsal.environment), ("rehearsal", "sandbox"));
    assert_eq!(&*rehearsal.rehearsal.as_ref().expect("an agent inside").destination, "test-desk");
    for stranger in ["203.0.113.9", "192.168.1.20", "10.0.0.5", "fd00::5"] {
        assert!(!topology.knows(stranger.parse().unwrap()), "nobody else gets an answer: {stranger}");
    }
    let tables = configuration.tables(7);
    assert_eq!(tables.serial, 7);
    assert_eq!(&*tables.table("production").expect("production").default, "front-desk");
    let text = |environment| &*tables.table(environment).expect("it is shipped").text;
    assert!(text("sandbox").starts_with(text("production")), "what is tried begins with what there is");
}

/// The annotated lines of the shipped files are what somebody switches on by removing the `#`.
#[test]
fn what_the_shipped_configuration_comments_out_is_valid_too() {
    let shipped = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let text = std::fs::read_to_string(path).expect(name);
        let key = |line: &str| {
            let line = line.strip_prefix("# ").unwrap_or_default();
            line.starts_with('[')
                || line.split_once(" = ").is_some_and(|(key, _)| {
                    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
                })
        };
        let lines: Vec<&str> = text.lines().map(|line| if key(line) { &line[2..] } else { line }).collect();
        lines.join("\n")
    };
    let baton = shipped("baton.toml").replace("env:", "file:");
    let files = [
        ("baton.toml", &*baton),
        ("destinations.toml", &shipped("destinations.toml")),
        ("destinations.sandbox.toml", &shipped("destinations.sandbox.toml")),
        ("BATON_TOKEN", "token\n"),
        ("PBX_PASSWORD", "password\n"),
    ];
    let (loaded, printed) = read(&files);
    assert!(printed.is_empty(), "{printed}");
    let configuration = loaded.configuration.expect("no errors");
    assert_eq!(configuration.http.token.expect("switched on").expose(), "token");
    assert_eq!(
        configuration.topology.trunks()[0].auth.as_ref().expect("switched on").password.expose(),
        "password"
    );
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", TABLE)]);
    assert_eq!(printed, "");
    let Configuration { sip, http, topology, tables, state_dir, .. } =
        loaded.configuration.expect("no errors");
    let listen: Vec<String> =
        sip.listen.iter().map(|l| format!("{}:{}", l.transport.as_param(), l.address)).collect();
    assert_eq!(listen, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    assert_eq!((sip.workers, sip.max_calls, sip.max_duration.as_secs()), (0, 20_000, 4 * 3600));
    let timer = sip.session_timer.expect("on by default");
    assert_eq!((timer.expires.as_secs(), timer.min_se.as_secs()), (1800, 90));
    assert_eq!(http.listen.to_string(), "127.0.0.1:8060");
    assert!(state_dir.ends_with("state"));
    let (trunk, agent) = (&topology.trunks()[0], &topology.agents()[0]);
    assert!(!trunk.diversion && trunk.onward.allowed.is_none() && trunk.onward.may_route.is_empty());
    assert!(!trunk.refer_from_caller && trunk.auth.is_none() && trunk.accept_from.is_none());
    assert_eq!(trunk.keepalive.map(|k| k.as_secs()), Some(60));
    assert_eq!((agent.answer_timeout.as_secs(), agent.keepalive.map(|k| k.as_secs())), (20, Some(20)));
    let silence = (trunk.patience.failover_after.as_secs(), trunk.patience.first_response.as_secs());
    assert_eq!((silence, agent.first_response.as_secs()), ((2, 4), 4));
    assert_eq!((trunk.reach, agent.reach), (Reach::default(), Reach::default()));
    assert_eq!((trunk.reach.large, trunk.reach.contact), (Large::Tcp, Contact::Dialog));
    assert_eq!((trunk.in_dialog, agent.in_dialog), (InDialog::Known, InDialog::Known));
    assert_eq!(trunk.redirects, Redirects::Table);
    assert!(agent.wildcard && agent.may_route.is_empty() && agent.fallback.is_none());
    let destination = tables["production"].find("front-desk").expect("the default");
    let timeouts = destination.timeouts;
    assert_eq!(
        [timeouts.response, timeouts.outcome, timeouts.ring, timeouts.total].map(|t| t.as_secs()),
        [8, 60, 30, 180]
    );
    assert_eq!(
        (destination.method.name(), destination.brief, destination.require_proven),
        ("refer", false, false)
    );
    assert_eq!(destination.on_failure, Ladder::default());
    assert_eq!(&*destination.reason, "SIP;cause=200;text=\"Handoff\"");
}

#[test]
fn how_many_calls_a_destination_takes() {
    let table = format!("{TABLE}[destination.a]\nroute = \"+14155550124\"\nmax_calls = 30\nmax_cps = 2\n");
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", &table)]);
    assert_eq!(printed, "");
    let tables = loaded.configuration.expect("no errors").tables;
    let capacity = |id: &str| tables["production"].find(id).map(|destination| destination.capacity);
    assert_eq!(capacity("a"), Some(Capacity { max_calls: 30, max_cps: 2 }));
    assert_eq!(capacity("front-desk"), Some(Capacity::default()));
}

#[test]
fn who_may_move_a_caller_on() {
    let baton = BATON.replace(
        "address = \"sip:10.0.0.5\"",
        "address = \"sip:10.0.0.5\"\nmay_transfer = true\nmay_route = [\"+1415\"]\ndiversion = true",
    );
    let table = format!(
        "{TABLE}[destination.a]\nroute = \"+14155550124\"\nmay_transfer = false\n\
         [destination.b]\nroute = \"+14155550125\"\nmay_route = [\"sip:2*@10.0.0.5\"]\ntransfer = \"pass\"\n\
         [destination.c]\nroute = \"+14155550126\"\ntransfer = \"serve\"\n"
    );
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", &table)]);
    assert_eq!(printed, "");
    let Configuration { topology, tables, .. } = loaded.configuration.expect("no errors");
    let trunk = &topology.trunks()[0];
    assert!(trunk.diversion);
    let with = |id: &str, trunk| tables["production"].find(id).expect("it is there").onward.with(trunk);
    assert_eq!(with("a", Some(&trunk.onward)), None);
    let b = with("b", Some(&trunk.onward)).expect("it may");
    assert_eq!((b.may_route.len(), b.pass), (2, true));
    assert!(with("b", None).is_some_and(|b| b.may_route.len() == 1), "`pass` says that it may");
    assert!(with("c", Some(&trunk.onward)).is_some_and(|c| !c.pass));
    assert_eq!(with("c", None), None);
}

#[test]
fn a_restart_is_told_by_key() {
    let old =
        read(&[("baton.toml", BATON), ("destinations.toml", TABLE)]).0.configuration.expect("no errors");
    let text = format!(
        "{BATON}[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ndrain = \"7s\"\nsession_timer = false\n[http]\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut new =
        read(&[("baton.toml", &text), ("destinations.toml", TABLE)]).0.configuration.expect("no errors");
    new.state_dir = old.state_dir.clone();
    assert_eq!(
        Configuration::restart_needed(&old, &new),
        ["sip.listen", "sip.drain", "sip.session_timer", "http.listen"]
    );
    assert!(Configuration::restart_needed(&old, &old).is_empty());
}

#[test]
fn what_the_readme_and_its_chapter_show_is_valid() {
    let (tables, baton) = shown();
    let baton = baton.replace("env:PBX_PASSWORD", "file:password");
    for table in tables {
        let (loaded, printed) =
            read(&[("baton.toml", &baton), ("destinations.toml", &table), ("password", "s3cret")]);
        compare(&loaded, &printed, "");
    }
}
