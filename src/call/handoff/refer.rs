//! One REFER in the caller leg, from its sending to what is known of its result (RFC 3515).
//!
//! 2xx is acceptance only; the result is what NOTIFY tells, which may come before the 2xx. A REFER cannot be
//! cancelled: silence is no refusal, and a late result counts. The machine says what came of it by [`Verdict`]; what
//! to do then is the business of its phase.

use super::{Handoff, Plan, Way};
use crate::call::context::Context;
use crate::call::decision::placed;
use crate::call::facts::Facts;
use crate::call::record::HandoffState;
use crate::routing::explain::{self, Cause, Where};
use crate::routing::headers;
use crate::routing::profile::{Notify200, Placement};
use crate::routing::table::{OUTCOME_CAP, Route};
use crate::sip::leg::SentId;
use crate::sip::leg::refer::Refer;
use crate::sip::stack::NotSent;
use crate::sip::subscription::News;
use crate::sip::{Event, Field, LegId, Origin, Time};
use crate::wire::Message;
use std::time::Duration;

/// How often a REFER that met a 491 is tried again.
const GLARE_RETRIES: u8 = 3;

/// Where the attempt stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// No final response yet. `told`: a NOTIFY came before it.
    Sent { sent: SentId, until: Time, told: bool },
    /// A 481 is checked by an OPTIONS in the dialog.
    Checking { probe: SentId },
    /// A 491: the next REFER goes out at `at` (RFC 3261 §14.1).
    Glare { at: Time },
    /// 2xx. The result is due at `until`, which starts again at each provisional NOTIFY, up to `cap`.
    Accepted { sent: SentId, until: Time, cap: Time },
    /// The peer hung up after the 2xx: only a NOTIFY can tell now.
    Left { sent: SentId, until: Time },
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) state: State,
    retries: u8,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not about this attempt.
    NotMine,
    /// It goes on.
    Wait,
    /// A final 2xx NOTIFY that the profile believes.
    Succeeded,
    /// A final status that is a failure.
    Failed(Cause),
    /// Accepted or unanswered, and nothing tells the result. With the REFER that may still be answered late.
    Unknown(SentId),
    /// The receiver has forgotten the dialog: the caller leg is over.
    LegOver,
}

