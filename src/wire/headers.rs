//! Every text that goes on the wire: header names, methods, event packages, parameter values, Baton's own headers.
//!
//! Not here: the grammar of any header. Called by every layer that names a header or a method.

/// Header of the agent's INVITE that tells it Baton's own id of the call.
pub const X_BATON_CALL_ID: &str = "X-Baton-Call-ID";
/// Header of an agent's BYE that names the destination to hand the caller to.
pub const X_HANDOFF: &str = "X-Handoff";
/// Header of an agent's decision: why the caller is handed over.
pub const X_HANDOFF_REASON: &str = "X-Handoff-Reason";
/// Header of an agent's decision: what the caller said last.
pub const X_HANDOFF_UTTERANCE: &str = "X-Handoff-Utterance";

/// Event package of a REFER's implicit subscription (RFC 3515).
pub const EVENT_REFER: &str = "refer";
/// Subscription-State value (RFC 6665).
pub const ACTIVE: &str = "active";
/// Subscription-State value (RFC 6665).
pub const TERMINATED: &str = "terminated";
/// Reason parameter of a terminated subscription whose work is done (RFC 6665, RFC 3515 section 2.4.7).
pub const NO_RESOURCE: &str = "noresource";
/// Content type of a session description.
pub const APPLICATION_SDP: &str = "application/sdp";
/// Content type of a NOTIFY body that reports a REFER (RFC 3420, RFC 3515 section 2.4.4).
pub const MESSAGE_SIPFRAG: &str = "message/sipfrag;version=2.0";
/// The methods that Baton takes: the value of its Allow headers.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY";
/// Option tag: provisional responses that are acknowledged (RFC 3262).
pub const RELIABLE: &str = "100rel";
/// Option tag: a call that takes the place of another (RFC 3891).
pub const REPLACES: &str = "replaces";
/// Option tag: session timers (RFC 4028).
pub const TIMER: &str = "timer";
/// Option tag: a REFER without a subscription (RFC 4488).
pub const NO_REFER_SUB: &str = "norefersub";
/// Who refreshes a session: the side that sent the request (RFC 4028 section 4).
pub const UAC: &str = "uac";
/// Who refreshes a session: the side that answered it.
pub const UAS: &str = "uas";
/// The magic cookie of an RFC 3261 branch (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";
/// The protocol version of every start line.
pub const SIP_VERSION: &str = "SIP/2.0";

macro_rules! names {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// The name of a header field, compact or odd-cased forms folded into one. `Other` is any name not listed.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
            /// A header that Baton has no business with; its text is in [`super::Header::raw_name`].
            #[default]
            Other,
        }

        /// Canonical text of each name, in the order of the enum; the last is `Other`.
        const NAME_TEXTS: &[&str] = &[$($text,)+ ""];
        /// Every name in the order of the enum, `Other` last.
        const NAMES: &[Name] = &[$(Name::$variant,)+ Name::Other];
    };
}

