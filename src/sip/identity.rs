//! Who calls and who is called, as an INVITE says it; what is kept of its headers for variables; and the header
//! fields that the layer above adds by meaning, so that it names none.

use super::leg::carry;
use super::leg::content::Field;
use crate::wire::grammar::{Commas, Params};
use crate::wire::headers::{X_BATON_CALL_ID, X_HANDOFF};
use crate::wire::uri::encode_user;
use crate::wire::{Message, Method, Name, NameAddr, Scheme, Uri, push_quoted};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The caller of an INVITE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User part (percent-decoded) or telephone number, without parameters. None: anonymous (RFC 3323).
    pub user: Option<Box<str>>,
    /// Display name. None: none or anonymous.
    pub name: Option<Box<str>>,
}

/// How a number without `+` is read that says where it is a number (`;phone-context=+1`, RFC 3966 §5.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// As it is written: somebody else knows the country.
    AsWritten,
    /// As a number of its context, which is put before it.
    ByContext,
}

/// Reads the caller: P-Asserted-Identity before From where the trunk is `trusted` (RFC 3325 §9.1), of several the one that
/// is a number before one that is a name; anonymous where the caller asks for privacy (RFC 3323 §4.2).
pub fn caller(message: &Message<'_>, trusted: bool, local: Local) -> Caller {
    let private = message.values(Name::Privacy).any(|v| {
        v.split(|&b| b == b';').any(|word| {
            let word = word.trim_ascii();
            [&b"id"[..], b"user", b"header"].iter().any(|w| word.eq_ignore_ascii_case(w))
        })
    });
    if private {
        return Caller::default();
    }
    let from = trusted.then(|| asserted_by(message)).flatten().unwrap_or_else(|| message.from());
    let Some(user) = user_of(&from.uri, local) else { return Caller::default() };
    if user.eq_ignore_ascii_case("anonymous") {
        return Caller::default();
    }
    let name = text(&from.display_text());
    Caller { user: Some(user), name: Some(name).filter(|n| !n.is_empty()) }
}

/// The identity that a message asserts: a network may assert a SIP URI and a number (RFC 3325 §9.1), and it is the number
/// that a telephone shows.
fn asserted_by<'a>(message: &Message<'a>) -> Option<NameAddr<'a>> {
    let all = message.values(Name::PAssertedIdentity).filter_map(|value| NameAddr::parse(value).ok());
    let names_number = |address: &NameAddr<'_>| {
        let user = user_of(&address.uri, Local::AsWritten);
        user.is_some_and(|user| is_number(user.strip_prefix('+').unwrap_or(&user).as_bytes()))
    };
    all.clone().find(names_number).or_else(|| all.into_iter().next())
}

/// Whether a message asserts who its sender is.
pub fn asserts(message: &Message<'_>) -> bool {
    message.header(Name::PAssertedIdentity).is_some()
}

/// Whether an INVITE asks for somebody's place in a dialog, and does not insist on it (RFC 3891 §3): who does not know what
/// that is takes it for a new call.
pub fn wants_to_replace(invite: &Message<'_>) -> bool {
    invite.header(Name::Replaces).is_some()
}

/// What the sender of a message calls itself: User-Agent, or Server (RFC 3261 §20.35, §20.41).
pub fn product<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    message.header(Name::UserAgent).or_else(|| message.header(Name::Server))
}

/// The called number by the Request-URI's user part.
pub fn called_by_request_uri(message: &Message<'_>, local: Local) -> Option<Box<str>> {
    user_of(&message.uri().ok()?, local)
}

/// The called number by the To header's user part.
pub fn called_by_to(message: &Message<'_>, local: Local) -> Option<Box<str>> {
    user_of(&message.to().uri, local)
}

/// The called number by P-Called-Party-ID (RFC 7315 §4.2).
pub fn called_by_party_id(message: &Message<'_>, local: Local) -> Option<Box<str>> {
    user_of(&NameAddr::parse(message.header(Name::PCalledPartyId)?).ok()?.uri, local)
}

