//! Reads `on_failure`, as far as one destination can tell whether it is right. Where its steps lead is looked at by
//! [`super::chains`], when all destinations are known.

use std::ops::Range;

use toml::de::DeValue;

use super::Reader;
use super::rules::WrittenRules;
use crate::routing::explain::Cause;
use crate::routing::file::{At, Section, quoted, with_article};
use crate::routing::table::{Ladder, Method, Step};

/// The most steps in one list: the time of a handoff is over long before the last of them.
const MAX_STEPS: usize = 16;

const STEPS: &str = "another method (`invite`, `refer` or `attended`), the id of another destination, \
                     and last one of `agent`, `bye` or `hangup`";

/// The causes that `on_failure` may name.
const CAUSES: [Cause; 6] =
    [Cause::Refused, Cause::Busy, Cause::NoAnswer, Cause::Unreachable, Cause::Failed, Cause::Unknown];

/// What the steps of a destination are compared with.
pub(super) struct Own<'o> {
    pub(super) id: &'o str,
    /// `None` where it could not be read.
    pub(super) method: Option<Method>,
    pub(super) require_proven: bool,
    pub(super) rules: &'o WrittenRules,
}

/// `on_failure` of one destination, as it stands in the file.
#[derive(Default)]
pub(super) struct Written {
    pub(super) lists: Vec<List>,
    /// Whether something in it could not be read or was refused.
    pub(super) is_faulty: bool,
}

/// One list of steps.
pub(super) struct List {
    /// `None`: for every cause that no other list names, `unknown` not among them.
    pub(super) cause: Option<Cause>,
    /// Where its cause is written, or `on_failure` itself.
    pub(super) key: Range<usize>,
    pub(super) steps: Vec<At<Step>>,
}

impl Written {
    /// The same as a value.
    pub(super) fn ladder(&self) -> Ladder {
        let mut ladder = Ladder::default();
        for list in &self.lists {
            let steps = list.steps.iter().map(|step| step.value.clone()).collect();
            match list.cause {
                Some(cause) => {
                    ladder.by_cause.insert(cause, steps);
                }
                None => {
                    ladder.default = steps;
                    ladder.written = true;
                }
            }
        }
        ladder
    }

    /// Whether a destination with this method uses `attended`, as its method or as a step.
    pub(super) fn attends(&self, method: Option<Method>) -> bool {
        method == Some(Method::Attended) || self.ladder().methods().any(|step| step == Method::Attended)
    }
}

impl<'a> Reader<'_, '_, '_> {
    /// `on_failure`: a list, or a table of lists by cause.
    pub(super) fn on_failure(&mut self, section: &mut Section<'a>, own: &Own<'_>) -> Written {
        const FORM: &str = "a list of steps like [\"agent\"], or a table of such lists by cause";
        let mut written = Written::default();
        let Some(found) = section.take("on_failure") else { return written };
        let key = section.key_span("on_failure");
        match found.value {
            DeValue::Array(_) => {
                let steps = self.list(&mut written.is_faulty, &found, own);
                written.lists.push(List { cause: None, key: key.clone(), steps });
            }
            DeValue::Table(table) => {
                let causes = || CAUSES.iter().map(|c| c.name()).chain(["default"]);
                for (name, value) in table {
                    let list = At { value: value.get_ref(), span: value.span() };
                    let steps = self.list(&mut written.is_faulty, &list, own);
                    let (key, word): (_, &str) = (name.span(), name.get_ref());
                    match CAUSES.into_iter().find(|cause| cause.name() == word) {
                        None if word != "default" => {
                            written.is_faulty = true;
                            self.report
                                .error(key, format!("`{word}` is no cause"))
                                .expected(format!("one of {}", quoted(causes())))
                                .nearest(word, causes());
                        }
                        cause => written.lists.push(List { cause, key, steps }),
                    }
                }
            }
            other => {
                written.is_faulty = true;
                self.report
                    .error(found.span.clone(), format!("`on_failure` is {}", with_article(other)))
                    .expected(FORM);
            }
        }
        if own.method == Some(Method::Bye) && own.rules.methods().next().is_none() && !written.is_faulty {
            let message = "`on_failure` is never taken with method \"bye\": the caller has left, whatever the answer is";
            self.report.warn(key, message).help("remove it");
        }
        written
    }

