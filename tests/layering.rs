//! The house rules, held by reading `src/` as text.
//!
//! The compiler holds privacy and types; it does not hold that a layer imports only lower ones, that a file stays short
//! enough to be read in one sitting, or that the engine never learns the name of a SIP method. This file does. It lexes
//! just enough Rust to tell code from comments and strings; `clippy.toml` bans the same clocks and locks by path, this bans
//! them by name, so that neither an alias nor a re-export slips through.

#[path = "layering/circles.rs"]
mod circles;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module at the root of the crate and its height. A module imports itself and what is strictly lower.
const LAYERS: &[(&str, u8)] = &[
    ("observe", 0),
    ("wire", 1),
    ("sip", 2),
    ("routing", 3),
    ("call", 4),
    ("trunk", 4),
    ("net", 5),
    ("store", 5),
    ("shard", 6),
    ("rehearsal", 7),
    ("http", 8),
    ("daemon", 9),
    ("cli", 10),
];

/// The highest layer that is pure: no clock, socket, task, lock or file up to here.
const HIGHEST_PURE: u8 = 4;

/// What a pure layer may not name, and why.
const IMPURE: &[(&str, &str)] = &[
    ("Instant", "time comes in as a parameter"),
    ("SystemTime", "time comes in as a parameter"),
    ("UdpSocket", "packets are inputs and outputs"),
    ("TcpStream", "packets are inputs and outputs"),
    ("TcpListener", "packets are inputs and outputs"),
    ("std::fs", "files are the daemon's"),
    ("std::thread", "one thread steps one engine"),
    ("std::env", "configuration is handed down as values"),
    ("std::process", "the engine ends nothing but calls"),
    ("tokio", "there is no runtime below layer 5"),
    ("Mutex", "one thread steps one engine"),
    ("RwLock", "one thread steps one engine"),
    ("Condvar", "one thread steps one engine"),
    ("mpsc", "outputs are polled, not sent"),
    ("getrandom", "randomness comes in as a seed"),
    ("println", "what happened leaves as an event"),
    ("eprintln", "what happened leaves as an event"),
];

/// SIP methods as they stand on the wire. `call/` speaks of calls, legs and handoffs, not of these.
const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "REGISTER",
    "PUBLISH",
];

/// Header names without a hyphen, in their canonical case: in lower case they are ordinary words (`reason`, `to`).
/// Names with a hyphen are recognised by [`is_header_name`] in any case.
const PLAIN_HEADERS: &[&str] = &[
    "Via",
    "From",
    "To",
    "Contact",
    "CSeq",
    "Route",
    "Reason",
    "Event",
    "Allow",
    "Supported",
    "Require",
    "Expires",
    "Authorization",
    "Privacy",
    "Replaces",
    "Diversion",
];

/// Header names with a hyphen; `X-` names are recognised by their prefix.
const HYPHENATED_HEADERS: &[&str] = &[
    "call-id",
    "record-route",
    "max-forwards",
    "content-type",
    "content-length",
    "refer-to",
    "refer-sub",
    "referred-by",
    "subscription-state",
    "retry-after",
    "www-authenticate",
    "proxy-authenticate",
    "proxy-authorization",
    "p-asserted-identity",
    "p-called-party-id",
    "user-to-user",
    "history-info",
    "session-expires",
    "min-se",
];

/// Functions of the standard library that `call/` and `sip/` may hand a literal `true` or `false`: what they mean is known.
const KNOWN_TO_TAKE_BOOL: &[&str] = &["mem::replace"];

const FILE_CAP: usize = 600;
const ENGINE_CAP: usize = 300;
const FUNCTION_CAP: usize = 100;

/// What has been built is known to build: an older version that was only written down is a promise that nobody has kept.
#[test]
fn rust_version_is_the_toolchain_that_runs_the_tests() {
    let said =
        std::process::Command::new(env!("CARGO")).arg("--version").output().expect("cargo runs").stdout;
    let said = String::from_utf8(said).expect("text");
    let runs =
        said.split_whitespace().nth(1).and_then(|version| version.rsplit_once('.')).expect("a version");
    let promised = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(promised, runs.0, "`rust-version` in Cargo.toml, and the `{}` that runs this", said.trim());
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    assert!(readme.contains(&format!("Rust {promised} or newer")), "README.md names another version");
}

