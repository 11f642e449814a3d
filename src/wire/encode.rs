//! Messages to bytes: a writer into a reused buffer, and the two ways of making a message out of another one.
//!
//! The writer is where injection ends: whatever value it is given, a line stays one line and a name a token. Callers
//! need not clean what they write. Not here: which headers a message must carry (`sip`).

use super::grammar;
use super::headers::{Method, Name, SIP_VERSION};
use super::message::Message;
use super::uri::Host;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Writes one message into a buffer, which it empties first. Ends with [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// Begins a request. White space and control characters in the URI are percent-encoded.
    pub fn request(buf: &'b mut Vec<u8>, method: impl AsRef<[u8]>, uri: impl AsRef<[u8]>) -> Writer<'b> {
        buf.clear();
        push_token(buf, method.as_ref());
        buf.push(b' ');
        push_uri(buf, uri.as_ref());
        buf.push(b' ');
        buf.extend_from_slice(SIP_VERSION.as_bytes());
        buf.extend_from_slice(b"\r\n");
        Writer { buf }
    }

    /// Begins a response.
    pub fn response(buf: &'b mut Vec<u8>, status: u16, reason: impl AsRef<[u8]>) -> Writer<'b> {
        buf.clear();
        buf.extend_from_slice(SIP_VERSION.as_bytes());
        buf.push(b' ');
        push_decimal(buf, u64::from(status));
        buf.push(b' ');
        push_clean(buf, reason.as_ref());
        buf.extend_from_slice(b"\r\n");
        Writer { buf }
    }

    /// Goes on with a head that a writer of this module began in `buf` and that ends with a whole line.
    pub(crate) fn resume(buf: &'b mut Vec<u8>) -> Writer<'b> {
        debug_assert!(buf.ends_with(b"\r\n"), "a head goes on after a whole line");
        Writer { buf }
    }

    /// Writes a header. Folds become one space; so does any other control character.
    pub fn header(&mut self, name: Name, value: impl AsRef<[u8]>) -> &mut Self {
        self.header_raw(name.as_str(), value)
    }

    /// Writes a header of any name. Bytes that are no token are left out of the name; a name without any is no header.
    pub fn header_raw(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        if let Some(mut line) = self.begin_raw(name.as_ref()) {
            line.push(value);
        }
        self
    }

    /// Writes a header whose value is formatted: `writer.header_fmt(Name::CSeq, format_args!("{cseq} BYE"))`.
    pub fn header_fmt(&mut self, name: Name, value: fmt::Arguments<'_>) -> &mut Self {
        if let Some(mut line) = self.begin_raw(name.as_str().as_bytes()) {
            line.push_fmt(value);
        }
        self
    }

    /// Begins a header whose value is written piece by piece; dropping the [`Line`] ends it.
    ///
    /// For `Name::Other`, which has no text, nothing will be written.
    pub fn begin(&mut self, name: Name) -> Line<'_> {
        self.begin_raw(name.as_str().as_bytes()).unwrap_or(Line { buf: None, start: 0 })
    }

    fn begin_raw(&mut self, name: &[u8]) -> Option<Line<'_>> {
        let before = self.buf.len();
        if grammar::is_token(name) {
            self.buf.extend_from_slice(name);
        } else {
            self.buf.extend(name.iter().filter(|&&byte| grammar::is_token_byte(byte)));
        }
        if self.buf.len() == before {
            return None;
        }
        self.buf.extend_from_slice(b": ");
        let start = self.buf.len();
        Some(Line { buf: Some(self.buf), start })
    }

    /// Ends the message with Content-Length and the body, `(content type, body)`. Gives the message's length in bytes.
    pub fn finish(mut self, body: Option<(&[u8], &[u8])>) -> usize {
        if let Some((content_type, _)) = body {
            self.header(Name::ContentType, content_type);
        }
        let body = body.map_or(&b""[..], |(_, body)| body);
        self.buf.extend_from_slice(b"Content-Length: ");
        push_decimal(self.buf, body.len() as u64);
        self.buf.extend_from_slice(b"\r\n\r\n");
        self.buf.extend_from_slice(body);
        self.buf.len()
    }
}

/// The value of one header while it is written. Cleaned and ended when dropped.
#[derive(Debug)]
pub struct Line<'b> {
    buf: Option<&'b mut Vec<u8>>,
    start: usize,
}

