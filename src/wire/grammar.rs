//! The parts of the grammar that every header shares: byte classes, LWS, quoted strings, parameters, comma lists.
//!
//! Everything here walks bytes forward once; nothing recurses, allocates or slices by a number from the wire. A fold
//! (CRLF and white space) inside a value is white space like any other. Called by the rest of `wire`; layers above
//! use [`Params`] and [`Commas`] for headers that `wire` has no type for.

use super::caps::MAX_PARAMS;

/// A value that does not follow its grammar; says what was malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

const TOKEN: u16 = 1;
const USER: u16 = 2;
const HOST: u16 = 4;
const UNRESERVED: u16 = 8;
const LWS: u16 = 16;
const EMBEDDED: u16 = 32;
const VALUE: u16 = 64;
const URI: u16 = 128;
/// `URI` without `?` and `@`: what may stand in the parameters of a URI.
const URI_PARAM: u16 = 512;
/// `USER` without `:` and `%`: a user part of these alone has no password and no escapes to look at.
const PLAIN_USER: u16 = 256;

/// Class bits of each byte.
static CLASS: [u16; 256] = build_classes();

const fn mark(mut table: [u16; 256], bytes: &[u8], bit: u16) -> [u16; 256] {
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] |= bit;
        index += 1;
    }
    table
}

const fn build_classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | USER | PLAIN_USER | HOST | UNRESERVED | EMBEDDED;
        }
        // A parameter value: token, host or IPv6 reference (with or without brackets), told loosely.
        let value_break = matches!(byte as u8, b';' | b',' | b'"' | b'<' | b'>');
        if byte > 0x20 && byte != 0x7f && !value_break {
            table[byte] |= VALUE;
        }
        // What may stand in the parameters and headers of a URI, told loosely.
        if byte > 0x20 && byte < 0x7f && !matches!(byte as u8, b'<' | b'>' | b'"') {
            table[byte] |= URI;
            if !matches!(byte as u8, b'?' | b'@') {
                table[byte] |= URI_PARAM;
            }
        }
        byte += 1;
    }
    table = mark(table, b"-.!%*_+`'~", TOKEN);
    table = mark(table, b"-_.!~*'()", UNRESERVED | USER | PLAIN_USER | EMBEDDED);
    // '#' is not in the RFC's user, but star codes are dialled with it everywhere.
    table = mark(table, b"&=+$,;?/#", USER | PLAIN_USER);
    table = mark(table, b"%:", USER);
    table = mark(table, b"[]/?:+$", EMBEDDED);
    // '_' is no hostname, but internal names carry it.
    table = mark(table, b"-._", HOST);
    mark(table, b" \t\r\n", LWS)
}

fn has(byte: u8, class: u16) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Length of the bytes of that class at the start of `bytes`. Four at a time: most parts of a header are longer.
#[inline]
fn span(bytes: &[u8], class: u16) -> usize {
    let (fours, rest) = bytes.as_chunks::<4>();
    let mut at = 0;
    for four in fours {
        let shared = four.iter().fold(class, |shared, &byte| shared & CLASS[byte as usize]);
        if shared == 0 {
            return at + four.iter().take_while(|&&byte| has(byte, class)).count();
        }
        at += 4;
    }
    at + rest.iter().take_while(|&&byte| has(byte, class)).count()
}

/// True for a non-empty RFC 3261 token.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_span(bytes) == bytes.len()
}

/// Length of the token at the start of `bytes`.
pub(crate) fn token_span(bytes: &[u8]) -> usize {
    span(bytes, TOKEN)
}

/// Length of the host characters at the start of `bytes`.
pub(crate) fn host_span(bytes: &[u8]) -> usize {
    span(bytes, HOST)
}

/// Length of the user characters at the start of `bytes`, ended also by `:` and `%`.
pub(crate) fn plain_user_span(bytes: &[u8]) -> usize {
    span(bytes, PLAIN_USER)
}

/// Length of the user and password characters at the start of `bytes`.
pub(crate) fn user_span(bytes: &[u8]) -> usize {
    span(bytes, USER)
}

pub(crate) fn is_host_byte(byte: u8) -> bool {
    has(byte, HOST)
}

/// Length of what may be parameters of a URI at the start of `bytes`.
pub(crate) fn uri_params_span(bytes: &[u8]) -> usize {
    span(bytes, URI_PARAM)
}

pub(crate) fn is_uri_text(bytes: &[u8]) -> bool {
    span(bytes, URI) == bytes.len()
}

/// A token byte: what may stand in a header name or a method.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    has(byte, TOKEN)
}

/// RFC 3261 `unreserved`.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    has(byte, UNRESERVED)
}

/// RFC 3261 `unreserved` and `hnv-unreserved`: what stands unescaped in a header that is embedded in a URI.
pub(crate) fn is_embedded(byte: u8) -> bool {
    has(byte, EMBEDDED)
}

/// Space, tab or part of a fold.
pub(crate) fn is_lws(byte: u8) -> bool {
    has(byte, LWS)
}

