//! Where the steps of `on_failure` and the rules lead: what one destination alone cannot tell. Steps and `use` are the
//! arrows of a graph that must have no loop; each check looks at every arrow once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::places::Places;
use super::steps::List;
use crate::routing::explain::Cause;
use crate::routing::file::{At, Report};
use crate::routing::table::rule::{MAX_CHAIN, Rule, Then};
use crate::routing::table::{Destination, Method, Step};

/// A destination as it was read.
pub(super) struct Row {
    pub(super) destination: Destination,
    /// Where its id stands, in bytes.
    pub(super) place: usize,
    /// Its `on_failure`, with places.
    pub(super) lists: Vec<List>,
    /// The other destinations that its rules use, with places.
    pub(super) uses: Vec<At<Box<str>>>,
    /// Where its parts stand.
    pub(super) places: Places,
}

/// The most links of a chain that a message names.
const SHOWN: usize = 8;

/// Reports loops, steps that the destination they lead to does not allow, and steps that can never be taken. `all` is how
/// many destinations the file names: where some could not be read, nothing is said about what can never be.
pub(super) fn check(report: &mut Report<'_>, rows: &mut [Row], all: usize) {
    // A reader goes from top to bottom, and so do the chains that messages name.
    rows.sort_by_key(|row| row.place);
    let rows = &*rows;
    let index: BTreeMap<&str, usize> =
        rows.iter().enumerate().map(|(at, row)| (&*row.destination.id, at)).collect();
    let mut arrows: Vec<Vec<Arrow>> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut own: Vec<Arrow> = Vec::new();
        for step in row.lists.iter().flat_map(|list| &list.steps) {
            let Some(to) = target(&step.value, &index) else { continue };
            allowed(report, &row.destination, &rows[to].destination, step);
            if own.iter().all(|other| other.to != to) {
                own.push(Arrow { to, span: step.span.clone(), by_rule: false });
            }
        }
        for used in &row.uses {
            let Some(to) = index.get(&*used.value).copied() else { continue };
            usable(report, &row.destination, &rows[to].destination, &used.span);
            own.push(Arrow { to, span: used.span.clone(), by_rule: true });
        }
        arrows.push(own);
    }
    let Walk { order, loops } = walk(&arrows);
    for found in &loops {
        let names = found.chain.iter().map(|at| at.map_or("...", |at| &*rows[at].destination.id));
        let chain = names.collect::<Vec<_>>().join(" -> ");
        let (what, goes, this) = match (found.by_steps, found.by_rules) {
            (_, false) => ("`on_failure`", "goes", "step"),
            (false, true) => ("`use`", "goes", "rule"),
            (true, true) => ("`use` and `on_failure`", "go", "one"),
        };
        report
            .error(found.closed_at.clone(), format!("{what} {goes} round: {chain}"))
            .expected(if found.by_rules {
                "rules and steps that come to an end"
            } else {
                "steps that come to an end"
            })
            .help(format!("remove this {this}, or another one of the chain"));
    }
    if loops.is_empty() {
        led(report, rows, &index, &arrows, &order);
    }
    if loops.is_empty() && rows.len() == all {
        never_taken(report, rows, &index, &order);
    }
}

/// The destination that a step leads to.
fn target(step: &Step, index: &BTreeMap<&str, usize>) -> Option<usize> {
    match step {
        Step::Destination(id) => index.get(&**id).copied(),
        Step::Method(_) | Step::Agent | Step::Bye | Step::Hangup => None,
    }
}

/// Reports a step from one destination to another that cannot be taken, or would claim what is not proven.
fn allowed(report: &mut Report<'_>, from: &Destination, to: &Destination, step: &At<Step>) {
    if to.method == Method::Redirect {
        let message = format!(
            "`{}` is no step: its method \"redirect\" works only before the caller leg is answered",
            to.id
        );
        report
            .error(step.span.clone(), message)
            .expected("a destination with method \"refer\", \"invite\", \"attended\" or \"bye\"");
    } else if from.require_proven && !to.require_proven {
        report
            .error(
                step.span.clone(),
                format!("`require = \"proven\"` forbids the step `{}`, which does not require it", to.id),
            )
            .expected("`invite` or `attended`, or a destination that requires the same")
            .help(format!("add `require = \"proven\"` to [destination.{}], or remove the step", to.id));
    }
}

