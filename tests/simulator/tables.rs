//! Random destination tables: methods, ladders by cause, destinations as steps without loops, timeouts, proof.

use super::common::random::Random;
use std::collections::BTreeMap;

/// One step of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Method(&'static str),
    Destination(String),
    Agent,
    Bye,
    Hangup,
}

impl Step {
    pub fn name(&self) -> &str {
        match self {
            Step::Method(method) => method,
            Step::Destination(id) => id,
            Step::Agent => "agent",
            Step::Bye => "bye",
            Step::Hangup => "hangup",
        }
    }
}

/// One destination.
#[derive(Clone, Debug)]
pub struct Destination {
    pub id: String,
    pub method: &'static str,
    route: Option<&'static str>,
    proven: bool,
    /// The agent speaks with the target first.
    brief: bool,
    /// Of all causes that have no list of their own, as far as it is written.
    pub default: Option<Vec<Step>>,
    pub by_cause: BTreeMap<&'static str, Vec<Step>>,
    /// `total`, in milliseconds.
    pub total: u64,
    response: Option<u64>,
    outcome: Option<u64>,
    ring: Option<u64>,
    settle: Option<u64>,
    /// What its NOTIFY 200 proves.
    pub accepted_only: bool,
}

/// One state of the table.
#[derive(Clone, Debug)]
pub struct Table {
    pub default: String,
    pub destinations: BTreeMap<String, Destination>,
}

/// Everything that can be called. The PBX is called by number too.
const ROUTES: [&str; 14] = [
    "+14155550123",
    "+14155550124",
    "+14155550125",
    "tel:+14155550177",
    "sip:queue@10.0.0.31",
    "sip:desk@10.0.0.30",
    "sip:desk@10.0.0.30",
    "sip:front@10.0.0.30",
    "sip:me@10.0.0.31",
    "sip:you@10.0.0.31",
    "sip:slow@slow.example.com",
    "sip:slow@slow.example.com",
    "sip:gone@gone.example.com",
    "sip:dead@10.0.0.33",
];
const CAUSES: [&str; 6] = ["refused", "busy", "no_answer", "unreachable", "failed", "unknown"];
/// Methods of which a redirect may be one, and those that are a step.
const METHODS: [&str; 12] = [
    "refer", "refer", "refer", "refer", "invite", "invite", "invite", "attended", "attended", "attended",
    "bye", "redirect",
];
const STEPS: [&str; 3] = ["refer", "invite", "attended"];
/// How many there are.
const COUNT: u64 = 9;

impl Table {
    pub fn draw(random: &mut Random) -> Table {
        let mut destinations: BTreeMap<String, Destination> = BTreeMap::new();
        // From the last one on, so that a step leads only to what is there already.
        for number in (0..COUNT).rev() {
            let destination = Destination::draw(random, format!("d{number}"), &destinations);
            destinations.insert(destination.id.clone(), destination);
        }
        let default = format!("d{}", random.below(COUNT));
        Table { default, destinations }
    }

    pub fn names(&self) -> Vec<String> {
        self.destinations.keys().cloned().collect()
    }

    /// As it stands in its file.
    pub fn text(&self) -> String {
        let mut text = format!("default = \"{}\"\n", self.default);
        for destination in self.destinations.values() {
            destination.write(&mut text);
        }
        text
    }
}

impl Destination {
    fn draw(random: &mut Random, id: String, others: &BTreeMap<String, Destination>) -> Destination {
        let method = random.pick(&METHODS);
        let proven = matches!(method, "invite" | "attended") && random.chance(20);
        let route = (method != "bye").then(|| random.pick(&ROUTES));
        let mut destination = Destination {
            id,
            method,
            route,
            proven,
            brief: method == "attended" && random.chance(35),
            default: None,
            by_cause: BTreeMap::new(),
            total: 180_000,
            response: None,
            outcome: None,
            ring: None,
            settle: None,
            accepted_only: false,
        };
        if !matches!(method, "bye" | "redirect") {
            match random.below(5) {
                0 => {}
                1 | 2 => destination.default = Some(destination.list(random, others)),
                _ => destination.draw_by_cause(random, others),
            }
        }
        destination.draw_times(random);
        destination
    }

