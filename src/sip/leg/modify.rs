//! Requests that pass inside a leg: re-INVITE, UPDATE, INFO (RFC 3261 §14, RFC 3311, RFC 6086, RFC 6141).

use super::accept::{UNREADABLE, carries, tag_of, write_acceptable};
use super::presence::{Purpose, is_doubtful};
use super::send::{MAX_FORWARDS, Request, body_of, sdp_of, write_contact};
use super::session_timer::{Demand, demand, write_demand};
use super::usage::{Kind, Leg, PendingUac, PendingUas, Usage};
use super::{Body, Content, Event, InDialogRequest, LegId, Origin, RequestId, SentId, carry};
use crate::sip::dialog::{Dialog, Parts};
use crate::sip::flow::{Flow, Listener};
use crate::sip::identity;
use crate::sip::offer_answer::{Exchange, differs};
use crate::sip::stack::{Gone, NotSent, Stack};
use crate::sip::timing::{Now, Time};
use crate::wire::headers::{ALLOW, APPLICATION_SDP};
use crate::wire::sdp::as_answer;
use crate::wire::{Message, Method, Name, Writer};

// Verbs.
impl Stack {
    /// The peer's re-INVITE, UPDATE or INFO (of another leg), sent in this one. Answered by one
    /// [`Event::Response`].
    ///
    /// # Errors
    /// [`NotSent::Pending`] while an offer or an INVITE is outstanding in this leg, our 2xx is not acknowledged, or it is not
    /// yet answered.
    pub fn pass(
        &mut self,
        now: Now,
        leg: LegId,
        message: &Message<'_>,
        identity: bool,
    ) -> Result<SentId, NotSent> {
        let (id, sent) = (leg, self.next_sent());
        let leg = self.legs.get_mut(id.into()).ok_or(NotSent::Gone)?;
        let within = leg.early_for(message.method())?;
        let early: Option<Box<[u8]>> =
            within.as_ref().map(|(dialog, _)| leg.branch_tag(dialog.local_tag(), dialog.remote_tag()).into());
        let session = leg.session_in(early.as_deref()).ok_or(NotSent::Pending)?;
        let idle = session.exchange() == Exchange::Idle;
        // Each side by itself: who takes no UPDATE can be asked the same by a re-INVITE.
        let method = match message.method() {
            Method::Update if within.is_none() && !leg.updates => Method::Invite,
            method => method,
        };
        let (kind, free) = match method {
            Method::Invite => (Kind::Modify, idle && !leg.invite_under_way()),
            // An answer of ours is sure to be known once what it stands in is acknowledged (RFC 3311 §5.1).
            Method::Update => (Kind::Update, (idle && !leg.is_answer_open()) || !message.has_sdp()),
            _ => (Kind::Info, true),
        };
        if !free {
            return Err(NotSent::Pending);
        }
        // What an UPDATE says without an offer is said beside what stands.
        let own = (kind == Kind::Modify && message.method() == Method::Update && !message.has_sdp())
            .then(|| leg.session.own().into_owned());
        let offered = (message.has_sdp() || own.is_some()) && kind != Kind::Info;
        let session = leg.session_in(early.as_deref()).filter(|_| offered);
        let sdp = own.as_deref().unwrap_or(message.body());
        let offer = session.map(|session| session.offer(sdp).to_vec());
        let body = if own.is_some() { Body::Sdp(sdp) } else { Body::Copied };
        let content = Content { copy: Some(message), identity, fields: &[], body };
        let request = Request {
            method,
            kind,
            id: sent,
            max_forwards: message.max_forwards().unwrap_or(MAX_FORWARDS).saturating_sub(1),
            offered,
            body: body_of(&content, offer.as_deref().unwrap_or(message.body())),
            within,
        };
        self.send_request(now.mono, id, &request, &|writer| carry::write(writer, &content))
            .ok_or(NotSent::Gone)
    }