#[test]
fn each_layer_imports_only_lower_ones() {
    let mut faults = Faults::default();
    for source in sources() {
        let Some((own, height)) = source.layer() else { continue };
        for (line, module) in source.root_imports() {
            if module == own {
                continue;
            }
            match LAYERS.iter().find(|(name, _)| *name == module) {
                Some((_, other)) if *other < height => {}
                Some((_, other)) => {
                    faults.add(&source, line, format!("{own} ({height}) imports {module} ({other})"));
                }
                None if module.starts_with(char::is_lowercase) => {
                    faults.add(&source, line, format!("`{module}` is no layer; give it a place in LAYERS"));
                }
                None => {} // A macro or item exported at the root.
            }
        }
    }
    faults.assert_none("the order of the layers (see src/lib.rs)");
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let circles = circles::circles(&sources());
    assert!(circles.is_empty(), "move what both sides need into a module of its own: {circles:#?}");
}

/// A leg is handed what it works with. Could it name the stack, it could reach the other legs.
#[test]
fn a_leg_never_reaches_the_stack_nor_anybody_into_a_leg() {
    let mut faults = Faults::default();
    let sources = sources();
    for source in sources.iter().filter(|source| source.name.starts_with("sip/leg/")) {
        for line in source.lines_naming("Stack") {
            faults.add(source, line, "names `Stack`: a leg is handed an `Io`".to_owned());
        }
    }
    for (name, of) in [("sip/stack/mod.rs", "struct Stack {"), ("sip/leg/mod.rs", "struct Leg {")] {
        let source = sources.iter().find(|source| source.name == name).expect("it stands where it stood");
        let at = source.code.find(of).expect("it is called as it was");
        let open = at + of.len() - 1;
        let fields = &source.code[open..closing_brace(&source.code, open)];
        if fields.contains("pub") {
            faults.add(source, source.line_of(at), format!("a field of `{of}` is public"));
        }
    }
    faults.assert_none("the legs are the stack's, and a leg's fields its own");
}

#[test]
fn every_module_at_the_root_is_a_layer() {
    let mut faults = Faults::default();
    for source in sources() {
        if source.layer().is_none() && !["lib.rs", "main.rs"].contains(&source.name.as_str()) {
            faults.add(&source, 1, "not in any layer".to_owned());
        }
    }
    faults.assert_none("every module belongs to a layer");
}

#[test]
fn pure_layers_name_no_clock_socket_task_lock_or_file() {
    let mut faults = Faults::default();
    for source in sources().iter().filter(|source| source.is_pure()) {
        for (name, why) in IMPURE {
            for line in source.lines_naming(name) {
                faults.add(source, line, format!("names `{name}`: {why}"));
            }
        }
    }
    faults.assert_none("layers 0 to 4 are pure");
}

#[test]
fn pure_layers_are_under_the_clippy_ban() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let lines: Vec<&str> = lib.lines().map(str::trim).collect();
    for (name, _) in LAYERS.iter().filter(|(_, height)| *height <= HIGHEST_PURE) {
        let Some(at) = lines.iter().position(|line| *line == format!("pub mod {name};")) else { continue };
        assert_eq!(
            lines[at - 1],
            "#[deny(clippy::disallowed_methods, clippy::disallowed_types)]",
            "src/lib.rs:{}: the pure layer `{name}` is declared without the ban of clippy.toml",
            at + 1
        );
    }
}

#[test]
fn only_wire_names_rsip() {
    let mut faults = Faults::default();
    for source in sources().iter().filter(|source| source.layer().is_none_or(|(own, _)| own != "wire")) {
        for line in ["rsip", "rsip_dns"].iter().flat_map(|name| source.lines_naming(name)) {
            faults.add(source, line, "names rsip".to_owned());
        }
    }
    faults.assert_none("rsip stays at the edge, in wire/");
}

#[test]
fn no_queue_is_unbounded() {
    let mut faults = Faults::default();
    for source in sources() {
        for name in ["unbounded_channel", "UnboundedSender", "UnboundedReceiver"] {
            for line in source.lines_naming(name) {
                faults.add(&source, line, format!("names `{name}`: a slow reader would cost all memory"));
            }
        }
    }
    faults.assert_none("every queue has a bound");
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let mut faults = Faults::default();
    for source in sources() {
        let cap = if source.is_engine() { ENGINE_CAP } else { FILE_CAP };
        let lines = source.code.lines().count();
        if lines > cap {
            faults.add(&source, cap + 1, format!("{lines} lines before its tests, at most {cap}"));
        }
    }
    faults.assert_none("short files");
}

