//! What a message is matched to its transaction by: RFC 3261 §17.1.3 and §17.2.3, as keyed 128-bit hashes.
//!
//! Requests are matched by more than §17.2.3 asks for. A branch is the peer's to choose, and many count them: alone it
//! would let a stranger's CANCEL end a call, and a forged ACK acknowledge a refusal.
//!
//! A hash instead of the strings: an ended transaction then costs no text. Two messages share a key by chance once
//! in 2¹²⁸ tries, and by design not without the key of the hash, which is random for each engine.

use crate::wire::{Host, Message, Method, Via};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The key of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    /// For the hash table.
    pub(crate) fn hash(self) -> u64 {
        self.0 as u64
    }
}

/// Makes keys.
#[derive(Clone)]
pub(crate) struct Keys {
    empty: SipHasher13,
}

/// What a hash stands for, so that no two kinds can meet.
#[derive(Clone, Copy)]
enum Kind {
    Client,
    Server,
    Server2543,
    Merge,
}

impl Keys {
    pub(crate) fn new(key: &[u8; 16]) -> Keys {
        Keys { empty: SipHasher13::new_with_key(key) }
    }

    fn hash(&self, kind: Kind, parts: &[&[u8]]) -> Key {
        let mut hasher = self.empty;
        hasher.write_u8(kind as u8);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        let hash = hasher.finish128();
        Key(u128::from(hash.h1) << 64 | u128::from(hash.h2))
    }

    /// §17.1.3: the branch that we minted, and the method of CSeq.
    pub(crate) fn client(&self, branch: &[u8], method: &[u8]) -> Key {
        self.hash(Kind::Client, &[branch, method])
    }

    /// §17.2.3: branch, sent-by and method, and what a CANCEL (§9.1) and the ACK of a refusal (§17.1.1.3) have in common
    /// with their INVITE: From tag, Call-ID and CSeq number; for a peer of RFC 2543 the Request-URI, too. (The To tag is
    /// left out: it would differ between an INVITE and its ACK, and within a dialog CSeq tells requests apart.) `method` is
    /// that of the transaction looked for: INVITE for an ACK.
    pub(crate) fn server(&self, message: &Message<'_>, method: &[u8]) -> Key {
        let via = message.via();
        let (mut host, mut sent_by) = ([0; 16], Vec::new());
        let host = host_bytes(&via, &mut host, &mut sent_by);
        let port = via.port.unwrap_or(5060).to_be_bytes();
        let number = message.cseq().number.to_be_bytes();
        let (from_tag, call_id) = (message.from_tag().unwrap_or(b""), message.call_id());
        match via.branch.filter(|_| via.has_cookie()) {
            Some(branch) => {
                self.hash(Kind::Server, &[branch, host, &port, method, from_tag, call_id, &number])
            }
            None => {
                let (uri, branch) = (message.uri_bytes(), via.branch.unwrap_or(b""));
                self.hash(Kind::Server2543, &[uri, from_tag, call_id, &number, host, &port, branch, method])
            }
        }
    }

    /// §8.2.2.2: what a request that came by two ways has in common. Only requests outside dialogs have one. To another
    /// Request-URI it is another request: a proxy has forked to two numbers of ours.
    pub(crate) fn merge(&self, message: &Message<'_>) -> Option<Key> {
        if message.to_tag().is_some() || matches!(message.method(), Method::Ack | Method::Cancel) {
            return None;
        }
        let number = message.cseq().number.to_be_bytes();
        let from_tag = message.from_tag().unwrap_or(b"");
        let uri = message.uri_bytes();
        Some(self.hash(Kind::Merge, &[uri, from_tag, message.call_id(), &number, message.method_text()]))
    }
}

/// The host of sent-by: an address by value, a name without case (allocates only for a name in upper case).
fn host_bytes<'a>(via: &Via<'a>, address: &'a mut [u8; 16], name: &'a mut Vec<u8>) -> &'a [u8] {
    match via.host {
        Host::V4(ip) => {
            address[..4].copy_from_slice(&ip.octets());
            &address[..4]
        }
        Host::V6(ip) => {
            *address = ip.octets();
            address
        }
        Host::Name(text) if text.iter().any(u8::is_ascii_uppercase) => {
            name.extend(text.iter().map(u8::to_ascii_lowercase));
            name
        }
        Host::Name(text) => text,
    }
}
