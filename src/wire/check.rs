//! The second look at a request: the grammar of the addresses that it steers by, once it is known to be a new one.
//!
//! [`super::decode()`] reads what every message is matched by. What stands here is not needed to match a response, an
//! ACK of a refusal or a retransmission, and would cost them as much again.

use super::fault::Fault;
use super::grammar::{self, Commas};
use super::headers::Name;
use super::message::Message;
use super::name_addr::NameAddr;

/// The headers that hold addresses, and what it is called when one does not read.
const ADDRESSES: [(Name, Fault); 6] = [
    (Name::From, Fault::From),
    (Name::To, Fault::To),
    (Name::Contact, Fault::Contact),
    (Name::Route, Fault::Route),
    (Name::RecordRoute, Fault::RecordRoute),
    (Name::ReferTo, Fault::ReferTo),
];

impl Message<'_> {
    /// Checks what a request steers by: its From, To, Contact, Route, Record-Route, Refer-To and Expires. After this, they
    /// read. Of a response nothing is checked: what it says of itself is dropped where it does not read.
    ///
    /// # Errors
    /// What a UAS would answer the request with: 400.
    pub fn check(&self) -> Result<(), Fault> {
        if !self.is_request() {
            return Ok(());
        }
        if let Some(value) = self.header(Name::Expires) {
            grammar::decimal(value).ok_or(Fault::Expires)?;
        }
        for (name, fault) in ADDRESSES {
            for value in self.headers(name) {
                check_addresses(name, value).map_err(|_| fault)?;
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
