//! `rule`: where a decision that names a destination really goes, by the time, by what is known of the call, or by a
//! draw. Pure: the time is that of the decision, and the draw is a hash of the handoff's id, so that the same decision
//! always goes the same way.
//!
//! Rules are asked in their order, and the first that matches is taken; where none does, the destination itself is
//! meant. A rule matches while it is open (`hours`) and its condition is met (`when`), each as far as it is written.
//! Rules with a `weight` that follow each other are one split: of those that match, one is drawn. Whatever a rule `use`s
//! is asked for its own rules, in turn; a table in which that goes round is refused.

pub mod condition;
pub mod hours;

use std::borrow::Cow;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::Id;
use super::table::rule::{MAX_CHAIN, Rule, Then};
use super::table::{Destination, Table};
use super::template::Variables;
use crate::sip::UnixMillis;

/// Of a split: the weight of what was drawn, and the sum of the weights that it was drawn from.
pub type Share = Option<(u32, u32)>;

/// A rule that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The destination that it belongs to.
    pub destination: Id,
    /// Which of its rules, counted from 1.
    pub number: usize,
    /// The destination that it leads to, or the method and route that it sets.
    pub to: Box<str>,
    /// `None` where it was not drawn.
    pub share: Share,
}

/// What rules are asked about.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// When the handoff was decided.
    pub at: UnixMillis,
    /// The handoff's id, which the draw of a split is made from.
    pub handoff: &'q str,
    /// The call's variables; `destination` and `method` are those of the destination whose rules are asked.
    pub variables: &'q dyn Variables,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("at", &self.at)
            .field("handoff", &self.handoff)
            .finish_non_exhaustive()
    }
}

/// The destination that is meant where `named` is named, and the rules that lead there.
pub fn choose(
    table: &Table,
    named: &Arc<Destination>,
    question: Question<'_>,
) -> (Arc<Destination>, Vec<Taken>) {
    let mut here = Arc::clone(named);
    let mut taken = Vec::new();
    // A table that was read has no longer chain, and at its end the rule that sets a route or method.
    while taken.len() <= MAX_CHAIN {
        let Some((number, rule, share)) = first_match(&here, question) else { break };
        let (to, next, is_last) = match &rule.then {
            Then::Itself => (here.id.as_ref().into(), Arc::clone(&here), true),
            Then::Instead(variant) => (instead(variant), Arc::clone(variant), true),
            Then::Use(id) => match table.find(id) {
                Some(next) => (next.id.as_ref().into(), Arc::clone(next), false),
                None => break,
            },
        };
        taken.push(Taken { destination: Arc::clone(&here.id), number, to, share });
        here = next;
        if is_last {
            break;
        }
    }
    (here, taken)
}

/// Method and route, as messages name them: `invite +14155550123`.
fn instead(variant: &Destination) -> Box<str> {
    match &variant.route {
        Some(route) if variant.method.needs_route() => format!("{} {route}", variant.method.name()).into(),
        Some(_) | None => variant.method.name().into(),
    }
}

/// The rule that is taken, counted from 1.
fn first_match<'d>(destination: &'d Destination, question: Question<'_>) -> Option<(usize, &'d Rule, Share)> {
    let variables = Of { destination, variables: question.variables };
    let matches = |rule: &Rule| rule.matches(question.at, &variables);
    let mut rules = destination.rules.iter().enumerate().peekable();
    while let Some((index, rule)) = rules.next() {
        let Some(weight) = rule.weight else {
            if matches(rule) {
                return Some((index + 1, rule, None));
            }
            continue;
        };
        let mut split: Vec<(usize, &Rule, u32)> = Vec::new();
        split.extend(matches(rule).then_some((index, rule, weight)));
        while let Some((index, rule)) = rules.next_if(|(_, rule)| rule.weight.is_some()) {
            let weight = rule.weight.unwrap_or_default();
            split.extend(matches(rule).then_some((index, rule, weight)));
        }
        let all: u32 = split.iter().map(|(_, _, weight)| weight).sum();
        let mut rest = draw(question.handoff, &destination.id, all);
        for (index, rule, weight) in split {
            if rest < weight {
                return Some((index + 1, rule, Some((weight, all))));
            }
            rest -= weight;
        }
    }
    None
}

/// A number below `all` (0 where that is 0), always the same for the same handoff and destination. The key is fixed: an
/// id is drawn by Baton itself, and nobody gains by choosing it.
fn draw(handoff: &str, destination: &str, all: u32) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(handoff.as_bytes());
    hasher.write_u8(0);
    hasher.write(destination.as_bytes());
    let drawn = hasher.finish() % u64::from(all.max(1));
    // Below `all`, which is a u32.
    u32::try_from(drawn).unwrap_or_default()
}

/// The call's variables as the rules of one destination see them.
struct Of<'v> {
    destination: &'v Destination,
    variables: &'v dyn Variables,
}

