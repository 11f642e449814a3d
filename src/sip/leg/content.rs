//! What a message that we make carries beside what its dialog gives it.

use crate::wire::Message;
use crate::wire::headers::APPLICATION_SDP;

/// A header that a handoff or the product adds: already validated and expanded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Field {
    /// As it is to be written.
    pub name: Box<str>,
    /// Without control characters.
    pub value: Box<str>,
}

/// The body of a message that we make.
#[derive(Clone, Copy, Debug, Default)]
pub enum Body<'a> {
    /// Content-Length: 0.
    #[default]
    None,
    /// The body (and Content-Type) of [`Content::copy`]; SDP gets this dialog's continuous `o=`.
    Copied,
    /// An SDP body; gets this dialog's continuous `o=` (RFC 3264 §8).
    Sdp(&'a [u8]),
    /// Anything else, as it is: Content-Type, body.
    Other(&'a [u8], &'a [u8]),
}

/// What a message that we make carries beside what its dialog gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// End-to-end headers are copied from here: `X-*`, User-to-User, Diversion, History-Info, Reason, Warning,
    /// Alert-Info, Call-Info, Subject, Session-ID … (the list stands in `leg/carry`). Never dialog, routing,
    /// authentication or content headers.
    pub copy: Option<&'a Message<'a>>,
    /// Whether P-Asserted-Identity and Privacy are copied too: both sides are trusted.
    pub identity: bool,
    /// Added; a name that stands here is not copied from `copy`.
    pub fields: &'a [Field],
    /// SDP, anything else with its type, a copy of `copy`'s, or none.
    pub body: Body<'a>,
}

/// A body as it goes out, Content-Type and bytes; `dressed` is its SDP as the dialog sends it.
pub(super) fn body_of<'a>(content: &Content<'a>, dressed: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    match content.body {
        Body::None => None,
        Body::Sdp(_) => Some((APPLICATION_SDP.as_bytes(), dressed)),
        Body::Other(content_type, body) => Some((content_type, body)),
        Body::Copied => {
            let message = content.copy.filter(|message| !message.body().is_empty())?;
            if message.has_sdp() {
                return Some((APPLICATION_SDP.as_bytes(), dressed));
            }
            Some((message.content_type()?, message.body()))
        }
    }
}

/// The SDP that `content` carries.
pub(super) fn sdp_of<'a>(content: &Content<'a>) -> Option<&'a [u8]> {
    match content.body {
        Body::None | Body::Other(..) => None,
        Body::Sdp(sdp) => Some(sdp),
        Body::Copied => content.copy.filter(|message| message.has_sdp()).map(|message| message.body()),
    }
}