impl Line<'_> {
    /// Appends bytes.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        if let Some(buf) = &mut self.buf {
            buf.extend_from_slice(bytes.as_ref());
        }
        self
    }

    /// Appends formatted text.
    pub fn push_fmt(&mut self, text: fmt::Arguments<'_>) -> &mut Self {
        // Writing into a vector cannot fail; a failing `Display` leaves what it wrote.
        let _ = self.write_fmt(text);
        self
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, number: u64) -> &mut Self {
        if let Some(buf) = &mut self.buf {
            push_decimal(buf, number);
        }
        self
    }

    /// Appends an address, without brackets.
    pub fn push_ip(&mut self, ip: IpAddr) -> &mut Self {
        match (ip, &mut self.buf) {
            (IpAddr::V4(ip), Some(buf)) => push_ipv4(buf, ip),
            (IpAddr::V6(ip), Some(_)) => return self.push_fmt(format_args!("{ip}")),
            (_, None) => {}
        }
        self
    }

    /// Appends a quoted string: quotes and backslashes in it are escaped.
    pub fn push_quoted(&mut self, text: &[u8]) -> &mut Self {
        if let Some(buf) = &mut self.buf {
            push_quoted(buf, text);
        }
        self
    }
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some(buf) = &mut self.buf {
            clean_tail(buf, self.start);
            buf.extend_from_slice(b"\r\n");
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// Appends a value as one line.
fn push_clean(buf: &mut Vec<u8>, value: &[u8]) {
    let start = buf.len();
    buf.extend_from_slice(value);
    clean_tail(buf, start);
}

/// Makes what stands from `start` on one line: a fold and the white space after it become one space, any other
/// control character a space.
fn clean_tail(buf: &mut Vec<u8>, start: usize) {
    // A fold without an early exit, so that the compiler uses vector instructions for the usual case.
    if !buf[start..].iter().fold(false, |seen, &byte| seen | is_control(byte)) {
        return;
    }
    let mut kept = start;
    let mut in_fold = false;
    for at in start..buf.len() {
        let byte = buf[at];
        let ends_line = matches!(byte, b'\r' | b'\n');
        if in_fold && (ends_line || matches!(byte, b' ' | b'\t')) {
            continue;
        }
        in_fold = ends_line;
        buf[kept] = if is_control(byte) { b' ' } else { byte };
        kept += 1;
    }
    buf.truncate(kept);
}

fn push_token(buf: &mut Vec<u8>, text: &[u8]) {
    buf.extend(text.iter().map(|&byte| if grammar::is_token_byte(byte) { byte } else { b'-' }));
}

fn push_uri(buf: &mut Vec<u8>, uri: &[u8]) {
    if uri.iter().all(|&byte| byte > 0x20 && byte != 0x7f) {
        return buf.extend_from_slice(uri);
    }
    for &byte in uri {
        if byte > 0x20 && byte != 0x7f {
            buf.push(byte);
        } else {
            buf.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// Appends a number in decimal, without going through the formatter.
fn push_decimal(buf: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buf.extend_from_slice(&digits[at..]);
}

fn push_ipv4(buf: &mut Vec<u8>, ip: Ipv4Addr) {
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            buf.push(b'.');
        }
        push_decimal(buf, octet.into());
    }
}

/// `192.0.2.1:5060`, `[2001:db8::1]:5060`: what `Display` writes, in a tenth of the time for IPv4.
pub fn push_address(buf: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            push_ipv4(buf, *address.ip());
            buf.push(b':');
            push_decimal(buf, address.port().into());
        }
        SocketAddr::V6(address) => buf.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Begins a response to `request` (RFC 3261 section 8.2.6, RFC 3581): all Vias, the top one with `received` and
/// `rport` from `source`; From; To with `to_tag` if it has none yet; Call-ID; CSeq; Timestamp in a 100; Record-Route
/// where the response may make a dialog (section 12.1.1). `source` is `None` only where the transport is unknown.
pub fn response_to<'b>(
    buf: &'b mut Vec<u8>,
    request: &Message<'_>,
    status: u16,
    reason: &[u8],
    to_tag: Option<&[u8]>,
    source: Option<SocketAddr>,
) -> Writer<'b> {
    let mut writer = Writer::response(buf, status, reason);
    for (position, value) in request.headers(Name::Via).enumerate() {
        match source {
            Some(source) if position == 0 => write_top_via(&mut writer, request, value, source),
            _ => _ = writer.header(Name::Via, value),
        }
    }
    // An incomplete request is answered with what it has.
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(value) = request.header(name) else { continue };
        let mut line = writer.begin(name);
        line.push(value);
        if let (Name::To, None, Some(tag)) = (name, request.to_tag(), to_tag) {
            line.push(";tag=").push(tag);
        }
    }
    if status == 100
        && let Some(timestamp) = request.header(Name::Timestamp)
    {
        writer.header(Name::Timestamp, timestamp);
    }
    let makes_dialog = matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer);
    if makes_dialog && request.to_tag().is_none() && (101..300).contains(&status) {
        for value in request.headers(Name::RecordRoute) {
            writer.header(Name::RecordRoute, value);
        }
    }
    writer
}