impl Variables for Of<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "destination" => Some(Cow::Borrowed(&self.destination.id)),
            "method" => Some(Cow::Borrowed(self.destination.method.name())),
            _ => self.variables.variable(name),
        }
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.variables.header(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::file::Source;
    use crate::routing::table::read;

    struct Language(&'static str);

    impl Variables for Language {
        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "language").then_some(Cow::Borrowed(self.0))
        }

        fn header(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }
    }

    fn table(rules: &str) -> Table {
        let text = format!(
            "default = \"desk\"\n[destination.desk]\nroute = \"+14155550123\"\nrule = {rules}\n\
             [destination.night]\nroute = \"+14155550124\"\nrule = [{{ when = 'language == \"es\"', use = \"spanish\" }}]\n\
             [destination.spanish]\nmethod = \"invite\"\nroute = \"sip:es@pbx\"\n"
        );
        let (table, told) = read(&Source::new("t", &text), &"production".into(), None);
        table.unwrap_or_else(|| panic!("{told:#?}"))
    }

    /// Where a decision for the desk goes, and by which rules.
    fn chosen(
        table: &Table,
        at: &str,
        language: &'static str,
        handoff: &str,
    ) -> (Arc<Destination>, Vec<String>) {
        let at = UnixMillis(at.parse::<jiff::Timestamp>().expect("a time").as_millisecond());
        let question = Question { at, handoff, variables: &Language(language) };
        let (found, taken) = choose(table, table.find("desk").expect("the desk"), question);
        let told = taken.iter().map(|t| format!("{}:{}={}", t.destination, t.number, t.to)).collect();
        (found, told)
    }

    const DAY: &str = "2026-11-26T10:00:00Z";
    const NIGHT: &str = "2026-11-26T22:00:00Z";

    #[test]
    fn the_first_that_matches_and_then_the_rules_of_what_it_uses() {
        let table = table(
            r#"[{ hours = "Mo-Fr 08:00-18:00", timezone = "UTC", use = "desk" }, { when = 'language == "de"', method = "invite" },
               { when = 'language == "fr" && destination == "desk" && method == "refer"', route = "sip:fr@pbx" }, { use = "night" }]"#,
        );
        let told = |at, language| {
            let (found, told) = chosen(&table, at, language, "h");
            let route = found.route.as_ref().map(ToString::to_string).unwrap_or_default();
            (format!("{} {} {route}", found.id, found.method.name()), told.join(" "))
        };
        let pair = |what: &str, rules: &str| (what.to_owned(), rules.to_owned());
        assert_eq!(told(DAY, "es"), pair("desk refer +14155550123", "desk:1=desk"));
        assert_eq!(told(NIGHT, "de"), pair("desk invite +14155550123", "desk:2=invite +14155550123"));
        assert_eq!(told(NIGHT, "fr"), pair("desk refer sip:fr@pbx", "desk:3=refer sip:fr@pbx"));
        assert_eq!(told(NIGHT, "en"), pair("night refer +14155550124", "desk:4=night"));
        assert_eq!(told(NIGHT, "es"), pair("spanish invite sip:es@pbx", "desk:4=night night:1=spanish"));
    }

    #[test]
    fn no_rule_is_the_destination_itself() {
        let table = table(r#"[{ when = 'language == "es"', use = "spanish" }]"#);
        let (found, told) = chosen(&table, DAY, "", "h");
        assert_eq!((&*found.id, told.len()), ("desk", 0));
    }

    #[test]
    fn a_split_is_drawn_from_what_matches_and_always_the_same_for_a_handoff() {
        let table = table(
            r#"[{ weight = 3, use = "desk" }, { weight = 1, use = "spanish" }, { weight = 4, when = 'language == "es"', use = "night" },
               { weight = 0, use = "spanish" }]"#,
        );
        let count = |language, id: &str| {
            let goes = |n: u32| {
                let handoff = format!("h-{n}");
                let (found, told) = chosen(&table, DAY, language, &handoff);
                assert_eq!(chosen(&table, DAY, language, &handoff).1, told, "the same again");
                *found.id == *id
            };
            (0..4000).filter(|n| goes(*n)).count()
        };
        // 3 of 4, and 3 of 8. The bounds are five deviations wide, and nothing here is random.
        assert!((2860..3140).contains(&count("en", "desk")), "{}", count("en", "desk"));
        assert!((1345..1655).contains(&count("es", "desk")), "{}", count("es", "desk"));
        assert_eq!(count("en", "night"), 0);
    }

    #[test]
    fn a_share_is_told() {
        let table = table(r#"[{ weight = 10, use = "spanish" }, { weight = 0, use = "night" }]"#);
        let question = Question { at: UnixMillis(0), handoff: "h", variables: &Language("") };
        let (_, taken) = choose(&table, table.find("desk").expect("the desk"), question);
        assert_eq!(taken[0].share, Some((10, 10)));
    }
}
