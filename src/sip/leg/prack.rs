//! Provisional responses that are acknowledged (RFC 3262), each side by itself.
//!
//! To a caller that requires it, every 18x of ours is sent until its PRACK comes, one at a time, and a 2xx waits for the
//! PRACK of the answer. A 18x of a peer that asks for a PRACK gets one in its early dialog. A caller that sent no offer
//! would have to be sent one in the first 18x; since nobody here can take its answer before the call is answered, such a
//! caller gets no 18x at all.

use super::content::{Content, body_of, sdp_of};
use super::event::{Event, Gone, Origin};
use super::modify::NO_ANSWER;
use super::pending::{BRANCHES, Kind};
use super::reading::names;
use super::reliable::{Open, Waiting};
use super::send::Request;
use super::usage::{EarlyUac, Offered, Usage};
use super::write::{MAX_FORWARDS, write_contact};
use super::{Leg, carry};
use crate::sip::core::Io;
use crate::sip::flow::Flow;
use crate::sip::offer_answer::Exchange;
use crate::sip::refusal::{OVERTAKEN, write_warning};
use crate::sip::timing::{T1, T1X64};
use crate::wire::headers::{ALLOW, APPLICATION_SDP, RELIABLE};
use crate::wire::sdp::as_answer;
use crate::wire::{Message, Method, Name, Writer, grammar};

const NO_PRACK: &str = "no PRACK came for a reliable provisional response";

/// Provisional responses that wait for the PRACK of the one before; what comes beyond is dropped.
const WAITING: usize = 4;

// Ours.
impl Leg {
    /// 101-199 to a caller that requires it to be reliable.
    pub(super) fn provisional_reliably(
        &mut self,
        io: &mut Io<'_>,
        party: u8,
        status: u16,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let has_offer = self.session.proposed().is_some();
        let Usage::Offered(offered) = &mut self.usage else { return Err(Gone) };
        let Some(reliable) = &mut offered.reliable else { return Err(Gone) };
        if !has_offer || reliable.accepting.is_some() {
            return Ok(());
        }
        if reliable.open.is_some() {
            if reliable.waiting.len() < WAITING {
                reliable.waiting.push_back(Waiting::new(party, status, content));
            }
            return Ok(());
        }
        self.send_reliable(io, party, status, content)
    }

    fn send_reliable(
        &mut self,
        io: &mut Io<'_>,
        party: u8,
        status: u16,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let fresh = io.core.ident.tag();
        let Usage::Offered(offered) = &mut self.usage else { return Err(Gone) };
        let Offered { server, reliable: Some(reliable), .. } = &mut **offered else { return Err(Gone) };
        reliable.rseq += 1;
        let (server, rseq) = (*server, reliable.rseq);
        let party = offered.party(party, fresh, &self.session);
        // One answer to one offer, and it is said once (RFC 6337 §3.1.1): what a later response says of the session is the
        // business of a re-INVITE.
        let answer = sdp_of(content).filter(|_| !party.answered);
        if let Some(sdp) = answer {
            party.answered = true;
            party.session.answer(sdp);
        }
        let body = match sdp_of(content).is_some() && answer.is_none() {
            true => None,
            false => body_of(content, party.session.last_sent()),
        };
        let tag = party.tag;
        let (settings, flow) = (&io.core.settings, self.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Require, RELIABLE).begin(Name::RSeq).push_number(rseq.into());
            writer.header(Name::Allow, ALLOW).header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, content);
            writer.finish(body)
        };
        let sent =
            io.core.table.respond(io.now, server, status, Some(tag.as_bytes()), &mut io.core.outbox, write);
        if let Usage::Offered(offered) = &mut self.usage
            && let Some(reliable) = &mut offered.reliable
        {
            let open =
                Open { answers: answer.is_some(), at: io.now + T1, interval: T1, until: io.now + T1X64 };
            reliable.open = Some(open);
        }
        sent.map_err(|_| Gone)
    }

    /// Keeps a 2xx back whose answer stands in a response that is not acknowledged yet (RFC 3262 §3).
    pub(super) fn defer_accept(&mut self, party: u8, content: &Content<'_>) -> bool {
        let Usage::Offered(offered) = &mut self.usage else { return false };
        let Some(reliable) = &mut offered.reliable else { return false };
        if !reliable.answers() {
            return false;
        }
        reliable.accepting = Some(Waiting::new(party, 200, content));
        true
    }

    /// A PRACK of the caller's. `status`: what it is answered with if it is right.
    pub(super) fn on_prack(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let meant = message.header(Name::RAck).and_then(rack);
        let Some((next, accepting)) = meant.and_then(|meant| self.acknowledged(meant)) else {
            let refusal = if status < 300 { (481, "") } else { (status, OVERTAKEN) };
            return io.core.refuse(io.now, flow, message, refusal, &|_| ());
        };
        let offer = (message.has_sdp() && status < 300).then(|| message.body());
        let answer = offer.and_then(|offer| self.answer_early(message, offer));
        // What was acknowledged counts all the same.
        let status = if message.has_sdp() && answer.is_none() { 488.max(status) } else { status };
        let why = match status {
            200..=299 => "",
            488 => NO_ANSWER,
            _ => OVERTAKEN,
        };
        let tag = self.response_tag();
        let product = &io.core.settings.product;
        let body = answer.as_deref().map(|answer| (APPLICATION_SDP.as_bytes(), answer));
        io.core.table.answer(
            io.now,
            flow,
            message,
            None,
            (status, tag),
            &mut io.core.outbox,
            |mut writer| {
                writer.header(Name::Server, product.as_bytes());
                write_warning(&mut writer, why);
                writer.finish(body)
            },
        );
        if let Some(accept) = accepting {
            let _ = self.accept_as(io, accept.party, &accept.content());
        } else if let Some(next) = next {
            let _ = self.send_reliable(io, next.party, next.status, &next.content());
        }
        None
    }

    /// Our 18x is due: again, or no more. A caller that does not acknowledge it is not there (RFC 3262 §3).
    pub(super) fn reliable_due(&mut self, io: &mut Io<'_>) {
        let Usage::Offered(offered) = &mut self.usage else { return };
        let Some(open) = offered.reliable.as_mut().and_then(|reliable| reliable.open.as_mut()) else {
            return;
        };
        if io.now < open.until {
            if open.at <= io.now {
                open.interval *= 2;
                open.at = io.now + open.interval;
                io.core.table.respond_again(offered.server, &mut io.core.outbox);
            }
            return;
        }
        let (server, tag) = (offered.server, io.core.ident.tag());
        let product = &io.core.settings.product;
        let write = |mut writer: Writer<'_>| {
            writer.header(Name::Server, product.as_bytes());
            write_warning(&mut writer, NO_PRACK);
            writer.finish(None)
        };
        let tag = Some(tag.as_bytes());
        let _ = io.core.table.respond(io.now, server, 504, tag, &mut io.core.outbox, write);
        self.usage = Usage::Refusing;
        self.tell(io, Event::Lost { leg: io.id, status: 408, origin: Origin::Local });
    }
}

