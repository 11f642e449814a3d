//! A PBX that transfers as Asterisk 22 does (res_pjsip; measured beside 22.10.1, read in `res_pjsip_refer.c`).
//!
//! It takes the caller out of Baton's leg as soon as the extension exists, says 200 when the extension rings, 503 or 486 when
//! it comes to nothing, hangs the caller up then, and leaves Baton's leg standing for a minute, whatever came of it. A
//! re-INVITE in such a leg gets a BYE and then still a 200; a REFER in it gets 404, although the caller has left long since.
//! Under load its NOTIFY overtakes what it tells of: a re-INVITE that comes before the channel has ended is answered as if the
//! caller were there.
//! With Replaces it reports 200 before its swap is done: a BYE that comes meanwhile takes away what the caller is moved into.
//!
//! What it cannot do: hide its name; answer for a caller by its own music or voice mail after a failed transfer (the dialplan
//! may); move a caller whose leg is not in a bridge, which gets 400; put the caller back.

use super::super::common::message::Message;
use super::super::common::ms;
use super::super::models::Draw;
use super::super::whereabouts::Where;
use super::refer::replaces;
use super::{House, Later, Out, Party, Place, Report, Step};
use std::rc::Rc;
use std::time::Duration;

/// Of so many swaps one is missed by its target.
const MISSED: u32 = 16;
/// Of so many early 200s and failures one is said before the caller is taken or hung up, as an Asterisk under load does.
const TAKEN_LATE: u32 = 8;
/// How long a leg stands that the caller was taken out of.
const LEFT_STANDING: Duration = ms(60_000);

/// What the extension is.
#[derive(Clone, Copy, Debug)]
enum Extension {
    /// There is none.
    Unknown,
    /// A phone that somebody answers after a while, and whether 200 waits for that (`Dial` with `m`).
    Answered(Duration, bool),
    /// A phone that nobody answers.
    Unanswered(Duration),
    /// A phone that says 486.
    BusyPhone(Duration),
    /// `Busy(3)`: a tone, then it hangs up.
    BusyTone,
    /// `Congestion(3)`, `Hangup()`, a queue that is not there.
    Congestion(Duration),
    /// `Answer()`: an application.
    Application,
    /// A phone; the caller hangs up while it rings.
    CallerLeaves(Duration),
}

impl Party {
    fn extension(&mut self) -> Extension {
        let while_it_rings = ms(50 + self.ua.random.below(8_000));
        match self.ua.random.below(20) {
            0..=2 => Extension::Unknown,
            3..=7 => Extension::Answered(while_it_rings, false),
            8 => Extension::Answered(while_it_rings, true),
            9..=11 => Extension::Unanswered(ms(1_000 + self.ua.random.below(30_000))),
            12 | 13 => Extension::BusyPhone(ms(self.ua.random.below(300))),
            14 => Extension::BusyTone,
            15 | 16 => Extension::Congestion(self.ua.random.pick(&[ms(0), ms(4), ms(3_000)])),
            17 => Extension::Application,
            _ => Extension::CallerLeaves(while_it_rings),
        }
    }

    /// A REFER comes.
    pub(super) fn refer_to_asterisk(&mut self, place: Place, m: &Message, out: &mut Out) {
        let (cseq, refer) = (m.cseq().0, Rc::new(m.clone()));
        let to = m.find("Refer-To").unwrap_or_default();
        let refused = if to.contains("tel:") {
            Some(400)
        } else if self.chance(5) {
            // `allow_transfer = no`.
            Some(603)
        } else {
            None
        };
        if let Some(status) = refused {
            return self.reply(Some(place), &refer, status, out);
        }
        if self.dialogs[place].vacated {
            self.met(Draw::ReferWithoutChannel);
            // Of the two ways one is that of older versions.
            if self.chance(50) {
                return self.reply(Some(place), &refer, 404, out);
            }
            self.reply(Some(place), &refer, 202, out);
            return self.ua.wake(ms(1), Later::Notify(place, cseq, Report::Final(404)), out);
        }
        self.reply(Some(place), &refer, 202, out);
        self.ua.wake(ms(1), Later::Notify(place, cseq, Report::Provisional(100)), out);
        match replaces(to).filter(|_| to.contains("Replaces=")) {
            Some((to, call_id, tag)) => self.attend(place, cseq, (to, call_id, tag), out),
            None => self.take(place, cseq, out),
        }
    }