#[test]
fn no_function_is_longer_than_one_can_hold_in_mind() {
    let mut faults = Faults::default();
    for source in sources() {
        for (line, name, length) in source.functions() {
            if length > FUNCTION_CAP {
                faults.add(&source, line, format!("fn {name} has {length} lines, at most {FUNCTION_CAP}"));
            }
        }
    }
    faults.assert_none("short functions");
}

#[test]
fn the_product_layer_knows_no_header_and_no_method_by_name() {
    let mut faults = Faults::default();
    for source in sources().iter().filter(|source| source.layer().is_some_and(|(own, _)| own == "call")) {
        for (line, text) in &source.strings {
            if METHODS.contains(&text.as_str()) {
                faults.add(source, *line, format!("names the SIP method {text:?}"));
            } else if is_header_name(text) {
                faults.add(source, *line, format!("names the header {text:?}; it belongs into wire/headers"));
            }
        }
    }
    faults.assert_none("call/ speaks of calls and handoffs, not of SIP");
}

#[test]
fn the_engine_never_names_a_sip_method() {
    let mut faults = Faults::default();
    for source in sources().iter().filter(|source| source.is_engine()) {
        for method in METHODS {
            let variant = format!("Method::{}{}", &method[..1], method[1..].to_ascii_lowercase());
            for line in source.lines_naming(&variant) {
                faults.add(source, line, format!("names {variant}"));
            }
        }
    }
    faults.assert_none("the engine routes and indexes, nothing else");
}

#[test]
fn no_call_of_the_core_passes_a_literal_true_or_false() {
    let mut faults = Faults::default();
    let is_core = |source: &&Source| source.layer().is_some_and(|(own, _)| ["call", "sip"].contains(&own));
    for source in sources().iter().filter(is_core) {
        for (line, callee) in source.literal_bools() {
            faults.add(source, line, format!("`{callee}` is passed a literal that says nothing: name it"));
        }
    }
    faults.assert_none("a call in call/ and sip/ says what it passes");
}

#[test]
fn nothing_is_left_for_later() {
    let mut faults = Faults::default();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for mark in ["TODO", "FIXME", "todo!(", "unimplemented!("] {
                if line.contains(mark) {
                    faults.add(&source, number + 1, format!("{mark} in src/"));
                }
            }
        }
    }
    faults.assert_none("no loose ends in src/");
}

#[test]
fn the_lexer_tells_code_from_text() {
    let source = Source::parse(
        "call/engine.rs",
        "use crate::{wire::uri, sip};\n// crate::net\nfn a<'x>(c: char) -> bool {\n    c == '\"' || c == '{'\n}\n\
         const B: &str = r#\"crate::http \"BYE\"\"#;\n/* tokio /* Mutex */ */ fn b() { crate::store::x(\"BYE\") }\n\
         #[cfg(test)]\nmod tests { use tokio; }\n",
    );
    let imports: Vec<String> = source.root_imports().into_iter().map(|(_, module)| module).collect();
    assert_eq!(imports, ["wire", "sip", "store"]);
    assert_eq!(source.strings.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [6, 7]);
    assert_eq!(source.strings[1].1, "BYE");
    assert!(source.lines_naming("tokio").is_empty() && source.lines_naming("Mutex").is_empty());
    assert_eq!(source.functions(), [(3, "a".to_owned(), 3), (7, "b".to_owned(), 1)]);
    assert_eq!(source.code.lines().count(), 7);

    let escaped =
        Source::parse("sip/leg/accept.rs", "use super::super::super::net;\nuse super::super::dialog;\n");
    let imports: Vec<String> = escaped.root_imports().into_iter().map(|(_, module)| module).collect();
    assert_eq!(imports, ["net"]);
}

#[test]
fn a_literal_is_found_in_calls_only() {
    let source = Source::parse(
        "sip/leg/close.rs",
        "fn a(b: Option<bool>) -> bool {\n    self.over(cx, Some(leg), true);\n    leg::close(\n        false,\n        1,\n    );\n\
         \x20   iter.sum::<u8>(true, (x, false));\n    let c = Seen { told: true };\n    std::mem::replace(&mut c.told, true);\n\
         \x20   if let (Some(true), false) = (b, true) { return true }\n    assert!(matches!(b, Some(false)), true);\n    \
         // over(true)\n    c.heard(&[true], \"heard(true)\")\n}\n#[cfg(test)]\nmod tests { fn d() { e(true) } }\n",
    );
    let found = source.literal_bools();
    let found: Vec<(usize, &str)> = found.iter().map(|(line, callee)| (*line, callee.as_str())).collect();
    assert_eq!(found, [(2, "over"), (4, "leg::close"), (7, "sum")]);
}