names! {
    Via = "Via", From = "From", To = "To", CallId = "Call-ID", CSeq = "CSeq", MaxForwards = "Max-Forwards",
    Contact = "Contact", Route = "Route", RecordRoute = "Record-Route", ContentLength = "Content-Length",
    ContentType = "Content-Type", ContentDisposition = "Content-Disposition", ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language", Accept = "Accept", AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language", Allow = "Allow", AllowEvents = "Allow-Events", Supported = "Supported",
    Require = "Require", ProxyRequire = "Proxy-Require", Unsupported = "Unsupported", Event = "Event",
    SubscriptionState = "Subscription-State", ReferTo = "Refer-To", ReferredBy = "Referred-By",
    ReferSub = "Refer-Sub", Replaces = "Replaces", Reason = "Reason", RetryAfter = "Retry-After",
    Authorization = "Authorization", ProxyAuthorization = "Proxy-Authorization",
    WwwAuthenticate = "WWW-Authenticate", ProxyAuthenticate = "Proxy-Authenticate",
    AuthenticationInfo = "Authentication-Info", PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity", PCalledPartyId = "P-Called-Party-ID", Privacy = "Privacy",
    RemotePartyId = "Remote-Party-ID", UserToUser = "User-to-User", Diversion = "Diversion",
    HistoryInfo = "History-Info", SessionExpires = "Session-Expires", MinSe = "Min-SE", RSeq = "RSeq",
    RAck = "RAck", Expires = "Expires", MinExpires = "Min-Expires", Date = "Date", UserAgent = "User-Agent",
    Server = "Server", Warning = "Warning", SessionId = "Session-ID", MimeVersion = "MIME-Version",
    Subject = "Subject", Timestamp = "Timestamp", Organization = "Organization", Priority = "Priority",
    AlertInfo = "Alert-Info", CallInfo = "Call-Info", ErrorInfo = "Error-Info", InReplyTo = "In-Reply-To",
    ReplyTo = "Reply-To", Path = "Path", ServiceRoute = "Service-Route", Join = "Join",
    TargetDialog = "Target-Dialog", InfoPackage = "Info-Package", RecvInfo = "Recv-Info", Identity = "Identity",
    IdentityInfo = "Identity-Info", AcceptContact = "Accept-Contact", RejectContact = "Reject-Contact",
    RequestDisposition = "Request-Disposition", SipEtag = "SIP-ETag", SipIfMatch = "SIP-If-Match",
}

impl Name {
    /// How many names there are, `Other` included.
    pub const COUNT: usize = NAMES.len();

    /// Reads a name, compact (RFC 3261 section 7.3.3 and the IANA registry) or long, in any case.
    pub fn parse(name: &[u8]) -> Name {
        match name {
            [] => Name::Other,
            [one] => compact(one.to_ascii_lowercase()),
            _ => {
                let mut slot = slot_of(name);
                loop {
                    let entry = SLOTS[slot];
                    if entry == EMPTY {
                        return Name::Other;
                    }
                    let text = NAME_TEXTS[entry as usize].as_bytes();
                    if same_bytes(text, name) || text.eq_ignore_ascii_case(name) {
                        return NAMES[entry as usize];
                    }
                    slot = (slot + 1) % SLOT_COUNT;
                }
            }
        }
    }

    /// Reads the name that fills the first `length` bytes of `bytes`. As [`Name::parse`], but a name in its canonical
    /// spelling is found in three word compares, if enough bytes follow it to load them.
    pub(crate) fn parse_prefix(bytes: &[u8], length: usize) -> Name {
        if let (Some(block), Some(mask)) = (bytes.first_chunk::<LONGEST>(), MASKS.get(length)) {
            let words = masked(words_of(block), mask);
            let (found, name) = &EXACT[exact_slot(words)];
            if *found == words {
                return *name;
            }
        }
        Name::parse(&bytes[..length])
    }

    /// The canonical text; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        NAME_TEXTS[self as usize]
    }

    /// True for the headers that may stand only once and that every message is matched or cut by: of two of them nobody can
    /// say which one counts.
    pub(crate) fn is_matched_by(self) -> bool {
        matches!(self, Name::From | Name::To | Name::CallId | Name::CSeq | Name::ContentLength)
    }

    /// True for headers that may stand only once in a message, and whose doubling changes what the message means
    /// (RFC 3261 section 7.3.1: a second one is malformed). In a request that is a fault where its method needs the header
    /// ([`super::Message::check`]); in a response the first one counts.
    pub fn is_single(self) -> bool {
        matches!(
            self,
            Name::From
                | Name::To
                | Name::CallId
                | Name::CSeq
                | Name::MaxForwards
                | Name::ContentLength
                | Name::ContentType
                | Name::ContentDisposition
                | Name::Event
                | Name::SubscriptionState
                | Name::ReferTo
                | Name::ReferredBy
                | Name::ReferSub
                | Name::Replaces
                | Name::RetryAfter
                | Name::SessionExpires
                | Name::MinSe
                | Name::RSeq
                | Name::RAck
                | Name::Expires
                | Name::MinExpires
                | Name::SessionId
        )
    }
}