impl Leg {
    /// The answer to an offer in a PRACK (RFC 3262 §5): what stands on our side. The other side is told of the offer when the
    /// call is answered, for it may take no offer before. None: there is nothing yet that stands.
    fn answer_early(&mut self, message: &Message<'_>, offer: &[u8]) -> Option<Vec<u8>> {
        let branch = self.branch(message);
        let session = self.session_in(branch.as_deref())?;
        if session.exchange() != Exchange::Idle || session.local().is_empty() {
            return None;
        }
        let ours = as_answer(&session.own(), offer);
        session.offered(offer);
        Some(session.answer(&ours).to_vec())
    }

    /// The PRACK of a response that waits for it, by its RSeq and the CSeq of the INVITE: what may be sent next, and the 2xx
    /// that has waited. None: nothing waits for that.
    fn acknowledged(&mut self, meant: (u32, u32)) -> Option<(Option<Waiting>, Option<Waiting>)> {
        let Usage::Offered(offered) = &mut self.usage else {
            let overtaken = &mut self.aside.as_mut()?.overtaken;
            return overtaken.take_if(|overtaken| *overtaken == meant).map(|_| (None, None));
        };
        let cseq = offered.cseq;
        let reliable = offered.reliable.as_mut()?;
        reliable.open.take_if(|_| meant == (reliable.rseq, cseq))?;
        Some((reliable.waiting.pop_front(), reliable.accepting.take()))
    }
}

/// The value of RAck: RSeq and CSeq of the INVITE that is meant.
fn rack(value: &[u8]) -> Option<(u32, u32)> {
    let mut words = value.split(|&byte| grammar::is_lws(byte)).filter(|word| !word.is_empty());
    let (rseq, cseq, method) = (words.next()?, words.next()?, words.next()?);
    let whole = words.next().is_none() && method == Method::Invite.as_str().as_bytes();
    whole.then_some((grammar::decimal(rseq)?, grammar::decimal(cseq)?))
}

// The peer's.
impl Leg {
    /// Acknowledges a 18x that asks for it. False: it was seen before, or one before it was not.
    pub(super) fn take_reliable(&mut self, io: &mut Io<'_>, message: &Message<'_>) -> bool {
        let Some(rseq) = message.header(Name::RSeq).and_then(grammar::decimal) else { return true };
        if !names(message, Name::Require, RELIABLE) {
            return true;
        }
        let tag = message.to_tag().unwrap_or(b"");
        let Usage::Calling(calling) = &mut self.usage else { return false };
        let known = calling.early.iter().position(|early| early.dialog.remote_tag() == tag);
        let place = match known {
            Some(place) if calling.early[place].rseq.wrapping_add(1) == rseq => place,
            Some(_) => return false,
            None if calling.early.len() >= BRANCHES => return false,
            None => {
                let dialog = self.dialog.confirmed(message);
                let flow = dialog.hop(self.flow, None, &io.core.settings.listeners).or(self.flow);
                let (cseq, session) = (message.cseq().number, self.session.clone());
                calling.early.push(EarlyUac { dialog, flow, cseq, remote_cseq: None, rseq, session });
                calling.early.len() - 1
            }
        };
        let mut early = calling.early.remove(place);
        early.rseq = rseq;
        // Our INVITE asks for this only if it carries an offer, so SDP here is the answer.
        if message.has_sdp() && early.session.remote().is_empty() {
            early.session.answered(message.body());
        }
        calling.early.push(early);
        let cseq = message.cseq().number;
        let request = Request {
            kind: Kind::Prack,
            id: io.core.next_sent(),
            max_forwards: MAX_FORWARDS,
            body: None,
            branch: Some(tag.into()),
        };
        self.send_request(io, request, &|writer| {
            let mut line = writer.begin(Name::RAck);
            line.push_number(rseq.into()).push(" ").push_number(cseq.into()).push(" ");
            line.push(Method::Invite.as_str());
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rack_names_a_response_to_an_invite() {
        assert_eq!(rack(b"776656 1 INVITE"), Some((776656, 1)));
        assert_eq!(rack(b"1\t 2  INVITE"), Some((1, 2)));
        for text in [&b""[..], b"1", b"1 2", b"1 2 UPDATE", b"1 2 INVITE x", b"a 2 INVITE", b"1 b INVITE"] {
            assert_eq!(rack(text), None, "{}", text.escape_ascii());
        }
    }
}