fn is_header_name(text: &str) -> bool {
    let name = text.trim_end_matches([':', ' ']);
    PLAIN_HEADERS.contains(&name)
        || HYPHENATED_HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name))
        || (name.len() > 2 && name.starts_with("X-") && !name.contains(char::is_whitespace))
}

/// One file of `src/` up to its tests, with its code, comments and strings told apart.
struct Source {
    /// Path below `src/`, with `/`.
    name: String,
    text: String,
    /// The code with comments and the insides of strings blanked out; lines keep their numbers.
    code: String,
    /// Line and contents of each string literal.
    strings: Vec<(usize, String)>,
}

impl Source {
    fn parse(name: &str, text: &str) -> Source {
        let end = if is_test_file(name) { 0 } else { test_start(text) };
        let (code, strings) = Lexer::new(&text[..end]).run();
        Source { name: name.to_owned(), text: text.to_owned(), code, strings }
    }

    fn layer(&self) -> Option<(&'static str, u8)> {
        let top = self.name.split(['/', '.']).next()?;
        LAYERS.iter().find(|(name, _)| *name == top).copied()
    }

    fn is_pure(&self) -> bool {
        self.layer().is_some_and(|(_, height)| height <= HIGHEST_PURE)
    }

    fn is_engine(&self) -> bool {
        self.name == "call/engine.rs" || self.name.starts_with("call/engine/")
    }

    /// How many modules deep the file is: `sip/mod.rs` 1, `sip/dialog.rs` 2.
    fn depth(&self) -> usize {
        let folders = self.name.matches('/').count();
        if self.name.ends_with("/mod.rs") { folders } else { folders + 1 }
    }

    /// Lines on which `name` stands as a whole word or path.
    fn lines_naming(&self, name: &str) -> Vec<usize> {
        self.places_of(name).map(|at| self.line_of(at)).collect()
    }

    fn places_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(name).map(|(at, _)| at).filter(move |at| {
            !self.code[..*at].ends_with(is_word) && !self.code[at + name.len()..].starts_with(is_word)
        })
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Modules of the crate's root that the code names: by `crate::` and by climbing with `super::`.
    fn root_imports(&self) -> Vec<(usize, String)> {
        let climb = "super::".repeat(self.depth());
        let by_name = self.places_of("crate").filter_map(|at| {
            self.code[at + "crate".len()..].strip_prefix("::").map(|rest| (at, rest.trim_start()))
        });
        let by_climbing = self
            .code
            .match_indices(&climb)
            .filter(|(at, _)| !self.code[..*at].ends_with(is_word))
            .map(|(at, _)| (at, self.code[at + climb.len()..].trim_start()));
        let mut found = Vec::new();
        for (at, rest) in by_name.chain(by_climbing) {
            let modules = match rest.strip_prefix('{') {
                Some(group) => heads_of_group(group),
                None => vec![leading_word(rest)],
            };
            found.extend(modules.into_iter().map(|module| (self.line_of(at), module)));
        }
        found
    }

    /// Line and callee of each call that has a literal `true` or `false` among its arguments. A macro, a constructor
    /// (`Some(true)`) and a pattern are no calls.
    fn literal_bools(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, after) in ["true", "false"]
            .into_iter()
            .flat_map(|word| self.places_of(word).map(move |at| (at, at + word.len())))
        {
            let whole = self.code[..at].trim_end().ends_with(['(', ','])
                && self.code[after..].trim_start().starts_with([')', ',']);
            let Some(open) = opening_bracket(&self.code[..at]).filter(|_| whole) else { continue };
            if self.code[open..].starts_with('(')
                && let Some(callee) = callee(&self.code[..open])
                && !KNOWN_TO_TAKE_BOOL.iter().any(|known| callee.ends_with(known))
            {
                found.push((self.line_of(at), callee.to_owned()));
            }
        }
        found.sort();
        found
    }

    /// First line, name and number of lines of each function with a body.
    fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for at in self.places_of("fn") {
            let rest = &self.code[at + 2..];
            let name = leading_word(rest.trim_start());
            let Some(open) = rest.find(['{', ';']) else { continue };
            if name.is_empty() || rest[open..].starts_with(';') {
                continue; // A function pointer's type, or a trait's signature.
            }
            let close = closing_brace(rest, open);
            found.push((self.line_of(at), name, rest[..close].matches('\n').count() + 1));
        }
        found
    }
}

