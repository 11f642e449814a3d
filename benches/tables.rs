//! A table of 10,000 destinations: what it takes to load it, to choose from it, and to give a shard another one while calls
//! are up. Targets: under 100 ms, under 2 µs, at most 1 ms.

#![allow(clippy::unwrap_used)] // A bench may stop at its own mistakes.

use baton::call::engine::{Engine, Input, Output, Settings};
use baton::daemon::configuration::load;
use baton::routing::Tables;
use baton::routing::file::Source;
use baton::routing::select;
use baton::routing::table::{self, Table};
use baton::routing::topology::Topology;
use baton::sip::ident::{Seed, SlotKey};
use baton::sip::{self, Now, Time, UnixMillis};
use baton::wire::uri::Uri;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const DESTINATIONS: usize = 10_000;

/// As people write them: half are numbers, half URIs, each with a name, headers and a ladder.
fn text(name: &str) -> String {
    let mut text = format!("default = \"desk-00000\"\n# {name}\n");
    for at in 0..DESTINATIONS {
        let route = match at % 2 {
            0 => format!("+1415{at:07}"),
            _ => format!("sip:desk-{at}@pbx-{}.example.com", at % 7),
        };
        let next = (at + 1) % DESTINATIONS;
        let _ = write!(
            text,
            "[destination.desk-{at:05}]\nname = \"Desk {at}\"\nroute = \"{route}\"\n\
             on_failure = [\"invite\", \"agent\"]\n[destination.desk-{at:05}.headers]\n\
             X-Caller-ID = \"$caller_id\"\nX-Language = \"${{language:-en}}\"\nX-Next = \"{next}\"\n"
        );
    }
    text
}

fn table(name: &str) -> Arc<Table> {
    let (table, told) = table::read(&Source::new("t", &text(name)), &Arc::from("production"), None);
    Arc::new(table.unwrap_or_else(|| panic!("{told:?}")))
}

fn loading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baton.toml");
    fs::write(&path, "[trunk.pbx]\naddress = \"sip:192.0.2.1\"\n[agent.a]\naddress = \"sip:192.0.2.2\"\nnumbers = [\"*\"]\n[environment.production]\ntable = \"t.toml\"\n").unwrap();
    fs::write(folder.path().join("t.toml"), text("loaded")).unwrap();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20);
    group.bench_function("the configuration with 10,000 destinations, from its files", |bencher| {
        bencher.iter_with_large_drop(|| {
            let loaded = load(&path);
            assert!(loaded.configuration.is_some(), "{:?}", loaded.diagnostics);
            loaded
        });
    });
    group.finish();
    // On a machine that does other work too, the clock counts that as well.
    let Some(before) = cpu() else { return };
    let times = 10_u32;
    for _ in 0..times {
        let loaded = load(&path);
        assert!(loaded.configuration.is_some());
        drop(loaded);
    }
    let spent = cpu().unwrap_or_default().saturating_sub(before) / times;
    println!("the same, and dropping it, in CPU time: {:.1} ms", spent.as_secs_f64() * 1e3);
}

/// Time that this thread has run, as Linux counts it.
fn cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn choosing(criterion: &mut Criterion) {
    let table = table("chosen");
    let mut group = criterion.benchmark_group("choose 1 of 10,000");
    group.bench_function("by id", |bencher| {
        bencher.iter(|| select::by_id(&table, black_box(Some("desk-07777"))).unwrap());
    });
    group.bench_function("by an id that is not there", |bencher| {
        bencher.iter(|| select::by_id(&table, black_box(Some("desk-7777"))).unwrap_err());
    });
    for (name, uri, is_there) in [
        ("by a number", "sip:+14150007776@pbx", true),
        ("by a URI", "sip:desk-7777@pbx-0.example.com", true),
        ("by a URI that is not there", "sip:desk-7777@pbx-9.example.com", false),
    ] {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = select::by_uri(&table, &[], black_box(&uri), &|_| false, &|_| true);
                assert_eq!(found.is_ok(), is_there);
                found
            });
        });
    }
    group.finish();
}

/// What holds up a shard's calls: taking the new tables in. The old ones go elsewhere, as in the daemon.
fn reloading(criterion: &mut Criterion) {
    let tables = |serial, table: &Arc<Table>| {
        let environments = [("production".into(), Arc::clone(table))].into();
        Arc::new(Tables { serial, topology: Topology::default(), environments })
    };
    let now = Now { mono: Time(1_000_000), wall: UnixMillis(1_700_000_000_000) };
    let settings = Settings {
        stack: sip::Settings {
            listeners: Vec::new(),
            parties: Vec::new(),
            seed: Seed([7; 32]),
            product: "baton".into(),
            session_timer: None,
        },
        slot_key: SlotKey([7; 16]),
        max_calls: 1000,
        occupancy: Default::default(),
        announced: Default::default(),
        max_duration: Duration::from_secs(3600),
        tables: tables(1, &table("first")),
        shows_messages: false,
    };
    let mut engine = Engine::new(now, settings);
    let (one, two) = (table("one"), table("two"));
    let mut serial = 1;
    let mut group = criterion.benchmark_group("reload");
    group.bench_function("what a shard does when 10,000 other destinations come", |bencher| {
        bencher.iter_batched(
            || {
                serial += 1;
                tables(serial, if serial % 2 == 0 { &one } else { &two })
            },
            |tables| {
                // Kept by the daemon until no shard has it.
                let kept = Arc::clone(&tables);
                engine.handle(now, Input::Tables(tables));
                while !matches!(engine.poll(), Output::Idle { .. }) {}
                kept
            },
            BatchSize::PerIteration,
        );
    });
    group.sample_size(20);
    group.bench_function("what the shard is spared: dropping them", |bencher| {
        let fresh = || Arc::try_unwrap(table("dropped")).unwrap();
        bencher.iter_batched(fresh, drop, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, loading, choosing, reloading);
criterion_main!(benches);
