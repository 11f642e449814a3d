//! Requests of one leg that were passed to another, and wait for its answer.

use super::context::Context;
use crate::sip::leg::{Body, RequestId, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, LegId};
use crate::wire::Message;
use smallvec::SmallVec;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    request: RequestId,
    /// The leg that it was passed to.
    pub(crate) to: LegId,
    sent: SentId,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Passing {
    open: SmallVec<[Pass; 1]>,
    /// PAI and Privacy pass.
    identity: bool,
}

impl Passing {
    pub(crate) fn new(identity: bool) -> Passing {
        Passing { open: SmallVec::new(), identity }
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Passes a request, or answers it because it cannot be passed now.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_>, request: RequestId, to: LegId, message: &Message<'_>) {
        match cx.stack.pass(cx.now, to, message, self.identity) {
            Ok(sent) => self.open.push(Pass { request, to, sent }),
            Err(NotSent::Pending) => {
                let _ = cx.stack.respond(cx.now, request, 491, Content::default());
            }
            Err(NotSent::Gone) => {
                let _ = cx.stack.respond(cx.now, request, 480, Content::default());
            }
        }
    }

    /// Whoever asked takes it back. True if it was passed.
    pub(crate) fn withdraw(&mut self, cx: &mut Context<'_>, request: RequestId) -> bool {
        let Some(at) = self.open.iter().position(|pass| pass.request == request) else { return false };
        let pass = self.open.remove(at);
        cx.stack.withdraw(cx.now, pass.to, pass.sent);
        true
    }

    /// Whether a response to that is waited for.
    pub(crate) fn has(&self, sent: SentId) -> bool {
        self.open.iter().any(|pass| pass.sent == sent)
    }

    /// What a response belongs to.
    pub(crate) fn take(&mut self, sent: SentId) -> Option<Pass> {
        let at = self.open.iter().position(|pass| pass.sent == sent)?;
        Some(self.open.remove(at))
    }

    /// Passes an answer back. 481 and 408 end the dialog that they come in, and only that one (RFC 3261 §12.2.1.2), so
    /// whoever asked gets 480. True if it was sent.
    pub(crate) fn answer(
        &self,
        cx: &mut Context<'_>,
        pass: Pass,
        status: u16,
        message: Option<&Message<'_>>,
    ) -> bool {
        let broken = matches!(status, 408 | 481);
        let content = match broken {
            true => Content::default(),
            false => {
                let identity = self.identity;
                Content { copy: message, identity, fields: &[], body: Body::Copied }
            }
        };
        let passed = if broken { 480 } else { status };
        cx.stack.respond(cx.now, pass.request, passed, content).is_ok()
    }

    /// A leg is gone: what waits for it is answered, and its own requests are forgotten.
    pub(crate) fn drop_leg(&mut self, cx: &mut Context<'_>, leg: LegId) {
        let waiting: SmallVec<[Pass; 1]> = self.open.drain(..).collect();
        for pass in waiting.iter().filter(|pass| pass.to == leg) {
            // 480, not 481: the peer that asked keeps its dialog.
            let _ = cx.stack.respond(cx.now, pass.request, 480, Content::default());
        }
    }
}