/// Reports a rule that leads to what its destination does not allow.
fn usable(report: &mut Report<'_>, from: &Destination, to: &Destination, place: &Range<usize>) {
    if from.require_proven && !to.require_proven {
        report
            .error(
                place.clone(),
                format!("`require = \"proven\"` forbids to use `{}`, which does not require it", to.id),
            )
            .expected("a destination that requires the same")
            .help(format!("add `require = \"proven\"` to [destination.{}]", to.id));
    }
}

/// Reports what only the rules of all destinations together tell: steps that rules may lead to a redirection, and
/// chains of `use` that are too long. `order` has each destination after those that it leads to.
fn led(
    report: &mut Report<'_>,
    rows: &[Row],
    index: &BTreeMap<&str, usize>,
    arrows: &[Vec<Arrow>],
    order: &[usize],
) {
    let mut links = vec![0; rows.len()];
    let mut redirects = vec![false; rows.len()];
    for &at in order {
        let destination = &rows[at].destination;
        let set =
            |rule: &Rule| matches!(&rule.then, Then::Instead(variant) if variant.method == Method::Redirect);
        redirects[at] = destination.method == Method::Redirect || destination.rules.iter().any(set);
        for arrow in arrows[at].iter().filter(|arrow| arrow.by_rule) {
            redirects[at] |= redirects[arrow.to];
            if links[arrow.to] == MAX_CHAIN {
                let message = format!("`use` leads through more than {MAX_CHAIN} destinations");
                report.error(arrow.span.clone(), message).help("use the destination at its end");
            }
            links[at] = links[at].max(links[arrow.to] + 1);
        }
    }
    for step in rows.iter().flat_map(|row| &row.lists).flat_map(|list| &list.steps) {
        let Some(to) = target(&step.value, index) else { continue };
        // Of a destination that is a redirection by itself it was told.
        if redirects[to] && rows[to].destination.method != Method::Redirect {
            let message = format!(
                "`{}` is no step: a rule may lead it to method \"redirect\", which works only before the caller leg is answered",
                rows[to].destination.id
            );
            report.error(step.span.clone(), message).expected("a destination that does not lead there");
        }
    }
}

/// A step or a rule that leads from one destination to another.
struct Arrow {
    to: usize,
    /// Where it is first written.
    span: Range<usize>,
    by_rule: bool,
}

/// A chain that comes back.
struct Loop {
    /// From a destination to itself; `None` stands for what is left out of a long one.
    chain: Vec<Option<usize>>,
    closed_at: Range<usize>,
    /// Whether a step is among its links.
    by_steps: bool,
    /// Whether a rule is among its links.
    by_rules: bool,
}

struct Walk {
    /// All destinations, each after those that it leads to; sound where there is no loop.
    order: Vec<usize>,
    loops: Vec<Loop>,
}

#[derive(Clone, Copy)]
enum Seen {
    Not,
    /// On the way that is walked now, at this depth.
    OnTheWay(usize),
    Done,
}

/// Walks along all arrows, depth first. Not by recursion: a chain may have as many links as the table has destinations.
fn walk(arrows: &[Vec<Arrow>]) -> Walk {
    let mut walk = Walk { order: Vec::with_capacity(arrows.len()), loops: Vec::new() };
    let mut seen = vec![Seen::Not; arrows.len()];
    // The way from the start to here: each destination with the number of its arrows that were followed.
    let mut way: Vec<(usize, usize)> = Vec::new();
    for start in 0..arrows.len() {
        if matches!(seen[start], Seen::Not) {
            seen[start] = Seen::OnTheWay(0);
            way.push((start, 0));
        }
        while let Some((here, followed)) = way.last_mut() {
            let here = *here;
            let Some(arrow) = arrows[here].get(*followed) else {
                seen[here] = Seen::Done;
                walk.order.push(here);
                way.pop();
                continue;
            };
            *followed += 1;
            match seen[arrow.to] {
                Seen::Not => {
                    seen[arrow.to] = Seen::OnTheWay(way.len());
                    way.push((arrow.to, 0));
                }
                Seen::OnTheWay(depth) => {
                    let chain = shortened(&way[depth..], arrow.to);
                    // The last link of each is the one that was followed last.
                    let by_rule = |&(at, followed): &(usize, usize)| arrows[at][followed - 1].by_rule;
                    let by_rules = way[depth..].iter().any(by_rule);
                    let by_steps = !way[depth..].iter().all(by_rule);
                    walk.loops.push(Loop { chain, closed_at: arrow.span.clone(), by_steps, by_rules });
                }
                Seen::Done => {}
            }
        }
    }
    walk
}