/// Splits Rust text into code (comments and strings blanked) and the strings.
struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    code: String,
    strings: Vec<(usize, String)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Lexer { rest: text, line: 1, code: String::with_capacity(text.len()), strings: Vec::new() }
    }

    fn run(mut self) -> (String, Vec<(usize, String)>) {
        while let Some(next) = self.rest.chars().next() {
            let in_word = self.code.ends_with(is_word);
            if self.rest.starts_with("//") {
                self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.blank(block_comment(self.rest));
            } else if let Some(hashes) = raw_string(self.rest).filter(|_| !in_word) {
                self.raw_string(hashes);
            } else if next == '"' {
                self.string();
            } else if next == '\'' {
                self.quote();
            } else {
                self.keep(next.len_utf8());
            }
        }
        (self.code, self.strings)
    }

    fn keep(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.code.push_str(taken);
        self.rest = rest;
    }

    fn blank(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    fn string(&mut self) {
        let mut escaped = false;
        let length = self.rest[1..]
            .find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })
            .unwrap_or(self.rest.len() - 1);
        self.literal(1, length, 1);
    }

    fn raw_string(&mut self, hashes: usize) {
        let open = self.rest.find('"').expect("raw_string saw the quote") + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        let length = self.rest[open..].find(&close).unwrap_or(self.rest.len() - open);
        self.literal(open, length, close.len());
    }

    fn literal(&mut self, open: usize, length: usize, close: usize) {
        self.strings.push((self.line, self.rest[open..open + length].to_owned()));
        self.blank((open + length + close).min(self.rest.len()));
    }

    /// A character is blanked, a lifetime kept.
    fn quote(&mut self) {
        let mut ahead = self.rest.char_indices().skip(1);
        match (ahead.next(), ahead.next()) {
            (Some((_, '\\')), Some(_)) => {
                let end = self.rest[3..].find('\'').map_or(self.rest.len(), |at| at + 4);
                self.blank(end);
            }
            (Some(_), Some((at, '\''))) => self.blank(at + 1),
            _ => self.keep(1),
        }
    }
}

/// The number of hashes if `text` begins with `r"`, `r#"`, `br"` and so on.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Length of the block comment at the head of `text`; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The first words of the items of `{a::b, c, d::{e, f}}`, given what follows the brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut heads = vec![leading_word(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(leading_word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// The bracket that is still open at the end of `code`.
fn opening_bracket(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    code.char_indices().rev().find_map(|(at, c)| {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth == 0 => return Some(at),
            '(' | '[' | '{' => depth -= 1,
            _ => {}
        }
        None
    })
}

/// The path of a function or method that `code`, up to the bracket of its arguments, ends with.
fn callee(code: &str) -> Option<&str> {
    let code = code.strip_suffix('>').and_then(|code| code.rsplit_once("::<")).map_or(code, |(path, _)| path);
    let path = &code[code.trim_end_matches(|c| is_word(c) || c == ':').len()..];
    let name = path.rsplit("::").next().unwrap_or(path);
    name.starts_with(|c: char| c.is_lowercase() || c == '_').then_some(path)
}

/// Where the brace at `open` is closed again.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Where the file's tests begin: its first `#[cfg(test)]` that opens a module. One on a single item does not count, or it
/// would hide all that follows.
fn test_start(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim() == "#[cfg(test)]" {
            let opens = text[at + line.len()..].lines().find(|next| !next.trim_start().starts_with("#["));
            if opens.is_some_and(|next| next.contains("mod ") && next.contains('{')) {
                break;
            }
        }
        at += line.len();
    }
    at
}

/// A module that holds nothing but tests, declared behind `#[cfg(test)]` by its parent.
fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

fn leading_word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `src/`, in the order of their names.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no Rust file below {}", src.display());
    let parse = |path: &PathBuf| {
        let name = path.strip_prefix(&src).expect("collected below src").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Source::parse(&name, &text)
    };
    files.iter().map(parse).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("src can be listed").path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every break of one rule, reported at once.
#[derive(Default)]
struct Faults(String);

impl Faults {
    fn add(&mut self, source: &Source, line: usize, what: String) {
        let _ = writeln!(self.0, "  src/{}:{line}: {what}", source.name);
    }

    fn assert_none(self, rule: &str) {
        assert!(self.0.is_empty(), "broken: {rule}\n{}", self.0);
    }
}
