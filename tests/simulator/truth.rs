//! Whether an outcome is what really happened: as far as it was seen on the wire, and as the peers know it. Where a caller
//! truly is, its own side says ([`super::whereabouts`]); what nobody could have known is not held against Baton.

use super::book::{Book, Call, Handoff, Leg, Role, Success};
use super::invariants::Tables;
use super::judge::ended_from_outside;
use super::ledger::Ledger;
use super::models::Model;
use super::refers::Refer;
use super::watch::stood_between;
use super::whereabouts::{Caller, Where};
use baton::call::record::{AttemptView, HandoffState, HandoffView, Proof};
use baton::sip::Time;
use std::time::Duration;

/// A NOTIFY 2xx that proves nothing by itself and the BYE of the target's leg are a proof when they are so near.
const TOGETHER: Duration = Duration::from_secs(2);

/// A BYE that follows the 2xx to the question whether the caller is still there is waited for so long.
const SETTLED: Duration = Duration::from_millis(500);

/// One handoff that is over.
struct Case<'a> {
    book: &'a Book,
    ledger: &'a Ledger,
    tables: Tables<'a>,
    call: &'a Call,
    caller: &'a str,
    leg: &'a Leg,
    handoff: &'a Handoff,
    at: Time,
    view: &'a HandoffView,
}

/// Compares the end of one handoff with what was seen and with what the peers know.
pub fn handoff(
    book: &Book,
    ledger: &Ledger,
    tables: Tables<'_>,
    (caller, call, handoff): (&str, &Call, &Handoff),
) -> Result<(), String> {
    let Some((at, view, hurt)) = &handoff.ended else { return Ok(()) };
    let Some(leg) = book.legs.get(caller) else { return Ok(()) };
    if view.attempts.is_empty() {
        return Ok(());
    }
    let case = Case { book, ledger, tables, call, caller, leg, handoff, at: *at, view };
    match view.state {
        HandoffState::Succeeded => case.succeeded(),
        HandoffState::HandedBack => case.handed_back(),
        HandoffState::Returned => case.returned(*hurt),
        HandoffState::Abandoned => case.abandoned(*hurt),
        _ => Ok(()),
    }
}

/// What holds of a caller whatever was told.
pub fn caller(
    book: &Book,
    ledger: &Ledger,
    tables: Tables<'_>,
    (caller, call): (&str, &Call),
) -> Result<(), String> {
    let truly = ledger.callers.get(caller);
    if let Some(truly) = truly.filter(|truly| truly.has_been(Where::Cut, Time(u64::MAX)))
        && !ended_from_outside(call)
    {
        return Err(format!("a BYE of Baton's hung the caller up while it was moved: {}", truly.story()));
    }
    let Some(leg) = book.legs.get(caller) else { return Ok(()) };
    let attempts = call.handoffs.iter().filter_map(|handoff| Some(&handoff.ended.as_ref()?.1.attempts));
    let refers = attempts.flatten().filter(|one| one.refer_to.is_some()).count();
    let challenged = |refer: &&Refer| matches!(refer.answer, Some(401 | 407)) && !refer.challenged_late;
    let most = refers + leg.refers.iter().filter(challenged).count();
    let late = leg.refers.iter().any(|refer| refer.challenged_late);
    if tables.models.has(Model::GivenUp) && late && leg.refers.len() > most {
        return Err("a REFER that was given up was sent again, with credentials".to_owned());
    }
    Ok(())
}