/// Writes the first Via line: its first element with what the receiver saw, the rest as it stands.
fn write_top_via(writer: &mut Writer<'_>, request: &Message<'_>, value: &[u8], source: SocketAddr) {
    let via = request.via();
    let (element, rest) = value.split_at(grammar::element_span(value));
    let element = grammar::trim(element);
    // The parameters are the tail of the trimmed element, so what is before them is the rest of it.
    let head = grammar::trim(&element[..element.len().saturating_sub(via.params_bytes().len())]);
    let asked = via.rport().is_some();
    let differs = match via.host {
        Host::Name(_) => true,
        Host::V4(_) | Host::V6(_) => via.host.ip() != Some(source.ip().to_canonical()),
    };
    let mut line = writer.begin(Name::Via);
    line.push(head);
    for param in via.params() {
        if param.name.eq_ignore_ascii_case(b"received") || param.name.eq_ignore_ascii_case(b"rport") {
            continue;
        }
        line.push(";").push(param.name);
        if let Some(value) = param.value {
            line.push("=").push(value);
        }
    }
    if asked || differs {
        line.push(";received=").push_ip(source.ip().to_canonical());
    }
    if asked {
        line.push(";rport=").push_number(source.port().into());
    }
    line.push(rest);
}

/// What [`forward`] puts in place of the received headers.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The Request-URI.
    pub uri: &'a [u8],
    /// The one Via value; those of the request stay behind.
    pub via: &'a [u8],
    /// The Contact value.
    pub contact: &'a [u8],
    /// The Max-Forwards value, already lowered.
    pub max_forwards: u8,
}

/// Headers that belong to the hop a request came over and are left behind by [`forward`].
fn stays_behind(name: Name) -> bool {
    matches!(
        name,
        Name::Via
            | Name::Contact
            | Name::MaxForwards
            | Name::Route
            | Name::RecordRoute
            | Name::Authorization
            | Name::ProxyAuthorization
            | Name::ContentLength
    )
}

/// Writes a request out again for the next hop: own Request-URI, Via, Contact and Max-Forwards; Route, Record-Route
/// and credentials left behind; every other header and the body as they came. Gives the length in bytes.
pub fn forward(buf: &mut Vec<u8>, request: &Message<'_>, own: &Forward<'_>) -> usize {
    let mut writer = Writer::request(buf, request.method_text(), own.uri);
    writer.header(Name::Via, own.via);
    let mut hops = writer.begin(Name::MaxForwards);
    hops.push_number(u64::from(own.max_forwards));
    drop(hops);
    writer.header(Name::Contact, own.contact);
    let index = request.index();
    if index.folded() {
        for header in request.all().filter(|header| !stays_behind(header.name)) {
            writer.header_raw(header.raw_name, header.value);
        }
    } else {
        copy_runs(writer.buf, request);
    }
    let body = request.body();
    writer.buf.extend_from_slice(b"Content-Length: ");
    push_decimal(writer.buf, body.len() as u64);
    writer.buf.extend_from_slice(b"\r\n\r\n");
    writer.buf.extend_from_slice(body);
    writer.buf.len()
}

/// Copies the lines that stay, as few long runs: most of a message is copied in three or four pieces.
fn copy_runs(buf: &mut Vec<u8>, request: &Message<'_>) {
    let (bytes, index) = (request.bytes(), request.index());
    let mut run: Option<usize> = None;
    for entry in index.entries() {
        match (stays_behind(entry.name), run) {
            (true, Some(start)) => {
                buf.extend_from_slice(&bytes[start..entry.line_start()]);
                run = None;
            }
            (false, None) => run = Some(entry.line_start()),
            (true, None) | (false, Some(_)) => {}
        }
    }
    if let Some(start) = run {
        buf.extend_from_slice(&bytes[start..index.headers_end()]);
    }
}

/// Appends a quoted string: quotes and backslashes in it are escaped.
pub fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The usual reason phrase of a status (RFC 3261 section 21 and later); for unknown ones that of their class.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        439 => "First Hop Lacks Outbound Support",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => match status / 100 {
            0 | 1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            5 => "Server Error",
            _ => "Global Failure",
        },
    }
}
