//! Templates: text with variables, as header values and `caller_id` write them.
//!
//! `$name`, `${name}`, `${name:-fallback}`, `${header.X-Foo}`, and `$$` for a dollar. A fallback is plain text and
//! stands where the variable is undefined or empty. Parsed when the table is read, expanded once when a handoff is
//! decided. What an expanded value may do where it stands is the business of [`super::headers`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Variables that Baton sets itself; nobody else can.
pub const BUILT_INS: [&str; 16] = [
    "caller_id",
    "caller_name",
    "called_number",
    "call_id",
    "sip_call_id",
    "handoff_id",
    "agent",
    "trunk",
    "environment",
    "destination",
    "method",
    "reason",
    "utterance",
    "started_at",
    "duration",
    "table_version",
];

/// The built-in that a name was probably meant to be: it differs by a slip of the finger.
pub fn misspelt_built_in(name: &str) -> Option<&'static str> {
    if is_built_in(name) || name.len() > MAX_NAME {
        return None;
    }
    let near = BUILT_INS.into_iter().filter(|known| is_alike(name, known));
    let slips = near.map(|known| (strsim::damerau_levenshtein(name, known), known));
    let (slips, near) = slips.min_by_key(|(slips, _)| *slips)?;
    // In a short name a second slip makes another word of it.
    (slips <= if near.len() < 8 { 1 } else { SLIPS }).then_some(near)
}

/// As many slips as are taken for slips.
const SLIPS: usize = 2;

/// Whether no more than [`SLIPS`] may make one of the other: each changes the length by one at most, and brings or takes one
/// letter. Counting them is dear, and in a large table there are many names.
fn is_alike(one: &str, two: &str) -> bool {
    let letters = |text: &str| text.bytes().fold(0_u64, |set, letter| set | 1 << (letter & 63));
    let only_in = |a: u64, b: u64| (a & !b).count_ones() as usize;
    let (a, b) = (letters(one), letters(two));
    one.len().abs_diff(two.len()) <= SLIPS && only_in(a, b) <= SLIPS && only_in(b, a) <= SLIPS
}

/// The longest name of a variable, in bytes.
pub const MAX_NAME: usize = 64;

/// Headers of the caller's INVITE that no template may read: they prove who somebody is.
const UNREADABLE: [&str; 4] =
    ["authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"];

/// Whether a template or a condition may read this header of the caller's INVITE.
pub fn is_readable_header(name: &str) -> bool {
    crate::wire::grammar::is_token(name.as_bytes())
        && !UNREADABLE.iter().any(|u| u.eq_ignore_ascii_case(name))
}

/// Where an expansion gets its values.
pub trait Variables: Sync {
    /// The value of a variable, built-in or set.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;
    /// The first value of a header of the caller's INVITE, the name in any case.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands as it is.
    Literal(Box<str>),
    /// A value that is put in.
    Value {
        /// Where it comes from.
        source: Source,
        /// What stands where it is undefined or empty.
        fallback: Option<Box<str>>,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A variable.
    Variable(Box<str>),
    /// A header of the caller's INVITE.
    Header(Box<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Header(name) => write!(f, "header.{name}"),
        }
    }
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
    parts: Box<[Part]>,
}

