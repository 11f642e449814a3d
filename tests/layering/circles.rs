//! Which modules import each other in a circle. A parent and its child may: they are one thing in two files.

use super::{Source, is_word};
use std::collections::{BTreeMap, BTreeSet};

type Module = Vec<String>;

/// Groups of modules each of which reaches all others of its group, in the order of their names.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let modules: BTreeSet<Module> = sources.iter().map(module).collect();
    let imports: BTreeMap<Module, BTreeSet<Module>> = sources
        .iter()
        .map(|source| {
            let own = module(source);
            let named = imports(source, &own, &modules);
            let others =
                named.into_iter().filter(|other| !own.starts_with(other) && !other.starts_with(&own));
            (own.clone(), others.collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|from| (from, reach(&imports, from))).collect();
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, to) in &reached {
        let group: Vec<&&Module> = to.iter().filter(|other| reached[**other].contains(from)).collect();
        if group.len() > 1 && seen.insert(group.clone()) {
            groups.push(group.iter().map(|module| module.join("::")).collect());
        }
    }
    groups
}

/// `sip/leg/mod.rs` is `sip::leg`.
fn module(source: &Source) -> Module {
    let path = source.name.trim_end_matches(".rs");
    let mut parts: Module = path.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn reach<'m>(imports: &'m BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Module> = imports[from].iter().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(&imports[next]);
        }
    }
    reached
}

/// The modules that the code names by a path from `crate`, `super` or `self`.
fn imports(source: &Source, own: &Module, modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut named = BTreeSet::new();
    for base in ["crate", "super", "self"] {
        for at in source.places_of(base) {
            let before = source.code[..at].trim_end();
            let Some(tree) = source.code[at + base.len()..].strip_prefix("::") else { continue };
            if before.ends_with("::") {
                continue; // `super` in the middle of a path: it was read from its beginning.
            }
            let start = match base {
                "crate" => &own[..0],
                "super" => &own[..own.len().saturating_sub(1)],
                _ => &own[..],
            };
            follow(tree, start.to_vec(), modules, &mut named);
        }
    }
    named
}

/// Follows a path or a group of paths, `a::{b, c::d}`, from `at` on, and notes the deepest module of each.
fn follow(tree: &str, mut at: Module, modules: &BTreeSet<Module>, named: &mut BTreeSet<Module>) {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        for branch in branches(group) {
            follow(branch, at.clone(), modules, named);
        }
        return;
    }
    let word: String = tree.chars().take_while(|c| is_word(*c)).collect();
    let rest = tree[word.len()..].strip_prefix("::");
    if word == "super" {
        at.pop();
    } else {
        at.push(word);
        if !modules.contains(&at) {
            at.pop();
            if modules.contains(&at) {
                named.insert(at);
            }
            return;
        }
    }
    match rest {
        Some(rest) => follow(rest, at, modules, named),
        None => drop(named.insert(at)),
    }
}

/// The parts of a group between its commas, up to the brace that closes it.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|part| !part.trim().is_empty());
    found
}

#[test]
fn a_circle_is_found_and_a_family_is_none() {
    let source = Source::parse;
    let circle = [
        source("a/mod.rs", "mod deep;\nuse crate::b::{One, c::{self, Two}};"),
        source("a/deep.rs", "use super::Own;"),
        source("b/mod.rs", "pub mod c;"),
        source("b/c.rs", "fn f() { super::super::a::Own::new() }"),
        source("d.rs", "use crate::a::Own;"),
    ];
    assert_eq!(circles(&circle), [["a", "b::c"]]);
    assert!(circles(&circle[..3]).is_empty(), "a parent and its child are one thing");
}
