//! Configuration files, right and wrong: what `check` prints for each, to the letter.

mod destinations;
mod files;
mod headers;
mod lint;
mod methods;
mod parties;
mod rehearsals;
mod rules;
mod schema;
mod settings;
mod steps;
mod valid;

use baton::daemon::configuration::{Loaded, load};

/// Writes the files into a directory of their own, reads `baton.toml` and gives the result with the directory cut out
/// of every name.
fn read(files: &[(&str, &str)]) -> (Loaded, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("a temporary file");
    }
    let loaded = load(&directory.path().join("baton.toml"));
    let prefix = format!("{}/", directory.path().display());
    let printed: Vec<String> =
        loaded.diagnostics.iter().map(|d| d.to_string().replace(&prefix, "")).collect();
    (loaded, printed.join("\n"))
}

/// What people are shown as TOML: the tables of the README and of the chapter on configuration, each as one file, and the
/// chapter's `baton.toml`.
fn shown() -> ([String; 2], String) {
    let blocks = |document: &str| -> Vec<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(path).expect("the document is there");
        text.split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .map(str::to_owned)
            .collect()
    };
    let (baton, tables): (Vec<String>, Vec<String>) =
        blocks("config/README.md").into_iter().partition(|block| block.starts_with("# baton.toml"));
    let [baton] = <[String; 1]>::try_from(baton).expect("one baton.toml");
    assert_eq!(tables.len(), 5, "a table, its rules, what is added to it, and a call centre");
    let [front] = <[String; 1]>::try_from(blocks("README.md")).expect("one table");
    ([front, tables.join("\n")], baton)
}

const BATON: &str = r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#;

const TABLE: &str = r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
"#;

#[track_caller]
fn baton_prints(text: &str, expected: &str) {
    let (loaded, printed) = read(&[("baton.toml", text), ("destinations.toml", TABLE)]);
    compare(&loaded, &printed, expected);
}

#[track_caller]
fn table_prints(text: &str, expected: &str) {
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", text)]);
    compare(&loaded, &printed, expected);
}

#[track_caller]
fn compare(loaded: &Loaded, printed: &str, expected: &str) {
    let expected = expected.strip_prefix('\n').unwrap_or(expected).trim_end();
    assert!(printed == expected, "printed:\n{printed}\n\nexpected:\n{expected}\n");
    assert_eq!(loaded.configuration.is_none(), loaded.errors() > 0);
}
