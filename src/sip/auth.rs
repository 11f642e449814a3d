//! Digest authentication of our requests: RFC 3261 §22, RFC 7616, RFC 8760.
//!
//! Reads the challenges of a 401 or 407, chooses the best that it can answer (SHA-256 before MD5, `qop=auth`, or the
//! old form without qop), and writes the answer. A challenge that only wants `auth-int`, or names another algorithm,
//! is none. Not here: whether a challenge is to be answered at all (realm, how often), which is the leg's business,
//! and the challenging side, which Baton does not have.

use super::ident::Text;
use crate::observe::secret::Secret;
use crate::wire::{Message, Name, grammar};
use md5::Md5;
use sha2::Sha256;
use sha2::digest::{Digest, Output};

/// Longest realm, nonce or opaque in bytes: what comes back in each request has to fit into a datagram.
const LONGEST: usize = 512;
/// Challenges looked at in one response, and parameters in one challenge.
const MOST: usize = 32;

/// How the digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RFC 2617; also meant where none is named.
    Md5,
    /// RFC 2617, with a session key.
    Md5Sess,
    /// RFC 7616, with a session key.
    Sha256Sess,
    /// RFC 7616.
    Sha256,
}

impl Algorithm {
    const ALL: [Algorithm; 4] =
        [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256Sess, Algorithm::Sha256];

    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256Sess => "SHA-256-sess",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn parse(text: &[u8]) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str().as_bytes()))
    }

    fn has_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess)
    }

    /// The hash of `parts` joined by colons, in hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => Hex::new(&hash_of::<Md5>(parts)),
            Algorithm::Sha256 | Algorithm::Sha256Sess => Hex::new(&hash_of::<Sha256>(parts)),
        }
    }
}

fn hash_of<D: Digest>(parts: &[&[u8]]) -> Output<D> {
    let mut hash = D::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize()
}

/// A digest in lower-case hexadecimal, on the stack.
struct Hex {
    text: [u8; 64],
    len: usize,
}

impl Hex {
    fn new(digest: &[u8]) -> Hex {
        let mut text = [0; 64];
        for (byte, pair) in digest.iter().zip(text.chunks_exact_mut(2)) {
            pair.copy_from_slice(&[
                b"0123456789abcdef"[usize::from(byte >> 4)],
                b"0123456789abcdef"[usize::from(byte & 15)],
            ]);
        }
        Hex { text, len: digest.len() * 2 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// A challenge that can be answered, for as long as its nonce is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The protection space, as between the quotes.
    pub realm: Box<[u8]>,
    /// The last answer was right but its nonce too old: answer once more (RFC 7616 §3.3).
    pub stale: bool,
    /// How it is answered.
    pub algorithm: Algorithm,
    /// The header that the answer goes into: Authorization, or Proxy-Authorization after a 407.
    pub answer: Name,
    nonce: Box<[u8]>,
    opaque: Option<Box<[u8]>>,
    /// Whether the algorithm was named, and so is named in the answer.
    named: bool,
    /// `qop=auth`; else the form of RFC 2069.
    qop: bool,
    cnonce: Text,
    /// Answers given with this nonce.
    count: u32,
}

/// The credentials and the request that they are for.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// User name.
    pub username: &'a str,
    /// In clear; the response carries a hash of it.
    pub password: &'a Secret,
    /// Method of the request.
    pub method: &'a [u8],
    /// Request-URI of the request.
    pub uri: &'a [u8],
}

impl Challenge {
    /// The best challenge of a 401 or 407, of that `realm` alone if one is given. `cnonce` is ours
    /// ([`super::ident::Ident::cnonce`]).
    pub fn of(response: &Message<'_>, realm: Option<&[u8]>, cnonce: Text) -> Option<Challenge> {
        let (challenge, answer) = match response.status()? {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        Challenge::choose(response.headers(challenge), realm, answer, cnonce)
    }

    /// The best of the challenges in these header values; of equal ones the first.
    pub fn choose<'a>(
        values: impl Iterator<Item = &'a [u8]>,
        realm: Option<&[u8]>,
        answer: Name,
        cnonce: Text,
    ) -> Option<Challenge> {
        let mut best: Option<Offer<'a>> = None;
        let asks = |offer: &Offer<'_>| realm.is_none() || offer.realm == realm;
        for offer in values.flat_map(offers).take(MOST).filter(Offer::is_answerable).filter(asks) {
            if best.as_ref().is_none_or(|best| offer.algorithm > best.algorithm) {
                best = Some(offer);
            }
        }
        let best = best?;
        Some(Challenge {
            realm: best.realm?.into(),
            stale: best.stale,
            algorithm: best.algorithm?,
            answer,
            nonce: best.nonce?.into(),
            opaque: best.opaque.map(Into::into),
            named: best.named,
            qop: best.qop == Some(Qop::Auth),
            cnonce,
            count: 0,
        })
    }

