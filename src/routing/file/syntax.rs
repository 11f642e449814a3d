//! What a parser of TOML says, in words for people who have never heard of it.

/// What the parser says of a key or table that stands in its place twice.
pub(super) const TWICE: &str = "duplicate key";

/// A fault in words.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) expected: Option<String>,
    /// What was probably meant.
    pub(super) help: Option<String>,
}

/// The parser's `message` on the text `what`, which stands in `line`.
pub(super) fn fault(message: &str, what: &str, line: &str) -> Fault {
    let of = |message: &str, expected: Option<&str>, help: Option<String>| Fault {
        message: message.to_owned(),
        expected: expected.map(str::to_owned),
        help,
    };
    match message {
        // The parser says this of anything that begins no value, also of nothing at all.
        "string values must be quoted, expected literal string" => of(
            if what.is_empty() { "no value" } else { "this is no value" },
            Some("a value: \"text\", 5, true, [\"a\", \"b\"] or { a = \"b\" }"),
            what.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}'])
                .then(|| "these are a word processor's quotes: write straight ones, \"…\"".to_owned()),
        ),
        TWICE => Fault {
            message: format!("`{what}` is there twice"),
            expected: None,
            help: Some(match line.trim_start().starts_with('[') {
                true => "give it another name, or remove one of both".to_owned(),
                false => "remove one of both".to_owned(),
            }),
        },
        "invalid basic string, expected `\"`" => {
            of("this text does not end on its line", Some("a `\"` that closes it"), None)
        }
        "invalid literal string, expected `'`" => {
            of("this text does not end on its line", Some("a `'` that closes it"), None)
        }
        "unclosed table, expected `]`" => {
            let id = line.trim_start_matches([' ', '\t', '[']);
            let id = id.split([']', '#']).next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            let help =
                (id.len() > 1).then(|| format!("an id is one word: did you mean `[{}]`?", id.join("-")));
            of("this table's name does not end", Some("`]`"), help)
        }
        "key with no value, expected `=`" => of("key with no value", Some("`=`"), meant(line)),
        other => match other.split_once(", expected ") {
            Some((message, expected)) => of(message, Some(expected), None),
            None => of(other, None, None),
        },
    }
}

/// What stands before its `=` or `:` as one word, or with `=`.
fn meant(line: &str) -> Option<String> {
    let end = line.find(['=', ':', '"', '#']).unwrap_or(line.len());
    let words: Vec<&str> = line[..end].split_whitespace().collect();
    match (words.as_slice(), line[end..].chars().next()) {
        ([_], Some(':')) => Some("between a key and its value stands `=`".to_owned()),
        ([first, _, ..], Some('=' | ':')) => {
            // Headers are written with dashes, keys of Baton's with underscores.
            let between = if first.starts_with(char::is_uppercase) { "-" } else { "_" };
            Some(format!("a key is one word: did you mean `{}`?", words.join(between)))
        }
        _ => None,
    }
}
