//! `attended` with `brief = true`: before the caller is moved, the agent speaks with the target, and the caller is held.
//!
//! Agent and target are a conversation of their own meanwhile: what one asks passes to the other, and re-INVITEs of ours
//! bring them into step. The agent's BYE, its REFER or a request by HTTP completes it; the target's farewell, or a
//! request, gives the caller back to the agent.

use super::attended::AttendedTransfer;
use super::{Machine, Outcome, Scene, Signal, failed};
use crate::call::alone::{Alone, answer_alone};
use crate::call::context::{Context, NOT_ALLOWED, ONE_AT_A_TIME};
use crate::call::conversation::{Conversation, Heard, Partner, let_go};
use crate::call::handoff::report::Referral;
use crate::call::record::Role;
use crate::call::relay::{Relay, patience};
use crate::routing::explain::Cause;
use crate::sip::leg::{Body, InDialogRequest, RequestId, SentId};
use crate::sip::{Content, Event, LegId, Time, identity};
use crate::wire::sdp::on_hold;

/// Why a briefing fails.
const NOT_COMPLETED: &str =
    "The agent's conversation with the target ended before the agent had completed it.";

/// Lets agent and target speak while the caller is held.
#[derive(Debug)]
pub(crate) struct Brief {
    target: LegId,
    /// When it has answered.
    answered: Time,
    /// Agent and target.
    side: Box<Conversation>,
    /// The re-INVITE that holds the caller, until it is answered or that time has come.
    hold: Option<(SentId, Time)>,
}

impl Brief {
    /// Holds the caller; then agent and target are told of each other.
    pub(crate) fn begin(scene: &mut Scene<'_, '_>, agent: LegId, target: LegId) -> Brief {
        let identity = scene.facts.identity_with(target);
        let Scene { cx, conversation, .. } = scene;
        conversation.part(cx);
        let caller = conversation.caller;
        let held = cx.stack.local_sdp(caller).map(on_hold);
        // A caller that is busy just now is not held, and hears nothing all the same: its partner's media goes elsewhere.
        let hold = held.and_then(|sdp| {
            let content = Content { body: Body::Sdp(&sdp), ..Content::default() };
            cx.stack.reinvite(cx.now, caller, content).ok().map(|sent| (sent, patience(cx, [caller])))
        });
        let partner = Partner { leg: target, role: Role::Target };
        let mut side = Box::new(Conversation::new(agent, partner, Relay::new(identity), None));
        side.confirmed = true;
        let mut brief = Brief { target, answered: cx.now.mono, side, hold };
        if hold.is_none() {
            brief.introduce(cx);
        }
        brief
    }

    fn introduce(&mut self, cx: &mut Context<'_>) {
        self.side.want_sdp_sync(cx);
        self.side.tick(cx);
    }

    /// The agent has said what it had to say: the caller is moved.
    pub(crate) fn complete(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        self.end(scene);
        AttendedTransfer::begin(scene, self.target, self.answered)
    }

    /// It is over, and whoever is not let go stays: what is still to be answered is followed.
    fn end(&mut self, scene: &mut Scene<'_, '_>) {
        let caller = scene.caller();
        let Scene { cx, conversation, .. } = scene;
        if let Some((sent, _)) = self.hold {
            conversation.follow(cx, caller, sent);
        }
        self.side.part_ways(cx).for_each(|(leg, sent)| conversation.follow(cx, leg, sent));
    }

    fn failed(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        scene.handoff.because(NOT_COMPLETED);
        self.give_up(scene, "No caller");
        failed(Cause::Failed)
    }

    /// The agent asks by REFER that its brief be completed.
    fn referred(&mut self, scene: &mut Scene<'_, '_>, request: RequestId) -> Outcome {
        let Scene { cx, facts, handoff, conversation } = scene;
        // Who asked by REFER to begin with completes it by its BYE: one REFER has one result.
        if handoff.referral.is_some() {
            cx.refuse_refer(&facts.id, (Role::Agent, request), ONE_AT_A_TIME);
            return Outcome::Wait;
        }
        let agent = conversation.partner.map(|partner| partner.leg);
        let subscription = cx.stack.accept_referral(cx.now, request).unwrap_or_default();
        handoff.referral = agent.map(|leg| Referral::new(leg, subscription));
        self.complete(scene)
    }

    fn hear_side(&mut self, scene: &mut Scene<'_, '_>, heard: Heard) -> Outcome {
        match heard {
            Heard::Nothing | Heard::Confirmed => Outcome::Wait,
            // The agent has hung up, or its leg broke.
            Heard::CallerLeft | Heard::CallerLost { .. } => {
                scene.conversation.drop_partner(scene.cx);
                self.complete(scene)
            }
            Heard::PartnerLeft | Heard::PartnerLost { .. } | Heard::Unanswered => self.failed(scene),
            Heard::Referred { request, by: Role::Caller } => self.referred(scene, request),
            Heard::Referred { request, .. } => {
                scene.cx.refuse_refer(&scene.facts.id, (Role::Target, request), NOT_ALLOWED);
                Outcome::Wait
            }
        }
    }
}

impl Machine for Brief {
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, Signal { event, message }: Signal<'_>) -> Outcome {
        let caller = scene.caller();
        match event {
            // What was under way between caller and agent when they were parted.
            event if scene.conversation.passes(event) => Outcome::NotMine,
            Event::Response { sent, .. } if self.hold.is_some_and(|(hold, _)| hold == sent) => {
                self.hold = None;
                self.introduce(scene.cx);
                Outcome::Wait
            }
            // The caller is held: its session is not for the agent now.
            Event::Request { leg, request, kind: InDialogRequest::Modify | InDialogRequest::Update }
                if leg == caller =>
            {
                answer_alone(scene.cx, (leg, request), Alone::Held);
                Outcome::Wait
            }
            event if event.leg() == caller => Outcome::NotMine,
            event => {
                let heard = self.side.hear(scene.cx, event, message);
                self.hear_side(scene, heard)
            }
        }
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let (now, caller) = (scene.cx.now, scene.caller());
        if scene.handoff.total <= now.mono {
            return self.failed(scene);
        }
        if let Some((sent, _)) = self.hold.take_if(|(_, until)| *until <= now.mono) {
            // Whoever does not even say no is as good as held. It may be answered all the same.
            scene.cx.stack.withdraw(now, caller, sent);
            self.introduce(scene.cx);
            self.side.tick(scene.cx);
            scene.conversation.follow(scene.cx, caller, sent);
        } else {
            self.side.tick(scene.cx);
        }
        Outcome::Wait
    }

    fn deadline(&self, total: Time) -> Option<Time> {
        let hold = self.hold.map(|(_, until)| until);
        [hold, self.side.deadline(), Some(total)].into_iter().flatten().min()
    }

    fn target(&self) -> Option<LegId> {
        Some(self.target)
    }

    fn may_cancel(&self) -> bool {
        true
    }

    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str) {
        self.end(scene);
        let_go(scene.cx, self.target, identity::reason(487, why));
        scene.conversation.reunite(scene.cx);
    }
}
