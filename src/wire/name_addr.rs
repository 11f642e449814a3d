//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Refer-To, PAI, Diversion.
//!
//! Without `<>` every parameter belongs to the header, and a URI with embedded headers is malformed (RFC 3261
//! section 20.10).

use super::grammar::{self, Malformed, Params};
use super::uri::Uri;
use std::borrow::Cow;

/// A display name, a URI and header parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameAddr<'a> {
    /// The display name as written, a quoted string with its quotes; empty if there is none.
    pub display: &'a [u8],
    /// Between `<` and `>`, or up to the first `;`.
    pub uri: Uri<'a>,
    /// The header parameters as written, from the first `;` on.
    pub params: &'a [u8],
}

/// Display name, URI and parameters as written.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list, not `*`).
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let (display, uri, params) = split(value)?;
        Params::new(params).check(|_| ())?;
        Ok(NameAddr { display, uri: Uri::parse(uri)?, params })
    }

    /// The tag among the parameters of one value; its URI is not looked at.
    pub(crate) fn find_tag(value: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let (_, _, params) = split(value)?;
        let mut tag: Option<Option<&[u8]>> = None;
        let mut two = false;
        Params::new(params).check(|param| {
            if param.name.eq_ignore_ascii_case(b"tag") {
                two |= tag.is_some_and(|first| first != param.value);
                tag = Some(param.value);
            }
        })?;
        // Two tags would let two readers see two dialogs, unless they are equal; one without a value names none.
        if two || tag.is_some_and(|tag| !tag.is_some_and(grammar::is_token)) {
            return Err(Malformed("tag"));
        }
        Ok(tag.flatten())
    }

    /// The value of a header parameter, its name in any case: `Some(None)` if it stands without a value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        Params::new(self.params).find(name)
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param(b"tag").flatten()
    }

    /// The display name without its quotes and escapes.
    pub fn display_text(&self) -> Cow<'a, [u8]> {
        grammar::unquote(self.display)
    }
}

/// Where the parts of a value stand; what is in them is not looked at.
fn split(value: &[u8]) -> Result<Parts<'_>, Malformed> {
    let value = grammar::trim_start(value);
    let open = match value.first() {
        Some(b'<') => 0,
        Some(b'"') => {
            let quoted = grammar::quoted_span(value).ok_or(Malformed("display name"))?;
            let after = grammar::trim_start(&value[quoted..]);
            if after.first() != Some(&b'<') {
                return Err(Malformed("display name"));
            }
            value.len() - after.len()
        }
        // A bracket after one of these stands in a parameter, not around the URI.
        _ => match value.iter().position(|byte| matches!(byte, b'<' | b';' | b',' | b'"')) {
            Some(at) if value[at] == b'<' => at,
            _ => return bare(value),
        },
    };
    let close = memchr::memchr(b'>', &value[open..]).ok_or(Malformed("address"))? + open;
    Ok((grammar::trim(&value[..open]), grammar::trim(&value[open + 1..close]), &value[close + 1..]))
}

/// An address without `<>`: all parameters are the header's.
fn bare(value: &[u8]) -> Result<Parts<'_>, Malformed> {
    let end = value.iter().position(|&byte| byte == b';' || grammar::is_lws(byte)).unwrap_or(value.len());
    let (uri, params) = value.split_at(end);
    if memchr::memchr2(b'?', b',', uri).is_some() {
        return Err(Malformed("address without <>"));
    }
    Ok((b"", uri, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).expect("a readable address")
    }

    #[test]
    fn without_brackets_parameters_are_of_the_header() {
        let address = read("sip:a@b.example;tag=x");
        assert_eq!((address.tag(), address.uri.params), (Some(&b"x"[..]), &b""[..]));
        let address = read("<sip:a@b.example;tag=x> ; q = 0.5 ; s = \"a;tag=y\"");
        assert_eq!((address.tag(), address.param(b"Q")), (None, Some(Some(&b"0.5"[..]))));
    }

    #[test]
    fn a_bracket_in_the_display_name_is_no_bracket() {
        let address = read("\"evil <sip:x@y>;tag=z\" <sip:a@b.example>;tag=real");
        assert_eq!((address.uri.bytes, address.tag()), (&b"sip:a@b.example"[..], Some(&b"real"[..])));
        assert_eq!(address.display_text().as_ref(), b"evil <sip:x@y>;tag=z");
    }

    #[test]
    fn malformed_is_refused() {
        for text in [
            "",
            "<>",
            "<sip:a@b",
            "sip:a@b>",
            "\"open <sip:a@b>",
            "\"a\" b <sip:a@b>",
            "sip:a@b?X=1",
            "<sip:a@b>;",
            "<sip:a@b>;;x",
            "<sip:a@b> x",
            "a, b <sip:a@b>",
            "<sip:a@b>;x=\"open",
            "<sip:a@b>, <sip:c@d>",
            "*",
        ] {
            assert!(NameAddr::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in
            ["<sip:a@b>;tag=1;tag=2", "<sip:a@b>;tag=1;tag=1;tag=2", "<sip:a@b>;tag", "<sip:a@b>;tag=\"x\""]
        {
            assert!(NameAddr::find_tag(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn two_equal_tags_are_one() {
        let tag = NameAddr::find_tag(b"<sip:a@b>;tag=1;x;TAG=1");
        assert!(matches!(tag, Ok(Some(b"1"))), "{tag:?}");
    }
}