    /// A re-INVITE of our own: with an SDP it offers that, without one it asks for an offer (then see
    /// [`Event::Response`], `needs_answer`). Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// As for [`Stack::pass`].
    pub fn reinvite(&mut self, now: Now, leg: LegId, content: Content<'_>) -> Result<SentId, NotSent> {
        let (id, sent) = (leg, self.next_sent());
        let leg = self.legs.get_mut(id.into()).ok_or(NotSent::Gone)?;
        leg.may_ask()?;
        if leg.session.exchange() != Exchange::Idle || leg.invite_under_way() {
            return Err(NotSent::Pending);
        }
        let offer = sdp_of(&content).map(|sdp| leg.session.offer(sdp).to_vec());
        let request = Request {
            method: Method::Invite,
            kind: Kind::Modify,
            id: sent,
            max_forwards: MAX_FORWARDS,
            offered: offer.is_some(),
            body: body_of(&content, offer.as_deref().unwrap_or_default()),
            within: None,
        };
        self.send_request(now.mono, id, &request, &|writer| carry::write(writer, &content))
            .ok_or(NotSent::Gone)
    }

    /// A re-INVITE with the session as it stands: what our side wants of it, and never a direction that only answered the
    /// peer's hold; the `o=` line is the last one if nothing has changed. It asks whether the peer is in the dialog, so that a
    /// 481 to it is only told, and ends nothing. Answered by one [`Event::Response`].
    ///
    /// # Errors
    /// As for [`Stack::pass`]; [`NotSent::Pending`] also where no session stands.
    pub fn restate(&mut self, now: Now, leg: LegId) -> Result<SentId, NotSent> {
        self.restate_for(now.mono, leg, Purpose::Question)
    }

    pub(crate) fn restate_for(&mut self, now: Time, id: LegId, purpose: Purpose) -> Result<SentId, NotSent> {
        let sent = self.next_sent();
        let leg = self.legs.get_mut(id.into()).ok_or(NotSent::Gone)?;
        leg.may_ask()?;
        let own = leg.session.own().into_owned();
        if own.is_empty() || leg.session.exchange() != Exchange::Idle || leg.invite_under_way() {
            return Err(NotSent::Pending);
        }
        let offer = leg.session.offer(&own).to_vec();
        let request = Request {
            method: Method::Invite,
            kind: Kind::Modify,
            id: sent,
            max_forwards: MAX_FORWARDS,
            offered: true,
            body: Some((APPLICATION_SDP.as_bytes(), &offer)),
            within: None,
        };
        let name = self.send_request(now, id, &request, &|_| ()).ok_or(NotSent::Gone)?;
        if let Some(sent) = self.legs.get_mut(id.into()).and_then(|leg| leg.sent.last_mut()) {
            sent.purpose = purpose;
        }
        Ok(name)
    }

    /// The offer of a request of the peer's that waits for our answer. None: it carries none, or has its answer.
    pub fn offer_of(&mut self, request: RequestId) -> Option<&[u8]> {
        let id = self.table.owner(request.0).flatten()?;
        let leg = self.legs.get_mut(id.into())?;
        let asked = leg.asked.iter().find(|asked| asked.server == request.0 && asked.offered)?;
        let branch = asked.branch.clone();
        leg.session_in(branch.as_deref())?.offered_now()
    }

    /// Takes back a re-INVITE that was passed: CANCEL. Its [`Event::Response`] comes all the same, and may be a 2xx that
    /// crossed the CANCEL. Nothing happens for other requests, which cannot be cancelled (RFC 3261 §9.1).
    pub fn withdraw(&mut self, now: Now, leg: LegId, sent: SentId) {
        let sent = |one: &&mut PendingUac| one.id == sent && one.kind == Kind::Modify;
        if let Some(found) = self.legs.get_mut(leg.into()).and_then(|leg| leg.sent.iter_mut().find(sent)) {
            // It is not sent again, whatever it is refused with.
            found.request = None;
            let _ = self.table.cancel(now.mono, found.client, b"", &mut self.outbox);
        }
    }