impl Case<'_> {
    fn truly(&self) -> Option<&Caller> {
        self.ledger.callers.get(self.caller)
    }

    /// Somebody told 2xx of a REFER up to then, and meant it.
    fn was_told(&self) -> bool {
        let meant = |cseq: u32| self.ledger.reported.contains(&(self.caller.to_owned(), cseq));
        self.leg.successes.iter().any(|one| one.at <= self.at && one.of.is_some_and(meant))
    }

    /// When 2xx was told up to then of a REFER that names that target. Which one it is of a NOTIFY without a name leaves open:
    /// another one may have been sent since.
    fn told_of(&self, target: &str) -> impl Iterator<Item = Time> + Clone {
        let naming = self.leg.refers.iter().filter(move |refer| refer.replaces(target));
        let before = self.leg.successes.iter().filter(|one| one.at <= self.at);
        let of = move |one: &&Success| {
            naming.clone().any(|refer| one.of == Some(refer.cseq) || !one.named && refer.sent <= one.at)
        };
        before.filter(of).map(|one| one.at)
    }

    /// The attempt that it ended with, and how many were tried up to it: the last one, unless an earlier one was told of
    /// late and has worked. What a blind one is told is no proof.
    fn decisive(&self) -> Option<(usize, &AttemptView)> {
        let proves = if self.view.proof == Some(Proof::Proven) { "attended" } else { "refer" };
        let worked = |one: &AttemptView| {
            let told = one.final_status.is_some_and(|status| (200..300).contains(&status));
            told && one.cause.is_none() && one.refer_to.is_some() && &*one.method == proves
        };
        let mut attempts = self.view.attempts.iter().enumerate().map(|(place, one)| (place + 1, one));
        attempts.clone().find(|(_, one)| worked(one)).or_else(|| attempts.next_back())
    }

    /// The target that has answered, of the last of the first so many attempts that had one, and its Call-ID.
    fn target(&self, tried: usize) -> Option<(&str, &Leg)> {
        let answered = |(_, leg): &(&str, &Leg)| {
            leg.role == Role::Target && leg.answered.is_some_and(|time| time <= self.at)
        };
        let attempts =
            self.view.attempts.iter().take(tried).rev().filter_map(|one| one.sip_call_id.as_deref());
        attempts.filter_map(|id| Some((id, self.book.legs.get(id)?))).find(answered)
    }

    /// The caller has been with somebody whom its own side has called.
    fn has_been_there(&self) -> Result<(), String> {
        let Some(truly) = self.truly() else { return Ok(()) };
        if truly.has_been(Where::There, self.at) {
            return Ok(());
        }
        Err(format!("the caller has never been with the target: {}", truly.story()))
    }

    fn succeeded(&self) -> Result<(), String> {
        let Some((tried, last)) = self.decisive() else { return Ok(()) };
        match self.view.proof {
            Some(Proof::Reported) if !self.was_told() => Err("nobody reported it".to_owned()),
            Some(Proof::Reported) => self.has_been_there(),
            Some(Proof::Proven) if &*last.method == "attended" && last.refer_to.is_some() => {
                self.attended(tried, last)
            }
            Some(Proof::Proven) => self.joined(tried),
            proof => Err(format!("its proof is {proof:?}")),
        }
    }

    /// The caller's side has taken the target over.
    fn attended(&self, tried: usize, last: &AttemptView) -> Result<(), String> {
        let (id, target) = self.target(tried).ok_or("there is no target")?;
        let told = self.told_of(id);
        // What has arrived while Baton stood still is as old as when it went on.
        let passed =
            |from: Time, to: Time| to.since(from).saturating_sub(stood_between(self.tables.stood, from, to));
        let near = |left: Time, told: Time| passed(left, told).max(passed(told, left)) <= TOGETHER;
        let together = told.clone().any(|told| target.left.is_some_and(|left| near(left, told)));
        if !self.is_believed(last) && !together {
            return Err("the target did not leave near the 2xx".to_owned());
        }
        // A PBX whose 200 only means that it has begun cannot be told from one whose target has been replaced, if the person
        // there hangs up by itself in those two seconds.
        let by_itself = together && !self.ledger.replaced.contains(id);
        if !by_itself && !self.was_told() {
            return Err("nobody reported it".to_owned());
        }
        if let Some(first) = told.min() {
            self.no_early_bye(target, first)?;
        }
        // Nor does anybody tell of a caller who hangs up on the way.
        let left =
            |truly: &Caller| truly.has_been(Where::Moving, self.at) && truly.has_been(Where::Left, self.at);
        if by_itself || together && self.truly().is_some_and(left) {
            return Ok(());
        }
        self.has_been_there()
    }

    /// What the destination's NOTIFY 2xx proves.
    fn is_believed(&self, last: &AttemptView) -> bool {
        let table = self.tables.versions.get(&self.view.table_version);
        let to = table.and_then(|table| table.destinations.get(&*last.destination));
        to.is_some_and(|to| !to.accepted_only) && !self.tables.careful
    }

    /// Neither leg got a BYE of Baton's before the target's own, two seconds at most after the 2xx.
    fn no_early_bye(&self, target: &Leg, first: Time) -> Result<(), String> {
        for leg in [self.leg, target] {
            let ours = leg.over.filter(|over| leg.left.is_none_or(|left| *over < left));
            let expired = |over: Time| target.expiry.is_some_and(|it| !it.by_baton && it.is_over(over));
            let replaced = |over: Time| {
                target.left.is_some_and(|left| left <= over) || target.forgotten || expired(over)
            };
            let early = |over: Time| over >= first && over < first + TOGETHER && !replaced(over);
            if ours.is_some_and(early) && !self.call.hung_up {
                return Err("a leg got a BYE before the replaced one had ended".to_owned());
            }
        }
        Ok(())
    }

    fn joined(&self, tried: usize) -> Result<(), String> {
        let (_, target) = self.target(tried).ok_or("there is no target")?;
        let met = |time: Option<Time>| time.is_some_and(|time| time <= self.at);
        if !met(target.answered) || !met(target.acked) {
            return Err("the target did not answer".to_owned());
        }
        let joined = self
            .leg
            .reinvites
            .iter()
            .any(|one| met(one.accepted) && met(one.acked) && one.acked >= target.answered && !one.bare);
        // Before the answer, the 2xx to the caller's own INVITE had the target's session. The target's ACK may leave later
        // than the caller's comes.
        let with_target = |when: Time| when >= self.handoff.started && Some(when) >= target.answered;
        let first = self.leg.accepted.is_some_and(|(when, _)| with_target(when));
        let confirmed = first && met(self.leg.confirmed);
        if !joined && !confirmed {
            return Err("the caller did not get the target".to_owned());
        }
        let Some(truly) = self.truly().filter(|truly| truly.tells) else { return Ok(()) };
        // The next handoff may begin in the same moment.
        match truly.at(Time(self.at.0.saturating_sub(1))) {
            None | Some(Where::Here | Where::Left) => Ok(()),
            Some(_) if self.was_misled() => Ok(()),
            Some(place) => Err(format!("the caller is {place:?}: {}", truly.story())),
        }
    }

    fn handed_back(&self) -> Result<(), String> {
        let bye = self.leg.bye_answer.is_some_and(|status| status < 300);
        let refused = self.leg.refused.is_some_and(|(_, acknowledged)| acknowledged);
        (bye || refused).then_some(()).ok_or_else(|| "nobody took the call back".to_owned())
    }

    fn returned(&self, hurt: bool) -> Result<(), String> {
        if hurt || self.handoff.caller_gone || !self.handoff.partner_at_end {
            let (gone, there) = (self.handoff.caller_gone, self.handoff.partner_at_end);
            return Err(format!("hurt {hurt}, caller gone {gone}, partner there {there}"));
        }
        let Some(truly) = self.truly().filter(|truly| truly.tells) else { return Ok(()) };
        // The next handoff may begin in the same moment.
        match truly.at(Time(self.at.0.saturating_sub(1))) {
            // Its own BYE may be on its way.
            None | Some(Where::Here | Where::Left) => Ok(()),
            Some(_) if self.was_misled() => Ok(()),
            Some(place) => Err(format!("the caller is {place:?}: {}", truly.story())),
        }
    }

    /// The caller's side was asked since the REFER that has moved the caller, and its BYE was sent before its 2xx and lost or
    /// late on the way, so that nothing but the 2xx had come for so long. Or a proxy has said 480 in its place.
    fn was_misled(&self) -> bool {
        let Some(mover) = self.truly().and_then(|truly| truly.mover) else { return false };
        let under_way = |answered: Time| self.leg.bye_sent.is_some_and(|sent| sent <= answered);
        let until = self.leg.left.map_or(self.at, |left| left.min(self.at));
        let mut asked = self.leg.reinvites.iter().filter(|one| one.cseq > mover);
        let settled = |at: Time| at + SETTLED <= until;
        asked.any(|one| {
            one.accepted.is_some_and(|at| under_way(at) && settled(at))
                || one.by_proxy && one.refused.is_some_and(settled)
        })
    }

    fn abandoned(&self, hurt: bool) -> Result<(), String> {
        if hurt {
            return Err("the caller is said to be hurt".to_owned());
        }
        if self.call.ended.as_ref().is_some_and(|(_, why)| why.starts_with("moved")) && self.was_told() {
            // By an earlier REFER than its own.
            return Ok(());
        }
        let began = self.handoff.started;
        let open = |refer: &Refer| refer.sent >= began && refer.is_open(self.at);
        if self.tables.models.has(Model::Open) && self.leg.refers.iter().any(open) {
            return Err("a REFER was taken, and nobody has said what came of it".to_owned());
        }
        let mover = self.truly().and_then(|truly| truly.mover);
        // Silence is no refusal, but who leaves before anything is heard of the REFER has hung up for all that is known.
        let known =
            self.leg.refers.iter().any(|refer| Some(refer.cseq) == mover && refer.is_at_work(self.at));
        let Some(truly) = self.truly().filter(|truly| truly.tells && known) else { return Ok(()) };
        match truly.at(self.at) {
            None | Some(Where::Here | Where::Left) => Ok(()),
            Some(_) if self.was_misled() => Ok(()),
            Some(place) => Err(format!("the caller is {place:?}, and hung up nothing: {}", truly.story())),
        }
    }
}