/// Equality in two or three word compares: names are short, and a call to `memcmp` for each costs more than that.
fn same_bytes(one: &[u8], two: &[u8]) -> bool {
    if one.len() != two.len() {
        return false;
    }
    match one.len() {
        8..=16 => {
            one.first_chunk::<8>() == two.first_chunk::<8>() && one.last_chunk::<8>() == two.last_chunk::<8>()
        }
        4..=7 => {
            one.first_chunk::<4>() == two.first_chunk::<4>() && one.last_chunk::<4>() == two.last_chunk::<4>()
        }
        _ => one == two,
    }
}

/// The compact forms of the IANA registry.
fn compact(lower: u8) -> Name {
    match lower {
        b'a' => Name::AcceptContact,
        b'b' => Name::ReferredBy,
        b'c' => Name::ContentType,
        b'd' => Name::RequestDisposition,
        b'e' => Name::ContentEncoding,
        b'f' => Name::From,
        b'i' => Name::CallId,
        b'j' => Name::RejectContact,
        b'k' => Name::Supported,
        b'l' => Name::ContentLength,
        b'm' => Name::Contact,
        b'n' => Name::IdentityInfo,
        b'o' => Name::Event,
        b'r' => Name::ReferTo,
        b's' => Name::Subject,
        b't' => Name::To,
        b'u' => Name::AllowEvents,
        b'v' => Name::Via,
        b'x' => Name::SessionExpires,
        b'y' => Name::Identity,
        _ => Name::Other,
    }
}

/// Slots of the name table: open addressing, a third full, so that a lookup seldom compares twice.
const SLOT_COUNT: usize = 256;
/// A slot that holds no name.
const EMPTY: u8 = u8::MAX;
/// Index into `NAMES` by hash, made at compile time.
static SLOTS: [u8; SLOT_COUNT] = build_slots();

/// A hash that does not see case (`| 0x20`); collisions are resolved by the next free slot.
const fn slot_of(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    (name.len() * 37 + first * 11 + last * 5 + middle * 3) % SLOT_COUNT
}