    /// Answers an [`Event::Request`]. 1xx allowed for a re-INVITE. An offer that a 2xx would leave without an answer is
    /// refused: 488.
    ///
    /// # Errors
    /// It has its answer: the peer cancelled it or ended the leg.
    pub fn respond(
        &mut self,
        now: Now,
        request: RequestId,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        let id = self.table.owner(request.0).flatten().ok_or(Gone)?;
        let leg = self.legs.get_mut(id.into()).ok_or(Gone)?;
        let place = leg.asked.iter().position(|asked| asked.server == request.0).ok_or(Gone)?;
        let asked = &mut leg.asked[place];
        let (kind, cseq, offered, demand) = (asked.kind, asked.cseq, asked.offered, asked.demand);
        let branch = asked.branch.clone();
        let unanswered = offered && (200..300).contains(&status) && sdp_of(&content).is_none();
        let why = [identity::warning(NO_ANSWER)];
        let refusal = Content { fields: &why, ..Content::default() };
        let (status, content) = if unanswered { (488, refusal) } else { (status, content) };
        // Whoever was asked beside what stands has answered with a session; nobody here has offered one.
        let unasked = kind == InDialogRequest::Update && !offered;
        let content = if unasked { Content { body: Body::None, ..content } } else { content };
        if status >= 200 {
            leg.asked.remove(place);
        }
        if kind == InDialogRequest::Modify && (200..300).contains(&status) {
            return self.accept_invite(now.mono, id, (request.0, cseq, demand), &content);
        }
        let mut dressed = Vec::new();
        if let Some(session) = leg.session_in(branch.as_deref()).filter(|_| offered && status >= 200) {
            match sdp_of(&content).filter(|_| status < 300) {
                Some(sdp) => dressed = session.answer(sdp).to_vec(),
                None => session.refused(),
            }
        }
        let agrees = kind == InDialogRequest::Update && (200..300).contains(&status);
        if agrees && leg.is_answered() {
            leg.agree(now.mono, demand);
        }
        let dressed = if offered { &dressed } else { sdp_of(&content).unwrap_or_default() };
        let (settings, flow, body) = (&self.settings, leg.flow, body_of(&content, dressed));
        let write = |mut writer: Writer<'_>| {
            if status < 300 && kind != InDialogRequest::Info {
                write_contact(&mut writer, &settings.listeners, flow);
                writer.header(Name::Allow, ALLOW);
                settings.supported().write(&mut writer);
            }
            if agrees {
                write_demand(&mut writer, demand);
            }
            writer.header(Name::Server, settings.product.as_bytes());
            carry::write(&mut writer, &content);
            writer.finish(body)
        };
        let tag = Some(tag_of(leg));
        let sent = self.table.respond(now.mono, request.0, status, tag, &mut self.outbox, write);
        self.settle(now.mono, id);
        sent.map_err(|_| Gone)
    }
}

impl Leg {
    /// Whether a request of the INVITE usage may be sent now.
    pub(crate) fn may_ask(&self) -> Result<(), NotSent> {
        match self.usage {
            Usage::Confirmed => Ok(()),
            Usage::Offered(_) | Usage::Calling(_) => Err(NotSent::Pending),
            Usage::Refusing | Usage::Closing | Usage::Over => Err(NotSent::Gone),
        }
    }

    /// The early dialog in which a request of that method may be sent now; None: the leg is answered. Before the answer
    /// that is UPDATE only, where the peer takes it and has an early dialog with us (RFC 3311 §5.1).
    fn early_for(&self, method: Method) -> Result<Option<(Dialog, Flow)>, NotSent> {
        let free = method == Method::Update && self.updates;
        match &self.usage {
            Usage::Offered(offered) if free => {
                let party = offered.parties.last().ok_or(NotSent::Pending)?;
                let dialog = Dialog::new(Parts { local_tag: party.tag.as_bytes(), ..self.dialog.parts() });
                Ok(Some((dialog, self.flow)))
            }
            Usage::Calling(calling) if free && calling.cancelled.is_none() => {
                let early = calling.early.last().ok_or(NotSent::Pending)?;
                Ok(Some((early.dialog.clone(), early.flow)))
            }
            _ => self.may_ask().map(|()| None),
        }
    }