/// The way, back to where it began, as a message names it.
fn shortened(way: &[(usize, usize)], back: usize) -> Vec<Option<usize>> {
    let links = |part: &[(usize, usize)]| part.iter().map(|(at, _)| Some(*at)).collect::<Vec<_>>();
    let mut chain = if way.len() <= SHOWN {
        links(way)
    } else {
        let (first, last) = (&way[..SHOWN / 2], &way[way.len() - SHOWN / 2..]);
        [links(first), vec![None], links(last)].concat()
    };
    chain.push(Some(back));
    chain
}

/// What can be said of every handoff that takes a destination as a step.
#[derive(Clone, Copy, Default)]
struct Known {
    /// It may end as `unknown`, there or at one of its steps.
    may_be_unknown: bool,
    /// Nothing that stands after it is ever taken: where it does not succeed, it ends the handoff.
    closes: bool,
}

/// Warns of lists and steps that can never be taken. `order` has each destination after those that it leads to.
fn never_taken(report: &mut Report<'_>, rows: &[Row], index: &BTreeMap<&str, usize>, order: &[usize]) {
    // After an unknown end a handoff goes on only where a list for it says so.
    let goes_on = rows
        .iter()
        .flat_map(|row| &row.lists)
        .any(|list| list.cause == Some(Cause::Unknown) && list.steps.iter().any(|step| !step.value.ends()));
    let mut known = vec![Known::default(); rows.len()];
    for &at in order {
        known[at] = learn(&rows[at].destination, index, &known, goes_on);
        // That no list of theirs is taken was told when they were read.
        if rows[at].destination.method != Method::Bye {
            warn(report, &rows[at], known[at], |step| target(step, index).is_some_and(|to| known[to].closes));
        }
    }
}

fn learn(destination: &Destination, index: &BTreeMap<&str, usize>, known: &[Known], goes_on: bool) -> Known {
    // Its rules may lead anywhere.
    if !destination.rules.is_empty() {
        return Known { may_be_unknown: true, closes: false };
    }
    const OTHERS: [Cause; 5] =
        [Cause::Refused, Cause::Busy, Cause::NoAnswer, Cause::Unreachable, Cause::Failed];
    let ladder = &destination.on_failure;
    let lists = ladder.by_cause.values().chain([&ladder.default]);
    let reached = |step: &Step| target(step, index).map(|to| known[to]);
    let may_be_unknown = destination.method.ends_unknown()
        || ladder.methods().any(Method::ends_unknown)
        || lists.flatten().filter_map(reached).any(|there| there.may_be_unknown);
    let closes = |cause| {
        ladder.written_steps(cause).iter().any(|step| match step {
            Step::Bye | Step::Hangup => true,
            Step::Destination(_) => reached(step).is_some_and(|there| there.closes),
            // The agent may have gone, and is then passed over.
            Step::Method(_) | Step::Agent => false,
        })
    };
    let closes = destination.method == Method::Bye
        || (OTHERS.into_iter().all(closes) && (!may_be_unknown || !goes_on || closes(Cause::Unknown)));
    Known { may_be_unknown, closes }
}

