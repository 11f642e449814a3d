//! Which headers a destination or a decision may carry, and what their values may hold.
//!
//! A value that comes from outside can never add a header, a parameter or a line: names are on an allow-list, control
//! characters are refused, and a variable inside a structured value is encoded for the place where it stands.

use std::borrow::Cow;
use std::sync::Arc;

use super::file::nearest;
use super::template::{Part, Source, Template, Undefined, Variables};
use crate::wire::{grammar, uri};

/// The longest value of a header that a handoff carries, in bytes after expansion.
pub const MAX_VALUE: usize = 2048;

/// The longest name of such a header, in bytes.
pub const MAX_HEADER_NAME: usize = 64;

/// The most headers that one handoff carries.
pub const MAX_HEADERS: usize = 32;

/// Headers without `X-` that a handoff may carry. Their values have a grammar.
const STRUCTURED: [&str; 3] = ["User-to-User", "Diversion", "History-Info"];

/// Why a header may not be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No RFC 3261 token.
    #[error("a header name is a token: letters, digits and - . ! % * _ + ` ' ~")]
    Token,
    /// Longer than [`MAX_HEADER_NAME`].
    #[error("a header name has at most {MAX_HEADER_NAME} characters")]
    TooLong,
    /// It belongs to the dialog, the route, the authentication or the body.
    #[error("this header belongs to the {0}, which Baton writes itself")]
    Reserved(&'static str),
    /// Any other name.
    #[error("only headers that begin with X-, and User-to-User, Diversion and History-Info are carried")]
    NotCarried,
}

/// Headers that Baton or the body owns, by what they belong to, compact forms included (RFC 3261 §7.3.3 and the IANA
/// registry). They are refused like any other name that is not carried; this list only lets the refusal say why.
const RESERVED: [(&str, &[&str]); 4] = [
    (
        "dialog",
        &[
            "to",
            "t",
            "from",
            "f",
            "call-id",
            "i",
            "cseq",
            "contact",
            "m",
            "max-forwards",
            "replaces",
            "join",
            "target-dialog",
            "refer-to",
            "r",
            "referred-by",
            "b",
            "refer-sub",
            "reason",
            "event",
            "o",
            "subscription-state",
            "session-expires",
            "x",
            "min-se",
            "rseq",
            "rack",
            "require",
            "supported",
            "k",
            "allow",
            "allow-events",
            "u",
            "expires",
            "session-id",
            "privacy",
            "p-asserted-identity",
            "p-preferred-identity",
        ],
    ),
    ("route", &["via", "v", "route", "record-route", "path", "service-route", "proxy-require"]),
    (
        "authentication",
        &[
            "authorization",
            "proxy-authorization",
            "www-authenticate",
            "proxy-authenticate",
            "authentication-info",
            "identity",
            "y",
            "identity-info",
            "n",
        ],
    ),
    (
        "message body",
        &[
            "content-type",
            "c",
            "content-length",
            "l",
            "content-encoding",
            "e",
            "content-disposition",
            "content-language",
            "mime-version",
        ],
    ),
];

/// Whether a handoff may carry a header of this name.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if !grammar::is_token(name.as_bytes()) {
        return Err(NameError::Token);
    }
    if name.len() > MAX_HEADER_NAME {
        return Err(NameError::TooLong);
    }
    let extension = name.len() > 2 && name.as_bytes()[..2].eq_ignore_ascii_case(b"x-");
    if extension || is_structured(name) {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    match RESERVED.iter().find(|(_, names)| names.contains(&&*lower)) {
        Some((owner, _)) => Err(NameError::Reserved(owner)),
        None => Err(NameError::NotCarried),
    }
}

/// The name that was probably meant where one is not carried: one with a grammar, or the same with `X-`.
pub fn carried(name: &str) -> String {
    let hyphened = name.replace('_', "-");
    if check_name(&hyphened).is_ok() {
        return hyphened;
    }
    match nearest(name, STRUCTURED) {
        Some(near) => near.to_owned(),
        None => format!("X-{hyphened}"),
    }
}

fn is_structured(name: &str) -> bool {
    STRUCTURED.iter().any(|s| s.eq_ignore_ascii_case(name))
}

/// Why a value may not be carried. The header is then left out, and the log says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A variable has no value and no fallback.
    #[error(transparent)]
    Undefined(#[from] Undefined),
    /// A variable is empty where a token or a URI needs a value.
    #[error("the variable `{0}` is empty, and stands where a value is needed")]
    Empty(Box<str>),
    /// It would hold a control character: a line break, a NUL, a delete.
    #[error("its value would hold a control character")]
    Control,
    /// Longer than [`MAX_VALUE`].
    #[error("its value would be longer than {MAX_VALUE} bytes")]
    TooLong,
}

