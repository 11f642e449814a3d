//! What a peer knows of the session in one of its dialogs: what stands on each side, and whose offer is open (RFC 3264).
//! The peers keep it themselves; nobody asks Baton.

use super::common::peer::sdp_with;
use super::common::random::Random;
use super::ledger::Ledger;

/// One media line of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: String,
    pub port: u16,
    pub direction: &'static str,
}

impl Line {
    fn sends(&self) -> bool {
        matches!(self.direction, "sendrecv" | "sendonly")
    }

    fn receives(&self) -> bool {
        matches!(self.direction, "sendrecv" | "recvonly")
    }
}

/// A description as far as two parties can tell each other's apart: every description of every party has ports of its
/// own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub lines: Vec<Line>,
}

/// So often Baton tries again where a side is busy.
const GLARES: u32 = 10;
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

impl Description {
    pub fn read(sdp: &str) -> Description {
        let mut lines: Vec<Line> = Vec::new();
        for text in sdp.lines() {
            if let Some(rest) = text.strip_prefix("m=") {
                let mut words = rest.split(' ');
                let kind = words.next().unwrap_or_default().to_owned();
                let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(0);
                lines.push(Line { kind, port, direction: "sendrecv" });
            } else if let (Some(last), Some(word)) = (lines.last_mut(), text.strip_prefix("a="))
                && let Some(known) = DIRECTIONS.into_iter().find(|known| *known == word)
            {
                last.direction = known;
            }
        }
        Description { lines }
    }

    fn write(&self, who: &str, version: u64) -> String {
        let mut media = String::new();
        for Line { kind, port, direction } in &self.lines {
            let formats = if kind == "audio" { "0 101" } else { "31" };
            media.push_str(&format!("m={kind} {port} RTP/AVP {formats}\r\na={direction}\r\n"));
        }
        sdp_with(who, version, &media)
    }
}

/// Whose offer is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    #[default]
    None,
    Ours(Description),
    Theirs(Description),
}

/// The session of one dialog, as one peer knows it.
#[derive(Clone, Debug, Default)]
pub struct Session {
    who: &'static str,
    version: u64,
    last: Description,
    /// Ours that stands, or was offered first.
    pub local: Option<Description>,
    /// The other side's that stands.
    pub remote: Option<Description>,
    pub offer: Offer,
    /// Whether we hold.
    hold: bool,
    /// When an answer of ours last changed our description, in seconds.
    changed: Option<u64>,
    /// Offers of Baton in a row that were refused here, glare apart.
    pub refused: u32,
    /// Those of them that have described the other side.
    declined: Vec<Description>,
    /// Those that met another request.
    pub glares: u32,
    /// An answer of Baton's that has gone beyond what our offer allows (RFC 3264 §6.1).
    wrong: Option<String>,
    /// Its dialog is over here, or nothing is ever said in it any more.
    pub over: bool,
}

impl Session {
    pub fn new(who: &'static str) -> Session {
        Session { who, ..Session::default() }
    }

    pub fn is_idle(&self) -> bool {
        self.offer == Offer::None
    }

    fn text(&mut self, description: &Description) -> String {
        if self.version == 0 || *description != self.last {
            self.version += 1;
            self.last = description.clone();
        }
        description.write(self.who, self.version)
    }

    /// An offer of ours: what stands, or with another port, hold or stream.
    pub fn make_offer(&mut self, random: &mut Random, ledger: &mut Ledger, video: bool) -> String {
        let mut offer = self.local.clone().unwrap_or_default();
        if offer.lines.is_empty() {
            offer.lines.push(Line { kind: "audio".to_owned(), port: ledger.port(), direction: "sendrecv" });
        } else if random.chance(40) {
            offer.lines[0].port = ledger.port();
        }
        if video && offer.lines.len() == 1 {
            offer.lines.push(Line { kind: "video".to_owned(), port: ledger.port(), direction: "sendrecv" });
        }
        let hold = if self.local.is_some() && random.chance(40) { !self.hold } else { self.hold };
        let direction = if hold { "sendonly" } else { "sendrecv" };
        offer.lines.iter_mut().filter(|line| line.port != 0).for_each(|line| line.direction = direction);
        self.offer = Offer::Ours(offer.clone());
        self.text(&offer)
    }

    /// The same as what stands.
    pub fn offer_again(&mut self) -> Option<String> {
        let offer = self.local.clone()?;
        self.offer = Offer::Ours(offer.clone());
        Some(self.text(&offer))
    }

    pub fn take_offer(&mut self, sdp: &str) {
        self.offer = Offer::Theirs(Description::read(sdp));
    }

