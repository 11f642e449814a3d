//! Whether a challenge is answered: a password goes to whom it belongs to, and not for the asking.
//!
//! A leg answers challenges if it was called at, or came from, the places that its party's password is for
//! ([`super::Connect::digest`], [`crate::sip::Stack::belongs_to`]); then along the dialog's route set and Contact. Each
//! realm is answered once, and once more where only the nonce was stale; four answers in all to one request. Not here:
//! how it is answered (`sip::auth`).

use super::Leg;
use super::pending::{Answered, PendingUac};
use super::write::by_stream;
use crate::sip::auth::{Challenge, Login};
use crate::sip::core::Io;
use crate::sip::settings::{Credentials, Settings};
use crate::wire::{Framing, Message, Name, identify};
use smallvec::SmallVec;

pub use super::event::Declined;

/// Answers to one request, over all realms.
const MOST: usize = 4;

impl Settings {
    /// What answers challenges in this leg, wherever they come from.
    fn credentials(&self, leg: &Leg) -> Option<&Credentials> {
        self.parties.get(usize::from(leg.party()?))?.credentials.as_ref()
    }

    /// Whether challenges in this leg are answered.
    pub(crate) fn answers(&self, leg: &Leg) -> bool {
        leg.digest && self.credentials(leg).is_some()
    }
}

impl PendingUac {
    /// Whether that challenge may be answered; from now on it was.
    fn may_answer(&mut self, challenge: &Challenge) -> bool {
        let answers = self.challenged.iter().map(|one| 1 + usize::from(one.again)).sum::<usize>();
        if answers >= MOST {
            return false;
        }
        match self.challenged.iter_mut().find(|one| one.realm == challenge.realm) {
            Some(one) => challenge.stale && !std::mem::replace(&mut one.again, true),
            None => {
                self.challenged.push(Answered { realm: challenge.realm.clone(), again: false });
                true
            }
        }
    }
}

impl Leg {
    /// Sends a challenged request again with the answer; it comes back if that is not to be.
    pub(super) fn answer_challenge(
        &mut self,
        io: &mut Io<'_>,
        mut sent: PendingUac,
        response: &Message<'_>,
    ) -> Option<PendingUac> {
        let cnonce = io.core.ident.cnonce();
        let Some(credentials) = io.core.settings.credentials(self) else { return Some(sent) };
        let challenge = Challenge::of(response, credentials.realm.as_deref(), cnonce);
        let (mut challenge, why) = match challenge {
            _ if !self.digest => (None, Declined::Elsewhere),
            None => (None, Declined::Form),
            Some(challenge) => match sent.may_answer(&challenge) {
                true => (Some(challenge), Declined::Refused),
                false => (None, Declined::Refused),
            },
        };
        let Some(challenge) = challenge.as_mut() else {
            io.core.declined = Some((io.id, why));
            return Some(sent);
        };
        let kept = sent.request.as_deref().unwrap_or_default();
        let Ok(message) = identify(kept, &mut io.core.index, Framing::Datagram) else { return Some(sent) };
        let mut value = Vec::with_capacity(256);
        let login = Login {
            username: &credentials.username,
            password: &credentials.password,
            method: message.method_text(),
            uri: message.uri_bytes(),
        };
        challenge.write(login, &mut value);
        // What other proxies on the way were answered goes with it.
        let own = [b"realm=\"", &*challenge.realm, b"\""].concat();
        let others = message.headers(challenge.answer);
        let others = others.filter(|other| memchr::memmem::find(other, &own).is_none());
        let mut values: SmallVec<[Box<[u8]>; 2]> = others.map(Into::into).collect();
        values.push(value.into());
        let changes: SmallVec<[(Name, &[u8]); 2]> =
            values.iter().map(|value| (challenge.answer, &**value)).collect();
        let stream = sent.fallback.and_then(|flow| by_stream(flow, &io.core.settings.listeners));
        let flow = stream.unwrap_or(self.flow_in(sent.branch.as_deref()));
        self.send_again(io, sent, flow, &changes)
    }
}