/// Whether `value`, which somebody gave with a decision, may stand as the value of a header.
///
/// # Errors
/// Control characters, or too long.
pub fn check_value(value: &str) -> Result<(), ValueError> {
    if value.len() > MAX_VALUE {
        return Err(ValueError::TooLong);
    }
    if value.chars().any(char::is_control) {
        return Err(ValueError::Control);
    }
    Ok(())
}

/// Where a variable stands in a header's value, and so how it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Free text: as it is.
    Text,
    /// Inside quotes: `"` and `\` are escaped.
    Quoted,
    /// Inside `<>`: all but unreserved and `+` is percent-encoded.
    Uri,
    /// Between the marks of a structured value: all but a token's characters is percent-encoded.
    Token,
}

/// One header of a destination: a checked name, and what its value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTemplate {
    name: Arc<str>,
    value: Template,
    places: Box<[Place]>,
}

/// Why a name and a template make no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A quote that does not end.
    #[error("a `\"` without its end")]
    OpenQuote,
    /// A `<` that does not end.
    #[error("a `<` without its `>`")]
    OpenAngle,
    /// A backslash right before a variable would escape the variable's first character.
    #[error("a backslash right before a variable")]
    Backslash,
    /// Longer than [`MAX_VALUE`] before any variable is put in.
    #[error("longer than {MAX_VALUE} bytes")]
    TooLong,
}

impl HeaderTemplate {
    /// Checks the name and finds out where in the value each variable stands.
    ///
    /// A value is structured if the header has a grammar (User-to-User, Diversion, History-Info) or if its fixed text
    /// holds `;`, `<` or `"`. Then a variable is encoded for its place. A value that is nothing but the same header of
    /// the caller's INVITE (`User-to-User = "${header.User-to-User}"`) is passed on as it is.
    ///
    /// # Errors
    /// A name that is not carried; marks that do not pair.
    pub fn new(name: &str, value: Template) -> Result<Self, HeaderError> {
        check_name(name)?;
        if value.text().len() > MAX_VALUE {
            return Err(HeaderError::TooLong);
        }
        let marked = value.parts().iter().any(|part| match part {
            Part::Literal(text) => text.contains([';', '<', '"']),
            Part::Value { .. } => false,
        });
        let passed_on = matches!(
            value.parts(),
            [Part::Value { source: Source::Header(from), .. }] if from.eq_ignore_ascii_case(name)
        );
        let places = if passed_on || !(marked || is_structured(name)) {
            value.parts().iter().map(|_| Place::Text).collect()
        } else {
            places(value.parts())?
        };
        Ok(Self { name: name.into(), value, places })
    }

    /// The header's name as written.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its value, not expanded.
    pub fn template(&self) -> &Template {
        &self.value
    }

    /// The value with every variable put in, encoded for its place, without white space around it.
    ///
    /// # Errors
    /// Why the header is to be left out. A value that is empty where a token or URI needs one is as one that is undefined.
    pub fn expand(&self, variables: &dyn Variables) -> Result<String, ValueError> {
        let mut out = Vec::new();
        for (part, place) in self.value.parts().iter().zip(&self.places) {
            let text = part.value(variables)?;
            if matches!(part, Part::Literal(_)) {
                out.extend_from_slice(text.as_bytes());
            } else {
                // Checked before it is encoded: an encoded line break is still one for whoever decodes it.
                check_value(&text)?;
                if let Part::Value { source, .. } = part
                    && place.needs_value()
                    && text.trim().is_empty()
                {
                    return Err(ValueError::Empty(source.to_string().into()));
                }
                place.encode(&text, &mut out);
            }
            if out.len() > MAX_VALUE {
                return Err(ValueError::TooLong);
            }
        }
        let text = match String::from_utf8_lossy(&out) {
            Cow::Borrowed(text) => text.trim().to_owned(),
            Cow::Owned(text) => text.trim().to_owned(),
        };
        check_value(&text)?;
        Ok(text)
    }
}

impl Place {
    /// Whether nothing at all would be malformed there: `;encoding=hex` after no value, `<sip:@host>`.
    fn needs_value(self) -> bool {
        matches!(self, Self::Uri | Self::Token)
    }

    fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Text => out.extend_from_slice(text.as_bytes()),
            Self::Quoted => {
                for byte in text.bytes() {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
            }
            Self::Uri => {
                percent_encode(text, out, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&b))
            }
            // `%` is a token character, but one that stands as it is would be read as an escape.
            Self::Token => percent_encode(text, out, |b| grammar::is_token(&[b]) && b != b'%'),
        }
    }
}

