//! Where responses to requests of ours go, and what becomes of a request without one. Routes only.

use super::Leg;
use super::event::{Event, Origin};
use super::pending::{Kind, PendingUac};
use super::presence::Sign;
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::transaction::{ClientId, Kind as ResponseKind};
use crate::wire::Message;

impl Leg {
    /// A response to a request of ours; what it is to its transaction.
    pub(crate) fn on_response(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        (client, kind): (ClientId, ResponseKind),
    ) -> Option<Event> {
        let status = message.status()?;
        let life = match kind {
            // A 100 is of the next hop.
            ResponseKind::Provisional => status > 100,
            ResponseKind::Again => true,
            ResponseKind::Final => Sign::of((status, Origin::Remote)) == Sign::Life,
        };
        if !self.is_left_behind(client) {
            self.follow(flow, message);
            if life {
                self.hear();
            }
        }
        match kind {
            ResponseKind::Provisional => self.on_provisional(io, client, message),
            ResponseKind::Again => {
                self.on_2xx_again(io, client, message);
                None
            }
            ResponseKind::Final => {
                let sent = self.take_sent(client)?;
                self.on_final(io, sent, (status, Origin::Remote), Some(message))
            }
        }
    }

    /// A request of ours has ended without a response, which counts as one with that status (RFC 3261 §8.1.3.1).
    pub(crate) fn on_no_response(&mut self, io: &mut Io<'_>, client: ClientId, status: u16) {
        let Some(sent) = self.take_sent(client) else { return };
        self.tell_undelivered(io, &sent, status);
        let event = self.on_final(io, sent, (status, Origin::Local), None);
        io.core.events.extend(event);
    }

    /// The final response to a request of ours, or what counts as one (RFC 3261 §8.1.3.1).
    fn on_final(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        outcome: (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let accepted = response.filter(|_| (200..300).contains(&outcome.0));
        if accepted.is_some() && matches!(sent.kind, Kind::Probe | Kind::KeepAlive | Kind::Check { .. }) {
            self.presence.answers_options = true;
        }
        let sent = match (accepted, &sent.kind) {
            (Some(message), Kind::Invite { .. }) => return self.on_accepted(io, sent, message),
            (Some(message), Kind::Modify { .. }) => return self.on_modified(io, sent, message),
            (Some(_), _) => sent,
            (None, Kind::Invite { .. }) => {
                let sent = self.try_over(io, sent, outcome, response)?;
                self.retry(io, sent, outcome, response)?
            }
            (None, _) => self.retry(io, sent, outcome, response)?,
        };
        match sent.kind {
            Kind::Invite { .. } => self.on_refused(io, outcome),
            Kind::Modify { .. } | Kind::Update { .. } | Kind::Info | Kind::Probe => {
                let event = self.on_answer(io, &sent, outcome, response);
                if sent.kind.is_modify() && outcome == (408, Origin::Local) {
                    self.keep_unanswered(sent);
                }
                event
            }
            Kind::Refer => self.on_refer_answer(io, &sent, outcome, response),
            Kind::Notify(subscription) => self.on_notify_answer(io, subscription, outcome),
            Kind::KeepAlive => {
                self.on_keepalive_answer(io, outcome);
                None
            }
            Kind::Check { .. } => {
                self.on_checked(io, &sent, outcome);
                None
            }
            // Whatever comes of it: the INVITE's final response is what counts.
            Kind::Prack => None,
            Kind::Bye => self.on_bye_answer(io, outcome),
        }
    }
}
