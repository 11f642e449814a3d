//! Where the final response to a request of ours goes, and what time does to a leg. Routes only.

use super::usage::{Kind, PendingUac};
use super::{Event, LegId, Origin};
use crate::sip::stack::Stack;
use crate::sip::timing::Time;
use crate::wire::Message;

impl Stack {
    /// The final response to a request of ours, or what counts as one (RFC 3261 §8.1.3.1).
    pub(crate) fn on_final(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let accepted = response.filter(|_| (200..300).contains(&outcome.0));
        if accepted.is_some()
            && matches!(sent.kind, Kind::Probe | Kind::KeepAlive | Kind::Check)
            && let Some(leg) = self.legs.get_mut(id.into())
        {
            leg.presence.answers_options = true;
        }
        let sent = match (accepted, sent.kind) {
            (Some(message), Kind::Invite) => return self.on_accepted(now, id, sent, message),
            (Some(message), Kind::Modify) => return self.on_modified(now, id, sent, message),
            (Some(_), _) => sent,
            (None, Kind::Invite) => {
                let sent = self.try_over(now, id, sent, outcome, response)?;
                self.retry(now, id, sent, outcome, response)?
            }
            (None, _) => self.retry(now, id, sent, outcome, response)?,
        };
        match sent.kind {
            Kind::Invite => self.on_refused(id, outcome),
            Kind::Modify | Kind::Update | Kind::Info | Kind::Probe => {
                let event = self.on_answer(now, id, &sent, outcome, response);
                if (sent.kind, outcome) == (Kind::Modify, (408, Origin::Local)) {
                    self.keep_unanswered(id, sent);
                }
                event
            }
            Kind::Refer => self.on_refer_answer(id, &sent, outcome, response),
            Kind::Notify(subscription) => self.on_notify_answer(now, id, subscription, outcome),
            Kind::KeepAlive => {
                self.on_keepalive_answer(now, id, outcome);
                None
            }
            Kind::Check => {
                self.on_checked(now, id, &sent, outcome);
                None
            }
            // Whatever comes of it: the INVITE's final response is what counts.
            Kind::Prack => None,
            Kind::Bye => self.on_bye_answer(id, outcome),
        }
    }

    /// A deadline of a leg is due: each part looks for itself.
    pub(crate) fn on_due(&mut self, now: Time, id: LegId) {
        self.expires_due(now, id);
        self.unacked_due(now, id);
        self.repeat_due(now, id);
        self.reliable_due(now, id);
        self.silence_due(now, id);
        self.opens_due(now, id);
        self.expire_due(now, id);
        self.notify_due(now, id);
        self.keepalive_due(now, id);
        self.confirm_due(now, id);
        self.timer_due(now, id);
    }
}
