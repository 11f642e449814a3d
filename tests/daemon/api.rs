//! The contract of the API.

use crate::house::{House, PATIENCE, Plan};
use crate::http::{Answer, request};
use crate::patient::patiently;
use crate::phone::{Phone, Talk, header};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

fn talk(id: &str) -> (House, Talk) {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let talk = Talk::begin(caller, agent, house.udp, id);
    (house, talk)
}

#[test]
fn only_the_probes_are_open() {
    let house = House::open(Plan::default());
    let plain = |path: &str| request(house.http, "GET", path, &[("Host", house.http.to_string())], "");
    assert_eq!(plain("/healthz").status, 200);
    assert_eq!(plain("/readyz").json()["status"], "ready");
    for path in ["/v1/calls", "/metrics", "/v1/reload", "/", "/nothing"] {
        let answer = plain(path);
        answer.problem(401, "unauthorised");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    for wrong in ["Bearer x", "Bearer", "Basic x", &format!("Bearer {}x", house.token)] {
        let headers = [("Host", house.http.to_string()), ("Authorization", wrong.to_owned())];
        request(house.http, "GET", "/v1/calls", &headers, "").problem(401, "unauthorised");
    }
    assert_eq!(house.get("/v1/calls"), json!({ "data": [], "next_cursor": null }));
}

/// Whoever tries tokens is seen in the log, and cannot fill it.
#[test]
fn a_wrong_token_has_one_warning_for_each_source_and_minute() {
    let house = House::open(Plan::default());
    for number in 0..20 {
        let headers = [("Host", house.http.to_string()), ("Authorization", format!("Bearer guess-{number}"))];
        request(house.http, "GET", "/v1/calls", &headers, "").problem(401, "unauthorised");
    }
    let line = house.await_line(" http.unauthorized ");
    assert!(line.contains(" WARN ") && line.contains(" source=127.0.0.1 count=1 "), "{line}");
    assert!(line.contains("hint=") && line.contains("http.token"), "{line}");
    assert_eq!(house.get("/v1/calls")["data"], json!([]));
    assert_eq!((house.lines(" http.unauthorized "), house.lines("guess-")), (1, 0));
}

#[test]
fn another_site_gets_nothing() {
    let house = House::open(Plan::default());
    let ask = |host: &str, origin: Option<&str>| {
        let mut headers =
            vec![("Host", host.to_owned()), ("Authorization", format!("Bearer {}", house.token))];
        headers.extend(origin.map(|origin| ("Origin", origin.to_owned())));
        request(house.http, "GET", "/v1/calls", &headers, "")
    };
    let port = house.http.port();
    for host in [house.http.to_string(), format!("localhost:{port}"), "baton.example.com".to_owned()] {
        assert_eq!(ask(&host, None).status, 200, "{host}");
    }
    let host = house.http.to_string();
    assert_eq!(ask(&host, Some(&format!("http://{host}"))).status, 200);
    assert_eq!(ask(&host, Some("https://baton.example.com")).status, 200);
    ask(&format!("evil.example:{port}"), None).problem(421, "wrong_host");
    ask("", None).problem(421, "wrong_host");
    for origin in ["http://evil.example", "null", "https://baton.example.com.evil.example"] {
        ask(&host, Some(origin)).problem(403, "wrong_origin");
    }
}

#[test]
fn every_error_is_a_problem() {
    let house = House::open(Plan::default());
    let post = |path: &str, kind: &str, body: &str| {
        let headers = [
            ("Host", house.http.to_string()),
            ("Authorization", format!("Bearer {}", house.token)),
            ("Content-Type", kind.to_owned()),
        ];
        request(house.http, "POST", path, &headers, body)
    };
    house.ask("GET", "/nothing", "").problem(404, "no_route");
    let answer = house.ask("PUT", "/v1/calls", "{}");
    answer.problem(405, "method_not_allowed");
    assert!(answer.header("allow").unwrap().contains("GET"));
    house.ask("GET", "/v1/calls/none", "").problem(404, "no_call");
    house.ask("DELETE", "/v1/calls/none", "").problem(404, "no_call");
    house.ask("GET", "/v1/handoffs/none", "").problem(404, "no_handoff");
    house.ask("DELETE", "/v1/handoffs/none", "").problem(404, "no_handoff");
    house.ask("GET", "/v1/calls?limit=0", "").problem(422, "invalid");
    house.ask("GET", "/v1/calls?cursor=x", "").problem(422, "invalid");
    house.ask("GET", "/v1/calls?colour=red", "").problem(422, "invalid");
    house.ask("GET", "/v1/environments/none/destinations", "").problem(404, "no_environment");
    let path = "/v1/calls/none/handoff";
    post(path, "text/plain", "{}").problem(415, "not_json");
    post(path, "application/json", "{").problem(400, "malformed_json");
    let list = post(path, "application/json", r#"["front-desk"]"#).problem(422, "invalid");
    assert_eq!(list["errors"][0]["message"], "expected a JSON object");
    let wrong = post(path, "application/json", r#"{"destinatoin":"x"}"#).problem(422, "invalid");
    assert!(wrong["errors"][0]["message"].as_str().unwrap().contains("destinatoin"), "{wrong}");
    post(&format!("{path}?wait=soon"), "application/json", "{}").problem(422, "invalid");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1_100_000));
    post(path, "application/json", &long).problem(413, "body_too_large");
    post(path, "application/json; charset=utf-8", "{}").problem(404, "no_call");
}

#[test]
fn a_handoff_by_http_is_waited_for() {
    let (house, talk) = talk("wait-1");
    let calls = house.get("/v1/calls");
    assert_eq!(calls["data"][0]["id"], talk.call.as_str());
    let call = house.get(&format!("/v1/calls/{}", talk.call));
    assert_eq!(
        (&call["state"], &call["trunk"], &call["agent"]),
        (&json!("talking"), &json!("pbx"), &json!("booking"))
    );
    assert_eq!(call["legs"].as_array().unwrap().len(), 2);
    let by_sip = house.get(&format!("/v1/calls/{}", header(&talk.invite, "Call-ID")));
    assert_eq!(by_sip["id"], call["id"], "the agent may name the call by its own Call-ID");

    let path = format!("/v1/calls/{}/variables", talk.call);
    let set = house.ask("PATCH", &path, r#"{"account":"A-17"}"#).json();
    assert_eq!(set["variables"]["account"], "A-17");
    house.ask("PATCH", &path, r#"{"caller_id":"1"}"#).problem(422, "invalid");

    // A number alone is seconds.
    let path = format!("/v1/calls/{}/handoff?wait=30", talk.call);
    let answer = std::thread::scope(|scope| {
        let asking =
            scope.spawn(|| house.ask("POST", &path, r#"{"destination":"front-desk","reason":"billing"}"#));
        let refer = talk.caller.receive("REFER ");
        assert!(header(&refer, "Refer-To").contains("sip:+14155550123@127.0.0.1"), "{refer}");
        assert_eq!(header(&refer, "X-Account"), "A-17");
        talk.report(&refer, "200 OK");
        talk.end();
        asking.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    let handoff = answer.json();
    assert_eq!(
        (&handoff["state"], &handoff["proof"]),
        (&json!("succeeded"), &json!("reported")),
        "{handoff}"
    );
    let location = answer.header("location").unwrap();
    assert_eq!(location, format!("/v1/handoffs/{}", handoff["id"].as_str().unwrap()));

    // Ended, and still there to be read; and on disk.
    house.await_line("call.ended");
    assert_eq!(house.get(location)["state"], "succeeded");
    assert_eq!(house.get(&format!("/v1/calls/{}", talk.call))["state"], "ended");
    house.ask("POST", &format!("/v1/calls/{}/handoff", talk.call), "{}").problem(409, "call_ended");
    house.ask("DELETE", &format!("/v1/calls/{}", talk.call), "").problem(409, "call_ended");
    house.ask("DELETE", location, "").problem(409, "too_late");
    assert_eq!(house.metric("baton_handoffs_ended_total{state=\"succeeded\"}"), 1);
    house.await_metric("baton_calls", 0);
    assert_eq!(record(&house)["handoffs"][0]["state"], "succeeded");
}

fn record(house: &House) -> Value {
    let folder = house.path("state/records");
    let end = std::time::Instant::now() + crate::house::PATIENCE;
    loop {
        let files = std::fs::read_dir(&folder).unwrap();
        let text: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        if let Some(line) = text.lines().next() {
            return serde_json::from_str(line).unwrap();
        }
        assert!(std::time::Instant::now() < end, "no record in {}", folder.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_key_makes_one_handoff_of_many_requests() {
    let (house, talk) = talk("key-1");
    let post = |key: &str, body: &str| -> Answer {
        let headers = [
            ("Host", house.http.to_string()),
            ("Authorization", format!("Bearer {}", house.token)),
            ("Content-Type", "application/json".to_owned()),
            ("Idempotency-Key", key.to_owned()),
        ];
        request(house.http, "POST", &format!("/v1/calls/{}/handoff", talk.call), &headers, body)
    };
    let body = r#"{"destination":"front-desk"}"#;
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| post("k-1", body))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap().json()["id"].clone()).collect()
    });
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    post("k-1", r#"{"destination":"goodbye"}"#).problem(422, "invalid");
    let busy = post("k-2", body).problem(409, "handoff_running");
    assert_eq!(busy["handoff_id"], ids[0]);
    post("", body).problem(422, "invalid");

    // Refused: the caller is back with the agent, one WARN says why, and the key still names that handoff.
    let refer = talk.caller.receive("REFER ");
    talk.caller.send(&talk.caller.answer(&refer, "403 Forbidden"));
    let line = house.await_line("handoff.attempt_failed");
    for part in [
        " WARN ",
        "status=403",
        "reason=\"Forbidden\"",
        "cause=refused",
        "origin=remote",
        "next=agent",
        "hint=",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    house.await_line("handoff.ended");
    let again = post("k-1", body);
    assert_eq!(
        (again.status, &again.json()["id"], &again.json()["state"]),
        (202, &ids[0], &json!("returned"))
    );
    assert_eq!(house.lines(" WARN "), 1);
    assert_eq!(house.lines(" ERROR "), 0);

    // And a hang-up by request.
    let answer = house.ask("DELETE", &format!("/v1/calls/{}", talk.call), "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    talk.end();
    house.await_line("call.ended");
    house.await_metric("baton_calls", 0);
}

#[test]
fn a_briefing_is_completed_by_http() {
    let (house, talk) = talk("brief-1");
    let desk = Phone::new();
    let table = format!(
        "default = \"desk\"\n[destination.desk]\nmethod = \"attended\"\nbrief = true\nroute = \"sip:desk@{}\"\n",
        desk.at
    );
    std::fs::write(house.path("destinations.toml"), table).unwrap();
    house.await_line("config.reloaded");
    let handoff = house.ask("POST", &format!("/v1/calls/{}/handoff", talk.call), "{}");
    assert_eq!(handoff.status, 202, "{}", handoff.body);
    let id = handoff.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/handoffs/{id}/complete");
    let invite = desk.receive("INVITE ");
    desk.send(&desk.answer(&invite, "180 Ringing"));
    house.ask("POST", &path, "").problem(409, "nothing_to_complete");
    house.ask("POST", "/v1/handoffs/none/complete", "").problem(404, "no_handoff");

    // The desk answers: agent and desk talk, the caller is held, and nobody is moved until somebody says so.
    desk.send(&desk.answer(&invite, "200 OK"));
    desk.receive("ACK ");
    let hold = talk.caller.receive("INVITE ");
    assert!(hold.contains("a=inactive"), "{hold}");
    talk.caller.send(&talk.caller.answer(&hold, "200 OK"));
    talk.caller.receive("ACK ");
    let answer = house.ask("POST", &path, "");
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)), "{}", answer.body);
    let refer = talk.caller.receive("REFER ");
    assert!(header(&refer, "Refer-To").contains("?Replaces="), "{refer}");
    talk.report(&refer, "200 OK");
    talk.end();
    let bye = desk.receive("BYE ");
    desk.send(&desk.answer(&bye, "200 OK"));
    house.await_line("handoff.ended");
    assert_eq!(house.get(&format!("/v1/handoffs/{id}"))["state"], "succeeded");
    house.ask("POST", &path, "").problem(409, "nothing_to_complete");
    house.await_metric("baton_calls", 0);
}

#[test]
fn the_table_can_be_read() {
    let house = House::open(Plan::default());
    let list = house.get("/v1/environments/production/destinations");
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let desk = house.get("/v1/environments/production/destinations/front-desk");
    assert_eq!(
        (&desk["method"], &desk["route"], &desk["default"]),
        (&json!("refer"), &json!("+14155550123"), &json!(true))
    );
    assert_eq!(desk["headers"]["X-Caller-ID"], "$caller_id");
    house.ask("GET", "/v1/environments/production/destinations/none", "").problem(404, "no_destination");
    let slip = house
        .ask("GET", "/v1/environments/production/destinations/front-desc", "")
        .problem(404, "no_destination");
    assert!(slip["detail"].as_str().unwrap().ends_with("did you mean `front-desk`?"), "{slip}");
}

/// Silent connections make way; where all of an address are being answered, the probes still are.
#[test]
fn silent_connections_shut_nobody_out() {
    let house = House::open(Plan::default());
    let silent: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(house.http).unwrap()).collect();
    let ask = |path| request(house.http, "GET", path, &[("Host", house.http.to_string())], "");
    for _ in 0..20 {
        assert_eq!(ask("/healthz").status, 200);
        assert_eq!(ask("/readyz").status, 200);
    }
    ask("/v1/calls").problem(401, "unauthorised");
    assert_eq!(house.ask("GET", "/v1/calls", "").status, 200);
    // The latest is given up after some seconds, and its place is free.
    let mut last = &silent[599];
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = Vec::new();
    last.read_to_end(&mut told).unwrap();
    house.await_metric("baton_http_connections", 1);
    // A body that does not come is a request that is being answered, and no reason to wait for ever either.
    let head = format!(
        "POST /v1/calls/none/handoff HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 90\r\n\r\n",
        house.http, house.token
    );
    let half = |_| {
        let mut stream = TcpStream::connect(house.http).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut asked).unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
        stream
    };
    let mut slow: Vec<TcpStream> = (0..256).map(half).collect();
    ask("/v1/calls").problem(503, "too_many_connections");
    assert_eq!((ask("/healthz").status, ask("/readyz").status), (200, 200));
    let mut answer = [0; 64];
    let length = patiently(|| slow[255].read(&mut answer)).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..length]));
}
