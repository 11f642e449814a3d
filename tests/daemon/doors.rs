//! The daemon's doors beside SIP: silent connections to the API, and what a client may make a call keep.

use crate::house::{House, Plan, resident};
use crate::http::request;
use crate::phone::{Phone, Talk};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection on which nothing is said.
fn silent(to: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from(from), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// What each door answers, and how long the slowest takes.
fn all_answer(house: &House) -> Duration {
    let mut slowest = Duration::ZERO;
    for path in ["/healthz", "/readyz", "/metrics", "/v1/calls", "/v1/environments/production/destinations"] {
        let began = Instant::now();
        let answer = house.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

fn silence(from: impl Fn(usize) -> [u8; 4], what: &str) {
    let house = House::open(Plan::default());
    let before = resident(&house.pid());
    let mut all = Vec::new();
    for number in 0..2000 {
        all.push(silent(house.http, from(number)));
        if number % 500 == 499 {
            all_answer(&house);
        }
    }
    let slowest = all_answer(&house);
    let (after, seats) = (resident(&house.pid()), house.metric("baton_http_connections"));
    let displaced = house.metric("baton_http_connections_displaced_total");
    println!(
        "2,000 silent connections {what}: {seats} have a place, {displaced} made way, the slowest answer took {} ms, resident {before} kB before, {after} kB after",
        slowest.as_millis()
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(seats <= 1024 && displaced > 0);
    assert!(after < before + 48 * 1024, "{before} kB grew to {after} kB");
    // Without a token, too.
    let health = request(house.http, "GET", "/healthz", &[("Host", house.http.to_string())], "");
    assert_eq!(health.status, 200);
    // The first one has made way.
    let mut first = all.remove(0);
    first.set_read_timeout(Some(crate::house::PATIENCE)).unwrap();
    assert!(matches!(first.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn two_thousand_silent_connections_of_one_address_shut_no_door() {
    silence(|_| [127, 0, 0, 1], "of one address");
}

#[test]
fn two_thousand_silent_connections_of_many_addresses_shut_no_door() {
    silence(|number| [127, 0, 1, u8::try_from(1 + number % 20).unwrap()], "of 20 addresses");
}

#[test]
fn forty_thousand_variables_are_refused() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let talk = Talk::begin(caller, agent, house.udp, "variables");
    let before = resident(&house.pid());
    let variables = |range: std::ops::Range<usize>| -> Value {
        Value::Object(range.map(|number| (format!("v_{number}"), json!("x"))).collect::<Map<_, _>>())
    };
    let path = format!("/v1/calls/{}/variables", talk.call);
    let all = house.ask("PATCH", &path, &variables(0..40_000).to_string());
    all.problem(422, "invalid");
    assert_eq!(house.ask("PATCH", &path, &variables(0..200).to_string()).status, 200);
    let refused = (1..200).filter(|step| {
        let more = variables(step * 200..(step + 1) * 200).to_string();
        house.ask("PATCH", &path, &more).status == 422
    });
    assert_eq!(refused.count(), 199);
    let wish = json!({ "destination": "front-desk", "variables": variables(0..300) });
    house.ask("POST", &format!("/v1/calls/{}/handoff", talk.call), &wish.to_string()).problem(422, "invalid");
    let after = resident(&house.pid());
    println!("40,000 variables: resident {before} kB before, {after} kB after");
    let call = house.get(&format!("/v1/calls/{}", talk.call));
    assert_eq!(call["variables"].as_object().unwrap().len(), 200);
    assert!(after < before + 24 * 1024, "{before} kB grew to {after} kB");
    house.await_line("call.ignored");
}
