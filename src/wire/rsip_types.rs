//! Conversions between Baton's types and those of `rsip`, for users of the library. The only file that names `rsip`.
//!
//! No network input reaches `rsip` through here: only values that the decoder has already read.

use super::headers::Method;

/// The `rsip` method of the same name; `None` for those it does not know.
pub fn to_method(method: Method) -> Option<rsip::Method> {
    Some(match method {
        Method::Invite => rsip::Method::Invite,
        Method::Ack => rsip::Method::Ack,
        Method::Bye => rsip::Method::Bye,
        Method::Cancel => rsip::Method::Cancel,
        Method::Options => rsip::Method::Options,
        Method::Prack => rsip::Method::PRack,
        Method::Update => rsip::Method::Update,
        Method::Info => rsip::Method::Info,
        Method::Refer => rsip::Method::Refer,
        Method::Notify => rsip::Method::Notify,
        Method::Subscribe => rsip::Method::Subscribe,
        Method::Register => rsip::Method::Register,
        Method::Message => rsip::Method::Message,
        Method::Publish => rsip::Method::Publish,
        Method::Other => return None,
    })
}

/// Baton's method of the same name.
pub fn from_method(method: rsip::Method) -> Method {
    match method {
        rsip::Method::Invite => Method::Invite,
        rsip::Method::Ack => Method::Ack,
        rsip::Method::Bye => Method::Bye,
        rsip::Method::Cancel => Method::Cancel,
        rsip::Method::Options => Method::Options,
        rsip::Method::PRack => Method::Prack,
        rsip::Method::Update => Method::Update,
        rsip::Method::Info => Method::Info,
        rsip::Method::Refer => Method::Refer,
        rsip::Method::Notify => Method::Notify,
        rsip::Method::Subscribe => Method::Subscribe,
        rsip::Method::Register => Method::Register,
        rsip::Method::Message => Method::Message,
        rsip::Method::Publish => Method::Publish,
    }
}

/// The `rsip` status code of that number.
pub fn to_status_code(status: u16) -> rsip::StatusCode {
    rsip::StatusCode::from(status)
}

/// The number of a `rsip` status code.
pub fn from_status_code(status: &rsip::StatusCode) -> u16 {
    status.code()
}