    /// Appends the value of the header [`Challenge::answer`]. Each answer counts (`nc`), so that a nonce serves
    /// several requests.
    pub fn write(&mut self, login: Login<'_>, out: &mut Vec<u8>) {
        self.count = self.count.saturating_add(1);
        let nc = nonce_count(self.count);
        let response = self.digest(login, &nc);
        out.extend_from_slice(b"Digest ");
        push_escaped(out, "username", login.username.as_bytes());
        push_verbatim(out, ", realm", &self.realm);
        push_verbatim(out, ", nonce", &self.nonce);
        push_escaped(out, ", uri", login.uri);
        push_verbatim(out, ", response", response.as_bytes());
        if self.named {
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(self.algorithm.as_str().as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            push_verbatim(out, ", opaque", opaque);
        }
        if self.qop {
            push_verbatim(out, ", cnonce", self.cnonce.as_bytes());
            out.extend_from_slice(b", qop=auth, nc=");
            out.extend_from_slice(&nc);
        }
    }

    /// RFC 7616 §3.4.1 to §3.4.3.
    fn digest(&self, login: Login<'_>, nc: &[u8; 8]) -> Hex {
        let (algorithm, cnonce) = (self.algorithm, self.cnonce.as_bytes());
        let password = login.password.expose().as_bytes();
        let mut a1 = algorithm.hash(&[login.username.as_bytes(), &self.realm, password]);
        if algorithm.has_session() {
            a1 = algorithm.hash(&[a1.as_bytes(), &self.nonce, cnonce]);
        }
        let a2 = algorithm.hash(&[login.method, login.uri]);
        if self.qop {
            algorithm.hash(&[a1.as_bytes(), &self.nonce, nc, cnonce, b"auth", a2.as_bytes()])
        } else {
            algorithm.hash(&[a1.as_bytes(), &self.nonce, a2.as_bytes()])
        }
    }
}

fn nonce_count(count: u32) -> [u8; 8] {
    let mut text = [0; 8];
    text.copy_from_slice(Hex::new(&count.to_be_bytes()).as_bytes());
    text
}

/// `name="text"`, where the text came from a challenge: between its quotes as it came; or has nothing to be escaped.
fn push_verbatim(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(text);
    out.push(b'"');
}

/// `name="text"`, where the text is ours: its quotes and backslashes are escaped.
fn push_escaped(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// One challenge as it stands in a header. Values are as between their quotes, quoted pairs untouched: that is what
/// the digest is over, and what goes back (RFC 7616 §3.4: `unq`).
#[derive(Clone, Default)]
struct Offer<'a> {
    digest: bool,
    realm: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    opaque: Option<&'a [u8]>,
    /// `None`: one that is not known here.
    algorithm: Option<Algorithm>,
    named: bool,
    /// `None`: it has no qop.
    qop: Option<Qop>,
    stale: bool,
}

/// The qop values of a challenge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// `auth` is among them.
    Auth,
    /// Only others: `auth-int`, or what is not known here.
    Others,
}

impl<'a> Offer<'a> {
    fn new(scheme: &[u8]) -> Offer<'a> {
        Offer {
            digest: scheme.eq_ignore_ascii_case(b"Digest"),
            algorithm: Some(Algorithm::Md5),
            ..Offer::default()
        }
    }

    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        if is("realm") {
            self.realm = Some(value);
        } else if is("nonce") {
            self.nonce = Some(value);
        } else if is("opaque") {
            self.opaque = Some(value);
        } else if is("stale") {
            self.stale = value.eq_ignore_ascii_case(b"true");
        } else if is("algorithm") {
            self.algorithm = Algorithm::parse(value);
            self.named = true;
        } else if is("qop") {
            let auth = |word: &[u8]| grammar::trim(word).eq_ignore_ascii_case(b"auth");
            let has_auth = value.split(|byte| *byte == b',').any(auth);
            self.qop = Some(if has_auth { Qop::Auth } else { Qop::Others });
        }
    }

    fn is_answerable(&self) -> bool {
        let fits = |value: Option<&[u8]>| {
            value.is_none_or(|value| {
                value.len() <= LONGEST && value.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f)
            })
        };
        let session = self.algorithm.is_some_and(Algorithm::has_session);
        self.digest
            && self.algorithm.is_some()
            && self.realm.is_some()
            && self.nonce.is_some()
            && self.qop != Some(Qop::Others)
            && (!session || self.qop == Some(Qop::Auth))
            && [self.realm, self.nonce, self.opaque].into_iter().all(fits)
    }
}