/// User part or telephone number of a URI, percent-decoded, without parameters of the user part.
fn user_of(uri: &Uri<'_>, local: Local) -> Option<Box<str>> {
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
        Scheme::Other(_) => return None,
    }
    let whole = uri.user_text();
    let end = memchr::memchr(b';', &whole).unwrap_or(whole.len());
    let (user, params) = whole.split_at(end);
    let of_tel = uri.scheme == Scheme::Tel;
    let context = Params::new(params).find(b"phone-context").flatten();
    let context = context.or_else(|| uri.param(b"phone-context").flatten().filter(|_| of_tel));
    let global = |context: &&[u8]| context.strip_prefix(b"+").is_some_and(is_number) && is_number(user);
    let user = match context.filter(|context| local == Local::ByContext && global(context)) {
        Some(context) => text(&[context, user].concat()),
        None => text(user),
    };
    Some(user).filter(|user| !user.is_empty())
}

/// Digits, and visual separators among them (RFC 3966 §3), which the layer above takes out.
fn is_number(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().all(|b| b.is_ascii_digit() || b"-.()".contains(b))
}

/// Text for people and variables: invalid UTF-8 is replaced, control characters are dropped.
fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect::<String>().into()
}

/// The headers of an INVITE that `${header.X}` may ask for, as `Name: value` lines in one exact blob: all but those of
/// dialog, routing, transaction, authentication and content. At most 8 kB of them are kept.
pub fn keep(message: &Message<'_>) -> Box<[u8]> {
    const CAP: usize = 8 * 1024;
    let mut kept = Vec::new();
    for header in message.all().filter(|h| is_kept(h.name)) {
        if kept.len() + header.raw_name.len() + header.value.len() + 2 > CAP {
            continue;
        }
        kept.extend_from_slice(if header.name == Name::Other {
            header.raw_name
        } else {
            header.name.as_str().as_bytes()
        });
        kept.push(b':');
        kept.extend(header.value.iter().map(|&b| if b < 0x20 || b == 0x7f { b' ' } else { b }));
        kept.push(b'\n');
    }
    kept.into_boxed_slice()
}

/// What of the kept headers goes end to end into an INVITE that is made later: those that pass from leg to leg (see
/// `leg/carry`), P-Asserted-Identity and Privacy only with `identity`, none that `instead` has.
pub fn carried(kept: &[u8], identity: bool, instead: &[Field]) -> Vec<Field> {
    let lines = kept.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let fields = lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let passes = carry::passes_by_name(name) || (identity && carry::is_identity_by_name(name));
        let replaced = instead.iter().any(|field| field.name.as_bytes().eq_ignore_ascii_case(name));
        (passes && !replaced).then(|| Field { name: text(name), value: text(value) })
    });
    fields.collect()
}

/// P-Asserted-Identity of ours for a trunk that trusts us (RFC 3325 §9.1). None: the caller is anonymous.
pub fn asserted(user: Option<&str>, name: Option<&str>, host: &str) -> Option<Field> {
    let mut value = Vec::new();
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        push_quoted(&mut value, name.as_bytes());
        value.push(b' ');
    }
    value.extend_from_slice(b"<sip:");
    encode_user(&mut value, user?.as_bytes());
    value.push(b'@');
    value.extend_from_slice(host.as_bytes());
    value.push(b'>');
    let value = text(&value);
    Some(Field { name: Name::PAssertedIdentity.as_str().into(), value })
}

/// The Contact of a 3xx that is to be tried next: of those that `choose` takes the one with the highest `q`, the first
/// of them where several have it (RFC 3261 §8.1.3.4).
pub fn best_contact<T>(message: &Message<'_>, choose: impl Fn(&Uri<'_>) -> Option<T>) -> Option<T> {
    let mut best: Option<(u32, T)> = None;
    for value in message.values(Name::Contact) {
        let Ok(contact) = NameAddr::parse(value) else { continue };
        let rank = quality(contact.param(b"q").flatten());
        if best.as_ref().is_none_or(|(other, _)| rank > *other)
            && let Some(chosen) = choose(&contact.uri)
        {
            best = Some((rank, chosen));
        }
    }
    best.map(|(_, chosen)| chosen)
}

