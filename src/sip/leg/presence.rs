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

use super::Leg;
use super::event::{Event, NotSent, Origin};
use super::pending::{Kind, PendingUac, Purpose};
use crate::sip::core::Io;
use crate::sip::durations::SUSPICION_RETRY;

/// What is known of the peer in this dialog.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// It has answered an OPTIONS with 2xx: its silence to one means something.
    pub(super) answers_options: bool,
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

impl Leg {
    /// The peer was heard in the dialog of a leg.
    pub(crate) fn hear(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.heard = true);
        self.presence.ignores_invite = false;
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.forgive();
        }
    }

    /// What the failure of an INFO, UPDATE or re-INVITE means for its leg. True: the leg is lost, and nobody waits for that
    /// response any more.
    pub(super) fn weigh(&mut self, io: &mut Io<'_>, sent: &PendingUac, outcome: (u16, Origin)) -> bool {
        // In an early dialog the final response to the INVITE decides.
        if !self.is_answered() || sent.branch.is_some() {
            return false;
        }
        let silent = !sent.heard;
        match (&sent.kind, outcome) {
            (Kind::Modify { purpose: Purpose::Confirmation, .. }, (_, Origin::Local)) if silent => {
                self.lose(io, outcome);
                return true;
            }
            (
                Kind::Modify { purpose: Purpose::Itself | Purpose::Confirmation, .. } | Kind::Update { .. },
                (481, Origin::Remote),
            ) => {
                self.lose(io, outcome);
                return true;
            }
            (Kind::Modify { .. }, (408, Origin::Local)) if silent => {
                self.presence.ignores_invite = true;
                self.check(io);
            }
            (Kind::Modify { .. } | Kind::Update { .. } | Kind::Info, (status, _))
                if is_doubtful(status) && silent =>
            {
                self.check(io);
            }
            (Kind::Info, (481, Origin::Remote)) => {
                self.check(io);
                self.note_disowned();
            }
            _ => {}
        }
        false
    }

    /// One OPTIONS, unless one is out for the same.
    fn check(&mut self, io: &mut Io<'_>) {
        if !self.presence.lost && !self.sent.iter().any(|sent| matches!(sent.kind, Kind::Check { .. })) {
            self.send_options(io, Kind::Check { disowned: false });
        }
    }

    /// A 481 is what the check is about.
    fn note_disowned(&mut self) {
        for sent in &mut self.sent {
            if let Kind::Check { disowned } = &mut sent.kind {
                *disowned = true;
            }
        }
    }

    /// The answer to a check.
    pub(super) fn on_checked(&mut self, io: &mut Io<'_>, sent: &PendingUac, outcome: (u16, Origin)) {
        if !self.is_answered() {
            return;
        }
        let disowned = matches!(sent.kind, Kind::Check { disowned: true });
        let judged = self.presence.answers_options || self.presence.ignores_invite;
        match Sign::of(outcome) {
            Sign::Forgotten if sent.heard => self.confirm(io),
            Sign::Forgotten => self.lose(io, outcome),
            Sign::Silence if judged && !sent.heard => self.lose(io, (408, outcome.1)),
            // Nobody has answered, or a proxy in its place, and the 481 stands.
            Sign::Silence | Sign::Neither if disowned => self.confirm(io),
            _ if sent.heard => {}
            Sign::Life => {}
            Sign::Silence | Sign::Neither => {
                if !std::mem::replace(&mut self.presence.told, true) {
                    self.tell(io, Event::Silent { leg: io.id });
                }
            }
        }
    }

    /// A re-INVITE confirms a 481, as soon as no other one is in its way (RFC 3261 §14.1).
    pub(super) fn confirm(&mut self, io: &mut Io<'_>) {
        let pending = matches!(self.restate_for(io, Purpose::Confirmation), Err(NotSent::Pending));
        if pending || self.aside.is_some() {
            self.aside.get_or_insert_default().unconfirmed = pending.then(|| io.now + SUSPICION_RETRY);
        }
    }

    /// What [`crate::sip::Stack::is_doubted`] tells.
    pub(crate) fn is_doubted(&self) -> bool {
        let doubts =
            |sent: &PendingUac| matches!(sent.kind, Kind::Check { disowned } if disowned || !sent.heard);
        self.is_being_confirmed() || self.unconfirmed().is_some() || self.sent.iter().any(doubts)
    }

    /// The leg stays up for us: whoever hears of the loss closes it, and its BYE tells a peer that only did not answer
    /// (RFC 3261 §12.2.1.2).
    pub(super) fn lose(&mut self, io: &mut Io<'_>, (status, origin): (u16, Origin)) {
        self.keepalive = None;
        if std::mem::replace(&mut self.presence.lost, true) {
            return;
        }
        self.tell(io, Event::Lost { leg: io.id, status, origin });
    }
}
