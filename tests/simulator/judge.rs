//! No caller is left without a partner while an allowed next step was untried: every step that a handoff took is compared
//! with the one that the table asks for, and where it ended without one, none may have been left.

use super::book::{Call, Failure, Handoff};
use super::invariants::Tables;
use super::ladder::{Footing, Ladder, Next};
use super::tables::Table;
use baton::call::ids::SipCallId;
use baton::call::record::{AttemptView, HandoffState};
use std::time::Duration;

/// How often a REFER that met a 491 is tried again.
const GLARES: usize = 3;

struct Way<'a> {
    table: &'a Table,
    call: &'a Call,
    handoff: &'a Handoff,
    ladder: Ladder<'a>,
    /// Glares of the REFER in a row.
    glares: usize,
    /// What has to follow the last failure.
    next: Option<Next>,
}

fn method(name: &str) -> &'static str {
    ["refer", "invite", "attended", "bye", "redirect"].into_iter().find(|known| *known == name).unwrap_or("?")
}

/// Compares each step that a handoff took with the one that its table asks for.
pub fn handoff(
    tables: Tables<'_>,
    call: &Call,
    handoff: &Handoff,
    next: Option<&Handoff>,
) -> Result<(), String> {
    let Some((_, view, _)) = &handoff.ended else { return Ok(()) };
    let Some(table) = tables.versions.get(&view.table_version) else { return Err("of no table".to_owned()) };
    let Some(first) = view.attempts.first() else { return Ok(()) };
    let mut way = Way {
        table,
        call,
        handoff,
        ladder: Ladder::new(table, &view.destination, method(&first.method)),
        glares: 0,
        next: None,
    };
    let revived = is_revived(handoff, &view.attempts);
    for (place, failure) in handoff.failures.iter().enumerate() {
        if way.is_untimed(failure) {
            return Ok(());
        }
        let before = place.checked_sub(1).and_then(|place| handoff.failures.get(place));
        let judged = way.untold(before, failure, &view.attempts);
        match judged.and_then(|()| way.follow(failure, &view.attempts)) {
            Ok(()) => {}
            // Steps are compared up to where a late answer took some of them back.
            Err(_) if revived => {
                let hangs_up = handoff.failures.last().is_some_and(|last| last.next == "hangup");
                way.next = hangs_up.then_some(Next::Hangup);
                break;
            }
            Err(why) => return Err(why),
        }
    }
    way.untold_end(&view.attempts).or_else(|why| if revived { Ok(()) } else { Err(why) })?;
    way.ends_well(tables, next)
}

/// A REFER that was given up has spoken after all.
fn is_revived(handoff: &Handoff, attempts: &[AttemptView]) -> bool {
    let numbers: Vec<usize> = handoff.failures.iter().map(|failure| failure.number).collect();
    let back = numbers.windows(2).any(|pair| pair[1] <= pair[0]);
    let open = attempts.iter().rev().skip(1).any(|attempt| attempt.cause.is_none());
    back || open
}

