//! Digest answers, worked out by hand (RFC 7616 §3.4).

use md5::Md5;
use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hash(sha256: bool, text: &str) -> String {
    if sha256 { hex(&Sha256::digest(text.as_bytes())) } else { hex(&Md5::digest(text.as_bytes())) }
}

fn value<'a>(credentials: &'a str, name: &str) -> Option<&'a str> {
    let fields = credentials.strip_prefix("Digest ")?;
    fields.split(',').find_map(|field| {
        let (key, text) = field.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then(|| text.trim_matches('"'))
    })
}

/// The answer to the challenge with `nonce` is right for this user.
#[track_caller]
pub fn assert_right(credentials: &str, method: &str, user: &str, password: &str, realm: &str, nonce: &str) {
    let of = |name| value(credentials, name);
    assert_eq!(of("username"), Some(user), "{credentials}");
    assert_eq!(of("realm"), Some(realm), "{credentials}");
    assert_eq!(of("nonce"), Some(nonce), "{credentials}");
    let sha256 = of("algorithm").is_some_and(|a| a.eq_ignore_ascii_case("SHA-256"));
    let uri = of("uri").unwrap_or_default();
    let one = hash(sha256, &format!("{user}:{realm}:{password}"));
    let two = hash(sha256, &format!("{method}:{uri}"));
    let right = match of("qop") {
        Some(qop) => {
            let (count, own) = (of("nc").unwrap_or_default(), of("cnonce").unwrap_or_default());
            hash(sha256, &format!("{one}:{nonce}:{count}:{own}:{qop}:{two}"))
        }
        None => hash(sha256, &format!("{one}:{nonce}:{two}")),
    };
    assert_eq!(of("response"), Some(right.as_str()), "{credentials}");
}
