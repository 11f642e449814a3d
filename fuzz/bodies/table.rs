//! Any bytes as a destination table and as the trunks and agents of a configuration: no panic, every fault has a place
//! inside the file, and whatever a good table makes of hostile variables stays one value of one header.

use std::borrow::Cow;
use std::path::Path;

use baton::observe::secret::Secret;
use baton::routing::explain::Cause;
use baton::routing::file::{Diagnostic, Report, Section, Severity, Source};
use baton::routing::rules::{self, Question};
use baton::routing::table::{self, Route, Step, Table};
use baton::routing::template::Variables;
use baton::routing::topology::Surroundings;
use baton::routing::topology::read::{Parties, settings};
use baton::routing::topology::secret::{SecretSource, Secrets};
use baton::routing::{headers, select};
use baton::sip::UnixMillis;
use baton::wire::Uri;

struct Hostile;

impl Variables for Hostile {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        match name.len() % 4 {
            0 => Some("a\r\nVia: evil\r\n".into()),
            1 => Some("\",<>;?&=%0d%0a@\\".into()),
            2 => Some("+14155550123".into()),
            _ => None,
        }
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.variable(name)
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Ok(Secret::new("secret"))
    }
}

/// Reads `bytes` both ways.
pub fn table_body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source::new("table.toml", text);
    let (table, diagnostics) = table::read(&source, &"production".into(), None);
    check(text, &diagnostics);
    let errors = diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(table.is_none(), errors, "a table comes exactly where there is no error");
    let around = Surroundings {
        embedding: vec!["pbx".into()],
        by_udp: true,
        doubt: Some(|number| number.ends_with('3').then(|| "ends with a 3".to_owned())),
        ..Surroundings::default()
    };
    check(text, &table::read(&source, &"production".into(), Some(&around)).1);
    if let Some(table) = table {
        use_table(&table);
    }

    let mut report = Report::new(&source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    settings(&mut top, &mut report);
    let parties = Parties::read(&mut top, &mut report, &NoSecrets, Path::new("config"));
    top.finish(&mut report);
    if !report.has_errors() {
        let topology = parties.topology();
        for trunk in topology.trunks() {
            topology.agent_for(trunk, "+1 (415) 555-0123");
        }
        for agent in topology.agents() {
            assert!(agent.addresses.contains(agent.address()), "there is always a first address");
        }
    }
    check(text, &report.finish());
}

fn check(text: &str, diagnostics: &[Diagnostic]) {
    let lines = text.split('\n').count();
    for diagnostic in diagnostics {
        let printed = diagnostic.to_string();
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{printed:?}");
        // Only the note that more errors follow is about the file as a whole.
        let whole = diagnostic.message.ends_with("more errors are not shown");
        assert!(whole || (1..=lines).contains(&diagnostic.line), "{diagnostic:?}");
        assert!(whole || diagnostic.column >= 1, "{diagnostic:?}");
        assert!(
            diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= text.len(),
            "{diagnostic:?}"
        );
    }
}

fn use_table(table: &Table) {
    let nobody = |_: &baton::wire::uri::Host<'_>| false;
    assert!(table.fallback().is_some(), "the default is a destination");
    let selection = select::by_id(table, None).expect("the default is a destination");
    assert_eq!(selection.destination.id, table.default);
    for destination in table.destinations.values() {
        if let Some(Route::Sip(address)) = &destination.route {
            let uri = Uri::parse(address.text.as_bytes()).expect("an address is a URI");
            let followed = select::by_redirection(table, None, &[], &uri, &nobody);
            assert_eq!(
                followed.is_some(),
                uri.param(b"maddr").is_none(),
                "where callers go anyway: {address}"
            );
        }
        for cause in Cause::ALL {
            let steps = destination.on_failure.steps(cause);
            assert!(steps.iter().rev().skip(1).all(|step| !step.ends()), "what ends a handoff is last");
            for step in steps {
                assert!(!matches!(step, Step::Destination(id) if table.find(id).is_none()), "{step:?}");
            }
        }
        for at in [0, 1_772_442_000_000, 1_798_200_000_000] {
            let question = Question { at: UnixMillis(at), handoff: "h-1", variables: &Hostile };
            let (chosen, taken) = rules::choose(table, destination, question);
            assert!(table.find(&chosen.id).is_some(), "{}", chosen.id);
            assert!(chosen.route.is_some() || !chosen.method.needs_route(), "{chosen:?}");
            assert!(!taken.is_empty() || chosen == *destination, "nothing changes without a rule");
        }
        let mut fields = Vec::new();
        for header in &destination.headers {
            headers::check_name(header.name()).expect("only names that may be carried are in a table");
            if let Ok(value) = header.expand(&Hostile) {
                assert!(!value.contains(char::is_control), "{value:?}");
                fields.push((header.name().clone(), value));
            }
        }
        let uri = headers::embed("sip:a@b", fields.iter().map(|(name, value)| (&**name, &**value)));
        let Ok(uri) = Uri::parse(uri.as_bytes()) else {
            // Too long for a URI; never malformed.
            assert!(uri.len() > 1024, "{uri}");
            continue;
        };
        assert_eq!(uri.each_header().count(), fields.len(), "no value adds a header");
    }
}