/// `bytes` without leading white space, folds included.
#[inline]
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    match bytes {
        // White space is seldom there.
        [first, ..] if *first <= b' ' => skip_space(bytes),
        _ => bytes,
    }
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    &bytes[span(bytes, LWS)..]
}

/// `bytes` without leading and trailing white space, folds included.
#[inline]
pub fn trim(bytes: &[u8]) -> &[u8] {
    // What stands after nearly every colon: one space, then text.
    let inner = bytes.strip_prefix(b" ").unwrap_or(bytes);
    match inner {
        [first, .., last] if *first > b' ' && *last > b' ' => inner,
        _ => trim_end(trim_start(inner)),
    }
}

/// `bytes` without trailing white space, folds included.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [before @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = before;
    }
    bytes
}

/// Length of the quoted string at the start of `bytes` (which begins with `"`), quotes included; `None` if it never ends.
pub(crate) fn quoted_span(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The content of a quoted string, its quoted pairs resolved; text without quotes comes back as it is.
pub fn unquote(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let Some(inner) = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return text.into();
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return inner.into();
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        let literal = if byte == b'\\' { bytes.next().copied() } else { Some(byte) };
        plain.extend(literal);
    }
    plain.into()
}

/// Where the first colon stands. Header names are short, so eight bytes at a time in a register beat a call.
pub(crate) fn colon_at(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        // A byte of `apart` is zero where a colon stands; the lowest bit set in `zeros` marks the first of them.
        let apart = u64::from_le_bytes(*block) ^ (ONES * b':' as u64);
        let zeros = apart.wrapping_sub(ONES) & !apart & HIGHS;
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    bytes[at..].iter().position(|&byte| byte == b':').map(|found| at + found)
}

/// Reads an unsigned decimal number that fills `bytes`; `None` if anything else stands there or it exceeds `u32`.
pub fn decimal(bytes: &[u8]) -> Option<u32> {
    let mut digits = bytes;
    // Leading zeros count for nothing, and ten digits cannot exceed a `u64`.
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    if bytes.is_empty() || digits.len() > 10 {
        return None;
    }
    let mut number = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    u32::try_from(number).ok()
}

/// One `;name` or `;name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as written.
    pub name: &'a [u8],
    /// The value as written, a quoted string with its quotes.
    pub value: Option<&'a [u8]>,
}

/// The parameters of a header value: text that begins with `;` or is empty. Iterates until the first malformed one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// The parameters in `text`, which begins with `;` (white space before it allowed) or is empty.
    pub fn new(text: &'a [u8]) -> Self {
        Params { rest: text }
    }

    /// The value of the first parameter of that name, in any case: `Some(None)` if it stands without a value.
    pub fn find(self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        let mut params = self;
        params.find_map(|param| param.name.eq_ignore_ascii_case(name).then_some(param.value))
    }

    /// Reads every parameter and hands it to `each`; fails on an empty or malformed one, or too many of them.
    pub fn check(mut self, mut each: impl FnMut(Param<'a>)) -> Result<(), Malformed> {
        for _ in 0..=MAX_PARAMS {
            match self.step()? {
                Some(param) => each(param),
                None => return Ok(()),
            }
        }
        Err(Malformed("parameters (too many)"))
    }

    /// The next parameter, `None` at the end.
    fn step(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        let rest = trim_start(self.rest);
        let Some((&first, rest)) = rest.split_first() else {
            self.rest = rest;
            return Ok(None);
        };
        if first != b';' {
            return Err(Malformed("parameter"));
        }
        let rest = trim_start(rest);
        let name_end = token_span(rest);
        if name_end == 0 {
            return Err(Malformed("parameter"));
        }
        let (name, rest) = rest.split_at(name_end);
        let after = trim_start(rest);
        let Some(value) = after.strip_prefix(b"=") else {
            self.rest = after;
            return Ok(Some(Param { name, value: None }));
        };
        let value = trim_start(value);
        let end = match value.first() {
            Some(b'"') => quoted_span(value).ok_or(Malformed("quoted parameter"))?,
            _ => span(value, VALUE),
        };
        if end == 0 {
            return Err(Malformed("parameter value"));
        }
        let (value, rest) = value.split_at(end);
        self.rest = rest;
        Ok(Some(Param { name, value: Some(value) }))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let step = self.step();
        if step.is_err() {
            self.rest = b"";
        }
        step.ok().flatten()
    }
}

/// The elements of a comma list, trimmed; commas in quotes and in `<>` do not count. Empty elements are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commas<'a> {
    rest: &'a [u8],
}

impl<'a> Commas<'a> {
    /// The elements of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Commas { rest: text }
    }
}

/// Where the list element at the start of `bytes` ends: at its comma or at the end of `bytes`.
pub(crate) fn element_span(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr3(b',', b'"', b'<', rest)) {
        at += found;
        let rest = &bytes[at..];
        let skip = match rest[0] {
            b',' => return at,
            b'"' => quoted_span(rest),
            _ => memchr::memchr(b'>', rest).map(|end| end + 1),
        };
        match skip {
            Some(skip) => at += skip,
            None => break,
        }
    }
    bytes.len()
}

impl<'a> Iterator for Commas<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = element_span(self.rest);
            let element = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or(b"");
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}