    /// The caller is taken to the extension.
    fn take(&mut self, place: Place, cseq: u32, out: &mut Out) {
        let extension = self.extension();
        let rings = Report::Provisional(180);
        let (ends, step) = match extension {
            Extension::Unknown => {
                self.tell((place, cseq), ms(2), Report::Final(404), out);
                return self.met(Draw::NeverLeft404);
            }
            Extension::Answered(after, true) => {
                self.tell((place, cseq), ms(4), Report::Provisional(183), out);
                self.tell((place, cseq), after, Report::Final(200), out);
                (after, Step::Reaches)
            }
            Extension::Answered(after, false) => {
                self.tell((place, cseq), ms(9), rings, out);
                self.tell((place, cseq), ms(29), Report::Final(200), out);
                self.met(Draw::Early200);
                (after, Step::Reaches)
            }
            Extension::Unanswered(after) => {
                self.tell((place, cseq), ms(9), rings, out);
                self.tell((place, cseq), ms(27), Report::Final(200), out);
                self.met(Draw::Early200NobodyAnswers);
                (after, Step::GivesUp)
            }
            Extension::BusyPhone(after) => {
                self.tell((place, cseq), after + ms(1), Report::Final(503), out);
                self.met(Draw::Taken503);
                (after, Step::GivesUp)
            }
            Extension::BusyTone => {
                self.tell((place, cseq), ms(5), Report::Final(486), out);
                self.met(Draw::Taken503);
                (ms(3_000), Step::GivesUp)
            }
            Extension::Congestion(after) => {
                self.tell((place, cseq), ms(5), Report::Final(503), out);
                self.met(Draw::Taken503);
                (after, Step::GivesUp)
            }
            Extension::Application => {
                self.tell((place, cseq), ms(24), Report::Final(200), out);
                (ms(20), Step::Reaches)
            }
            Extension::CallerLeaves(after) => {
                self.tell((place, cseq), ms(9), rings, out);
                (after, Step::Leaves(cseq))
            }
        };
        let nth = u64::from(cseq / TAKEN_LATE);
        let late = match extension {
            _ if !cseq.is_multiple_of(TAKEN_LATE) => Duration::ZERO,
            Extension::Answered(_, false) | Extension::Unanswered(_) => ms(100 + nth % 900),
            Extension::BusyTone | Extension::Congestion(_) => {
                self.met(Draw::FailureOvertakes);
                ms(6 + nth % 400)
            }
            _ => Duration::ZERO,
        };
        match late {
            Duration::ZERO => self.vacate(place, cseq),
            late => self.ua.wake(late, Later::Transfer(place, Step::Takes(cseq)), out),
        }
        self.ua.wake(late + ends, Later::Transfer(place, step), out);
        // It counts from its last NOTIFY, which is the later one where the caller leaves.
        let last = if matches!(step, Step::Leaves(_)) { ends } else { Duration::ZERO };
        self.ua.wake(last + LEFT_STANDING, Later::Transfer(place, Step::Expires), out);
    }

    fn tell(&mut self, (place, cseq): (Place, u32), after: Duration, report: Report, out: &mut Out) {
        self.ua.wake(after, Later::Notify(place, cseq, report), out);
    }

    /// The caller leaves this leg, which stands for a while.
    fn vacate(&mut self, place: Place, cseq: u32) {
        self.met(Draw::TakenAtOnce);
        self.dialogs[place].vacated = true;
        self.sets_out(place, cseq);
    }

    fn sets_out(&mut self, place: Place, cseq: u32) {
        let call_id = &self.dialogs[place].call_id;
        self.ledger.borrow_mut().is_moved_by(self.now, call_id, cseq);
    }

    fn moves(&mut self, place: Place, to: Where) {
        let call_id = &self.dialogs[place].call_id;
        self.ledger.borrow_mut().goes(self.now, call_id, to);
    }

    fn is_at(&self, place: Place) -> Option<Where> {
        self.ledger().whereabouts(&self.dialogs[place].call_id)
    }

    /// The caller is to take the place of Baton in another dialog, of ours or of somebody else.
    fn attend(
        &mut self,
        place: Place,
        cseq: u32,
        (to, call_id, tag): (std::net::SocketAddr, String, String),
        out: &mut Out,
    ) {
        let ours = self.find(&call_id, &tag).filter(|_| to == self.ua.address);
        if let Some(target) = ours {
            let after = ms(1 + self.ua.random.below(5));
            return self.ua.wake(after, Later::Transfer(place, Step::Reports(target, cseq)), out);
        }
        if self.chance(60) {
            // There is no extension `external_replaces`.
            self.met(Draw::NeverLeft404);
            return self.ua.wake(ms(2), Later::Notify(place, cseq, Report::Final(404)), out);
        }
        self.vacate(place, cseq);
        self.ua.wake(LEFT_STANDING, Later::Transfer(place, Step::Expires), out);
        self.ua.wake(ms(25), Later::Notify(place, cseq, Report::Final(200)), out);
        let (from, caller) = (self.ua.address, self.dialogs[place].call_id.clone());
        let call = self.pause(2_000);
        self.post(to, call, Later::Replace { call_id, tag, from, caller, refer: (place, cseq) }, out);
    }

