//! `attended` with `brief = true`: before the caller is moved, the agent speaks with the target, and the caller is held.
//!
//! Agent and target are a conversation of their own meanwhile: what one asks passes to the other, and re-INVITEs of ours
//! bring them into step. The agent's BYE, its REFER or a request by HTTP completes it; the target's farewell, or a
//! request, gives the caller back to the agent.

use super::way::Outcome;
use crate::call::alone::{Alone, answer_alone};
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Heard, Partner};
use crate::call::record::Role;
use crate::call::relay::{Relay, patience};
use crate::routing::explain::Cause;
use crate::sip::leg::{Body, InDialogRequest, SentId};
use crate::sip::{Content, Event, LegId, Time};
use crate::wire::Message;
use crate::wire::sdp::on_hold;

/// Lets agent and target speak while the caller is held.
#[derive(Debug)]
pub(crate) struct Brief {
    caller: LegId,
    pub(crate) target: LegId,
    /// When it has answered.
    pub(crate) answered: Time,
    /// Agent and target.
    side: Conversation,
    /// The re-INVITE that holds the caller, until it is answered or that time has come.
    hold: Option<(SentId, Time)>,
}

impl Brief {
    /// Holds the caller; then agent and target are told of each other.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        conversation: &Conversation,
        agent: LegId,
        target: LegId,
        identity: bool,
    ) -> Brief {
        let caller = conversation.caller;
        let held = cx.stack.local_sdp(caller).map(on_hold);
        // A caller that is busy just now is not held, and hears nothing all the same: its partner's media goes elsewhere.
        let hold = held.and_then(|sdp| {
            let content = Content { body: Body::Sdp(&sdp), ..Content::default() };
            cx.stack.reinvite(cx.now, caller, content).ok().map(|sent| (sent, patience(cx, [caller])))
        });
        let partner = Partner { leg: target, role: Role::Target };
        let mut side = Conversation::new(agent, partner, Relay::new(identity), None);
        side.confirmed = true;
        let mut brief = Brief { caller, target, answered: cx.now.mono, side, hold };
        if hold.is_none() {
            brief.introduce(cx);
        }
        brief
    }

    fn introduce(&mut self, cx: &mut Context<'_>) {
        self.side.want_sdp_sync(cx);
        self.side.tick(cx);
    }

    /// It is over, and whoever is not let go stays: what is still to be answered.
    pub(crate) fn end(self, cx: &mut Context<'_>) -> impl Iterator<Item = (LegId, SentId)> + use<> {
        let hold = self.hold.map(|(sent, _)| (self.caller, sent));
        hold.into_iter().chain(self.side.part_ways(cx))
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let hold = self.hold.map(|(_, until)| until);
        [hold, self.side.deadline()].into_iter().flatten().min()
    }

    /// A deadline may have come. A hold that nobody waits for any more is told: it may be answered all the same.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) -> Option<SentId> {
        let late = self.hold.take_if(|(_, until)| *until <= cx.now.mono).map(|(sent, _)| sent);
        if let Some(sent) = late {
            // Whoever does not even say no is as good as held.
            cx.stack.withdraw(cx.now, self.caller, sent);
            self.introduce(cx);
        }
        self.side.tick(cx);
        late
    }

    /// One event of any leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Outcome {
        match event {
            Event::Response { sent, .. } if self.hold.is_some_and(|(hold, _)| hold == sent) => {
                self.hold = None;
                self.introduce(cx);
                Outcome::Wait
            }
            // The caller is held: its session is not for the agent now.
            Event::Request { leg, request, kind: InDialogRequest::Modify | InDialogRequest::Update }
                if leg == self.caller =>
            {
                answer_alone(cx, (leg, request), Alone::Held);
                Outcome::Wait
            }
            event if event.leg() == self.caller => Outcome::NotMine,
            event => match self.side.hear(cx, event, message) {
                Heard::Nothing | Heard::Confirmed => Outcome::Wait,
                Heard::CallerLeft | Heard::CallerLost { .. } => Outcome::Briefed { gone: true },
                Heard::PartnerLeft | Heard::PartnerLost { .. } | Heard::Unanswered => {
                    Outcome::Failed(Cause::Failed)
                }
                Heard::Referred { request, by: Role::Caller } => Outcome::Referred(request),
                Heard::Referred { request, .. } => Outcome::Declined(request),
            },
        }
    }
}
