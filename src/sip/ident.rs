//! Identifiers that nobody can guess: tags, branches, Call-IDs, call and handoff ids; and the slot of a call.
//!
//! All of them carry 128 bits of ChaCha12. The text is lower-case base 32 without `i l o u`: safe in URLs, in SIP
//! tokens (whose comparison ignores case, RFC 3261 §7.3.1), in a log and read aloud. The seed comes from outside,
//! so that a test gets the same identifiers each time.
//!
//! **Slots.** The owner of a message is `slot(Call-ID) mod shards`. What Baton mints carries its call's slot in the
//! text (`c-1a3-…`); for the Call-IDs of others it is a keyed hash. Not a secret: anybody may write a Call-ID
//! that names a slot, and only chooses which shard ignores it.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;

/// Slots that calls are spread over. A power of two; the hash and three hexadecimal digits both rely on it.
pub const SLOTS: u16 = 4096;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters for 128 bits.
const RANDOM: usize = 26;

/// 256 bits from the operating system (or a test).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The key of the hash over foreign Call-IDs. Kept in the state directory: all shards and all restarts share it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlotKey(pub [u8; 16]);

impl fmt::Debug for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotKey(…)")
    }
}

/// A short ASCII text on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text {
    bytes: [u8; Text::CAPACITY],
    len: u8,
}

impl Text {
    /// Bytes at most.
    pub const CAPACITY: usize = 47;

    const EMPTY: Text = Text { bytes: [0; Text::CAPACITY], len: 0 };

    /// For vectors of RFCs, which bring their own.
    #[cfg(test)]
    pub(crate) fn of(ascii: &str) -> Text {
        let mut text = Text::EMPTY;
        text.push(ascii.as_bytes());
        text
    }

    /// Only called with ASCII, and with less than [`Text::CAPACITY`] in all.
    fn push(&mut self, ascii: &[u8]) {
        let len = usize::from(self.len);
        self.bytes[len..len + ascii.len()].copy_from_slice(ascii);
        self.len += ascii.len() as u8;
    }

    fn push_base32(&mut self, mut bits: u128, chars: usize) {
        let len = usize::from(self.len);
        for place in &mut self.bytes[len..len + chars] {
            *place = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        self.len += chars as u8;
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only ASCII is pushed")
    }

    /// The text as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::ops::Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The source of identifiers of one engine.
#[derive(Clone)]
pub struct Ident {
    random: ChaCha12Rng,
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ident(…)")
    }
}

impl Ident {
    /// The same seed gives the same identifiers: two engines must not share one.
    pub fn new(seed: Seed) -> Ident {
        Ident { random: ChaCha12Rng::from_seed(seed.0) }
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64())
    }

    fn text(&mut self, prefix: &[u8]) -> Text {
        let mut text = Text::EMPTY;
        text.push(prefix);
        text.push_base32(self.bits(), RANDOM);
        text
    }

    fn slotted(&mut self, kind: u8, slot: u16) -> Text {
        let digit = |shift: u16| b"0123456789abcdef"[usize::from((slot % SLOTS) >> shift & 15)];
        self.text(&[kind, b'-', digit(8), digit(4), digit(0), b'-'])
    }

    /// A From or To tag (RFC 3261 §19.3).
    pub fn tag(&mut self) -> Text {
        self.text(b"")
    }

    /// A Via branch with the magic cookie (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self) -> Text {
        self.text(b"z9hG4bK")
    }

    /// A SIP Call-ID of ours, without a host, which would tell where we are: `b-1a3-…`.
    pub fn sip_call_id(&mut self, slot: u16) -> Text {
        self.slotted(b'b', slot)
    }

    /// The id of a call of the product: `c-1a3-…`.
    pub fn call_id(&mut self, slot: u16) -> Text {
        self.slotted(b'c', slot)
    }

    /// The id of a handoff: `h-1a3-…`.
    pub fn handoff_id(&mut self, slot: u16) -> Text {
        self.slotted(b'h', slot)
    }

    /// A client nonce for digests (RFC 7616 §3.4).
    pub fn cnonce(&mut self) -> Text {
        self.text(b"")
    }

    /// The session id of an `o=` line: 62 bits, which even a signed reader can hold (RFC 4566 §5.2).
    pub fn sdp_session(&mut self) -> u64 {
        self.random.next_u64() >> 2
    }

    /// A CSeq to begin with: room enough below 2³¹ (RFC 3261 §8.1.1.5) and nothing to learn from it.
    pub fn cseq(&mut self) -> u32 {
        self.random.next_u32() & 0x0fff
    }

    /// Milliseconds below `bound`, for back-off after 491 (RFC 3261 §14.1).
    pub fn millis_below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.random.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// Any slot, for a call that begins with us.
    pub fn slot(&mut self) -> u16 {
        (self.random.next_u32() % u32::from(SLOTS)) as u16
    }

    /// A key for hash tables.
    pub fn hash_key(&mut self) -> [u8; 16] {
        self.bits().to_le_bytes()
    }
}

