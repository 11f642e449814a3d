//! The daemon killed at any moment of a promotion or a rollback: the file is the old or the new one, and the list of
//! versions tells the truth.

use crate::change::with_sandbox;
use crate::house::{House, Plan, TABLE};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kills, at least.
const ROUNDS: u64 = 200;
/// And at most.
const MOST: u64 = 1000;

/// What a round asks for.
struct Wish {
    verb: &'static str,
    body: Value,
    kind: &'static str,
    /// The file's text once it is done.
    text: String,
}

/// Asks, and does not mind that nobody answers. True if it was told to be done.
fn ask(house: &House, wish: &Wish) -> impl FnOnce() -> bool + Send + 'static {
    let body = wish.body.to_string();
    let request = format!(
        "POST /v1/environments/production/{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        wish.verb,
        house.http,
        house.token,
        body.len()
    );
    let mut stream = TcpStream::connect(house.http).unwrap();
    move || {
        let mut answer = Vec::new();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut answer);
        answer.starts_with(b"HTTP/1.1 200 ")
    }
}

/// A number below `below`.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below.max(1)
}

#[test]
fn killed_at_any_moment_it_is_the_old_or_the_new_one() {
    let sandbox = |round: u64| TABLE.replace("Front desk", &format!("Round {round}"));
    let plan = || Plan {
        extra: "[environment.sandbox]\ntable = \"destinations.sandbox.toml\"\n".to_owned(),
        ..Plan::default()
    };
    let mut house = with_sandbox(Plan::default());
    // The list as it must be, the newest last: number, kind, message, text.
    let mut known = vec![(1, "file".to_owned(), Value::Null, TABLE.to_owned())];
    let (mut was_old, mut was_new, mut seed) = (0, 0, 0x9e37_79b9_7f4a_7c15);
    // Found at the next start: noted and not in the file yet; in the file and not listed yet.
    let (mut was_noted, mut was_renamed) = (0, 0);
    // How long one takes, in microseconds: kills are spread over that, and a little beyond. What they find corrects it, since
    // a busy machine takes its time.
    let mut takes = 20_000;
    for round in 0..MOST {
        // The window between note and rename is short: a run that has not met it goes on.
        let all_met = was_old > 20 && was_new > 40 && was_noted > 0 && was_renamed > 0;
        if round >= ROUNDS && all_met {
            break;
        }
        let message = format!("round {round}");
        let before = known.last().unwrap().3.clone();
        let wish = if round % 3 == 2 {
            let (version, .., text) = &known[known.len() - 2];
            let body = json!({ "version": version, "message": message });
            Wish { verb: "rollback", body, kind: "rollback", text: text.clone() }
        } else {
            let body = json!({ "from": "sandbox", "message": message });
            Wish { verb: "promote", body, kind: "promote", text: house.text("destinations.sandbox.toml") }
        };
        let begun = Instant::now();
        let asked = std::thread::spawn(ask(&house, &wish));
        if round % 8 == 0 {
            // Now and then to its end, to know how long that is.
            assert!(asked.join().unwrap(), "round {round}");
            if round == 0 {
                takes = u64::try_from(begun.elapsed().as_micros()).unwrap();
            }
            house.kill();
        } else {
            let at = Duration::from_micros(random(&mut seed, takes * 5 / 4));
            while begun.elapsed() < at {
                std::hint::spin_loop();
            }
            house.kill();
            let told = asked.join().unwrap();
            let now = house.text("destinations.toml");
            assert!(now == before || now == wish.text, "round {round}: a mixture:\n{now}");
            assert!(!told || now == wish.text, "round {round}: what was told to be done is not there");
            let late = before != wish.text && now == wish.text;
            takes = if late { takes - takes / 16 } else { takes + takes / 16 };
        }
        let now = house.text("destinations.toml");
        if before != wish.text {
            if now == before { was_old += 1 } else { was_new += 1 }
        }
        if now != before {
            known.push((known.len() as u64 + 1, wish.kind.to_owned(), json!(message), wish.text));
        }
        let folder = Arc::clone(&house.folder);
        fs::write(folder.path().join("destinations.sandbox.toml"), sandbox(round + 1)).unwrap();
        house = House::again(folder, plan());
        check(&house, &known);
        was_noted += house.lines("table.change_dropped");
        was_renamed += house.lines("table.promoted") + house.lines("table.rolled_back");
    }
    let told =
        format!("{was_old} before, {was_new} after, {was_noted} noted only, {was_renamed} renamed only");
    assert!(
        was_old > 20 && was_new > 40 && was_noted > 0 && was_renamed > 0,
        "the kills miss something: {told}"
    );
    let left = fs::read_dir(house.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[track_caller]
fn check(house: &House, known: &[(u64, String, Value, String)]) {
    let path = "/v1/environments/production/versions";
    let list = house.get(&format!("{path}?limit=3"));
    for (version, known) in list["data"].as_array().unwrap().iter().zip(known.iter().rev()) {
        let text = house.get(&format!("{path}/{}", version["version"]))["text"].as_str().unwrap().to_owned();
        let kind = version["origin"]["kind"].as_str().unwrap().to_owned();
        let told = (version["version"].as_u64().unwrap(), kind, version["message"].clone(), text);
        assert_eq!(told, *known, "{list}");
    }
    let newest = &list["data"][0];
    assert_eq!((&newest["version"], &newest["in_force"]), (&json!(known.len()), &json!(true)));
}
