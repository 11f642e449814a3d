//! The houses of the simulator: the PBX (caller's side, receiver of REFERs, target), the agents and the targets. What they
//! do is drawn by lot, within what real ones have been seen to do; what they must not do by the RFCs they do not, where it
//! would make Baton's duties unclear.

mod asterisk;
mod called;
pub mod calling;
mod inside;
mod refer;

use super::common::message::Message;
use super::common::{Action, Actor, ms};
use super::ledger::{Ledger, MAIL};
use super::models::Draw;
use super::session::{Description, Session};
use super::ua::{News, Ua, Wake};
use baton::sip::Time;
use calling::Early;
use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Which house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum House {
    Pbx,
    Agent,
    Target,
}

/// How a house is disposed in this world, each of 100.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// Calls that it refuses, or does not answer.
    pub refuses: u64,
    /// Of the requests of Baton inside a dialog those that are refused.
    pub contrary: u64,
    /// Those that it never answers.
    pub deaf: u64,
    /// Requests that it challenges.
    pub challenges: u64,
    /// Calls whose side wants to talk of the session again and again.
    pub restless: u64,
    /// Calls that end by themselves while a handoff runs.
    pub fickle: u64,
}

/// What a house does otherwise than the RFCs ask, or leaves out, as real ones do.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// What an Asterisk calls itself. Its transfers go as that does them.
    pub asterisk: Option<&'static str>,
    /// Its NOTIFYs never name their REFER.
    pub nameless: bool,
    /// Of 100 calls those in which it dies.
    pub mortal: u64,
    /// Methods that it never answers inside a dialog.
    pub mute: &'static [&'static str],
    /// Of 100 answers those that are missing in its 2xx.
    pub bare: u64,
    /// Of 100 descriptions those that go without their type.
    pub untyped: u64,
    /// Of 100 messages those that have a fault in a header that nobody needs.
    pub careless: u64,
    /// Of 100 transfers with Replaces those in which nothing is replaced, and the person at the target hears nobody.
    pub unheard: u64,
    /// It may say 200 to such a one: Baton has been told that this proves nothing.
    pub lies: bool,
}

/// A dialog in [`Party::dialogs`].
pub type Place = usize;

/// What comes later.
#[derive(Clone, Debug)]
pub enum Later {
    /// A new call.
    Call,
    /// The stream breaks.
    Break,
    Cancel(Place),
    /// A CANCEL was sent 64*T1 ago.
    Cancelled(Place),
    Bye(Place, String),
    /// More of our INVITE: ring, answer, refuse.
    Ring(Place),
    Answer(Place),
    Refuse(Place, u16),
    /// In the dialog.
    Offer(Place, Way),
    CancelOffer(Place, Rc<Message>),
    Info(Place),
    Refresh(Place),
    /// RSeq, and which early dialog.
    Prack(Place, u32, usize),
    Refer(Place),
    Reply(Place, Rc<Message>, u16),
    Notify(Place, u32, Report),
    /// From the PBX: a call with Replaces comes for this leg, to be moved to the caller of that one; and what the PBX
    /// wants to hear of it, its address and how its REFER is called.
    Replace {
        call_id: String,
        tag: String,
        from: SocketAddr,
        caller: String,
        refer: (Place, u32),
    },
    /// What came of it.
    Replaced(Place, u32, Report),
    /// From the PBX: in this leg nobody is heard.
    Unheard {
        call_id: String,
        tag: String,
    },
    /// A transfer of an Asterisk goes on.
    Transfer(Place, Step),
    /// Nothing is ever said in it any more.
    Dies(Place),
}

/// How a transfer of an Asterisk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It says that it worked: into which leg, and by which REFER.
    Reports(Place, u32),
    /// The caller is taken only now, after the 200 of that REFER.
    Takes(u32),
    /// Somebody answers.
    Reaches,
    /// Nobody does, and the caller is hung up.
    GivesUp,
    /// The caller takes the place of its leg in that dialog.
    Swaps(Place),
    /// The caller hangs up.
    Leaves(u32),
    /// The leg that was left standing is over.
    Expires,
}

