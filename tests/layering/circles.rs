//! Which modules import each other in a circle. A parent and its child may: they are one thing in two files.

use super::{Source, is_word};
use std::collections::{BTreeMap, BTreeSet};

type Module = Vec<String>;

/// Groups of modules each of which reaches all others of its group, in the order of their names.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let modules: BTreeSet<Module> = sources.iter().map(module).collect();
    let names = Names { exports: exports(sources, &modules), modules };
    let imports: BTreeMap<Module, BTreeSet<Module>> = sources
        .iter()
        .map(|source| {
            let own = module(source);
            let named = imports(source, &own, &names);
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

/// What a path may lead to.
struct Names {
    modules: BTreeSet<Module>,
    /// What a module gives on under a name of its own: where that stands.
    exports: BTreeMap<(Module, String), Module>,
}

impl Names {
    /// The module in which an item stands that is named as one of `at`.
    fn home(&self, mut at: Module, item: &str) -> Option<Module> {
        for _ in 0..8 {
            match self.exports.get(&(at.clone(), item.to_owned())) {
                Some(next) => at.clone_from(next),
                None => break,
            }
        }
        self.modules.contains(&at).then_some(at)
    }
}

/// What the modules give on by `pub use`, in any visibility.
fn exports(sources: &[Source], modules: &BTreeSet<Module>) -> BTreeMap<(Module, String), Module> {
    let mut found = BTreeMap::new();
    for source in sources {
        let own = module(source);
        for at in source.places_of("use") {
            let before = source.code[..at].trim_end();
            let line = &before[before.rfind(['\n', ';', '}', '{']).map_or(0, |end| end + 1)..];
            if !line.trim_start().starts_with("pub") {
                continue;
            }
            let tree = source.code[at + "use".len()..].split(';').next().unwrap_or_default();
            leaves(tree.trim(), own.clone(), &mut |home, item| {
                if modules.contains(&home) && home != own {
                    found.insert((own.clone(), item.to_owned()), home);
                }
            });
        }
    }
    found
}

/// The items at the ends of a path or a group of paths, each with the module that the path names for it.
fn leaves(tree: &str, at: Module, tell: &mut dyn FnMut(Module, &str)) {
    if let Some(group) = tree.strip_prefix('{') {
        return branches(group).into_iter().for_each(|branch| leaves(branch.trim(), at.clone(), tell));
    }
    let word: String = tree.chars().take_while(|c| is_word(*c)).collect();
    let Some(rest) = tree[word.len()..].strip_prefix("::") else { return tell(at, &word) };
    let mut at = at;
    match &*word {
        "crate" => at.clear(),
        "super" => drop(at.pop()),
        "self" => {}
        _ => at.push(word),
    }
    leaves(rest.trim(), at, tell);
}

/// The modules that the code names by a path from `crate`, `super` or `self`.
fn imports(source: &Source, own: &Module, names: &Names) -> BTreeSet<Module> {
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
            follow(tree, start.to_vec(), names, &mut named);
        }
    }
    named
}

/// Follows a path or a group of paths, `a::{b, c::d}`, from `at` on, and notes the deepest module of each.
fn follow(tree: &str, mut at: Module, names: &Names, named: &mut BTreeSet<Module>) {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        for branch in branches(group) {
            follow(branch, at.clone(), names, named);
        }
        return;
    }
    let word: String = tree.chars().take_while(|c| is_word(*c)).collect();
    let rest = tree[word.len()..].strip_prefix("::");
    if word == "super" {
        at.pop();
    } else {
        at.push(word);
        if !names.modules.contains(&at) {
            let item = at.pop().unwrap_or_default();
            named.extend(names.home(at, &item));
            return;
        }
    }
    match rest {
        Some(rest) => follow(rest, at, names, named),
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
    let hidden = [
        source("a/mod.rs", "mod deep;\npub(crate) use deep::{Deep, other::Two};"),
        source("a/deep.rs", "use crate::b::One;"),
        source("b.rs", "use super::a::Deep;\npub struct One;"),
    ];
    assert_eq!(circles(&hidden), [["a::deep", "b"]], "what a parent gives on stands where it stands");
    assert!(circles(&circle[..3]).is_empty(), "a parent and its child are one thing");
}