fn warn(report: &mut Report<'_>, row: &Row, known: Known, closes: impl Fn(&Step) -> bool) {
    let named =
        row.lists.iter().filter(|list| list.cause.is_some_and(|cause| cause != Cause::Unknown)).count();
    for list in &row.lists {
        match list.cause {
            Some(Cause::Unknown) if !known.may_be_unknown => {
                let message =
                    format!("`unknown` is never met with method \"{}\"", row.destination.method.name());
                report
                    .warn(list.key.clone(), message)
                    .help("only `refer` and `attended` can end so, and no step leads to one: remove it");
            }
            None if named == 5 => {
                report
                    .warn(list.key.clone(), "`default` is never taken: every cause has a list of its own")
                    .help("remove it; `unknown` takes a step only where it is named");
            }
            Some(_) | None => {}
        }
        for pair in list.steps.windows(2) {
            let [last, after] = pair else { continue };
            if closes(&last.value) {
                let (name, last) = (after.value.name(), last.value.name());
                report
                    .warn(after.span.clone(), format!("`{name}` is never taken: `{last}` ends the handoff"))
                    .help(format!("remove it, or see what [destination.{last}] does when it fails"));
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{MAX_DESTINATIONS, read};
    use crate::routing::file::{Diagnostic, Severity, Source};

    /// What is said of a table with `MAX_DESTINATIONS` destinations, whose `on_failure` is what `steps` says.
    fn told(steps: impl Fn(usize) -> String) -> Vec<Diagnostic> {
        let mut text = String::from("default = \"d0\"\n");
        for index in 0..MAX_DESTINATIONS {
            let steps = steps(index);
            text.push_str(&format!(
                "[destination.d{index}]\nroute = \"+14155550123\"\non_failure = {steps}\n"
            ));
        }
        read(&Source::new("t", &text), &"production".into(), None).1
    }

    #[test]
    fn a_chain_through_the_whole_table() {
        let last = MAX_DESTINATIONS - 1;
        let onward = |index| match index {
            index if index == last => "[\"agent\"]".to_owned(),
            index => format!("[\"d{}\", \"agent\"]", index + 1),
        };
        assert_eq!(told(onward), []);
        let backward = |index: usize| match index.checked_sub(1) {
            None => "[\"agent\"]".to_owned(),
            Some(before) => format!("[\"d{before}\", \"agent\"]"),
        };
        assert_eq!(told(backward), []);
        let round = told(|index| format!("[\"d{}\"]", (index + 1) % MAX_DESTINATIONS));
        assert_eq!(round.len(), 1);
        assert_eq!(
            round[0].message,
            "`on_failure` goes round: d0 -> d1 -> d2 -> d3 -> ... -> d9996 -> d9997 -> d9998 -> d9999 -> d0"
        );
    }

    #[test]
    fn as_many_loops_as_destinations() {
        let back_and_forth =
            |index| format!("{{ busy = [\"d0\"], default = [\"d{}\"] }}", (index + 1) % MAX_DESTINATIONS);
        let found = told(|index| match index {
            0 => "[\"d1\"]".to_owned(),
            index => back_and_forth(index),
        });
        assert_eq!(found.len(), 201, "200 are shown and the rest is counted");
        assert!(found.iter().all(|d| d.severity == Severity::Error));
        assert_eq!(found[200].message, format!("{} more errors are not shown", MAX_DESTINATIONS - 1 - 200));
    }

    #[test]
    fn as_many_arrows_as_fit() {
        let causes = ["refused", "busy", "no_answer", "unreachable", "failed", "unknown"];
        let found = told(|index| {
            let lists = causes.iter().enumerate().map(|(list, cause)| {
                let steps: Vec<String> =
                    (1..=16).map(|step| format!("d{}", index + list * 16 + step)).collect();
                let steps: Vec<&String> = steps
                    .iter()
                    .filter(|id| id[1..].parse().is_ok_and(|to: usize| to < MAX_DESTINATIONS))
                    .collect();
                if steps.is_empty() {
                    format!("{cause} = [\"agent\"]")
                } else {
                    format!("{cause} = {steps:?}")
                }
            });
            format!("{{ {} }}", lists.collect::<Vec<_>>().join(", "))
        });
        assert_eq!(found, []);
    }

    #[test]
    fn ten_thousand_words_that_are_no_step() {
        let found = told(|index| format!("[\"e{index}\"]"));
        assert_eq!(found.len(), 201);
    }
}