    /// A transfer goes on.
    pub(super) fn transfer(&mut self, place: Place, step: Step, out: &mut Out) {
        let moving = self.is_at(place) == Some(Where::Moving);
        match step {
            Step::Reports(target, cseq) => self.report_early(place, target, cseq, out),
            Step::Takes(cseq) if self.dialogs[place].is_up() && self.is_at(place) == Some(Where::Here) => {
                self.met(Draw::TakenAfter200);
                self.vacate(place, cseq);
            }
            Step::Swaps(target) => self.swap(place, target, out),
            Step::Reaches if moving => self.moves(place, Where::There),
            Step::GivesUp if moving => self.moves(place, Where::Lost),
            Step::Leaves(cseq) => {
                if moving {
                    self.moves(place, Where::Left);
                }
                self.met(Draw::LeftWhileItRang);
                self.ua.wake(ms(1), Later::Notify(place, cseq, Report::Final(503)), out);
            }
            Step::Expires => self.drop_leg(place, out),
            Step::Takes(_) | Step::Reaches | Step::GivesUp => {}
        }
    }

    /// 200, and the swap follows. Where the target's leg is over by now there is nothing to swap with: 603, and the caller
    /// has not left (`refer_attended_task`). Where the caller's leg is, nothing is ever said.
    fn report_early(&mut self, place: Place, target: Place, cseq: u32, out: &mut Out) {
        if !self.dialogs[place].is_up() {
            return;
        }
        if !self.dialogs[target].is_up() {
            self.met(Draw::TargetGoneBeforeSwap);
            return self.notify(place, cseq, Report::Final(603), out);
        }
        self.met(Draw::SwapAfterReport);
        self.sets_out(place, cseq);
        self.dialogs[place].swapping = Some(place);
        self.dialogs[target].swapping = Some(place);
        self.notify(place, cseq, Report::Final(200), out);
        let most = if self.chance(10) { 300 } else { 30 };
        let after = ms(1 + self.ua.random.below(most));
        self.ua.wake(after, Later::Transfer(place, Step::Swaps(target)), out);
        // Hardly ever by itself in so short a time.
        if cseq.is_multiple_of(MISSED) {
            self.ua.wake(after / 2, Later::Bye(target, String::new()), out);
        }
    }

    fn swap(&mut self, place: Place, target: Place, out: &mut Out) {
        self.dialogs[target].swapping = None;
        if self.dialogs[place].swapping.take().is_none() {
            return;
        }
        self.is_left_standing(place, out);
        let there = self.dialogs[target].is_up();
        // Who has hung up meanwhile arrives nowhere.
        if self.is_at(place) == Some(Where::Moving) {
            self.moves(place, if there { Where::There } else { Where::Lost });
        }
        if there {
            let call_id = self.dialogs[target].call_id.clone();
            self.ledger().replaced.insert(call_id);
            self.drop_leg(target, out);
        }
    }

    /// The person at the target hangs up while a caller is being moved to it: what the caller was to come into is no more, and
    /// it is hung up. On the wire there is a BYE of the target's leg near a 200, as after a swap.
    pub(super) fn is_missed(&mut self, target: Place, out: &mut Out) {
        let Some(caller) = self.dialogs[target].swapping.take().filter(|caller| *caller != target) else {
            return;
        };
        self.met(Draw::TargetLeavesInSwap);
        self.dialogs[caller].swapping = None;
        if self.is_at(caller) == Some(Where::Moving) {
            self.moves(caller, Where::Lost);
        }
        self.is_left_standing(caller, out);
    }

    /// The caller was taken out of a leg, which stands for a while.
    fn is_left_standing(&mut self, place: Place, out: &mut Out) {
        self.dialogs[place].vacated = true;
        self.ua.wake(LEFT_STANDING, Later::Transfer(place, Step::Expires), out);
    }

    /// BYE for a leg that stands, whatever is open in it.
    fn drop_leg(&mut self, place: Place, out: &mut Out) {
        if self.dialogs[place].is_up() {
            self.inside(place, "BYE", "", ("", ""), out);
            self.end(place);
            self.decline(place, 487, out);
        }
    }

    /// Baton's BYE in a leg from which or into which a caller is just being moved.
    pub(super) fn is_cut(&mut self, place: Place) {
        let Some(caller) = self.dialogs[place].swapping.take() else { return };
        if self.is_at(caller) == Some(Where::Moving) {
            self.moves(caller, Where::Cut);
        }
        self.dialogs[caller].swapping = None;
    }

    /// A re-INVITE in a leg that the caller was taken out of.
    pub(super) fn tells_that_nobody_is_here(&mut self, place: Place, request: &Message, out: &mut Out) {
        self.met(Draw::AskedAndGone);
        self.inside(place, "BYE", "", ("", ""), out);
        self.agree(place, request, out);
        self.end(place);
    }

    /// A caller that is with us, or on its way, hangs up: nobody at Baton's end hears of it.
    pub(super) fn leaves_by_itself(&mut self, place: Place) -> bool {
        let dialog = &self.dialogs[place];
        let away = dialog.vacated || dialog.swapping == Some(place);
        if !away || self.house != House::Pbx {
            return false;
        }
        if matches!(self.is_at(place), Some(Where::Moving | Where::There)) {
            self.moves(place, Where::Left);
        }
        true
    }

    /// A caller that is at the other end of Baton's leg hangs up.
    pub(super) fn leaves(&mut self, place: Place) {
        if self.is_at(place) == Some(Where::Here) {
            self.moves(place, Where::Left);
        }
    }
}