    fn draw_by_cause(&mut self, random: &mut Random, others: &BTreeMap<String, Destination>) {
        for cause in CAUSES {
            if random.chance(if cause == "unknown" { 50 } else { 35 }) {
                let list = self.list(random, others);
                self.by_cause.insert(cause, list);
            }
        }
        if self.by_cause.is_empty() || random.chance(50) {
            self.default = Some(self.list(random, others));
        }
    }

    /// One to five steps, the last of which may end the handoff.
    fn list(&self, random: &mut Random, others: &BTreeMap<String, Destination>) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let allowed = |other: &&Destination| other.method != "redirect" && (!self.proven || other.proven);
        let names: Vec<&Destination> = others.values().filter(allowed).collect();
        for _ in 0..1 + random.below(4) {
            let step = if random.chance(45) || names.is_empty() {
                Step::Method(random.pick(&STEPS))
            } else {
                Step::Destination(names[random.below(names.len() as u64) as usize].id.clone())
            };
            let own = step == Step::Method(self.method) || self.proven && step == Step::Method("refer");
            if !own && !steps.contains(&step) {
                steps.push(step);
            }
        }
        let last = match random.below(10) {
            0..4 => Some(Step::Agent),
            4 => Some(Step::Bye),
            5 => Some(Step::Hangup),
            _ => None,
        };
        steps.extend(last.or(steps.is_empty().then_some(Step::Agent)));
        steps
    }

    /// Whether its route may be tried by one of these methods.
    fn uses(&self, methods: &[&str]) -> bool {
        let lists = self.by_cause.values().chain(&self.default);
        let step = |step: &Step| matches!(step, Step::Method(method) if methods.contains(method));
        methods.contains(&self.method) || lists.flatten().any(step)
    }

    fn draw_times(&mut self, random: &mut Random) {
        let refers = self.uses(&["refer", "attended"]);
        if random.chance(70) {
            self.total = 10_000 + random.below(170_000);
        }
        if refers && random.chance(60) {
            self.response = Some(1_000 + random.below(8_000));
            self.outcome = Some(2_000 + random.below(50_000));
        }
        if self.uses(&["refer", "invite", "attended"]) && random.chance(70) {
            self.ring = Some(1_000 + random.below(15_000));
        }
        if self.uses(&["attended"]) && random.chance(50) {
            self.settle = Some(random.pick(&[0, 0, 50, 1_500]));
        }
        self.accepted_only = refers && random.chance(8);
    }

    fn write(&self, text: &mut String) {
        let list = |steps: &[Step]| {
            let words: Vec<String> = steps.iter().map(|step| format!("\"{}\"", step.name())).collect();
            format!("[{}]", words.join(", "))
        };
        text.push_str(&format!("[destination.{}]\nmethod = \"{}\"\n", self.id, self.method));
        if let Some(route) = self.route {
            text.push_str(&format!("route = \"{route}\"\n"));
        }
        if self.proven {
            text.push_str("require = \"proven\"\n");
        }
        if self.brief {
            text.push_str("brief = true\n");
        }
        if self.accepted_only {
            text.push_str("notify_200 = \"accepted\"\n");
        }
        if !self.by_cause.is_empty() {
            let mut lists: Vec<String> =
                self.by_cause.iter().map(|(cause, steps)| format!("{cause} = {}", list(steps))).collect();
            lists.extend(self.default.as_deref().map(|steps| format!("default = {}", list(steps))));
            text.push_str(&format!("on_failure = {{ {} }}\n", lists.join(", ")));
        } else if let Some(steps) = &self.default {
            text.push_str(&format!("on_failure = {}\n", list(steps)));
        }
        let mut times = vec![format!("total = \"{}ms\"", self.total)];
        let more = [
            ("response", self.response),
            ("outcome", self.outcome),
            ("ring", self.ring),
            ("settle", self.settle),
        ];
        times.extend(more.iter().filter_map(|(key, time)| time.map(|time| format!("{key} = \"{time}ms\""))));
        text.push_str(&format!("timeouts = {{ {} }}\n", times.join(", ")));
    }
}