/// The challenges of one header value. RFC 3261 wants one in each; some servers join them by commas as in HTTP.
fn offers(value: &[u8]) -> impl Iterator<Item = Offer<'_>> {
    let mut rest = value;
    let mut open: Option<Offer<'_>> = None;
    let mut params = 0;
    std::iter::from_fn(move || {
        loop {
            rest = skip(rest);
            let end = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
            let word = &rest[..end];
            if word.is_empty() {
                return open.take();
            }
            let after = skip_space(&rest[end..]);
            let Some(text) = after.strip_prefix(b"=") else {
                rest = after;
                params = 0;
                match open.replace(Offer::new(word)) {
                    Some(done) => return Some(done),
                    None => continue,
                }
            };
            let Some((value, after)) = take_value(skip_space(text)) else {
                // Nothing behind an unclosed quote can be trusted, nor the challenge that it stands in.
                (rest, open) = (b"", None);
                return None;
            };
            rest = after;
            params += 1;
            if let (Some(offer), true) = (&mut open, params <= MOST) {
                offer.set(word, value);
            }
        }
    })
}

/// A token, or what stands between the quotes of a quoted string; and the rest.
fn take_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n'));
        return Some(text.split_at(end.unwrap_or(text.len())));
    };
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_token(byte: u8) -> bool {
    grammar::is_token(&[byte])
}

fn skip_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    &text[start.unwrap_or(text.len())..]
}

