//! Requests that pass inside a leg: re-INVITE, UPDATE, INFO (RFC 3261 §14, RFC 3311, RFC 6086, RFC 6141).

use super::accept::{UNREADABLE, write_acceptable};
use super::content::{Body, Content, body_of, sdp_of};
use super::event::{Event, Gone, InDialogRequest, NotSent, Origin, RequestId, SentId};
use super::pending::{Kind, PendingUac, PendingUas, Purpose};
use super::presence::is_doubtful;
use super::reading::carries;
use super::send::Request;
use super::session_timer::{Demand, demand, write_demand};
use super::usage::Usage;
use super::write::{MAX_FORWARDS, write_contact};
use super::{Leg, carry};
use crate::sip::core::Io;
use crate::sip::flow::{Flow, Listener};
use crate::sip::identity;
use crate::sip::offer_answer::{Exchange, Session, differs};
use crate::wire::headers::ALLOW;
use crate::wire::sdp::as_answer;
use crate::wire::{Message, Method, Name, Writer};

pub use super::reading::is_glare;

// Verbs.
impl Leg {
    /// What [`crate::sip::Stack::pass`] does.
    pub(crate) fn pass(
        &mut self,
        io: &mut Io<'_>,
        message: &Message<'_>,
        identity: bool,
    ) -> Result<SentId, NotSent> {
        let sent = io.core.next_sent();
        let branch = self.early_for(message.method())?;
        let session = self.session_of(branch.as_deref()).ok_or(NotSent::Pending)?;
        let idle = session.exchange() == Exchange::Idle;
        // Each side by itself: who takes no UPDATE can be asked the same by a re-INVITE.
        let method = match message.method() {
            Method::Update if branch.is_none() && !self.updates => Method::Invite,
            method => method,
        };
        let free = match method {
            Method::Invite => idle && !self.invite_under_way(),
            // An answer of ours is sure to be known once what it stands in is acknowledged (RFC 3311 §5.1).
            Method::Update => (idle && !self.is_answer_open()) || !message.has_sdp(),
            _ => true,
        };
        if !free {
            return Err(NotSent::Pending);
        }
        // What an UPDATE says without an offer is said beside what stands.
        let own = (method == Method::Invite && message.method() == Method::Update && !message.has_sdp())
            .then(|| self.session.own().into_owned());
        let offered = message.has_sdp() || own.is_some();
        let kind = match method {
            Method::Invite => Kind::modify(offered),
            Method::Update => Kind::Update { offered },
            _ => Kind::Info,
        };
        let sdp = own.as_deref().unwrap_or(message.body());
        if let Some(session) = self.session_in(branch.as_deref()).filter(|_| kind.offers()) {
            session.offer(sdp);
        }
        let body = if own.is_some() { Body::Sdp(sdp) } else { Body::Copied };
        let content = Content { copy: Some(message), identity, fields: &[], body };
        let request = Request {
            kind,
            id: sent,
            max_forwards: message.max_forwards().unwrap_or(MAX_FORWARDS).saturating_sub(1),
            body: body_of(&content, message.body()),
            branch,
        };
        Ok(self.send_request(io, request, &|writer| carry::write(writer, &content)))
    }

    /// What [`crate::sip::Stack::reinvite`] does.
    pub(crate) fn reinvite(&mut self, io: &mut Io<'_>, content: Content<'_>) -> Result<SentId, NotSent> {
        let sent = io.core.next_sent();
        self.may_ask()?;
        if self.session.exchange() != Exchange::Idle || self.invite_under_way() {
            return Err(NotSent::Pending);
        }
        let offered = sdp_of(&content).map(|sdp| self.session.offer(sdp)).is_some();
        let request = Request {
            kind: Kind::modify(offered),
            id: sent,
            max_forwards: MAX_FORWARDS,
            body: body_of(&content, b""),
            branch: None,
        };
        Ok(self.send_request(io, request, &|writer| carry::write(writer, &content)))
    }

    /// What [`crate::sip::Stack::restate`] does.
    pub(crate) fn restate(&mut self, io: &mut Io<'_>) -> Result<SentId, NotSent> {
        self.restate_for(io, Purpose::Question)
    }

    pub(super) fn restate_for(&mut self, io: &mut Io<'_>, purpose: Purpose) -> Result<SentId, NotSent> {
        let sent = io.core.next_sent();
        self.may_ask()?;
        let own = self.session.own().into_owned();
        if own.is_empty() || self.session.exchange() != Exchange::Idle || self.invite_under_way() {
            return Err(NotSent::Pending);
        }
        self.session.offer(&own);
        let request = Request {
            kind: Kind::reoffer(purpose),
            id: sent,
            max_forwards: MAX_FORWARDS,
            body: None,
            branch: None,
        };
        Ok(self.send_request(io, request, &|_| ()))
    }

