//! Replaces (RFC 3891): how somebody else takes over our place in a dialog.

use super::Leg;
use crate::wire::headers;
use crate::wire::uri::encode_embedded;
use crate::wire::{Name, Uri};

impl Leg {
    /// What [`crate::sip::Stack::replaces`] tells.
    pub(crate) fn replaces(&self) -> Option<String> {
        if !self.is_answered() {
            return None;
        }
        let parts = self.dialog.parts();
        let target = Uri::parse(parts.target).ok().filter(Uri::is_sip)?;
        // What its Contact embeds is for whoever calls it, and not ours to pass on.
        let end = if target.headers.is_empty() {
            parts.target.len()
        } else {
            memchr::memchr(b'?', parts.target).unwrap_or(parts.target.len())
        };
        let mut uri = parts.target[..end].to_vec();
        uri.push(b'?');
        uri.extend_from_slice(Name::Replaces.as_str().as_bytes());
        uri.push(b'=');
        let value = [parts.call_id, b";to-tag=", parts.remote_tag, b";from-tag=", parts.local_tag].concat();
        encode_embedded(&mut uri, &value);
        uri.push(b'&');
        uri.extend_from_slice(Name::Require.as_str().as_bytes());
        uri.push(b'=');
        uri.extend_from_slice(headers::REPLACES.as_bytes());
        String::from_utf8(uri).ok()
    }
}
