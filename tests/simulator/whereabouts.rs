//! Where a caller truly is, as its own side knows it: the other end of Baton's leg is a switch, and what stands behind that
//! end changes without a word on the wire. The judge compares with it what Baton tells.

use super::common::message::Message;
use baton::sip::Time;

/// With whom a caller is, by the word of the switch on its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// At the other end of Baton's leg.
    Here,
    /// Taken out of Baton's leg, on its way to somebody whom its own side calls.
    Moving,
    /// With somebody whom its own side has called.
    There,
    /// Hung up by its own side, for nobody was there.
    Lost,
    /// Hung up by its own side, for a BYE of Baton took away what it was being moved into.
    Cut,
    /// It hung up itself.
    Left,
}

/// One caller, and all its moves.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    moves: Vec<(Time, Where)>,
    /// CSeq of the REFER that has moved it last, where its side tells so.
    pub mover: Option<u32>,
    /// Its side says what it is, and that it is gone when it is asked.
    pub tells: bool,
}

impl Caller {
    /// It is there from now on.
    pub fn goes(&mut self, at: Time, place: Where) {
        if self.moves.last().is_none_or(|(_, last)| *last != place) {
            self.moves.push((at, place));
        }
    }

    /// Where it was at that time.
    pub fn at(&self, at: Time) -> Option<Where> {
        self.moves.iter().rev().find(|(since, _)| *since <= at).map(|(_, place)| *place)
    }

    /// Whether it was there at any time up to then.
    pub fn has_been(&self, place: Where, by: Time) -> bool {
        self.moves.iter().any(|(since, known)| *since <= by && *known == place)
    }

    /// In words.
    pub fn story(&self) -> String {
        let millis = |at: &Time| at.0.saturating_sub(1_000_000) / 1000;
        let moves: Vec<String> =
            self.moves.iter().map(|(at, place)| format!("{} ms {place:?}", millis(at))).collect();
        moves.join(", ")
    }
}

/// Whether a message was made on the way by a proxy, and says nothing of the peer.
pub fn is_of_a_proxy(m: &Message) -> bool {
    m.find("Server").is_some_and(|name| name == PROXY)
}

/// How a proxy calls itself.
pub const PROXY: &str = "kamailio (5.8.4 (x86_64/linux))";
