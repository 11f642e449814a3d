//! Why bytes are not a message: each fault named, with the status and phrase that a UAS would answer it with.

use super::grammar::Malformed;
use super::scan::NoLine;

macro_rules! faults {
    ($($variant:ident = $status:literal $reason:literal),+ $(,)?) => {
        /// Why bytes are not a message. One byte, so that a check that passes costs a register.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = concat!("`", stringify!($status), " ", $reason, "`")] $variant,)+
        }

        impl Fault {
            /// What a UAS would answer a request like that with: 400, 414, 505 or 513.
            pub fn status(self) -> u16 {
                match self { $(Fault::$variant => $status,)+ }
            }

            /// What was wrong, fit for a reason phrase.
            pub fn reason(self) -> &'static str {
                match self { $(Fault::$variant => $reason,)+ }
            }
        }
    };
}

faults! {
    RequestLine = 400 "Malformed Request Line", Method = 400 "Malformed Method", RequestUri = 400 "Malformed Request-URI",
    UriHeaders = 400 "Headers in Request-URI", StatusLine = 400 "Malformed Status Line",
    StatusCode = 400 "Malformed Status Code", Version = 400 "Malformed SIP Version",
    FoldedStartLine = 400 "Folded Start Line", NoColon = 400 "Header Without Colon",
    HeaderName = 400 "Malformed Header Name", StandsTwice = 400 "Header Stands Twice",
    Control = 400 "Control Character in Header", BareFeed = 400 "Line Feed Without Carriage Return",
    Unended = 400 "Headers Do Not End", Value = 400 "Malformed Header",
    NoVia = 400 "Missing Via", NoFrom = 400 "Missing From", NoTo = 400 "Missing To",
    NoCallId = 400 "Missing Call-ID", NoCSeq = 400 "Missing CSeq", NoContentLength = 400 "Missing Content-Length",
    Via = 400 "Malformed Via", From = 400 "Malformed From", To = 400 "Malformed To", CallId = 400 "Malformed Call-ID",
    CSeq = 400 "Malformed CSeq", CSeqRange = 400 "CSeq Out of Range", CSeqMethod = 400 "CSeq Method Mismatch",
    MaxForwards = 400 "Max-Forwards Out of Range", Expires = 400 "Expires Out of Range",
    Contact = 400 "Malformed Contact", RecordRoute = 400 "Malformed Record-Route",
    ReferTo = 400 "Malformed Refer-To", ContentLength = 400 "Malformed Content-Length",
    BodyShort = 400 "Body Shorter Than Content-Length", BodyLong = 400 "Body Longer Than Content-Length",
    LongUri = 414 "Request-URI Too Long", OtherVersion = 505 "Version Not Supported",
    LongMessage = 513 "Message Too Large", LongHead = 513 "Headers Too Large", LongHeader = 513 "Header Too Long",
    ManyHeaders = 513 "Too Many Headers",
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status(), self.reason())
    }
}

impl std::error::Error for Fault {}

impl From<NoLine> for Fault {
    fn from(why: NoLine) -> Self {
        match why {
            NoLine::Unended => Fault::Unended,
            NoLine::BareFeed => Fault::BareFeed,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Fault::Value
    }
}
