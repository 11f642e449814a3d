//! Drives the fuzz bodies on stable Rust: seeded mutation of a corpus, for `BATON_FUZZ_SECONDS` (default 1) each.
//!
//! `BATON_FUZZ_SEED` replays a run. A failure prints the seed and the input in hex. `cargo fuzz` runs the same bodies
//! for as long as one likes (see `fuzz/`). A further body is one line in `fuzz/bodies` and one test here.

// The bodies are `pub` for the fuzz crate, which includes the same files.
#![allow(unreachable_pub)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../fuzz/bodies/engine.rs"]
mod engine;
#[path = "../fuzz/bodies/frame.rs"]
mod frame;
#[path = "../fuzz/bodies/rules.rs"]
mod rules;
#[path = "../fuzz/bodies/sipfrag.rs"]
mod sipfrag;
#[path = "../fuzz/bodies/table.rs"]
mod table;

/// SplitMix64: small, seeded, and good enough to choose mutations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Texts on which the grammar turns; a mutation inserts them.
const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\x7f",
    b"\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"@",
    b"?",
    b"=",
    b"%",
    b"%00",
    b"[",
    b"]",
    b":::",
    b"SIP/2.0",
    b"SIP/2.0 200 OK\r\n",
    b"INVITE ",
    b"ACK ",
    b"Content-Length: ",
    b"l: 0\r\n",
    b"i: x\r\n",
    b"Via: SIP/2.0/UDP a\r\n",
    b";tag=",
    b";branch=",
    b";rport",
    b";received=",
    b"4294967296",
    b"-1",
    b"\xff\xfe",
    b"o=- 1 1 IN IP4 0\r\n",
    b"m=audio 1 RTP/AVP 0\r\n",
    b"v=0\r\n",
    b"sips:",
    b"tel:+1",
    b"*",
    b"\n[destination.a]\n",
    b"\"\"\"",
    b" = ",
    b"${",
    b"method = \"bye\"\n",
    b"on_failure = { unknown = [\"agent\"] }\n",
    b"on_failure = [\"invite\", \"a\", \"agent\"]\n",
    b"method = \"attended\"\nrequire = \"proven\"\n",
];

fn mutate(random: &mut Random, corpus: &[Vec<u8>], input: &mut Vec<u8>) {
    input.clear();
    input.extend_from_slice(&corpus[random.below(corpus.len())]);
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = at + random.below(input.len() - at + 1).min(random.below(64));
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let copied = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copied);
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let tail = &other[from..];
                input.splice(at.., tail.iter().copied());
            }
            _ => {
                let text = DICTIONARY[random.below(DICTIONARY.len())];
                input.splice(at..at, text.iter().copied());
            }
        }
    }
}

/// The messages of the torture set.
fn messages() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let mut files = Vec::new();
    for part in ["valid", "invalid", "ipv6"] {
        let listing = std::fs::read_dir(folder.join(part)).expect("the torture set is there");
        files.extend(listing.map(|entry| entry.expect("a readable entry").path()));
    }
    // The order of a directory is not the same everywhere, and a seed must replay.
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a readable message")).collect()
}

fn drive(name: &str, corpus: &[Vec<u8>], body: fn(&[u8])) {
    let setting = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = setting("BATON_FUZZ_SECONDS").unwrap_or(1);
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64);
    let seed = setting("BATON_FUZZ_SEED").unwrap_or(clock);
    let mut random = Random(seed);
    let mut input = Vec::new();
    let mut executions = 0u64;
    let until = Instant::now() + Duration::from_secs(seconds);
    for whole in corpus {
        run(name, seed, whole, body);
    }
    while Instant::now() < until {
        for _ in 0..64 {
            mutate(&mut random, corpus, &mut input);
            run(name, seed, &input, body);
            executions += 1;
        }
    }
    println!("fuzz {name}: seed {seed}, {executions} executions in {seconds} s");
}