/// How an offer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Reinvite,
    Update,
}

/// What a NOTIFY of the PBX says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Provisional(u16),
    Final(u16),
    Nothing,
    /// The last one, and it says 100.
    Unresolved,
    /// 200, and nothing has come of it.
    Begun,
}

/// Where a dialog stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Early,
    Up,
    Over,
}

/// One dialog of a party.
pub struct Dialog {
    call_id: String,
    /// Our tag.
    tag: String,
    /// From as we write it.
    local: String,
    /// To as we write it.
    remote: String,
    target: String,
    cseq: u32,
    /// The last CSeq heard.
    heard: u32,
    stage: Stage,
    /// The INVITE that made it: ours or Baton's.
    invite: Option<Rc<Message>>,
    /// We called.
    ours: bool,
    /// A provisional response came to our call.
    rang: bool,
    /// We have taken it back.
    cancelled: bool,
    /// Early dialogs of our call in which something can be said.
    earlies: Vec<Early>,
    /// What our call offered.
    offered: Option<Description>,
    /// CSeq of an INVITE of ours that has no final response.
    asking: Option<u32>,
    /// An INVITE of Baton inside the dialog that has no final response from us.
    asked: Option<Rc<Message>>,
    /// CSeq of the INVITE whose 2xx was not acknowledged yet.
    unacked: Option<u32>,
    /// CSeq of an UPDATE of ours with an offer that has no final response.
    updating: Option<u32>,
    /// Its place in [`Ledger::sessions`].
    session: usize,
    /// The last RSeq of ours.
    rseq: u32,
    /// A reliable provisional response of ours waits for its PRACK, and whether it carries an answer.
    unpracked: Option<bool>,
    /// The 2xx waits for that PRACK.
    answer_waits: bool,
    /// The answer that a provisional response of ours has carried.
    early_answer: Option<String>,
    /// And it was a reliable one.
    reliably: bool,
    /// The session expires after so many seconds.
    timer: Option<u32>,
    /// We keep it alive.
    refreshing: bool,
    /// It ignores the CANCEL.
    stubborn: bool,
    /// It never says anything any more.
    dead: bool,
    /// How often we tried again after a glare.
    glares: u32,
    /// CSeqs of REFERs that were looked at.
    refers: Vec<u32>,
    /// Nothing more is told of that REFER.
    untold: Option<u32>,
    /// The caller was taken out of it; it stands all the same.
    vacated: bool,
    /// The caller of that dialog is being moved by way of this one.
    swapping: Option<Place>,
}

impl Dialog {
    fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// A request as text; `head` are complete lines.
    fn write(
        &self,
        method: &str,
        cseq: u32,
        (via, contact): (&str, &str),
        head: &str,
        (kind, body): (&str, &str),
    ) -> String {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        format!(
            "{method} {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: {contact}\r\n{head}{kind}Content-Length: {}\r\n\r\n{body}",
            self.target,
            self.local,
            self.remote,
            self.call_id,
            body.len()
        )
    }
}

/// One house, and the dialogs that it is in.
pub struct Party {
    house: House,
    ua: Ua<Later>,
    mood: Mood,
    manners: Manners,
    now: Time,
    dialogs: Vec<Dialog>,
    /// By Call-ID and our tag.
    by_key: HashMap<(String, String), Place>,
    /// INVITEs of Baton without a final response, by branch.
    open: HashMap<String, Vec<Place>>,
    ledger: Rc<RefCell<Ledger>>,
    /// Destinations that are named, for agents.
    pub names: Rc<RefCell<Vec<String>>>,
}

type Out = Vec<Action>;
const SDP: &str = "application/sdp";
const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n";

