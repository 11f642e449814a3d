//! Reloading: four ways to ask, all or nothing.

use crate::house::{House, PATIENCE, Plan, TABLE};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn replace(house: &House, text: &str) {
    // As deployments do it: a new file beside, then renamed over the old one.
    let beside = house.path("destinations.toml.new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, house.path("destinations.toml")).unwrap();
}

fn named(name: &str) -> String {
    TABLE.replace("Front desk", name)
}

fn name_in_force(house: &House) -> String {
    let desk = house.get("/v1/environments/production/destinations/front-desk");
    desk["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_changed_file_is_noticed() {
    let house = House::open(Plan::default());
    replace(&house, &named("By file"));
    let line = house.await_line("config.reloaded");
    assert!(line.contains("by=file") && line.contains("changed=production:2"), "{line}");
    assert_eq!(name_in_force(&house), "By file");
    // Written in place, too; and a file that is gone changes nothing.
    fs::write(house.path("destinations.toml"), named("In place")).unwrap();
    house.await_lines("config.reloaded", 2);
    assert_eq!(name_in_force(&house), "In place");
    fs::remove_file(house.path("destinations.toml")).unwrap();
    house.await_line("config.rejected");
    assert_eq!(name_in_force(&house), "In place");
    replace(&house, &named("Back"));
    house.await_lines("config.reloaded", 3);
    assert_eq!(name_in_force(&house), "Back");
}

/// `state.dir` holds more than tables, and whoever looks at a table stirs its folder, too.
#[test]
fn a_folder_that_is_never_quiet_holds_up_no_reload() {
    let house = House::open(Plan::default());
    let is_over = AtomicBool::new(false);
    let reloaded = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(house.path("notes"), number.to_string()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        replace(&house, &named("In the noise"));
        let end = Instant::now() + PATIENCE / 2;
        while name_in_force(&house) != "In the noise" && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
        name_in_force(&house)
    });
    assert_eq!(reloaded, "In the noise");
}

#[test]
fn a_link_that_is_swapped_is_noticed() {
    let house = House::open(Plan::default());
    // As Kubernetes mounts a ConfigMap: the file is a link through a link, and only the one in the middle changes.
    for (folder, name) in [("one", "One"), ("two", "Two")] {
        fs::create_dir(house.path(folder)).unwrap();
        fs::write(house.path(folder).join("destinations.toml"), named(name)).unwrap();
    }
    let point = |link: &str, at: &str| {
        symlink(at, house.path("link.new")).unwrap();
        fs::rename(house.path("link.new"), house.path(link)).unwrap();
    };
    point("data", "one");
    point("destinations.toml", "data/destinations.toml");
    house.await_line("config.reloaded");
    assert_eq!(name_in_force(&house), "One");
    point("data", "two");
    house.await_lines("config.reloaded", 2);
    assert_eq!(name_in_force(&house), "Two");
}

#[test]
fn half_a_file_changes_nothing_until_it_is_whole() {
    let house = House::open(Plan::default());
    let whole = named("Whole");
    let half = whole.find("Whole").unwrap() + 2;
    fs::write(house.path("destinations.toml"), &whole[..half]).unwrap();
    let fault = house.await_line("config.error");
    assert!(fault.contains("destinations.toml:5:"), "{fault}");
    house.await_line("config.rejected");
    assert_eq!(name_in_force(&house), "Front desk");
    let mut file = fs::OpenOptions::new().append(true).open(house.path("destinations.toml")).unwrap();
    file.write_all(&whole.as_bytes()[half..]).unwrap();
    house.await_line("config.reloaded");
    assert_eq!(name_in_force(&house), "Whole");
}

#[test]
fn a_signal_reloads() {
    let house = House::open(Plan::default());
    house.signal("HUP");
    let line = house.await_line("by=signal");
    assert!(line.contains("config.reloaded") && line.contains("serial=2"), "{line}");
}

#[test]
fn a_request_reloads_and_tells_all_faults() {
    let house = House::open(Plan::default());
    replace(&house, &named("By request"));
    let answer = house.ask("POST", "/v1/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(name_in_force(&house), "By request", "the answer comes when it is in force");

    replace(
        &house,
        &format!("{}\n[destination.bad]\nmethod = \"rfer\"\nroute = \"nowhere\"\n", named("Never")),
    );
    let problem = house.ask("POST", "/v1/reload", "").problem(422, "configuration_invalid");
    let errors = problem["errors"].as_array().unwrap();
    assert!(errors.len() >= 2, "every fault at once: {problem}");
    assert!(errors[0]["field"].as_str().unwrap().ends_with("destinations.toml"), "{problem}");
    assert!(errors[0]["line"].is_number() && errors[0]["column"].is_number(), "{problem}");
    assert!(errors[0]["shown"].as_str().unwrap().contains('^'), "{problem}");
    assert_eq!(name_in_force(&house), "By request", "the last good one stays");
}

#[test]
fn the_command_line_reloads() {
    let house = House::open(Plan::default());
    replace(&house, &named("By hand"));
    let done = house.cli(&["reload", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let reloaded: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(reloaded["environments"]["production"]["version"], 2);
    assert_eq!(name_in_force(&house), "By hand");
    replace(&house, "default = 1");
    let refused = house.cli(&["reload"]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("destinations.toml:1:11"), "{refused:?}");
    assert_eq!(name_in_force(&house), "By hand");
}

#[test]
fn what_needs_a_restart_is_told() {
    let house = House::open(Plan::default());
    let path = house.path("baton.toml");
    let text =
        fs::read_to_string(&path).unwrap().replace("drain = \"200ms\"", "drain = \"200ms\"\nmax_calls = 7");
    fs::write(&path, text).unwrap();
    let reloaded = house.ask("POST", "/v1/reload", "").json();
    assert_eq!(reloaded["restart_required"], json!(["sip.max_calls"]), "{reloaded}");
    house.await_line("config.restart_required");
}

#[test]
fn what_is_doubtful_is_logged_and_told_and_still_in_force() {
    let house = House::open(Plan::default());
    fs::write(
        house.path("destinations.toml"),
        format!("{TABLE}\n[destination.doubtful]\nroute = \"+1415555\"\n"),
    )
    .unwrap();
    let line = house.await_line("config.warning");
    assert!(line.contains("no number that can exist under +1") && line.contains("hint="), "{line}");
    house.await_line("config.reloaded");
    let answer = house.ask("POST", "/v1/reload", "{}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let warning = answer.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("destinations.toml:") && warning.contains("help: "), "{warning}");
    assert_eq!(house.get("/v1/environments/production/destinations/doubtful")["route"], json!("+1415555"));
}
