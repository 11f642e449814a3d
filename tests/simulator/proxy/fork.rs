//! A new call through the proxy: to one house, to several one after the other, or to all at once (RFC 3261 §16.7).

use super::super::common::message::Message;
use super::{Action, Alarm, Draw, Out, Proxy, cancel_text, ms, text};
use std::rc::Rc;

/// How a branch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It was not tried yet.
    Waiting,
    Tried,
    /// Its final response: as Baton would get it.
    Over(u16, String),
}

/// A new call.
pub(super) struct Fork {
    invite: Rc<Message>,
    branches: Vec<State>,
    /// One after the other.
    serial: bool,
    /// Somebody has answered, or it was cancelled, or the proxy has refused it.
    settled: bool,
    /// Baton has a final response.
    answered: bool,
    /// The tag of the branch that rang first; empty: none has.
    rang: String,
    /// The last response that Baton was given.
    last: String,
}

impl Proxy {
    pub(super) fn new_call(&mut self, m: &Message, out: &mut Out) {
        if let Some(known) = self.forks.get(m.branch()) {
            return out.push(Action::Send(known.last.clone()));
        }
        self.met(Draw::ProxiedCall);
        let branch = m.branch().to_owned();
        let several = self.houses.len() > 1;
        let serial = several && self.random.chance(50);
        if several {
            self.met(if serial { Draw::ForkInSeries } else { Draw::ForkInParallel });
        }
        let trying = text::own_answer(m, 100);
        out.push(Action::Send(trying.clone()));
        let fork = Fork {
            invite: Rc::new(m.clone()),
            branches: self.houses.iter().map(|_| State::Waiting).collect(),
            serial,
            settled: false,
            answered: false,
            rang: String::new(),
            last: trying,
        };
        self.forks.insert(branch.clone(), fork);
        if self.random.chance(self.habits.refuses) {
            return self.refuse_call(&branch, out);
        }
        self.try_next(&branch, out);
    }

    /// The proxy answers by itself, at once or when it has waited in vain.
    fn refuse_call(&mut self, branch: &str, out: &mut Out) {
        let status: u16 = self.random.pick(&[408, 408, 477, 480, 503, 504]);
        let after = match status {
            408 | 504 => ms(500 + self.random.below(20_000)),
            _ => ms(self.random.below(20)),
        };
        if let Some(fork) = self.forks.get_mut(branch) {
            fork.branches.clear();
        }
        self.alarm_in(after, Alarm::RefuseCall(branch.to_owned(), status), out);
    }

    /// The next branch, or all.
    fn try_next(&mut self, branch: &str, out: &mut Out) {
        let Some(fork) = self.forks.get_mut(branch) else { return };
        let waiting: Vec<usize> =
            (0..fork.branches.len()).filter(|at| fork.branches[*at] == State::Waiting).collect();
        let now = if fork.serial { &waiting[..waiting.len().min(1)] } else { &waiting[..] };
        now.iter().for_each(|at| fork.branches[*at] = State::Tried);
        let (invite, serial) = (Rc::clone(&fork.invite), fork.serial);
        for house in now {
            self.pass_down(*house, &invite, out);
            if serial && waiting.len() > 1 {
                let patience = ms(1_000 + self.random.below(15_000));
                self.alarm_in(patience, Alarm::Impatient(branch.to_owned(), *house), out);
            }
        }
    }

    /// The proxy has waited in vain, or knows that it need not.
    pub(super) fn refuses(&mut self, branch: &str, status: u16, out: &mut Out) {
        let Some(fork) = self.forks.get(branch).filter(|fork| !fork.settled) else { return };
        let answer = text::own_answer(&fork.invite, status);
        self.met_status(status);
        self.give_final(branch, answer, out);
    }

    /// A branch has rung long enough.
    pub(super) fn is_impatient(&mut self, branch: &str, place: usize, out: &mut Out) {
        let Some(fork) = self.forks.get(branch).filter(|fork| !fork.settled) else { return };
        let invite = Rc::clone(&fork.invite);
        if fork.branches.get(place) == Some(&State::Tried) {
            self.cancel_branch(place, &invite, out);
        }
    }

