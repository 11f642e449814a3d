//! A peer's side of one dialog: what its requests carry, and what it asks of Baton's (RFC 3261 §12.2). Used by the
//! scripted [`super::peer`] and by the agent of [`super::agent`].

use super::text::Text;
use std::net::SocketAddr;

/// One dialog.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// From of the peer's requests.
    pub(super) local: String,
    /// To of the peer's requests.
    pub(super) remote: String,
    /// Request-URI of the peer's requests.
    pub(super) target: String,
    /// Where the other side listens.
    pub(super) other: SocketAddr,
    own_cseq: u32,
    /// Of the last request of the other side; 0 before the first.
    their_cseq: u32,
}

impl Dialog {
    /// Of a call that this peer makes.
    pub(super) fn calling(
        call_id: String,
        local: String,
        remote: String,
        target: String,
        other: SocketAddr,
    ) -> Dialog {
        Dialog { call_id, local, remote, target, other, own_cseq: 0, their_cseq: 0 }
    }

    /// Of a call that comes, answered with that tag.
    pub(super) fn called(invite: &Text, tag: &str, other: SocketAddr) -> Dialog {
        let header = |name: &str| invite.header(name).unwrap_or_default().to_owned();
        Dialog {
            call_id: header("Call-ID"),
            local: format!("{};tag={tag}", header("To")),
            remote: header("From"),
            target: invite.bracketed("Contact").unwrap_or_default().to_owned(),
            other,
            own_cseq: 0,
            their_cseq: invite.cseq(),
        }
    }

    /// What the answer to the own INVITE tells of the other side (RFC 3261 §12.1.2).
    pub(super) fn answered(&mut self, answer: &Text) {
        self.remote = answer.header("To").unwrap_or_default().to_owned();
        self.target = answer.bracketed("Contact").unwrap_or_default().to_owned();
    }

    /// Whether a message belongs to it.
    pub(super) fn owns(&self, message: &Text) -> bool {
        message.header("Call-ID") == Some(&self.call_id)
    }

    /// The next request inside it, up to CSeq.
    pub(super) fn request(&mut self, method: &str, via: String) -> Text {
        self.own_cseq += 1;
        Text::new(format!("{method} {} SIP/2.0", self.target))
            .with("Via", via)
            .with("Max-Forwards", "70")
            .with("From", self.local.clone())
            .with("To", self.remote.clone())
            .with("Call-ID", self.call_id.clone())
            .with("CSeq", format!("{} {method}", self.own_cseq))
    }

    /// The value of Replaces that names this dialog to a third party who shall take the other side's place in it: the
    /// tags as the receiver of that INVITE, this peer, knows them (RFC 3891 §3).
    pub(super) fn replaces(&self) -> String {
        format!("{};to-tag={};from-tag={}", self.call_id, tag_of(&self.local), tag_of(&self.remote))
    }

    /// What RFC 3261 §12.2.2 asks of a request inside it, and that it was sent to `contact`.
    ///
    /// # Errors
    /// What was expected, and what came.
    pub(super) fn check(&mut self, request: &Text, contact: &str) -> Result<(), (String, String)> {
        if request.tag("To").unwrap_or_default() != tag_of(&self.local)
            || request.tag("From").unwrap_or_default() != tag_of(&self.remote)
        {
            return Err(("its dialog's tags".to_owned(), format!("{} has others", request.start)));
        }
        if !contact.contains(&format!("<{}>", request.uri())) {
            return Err((format!("{contact} as Request-URI"), request.start.clone()));
        }
        let rises = if request.method() == "ACK" {
            request.cseq() == self.their_cseq
        } else {
            request.cseq() > self.their_cseq
        };
        if !rises {
            return Err(("a CSeq that rises".to_owned(), format!("{} {}", request.start, request.cseq())));
        }
        self.their_cseq = request.cseq();
        Ok(())
    }
}

fn tag_of(value: &str) -> &str {
    value.rsplit_once(";tag=").map_or("", |(_, tag)| tag)
}
