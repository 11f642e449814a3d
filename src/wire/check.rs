//! The second look at a request: what its method needs of it, once it is known to be a new one.
//!
//! [`super::decode()`] reads what every message is matched by. What stands here is not needed to match a response, an
//! ACK of a refusal or a retransmission, and would cost them as much again. A fault in a header that a method does not
//! need is none (RFC 3261 §8.2): a BYE that is refused for its Contact leaves the other leg up.

use super::fault::Fault;
use super::grammar::{self, Commas};
use super::headers::{Method, Name};
use super::message::Message;
use super::name_addr::NameAddr;

/// A header that holds addresses, and what it is called when one does not read.
type Addresses = (Name, Fault);

const FROM: Addresses = (Name::From, Fault::From);
const TO: Addresses = (Name::To, Fault::To);
const CONTACT: Addresses = (Name::Contact, Fault::Contact);
const RECORD_ROUTE: Addresses = (Name::RecordRoute, Fault::RecordRoute);
const REFER_TO: Addresses = (Name::ReferTo, Fault::ReferTo);

/// The headers that a request of that method is read for beside what every message is matched by.
struct Needs {
    /// These have to read.
    addresses: &'static [Addresses],
    /// These may stand once.
    single: &'static [Name],
    /// It goes on to somebody else, or could come back.
    hops: bool,
}

/// What describes a body, and the headers that an offer or answer is read with.
const BODY: [Name; 2] = [Name::ContentType, Name::ContentDisposition];
const SESSION: [Name; 5] =
    [Name::ContentType, Name::ContentDisposition, Name::SessionExpires, Name::MinSe, Name::Replaces];
const REFERRAL: [Name; 3] = [Name::ReferTo, Name::ReferredBy, Name::ReferSub];
const NEWS: [Name; 3] = [Name::Event, Name::SubscriptionState, Name::ContentType];

impl Needs {
    fn of(method: Method, in_dialog: bool) -> Needs {
        let (addresses, single, hops): (&[Addresses], &[Name], bool) = match method {
            // The route set of its dialog stands (RFC 3261 §12.2).
            Method::Invite if in_dialog => (&[CONTACT], &SESSION, true),
            Method::Invite => (&[FROM, TO, CONTACT, RECORD_ROUTE], &SESSION, true),
            Method::Update => (&[CONTACT], &SESSION, true),
            Method::Refer => (&[REFER_TO], &REFERRAL, true),
            // Of a registration nothing else is of interest.
            Method::Register => (&[FROM, TO, CONTACT], &[Name::Expires], false),
            Method::Notify => (&[], &NEWS, false),
            Method::Info | Method::Ack => (&[], &BODY, false),
            Method::Prack => (&[], &[Name::RAck, Name::ContentType], false),
            // Answered by what they are matched by, whoever wrote the rest.
            Method::Bye
            | Method::Cancel
            | Method::Options
            | Method::Subscribe
            | Method::Message
            | Method::Publish
            | Method::Other => (&[], &[], false),
        };
        // Outside a dialog From and To say who is spoken to, and nobody loses anything by a refusal.
        let addresses = if addresses.is_empty() && !in_dialog { &[FROM, TO] } else { addresses };
        Needs { addresses, single, hops }
    }
}

impl Message<'_> {
    /// Checks what a request is read for: the addresses that it steers by, the headers that may stand once, and
    /// Max-Forwards, each where its method needs it. After this they read. Of a response nothing is checked: what it says of
    /// itself is dropped where it does not read.
    ///
    /// # Errors
    /// What a UAS would answer the request with: 400.
    pub fn check(&self) -> Result<(), Fault> {
        if !self.is_request() {
            return Ok(());
        }
        let needs = Needs::of(self.method(), self.to_tag().is_some());
        if needs.hops && self.header(Name::MaxForwards).is_some() && self.max_forwards().is_none() {
            return Err(Fault::MaxForwards);
        }
        let doubled = |name: &&Name| self.headers(**name).nth(1).is_some();
        let hops = needs.hops.then_some(&Name::MaxForwards);
        if needs.single.iter().chain(hops).any(|name| doubled(&name)) {
            return Err(Fault::StandsTwice);
        }
        let registers = self.method() == Method::Register;
        if let Some(expires) = self.header(Name::Expires).filter(|_| registers) {
            grammar::decimal(expires).ok_or(Fault::Expires)?;
        }
        for (name, fault) in needs.addresses {
            for value in self.headers(*name) {
                check_addresses(*name, value).map_err(|_| *fault)?;
            }
        }
        Ok(())
    }
}

/// The addresses of one header line.
fn check_addresses(name: Name, value: &[u8]) -> Result<(), super::Malformed> {
    // The usual case is one address, and one search tells it. From and To are no lists.
    let is_one = matches!(name, Name::From | Name::To) || memchr::memchr(b',', value).is_none();
    if name == Name::Contact && value == b"*" {
        return Ok(());
    }
    if is_one && !value.is_empty() {
        return NameAddr::parse(value).map(|_| ());
    }
    Commas::new(value).try_for_each(|element| NameAddr::parse(element).map(|_| ()))
}
