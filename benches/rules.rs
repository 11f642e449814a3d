//! What a decision costs that a table's rules lead: the usual ones, and the worst that the limits let pass.

#![allow(clippy::unwrap_used)] // A bench may stop at its own mistakes.

use baton::routing::file::Source;
use baton::routing::rules::condition::Condition;
use baton::routing::rules::hours::{Hours, country, timezone};
use baton::routing::rules::{Question, choose};
use baton::routing::select::by_id;
use baton::routing::table;
use baton::routing::template::Variables;
use baton::sip::UnixMillis;
use criterion::{Criterion, criterion_group, criterion_main};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;

struct Call {
    long: String,
}

impl Variables for Call {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "language" => Some("es".into()),
            "long" => Some(self.long.as_str().into()),
            _ => None,
        }
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Monday, 2026-03-02, 09:00 UTC.
const NOW: UnixMillis = UnixMillis(1_772_442_000_000);

fn rules(c: &mut Criterion) {
    let call = Call { long: "ab".repeat(2000) };
    let mut text = String::from("default = \"d0\"\n");
    for n in 0..9_998 {
        write!(
            text,
            "[destination.d{n}]\nroute = \"+1415555{n:04}\"\n\
             rule = [{{ hours = \"Mo-Fr 18:00-08:00; PH off\", timezone = \"America/New_York\", country = \"US\", use = \"night\" }},\n\
             {{ when = 'language == \"es\"', use = \"spanish\" }}]\n"
        )
        .unwrap();
    }
    text.push_str(
        "[destination.night]\nroute = \"+14155550100\"\n[destination.spanish]\nroute = \"+14155550101\"\n",
    );
    let source = Source::new("t", &text);
    c.bench_function("read a table of 10,000 destinations, two rules each", |b| {
        b.iter(|| table::read(&source, &"production".into(), None));
    });
    let table = table::read(&source, &"production".into(), None).0.unwrap();
    let question = Question { at: NOW, handoff: "h-df8-y2y307bace73a8gvpk82pze9r7", variables: &call };
    c.bench_function("choose among 10,000 destinations", |b| {
        b.iter(|| by_id(&table, Some(black_box("night"))).unwrap())
    });
    c.bench_function("choose among 10,000 destinations, with hours and a condition", |b| {
        b.iter(|| {
            let named = by_id(&table, Some(black_box("d5000"))).unwrap();
            choose(&table, &named.destination, question)
        });
    });
    let zone = || timezone("America/New_York").unwrap();
    let hours = Hours::parse("Mo-Fr 08:00-18:00; PH off", zone(), country("US")).unwrap();
    c.bench_function("hours", |b| b.iter(|| black_box(&hours).is_open(NOW)));
    for long in ["Mo[1],", "PH,", "easter,", "Jan-Mar,"] {
        let mut text = long.repeat(220 / long.len());
        text.pop();
        text.push_str(" 10:00-12:00");
        let long = Hours::parse(&text, zone(), country("US")).unwrap_or_else(|e| panic!("{text}: {e}"));
        c.bench_function(&format!("hours as long as allowed: {}...", &text[..8]), |b| {
            b.iter(|| black_box(&long).is_open(NOW))
        });
    }
    let many: String = (0..14).map(|n| format!("Mo-Su 0{}:{n:02}-2{}:00;", n % 10, n % 4)).collect();
    let many = Hours::parse(many.trim_end_matches(';'), zone(), None).unwrap();
    c.bench_function("hours as long as allowed: many sequences", |b| {
        b.iter(|| black_box(&many).is_open(NOW))
    });
    let condition = Condition::parse("language == \"es\"").unwrap();
    c.bench_function("condition", |b| b.iter(|| black_box(&condition).is_met(&call)));
    let worst = vec!["long.contains('bb')"; 24].join("||");
    let worst = Condition::parse(&worst).unwrap();
    c.bench_function("condition as large as allowed", |b| b.iter(|| black_box(&worst).is_met(&call)));
    let worst = format!("language in [{}]", vec!["long"; 95].join(","));
    let worst = Condition::parse(&worst).unwrap();
    c.bench_function("condition as large as allowed: a list", |b| b.iter(|| black_box(&worst).is_met(&call)));
}

criterion_group!(benches, rules);
criterion_main!(benches);