fn run(name: &str, seed: u64, input: &[u8], body: fn(&[u8])) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("fuzz {name}: failed with seed {seed} on {} bytes:\n{hex}", input.len());
        std::panic::resume_unwind(cause);
    }
}

#[test]
fn decode_holds() {
    drive("decode", &messages(), decode::decode_body);
}

#[test]
fn frame_holds() {
    let mut corpus = messages();
    let pairs: Vec<_> =
        corpus.windows(2).map(|pair| [&pair[0][..], b"\r\n\r\n", &pair[1]].concat()).collect();
    corpus.extend(pairs);
    drive("frame", &corpus, frame::frame_body);
}

#[test]
fn sipfrag_holds() {
    let corpus = [
        &b"SIP/2.0 200 OK"[..],
        b"SIP/2.0 100 Trying\r\n",
        b"SIP/2.0 486 Busy Here\r\nContact: <sip:a@b>\r\n",
        b"SIP/2.0 603\n",
        b"message/sipfrag;version=2.0",
    ];
    drive("sipfrag", &corpus.map(<[u8]>::to_vec), sipfrag::sipfrag_body);
}

#[test]
fn table_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = ["baton.toml", "destinations.toml", "destinations.sandbox.toml"];
    let mut corpus =
        files.map(|name| std::fs::read(folder.join(name)).expect("the shipped configuration")).to_vec();
    corpus.push(
        b"default = \"a\"\n[destination.a]\nroute = \"sip:100@pbx\"\nheader_placement = \"both\"\n\
          [destination.a.headers]\nUser-to-User = \"$uui;encoding=hex\"\nDiversion = \"<sip:$abcd@b>;reason=x\"\n\
          X-A = 'x \"$abcde\"'\nX-B = \"${header.X-B:-none}\"\n"
            .to_vec(),
    );
    corpus.push(
        b"default = \"a\"\n[destination.a]\nroute = \"+14155550123\"\non_failure = [\"b\"]\n\
          rule = [{ hours = \"Mo-Fr 08:00-18:00; PH off\", timezone = \"Europe/Berlin\", country = \"DE\", use = \"a\" },\n\
          { when = 'ab == \"es\"', weight = 5, use = \"b\" }, { weight = 7, method = \"invite\" }]\n\
          [destination.b]\nroute = \"sip:b@pbx\"\n"
            .to_vec(),
    );
    drive("table", &corpus, table::table_body);
}

#[test]
fn rules_hold() {
    let corpus = [
        &b"language == \"es\" && header[\"X-Tier\"] in [\"gold\", 'silver']"[..],
        b"!(int(duration) >= 60 || size(caller_id) < 3) ? a.startsWith('x') : b.contains(\"y\")",
        b"((((a == b) == (c == d)) != true)) && -1 < int(a)",
        b"[1, 2].exists(x, x > 1) + {'a': 1u}.a - 1.5e3",
        b"Mo-Fr 08:00-18:00; PH off; Dec 24-26 closed",
        b"2026 Jan 01-2027 Feb 29,week 1-53/2 Mo[1],We[-1] 22:00-26:00+ unknown \"ask\" || 10:00-12:00 open",
        b"easter -2 days-Jun 31 +Su,SH,PH +1 day 00:00-24:00, sunrise-(sunset-01:30)/02:00",
    ];
    drive("rules", &corpus.map(<[u8]>::to_vec), rules::rules_body);
}

#[test]
fn engine_holds() {
    // Each byte is a choice: stories of a call with all sorts of continuations.
    let mut random = Random(7);
    let stories = (0..64).map(|length| (0..length * 4).map(|_| random.next() as u8).collect());
    let mut corpus: Vec<Vec<u8>> = stories.collect();
    // INVITE, resolved, answered, acknowledged, handed off.
    corpus.push(vec![
        0, 0, 9, 0, 1, 1, 0, 0, 0, 1, 0, 0, 10, 0, 0, 1, 0, 3, 0, 13, 0, 5, 1, 0, 0, 0, 1, 0, 0, 0,
    ]);
    drive("engine", &corpus, engine::engine_body);
}
