//! Provisional responses that are acknowledged (RFC 3262), each side by itself.
//!
//! To a caller that requires it, every 18x of ours is sent until its PRACK comes, one at a time, and a 2xx waits for the
//! PRACK of the answer. A 18x of a peer that asks for a PRACK gets one in its early dialog. A caller that sent no offer
//! would have to be sent one in the first 18x; since nobody here can take its answer before the call is answered, such a
//! caller gets no 18x at all.

use super::accept::tag_of;
use super::modify::NO_ANSWER;
use super::send::{MAX_FORWARDS, Request, body_of, keep_fields, sdp_of, write_contact};
use super::usage::{Kind, Leg, Offered, Usage};
use super::{Body, Content, Event, Field, LegId, Origin, carry, connect};
use crate::sip::dialog::Dialog;
use crate::sip::dispatch::{OVERTAKEN, write_warning};
use crate::sip::flow::Flow;
use crate::sip::offer_answer::{Exchange, Session};
use crate::sip::pace::Gap;
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::{T1, T1X64, Time};
use crate::wire::grammar::{self, Commas};
use crate::wire::headers::{ALLOW, APPLICATION_SDP, RELIABLE};
use crate::wire::sdp::as_answer;
use crate::wire::{Message, Method, Name, Writer};
use std::collections::VecDeque;
use std::time::Duration;

const NO_PRACK: &str = "no PRACK came for a reliable provisional response";

/// Provisional responses that wait for the PRACK of the one before; what comes beyond is dropped.
const WAITING: usize = 4;

/// Our side of an INVITE that requires it.
#[derive(Debug)]
pub(crate) struct Reliable {
    /// RSeq of the last one sent; grows by one with each.
    rseq: u32,
    open: Option<Open>,
    waiting: VecDeque<Waiting>,
    /// The 2xx, which waits for the PRACK of its answer.
    accepting: Option<Waiting>,
}

/// Sent and not acknowledged.
#[derive(Debug)]
struct Open {
    /// It carries the answer.
    answers: bool,
    /// When it is sent again.
    at: Time,
    /// The interval that ends then.
    interval: Duration,
    /// When it is given up.
    until: Time,
}

/// A response that may not be sent yet.
#[derive(Debug)]
struct Waiting {
    party: u8,
    status: u16,
    fields: Box<[Field]>,
    sdp: Option<Box<[u8]>>,
}

impl Waiting {
    fn content(&self) -> Content<'_> {
        let body = self.sdp.as_deref().map_or(Body::None, Body::Sdp);
        Content { fields: &self.fields, body, ..Content::default() }
    }
}

fn waiting(party: u8, status: u16, content: &Content<'_>) -> Waiting {
    Waiting { party, status, fields: keep_fields(content), sdp: sdp_of(content).map(Into::into) }
}

impl Reliable {
    /// The first RSeq is drawn from 1 to 2^31 - 1 (RFC 3262 §3).
    pub(crate) fn new(first: u32) -> Reliable {
        Reliable { rseq: first & 0x3fff_ffff, open: None, waiting: VecDeque::new(), accepting: None }
    }

    /// The process stood still: the copies go by true time, the end of the patience does not.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        if let Some(open) = &mut self.open {
            open.at = gap.back(now, open.at);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.at.min(open.until))
    }

    /// RSeq of the one that is not acknowledged.
    pub(crate) fn waits_for(&self) -> Option<u32> {
        self.open.as_ref().map(|_| self.rseq)
    }

    /// Our answer may not have been seen yet.
    pub(crate) fn answers(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.answers)
    }
}

/// A branch of our INVITE that sent reliable provisional responses.
#[derive(Debug)]
pub(crate) struct EarlyUac {
    pub(crate) dialog: Dialog,
    pub(crate) flow: Flow,
    /// CSeq of our last request in it, the INVITE at first (RFC 3261 §12.1.2).
    pub(crate) cseq: u32,
    /// CSeq of the peer's last request in it.
    pub(crate) remote_cseq: Option<u32>,
    /// RSeq of the last one acknowledged.
    rseq: u32,
    /// Offer and answer in it.
    pub(crate) session: Session,
}