impl Party {
    pub fn new(
        house: House,
        (name, address, tcp): (&'static str, &str, bool),
        (seed, mood): (u64, Mood),
        ledger: Rc<RefCell<Ledger>>,
        names: Rc<RefCell<Vec<String>>>,
    ) -> Party {
        let address: SocketAddr = address.parse().expect("an address");
        Party {
            house,
            ua: Ua::new(name, address, tcp, seed),
            mood,
            manners: Manners::default(),
            now: Time(0),
            dialogs: Vec::new(),
            by_key: HashMap::new(),
            open: HashMap::new(),
            ledger,
            names,
        }
    }

    /// With these manners.
    pub fn mannered(mut self, manners: Manners) -> Party {
        if manners.asterisk.is_some() {
            // It answers all that it is asked, and challenges nothing inside a dialog.
            (self.mood.contrary, self.mood.deaf, self.mood.challenges) = (0, 0, 0);
        }
        self.ua.untyped = manners.untyped;
        self.ua.careless = manners.careless;
        self.manners = manners;
        self
    }

    /// The number of the alarm that makes the PBX call. The world sets it from outside.
    pub const CALL: u64 = u64::MAX;
    /// That breaks the stream.
    pub const BREAK: u64 = u64::MAX - 1;

    fn chance(&mut self, percent: u64) -> bool {
        self.ua.random.chance(percent)
    }

    /// Most things happen at once; some take their time.
    fn pause(&mut self, most: u64) -> Duration {
        match self.ua.random.below(4) {
            0 => Duration::ZERO,
            1 => ms(self.ua.random.below(20)),
            _ => ms(self.ua.random.below(most.max(1))),
        }
    }

    fn second(&self) -> u64 {
        self.now.0 / 1_000_000
    }

    fn ledger(&self) -> RefMut<'_, Ledger> {
        self.ledger.borrow_mut()
    }

