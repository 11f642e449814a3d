//! `baton init`: five questions, and files that `check --strict` accepts.

use crate::cli::ends;
use crate::house::baton;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

/// `init` with these options, and with `said` on its standard input.
fn init(folder: &Path, options: &[&str], said: &str) -> Output {
    let mut command = baton();
    command.arg("init").arg(folder).args(options);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    // One that asks nothing does not read it.
    let _ = child.stdin.take().unwrap().write_all(said.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn accepted(folder: &Path) {
    let check =
        baton().args(["check", "--strict", "--config"]).arg(folder.join("baton.toml")).output().unwrap();
    ends(&check, 0);
}

#[test]
fn five_answers_make_a_configuration_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let said = "10.0.0.5\n\n+14155550100, booking\n+14155550123\n10.0.0.20:5070\n";
    let written = ends(&init(folder.path(), &[], said), 0);
    assert_eq!(written.matches("]: ").count(), 5, "{written}");
    assert!(written.contains("baton.toml") && written.contains("next: baton serve --config"), "{written}");
    accepted(folder.path());
    let text = fs::read_to_string(folder.path().join("baton.toml")).unwrap();
    for line in [
        "listen = [\"udp:10.0.0.20:5070\", \"tcp:10.0.0.20:5070\"]",
        "address = \"sip:10.0.0.5\"",
        "accept_from = [\"10.0.0.5\"]",
        "address = \"sip:127.0.0.1:5080\"",
        "numbers = [\"+14155550100\", \"booking\"]",
    ] {
        assert!(text.lines().any(|own| own.starts_with(line)), "no `{line}` in\n{text}");
    }
    for table in ["destinations.toml", "destinations.sandbox.toml"] {
        let text = fs::read_to_string(folder.path().join(table)).unwrap();
        assert!(text.contains("route = \"+14155550123\""), "{text}");
        let mode = fs::metadata(folder.path().join(table)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "the daemon is another user");
    }
}

#[test]
fn options_answer_and_the_rest_is_as_suggested() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--pbx", "pbx.example.com", "--agent", "sip:bot@10.0.0.6:5080", "--yes", "--json"];
    let done = init(&folder.path().join("new/folder"), &options, "");
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["written"].as_array().unwrap().len(), 3, "{json}");
    assert!(done.stderr.is_empty() && done.status.success());
    accepted(&folder.path().join("new/folder"));
    // By --config, and beside it no other place.
    let file = folder.path().join("other.toml");
    let by_config =
        |more: &[&str]| baton().args(["init", "--yes", "--config"]).arg(&file).args(more).output().unwrap();
    ends(&by_config(&[]), 0);
    assert!(file.is_file());
    ends(&by_config(&["."]), 2);
}

#[test]
fn an_answer_that_cannot_be_is_told_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let said = "sips:10.0.0.5\n10.0.0.5\n10.0.0.5:5060\n10.0.0.6\n*\n+1415555\n+14155550123\nnowhere\n\n";
    let told = ends(&init(folder.path(), &[], said), 0);
    for fault in [
        "TLS is not carried out yet",
        "has the address of the trunk",
        "no number that can exist",
        "is no address with a port",
    ] {
        assert!(told.contains(fault), "no `{fault}` in\n{told}");
    }
    assert_eq!(told.matches("]: ").count(), 9, "{told}");
    accepted(folder.path());
    // Of options it is the end, and nothing is written.
    let other = tempfile::tempdir().unwrap();
    let told = ends(&init(other.path(), &["--destination", "+1415555", "--yes"], ""), 78);
    assert!(told.contains("no number that can exist"), "{told}");
    let told = ends(&init(other.path(), &["--pbx", "10.0.0.5"], "10.0.0.6\n"), 2);
    assert!(told.contains("give --numbers, or --yes"), "{told}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn what_is_there_is_replaced_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("destinations.sandbox.toml");
    fs::write(&table, "mine").unwrap();
    let told = ends(&init(folder.path(), &[], ""), 6);
    assert!(told.contains("destinations.sandbox.toml is there already") && !told.contains("]: "), "{told}");
    assert_eq!(
        (fs::read_to_string(&table).unwrap(), fs::read_dir(folder.path()).unwrap().count()),
        ("mine".to_owned(), 1)
    );
    fs::set_permissions(&table, fs::Permissions::from_mode(0o640)).unwrap();
    ends(&init(folder.path(), &["--yes", "--force"], ""), 0);
    accepted(folder.path());
    assert_eq!(fs::metadata(&table).unwrap().permissions().mode() & 0o777, 0o640, "its mode stays");
    ends(&init(folder.path(), &["--yes"], ""), 6);
    let told = ends(&init(Path::new("/proc/nowhere"), &["--yes"], ""), 1);
    assert!(told.contains("be root, or name a directory"), "{told}");
}