    fn cancel_branch(&mut self, house: usize, invite: &Message, out: &mut Out) {
        if let Ok(cancel) = Message::parse(cancel_text(invite).as_bytes()) {
            self.pass_down(house, &cancel, out);
        }
    }

    /// Baton takes the call back.
    pub(super) fn cancel_fork(&mut self, branch: &str, out: &mut Out) {
        let Some(fork) = self.forks.get_mut(branch) else { return };
        let first = !std::mem::replace(&mut fork.settled, true);
        let (invite, empty) = (Rc::clone(&fork.invite), fork.branches.is_empty());
        if empty && first {
            return self.give_final(branch, text::own_answer(&invite, 487), out);
        }
        self.cancel_others(branch, None, out);
        self.conclude(branch, out);
    }

    fn cancel_others(&mut self, branch: &str, but: Option<usize>, out: &mut Out) {
        let Some(fork) = self.forks.get_mut(branch) else { return };
        fork.settled = true;
        let open: Vec<usize> = (0..fork.branches.len())
            .filter(|at| Some(*at) != but && fork.branches[*at] == State::Tried)
            .collect();
        let invite = Rc::clone(&fork.invite);
        for house in open {
            self.cancel_branch(house, &invite, out);
        }
    }

    /// A house says something of a new call.
    pub(super) fn branch_answers(&mut self, branch: &str, house: usize, m: &Message, out: &mut Out) {
        let door = self.door;
        let Some(fork) = self.forks.get_mut(branch) else { return };
        let status = m.status();
        let text = text::answer_upward(m, true, door);
        match status {
            0..200 => {
                if !fork.answered {
                    fork.last.clone_from(&text);
                    out.push(Action::Send(text));
                    let tag = m.to_tag();
                    if fork.rang.is_empty() {
                        fork.rang = tag.to_owned();
                    } else if !tag.is_empty() && fork.rang != tag {
                        self.met(Draw::EarlyForks);
                    }
                }
            }
            // Always, and its copies too: each is a dialog of its own.
            200..300 => {
                fork.branches[house] = State::Over(status, String::new());
                fork.answered = true;
                fork.last.clone_from(&text);
                out.push(Action::Send(text));
                self.cancel_others(branch, Some(house), out);
            }
            _ => {
                if matches!(fork.branches[house], State::Over(..)) {
                    return;
                }
                fork.branches[house] = State::Over(status, text);
                if status >= 600 {
                    self.cancel_others(branch, Some(house), out);
                }
                self.conclude(branch, out);
            }
        }
    }

    /// When nobody is left who may answer, Baton gets the best of what came.
    fn conclude(&mut self, branch: &str, out: &mut Out) {
        let Some(fork) = self.forks.get(branch) else { return };
        if fork.answered || fork.branches.contains(&State::Tried) {
            return;
        }
        if !fork.settled && fork.branches.contains(&State::Waiting) {
            return self.try_next(branch, out);
        }
        // RFC 3261 §16.7 step 6: a 6xx first, then the lowest class.
        let rank = |status: u16| (status < 600, status / 100, status);
        let over = fork.branches.iter().filter_map(|state| match state {
            State::Over(status, text) => Some((rank(*status), text)),
            State::Waiting | State::Tried => None,
        });
        let best = over.min_by_key(|(rank, _)| *rank).map(|(_, text)| text.clone());
        let answer = best.unwrap_or_else(|| text::own_answer(&fork.invite, 487));
        self.give_final(branch, answer, out);
    }

    fn give_final(&mut self, branch: &str, answer: String, out: &mut Out) {
        if let Some(fork) = self.forks.get_mut(branch) {
            (fork.answered, fork.settled) = (true, true);
            fork.last.clone_from(&answer);
        }
        self.repeat_until_ack(branch.to_owned(), answer.clone(), out);
        out.push(Action::Send(answer));
    }
}