/// The slot that an id minted here carries (`b-…`, `c-…`, `h-…`). `None`: it is not of ours.
pub fn slot_of(id: &[u8]) -> Option<u16> {
    let (head, random) = id.split_at_checked(6)?;
    let [b'b' | b'c' | b'h', b'-', high, middle, low, b'-'] = *head else { return None };
    if random.len() != RANDOM || !random.iter().all(|byte| ALPHABET.contains(byte)) {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(u16::from(byte - b'0')),
        b'a'..=b'f' => Some(u16::from(byte - b'a' + 10)),
        _ => None,
    };
    Some(digit(high)? << 8 | digit(middle)? << 4 | digit(low)?)
}

/// The slot of a Call-ID that somebody else minted.
pub fn hash_slot(key: &SlotKey, call_id: &[u8]) -> u16 {
    (fingerprint(key, call_id) % u64::from(SLOTS)) as u16
}

/// A number that tells one text from another, and that nobody without the key can foresee.
pub fn fingerprint(key: &SlotKey, text: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&key.0);
    hasher.write(text);
    hasher.finish()
}

/// A tag made from a keyed hash: the same request gets the same tag, and nobody without the key can foresee it.
pub(crate) fn tag_of(mark: u64) -> Text {
    let mut text = Text::EMPTY;
    text.push_base32(u128::from(mark), 13);
    text
}

/// The slot of any Call-ID, call id or handoff id.
pub fn slot(key: &SlotKey, id: &[u8]) -> u16 {
    slot_of(id).unwrap_or_else(|| hash_slot(key, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ident() -> Ident {
        Ident::new(Seed([7; 32]))
    }

    #[test]
    fn what_is_minted_carries_its_slot() {
        let mut ident = ident();
        for slot in [0, 1, 0x1a3, 0xfff] {
            for id in [ident.sip_call_id(slot), ident.call_id(slot), ident.handoff_id(slot)] {
                assert_eq!(slot_of(id.as_bytes()), Some(slot), "{id}");
                assert_eq!(super::slot(&SlotKey([0; 16]), id.as_bytes()), slot);
                assert_eq!(id.len(), 32);
            }
        }
        assert!(ident.call_id(0x1a3).starts_with("c-1a3-"));
    }

    #[test]
    fn what_is_foreign_does_not() {
        let own = ident().call_id(5);
        let spoilt: [&[u8]; 6] = [
            b"",
            b"c-1a3-",
            &own.as_bytes()[..31],
            b"c-1A3-00000000000000000000000000",
            b"x-1a3-00000000000000000000000000",
            b"c-1a3-0000000000000000000000000I",
        ];
        for id in spoilt {
            assert_eq!(slot_of(id), None, "{}", String::from_utf8_lossy(id));
        }
        let (one, two) = (SlotKey([1; 16]), SlotKey([2; 16]));
        let hashes = |key| (0..64u8).map(|n| hash_slot(key, &[n; 9])).collect::<Vec<_>>();
        assert!(hashes(&one).iter().all(|slot| *slot < SLOTS));
        assert_ne!(hashes(&one), hashes(&two));
    }

    #[test]
    fn tags_and_branches_are_tokens_and_all_differ() {
        let mut ident = ident();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let (tag, branch) = (ident.tag(), ident.branch());
            assert!(branch.starts_with("z9hG4bK") && branch.len() == 33 && tag.len() == 26);
            assert!(tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            assert!(seen.insert(tag) && seen.insert(branch));
        }
        assert!(ident.sdp_session() < 1 << 62 && ident.cseq() < 4096);
        assert!((0..1000).map(|_| ident.millis_below(10)).all(|ms| ms < 10));
    }

    #[test]
    fn the_same_seed_gives_the_same_and_no_debug_shows_it() {
        assert_eq!(ident().tag(), ident().tag());
        assert_ne!(ident().tag(), Ident::new(Seed([8; 32])).tag());
        let shown = format!("{:?} {:?} {:?}", Seed([7; 32]), SlotKey([7; 16]), ident());
        assert_eq!(shown, "Seed(…) SlotKey(…) Ident(…)");
    }
}