/// A variable without a value and without a fallback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable `{name}` is undefined")]
pub struct Undefined {
    /// Its name, `header.X-Foo` for a header.
    pub name: Box<str>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct TemplateError {
    /// Offset in the text, in bytes, where the faulty part begins.
    pub offset: usize,
    /// Length of the faulty part, in bytes.
    pub length: usize,
    /// What is wrong with it.
    pub kind: TemplateErrorKind,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateErrorKind {
    /// A `$` that begins nothing.
    #[error("a `$` that names no variable; write `$$` for a dollar")]
    LoneDollar,
    /// `${` without `}`.
    #[error("`${{` without its `}}`")]
    Unclosed,
    /// A name that no variable can have.
    #[error("`{0}` is no name of a variable")]
    Name(String),
    /// A header name that is no token.
    #[error("`{0}` is no name of a header")]
    HeaderName(String),
    /// A header that carries credentials.
    #[error("the header `{0}` carries credentials and cannot be read")]
    Credentials(String),
    /// A `$` inside a fallback.
    #[error("a fallback is plain text, without variables; write `$$` for a dollar")]
    Nested,
    /// Control characters in the text.
    #[error("a control character")]
    Control,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Names the place in `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some((offset, found)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(TemplateError { offset, length: found.len_utf8(), kind: TemplateErrorKind::Control });
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(dollar) = rest.find('$') else {
                literal.push_str(rest);
                break;
            };
            literal.push_str(&rest[..dollar]);
            at += dollar;
            let rest = &rest[dollar..];
            if rest.starts_with("$$") {
                literal.push('$');
                at += 2;
                continue;
            }
            let (part, length) = Self::parse_value(rest, at)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(part);
            at += length;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// Reads the value that `rest` begins with (its first byte is the `$`), and says how many bytes it takes.
    fn parse_value(rest: &str, at: usize) -> Result<(Part, usize), TemplateError> {
        let fail = |length, kind| Err(TemplateError { offset: at, length, kind });
        let Some(braced) = rest.strip_prefix("${") else {
            let name = &rest[1..];
            let end = name.bytes().position(|b| !is_name_byte(b)).unwrap_or(name.len());
            let name = &name[..end];
            if name.is_empty() {
                return fail(1, TemplateErrorKind::LoneDollar);
            }
            if !is_variable_name(name) {
                return fail(1 + end, TemplateErrorKind::Name(name.to_owned()));
            }
            let source = Source::Variable(name.into());
            return Ok((Part::Value { source, fallback: None }, 1 + end));
        };
        let Some(end) = braced.find('}') else { return fail(rest.len(), TemplateErrorKind::Unclosed) };
        let (inner, length) = (&braced[..end], end + 3);
        let (name, fallback) = match inner.split_once(":-") {
            Some((name, fallback)) => (name, Some(fallback)),
            None => (inner, None),
        };
        let source = match name.strip_prefix("header.") {
            Some(header) if !crate::wire::grammar::is_token(header.as_bytes()) => {
                return fail(length, TemplateErrorKind::HeaderName(header.to_owned()));
            }
            Some(header) if UNREADABLE.iter().any(|u| u.eq_ignore_ascii_case(header)) => {
                return fail(length, TemplateErrorKind::Credentials(header.to_owned()));
            }
            Some(header) => Source::Header(header.into()),
            None if is_variable_name(name) => Source::Variable(name.into()),
            None => return fail(length, TemplateErrorKind::Name(name.to_owned())),
        };
        let fallback = match fallback {
            None => None,
            Some(text) if text.replace("$$", "").contains('$') => {
                return fail(length, TemplateErrorKind::Nested);
            }
            Some(text) => Some(text.replace("$$", "$").into()),
        };
        Ok((Part::Value { source, fallback }, length))
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its pieces in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Appends the text with every variable's value to `out`, as it is: only for a place where any text may stand.
    /// Headers are expanded by [`super::table::HeaderTemplate::expand`].
    ///
    /// # Errors
    /// The first variable without value and fallback; `out` then holds what came before it.
    pub fn expand(&self, variables: &dyn Variables, out: &mut Vec<u8>) -> Result<(), Undefined> {
        for part in &self.parts {
            out.extend_from_slice(part.value(variables)?.as_bytes());
        }
        Ok(())
    }
}

impl Part {
    /// What this piece says.
    ///
    /// # Errors
    /// A value that is neither defined nor has a fallback.
    pub fn value<'a>(&'a self, variables: &'a dyn Variables) -> Result<Cow<'a, str>, Undefined> {
        let (source, fallback) = match self {
            Self::Literal(text) => return Ok(Cow::Borrowed(text)),
            Self::Value { source, fallback } => (source, fallback),
        };
        let found = match source {
            Source::Variable(name) => variables.variable(name),
            Source::Header(name) => variables.header(name),
        };
        match (found, fallback) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(fallback)) => Ok(Cow::Borrowed(fallback)),
            (None, None) => Err(Undefined { name: source.to_string().into() }),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `name` can be a variable: a letter or `_`, then letters, digits and `_`, at most [`MAX_NAME`] bytes.
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(is_name_byte)
}

/// Whether Baton sets this variable itself.
pub fn is_built_in(name: &str) -> bool {
    BUILT_INS.contains(&name)
}

/// The variable that a header of a handoff request becomes: `X-Account-ID` is `account_id`. `None` for headers that do
/// not begin with `X-` and for names that cannot be a variable. The caller leaves out built-ins.
pub fn variable_of_header(header: &str) -> Option<String> {
    let name = header.get(..2).filter(|x| x.eq_ignore_ascii_case("x-")).and_then(|_| header.get(2..))?;
    let name: String = name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect();
    is_variable_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vars;
    impl Variables for Vars {
        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            match name {
                "caller_id" => Some("+14155550199".into()),
                "empty" => Some("".into()),
                "dollars" => Some("$caller_id".into()),
                _ => None,
            }
        }
        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            name.eq_ignore_ascii_case("x-foo").then(|| "bar".into())
        }
    }

    fn expand(text: &str) -> Result<String, Undefined> {
        let mut out = Vec::new();
        Template::parse(text).expect(text).expand(&Vars, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn expands_every_form() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$caller_id", "+14155550199"),
            ("a${caller_id}b", "a+14155550199b"),
            ("$caller_id-x", "+14155550199-x"),
            ("${language:-en}", "en"),
            ("${empty:-none}", "none"),
            ("${empty}", ""),
            ("${caller_id:-none}", "+14155550199"),
            ("${header.X-Foo}", "bar"),
            ("${header.X-Bar:-a b:-c}", "a b:-c"),
            ("${language:-}", ""),
            ("$$5 and ${x:-$$}", "$5 and $"),
            ("$$$caller_id", "$+14155550199"),
            ("$dollars", "$caller_id"),
            ("ünï $caller_id ✓", "ünï +14155550199 ✓"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_slip_in_a_built_in_is_seen() {
        for (name, meant) in [
            ("caler_id", Some("caller_id")),
            ("calller_id", Some("caller_id")),
            ("reson", Some("reason")),
            ("hand_off_id", Some("handoff_id")),
            ("caller_id", None),
            ("language", None),
            ("account_id", None),
            ("season_id", None),
            ("x", None),
        ] {
            assert_eq!(misspelt_built_in(name), meant, "{name}");
        }
    }

    #[test]
    fn says_what_is_undefined() {
        assert_eq!(&*expand("a $b").unwrap_err().name, "b");
        assert_eq!(&*expand("${header.X-Bar}").unwrap_err().name, "header.X-Bar");
    }

    #[test]
    fn says_where_and_what_is_wrong() {
        use TemplateErrorKind as K;
        for (text, offset, length, kind) in [
            ("ab$", 2, 1, K::LoneDollar),
            ("a $ b", 2, 1, K::LoneDollar),
            ("a ${b", 2, 3, K::Unclosed),
            ("a $1b", 2, 3, K::Name("1b".into())),
            ("${}", 0, 3, K::Name(String::new())),
            ("${a b}", 0, 6, K::Name("a b".into())),
            ("${a-b}", 0, 6, K::Name("a-b".into())),
            ("${header.}", 0, 10, K::HeaderName(String::new())),
            ("${header.A B}", 0, 13, K::HeaderName("A B".into())),
            ("${header.proxy-Authorization}", 0, 29, K::Credentials("proxy-Authorization".into())),
            ("${a:-$b}", 0, 8, K::Nested),
            ("a\r\nb", 1, 1, K::Control),
        ] {
            assert_eq!(Template::parse(text), Err(TemplateError { offset, length, kind }), "{text}");
        }
    }

    #[test]
    fn header_names_become_variable_names() {
        assert_eq!(variable_of_header("X-Account-ID").as_deref(), Some("account_id"));
        assert_eq!(variable_of_header("x-lang").as_deref(), Some("lang"));
        assert_eq!(variable_of_header("User-to-User"), None);
        assert_eq!(variable_of_header("X-1st"), None);
        assert_eq!(variable_of_header("X-"), None);
        assert_eq!(variable_of_header("X-a.b"), None);
        assert_eq!(variable_of_header("é-foo"), None);
    }
}
