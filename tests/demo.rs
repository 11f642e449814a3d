//! `baton demo` as a person runs it: no configuration, no privilege, handoffs by every method that go as told.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The demo bounds every wait of its own; this is for the day when that fails.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs it in an empty directory, without any variable that could configure it.
fn demo(arguments: &[&str]) -> Output {
    let empty = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_baton"))
        .arg("demo")
        .args(arguments)
        .current_dir(empty.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // Read beside the wait: a full pipe would stop the child. Its end of standard output tells that it is done.
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let (done, over) = mpsc::channel();
    thread::spawn(move || done.send(read(&mut out)));
    let err = thread::spawn(move || read(&mut err));
    let Ok(stdout) = over.recv_timeout(WITHIN) else {
        child.kill().expect("the child can be ended");
        panic!("the demo still ran after {WITHIN:?}");
    };
    let status = child.wait().expect("the child can be waited for");
    let left: Vec<_> = std::fs::read_dir(empty.path()).expect("still there").collect();
    assert!(left.is_empty(), "the demo writes no files: {left:?}");
    Output { status, stdout, stderr: err.join().expect("read") }
}

fn read(pipe: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).expect("the pipe can be read");
    bytes
}

#[test]
fn every_handoff_goes_as_told() {
    let output = demo(&[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    let verdicts: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("✔ ")?.split_whitespace().next()).collect();
    let expected =
        ["succeeded", "returned", "succeeded", "succeeded", "succeeded", "succeeded", "handed_back"];
    assert_eq!(verdicts, expected, "{text}");
    let proofs: Vec<&str> = text
        .lines()
        .filter(|line| line.contains('✔'))
        .filter_map(|line| line.split("proof: ").nth(1)?.split_whitespace().next())
        .collect();
    assert_eq!(proofs, ["reported", "none", "proven", "proven", "proven", "reported", "accepted"], "{text}");
    assert!(!text.contains('\u{1b}'), "no colour into a pipe");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(110), "{widest:?} columns\n{text}");
    for told in [
        "X-Account: 4711",
        "Refer-To: <sip:+14155550123@127.0.0.1>",
        "403 Forbidden",
        "NOTIFY 200 OK",
        "SDP of the desk",
        "Replaces: b-",
    ] {
        assert!(text.contains(told), "no {told:?} in\n{text}");
    }
    assert!(text.contains("What to try next"), "{text}");
    assert_eq!(errors, "", "nothing to complain about");
}

#[test]
fn as_json_it_is_one_document_with_every_message() {
    let output = demo(&["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["ok"], true);
    let scenes = document["scenes"].as_array().expect("a list");
    assert_eq!(scenes.len(), 7);
    for scene in scenes {
        assert_eq!(scene["handoff"]["state"], scene["expected"]["state"], "{scene:#}");
        assert_eq!(scene["handoff"]["proof"], scene["expected"]["proof"], "{scene:#}");
        let messages = scene["messages"].as_array().expect("a list");
        let times: Vec<u64> = messages.iter().filter_map(|message| message["at_us"].as_u64()).collect();
        assert!(times.len() > 10 && times.is_sorted(), "{times:?}");
        assert!(
            messages.iter().all(|m| m["retransmission"] != true),
            "nothing needs to be sent twice\n{scene:#}"
        );
    }
}
