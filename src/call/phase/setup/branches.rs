//! Who was heard before the answer: an address of the agent or a target and, where its INVITE is forked, a branch of it. Each
//! is a party towards the caller, with an early dialog of its own (RFC 3261 §13.2.2.4): two sessions in one would leave the
//! caller with the first.

use smallvec::SmallVec;

/// Branches of one INVITE that the caller hears. What others say before they answer is left out.
const HEARD: usize = 8;

/// The early dialogs of a forked INVITE (RFC 3261 §12.1). Bounded by [`HEARD`].
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// The number of the next party.
    next: u8,
    /// Those of whoever is called now: the tag of its responses, and its number.
    heard: SmallVec<[(Box<[u8]>, u8); 1]>,
}

impl Branches {
    /// Somebody else is called.
    pub(super) fn turn(&mut self) {
        self.heard.clear();
    }

    /// The party that a provisional response is of. None: there are too many already.
    pub(super) fn heard(&mut self, tag: Option<&[u8]>) -> Option<u8> {
        let known = self.known(tag);
        known.or_else(|| (self.heard.len() < HEARD).then(|| self.add(tag)))
    }

    /// The party that answers.
    pub(super) fn answers(&mut self, tag: Option<&[u8]>) -> u8 {
        self.known(tag).unwrap_or_else(|| self.add(tag))
    }

    fn known(&mut self, tag: Option<&[u8]>) -> Option<u8> {
        let tag = tag.unwrap_or_default();
        // Whoever has no tag in its first responses (RFC 2543) is the one that names itself later.
        let is_it = |(known, _): &&mut (Box<[u8]>, u8)| **known == *tag || known.is_empty() || tag.is_empty();
        let (known, number) = self.heard.iter_mut().rev().find(is_it)?;
        if known.is_empty() {
            *known = tag.into();
        }
        Some(*number)
    }

    fn add(&mut self, tag: Option<&[u8]>) -> u8 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.heard.push((tag.unwrap_or_default().into(), number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_branch_has_a_number_and_the_next_address_begins_anew() {
        let mut branches = Branches::default();
        assert_eq!([branches.heard(Some(b"a")), branches.heard(Some(b"b"))], [Some(0), Some(1)]);
        assert_eq!((branches.heard(Some(b"a")), branches.answers(Some(b"b"))), (Some(0), 1));
        branches.turn();
        assert_eq!(branches.heard(Some(b"a")), Some(2));
    }

    #[test]
    fn one_without_a_tag_is_the_one_that_names_itself_later() {
        let mut branches = Branches::default();
        assert_eq!([branches.heard(None), branches.heard(Some(b"a"))], [Some(0), Some(0)]);
        assert_eq!(branches.heard(Some(b"b")), Some(1));
        assert_eq!(branches.heard(None), Some(1), "of whoever was heard last");
    }

    #[test]
    fn a_flood_of_branches_is_bounded_and_the_one_that_answers_counts() {
        let mut branches = Branches::default();
        let heard = (0..100_u32).filter_map(|at| branches.heard(Some(&at.to_be_bytes()))).count();
        assert_eq!(heard, HEARD);
        assert_eq!(usize::from(branches.answers(Some(b"answers"))), HEARD);
    }
}