/// Passes white space and commas.
fn skip(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b','));
    &text[start.unwrap_or(text.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::ident::{Ident, Seed};

    fn choose(values: &[&str]) -> Option<Challenge> {
        let cnonce = Ident::new(Seed([1; 32])).cnonce();
        Challenge::choose(values.iter().map(|value| value.as_bytes()), None, Name::Authorization, cnonce)
    }

    fn answer(challenge: &mut Challenge, username: &str, password: &str, method: &str, uri: &str) -> String {
        let password = Secret::new(password);
        let mut out = Vec::new();
        let login = Login { username, password: &password, method: method.as_bytes(), uri: uri.as_bytes() };
        challenge.write(login, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn with_cnonce(mut challenge: Challenge, cnonce: &str) -> Challenge {
        challenge.cnonce = Text::of(cnonce);
        challenge
    }

    /// RFC 2617 §3.5.
    #[test]
    fn rfc_2617_section_3_5() {
        let value = r#"Digest realm="testrealm@host.com", qop="auth,auth-int",
 nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let mut challenge = with_cnonce(choose(&[value]).expect("a challenge"), "0a4f113b");
        assert_eq!(
            answer(&mut challenge, "Mufasa", "Circle Of Life", "GET", "/dir/index.html"),
            r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41", cnonce="0a4f113b", qop=auth, nc=00000001"#
        );
    }

    const RFC_7616: [&str; 2] = [
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    ];

    fn rfc_7616(values: &[&str]) -> String {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let mut challenge = with_cnonce(choose(values).expect("a challenge"), cnonce);
        answer(&mut challenge, "Mufasa", "Circle of Life", "GET", "/dir/index.html")
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616_section_3_9_1() {
        let md5 = rfc_7616(&RFC_7616[..1]);
        assert!(
            md5.contains(r#"response="8ca523f5e9506fed4657c9700eebdbec", algorithm=MD5, opaque="FQhe"#),
            "{md5}"
        );
        let sha256 = rfc_7616(&RFC_7616[1..]);
        let response = r#"response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", algorithm=SHA-256,"#;
        assert!(sha256.contains(response), "{sha256}");
    }

    #[test]
    fn sha_256_is_chosen_whatever_the_order_and_however_they_are_joined() {
        let sha256 = rfc_7616(&RFC_7616[1..]);
        let joined = RFC_7616.join(", ");
        assert_eq!(rfc_7616(&RFC_7616), sha256);
        assert_eq!(rfc_7616(&[RFC_7616[1], RFC_7616[0]]), sha256);
        assert_eq!(rfc_7616(&[&joined]), sha256);
        assert_eq!(rfc_7616(&["Bearer realm=\"x\", error=\"y\"", &joined, "Basic realm=z"]), sha256);
    }

    /// RFC 2069 as corrected by its erratum 749: no qop, so neither cnonce nor nc.
    #[test]
    fn without_qop_the_old_form_is_used() {
        let value = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let mut challenge = choose(&[value]).expect("a challenge");
        let answer = answer(&mut challenge, "Mufasa", "CircleOfLife", "GET", "/dir/index.html");
        assert!(answer.contains(r#"response="1949323746fe6a43ef61f9606e7febea""#), "{answer}");
        assert!(
            !answer.contains("cnonce") && !answer.contains("nc=") && !answer.contains("algorithm"),
            "{answer}"
        );
    }

    /// A1 of a session key: RFC 7616 §3.4.2, computed by hand from its parts.
    #[test]
    fn a_session_key_hashes_once_more() {
        for (name, algorithm) in [("MD5-sess", Algorithm::Md5Sess), ("sha-256-SESS", Algorithm::Sha256Sess)] {
            let value = format!(r#"digest realm="r", nonce="n", algorithm={name}, qop=auth"#);
            let mut challenge = with_cnonce(choose(&[&value]).expect("a challenge"), "c");
            let plain = algorithm.hash(&[b"u:r:p"]);
            let a1 = algorithm.hash(&[plain.as_bytes(), b"n", b"c"]);
            let a2 = algorithm.hash(&[b"BYE:sip:x"]);
            let expected = algorithm.hash(&[a1.as_bytes(), b"n:00000001:c:auth", a2.as_bytes()]);
            let answer = answer(&mut challenge, "u", "p", "BYE", "sip:x");
            let expected = String::from_utf8_lossy(expected.as_bytes()).into_owned();
            assert!(answer.contains(&expected), "{answer}");
            assert_eq!(choose(&[&value.replace(", qop=auth", "")]), None, "a session key needs a cnonce");
        }
    }

    #[test]
    fn a_nonce_serves_several_requests() {
        let mut challenge = choose(&[RFC_7616[1]]).expect("a challenge");
        let first = answer(&mut challenge, "u", "p", "BYE", "sip:x");
        let second = answer(&mut challenge, "u", "p", "BYE", "sip:x");
        assert!(first.ends_with("nc=00000001") && second.ends_with("nc=00000002"));
        assert_ne!(first, second.replace("00000002", "00000001"), "the response covers nc");
    }

    #[test]
    fn quotes_inside_come_back_as_they_came_and_ours_are_escaped() {
        let mut challenge =
            choose(&[r#"Digest realm="a \"b\", nonce=\"x", nonce="n\\", stale=TRUE"#]).expect("one");
        assert!(challenge.stale);
        assert_eq!(&*challenge.realm, br#"a \"b\", nonce=\"x"#);
        let answer = answer(&mut challenge, r#"me"\"#, "p", "BYE", "sip:x");
        let head = r#"Digest username="me\"\\", realm="a \"b\", nonce=\"x", nonce="n\\", uri="sip:x""#;
        assert!(answer.starts_with(head), "{answer}");
    }

    #[test]
    fn what_cannot_be_answered_is_none() {
        let long = format!(r#"Digest realm="r", nonce="{}""#, "n".repeat(LONGEST + 1));
        for value in [
            "",
            "Digest",
            ",,,=",
            "Basic realm=\"r\"",
            "Digest realm=\"r\"",
            "Digest nonce=\"n\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
            "Digest realm=\"r\", nonce=\"n",
            "Digest realm=\"r\", nonce=\"n\\",
            &long,
        ] {
            assert_eq!(choose(&[value]), None, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_value_makes_it_panic_or_write_a_second_line(value in "[ -~\r\n]{0,80}") {
            let value = format!("Digest realm=\"r\", nonce=n {value}");
            if let Some(mut challenge) = choose(&[&value]) {
                let answer = answer(&mut challenge, "u", "p", "BYE", "sip:x");
                proptest::prop_assert!(!answer.contains(['\r', '\n']));
            }
        }
    }
}