    /// The Contact of a request or 2xx that refreshes the target, and the methods that the peer takes. True: the leg's next
    /// hop may be another.
    pub(crate) fn refresh(&mut self, message: &Message<'_>, listeners: &[Listener]) -> bool {
        self.note_allow(message);
        let Some(contact) = message.contact().filter(|_| self.moves) else { return false };
        let Usage::Calling(calling) = &mut self.usage else {
            return self.dialog.refresh_target(contact.uri.bytes);
        };
        // It is the early dialog's; the leg's own target is where the INVITE goes.
        let tag = if message.is_request() { message.from_tag() } else { message.to_tag() };
        let early = calling.early.iter_mut().find(|early| Some(early.dialog.remote_tag()) == tag);
        if let Some(early) = early
            && early.dialog.refresh_target(contact.uri.bytes)
        {
            early.flow = early.dialog.hop(early.flow, None, listeners).or(early.flow);
        }
        false
    }

    /// Whether an offer of the peer's changes nothing: a refresh of the session (RFC 4028 §7.4).
    fn is_refresh(&self, message: &Message<'_>) -> bool {
        self.session.exchange() == Exchange::Idle
            && !self.session.local().is_empty()
            && message.body() == self.session.remote()
    }
}

/// Why an offer gets no 2xx that would have to answer it.
pub(crate) const NO_ANSWER: &str = "nobody has answered its offer";
const GLARE: &str = "an offer or INVITE of Baton's own is under way";
const TOO_SOON: &str = "an earlier request about the session is not done";

// Requests of the peer.
impl Stack {
    pub(crate) fn on_reinvite(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let leg = self.legs.get(id.into())?;
        match leg.usage {
            Usage::Confirmed => {}
            Usage::Offered(_) => return self.refuse_for_a_while(now, flow, message),
            Usage::Calling(_) => return self.refuse(now, flow, message, (491, GLARE), &|_| ()),
            Usage::Refusing | Usage::Closing | Usage::Over => {
                return self.refuse(now, flow, message, (481, ""), &|_| ());
            }
        }
        if !carries(message) {
            return self.refuse(now, flow, message, (415, UNREADABLE), &write_acceptable);
        }
        // Ours is outstanding: glare (RFC 3261 §14.2). Theirs is: they must wait for it.
        if leg.session.exchange() == Exchange::Ours || leg.asks_invite() {
            return self.refuse(now, flow, message, (491, GLARE), &|_| ());
        }
        if leg.invite_under_way() || leg.session.exchange() == Exchange::Theirs {
            return self.refuse_for_a_while(now, flow, message);
        }
        let demand = match demand(self.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => return self.refuse_short(now, flow, message, short),
        };
        let refreshes = message.has_sdp() && leg.is_refresh(message);
        if !self.hears_identity(id, message) && refreshes {
            self.answer_refresh(now, flow, id, message, demand);
            return None;
        }
        let event = self.ask(now, flow, id, message, InDialogRequest::Modify, demand)?;
        let Event::Request { request, .. } = event else { return None };
        // It was opened just now, so it is open. The other side takes its time.
        let _ = self.table.respond(now, request.0, 100, None, &mut self.outbox, |writer| writer.finish(None));
        self.told(id, event)
    }