fn percent_encode(text: &str, out: &mut Vec<u8>, stays: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if stays(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Walks through the fixed text and notes what surrounds each variable.
fn places(parts: &[Part]) -> Result<Box<[Place]>, HeaderError> {
    let mut place = Place::Token;
    let mut escaped = false;
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        found.push(place);
        let Part::Literal(text) = part else {
            if escaped {
                return Err(HeaderError::Backslash);
            }
            continue;
        };
        for mark in text.chars() {
            place = match (place, mark) {
                (Place::Quoted, _) if escaped => {
                    escaped = false;
                    Place::Quoted
                }
                (Place::Quoted, '\\') => {
                    escaped = true;
                    Place::Quoted
                }
                (Place::Quoted, '"') => Place::Token,
                (Place::Token, '"') => Place::Quoted,
                (Place::Token, '<') => Place::Uri,
                (Place::Uri, '>') => Place::Token,
                (same, _) => same,
            };
        }
    }
    match place {
        Place::Quoted => Err(HeaderError::OpenQuote),
        Place::Uri => Err(HeaderError::OpenAngle),
        Place::Token | Place::Text => Ok(found.into()),
    }
}

/// `uri` with `headers` embedded (RFC 3261 §19.1.1), each name and value percent-encoded: for a Refer-To. `uri` is a `sip:` URI
/// without headers.
pub fn embed<'h>(uri: &str, headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> String {
    let mut out = uri.as_bytes().to_vec();
    for (position, (name, value)) in headers.into_iter().enumerate() {
        out.push(if position == 0 { b'?' } else { b'&' });
        uri::encode_embedded(&mut out, name.as_bytes());
        out.push(b'=');
        uri::encode_embedded(&mut out, value.as_bytes());
    }
    // Only ASCII was added to what was UTF-8.
    String::from_utf8_lossy(&out).into_owned()
}

