//! The documents of the repository, held by reading every `*.md` as text: links lead somewhere, lines fit a terminal, the
//! README stays a front page, and each dependency says what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Columns of a line, in characters.
const COLUMNS: usize = 120;
/// The README is read in one go.
const FRONT_PAGE_LINES: usize = 220;
const FRONT_PAGE_WORDS: usize = 2_000;

/// What lies in the tree and is not the repository's.
const NOT_OURS: &[&str] = &["target", ".git", "state", "corpus", "artifacts"];

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents();
    let mut faults = Vec::new();
    for (name, text) in &documents {
        for (line, link) in links(text) {
            if let Some(why) = leads_nowhere(&documents, name, &link) {
                faults.push(format!("{name}:{line}: ({link}): {why}"));
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n{}", faults.join("\n"));
}

/// A comment that says `systemd/README.md, "Install it"` is a link, too.
#[test]
fn every_section_that_a_file_names_is_there() {
    let documents = documents();
    let mut faults = Vec::new();
    for path in files().into_iter().filter(|path| path != "tests/documents.rs") {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for (document, section) in sections_named(line) {
                let there = documents
                    .get(document)
                    .is_some_and(|text| headings(text).iter().any(|(heading, _)| heading == section));
                if !there {
                    faults.push(format!("{path}:{}: {document} has no section {section:?}", number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "sections that are not there:\n{}", faults.join("\n"));
}

/// The changelog is a list of entries and no page to read.
#[test]
fn no_line_of_a_document_is_wider_than_a_terminal() {
    let mut faults = Vec::new();
    for (name, text) in documents().iter().filter(|(name, _)| *name != "CHANGELOG.md") {
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                faults.push(format!("{name}:{}: {columns} columns, at most {COLUMNS}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "wide lines:\n{}", faults.join("\n"));
}

#[test]
fn the_readme_is_a_front_page() {
    let documents = documents();
    let readme = &documents["README.md"];
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(lines <= FRONT_PAGE_LINES, "{lines} lines, at most {FRONT_PAGE_LINES}: chapters take the rest");
    assert!(words <= FRONT_PAGE_WORDS, "{words} words, at most {FRONT_PAGE_WORDS}: chapters take the rest");
    let linked: BTreeSet<String> = links(readme)
        .into_iter()
        .filter_map(|(_, link)| inside("README.md", link.split('#').next().unwrap_or_default()))
        .collect();
    let lost: Vec<&String> =
        documents.keys().filter(|name| *name != "README.md" && !linked.contains(*name)).collect();
    assert!(lost.is_empty(), "chapters that the README does not link: {lost:?}");
}

#[test]
fn each_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let used: BTreeSet<&str> = ["\n[dependencies]\n", "\n[dev-dependencies]\n"]
        .iter()
        .flat_map(|section| {
            let (_, rest) = manifest.split_once(section).expect("the section is there");
            let entries = rest.split("\n[").next().unwrap_or_default();
            entries.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        })
        .collect();
    let documents = documents();
    let (_, table) =
        documents["tests/README.md"].split_once("\n### Dependencies\n").expect("the section is there");
    let said: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `").and_then(|row| row.split(" | ").next()))
        .flat_map(|crates| crates.split(", ").map(|name| name.trim_matches('`')))
        .collect();
    assert_eq!(said, used, "tests/README.md, Dependencies (left), and Cargo.toml (right)");
}

#[test]
fn the_reader_of_links_knows_markdown() {
    let text = "# A `b` & c: d\n[x](#a-b--c-d) `[no](none)` [two\nlines](other.md#e)\n```toml\n# no heading\n\
                [no](none)\n```\n## E\n## E\n`a [no\n](none)`\n[r]: ref.md\n![p](p.png \"title\") [q](<r s.md>)\n";
    let expected = [(2, "#a-b--c-d"), (3, "other.md#e"), (12, "ref.md"), (13, "p.png"), (13, "r s.md")];
    assert_eq!(links(text), expected.map(|(line, link)| (line, link.to_owned())));
    let anchors: Vec<String> = headings(text).into_iter().map(|(_, anchor)| anchor).collect();
    assert_eq!(anchors, ["a-b--c-d", "e", "e-1"]);

    let pages =
        [("a/b.md", "# One\n"), ("c.md", text)].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let pages = BTreeMap::from(pages);
    for right in ["#one", "../c.md#e-1", "../c.md", "../Cargo.toml", "https://example.com/#x"] {
        assert_eq!(leads_nowhere(&pages, "a/b.md", right), None, "{right}");
    }
    for broken in ["#two", "../c.md#e-2", "d.md", "../../c.md", "../Cargo.toml#package"] {
        assert!(leads_nowhere(&pages, "a/b.md", broken).is_some(), "{broken}");
    }
    let said: Vec<_> = sections_named("(systemd/README.md, \"Install it\"), `README.md`").collect();
    assert_eq!(said, [("systemd/README.md", "Install it")]);
}

/// Why a link of the document `name` leads nowhere, if it does. The web is not asked about its addresses.
fn leads_nowhere(documents: &BTreeMap<String, String>, name: &str, link: &str) -> Option<String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { Some(name.to_owned()) } else { inside(name, path) };
    let Some(target) = target else { return Some("it leaves the repository".to_owned()) };
    if !documents.contains_key(&target) && !root().join(&target).exists() {
        return Some(format!("there is no {target}"));
    }
    let anchor = anchor?;
    match documents.get(&target) {
        Some(text) if headings(text).iter().any(|(_, known)| known == anchor) => None,
        Some(_) => Some(format!("{target} has no section #{anchor}")),
        None => Some(format!("{target} has no sections")),
    }
}

/// The path from the root that `path` is, seen from the document `name`; none where it climbs out.
fn inside(name: &str, path: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(name).parent()?.join(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?.to_owned()),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Line and target of each link and picture, and of each definition of a reference.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in without_code(text).lines().enumerate() {
        let inline =
            line.match_indices("](").map(|(at, mark)| &line[at + mark.len()..]).filter_map(|rest| match rest
                .strip_prefix('<')
            {
                Some(rest) => rest.split_once('>').map(|(target, _)| target),
                None => rest.split_once(')').and_then(|(target, _)| target.split_whitespace().next()),
            });
        let defined = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let targets = inline.chain(defined.map(|(_, target)| target.trim()));
        found.extend(targets.map(|target| (number + 1, target.to_owned())));
    }
    found
}

/// The text with code blanked out: fenced blocks, and spans, which may go on in the next line. Lines keep their numbers.
fn without_code(text: &str) -> String {
    let mut prose = String::new();
    let (mut fenced, mut span) = (false, false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // A span that was never closed ends with its paragraph.
            span &= !line.trim().is_empty();
            for character in line.chars() {
                match character {
                    '`' => span = !span,
                    _ if span => {}
                    other => prose.push(other),
                }
            }
        }
        prose.push('\n');
    }
    prose
}

/// Text and anchor of each heading, the anchor as GitHub makes it.
fn headings(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let Some(heading) = heading.trim_start_matches('#').strip_prefix(' ') else { continue };
        let heading = heading.trim().replace('`', "");
        let kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
        let anchor = heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
        let same = found.iter().filter(|(known, _)| known.eq_ignore_ascii_case(&heading)).count();
        let anchor = if same == 0 { anchor } else { format!("{anchor}-{same}") };
        found.push((heading, anchor));
    }
    found
}

/// Document and section of each `path.md, "Section"` of a line.
fn sections_named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.match_indices(".md, \"").filter_map(|(at, mark)| {
        let end = at + ".md".len();
        let path = |character: char| character.is_alphanumeric() || "._-/".contains(character);
        let from = line[..end].rfind(|character| !path(character)).map_or(0, |at| at + 1);
        let (section, _) = line[at + mark.len()..].split_once('"')?;
        Some((&line[from..end], section))
    })
}

/// Every `*.md`, by its path from the root.
fn documents() -> BTreeMap<String, String> {
    let names = files().into_iter().filter(|path| path.ends_with(".md"));
    names
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).expect("the document is readable text");
            (path, text)
        })
        .collect()
}

/// Every file of the repository, by its path from the root.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is readable").flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !NOT_OURS.iter().any(|name| path.ends_with(name)) => {
                    folders.push(path)
                }
                Ok(kind) if kind.is_file() => {
                    let below = path.strip_prefix(root()).expect("below the root");
                    found.push(below.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