/// A `q` in thousandths; 1 where there is none.
fn quality(q: Option<&[u8]>) -> u32 {
    let Some(q) = q else { return 1000 };
    let (whole, part) = match memchr::memchr(b'.', q) {
        Some(dot) => (&q[..dot], &q[dot + 1..]),
        None => (q, &b""[..]),
    };
    let digit = |at: usize| part.get(at).filter(|d| d.is_ascii_digit()).map_or(0, |d| u32::from(d - b'0'));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    if whole == b"1" { 1000 } else { thousandths }
}

/// Looks a header up in what [`keep`] kept, by name without regard to case.
pub fn kept<'a>(kept: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    kept.split(|&b| b == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon]
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| String::from_utf8_lossy(&line[colon + 1..]))
    })
}

fn is_kept(name: Name) -> bool {
    matches!(
        name,
        Name::Other
            | Name::UserToUser
            | Name::Diversion
            | Name::HistoryInfo
            | Name::Subject
            | Name::PAssertedIdentity
            | Name::Privacy
            | Name::PCalledPartyId
            | Name::ReferredBy
            | Name::Reason
            | Name::UserAgent
            | Name::SessionId
            | Name::AcceptLanguage
    )
}

/// `X-Baton-Call-ID`: by it an agent learns the id of its call.
pub fn call_id_field(call_id: &str) -> Field {
    Field { name: X_BATON_CALL_ID.into(), value: call_id.into() }
}

/// Contact of a redirect.
pub fn contact_field(uri: &str) -> Field {
    Field { name: Name::Contact.as_str().into(), value: format!("<{uri}>").into() }
}

/// Retry-After, in seconds.
pub fn retry_after_field(seconds: u32) -> Field {
    Field { name: Name::RetryAfter.as_str().into(), value: seconds.to_string().into() }
}

/// Reason as it is configured: `SIP;cause=200;text="Handoff"` (RFC 3326).
pub fn reason_field(value: &str) -> Field {
    Field { name: Name::Reason.as_str().into(), value: value.into() }
}

/// The Reason of a message, to be passed on to the other side (RFC 3326).
pub fn passed_reason(message: &Message<'_>) -> Option<Field> {
    joined(message, Name::Reason).map(|all| reason_field(&all))
}

/// All values of a header in one line. None: there is nothing in it.
fn joined(message: &Message<'_>, name: Name) -> Option<String> {
    let mut all = String::new();
    for value in message.values(name) {
        all.push_str(if all.is_empty() { "" } else { ", " });
        all.push_str(&text(value));
    }
    (!all.is_empty()).then_some(all)
}

/// What a peer says beside a status or a goodbye.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its Reason headers (RFC 3326).
    pub reason: Option<String>,
    /// Its Warning headers (RFC 3261 §20.43).
    pub warning: Option<String>,
}

impl Said {
    /// Of a message.
    pub fn of(message: &Message<'_>) -> Said {
        Said { reason: joined(message, Name::Reason), warning: joined(message, Name::Warning) }
    }
}

/// A Warning of ours: what the log says, for whoever reads the other side's. 399 is "miscellaneous" (RFC 3261 §20.43).
pub fn warning(words: &str) -> Field {
    let mut value = String::with_capacity(words.len() + 16);
    value.push_str("399 baton \"");
    for c in words.chars() {
        match c {
            '"' | '\\' => value.extend(['\\', c]),
            c if c.is_control() => value.push(' '),
            c => value.push(c),
        }
    }
    value.push('"');
    Field { name: Name::Warning.as_str().into(), value: value.into() }
}

