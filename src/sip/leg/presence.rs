//! Whether the peer is still in the dialog: what was heard of it, and what a silence means.
//!
//! No single silence ends a leg. A 408 or 504 to an INFO, UPDATE or re-INVITE, whoever made it, and a 481 to an INFO are
//! checked by one OPTIONS in the dialog; whatever is heard of the peer since clears it. A 481 to that OPTIONS ends the leg;
//! where something else was heard meanwhile, one re-INVITE with the session as it stands has to confirm it first.
//! Silence to it does so only where it means something: the peer has answered an OPTIONS with 2xx in this dialog, or left a
//! re-INVITE without a final response too. Else the leg stays, which is told once, and the session timer decides. This is
//! the only place that says so: the layer above hears [`Event::Lost`], and only of what was confirmed.
//!
//! A 481 to an UPDATE or a re-INVITE ends the leg by itself (RFC 3261 §12.2.1.2). REFER and NOTIFY have no part in this:
//! what their silence means is the business of who sent them. Who is asked without a cause stands in `keepalive`.

use super::usage::{Kind, Leg, PendingUac};
use super::{Event, LegId, Origin};
use crate::sip::durations::SUSPICION_RETRY;
use crate::sip::stack::{NotSent, Stack};
use crate::sip::timing::Time;

/// What is known of the peer in this dialog.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// It has answered an OPTIONS with 2xx: its silence to one means something.
    pub(crate) answers_options: bool,
    /// A re-INVITE had no final response, and nothing was heard since.
    ignores_invite: bool,
    /// The layer above knows that it is silent.
    told: bool,
    /// The layer above knows that it is gone, and closes the leg.
    lost: bool,
}

/// What a final response inside a dialog says of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It has answered.
    Life,
    /// It has not: nobody did, or a proxy did in its place.
    Silence,
    /// It knows nothing of the dialog.
    Forgotten,
    /// Nothing: a proxy says so of an address, or wants to know who asks.
    Neither,
}

impl Sign {
    pub(crate) fn of((status, origin): (u16, Origin)) -> Sign {
        match (status, origin) {
            (_, Origin::Local) | (408 | 477 | 503 | 504, _) => Sign::Silence,
            (481, _) => Sign::Forgotten,
            (404 | 407 | 410 | 430 | 480, _) => Sign::Neither,
            _ => Sign::Life,
        }
    }
}

/// Whether a request may have arrived that failed with that status, and been served.
pub(crate) fn is_doubtful(status: u16) -> bool {
    matches!(status, 408 | 504)
}

impl Stack {
    /// The peer was heard in the dialog of a leg.
    pub(crate) fn hear(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        leg.sent.iter_mut().for_each(|sent| sent.heard = true);
        leg.presence.ignores_invite = false;
        if let Some(keepalive) = &mut leg.keepalive {
            keepalive.forgive();
        }
    }

    /// What the failure of an INFO, UPDATE or re-INVITE means for its leg. True: the leg is lost, and nobody waits for that
    /// response any more.
    pub(crate) fn weigh(&mut self, now: Time, id: LegId, sent: &PendingUac, outcome: (u16, Origin)) -> bool {
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        // In an early dialog the final response to the INVITE decides.
        if !leg.is_answered() || sent.branch.is_some() {
            return false;
        }
        let silent = !sent.heard;
        match (sent.kind, outcome) {
            (Kind::Modify, (_, Origin::Local)) if silent && sent.purpose == Purpose::Confirmation => {
                self.lose(id, outcome);
                return true;
            }
            (Kind::Modify | Kind::Update, (481, Origin::Remote)) if sent.purpose != Purpose::Question => {
                self.lose(id, outcome);
                return true;
            }
            (Kind::Modify, (408, Origin::Local)) if silent => {
                leg.presence.ignores_invite = true;
                self.check(now, id);
            }
            (Kind::Modify | Kind::Update | Kind::Info, (status, _)) if is_doubtful(status) && silent => {
                self.check(now, id);
            }
            (Kind::Info, (481, Origin::Remote)) => {
                self.check(now, id);
                self.note_disowned(id);
            }
            _ => {}
        }
        false
    }