/// `text` as the user part of a URI: a number or a name out of a variable, which must not end the user part.
pub fn user_part(text: &str) -> String {
    let mut out = Vec::new();
    percent_encode(text, &mut out, |b| b.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&b));
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct One<'v>(&'v str);

    impl Variables for One<'_> {
        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "v").then(|| self.0.into())
        }

        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            name.eq_ignore_ascii_case("user-to-user").then(|| self.0.into())
        }
    }

    fn header(name: &str, template: &str) -> HeaderTemplate {
        HeaderTemplate::new(name, Template::parse(template).expect(template)).expect(template)
    }

    fn expand(name: &str, template: &str, value: &str) -> Result<String, ValueError> {
        header(name, template).expand(&One(value))
    }

    #[test]
    fn names_are_on_an_allow_list() {
        for good in ["X-Account-ID", "x-a", "User-to-User", "user-to-user", "Diversion", "HISTORY-INFO"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", NameError::Token),
            ("X-A:", NameError::Token),
            ("X-A\r\nVia", NameError::Token),
            ("X-ä", NameError::Token),
            ("X-", NameError::NotCarried),
            ("Foo", NameError::NotCarried),
            ("VIA", NameError::Reserved("route")),
            ("v", NameError::Reserved("route")),
            ("Route", NameError::Reserved("route")),
            ("M", NameError::Reserved("dialog")),
            ("r", NameError::Reserved("dialog")),
            ("x", NameError::Reserved("dialog")),
            ("Replaces", NameError::Reserved("dialog")),
            ("Proxy-Authorization", NameError::Reserved("authentication")),
            ("l", NameError::Reserved("message body")),
        ] {
            assert_eq!(check_name(bad), Err(error), "{bad}");
        }
        assert_eq!(check_name(&format!("X-{}", "a".repeat(MAX_HEADER_NAME))), Err(NameError::TooLong));
    }

    #[test]
    fn a_value_is_encoded_for_its_place() {
        for (name, template, value, expected) in [
            ("X-Name", "$v", "Doe, \"Jo\"; <x>", "Doe, \"Jo\"; <x>"),
            ("X-Name", "Hello, $v", "Jo Doe", "Hello, Jo Doe"),
            ("X-Name", "$v", "  Jo  ", "Jo"),
            ("X-Name", "\"$v\"", "a\"b\\c;d", "\"a\\\"b\\\\c;d\""),
            ("X-Name", "<sip:$v@pbx>", "a>;b@c", "<sip:a%3E%3Bb%40c@pbx>"),
            ("X-Name", "<sip:$v@pbx>", "+14155550123", "<sip:+14155550123@pbx>"),
            ("X-Name", "a;b=$v", "1;c=2", "a;b=1%3Bc%3D2"),
            ("X-Name", "a;b=$v", "100%", "a;b=100%25"),
            ("User-to-User", "$v;encoding=hex", "56;purpose=x", "56%3Bpurpose%3Dx;encoding=hex"),
            ("User-to-User", "${header.User-to-User}", "56;encoding=hex", "56;encoding=hex"),
            ("Diversion", "${header.User-to-User}", "a,b", "a%2Cb"),
            ("X-Name", "ä $v", "ö", "ä ö"),
        ] {
            assert_eq!(expand(name, template, value).as_deref(), Ok(expected), "{template} {value}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_left_out_with_its_reason() {
        assert_eq!(expand("X-A", "$v", "a\r\nVia: x"), Err(ValueError::Control));
        assert_eq!(expand("X-A", "a;b=$v", "a\nb"), Err(ValueError::Control), "not even encoded");
        assert_eq!(expand("X-A", "$v", "a\u{85}b"), Err(ValueError::Control));
        assert_eq!(expand("X-A", "$v$v", &"x".repeat(MAX_VALUE / 2 + 1)), Err(ValueError::TooLong));
        assert!(matches!(expand("X-A", "$w", ""), Err(ValueError::Undefined(_))));
    }

    #[test]
    fn marks_must_pair() {
        let error =
            |template: &str| HeaderTemplate::new("X-A", Template::parse(template).unwrap()).unwrap_err();
        assert_eq!(error("\"$v"), HeaderError::OpenQuote);
        assert_eq!(error("<sip:$v@b"), HeaderError::OpenAngle);
        assert_eq!(error("\"a\\$v\""), HeaderError::Backslash);
        assert_eq!(header("X-A", "\"a\\\"$v\"").expand(&One("b")).as_deref(), Ok("\"a\\\"b\""));
    }

    /// How many `;`, `,`, `<` stand outside of quotes and angles, and whether all quotes and angles close.
    fn shape(value: &str) -> (Vec<char>, bool) {
        let (mut marks, mut quoted, mut angle, mut escaped) = (Vec::new(), false, false, false);
        for c in value.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' if !angle => quoted = !quoted,
                '<' if !quoted => {
                    angle = true;
                    marks.push(c);
                }
                '>' if !quoted => angle = false,
                ';' | ',' if !quoted && !angle => marks.push(c),
                _ => {}
            }
        }
        (marks, !quoted && !angle && !escaped)
    }

    proptest! {
        #[test]
        fn no_value_adds_a_line(value in any::<String>(), template in "[a-z;<>\" ]{0,4}") {
            let text = format!("{template}$v");
            if let Ok(header) = HeaderTemplate::new("X-A", Template::parse(&text).unwrap())
                && let Ok(expanded) = header.expand(&One(&value))
            {
                prop_assert!(!expanded.contains(char::is_control));
                prop_assert!(expanded.len() <= MAX_VALUE);
            }
        }

        #[test]
        fn no_value_adds_a_parameter_or_an_element(value in "[ -~äöü]{0,20}[!-~äöü][ -~äöü]{0,20}") {
            for (name, template) in [
                ("X-A", "a;b=$v;c"),
                ("X-A", "\"$v\" <sip:$v@pbx>;b=\"$v\""),
                ("User-to-User", "$v;encoding=hex"),
                ("Diversion", "<sip:$v@pbx>;reason=$v"),
                ("History-Info", "<sip:$v@pbx>;index=1,<sip:a@pbx>"),
            ] {
                let plain = shape(&expand(name, template, "x").unwrap());
                let hostile = shape(&expand(name, template, &value).unwrap());
                prop_assert_eq!(&plain, &hostile, "{}", template);
                prop_assert!(hostile.1);
            }
        }

        #[test]
        fn embedded_headers_come_back_as_they_went_in(values in proptest::collection::vec("[ -~äöü]{0,30}", 0..5)) {
            let uri = embed("sip:100@pbx;user=phone", values.iter().map(|value| ("X-A", value.as_str())));
            prop_assert!(uri.is_ascii());
            let uri = crate::wire::Uri::parse(uri.as_bytes()).unwrap();
            let back: Vec<String> = uri
                .each_header()
                .map(|(_, value)| String::from_utf8(uri::percent_decode(value).into_owned()).unwrap())
                .collect();
            prop_assert_eq!(back, values);
            prop_assert_eq!(uri.params, &b"user=phone"[..]);
        }

        #[test]
        fn a_user_part_stays_a_user_part(value in any::<String>()) {
            prop_assume!(!value.is_empty() && value.len() < 300);
            let text = format!("sip:{}@pbx", user_part(&value));
            let uri = crate::wire::Uri::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(&*uri.user_text(), value.as_bytes());
            prop_assert!(uri.host.same(&crate::wire::Host::Name(b"pbx")));
            prop_assert!(uri.password.is_none() && uri.params.is_empty() && uri.headers.is_empty());
        }
    }
}