/// Whether a message names an extension in that header.
pub(crate) fn names(message: &Message<'_>, header: Name, option: &str) -> bool {
    message.headers(header).flat_map(Commas::new).any(|one| one.eq_ignore_ascii_case(option.as_bytes()))
}

// Ours.
impl Stack {
    /// 101-199 to a caller that requires it to be reliable.
    pub(crate) fn provisional_reliably(
        &mut self,
        now: Time,
        id: LegId,
        party: u8,
        status: u16,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let has_offer = leg.session.proposed().is_some();
        let Usage::Offered(offered) = &mut leg.usage else { return Err(Gone) };
        let Some(reliable) = &mut offered.reliable else { return Err(Gone) };
        if !has_offer || reliable.accepting.is_some() {
            return Ok(());
        }
        if reliable.open.is_some() {
            if reliable.waiting.len() < WAITING {
                reliable.waiting.push_back(waiting(party, status, content));
            }
            return Ok(());
        }
        self.send_reliable(now, id, party, status, content)
    }

    fn send_reliable(
        &mut self,
        now: Time,
        id: LegId,
        party: u8,
        status: u16,
        content: &Content<'_>,
    ) -> Result<(), Gone> {
        let fresh = self.ident.tag();
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let Usage::Offered(offered) = &mut leg.usage else { return Err(Gone) };
        let Offered { server, reliable: Some(reliable), .. } = &mut **offered else { return Err(Gone) };
        reliable.rseq += 1;
        let (server, rseq) = (*server, reliable.rseq);
        let party = offered.party(party, fresh, &leg.session);
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
        let (settings, flow) = (&self.settings, leg.flow);
        let write = |mut writer: Writer<'_>| {
            write_contact(&mut writer, &settings.listeners, flow);
            writer.header(Name::Require, RELIABLE).begin(Name::RSeq).push_number(rseq.into());
            writer.header(Name::Allow, ALLOW).header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, content);
            writer.finish(body)
        };
        let sent = self.table.respond(now, server, status, Some(tag.as_bytes()), &mut self.outbox, write);
        if let Usage::Offered(offered) = &mut leg.usage
            && let Some(reliable) = &mut offered.reliable
        {
            let open = Open { answers: answer.is_some(), at: now + T1, interval: T1, until: now + T1X64 };
            reliable.open = Some(open);
        }
        self.settle(now, id);
        sent.map_err(|_| Gone)
    }

    /// Keeps a 2xx back whose answer stands in a response that is not acknowledged yet (RFC 3262 §3).
    pub(crate) fn defer_accept(&mut self, id: LegId, party: u8, content: &Content<'_>) -> bool {
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let Usage::Offered(offered) = &mut leg.usage else { return false };
        let Some(reliable) = &mut offered.reliable else { return false };
        if !reliable.answers() {
            return false;
        }
        reliable.accepting = Some(waiting(party, 200, content));
        true
    }

    /// A PRACK of the caller's. `status`: what it is answered with if it is right.
    pub(crate) fn on_prack(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
        status: u16,
    ) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        let meant = message.header(Name::RAck).and_then(rack);
        let Some((next, accepting)) = meant.and_then(|meant| leg.acknowledged(meant)) else {
            let refusal = if status < 300 { (481, "") } else { (status, OVERTAKEN) };
            return self.refuse(now, flow, message, refusal, &|_| ());
        };
        let offer = (message.has_sdp() && status < 300).then(|| message.body());
        let answer = offer.and_then(|offer| leg.answer_early(message, offer));
        // What was acknowledged counts all the same.
        let status = if message.has_sdp() && answer.is_none() { 488.max(status) } else { status };
        let why = match status {
            200..=299 => "",
            488 => NO_ANSWER,
            _ => OVERTAKEN,
        };
        let tag = tag_of(leg).to_vec();
        let product = &self.settings.product;
        let body = answer.as_deref().map(|answer| (APPLICATION_SDP.as_bytes(), answer));
        self.table.answer(now, flow, message, None, (status, &tag), &mut self.outbox, |mut writer| {
            writer.header(Name::Server, product.as_bytes());
            write_warning(&mut writer, why);
            writer.finish(body)
        });
        if let Some(accept) = accepting {
            let _ = self.accept_as(now, id, accept.party, &accept.content());
        } else if let Some(next) = next {
            let _ = self.send_reliable(now, id, next.party, next.status, &next.content());
        }
        self.settle(now, id);
        None
    }

    /// Our 18x is due: again, or no more. A caller that does not acknowledge it is not there (RFC 3262 §3).
    pub(crate) fn reliable_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let Usage::Offered(offered) = &mut leg.usage else { return };
        let Some(open) = offered.reliable.as_mut().and_then(|reliable| reliable.open.as_mut()) else {
            return;
        };
        if now < open.until {
            if open.at <= now {
                open.interval *= 2;
                open.at = now + open.interval;
                self.table.respond_again(offered.server, &mut self.outbox);
            }
            return;
        }
        let event = self.told(id, Event::Lost { leg: id, status: 408, origin: Origin::Local });
        let (server, tag) = (offered_server(&self.legs, id), self.ident.tag());
        if let Some(server) = server {
            let product = &self.settings.product;
            let _ =
                self.table.respond(now, server, 504, Some(tag.as_bytes()), &mut self.outbox, |mut writer| {
                    writer.header(Name::Server, product.as_bytes());
                    write_warning(&mut writer, NO_PRACK);
                    writer.finish(None)
                });
        }
        if let Some(leg) = self.legs.get_mut(id.into()) {
            leg.usage = Usage::Refusing;
        }
        self.events.extend(event);
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
impl Stack {
    /// Acknowledges a 18x that asks for it. False: it was seen before, or one before it was not.
    pub(crate) fn take_reliable(&mut self, now: Time, id: LegId, message: &Message<'_>) -> bool {
        let Some(rseq) = message.header(Name::RSeq).and_then(grammar::decimal) else { return true };
        if !names(message, Name::Require, RELIABLE) {
            return true;
        }
        let Some(leg) = self.legs.get_mut(id.into()) else { return false };
        let tag = message.to_tag().unwrap_or(b"");
        let Usage::Calling(calling) = &mut leg.usage else { return false };
        let known = calling.early.iter().position(|early| early.dialog.remote_tag() == tag);
        let place = match known {
            Some(place) if calling.early[place].rseq.wrapping_add(1) == rseq => place,
            Some(_) => return false,
            None if calling.early.len() >= BRANCHES => return false,
            None => {
                let dialog = connect::confirmed(&leg.dialog, message);
                let flow = dialog.hop(leg.flow, None, &self.settings.listeners).or(leg.flow);
                let (cseq, session) = (message.cseq().number, leg.session.clone());
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
        let within = (early.dialog.clone(), early.flow);
        calling.early.push(early);
        let cseq = message.cseq().number;
        let request = Request {
            method: Method::Prack,
            kind: Kind::Prack,
            id: self.next_sent(),
            max_forwards: MAX_FORWARDS,
            offered: false,
            body: None,
            within: Some(within),
        };
        self.send_request(now, id, &request, &|writer| {
            let mut line = writer.begin(Name::RAck);
            line.push_number(rseq.into()).push(" ").push_number(cseq.into()).push(" ");
            line.push(Method::Invite.as_str());
        });
        true
    }
}

/// Branches of one INVITE that are listened to.
pub(crate) const BRANCHES: usize = 8;

fn offered_server(
    legs: &crate::sip::slab::Slab<Leg>,
    id: LegId,
) -> Option<crate::sip::transaction::ServerId> {
    match &legs.get(id.into())?.usage {
        Usage::Offered(offered) => Some(offered.server),
        _ => None,
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