    pub(crate) fn on_update(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        let leg = self.legs.get_mut(id.into())?;
        match &leg.usage {
            Usage::Confirmed | Usage::Offered(_) | Usage::Calling(_) => {}
            Usage::Refusing | Usage::Closing | Usage::Over => {
                return self.refuse(now, flow, message, (481, ""), &|_| ());
            }
        }
        if !carries(message) {
            return self.refuse(now, flow, message, (415, UNREADABLE), &write_acceptable);
        }
        let branch = leg.branch(message);
        if branch.as_deref().is_some_and(|branch| !leg.is_heard(branch)) {
            // What it asks would be asked of another branch of the fork, which is the one that is heard now.
            return self.refuse_for_a_while(now, flow, message);
        }
        let session = leg.session_in(branch.as_deref())?;
        // Before the first offer is answered there is nothing that could be changed.
        let premature = message.has_sdp() && session.remote().is_empty();
        // RFC 3311 §5.2.
        match session.exchange() {
            Exchange::Idle if premature => return self.refuse_for_a_while(now, flow, message),
            Exchange::Ours if message.has_sdp() => {
                return self.refuse(now, flow, message, (491, GLARE), &|_| ());
            }
            Exchange::Theirs if message.has_sdp() => return self.refuse_for_a_while(now, flow, message),
            Exchange::Ours | Exchange::Theirs | Exchange::Idle => {}
        }
        let demand = match demand(self.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => return self.refuse_short(now, flow, message, short),
        };
        let again = leg.is_answered() && message.has_sdp() && leg.is_refresh(message);
        let standing = again.then(|| as_answer(leg.session.local(), message.body()));
        // Before the answer there may be nobody yet who could be told.
        let told = leg.is_answered();
        let told = self.hears_identity(id, message) && told;
        let event = self.ask(now, flow, id, message, InDialogRequest::Update, demand)?;
        let Event::Request { request, .. } = event else { return None };
        if (message.body().is_empty() || again) && !told {
            // It refreshes the session or the target, and both are each side's own.
            let now = Now { mono: now, ..Now::default() };
            let body = standing.as_deref().map_or(Body::None, Body::Sdp);
            let _ = self.respond(now, request, 200, Content { body, ..Content::default() });
            return None;
        }
        self.told(id, event)
    }

    /// A re-INVITE that changes nothing is answered with what stands; the other side has no part in it.
    fn answer_refresh(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
        demand: Option<Demand>,
    ) {
        let server = self.table.open(now, flow, message, Some(id));
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        leg.session.offered(message.body());
        // What stands may have been an offer of ours, in directions that the peer's does not allow.
        let local = as_answer(leg.session.local(), message.body());
        if leg.refresh(message, &self.settings.listeners) {
            self.aim(id);
        }
        let content = Content { body: Body::Sdp(&local), ..Content::default() };
        // It was opened just now, so it is open.
        let _ = self.accept_invite(now, id, (server, message.cseq().number, demand), &content);
    }

    pub(crate) fn on_info(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
    ) -> Option<Event> {
        match self.legs.get(id.into())?.usage {
            Usage::Refusing | Usage::Closing | Usage::Over => {
                self.refuse(now, flow, message, (481, ""), &|_| ())
            }
            Usage::Offered(_) | Usage::Calling(_) | Usage::Confirmed => {
                let event = self.ask(now, flow, id, message, InDialogRequest::Info, None)?;
                self.told(id, event)
            }
        }
    }

    /// Keeps a request that the layer above answers.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        flow: Flow,
        id: LegId,
        message: &Message<'_>,
        kind: InDialogRequest,
        demand: Option<Demand>,
    ) -> Option<Event> {
        let server = self.table.open(now, flow, message, Some(id));
        let leg = self.legs.get_mut(id.into())?;
        let changes = matches!(kind, InDialogRequest::Modify | InDialogRequest::Update);
        let offered = changes && message.has_sdp();
        let branch = leg.branch(message);
        if let Some(session) = leg.session_in(branch.as_deref()).filter(|_| offered) {
            session.offered(message.body());
        }
        let refreshed = changes && leg.refresh(message, &self.settings.listeners);
        leg.asked.push(PendingUas {
            server,
            kind,
            cseq: message.cseq().number,
            offered,
            branch,
            no_subscription: super::decision::refuses_subscription(message),
            demand,
        });
        if refreshed {
            self.aim(id);
        }
        Some(Event::Request { leg: id, request: RequestId(server), kind })
    }

    /// 500 with a Retry-After of 0 to 10 s: an earlier offer or INVITE of the peer is not answered yet (RFC 3261
    /// §14.2, RFC 3311 §5.2).
    fn refuse_for_a_while(&mut self, now: Time, flow: Flow, message: &Message<'_>) -> Option<Event> {
        let seconds = self.ident.millis_below(11);
        self.refuse(now, flow, message, (500, TOO_SOON), &|writer| {
            writer.begin(Name::RetryAfter).push_number(seconds.into());
        })
    }
}

