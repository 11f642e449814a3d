//! Which routes may be named beside those of a table.

use std::fmt;

use super::address::{Address, AddressError};
use super::file::{Report, Section};
use super::number;
use super::route::{self, Route};
use crate::wire::uri::{self, Scheme, Uri};

/// A route that an agent may name itself: a number's prefix, or a `sip:` URI in which `*` stands for any user part or
/// for the labels before a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Numbers that begin with this: `+` and digits.
    Number(Box<str>),
    /// URIs of this shape, without parameters and headers.
    Uri {
        /// User part in which `*` stands for any run of letters, digits and `+ - . _ ~`.
        user: Box<str>,
        /// Host in lower case; `*.example.com` for every host below a domain.
        host: Box<str>,
        /// The port that must be written; `None`: no port may be written.
        port: Option<u16>,
    },
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Neither a number's prefix nor a `sip:` URI.
    #[error("`{0}` is neither a prefix of numbers nor a `sip:` URI with `*`")]
    Form(String),
    /// A host that is open in the middle or wholly.
    #[error("the host of a pattern must be complete, or `*.` and a domain")]
    Host,
    /// Not a URI.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Pattern {
    /// Reads `may_route` of a section; absent: none.
    pub(crate) fn list(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Pattern> {
        const FORM: &str = "a list like [\"+1415\", \"sip:*@pbx.example.com\"]";
        let list = section.strings(report, "may_route", FORM).unwrap_or_default();
        let mut patterns = Vec::new();
        for entry in list {
            match Pattern::parse(entry.value) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    report.error(entry.span, format!("`may_route`: {error}")).expected(FORM);
                }
            }
        }
        patterns
    }

    /// Reads `+1415` or `+1415*` (numbers that begin so), `sip:*@pbx.example.com`, `sip:2*@*.example.com:5070`.
    ///
    /// # Errors
    /// What is wrong with it. A pattern that leaves the host open is refused: it would let an agent send callers anywhere.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.starts_with('+') {
            let prefix = text.strip_suffix('*').unwrap_or(text);
            let prefix = number::clean(prefix).into_owned();
            let digits = &prefix[1..];
            let sound =
                digits.len() <= 15 && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
            return if sound && !digits.is_empty() {
                Ok(Self::Number(prefix.into()))
            } else {
                Err(PatternError::Form(text.to_owned()))
            };
        }
        let form = || PatternError::Form(text.to_owned());
        let rest = text.strip_prefix("sip:").ok_or_else(form)?;
        let (user, host) = rest.split_once('@').ok_or_else(form)?;
        let open = host.strip_prefix("*.");
        if open.unwrap_or(host).contains('*') {
            return Err(PatternError::Host);
        }
        // Checked as the URI that it would be with something in the place of the star.
        let address = Address::parse(&format!("sip:{user}@{}", open.unwrap_or(host)))?;
        if &*address.text != format!("sip:{user}@{}", address.host_port()).as_str() {
            return Err(form());
        }
        let host = match open {
            Some(_) => format!("*.{}", address.host),
            None => address.host.to_string(),
        };
        Ok(Self::Uri { user: user.into(), host: host.into(), port: address.port })
    }

    /// The route that `named` means if this pattern allows it. URIs with parameters or headers are not allowed by any pattern,
    /// except the number forms that [`route::number_of`] knows.
    pub(super) fn allows(&self, named: &Uri<'_>, is_ours: &dyn Fn(&uri::Host<'_>) -> bool) -> Option<Route> {
        match self {
            Self::Number(prefix) => {
                let number = route::number_of(named, is_ours)?;
                number.starts_with(&**prefix).then(|| Route::E164(number.into()))
            }
            Self::Uri { user, host, port } => {
                let plain =
                    named.scheme == Scheme::Sip && named.params.is_empty() && named.headers.is_empty();
                let text = std::str::from_utf8(named.bytes).ok()?;
                let address = Address::parse(text).ok().filter(|_| plain)?;
                let named_host = address.host.to_string();
                let same_host = match host.strip_prefix('*') {
                    // The rest begins with its dot, so that `*.example.com` is not `evilexample.com`.
                    Some(domain) => named_host.ends_with(domain) && named_host.len() > domain.len(),
                    None => named_host == **host,
                };
                let user_text = named.user_text();
                let same_user = glob(user.as_bytes(), &user_text);
                (same_host && address.port == *port && same_user).then_some(Route::Sip(address))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(prefix) => write!(f, "{prefix}*"),
            Self::Uri { user, host, port: None } => write!(f, "sip:{user}@{host}"),
            Self::Uri { user, host, port: Some(port) } => write!(f, "sip:{user}@{host}:{port}"),
        }
    }
}

/// Whether a byte of a user part only names somebody. `*` and `#` begin feature codes, `;` parameters.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._~".contains(&byte)
}

/// Whether `text`, percent-decoded, has the shape of `pattern`, `*` standing for any run of [plain](is_plain) bytes. Linear
/// but for the last star.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry.filter(|(_, from)| is_plain(text[*from])) {
            retry = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("*", "+1-415.x_~", true),
            ("*", "*21", false),
            ("*", "100#", false),
            ("*", "100;phone-context=x", false),
            ("*", "a@b", false),
            ("*", "a b", false),
            ("*21*", "*21100", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
