//! What holds of caller and partner at any time: one of those who have answered is with the caller and the others go, and two
//! who are together have each other's session.

use super::book::{Handoff, Leg, Role};
use super::session::Session;
use super::watch::Watch;
use baton::sip::Time;
use std::time::Duration;

/// How long two must have been quiet before they have each other's session for certain.
const QUIET: u64 = 15;
/// How soon those are looked at again that were not.
const LATER: Duration = Duration::from_secs(10);
/// How often Baton has to try again to tell one of the other, when a proxy has refused to pass it on.
const MISSES: u32 = 3;

impl Watch {
    /// Nothing tells the result of the REFER that asks the caller's side to take a target over: it may be at any moment.
    pub fn target_waits(&mut self, call: &str) {
        let Some(caller) = self.book.by_baton.get(call) else { return };
        let Some(call) = self.book.calls.get_mut(caller) else { return };
        let legs = &self.book.legs;
        let answered = |id: &&String| legs[*id].role == Role::Target && legs[*id].is_up();
        let partner = call.partner.clone();
        let targets = call.legs.iter().filter(answered).filter(|id| Some(*id) != partner.as_ref());
        call.waiting.extend(targets.cloned());
    }

    /// At most one target is answered that is not the caller's partner.
    pub fn count_targets(&mut self, caller: &str) {
        let Some(call) = self.book.calls.get(caller) else { return };
        let other = |id: &&String| {
            let leg = &self.book.legs[*id];
            leg.role == Role::Target
                && Some(*id) != call.partner.as_ref()
                && leg.is_acknowledged()
                && !call.waiting.contains(*id)
                // A BYE waits for the ACK of Baton's own 2xx (RFC 3261 §15).
                && leg.unacked.is_none()
        };
        let open: Vec<String> = call.legs.iter().filter(other).cloned().collect();
        let running = call.handoffs.last().is_some_and(|handoff| handoff.ended.is_none());
        let most = usize::from(running);
        if open.len() > most {
            let what = format!("{} targets are answered and left ({running}): {open:?}", open.len());
            self.book.fault(caller, what);
        }
    }

    /// The same as [`Watch::compare`], as soon as the two are quiet.
    pub fn compare_when_quiet(&mut self, due: Time, caller: String) {
        match self.talks(&caller, due) {
            true => self.compare_at(due + LATER, caller),
            false => self.compare(due, &caller, "later"),
        }
    }

    /// Caller and partner are there, and are not quiet.
    fn talks(&self, caller: &String, at: Time) -> bool {
        let partner = self.book.calls.get(caller).and_then(|call| call.partner.as_ref());
        let mut legs = [Some(caller), partner].into_iter().flatten().filter_map(|id| self.book.legs.get(id));
        let there = legs.clone().all(|leg| leg.over.is_none() && leg.left.is_none());
        there && legs.any(|leg| !self.is_quiet(leg, at))
    }

    fn is_quiet(&self, leg: &Leg, at: Time) -> bool {
        // Who stood still has had that much less time to tell them of each other.
        let quiet = at.since(leg.session_at).saturating_sub(self.stood_between(leg.session_at, at));
        quiet.as_secs() >= QUIET
    }

    /// Caller and partner are together, and nothing was said for a while: each has the other's session.
    pub fn compare(&mut self, at: Time, caller: &str, when: &str) {
        let Some(call) = self.book.calls.get(caller) else { return };
        // Where a target of this handoff has answered, the partner may have spoken with it, and the caller is held until all is
        // over.
        let near = |(ended, _, _): &(Time, _, _)| at.since(*ended).as_secs() < QUIET;
        let running = call.handoffs.last().filter(|handoff| handoff.ended.as_ref().is_none_or(near));
        let target = |id: &String, handoff: &Handoff| {
            let leg = &self.book.legs[id];
            let answered = leg.answered.is_some_and(|when| when >= handoff.started);
            leg.role == Role::Target && answered && call.partner.as_ref() != Some(id)
        };
        let held = running.is_some_and(|handoff| call.legs.iter().any(|id| target(id, handoff)));
        let apart = call.partner_gone || held;
        let Some(partner) = call.partner.clone().filter(|_| !apart) else { return };
        let (Some(one), Some(two)) = (self.book.legs.get(caller), self.book.legs.get(&partner)) else {
            return;
        };
        let stands = |leg: &Leg| {
            let there = leg.over.is_none() && leg.left.is_none() && self.is_quiet(leg, at);
            // Who says nothing cannot be told either, nor who is not reached again and again.
            there
                && leg.turned_away <= MISSES
                && !leg.never_answers
                && !leg.open.iter().any(|open| open.ends_with(" INVITE") || open.ends_with(" UPDATE"))
        };
        if !stands(one) || !stands(two) || one.confirmed.is_none() {
            return;
        }
        let fault = {
            let ledger = self.ledger.borrow();
            let find = |id: &str| {
                ledger.by_call_id.get(id).map(|places| places.iter().map(|at| &ledger.sessions[*at]))
            };
            let (Some(mut ours), Some(theirs)) = (find(caller), find(&partner)) else { return };
            let tagged = |session: &&Session| session.local.is_some() && session.remote.is_some();
            let theirs: Vec<&Session> = theirs.filter(tagged).collect();
            // Of a fork it is not known here which branch is the one.
            let (Some(ours), [theirs]) = (ours.next().filter(tagged), theirs.as_slice()) else { return };
            if ours.over
                || theirs.over
                || !ours.is_idle()
                || !theirs.is_idle()
                || ours.was_busy()
                || theirs.was_busy()
            {
                return;
            }
            self.compared += 1;
            between(ours, theirs)
        };
        if let Some(why) = fault {
            self.book
                .fault(caller, format!("{when}: caller and partner {partner} have not each other: {why}"));
        }
    }
}

fn between(one: &Session, two: &Session) -> Option<String> {
    let way = |from: &Session, to: &Session| from.discord(to.local.as_ref()?);
    way(one, two)
        .map(|why| format!("the caller: {why}"))
        .or_else(|| way(two, one).map(|why| format!("the partner: {why}")))
}