const fn build_slots() -> [u8; SLOT_COUNT] {
    assert!(NAMES.len() < EMPTY as usize);
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut index = 0;
    while index < NAME_TEXTS.len() - 1 {
        let mut slot = slot_of(NAME_TEXTS[index].as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = index as u8;
        index += 1;
    }
    slots
}

/// No name is longer; three words hold it.
const LONGEST: usize = 24;
/// The masks that leave only the first bytes of three words, by their number.
static MASKS: [[u64; 3]; LONGEST + 1] = build_masks();
/// Each name in its canonical spelling, at the slot of its hash. Of names with the same slot only one is here.
static EXACT: [([u64; 3], Name); SLOT_COUNT] = build_exact();

const fn words_of(block: &[u8; LONGEST]) -> [u64; 3] {
    let mut words = [0; 3];
    let mut at = 0;
    while at < LONGEST {
        words[at / 8] |= (block[at] as u64) << (at % 8 * 8);
        at += 1;
    }
    words
}

const fn masked(words: [u64; 3], mask: &[u64; 3]) -> [u64; 3] {
    [words[0] & mask[0], words[1] & mask[1], words[2] & mask[2]]
}

const fn build_masks() -> [[u64; 3]; LONGEST + 1] {
    let mut masks = [[0; 3]; LONGEST + 1];
    let mut length = 0;
    while length <= LONGEST {
        let mut at = 0;
        while at < length {
            masks[length][at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        length += 1;
    }
    masks
}

/// The top eight bits of a multiplicative hash.
const fn exact_slot(words: [u64; 3]) -> usize {
    let mixed = words[0] ^ words[1].rotate_left(23) ^ words[2].rotate_left(47);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

const fn build_exact() -> [([u64; 3], Name); SLOT_COUNT] {
    // All ones is the words of no name, so that an empty slot equals nothing.
    let mut slots = [([u64::MAX; 3], Name::Other); SLOT_COUNT];
    let mut index = NAME_TEXTS.len() - 1;
    // From the last name to the first: where slots collide, the more frequent name, which stands earlier, wins.
    while index > 0 {
        index -= 1;
        let text = NAME_TEXTS[index].as_bytes();
        let mut block = [0; LONGEST];
        let mut at = 0;
        while at < text.len() {
            block[at] = text[at];
            at += 1;
        }
        let words = words_of(&block);
        slots[exact_slot(words)] = (words, NAMES[index]);
    }
    slots
}

macro_rules! methods {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// A request method. Case counts (RFC 3261 section 7.1). `Other` is any method not listed.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
            /// A method that Baton does not know; its text is in [`super::Message::method_text`].
            #[default]
            Other,
        }

        impl Method {
            /// Reads a method, case counting.
            pub fn parse(text: &[u8]) -> Method {
                $(if text == $text.as_bytes() { return Method::$variant; })+
                Method::Other
            }

            /// The text of the method; empty for `Other`.
            pub fn as_str(self) -> &'static str {
                match self { $(Method::$variant => $text,)+ Method::Other => "" }
            }
        }
    };
}

methods! {
    Invite = "INVITE", Ack = "ACK", Bye = "BYE", Cancel = "CANCEL", Options = "OPTIONS", Prack = "PRACK",
    Update = "UPDATE", Info = "INFO", Refer = "REFER", Notify = "NOTIFY", Subscribe = "SUBSCRIBE",
    Register = "REGISTER", Message = "MESSAGE", Publish = "PUBLISH",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case() {
        for &name in &NAMES[..NAMES.len() - 1] {
            let text = name.as_str();
            assert_eq!(Name::parse(text.as_bytes()), name, "{text}");
            assert_eq!(Name::parse(text.to_ascii_uppercase().as_bytes()), name, "{text}");
            assert_eq!(Name::parse(text.to_ascii_lowercase().as_bytes()), name, "{text}");
        }
    }

    #[test]
    fn a_prefix_reads_like_the_name_alone() {
        for &name in NAMES {
            for text in
                [name.as_str().to_owned(), name.as_str().to_ascii_lowercase(), format!("{}s", name.as_str())]
            {
                for tail in ["", ": ", ": and many more bytes than a name has"] {
                    let line = format!("{text}{tail}");
                    let alone = Name::parse(text.as_bytes());
                    assert_eq!(Name::parse_prefix(line.as_bytes(), text.len()), alone, "{line}");
                }
            }
        }
        let found = NAMES.iter().filter(|name| EXACT.iter().any(|(_, there)| there == *name)).count();
        assert!(found > Name::COUNT * 3 / 4, "most names are found at once, {found} of {}", Name::COUNT);
    }

    #[test]
    fn compact_forms_read_in_any_case() {
        for (short, name) in
            [("i", Name::CallId), ("M", Name::Contact), ("l", Name::ContentLength), ("V", Name::Via)]
        {
            assert_eq!(Name::parse(short.as_bytes()), name);
        }
        assert_eq!(Name::parse(b"z"), Name::Other);
    }

    #[test]
    fn near_misses_are_other() {
        for text in ["", "Vi", "Vla", "Call_ID", "Call\rID", "Content-Lengt\x48\x00", "X-Handoff", "\u{c}rom"]
        {
            assert_eq!(Name::parse(text.as_bytes()), Name::Other, "{text:?}");
        }
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse(b"INVITE"), Method::Invite);
        assert_eq!(Method::parse(b"invite"), Method::Other);
        assert_eq!(Method::Refer.as_str(), "REFER");
    }
}