impl Attempt {
    /// Sends the REFER and opens the attempt.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
    ) -> Result<Attempt, Cause> {
        let sip_call_id = Some(facts.sip_call_id.to_string());
        handoff.attempt(cx, Way::Refer, HandoffState::Referring, sip_call_id);
        let state = send(cx, facts, handoff, caller)?;
        Ok(Attempt { state, retries: 0 })
    }

    /// The REFER again after a 491: a retry is a new attempt in the record.
    fn again(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
    ) -> Verdict {
        handoff.attempt(cx, Way::Refer, HandoffState::Referring, Some(facts.sip_call_id.to_string()));
        self.retries += 1;
        match send(cx, facts, handoff, caller) {
            Ok(state) => {
                self.state = state;
                Verdict::Wait
            }
            Err(cause) => Verdict::Failed(cause),
        }
    }

    /// A REFER that was given up and is answered after all.
    pub(crate) fn resumed(sent: SentId, now: Time, handoff: &Handoff) -> Attempt {
        let cap = now + OUTCOME_CAP;
        let until = (now + handoff.plan.destination.timeouts.outcome).min(cap);
        let answered = handoff.view.attempts.last().and_then(|a| a.status).is_some_and(|s| s < 300);
        let state = if answered {
            State::Accepted { sent, until, cap }
        } else {
            State::Sent { sent, until, told: false }
        };
        Attempt { state, retries: GLARE_RETRIES }
    }

    /// `timeouts.total` has passed.
    pub(crate) fn give_up(&mut self) -> Verdict {
        match self.state {
            State::Sent { sent, .. } | State::Accepted { sent, .. } | State::Left { sent, .. } => {
                Verdict::Unknown(sent)
            }
            State::Checking { .. } | State::Glare { .. } => Verdict::Failed(Cause::Failed),
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        match self.state {
            State::Sent { until, .. } | State::Accepted { until, .. } | State::Left { until, .. } => until,
            State::Glare { at } => at,
            // The probe is a transaction and ends by itself.
            State::Checking { .. } => Time(u64::MAX),
        }
    }

    /// Whether the receiver has taken the REFER.
    pub(crate) fn is_accepted(&self) -> bool {
        match self.state {
            State::Accepted { .. } | State::Left { .. } => true,
            State::Sent { told, .. } => told,
            State::Checking { .. } | State::Glare { .. } => false,
        }
    }

    /// The peer hung up after the 2xx: the record stays open for a NOTIFY.
    pub(crate) fn left(&mut self) {
        match self.state {
            State::Accepted { sent, until, .. } | State::Sent { sent, until, .. } => {
                self.state = State::Left { sent, until };
            }
            State::Checking { .. } | State::Glare { .. } | State::Left { .. } => {}
        }
    }

    /// A deadline may have come.
    pub(crate) fn tick(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
    ) -> Verdict {
        if self.deadline() > cx.now.mono {
            return Verdict::Wait;
        }
        match self.state {
            State::Sent { sent, told, .. } => {
                if !told {
                    handoff.answered(408, crate::wire::reason_phrase(408), Origin::Local);
                }
                Verdict::Unknown(sent)
            }
            State::Accepted { sent, .. } | State::Left { sent, .. } => Verdict::Unknown(sent),
            State::Glare { .. } => self.again(cx, facts, handoff, caller),
            State::Checking { .. } => Verdict::Wait,
        }
    }

    /// One event of the caller leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        handoff: &mut Handoff,
        caller: LegId,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Verdict {
        match (self.state, event) {
            (State::Sent { sent, told, .. }, Event::Response { sent: which, status, origin, .. })
                if which == sent =>
            {
                let reason = message.map_or(crate::wire::reason_phrase(status).into(), |m| {
                    String::from_utf8_lossy(m.reason()).into_owned()
                });
                handoff.answered(status, &reason, origin);
                self.responded(cx, handoff, caller, (sent, told), status, origin)
            }
            (State::Checking { probe }, Event::Response { sent, status, .. }) if sent == probe => {
                if status == 481 { Verdict::LegOver } else { Verdict::Failed(Cause::Refused) }
            }
            (
                State::Sent { sent, .. } | State::Accepted { sent, .. } | State::Left { sent, .. },
                Event::Notified { refer, news, .. },
            ) if refer == sent => self.notified(cx, handoff, news),
            _ => Verdict::NotMine,
        }
    }

    fn responded(
        &mut self,
        cx: &mut Context<'_>,
        handoff: &mut Handoff,
        caller: LegId,
        (sent, told): (SentId, bool),
        status: u16,
        origin: Origin,
    ) -> Verdict {
        match status {
            200..=299 => {
                let outcome = handoff.plan.destination.timeouts.outcome;
                let (until, cap) = (cx.now.mono + outcome, cx.now.mono + OUTCOME_CAP);
                self.state = State::Accepted { sent, until: until.min(cap), cap };
                Verdict::Wait
            }
            // The transaction timed out: silence is no refusal.
            408 if origin == Origin::Local => Verdict::Unknown(sent),
            // A NOTIFY has shown that the receiver works on it; what the response says then is not the result.
            _ if told => Verdict::Wait,
            481 => match cx.stack.probe(cx.now, caller) {
                Ok(probe) => {
                    self.state = State::Checking { probe };
                    Verdict::Wait
                }
                Err(_) => Verdict::LegOver,
            },
            491 if self.retries < GLARE_RETRIES => {
                handoff.attempt_failed(cx, Cause::Refused, "refer");
                // RFC 3261 §14.1: the caller's side made the Call-ID, so ours is the short wait.
                let wait = Duration::from_millis(u64::from(cx.ident.millis_below(2000)));
                self.state = State::Glare { at: cx.now.mono + wait };
                Verdict::Wait
            }
            _ => match explain::cause(status, Where::ReferResponse) {
                Some(cause) => Verdict::Failed(cause),
                None => Verdict::Failed(Cause::Failed),
            },
        }
    }

    fn notified(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff, news: News) -> Verdict {
        let (State::Sent { sent, .. } | State::Accepted { sent, .. } | State::Left { sent, .. }) = self.state
        else {
            return Verdict::NotMine;
        };
        if let Some(status) = news.status.filter(|s| *s >= 200) {
            if let Some(attempt) = handoff.last() {
                attempt.final_status = Some(status);
            }
            return match (explain::cause(status, Where::Notify), handoff.plan.profile.notify_200) {
                (Some(cause), _) => Verdict::Failed(cause),
                (None, Notify200::Reported) => Verdict::Succeeded,
                // Its 200 proves no more than that it has begun.
                (None, Notify200::Accepted) => Verdict::Unknown(sent),
            };
        }
        let status = news.status.filter(|s| *s > 100);
        handoff.progress(cx, HandoffState::Referring, status);
        match &mut self.state {
            State::Sent { told, until, .. } => {
                // It works on it: from now on the result is due, not the response.
                *told = true;
                *until = (*until).max(cx.now.mono + handoff.plan.destination.timeouts.outcome);
            }
            State::Accepted { until, cap, .. } => {
                if news.terminated {
                    return Verdict::Unknown(sent);
                }
                *until = (cx.now.mono + handoff.plan.destination.timeouts.outcome).min(*cap);
            }
            State::Left { .. } if news.terminated => return Verdict::Unknown(sent),
            State::Left { .. } | State::Checking { .. } | State::Glare { .. } => {}
        }
        Verdict::Wait
    }
}

fn send(cx: &mut Context<'_>, facts: &Facts, handoff: &mut Handoff, caller: LegId) -> Result<State, Cause> {
    let Some(route) = &handoff.plan.route else { return Err(Cause::Failed) };
    let placement = placed(handoff.plan.profile.header_placement, route);
    let refer_to = refer_to(facts, &handoff.plan, route, placement);
    let advertised = cx.advertised(cx.stack.peer(caller));
    let referred_by = handoff
        .plan
        .profile
        .referred_by
        .then(|| format!("<sip:{}@{advertised}>", headers::user_part(&facts.called)));
    let fields: &[Field] = if placement.on_request() { &handoff.plan.fields } else { &[] };
    let refer = Refer {
        refer_to: refer_to.as_bytes(),
        referred_by: referred_by.as_deref().map(str::as_bytes),
        fields,
        max_forwards: 70,
    };
    let sent = cx.stack.refer(cx.now, caller, refer);
    let until = cx.now.mono + handoff.plan.destination.timeouts.response;
    if let Some(attempt) = handoff.last() {
        attempt.refer_to = Some(refer_to);
    }
    match sent {
        Ok(sent) => Ok(State::Sent { sent, until, told: false }),
        Err(NotSent::Gone | NotSent::Pending) => Err(Cause::Failed),
    }
}

/// The value of Refer-To: always in `<>`, without `;method=INVITE`.
fn refer_to(facts: &Facts, plan: &Plan, route: &Route, placement: Placement) -> String {
    let uri = route.refer_uri(&facts.trunk, plan.profile.refer_to_host.as_deref());
    if !placement.in_refer_to() {
        return format!("<{uri}>");
    }
    let fields = plan.fields.iter().map(|field| (&*field.name, &*field.value));
    format!("<{}>", headers::embed(&uri, fields))
}