impl Way<'_> {
    fn footing(&self, failure: &Failure) -> Footing {
        let total = self.table.destinations.get(&*self.handoff.first.destination).map_or(0, |d| d.total);
        let time = failure.at.since(self.handoff.started) < Duration::from_millis(total);
        Footing { partner: failure.partner, answered: failure.answered, time }
    }

    /// Baton has stood still, and it is not known here which part of that it leaves out of `total`.
    fn is_untimed(&self, failure: &Failure) -> bool {
        let total = self.table.destinations.get(&*self.handoff.first.destination).map_or(0, |d| d.total);
        let passed = failure.at.since(self.handoff.started);
        let total = Duration::from_millis(total);
        passed >= total && passed.saturating_sub(failure.stood) < total
    }

    /// A REFER that was to be tried again after a glare was not, because its target went meanwhile: one WARN for each
    /// attempt, so this failure is told by the record alone.
    fn untold(
        &mut self,
        before: Option<&Failure>,
        failure: &Failure,
        attempts: &[AttemptView],
    ) -> Result<(), String> {
        let Some(before) = before.filter(|before| self.glares > 0 && before.number < failure.number) else {
            return Ok(());
        };
        let following = attempts.get(before.number);
        let again =
            following.is_some_and(|a| *a.destination == *before.destination && *a.method == *before.method);
        let cause = attempts.get(before.number - 1).and_then(|attempt| attempt.cause.clone());
        let Some(cause) = cause.filter(|_| !again) else { return Ok(()) };
        self.glares = 0;
        if self.bridges(before, attempts) {
            return Ok(());
        }
        self.silently(before, &cause, following, self.footing(before))
    }

    /// The same where nothing was tried after it.
    fn untold_end(&mut self, attempts: &[AttemptView]) -> Result<(), String> {
        let last =
            self.handoff.failures.last().filter(|last| self.glares > 0 && last.number == attempts.len());
        let cause = attempts.last().and_then(|attempt| attempt.cause.clone());
        let (Some(last), Some(cause)) = (last, cause) else { return Ok(()) };
        self.silently(last, &cause, None, self.footing(last))
    }

    fn follow(&mut self, failure: &Failure, attempts: &[AttemptView]) -> Result<(), String> {
        let following = attempts.get(failure.number);
        let same = |method: &str| {
            following.is_some_and(|next| *next.destination == *failure.destination && next.method == method)
        };
        let refers = matches!(&*failure.method, "refer" | "attended");
        if failure.method == "refer"
            && matches!(failure.status, Some(408 | 504))
            && failure.reported.is_none()
            && failure.cause != "unknown"
        {
            // Whoever made it: it is silence, one hop further.
            return Err(format!("a REFER that nobody answered is not known to have failed: {failure:?}"));
        }
        if failure.status == Some(491) && refers && failure.next == "refer" && self.glares < GLARES {
            self.glares += 1;
            self.next = None;
            return Ok(());
        }
        self.glares = 0;
        // What may still be carried out is no refusal: only a step that is named for it joins the target.
        if failure.next == "invite" && failure.cause != "unknown" && self.bridges(failure, attempts) {
            return Ok(());
        }
        let on = self.footing(failure);
        let session = matches!(failure.status, Some(488 | 606)) && failure.next == "invite";
        if session && matches!(&*failure.method, "invite" | "attended") && failure.answered {
            self.ladder.note(&failure.destination, "invite");
            if same("invite") {
                self.next = None;
                return Ok(());
            }
            // The caller had nothing fresh to offer: that is a refusal.
            return self.silently(failure, "refused", following, on);
        }
        let expected = self.ladder.next(&failure.destination, &failure.cause, on);
        let mut name = expected.name(&failure.destination);
        if expected == Next::None && on.partner && on.answered && failure.cause != "unknown" {
            "agent".clone_into(&mut name);
        }
        if self.was_ended(failure) {
            self.next = None;
            return Ok(());
        }
        if name != failure.next {
            return Err(format!("{name} should have followed: {failure:?}"));
        }
        if name == "agent" && on.partner {
            return self.returns(failure, following, on);
        }
        self.ladder.take(&failure.destination, &failure.cause, on);
        self.next = Some(expected);
        Ok(())
    }

    /// The caller gets the agent back, who may leave just then: what would have followed without an agent does.
    fn returns(
        &mut self,
        failure: &Failure,
        following: Option<&AttemptView>,
        on: Footing,
    ) -> Result<(), String> {
        let alone = Footing { partner: false, ..on };
        let then = self.ladder.next(&failure.destination, &failure.cause, alone);
        let left = self.handoff.ended.as_ref().is_some_and(|(_, view, _)| view.state == HandoffState::Failed);
        if following.is_none() && !left {
            self.next = Some(Next::Agent);
            return Ok(());
        }
        let fits = following.is_none_or(|next| match &then {
            Next::Try(id, method) => *next.destination == **id && next.method == *method,
            Next::Bye => next.method == "bye",
            Next::Agent | Next::Hangup | Next::None => false,
        });
        if !fits {
            return Err(format!("{then:?} should have followed when the agent left: {failure:?}"));
        }
        self.ladder.take(&failure.destination, &failure.cause, alone);
        self.next = Some(then);
        Ok(())
    }

    /// The REFER of `attended` failed, and the target that has answered already is joined: it is named again.
    fn bridges(&mut self, failure: &Failure, attempts: &[AttemptView]) -> bool {
        let Some(following) = attempts.get(failure.number) else { return false };
        let here = *following.destination == *failure.destination && &*following.method == "invite";
        let before = &attempts[..failure.number];
        let called = |id: &SipCallId| before.iter().any(|one| one.sip_call_id.as_ref() == Some(id));
        let bridges =
            failure.method == "attended" && here && following.sip_call_id.as_ref().is_some_and(called);
        if bridges {
            self.ladder.note(&failure.destination, "invite");
            self.next = None;
        }
        bridges
    }

    /// The attempt was broken off by something else than its failure: there is no ladder then.
    fn was_ended(&self, failure: &Failure) -> bool {
        let Some((at, view, _)) = &self.handoff.ended else { return true };
        failure.next == "none"
            && *at == failure.at
            && matches!(view.state, HandoffState::Failed | HandoffState::Unknown)
    }

    /// It failed with another cause than was told, later.
    fn silently(
        &mut self,
        failure: &Failure,
        cause: &str,
        following: Option<&AttemptView>,
        on: Footing,
    ) -> Result<(), String> {
        // What stood at that time is not told: any of these. Who ended as failed had nobody to return to.
        let failed =
            self.handoff.ended.as_ref().is_some_and(|(_, view, _)| view.state == HandoffState::Failed);
        let may_stand = [on.partner, false].map(|partner| [on.time, false].map(|time| (partner, time)));
        let mut fitting: Option<(Footing, Next)> = None;
        for (partner, time) in may_stand.into_iter().flatten() {
            let on = Footing { partner, time, ..on };
            let expected = self.ladder.next(&failure.destination, cause, on);
            let fits = match (&expected, following) {
                (Next::Try(id, method), Some(next)) => *next.destination == **id && next.method == *method,
                (Next::Bye, Some(next)) => next.method == "bye",
                (Next::Agent | Next::Hangup | Next::None, None) => true,
                _ => false,
            };
            let better = fitting.is_none() || failed && expected == Next::Hangup;
            if fits && better {
                fitting = Some((on, expected));
            }
        }
        if let Some((on, expected)) = fitting {
            self.ladder.take(&failure.destination, cause, on);
            self.next = Some(expected);
            return Ok(());
        }
        let abandoned =
            self.handoff.ended.as_ref().is_some_and(|(_, view, _)| {
                !matches!(view.state, HandoffState::Failed | HandoffState::Returned)
            });
        if abandoned || self.handoff.caller_gone || ended_from_outside(self.call) {
            self.next = None;
            return Ok(());
        }
        Err(format!("no step of the table for {cause} followed: {failure:?}"))
    }

    /// What the handoff came to is what its last failure asks for.
    fn ends_well(&self, tables: Tables<'_>, next: Option<&Handoff>) -> Result<(), String> {
        let Some((at, view, hurt)) = &self.handoff.ended else { return Ok(()) };
        if view.state != HandoffState::Failed {
            return Ok(());
        }
        let total = self.table.destinations.get(&*view.destination).map_or(0, |d| d.total);
        let late = at.since(self.handoff.started) >= Duration::from_millis(total);
        let handed_back = view.attempts.last().is_some_and(|last| last.method == "bye");
        // A 302 that nobody acknowledges: the caller is not there.
        let silent =
            view.attempts.last().is_some_and(|last| last.method == "redirect" && last.status == Some(408));
        let gone = self.handoff.caller_gone || self.call.hung_up || silent;
        let excused = handed_back || gone || ended_from_outside(self.call) || late;
        if excused {
            return Ok(());
        }
        let fallback = tables.fallback.unwrap_or(&self.table.default);
        let by_loss =
            matches!(view.reason.as_deref(), Some("agent_lost" | "agent_unavailable" | "agent_left"));
        let there = view.attempts.iter().any(|attempt| *attempt.destination == *fallback);
        if !by_loss && !there && self.next != Some(Next::Hangup) {
            let taken = next.is_some_and(|next| next.started == *at);
            if !taken || *hurt {
                return Err(format!("its fallback {fallback} was not tried"));
            }
        }
        match &self.next {
            Some(step @ Next::Try(..)) => Err(format!("{step:?} was left")),
            Some(Next::Bye) if view.attempts.last().is_none_or(|last| last.method != "bye") => {
                Err("it should have handed the call back".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Somebody ended the whole call.
pub fn ended_from_outside(call: &Call) -> bool {
    let why = call.ended.as_ref().map_or("", |(_, why)| why);
    matches!(why, "hung up by request" | "draining" | "max_duration")
}