    fn session(&self, place: Place) -> RefMut<'_, Session> {
        let session = self.dialogs[place].session;
        RefMut::map(self.ledger.borrow_mut(), |ledger| &mut ledger.sessions[session])
    }

    fn add(&mut self, dialog: Dialog) -> Place {
        let place = self.dialogs.len();
        self.by_key.insert((dialog.call_id.clone(), dialog.tag.clone()), place);
        self.dialogs.push(dialog);
        place
    }

    fn find(&self, call_id: &str, tag: &str) -> Option<Place> {
        self.by_key.get(&(call_id.to_owned(), tag.to_owned())).copied()
    }

    /// An offer of ours in a session; what it looks like.
    fn offer(&mut self, at: usize, video: bool) -> String {
        let ledger = &mut *self.ledger.borrow_mut();
        let mut session = std::mem::take(&mut ledger.sessions[at]);
        let text = session.make_offer(&mut self.ua.random, ledger, video);
        ledger.sessions[at] = session;
        text
    }

    /// Our answer to the offer that is open.
    fn answer(&mut self, at: usize) -> String {
        let second = self.second();
        let ledger = &mut *self.ledger.borrow_mut();
        let mut session = std::mem::take(&mut ledger.sessions[at]);
        let text = session.make_answer(&mut self.ua.random, ledger, second);
        ledger.sessions[at] = session;
        text
    }

    /// Nothing is said in it any more.
    fn end(&mut self, place: Place) {
        self.dialogs[place].stage = Stage::Over;
        self.session(place).over = true;
    }

    /// Nothing is ever said in it any more.
    fn dies(&mut self, place: Place) {
        if self.dialogs[place].is_up() {
            self.met(Draw::PeerDies);
            self.dialogs[place].dead = true;
            self.session(place).over = true;
        }
    }

    /// Something for another party, after a while.
    fn post(&mut self, to: SocketAddr, after: Duration, what: Later, out: &mut Out) {
        let (door, mail) = self.ledger().post(to, what);
        out.push(Action::Poke(door, after, mail));
    }

    fn met(&self, draw: Draw) {
        self.ledger().met(draw);
    }

    fn reply(&mut self, place: Option<Place>, request: &Message, status: u16, out: &mut Out) {
        self.reply_with(place, request, status, &[], "", out);
    }

    fn reply_with(
        &mut self,
        place: Option<Place>,
        request: &Message,
        status: u16,
        headers: &[(&str, &str)],
        sdp: &str,
        out: &mut Out,
    ) {
        let tag = place.map_or("stray", |place| &self.dialogs[place].tag).to_owned();
        let contact = self.ua.contact();
        let mut all = vec![("Contact", contact.as_str())];
        all.extend(self.manners.asterisk.map(|name| ("Server", name)));
        all.extend_from_slice(headers);
        self.ua.respond(request, status, &tag, &all, sdp, out);
    }

    fn later(&mut self, what: Later, out: &mut Out) {
        match what {
            Later::Call => self.call(out),
            Later::Break => out.push(Action::Break),
            Later::Cancel(place) => self.cancel(place, out),
            Later::Cancelled(place) => self.cancelled_in_vain(place),
            Later::Bye(place, head) => self.hang_up(place, &head, out),
            Later::Ring(place) => self.ring(place, out),
            Later::Answer(place) => self.accept(place, out),
            Later::Refuse(place, status) => self.refuse(place, status, out),
            Later::Offer(place, way) => self.propose(place, way, out),
            Later::CancelOffer(place, invite) => self.cancel_offer(place, &invite, out),
            Later::Info(place) => {
                self.inside(place, "INFO", "", ("application/dtmf-relay", "Signal=5\r\n"), out);
            }
            Later::Refresh(place) => self.refresh(place, out),
            Later::Prack(place, rseq, early) => self.prack(place, rseq, early, out),
            Later::Refer(place) => self.refer(place, out),
            Later::Reply(place, request, status) => self.reply_late(place, &request, status, out),
            Later::Notify(place, cseq, report) => self.notify(place, cseq, report, out),
            Later::Replace { call_id, tag, from, caller, refer } => {
                self.replaced((&call_id, &tag), &caller, (from, refer), out);
            }
            Later::Replaced(place, cseq, report) => self.was_replaced(place, cseq, report, out),
            Later::Unheard { call_id, tag } => self.hears_nobody(&call_id, &tag, out),
            Later::Dies(place) => self.dies(place),
            Later::Transfer(place, step) => self.transfer(place, step, out),
        }
    }

    fn timed_out(&mut self, method: &str, call_id: &str, tag: &str) {
        let Some(place) = self.find(call_id, tag) else { return };
        match method {
            "INVITE" if self.dialogs[place].stage == Stage::Early => self.end(place),
            "INVITE" => {
                self.dialogs[place].asking = None;
                self.session(place).unanswered();
                self.end(place);
            }
            "UPDATE" => {
                self.dialogs[place].updating = None;
                self.session(place).unanswered();
                self.end(place);
            }
            "BYE" => self.end(place),
            _ => {}
        }
    }
}

impl Actor for Party {
    fn message(&mut self, at: Time, message: &Message, out: &mut Out) {
        self.now = at;
        match self.ua.handle(message, out) {
            News::Request => self.requested(message, out),
            News::Response => self.responded(message, out),
            News::Nothing => {}
        }
        for _ in 0..std::mem::take(&mut self.ua.bared) {
            self.met(Draw::UntypedSdp);
        }
        for draw in std::mem::take(&mut self.ua.made) {
            self.met(draw);
        }
    }

    fn alarm(&mut self, at: Time, alarm: u64, out: &mut Out) {
        self.now = at;
        match alarm {
            Party::CALL => return self.later(Later::Call, out),
            Party::BREAK => return self.later(Later::Break, out),
            mail if mail >= MAIL => {
                let mail = self.ledger().take(mail);
                return mail.map_or((), |what| self.later(what, out));
            }
            _ => {}
        }
        match self.ua.alarmed(alarm, out) {
            Wake::Own(what) => self.later(what, out),
            Wake::Timeout { method, call_id, tag } => self.timed_out(&method, &call_id, &tag),
            Wake::Unacknowledged { call_id, tag } => {
                if let Some(place) = self.find(&call_id, &tag) {
                    self.dialogs[place].unacked = None;
                    self.hang_up(place, "", out);
                }
            }
            Wake::Nothing => {}
        }
    }
}
