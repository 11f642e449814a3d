//! The scenarios that SIPp plays: files of `scenarios/`, each of which tells one behaviour, and says by `<play part="…"/>`
//! what it has in common with others.
//!
//! A part of `scenarios/parts/` is put in the place of the element. Each other attribute fills a `{name}` or
//! `{name:usual}` of the part; a line that is left empty so goes. What is played is kept as `scenario.xml` in the folder
//! of its SIPp, and can be played by hand from there.

use std::fs;
use std::path::Path;

/// A scenario as SIPp reads it.
pub fn read(name: &str) -> String {
    expand(&file(&format!("{name}.xml")))
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/scenarios").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Puts the parts in their places.
fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<play ") else { return text.to_owned() };
    let (element, after) = rest.split_once("/>").unwrap_or_else(|| panic!("<play {rest}"));
    let before = before.trim_end_matches(' ');
    let attributes = attributes(element);
    let Some((("part", name), given)) = attributes.split_first() else {
        panic!("which part? <play {element}")
    };
    let part = file(&format!("parts/{name}.xml"));
    // Its first line says what it is, and may not stand inside of a message.
    let lines = part.lines().skip(1).filter_map(|line| fill(line, given)).collect::<Vec<_>>().join("\n");
    let known = |name: &str| part.contains(&format!("{{{name}}}")) || part.contains(&format!("{{{name}:"));
    for (attribute, _) in given {
        assert!(known(attribute), "part {name} has no place for {attribute}");
    }
    format!("{before}{}{}", expand(&lines), expand(after))
}

/// `name="value"` or `name='value'`, as often as it stands there.
fn attributes(element: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = element.trim();
    while let Some((name, value)) = rest.split_once('=') {
        let quote = value.chars().next().unwrap_or_default();
        let (value, after) = value[1..].split_once(quote).unwrap_or_else(|| panic!("<play {element}"));
        found.push((name.trim(), value));
        rest = after.trim_start();
    }
    found
}

/// A line with its values; None: it is empty for want of one.
fn fill(line: &str, given: &[(&str, &str)]) -> Option<String> {
    let mut filled = String::new();
    let mut rest = line;
    while let Some((before, place)) = rest.split_once('{') {
        let (place, after) = place.split_once('}').unwrap_or_else(|| panic!("{line}"));
        let (name, usual) = place.split_once(':').map_or((place, None), |(name, usual)| (name, Some(usual)));
        let value = given.iter().find(|(given, _)| *given == name).map(|(_, value)| *value).or(usual);
        filled.push_str(before);
        filled.push_str(value.unwrap_or_else(|| panic!("{name} is wanted by {line}")));
        rest = after;
    }
    filled.push_str(rest);
    (line.trim().is_empty() || !filled.trim().is_empty()).then_some(filled)
}

/// SIPp alone knows no `<play>`: what config/README.md has people type names a scenario that is whole, and it is the same that the
/// tests play.
#[test]
fn the_pbx_of_the_chapter_plays_without_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapter = fs::read_to_string(root.join("config/README.md")).expect("the chapter is there");
    let named: Vec<&str> =
        chapter.split("sipp -sf ").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
    assert_eq!(named, ["tests/interop/pbx.xml"]);
    let pbx = fs::read_to_string(root.join(named[0])).unwrap_or_default();
    assert!(
        pbx == read("caller_follows_refer"),
        "tests/interop/pbx.xml should be:\n{}",
        read("caller_follows_refer")
    );
}