/// Whether the final response to a re-INVITE of ours says that another request is under way, and it may be tried again soon:
/// 491, or 500 with Retry-After from a peer whose last INVITE is not done yet (RFC 3261 §14.2).
pub fn is_glare(status: u16, message: Option<&Message<'_>>) -> bool {
    status == 491 || (status == 500 && message.is_some_and(|m| m.header(Name::RetryAfter).is_some()))
}

// Answers to ours.
impl Stack {
    /// The 2xx to a re-INVITE of ours.
    pub(crate) fn on_modified(
        &mut self,
        now: Time,
        id: LegId,
        sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        let (name, status) = (sent.id, message.status()?);
        self.on_refreshed(now, id, name, status);
        let leg = self.legs.get_mut(id.into())?;
        leg.agreed(now, self.settings.session_timer, message);
        let refreshed = leg.refresh(message, &self.settings.listeners);
        let before: Option<Box<[u8]>> =
            (sent.purpose == Purpose::Confirmation).then(|| leg.session.remote().into());
        let needs_answer = self.take_2xx(now, id, sent, message, Vec::new());
        if refreshed {
            self.aim(id);
        }
        let open = self.legs.get(id.into()).is_some_and(|leg| !leg.released && leg.is_answered());
        let needs_answer = needs_answer && open;
        let place = self.legs.get(id.into()).and_then(Leg::unanswered);
        if let Some(place) = place.filter(|_| !needs_answer) {
            self.acknowledge_sent(id, place, &Content::default());
        }
        let session = self.legs.get(id.into()).map(Leg::session);
        if before.zip(session).is_some_and(|(before, session)| !differs(&before, session.remote())) {
            // Nobody but the stack has a part in it.
            return None;
        }
        self.told(id, Event::Response { leg: id, sent: name, status, origin: Origin::Remote, needs_answer })
    }

    /// Any other final response to a request that the layer above sent.
    pub(crate) fn on_answer(
        &mut self,
        now: Time,
        id: LegId,
        sent: &PendingUac,
        (status, origin): (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let refreshed = self.on_refreshed(now, id, sent.id, status);
        let leg = self.legs.get_mut(id.into())?;
        let accepted = response.filter(|_| (200..300).contains(&status));
        if let Some(session) = leg.session_in(sent.branch.as_deref()).filter(|_| sent.offered) {
            match accepted.and_then(|message| session.answer_in(message)) {
                Some(answer) => session.answered(answer),
                None if is_doubtful(status) => session.unanswered(),
                None => session.refused(),
            }
        }
        if accepted.is_none() && self.weigh(now, id, sent, (status, origin)) {
            return None;
        }
        let leg = self.legs.get_mut(id.into())?;
        if let Some(message) = accepted.filter(|_| sent.kind == Kind::Update) {
            if leg.is_answered() {
                leg.agreed(now, self.settings.session_timer, message);
            }
            if leg.refresh(message, &self.settings.listeners) {
                self.aim(id);
            }
        }
        if sent.purpose == Purpose::Confirmation {
            // Only what ends the leg was waited for: it begins anew.
            if let Some(keepalive) = self.legs.get_mut(id.into()).and_then(|leg| leg.keepalive.as_mut()) {
                keepalive.forgive();
            }
            return None;
        }
        if refreshed {
            return None;
        }
        self.told(id, Event::Response { leg: id, sent: sent.id, status, origin, needs_answer: false })
    }
}