    /// Our answer to the offer that is open. `second`: the time.
    pub fn make_answer(&mut self, random: &mut Random, ledger: &mut Ledger, second: u64) -> String {
        let Offer::Theirs(offer) = std::mem::take(&mut self.offer) else { return String::new() };
        let before = self.local.take().unwrap_or_default();
        // Who moves with each answer that it is told of never comes to rest.
        let may_move = self.changed.is_none_or(|at| second > at + 40);
        let moves = !before.lines.is_empty() && may_move && random.chance(10);
        let mut lines = Vec::with_capacity(offer.lines.len());
        for (place, theirs) in offer.lines.iter().enumerate() {
            let own = before.lines.get(place).map_or(0, |line| line.port);
            let port = match (theirs.port, own) {
                (0, _) => 0,
                (_, 0) if place > 0 && random.chance(40) => 0,
                (_, 0) => ledger.port(),
                (_, own) if place > 0 || !moves => own,
                _ => ledger.port(),
            };
            let wanted = match theirs.direction {
                "sendonly" => "recvonly",
                "recvonly" => "sendonly",
                "inactive" => "inactive",
                _ if self.hold => "sendonly",
                _ => "sendrecv",
            };
            lines.push(Line { kind: theirs.kind.clone(), port, direction: wanted });
        }
        if moves {
            self.changed = Some(second);
        }
        let answer = Description { lines };
        self.remote = Some(offer);
        self.local = Some(answer.clone());
        self.agreed();
        self.text(&answer)
    }

    pub fn take_answer(&mut self, sdp: &str) {
        if let Offer::Ours(offer) = std::mem::take(&mut self.offer) {
            self.hold = offer.lines.first().is_some_and(|line| line.direction == "sendonly");
            // Baton answers a mere refresh with what stands.
            let refreshes = self.local.as_ref() == Some(&offer);
            let answer = Description::read(sdp);
            let beyond = |(offer, answer): (&Line, &Line)| {
                let open = offer.port != 0 && answer.port != 0;
                let (sends, receives) = (offer.sends(), offer.receives());
                open && (answer.sends() && !receives || answer.receives() && !sends)
            };
            if offer.lines.iter().zip(&answer.lines).any(beyond) {
                self.wrong = Some(format!("it has offered {offer:?}, and was answered {answer:?}"));
            }
            (self.local, self.remote) = (Some(offer), Some(answer));
            if !refreshes {
                self.agreed();
            }
        }
    }

    fn agreed(&mut self) {
        (self.refused, self.glares) = (0, 0);
        self.declined.clear();
    }

    /// The offer that is open is refused, by whomever: what stood stands.
    pub fn refuse(&mut self) {
        self.offer = Offer::None;
    }

    /// The offer that is open has no answer: we refuse it, or it is not known here whether it was taken.
    pub fn unanswered(&mut self) {
        if let Offer::Theirs(offer) = std::mem::take(&mut self.offer) {
            self.declined.push(offer);
        }
        self.refused += 1;
    }

    /// Whether other requests were under way again and again, so that Baton cannot have told us what it wanted.
    pub fn was_busy(&self) -> bool {
        self.glares > GLARES
    }

    /// What keeps us from sending to whose description is `now`. None: nothing, or we have refused to be told just that.
    pub fn discord(&self, now: &Description) -> Option<String> {
        if self.wrong.is_some() {
            return self.wrong.clone();
        }
        let why = self.discord_told(self.remote.as_ref()?, now)?;
        let declined = self.declined.iter().any(|told| self.discord_told(told, now).is_none());
        (!declined).then_some(why)
    }

    /// The same where we were told that.
    fn discord_told(&self, told: &Description, now: &Description) -> Option<String> {
        let own = self.local.as_ref()?;
        for (place, line) in own.lines.iter().enumerate().filter(|(_, line)| line.port != 0) {
            let (told, now) = (told.lines.get(place), now.lines.get(place));
            let suits = match (told, now) {
                (Some(told), Some(now)) => told.port == now.port && self.fits(told, now),
                // Baton has declined it for one that has no such stream.
                (Some(told), None) => told.port == 0,
                (None, _) => false,
            };
            if !suits && (told.is_some() || now.is_some()) {
                return Some(format!(
                    "its line {place} ({}) was told {told:?}, and there is {now:?}",
                    line.kind
                ));
            }
        }
        None
    }

    /// Whether the direction that there is suits us. Who holds does not ask whether the other one sends, and Baton does not
    /// tell where it may have stopped only for that.
    fn fits(&self, told: &Line, now: &Line) -> bool {
        told.receives() == now.receives() && (self.hold || told.sends() == now.sends())
    }
}