    /// The steps of one list.
    fn list(&mut self, is_faulty: &mut bool, found: &At<&DeValue<'_>>, own: &Own<'_>) -> Vec<At<Step>> {
        let mut steps = Vec::new();
        let Some(list) = found.value.as_array() else {
            *is_faulty = true;
            let message = format!("steps are a list, and this is {}", with_article(found.value));
            self.report.error(found.span.clone(), message).expected("a list like [\"agent\"]");
            return steps;
        };
        if list.is_empty() {
            *is_faulty = true;
            self.report.error(found.span.clone(), "an empty list of steps").expected(STEPS);
        }
        for (index, entry) in list.iter().enumerate() {
            if index == MAX_STEPS {
                *is_faulty = true;
                self.report
                    .error(entry.span(), format!("more than {MAX_STEPS} steps"))
                    .help("the time of the handoff (`timeouts.total`) is over long before");
                break;
            }
            let step = self.step(entry.get_ref(), entry.span(), own).filter(|step| self.fits(&steps, step));
            *is_faulty |= step.is_none();
            steps.extend(step);
        }
        steps
    }

    /// Whether a step can stand after those before it.
    fn fits(&mut self, before: &[At<Step>], step: &At<Step>) -> bool {
        let name = step.value.name();
        if before.last().is_some_and(|last| last.value.ends()) {
            self.report
                .error(step.span.clone(), format!("`{name}` is never reached"))
                .help("`agent`, `bye` and `hangup` end a handoff: only one of them, and last");
            return false;
        }
        if before.iter().any(|other| other.value == step.value) {
            self.report
                .error(step.span.clone(), format!("the step `{name}` is there twice"))
                .help("a step is tried once in a handoff: remove this one");
            return false;
        }
        true
    }

    fn step(&mut self, entry: &DeValue<'_>, span: Range<usize>, own: &Own<'_>) -> Option<At<Step>> {
        let Some(name) = entry.as_str() else {
            self.report.error(span, format!("a step is {}", with_article(entry))).expected(STEPS);
            return None;
        };
        let value = match (name, Method::parse(name)) {
            ("agent", _) => Step::Agent,
            ("bye", _) => Step::Bye,
            ("hangup", _) => Step::Hangup,
            (_, Some(method)) => Step::Method(self.method_step(method, &span, own)?),
            (_, None) if name == own.id => {
                self.report
                    .error(
                        span,
                        format!("the step `{name}` is the destination itself, which has just failed"),
                    )
                    .expected(STEPS);
                return None;
            }
            (_, None) if self.ids.contains(name) => Step::Destination(name.into()),
            (_, None) => {
                let words = ["agent", "bye", "hangup", "invite", "refer", "attended"];
                let known = words.into_iter().chain(self.ids.iter().copied());
                self.report.error(span, format!("`{name}` is no step")).expected(STEPS).nearest(name, known);
                return None;
            }
        };
        Some(At { value, span })
    }

    /// Another method for the same route.
    fn method_step(&mut self, method: Method, span: &Range<usize>, own: &Own<'_>) -> Option<Method> {
        let name = method.name();
        let mut refuse = |message: String| {
            self.report.error(span.clone(), message).expected(STEPS);
            None
        };
        if method == Method::Redirect {
            return refuse(format!("`{name}` is no step: it works only before the caller leg is answered"));
        }
        if own.method == Some(method) && own.rules.methods().all(|other| other == method) {
            return refuse(format!("the step `{name}` is what has just failed"));
        }
        if own.method.is_some_and(|own| !own.needs_route()) && !own.rules.set_a_route() {
            return refuse(format!("the step `{name}` needs a route, and method \"bye\" has none"));
        }
        if own.require_proven && !method.can_be_proven() {
            self.report
                .error(span.clone(), format!("`require = \"proven\"` forbids the step `{name}`"))
                .expected("`invite` or `attended`, or a destination that requires the same");
            return None;
        }
        Some(method)
    }
}