/// What the BYE of a side says to the other: `X-*`, User-to-User (RFC 7433) and what else goes end to end. A CANCEL goes
/// from hop to hop, and only its Reason is of interest beyond.
pub fn goodbye(message: &Message<'_>) -> Box<[Field]> {
    if message.method() != Method::Bye {
        return passed_reason(message).into_iter().collect();
    }
    let fields = message.all().filter(|header| carry::passes_by_name(header.raw_name)).map(|header| {
        let name = if header.name == Name::Other { header.raw_name } else { header.name.as_str().as_bytes() };
        Field { name: text(name), value: text(header.value) }
    });
    fields.collect()
}

/// Referred-By of an INVITE that a REFER has caused (RFC 3892 §2.1).
pub fn referred_by_field(uri: &str) -> Field {
    Field { name: Name::ReferredBy.as_str().into(), value: format!("<{uri}>").into() }
}

/// The headers that tell a target where the call was for, before it was sent on to `target`: Diversion with a new first entry
/// (RFC 5806 §4), and History-Info with the two of us at its end, `index` continued (RFC 7044 §10.3), both with what the
/// caller's INVITE had of them. Those that stand in `instead` are left to it.
pub fn diverted(kept: &[u8], called: &str, target: &str, instead: &[Field]) -> Vec<Field> {
    let replaced = |name: Name| instead.iter().any(|field| field.name.eq_ignore_ascii_case(name.as_str()));
    let mut fields = Vec::new();
    if !replaced(Name::Diversion) {
        let mut value = format!("<{called}>;reason=deflection");
        for before in kept_all(kept, Name::Diversion) {
            value.push_str(", ");
            value.push_str(&before);
        }
        fields.push(Field { name: Name::Diversion.as_str().into(), value: value.into() });
    }
    if !replaced(Name::HistoryInfo) {
        let before: Vec<Cow<'_, str>> = kept_all(kept, Name::HistoryInfo).collect();
        let last = before.last().map(|list| Commas::new(list.as_bytes()));
        let index = last.and_then(Iterator::last).and_then(|entry| index_of(entry).map(str::to_owned));
        let ours = index.map_or("1".to_owned(), |index| format!("{index}.1"));
        let mut value = before.join(", ");
        if !value.is_empty() {
            value.push_str(", ");
        }
        let _ = write!(value, "<{called}>;index={ours}, <{target}>;index={ours}.1;mp={ours}");
        fields.push(Field { name: Name::HistoryInfo.as_str().into(), value: value.into() });
    }
    fields
}

/// The index of an entry of History-Info: digits and dots.
fn index_of(entry: &[u8]) -> Option<&str> {
    let index = NameAddr::parse(entry).ok()?.param(b"index").flatten()?;
    let sound = index.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    std::str::from_utf8(index).ok().filter(|index| sound && !index.is_empty())
}

/// Every line of that name in what [`keep`] kept.
fn kept_all(kept: &[u8], name: Name) -> impl Iterator<Item = Cow<'_, str>> {
    kept.split(|&b| b == b'\n').filter_map(move |line| {
        let value = line.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b":")?;
        Some(String::from_utf8_lossy(value))
    })
}

/// Whether a field is a Reason.
pub fn is_reason(field: &Field) -> bool {
    field.name.eq_ignore_ascii_case(Name::Reason.as_str())
}

/// Reason with a SIP cause and a text of ours.
pub fn reason(cause: u16, text: &str) -> Field {
    let mut value = String::with_capacity(text.len() + 24);
    let _ = write!(value, "SIP;cause={cause};text=\"{text}\"");
    reason_field(&value)
}

/// Whether a field is the product's own word and never a header of a handoff.
pub fn is_own(name: &str) -> bool {
    name.eq_ignore_ascii_case(X_BATON_CALL_ID)
        || name.get(..X_HANDOFF.len()).is_some_and(|head| head.eq_ignore_ascii_case(X_HANDOFF))
}
