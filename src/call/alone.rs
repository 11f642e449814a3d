//! Requests about a session in which nobody else has a part just now: whoever asks is answered with what stands, so that it
//! can hold, resume and move all the same (RFC 3264 §8). Whoever comes next is told what it has said last.

use crate::call::context::Context;
use crate::sip::leg::{Body, InDialogRequest, RequestId};
use crate::sip::{Content, LegId};
use crate::wire::sdp::{as_answer, meets, on_hold, unheld};

/// Why nobody has a part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// Whoever was with it has left, or has not come yet.
    Waiting,
    /// We hold it: its partner speaks with somebody else.
    Held,
}

const NO_STREAM: &str = "its offer has no stream of the session that stands";
const UNDER_WAY: &str = "another offer is under way";
const NOBODY: &str = "nobody is on the other side yet";

/// Answers a re-INVITE or UPDATE with our last session in that leg, in the directions that the offer allows. What shares no
/// stream with that is refused: 488.
pub(crate) fn answer_alone(cx: &mut Context<'_>, (leg, request): (LegId, RequestId), alone: Alone) {
    let repeats = cx.stack.repeats(leg);
    let offer = cx.stack.offer_of(request).map(<[u8]>::to_vec);
    let answer = match (cx.stack.local_sdp(leg), offer) {
        (Some(standing), Some(offer)) if repeats => Ok(as_answer(standing, &offer)),
        (Some(standing), offer) => {
            // The direction that stands may only have answered a hold.
            let own = match alone {
                Alone::Waiting => unheld(standing),
                Alone::Held => on_hold(standing),
            };
            match offer {
                Some(offer) => {
                    Some(as_answer(&own, &offer)).filter(|own| meets(own, &offer)).ok_or((488, NO_STREAM))
                }
                // The turn may be that of another request's offer.
                None if cx.stack.proposed_sdp(leg).is_some() => Err((491, UNDER_WAY)),
                None => Ok(own),
            }
        }
        (None, _) => Err((480, NOBODY)),
    };
    match &answer {
        Ok(sdp) => {
            let content = Content { body: Body::Sdp(sdp), ..Content::default() };
            let _ = cx.stack.respond(cx.now, request, 200, content);
        }
        Err((status, why)) => cx.refuse(request, *status, why),
    }
}

/// Answers a request of a target that is with nobody yet.
pub(crate) fn answer_waiting(cx: &mut Context<'_>, leg: LegId, request: RequestId, kind: InDialogRequest) {
    let (status, why) = match kind {
        InDialogRequest::Modify | InDialogRequest::Update => {
            return answer_alone(cx, (leg, request), Alone::Waiting);
        }
        InDialogRequest::Info => (480, NOBODY),
        // It can be asked again once there is somebody who could be referred.
        InDialogRequest::Refer => (491, NOBODY),
    };
    cx.refuse(request, status, why);
}