    /// The offer of a request of the peer's that waits for our answer. None: it carries none, or has its answer.
    pub(crate) fn offer_of(&self, request: RequestId) -> Option<&[u8]> {
        let asked = self.asked.iter().find(|asked| asked.server == request.0 && asked.offered)?;
        self.session_of(asked.branch.as_deref())?.offered_now()
    }

    /// What [`crate::sip::Stack::withdraw`] does.
    pub(crate) fn withdraw(&mut self, io: &mut Io<'_>, sent: SentId) {
        let sent = |one: &&mut PendingUac| one.id == sent && one.kind.is_modify();
        if let Some(found) = self.sent.iter_mut().find(sent) {
            // It is not sent again, whatever it is refused with.
            found.request = None;
            let _ = io.core.table.cancel(io.now, found.client, b"", &mut io.core.outbox);
        }
    }

    /// What [`crate::sip::Stack::respond`] does.
    pub(crate) fn respond(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        let place = self.asked.iter().position(|asked| asked.server == request.0).ok_or(Gone)?;
        let PendingUas { kind, cseq, offered, demand, .. } = self.asked[place];
        let unanswered = offered && (200..300).contains(&status) && sdp_of(&content).is_none();
        let why = [identity::warning(NO_ANSWER)];
        let refusal = Content { fields: &why, ..Content::default() };
        let (status, content) = if unanswered { (488, refusal) } else { (status, content) };
        // Whoever was asked beside what stands has answered with a session; nobody here has offered one.
        let unasked = kind == InDialogRequest::Update && !offered;
        let content = if unasked { Content { body: Body::None, ..content } } else { content };
        let branch = if status >= 200 { self.asked.remove(place).branch } else { None };
        if kind == InDialogRequest::Modify && (200..300).contains(&status) {
            return self.accept_invite(io, (request.0, cseq, demand), &content);
        }
        if let Some(session) = self.session_in(branch.as_deref()).filter(|_| offered && status >= 200) {
            match sdp_of(&content).filter(|_| status < 300) {
                Some(sdp) => _ = session.answer(sdp),
                None => session.refused(),
            }
        }
        let agrees = kind == InDialogRequest::Update && (200..300).contains(&status);
        if agrees && self.is_answered() {
            self.agree(io.now, demand);
        }
        let dressed = match sdp_of(&content) {
            Some(_) if offered && (200..300).contains(&status) => {
                self.session_of(branch.as_deref()).map_or(&b""[..], Session::last_sent)
            }
            Some(sdp) if !offered => sdp,
            Some(_) | None => b"",
        };
        let (settings, flow, body) = (&io.core.settings, self.flow, body_of(&content, dressed));
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
        let tag = Some(self.response_tag());
        let sent = io.core.table.respond(io.now, request.0, status, tag, &mut io.core.outbox, write);
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
    fn early_for(&self, method: Method) -> Result<Option<Box<[u8]>>, NotSent> {
        let free = method == Method::Update && self.updates;
        match &self.usage {
            Usage::Offered(offered) if free => {
                let party = offered.parties.last().ok_or(NotSent::Pending)?;
                Ok(Some(party.tag.as_bytes().into()))
            }
            Usage::Calling(calling) if free && calling.cancelled.is_none() => {
                let early = calling.early.last().ok_or(NotSent::Pending)?;
                Ok(Some(early.dialog.remote_tag().into()))
            }
            _ => self.may_ask().map(|()| None),
        }
    }

    /// Whether the peer speaks with that tag in the dialog that was confirmed, and not in an early one of another branch. A peer
    /// of RFC 2543 has none.
    fn is_of_branch(&self, tag: Option<&[u8]>) -> bool {
        tag.unwrap_or_default() == self.dialog.remote_tag()
    }

    /// The Contact of a request or 2xx that refreshes the target, and the methods that the peer takes. True: the leg's next
    /// hop may be another.
    pub(crate) fn refresh(&mut self, message: &Message<'_>, listeners: &[Listener]) -> bool {
        self.note_allow(message);
        let Some(contact) = message.contact().filter(|_| self.moves) else { return false };
        let tag = if message.is_request() { message.from_tag() } else { message.to_tag() };
        let Usage::Calling(calling) = &mut self.usage else {
            // What another branch of the fork answers late is about its own early dialog.
            return self.is_of_branch(tag) && self.dialog.refresh_target(contact.uri.bytes);
        };
        // It is the early dialog's; the leg's own target is where the INVITE goes.
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

// Requests of the peer.
impl Leg {
    pub(super) fn on_reinvite(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
    ) -> Option<Event> {
        match self.usage {
            Usage::Confirmed => {}
            Usage::Offered(_) => return io.core.refuse_for_a_while(io.now, flow, message),
            Usage::Calling(_) => return io.core.refuse(io.now, flow, message, (491, GLARE), &|_| ()),
            Usage::Refusing | Usage::Closing | Usage::Over => {
                return io.core.refuse(io.now, flow, message, (481, ""), &|_| ());
            }
        }
        if !carries(message) {
            return io.core.refuse(io.now, flow, message, (415, UNREADABLE), &write_acceptable);
        }
        // Ours is outstanding: glare (RFC 3261 §14.2). Theirs is: they must wait for it.
        if self.session.exchange() == Exchange::Ours || self.asks_invite() {
            return io.core.refuse(io.now, flow, message, (491, GLARE), &|_| ());
        }
        if self.invite_under_way() || self.session.exchange() == Exchange::Theirs {
            return io.core.refuse_for_a_while(io.now, flow, message);
        }
        let demand = match demand(io.core.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => return io.core.refuse_short(io.now, flow, message, short),
        };
        let refreshes = message.has_sdp() && self.is_refresh(message);
        if !self.hears_identity(io, message) && refreshes {
            self.answer_refresh(io, flow, message, demand);
            return None;
        }
        let event = self.ask(io, flow, message, InDialogRequest::Modify, demand)?;
        let Event::Request { request, .. } = event else { return None };
        // It was opened just now, so it is open. The other side takes its time.
        let trying = |writer: Writer<'_>| writer.finish(None);
        let _ = io.core.table.respond(io.now, request.0, 100, None, &mut io.core.outbox, trying);
        self.told(event)
    }

    pub(super) fn on_update(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        match &self.usage {
            Usage::Confirmed | Usage::Offered(_) | Usage::Calling(_) => {}
            Usage::Refusing | Usage::Closing | Usage::Over => {
                return io.core.refuse(io.now, flow, message, (481, ""), &|_| ());
            }
        }
        if !carries(message) {
            return io.core.refuse(io.now, flow, message, (415, UNREADABLE), &write_acceptable);
        }
        let branch = self.branch(message);
        if branch.as_deref().is_some_and(|branch| !self.is_heard(branch)) {
            // What it asks would be asked of another branch of the fork, which is the one that is heard now.
            return io.core.refuse_for_a_while(io.now, flow, message);
        }
        let session = self.session_in(branch.as_deref())?;
        // Before the first offer is answered there is nothing that could be changed.
        let premature = message.has_sdp() && session.remote().is_empty();
        // RFC 3311 §5.2.
        match session.exchange() {
            Exchange::Idle if premature => return io.core.refuse_for_a_while(io.now, flow, message),
            Exchange::Ours if message.has_sdp() => {
                return io.core.refuse(io.now, flow, message, (491, GLARE), &|_| ());
            }
            Exchange::Theirs if message.has_sdp() => {
                return io.core.refuse_for_a_while(io.now, flow, message);
            }
            Exchange::Ours | Exchange::Theirs | Exchange::Idle => {}
        }
        let demand = match demand(io.core.settings.session_timer, message) {
            Ok(demand) => demand,
            Err(short) => return io.core.refuse_short(io.now, flow, message, short),
        };
        let again = self.is_answered() && message.has_sdp() && self.is_refresh(message);
        let standing = again.then(|| as_answer(self.session.local(), message.body()));
        // Before the answer there may be nobody yet who could be told.
        let told = self.is_answered();
        let told = self.hears_identity(io, message) && told;
        let event = self.ask(io, flow, message, InDialogRequest::Update, demand)?;
        let Event::Request { request, .. } = event else { return None };
        if (message.body().is_empty() || again) && !told {
            // It refreshes the session or the target, and both are each side's own.
            let body = standing.as_deref().map_or(Body::None, Body::Sdp);
            let _ = self.respond(io, request, 200, Content { body, ..Content::default() });
            return None;
        }
        self.told(event)
    }

    /// A re-INVITE that changes nothing is answered with what stands; the other side has no part in it.
    fn answer_refresh(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>, demand: Option<Demand>) {
        let server = io.core.table.open(io.now, flow, message, Some(io.id));
        self.session.offered(message.body());
        // What stands may have been an offer of ours, in directions that the peer's does not allow.
        let local = as_answer(self.session.local(), message.body());
        if self.refresh(message, &io.core.settings.listeners) {
            self.aim(io);
        }
        let content = Content { body: Body::Sdp(&local), ..Content::default() };
        // It was opened just now, so it is open.
        let _ = self.accept_invite(io, (server, message.cseq().number, demand), &content);
    }

    pub(super) fn on_info(&mut self, io: &mut Io<'_>, flow: Flow, message: &Message<'_>) -> Option<Event> {
        match self.usage {
            Usage::Refusing | Usage::Closing | Usage::Over => {
                io.core.refuse(io.now, flow, message, (481, ""), &|_| ())
            }
            Usage::Offered(_) | Usage::Calling(_) | Usage::Confirmed => {
                let event = self.ask(io, flow, message, InDialogRequest::Info, None)?;
                self.told(event)
            }
        }
    }

    /// Keeps a request that the layer above answers.
    pub(crate) fn ask(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        message: &Message<'_>,
        kind: InDialogRequest,
        demand: Option<Demand>,
    ) -> Option<Event> {
        let server = io.core.table.open(io.now, flow, message, Some(io.id));
        let changes = matches!(kind, InDialogRequest::Modify | InDialogRequest::Update);
        let offered = changes && message.has_sdp();
        let branch = self.branch(message);
        if let Some(session) = self.session_in(branch.as_deref()).filter(|_| offered) {
            session.offered(message.body());
        }
        let refreshed = changes && self.refresh(message, &io.core.settings.listeners);
        self.asked.push(PendingUas {
            server,
            kind,
            cseq: message.cseq().number,
            offered,
            branch,
            no_subscription: super::decision::refuses_subscription(message),
            demand,
        });
        if refreshed {
            self.aim(io);
        }
        Some(Event::Request { leg: io.id, request: RequestId(server), kind })
    }
}

// Answers to ours.
impl Leg {
    /// The 2xx to a re-INVITE of ours.
    pub(super) fn on_modified(
        &mut self,
        io: &mut Io<'_>,
        sent: PendingUac,
        message: &Message<'_>,
    ) -> Option<Event> {
        let (name, status) = (sent.id, message.status()?);
        self.on_refreshed(io, name, status);
        self.agreed(io.now, io.core.settings.session_timer, message);
        let refreshed = self.refresh(message, &io.core.settings.listeners);
        let before: Option<Box<[u8]>> = is_confirmation(&sent.kind).then(|| self.session.remote().into());
        let needs_answer = self.take_2xx(io, sent, message, Vec::new());
        if refreshed {
            self.aim(io);
        }
        let needs_answer = needs_answer && !self.released && self.is_answered();
        let place = self.unanswered();
        if let Some(place) = place.filter(|_| !needs_answer) {
            self.acknowledge_sent(io, place, &Content::default());
        }
        if before.is_some_and(|before| !differs(&before, self.session().remote())) {
            // Nobody but the stack has a part in it.
            return None;
        }
        self.told(Event::Response { leg: io.id, sent: name, status, origin: Origin::Remote, needs_answer })
    }

    /// Any other final response to a request that the layer above sent.
    pub(super) fn on_answer(
        &mut self,
        io: &mut Io<'_>,
        sent: &PendingUac,
        (status, origin): (u16, Origin),
        response: Option<&Message<'_>>,
    ) -> Option<Event> {
        let refreshed = self.on_refreshed(io, sent.id, status);
        let accepted = response.filter(|_| (200..300).contains(&status));
        if let Some(session) = self.session_in(sent.branch.as_deref()).filter(|_| sent.kind.offers()) {
            match accepted.and_then(|message| session.answer_in(message)) {
                Some(answer) => session.answered(answer),
                None if is_doubtful(status) => session.unanswered(),
                None => session.refused(),
            }
        }
        if accepted.is_none() && self.weigh(io, sent, (status, origin)) {
            return None;
        }
        if let Some(message) = accepted.filter(|_| matches!(sent.kind, Kind::Update { .. })) {
            if self.is_answered() && self.is_of_branch(message.to_tag()) {
                self.agreed(io.now, io.core.settings.session_timer, message);
            }
            if self.refresh(message, &io.core.settings.listeners) {
                self.aim(io);
            }
        }
        if is_confirmation(&sent.kind) {
            // Only what ends the leg was waited for: it begins anew.
            if let Some(keepalive) = &mut self.keepalive {
                keepalive.forgive();
            }
            return None;
        }
        if refreshed {
            return None;
        }
        self.told(Event::Response { leg: io.id, sent: sent.id, status, origin, needs_answer: false })
    }
}

fn is_confirmation(kind: &Kind) -> bool {
    matches!(kind, Kind::Modify { purpose: Purpose::Confirmation, .. })
}