    /// One OPTIONS, unless one is out for the same.
    fn check(&mut self, now: Time, id: LegId) {
        let checked = |leg: &Leg| leg.presence.lost || leg.sent.iter().any(|sent| sent.kind == Kind::Check);
        if self.legs.get(id.into()).is_some_and(|leg| !checked(leg)) {
            self.send_options(now, id, Kind::Check);
        }
    }

    /// A 481 is what the check is about.
    fn note_disowned(&mut self, id: LegId) {
        let sent = self.legs.get_mut(id.into()).into_iter().flat_map(|leg| leg.sent.iter_mut());
        sent.filter(|sent| sent.kind == Kind::Check).for_each(|sent| sent.purpose = Purpose::Disowned);
    }

    /// The answer to a check.
    pub(crate) fn on_checked(&mut self, now: Time, id: LegId, sent: &PendingUac, outcome: (u16, Origin)) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        if !leg.is_answered() {
            return;
        }
        let judged = leg.presence.answers_options || leg.presence.ignores_invite;
        match Sign::of(outcome) {
            Sign::Forgotten if sent.heard => self.confirm(now, id),
            Sign::Forgotten => self.lose(id, outcome),
            Sign::Silence if judged && !sent.heard => self.lose(id, (408, outcome.1)),
            // Nobody has answered, or a proxy in its place, and the 481 stands.
            Sign::Silence | Sign::Neither if sent.purpose == Purpose::Disowned => self.confirm(now, id),
            _ if sent.heard => {}
            Sign::Life => {}
            Sign::Silence | Sign::Neither => {
                if !std::mem::replace(&mut leg.presence.told, true) {
                    self.tell(id, Event::Silent { leg: id });
                }
            }
        }
    }

    /// A re-INVITE confirms a 481, as soon as no other one is in its way (RFC 3261 §14.1).
    fn confirm(&mut self, now: Time, id: LegId) {
        let pending = matches!(self.restate_for(now, id, Purpose::Confirmation), Err(NotSent::Pending));
        let Some(leg) = self.legs.get_mut(id.into()).filter(|leg| pending || leg.aside.is_some()) else {
            return;
        };
        leg.aside.get_or_insert_default().unconfirmed = pending.then(|| now + SUSPICION_RETRY);
    }

    /// A 481 may wait to be confirmed.
    pub(crate) fn confirm_due(&mut self, now: Time, id: LegId) {
        if self.legs.get(id.into()).and_then(Leg::unconfirmed).is_some_and(|at| at <= now) {
            self.confirm(now, id);
        }
    }

    /// Whether it is being found out if the peer is still there: it was silent and nothing was heard since, or it has said
    /// that it knows nothing of the dialog.
    pub fn is_doubted(&self, leg: LegId) -> bool {
        let doubts = |sent: &PendingUac| {
            sent.kind == Kind::Check && (!sent.heard || sent.purpose == Purpose::Disowned)
        };
        let leg = self.legs.get(leg.into());
        leg.is_some_and(|leg| {
            leg.is_being_confirmed() || leg.unconfirmed().is_some() || leg.sent.iter().any(doubts)
        })
    }

    /// The leg stays up for us: whoever hears of the loss closes it, and its BYE tells a peer that only did not answer
    /// (RFC 3261 §12.2.1.2).
    pub(crate) fn lose(&mut self, id: LegId, (status, origin): (u16, Origin)) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        leg.keepalive = None;
        if std::mem::replace(&mut leg.presence.lost, true) {
            return;
        }
        self.tell(id, Event::Lost { leg: id, status, origin });
    }
}

/// What a request of ours inside a dialog is sent for, where its failure means another thing for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For what it says.
    #[default]
    Itself,
    /// The layer above asks whether the peer is there, and has a 481 confirmed itself.
    Question,
    /// Missed keepalives, or a 481 that something else contradicts, are to be confirmed: silence ends the leg.
    Confirmation,
    /// It checks a 481.
    Disowned,
}
