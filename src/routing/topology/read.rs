//! Reads `[sip]`, `[trunk.*]`, `[agent.*]` and `[environment.*]`. Every key is carried out or refused by name.

mod doors;
mod reach;
mod rehearsal;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::secret::{self, Secrets};
use super::{
    Agent, Auth, CalledFrom, Doubt, Environment, Listener, Surroundings, Topology, Trunk, Unanswered,
};
use crate::routing::Id;
use crate::routing::address::{Address, AddressError, Host};
use crate::routing::country::{self, Country};
use crate::routing::file::{At, Report, Section, quoted};
use crate::routing::net::IpNet;
use crate::routing::number;
use crate::routing::onward::Onward;
use crate::routing::pattern::Pattern;
use crate::routing::profile::{Overrides, Placement, Profile, Receiver};
use crate::routing::table::{Method, Table, check_id, expected_ids};
use crate::sip::Transport;
pub use settings::settings;

/// What a timeout may be at least: anything shorter is a slip of the pen.
const SHORTEST: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ADDRESS_FORM: &str = "a `sip:` URI like \"sip:10.0.0.5:5060;transport=udp\"";
const ADDRESSES_FORM: &str =
    "a `sip:` URI like \"sip:booking@10.0.0.6:5080\", or a list of them in the order in which they are tried";

/// The environment that is meant where none is named.
const PRODUCTION: &str = "production";

/// The most addresses of one agent: the caller waits while they are tried.
const MAX_ADDRESSES: usize = 8;

/// What one configuration file says about whom Baton talks to, and the places that later checks report at.
#[derive(Debug)]
pub struct Parties {
    /// The trunks that could be read.
    pub trunks: Vec<Trunk>,
    /// The agents that could be read.
    pub agents: Vec<Agent>,
    /// The environments that could be read, with the place of their `table`.
    pub environments: Vec<(Environment, Range<usize>)>,
    trunk_ids: BTreeSet<Id>,
    /// Destinations that agents name, each with the environment whose table must have it.
    named: Vec<(Id, Named)>,
    /// Where the agents inside Baton are written.
    rehearsals: Vec<Range<usize>>,
    /// The numbers of the agents, with their places.
    numbers: Vec<(Id, At<Box<str>>)>,
}

impl Parties {
    /// Reads all trunks, agents and environments. `base` is the directory that table paths are relative to.
    pub fn read(
        top: &mut Section<'_>,
        report: &mut Report<'_>,
        secrets: &dyn Secrets,
        base: &std::path::Path,
    ) -> Self {
        let trunk_sections = top.sections(report, "trunk");
        let agent_sections = top.sections(report, "agent");
        let environment_sections = top.sections(report, "environment");
        let trunk_ids = trunk_sections.iter().map(|(id, _)| id.value.into()).collect();
        let environment_ids: BTreeSet<&str> = environment_sections.iter().map(|(id, _)| id.value).collect();
        for (what, none, form) in [
            ("trunk", trunk_sections.is_empty(), "[trunk.pbx]"),
            ("agent", agent_sections.is_empty(), "[agent.booking]"),
        ] {
            if none && !report.is_partial() {
                report.warn(0..0, format!("there is no {what}, so no call comes through")).expected(form);
            }
        }
        if environment_sections.is_empty() {
            report
                .missing(0..0, "there is no environment")
                .expected("[environment.production] with its `table`");
        }
        let mut parties = Self {
            trunks: vec![],
            agents: vec![],
            environments: vec![],
            trunk_ids,
            named: vec![],
            rehearsals: vec![],
            numbers: vec![],
        };
        let mut sources = Sources::default();
        for (id, section) in trunk_sections {
            parties.trunks.extend(trunk(&id, section, report, secrets, &mut sources));
        }
        let mut numbers = Numbers::default();
        for (id, section) in agent_sections {
            let read = agent(&id, section, report, (&environment_ids, &parties.trunks), &mut numbers);
            if let Some((agent, named)) = read {
                parties.rehearsals.extend(agent.rehearsal.is_some().then(|| id.span.clone()));
                parties.named.extend(named.into_iter().map(|at| (Arc::clone(&agent.environment), at)));
                parties.agents.push(agent);
            }
        }
        parties.numbers = numbers.places;
        for (id, section) in environment_sections {
            let Some((read, place)) = environment(&id, section, report, base) else { continue };
            if let Some((other, _)) = parties.environments.iter().find(|(other, _)| other.table == read.table)
            {
                report
                    .warn(place.clone(), format!("`{}` has the same table as `{}`", read.id, other.id))
                    .help("what is changed in one is in force in the other at once: give each a file of its own");
            }
            parties.environments.push((read, place));
        }
        parties
    }

    /// What the tables are checked against. `doubt` is asked about numbers, where somebody knows them.
    pub fn surroundings(&self, doubt: Option<Doubt>) -> Surroundings {
        let all = self.trunks.len() == self.trunk_ids.len();
        let hosts = all.then(|| self.trunks.iter().map(|trunk| trunk.address.host.clone()).collect());
        let belief = |trunk: &Trunk| {
            let profile = Profile::base(trunk.profile).with(&trunk.overrides);
            (Arc::clone(&trunk.id), profile.belief)
        };
        let embeds = |trunk: &&Trunk| trunk.overrides.header_placement.is_some_and(Placement::in_refer_to);
        Surroundings {
            ids: self.trunk_ids.clone(),
            hosts,
            embedding: self.trunks.iter().filter(embeds).map(|trunk| Arc::clone(&trunk.id)).collect(),
            beliefs: self.trunks.iter().map(belief).collect(),
            limits: self
                .trunks
                .iter()
                .filter_map(|trunk| Some((Arc::clone(&trunk.id), trunk.overrides.limits?)))
                .collect(),
            by_udp: self.trunks.iter().any(|trunk| trunk.address.transport != Some(Transport::Tcp)),
            doubt,
            countries: self.trunks.iter().filter_map(|trunk| trunk.country).collect(),
        }
    }

    /// Warns of what is allowed and doubtful: numbers that nobody can have, and one number that reaches two agents.
    pub fn lint(&self, report: &mut Report<'_>, doubt: Doubt) {
        for (agent, number) in &self.numbers {
            if number.value.starts_with('+') {
                if let Some(why) = doubt(&number.value) {
                    report
                        .warn(number.span.clone(), format!("`{}` {why}", number.value))
                        .help("see whether a digit is missing or wrong: no call will come for it");
                }
                continue;
            }
            for trunk in &self.trunks {
                let read = number::normalise(&number.value, trunk.country);
                let other = self.numbers.iter().find(|(other, same)| other != agent && *same.value == *read);
                if let Some((other, _)) = other {
                    let message = format!(
                        "`{}` is {read} where the trunk `{}` calls it, which reaches the agent `{other}`",
                        number.value, trunk.id
                    );
                    report.warn(number.span.clone(), message).help(
                        "a number that is dialled so reaches this agent, the same one with + the other",
                    );
                    break;
                }
            }
        }
    }

    /// Checks what only `[sip] listen` can tell: an agent inside Baton is reached by UDP.
    pub fn check_listeners(&self, report: &mut Report<'_>, listen: &[Listener]) {
        // An empty list has been told of.
        if listen.is_empty() || listen.iter().any(|listener| listener.transport == Transport::Udp) {
            return;
        }
        for place in &self.rehearsals {
            report
                .error(place.clone(), "a rehearsal agent is called by UDP, and there is no `udp:` listener")
                .help("add \"udp:127.0.0.1:5060\" to `listen` in [sip]");
        }
    }

    /// Checks what only the tables can tell: that the destinations that agents name exist in their environments' tables.
    pub fn check(&self, report: &mut Report<'_>, tables: &BTreeMap<Id, Arc<Table>>) {
        for (environment, named) in &self.named {
            let Some(table) = tables.get(environment) else { continue };
            let Named { at: named, rehearsed } = named;
            let found = table.find(&named.value);
            if let Some(destination) = found
                && *rehearsed
                && destination.method == Method::Redirect
                && destination.rules.is_empty()
            {
                report
                    .warn(
                        named.span.clone(),
                        format!("`{}` is a `redirect`, and a rehearsal agent answers first", named.value),
                    )
                    .help("each of its handoffs will be refused: name a destination with another method");
            }
            if found.is_none() {
                let ids: BTreeSet<&str> = table.destinations.keys().map(|id| &**id).collect();
                report
                    .error(
                        named.span.clone(),
                        format!("`{}` is no destination of the environment `{environment}`", named.value),
                    )
                    .expected(expected_ids(&ids))
                    .nearest(&named.value, ids.iter().copied());
            }
        }
    }

    /// The topology of what was read; to be used only where the report has no errors.
    pub fn topology(self) -> Topology {
        let environments = self.environments.into_iter().map(|(environment, _)| environment).collect();
        Topology::new(self.trunks, self.agents, environments)
    }
}

/// Sources that trunks have claimed, to find two that claim the same.
#[derive(Default)]
struct Sources(BTreeMap<IpNet, Id>);

impl Sources {
    fn claim(&mut self, report: &mut Report<'_>, net: IpNet, id: &Id, span: Range<usize>) {
        match self.0.get(&net) {
            Some(other) if other != id => {
                report
                    .error(span, format!("the trunks `{other}` and `{id}` have the same source {net}"))
                    .expected("sources that tell the trunks apart; the longest prefix wins");
            }
            Some(_) => {}
            None => {
                self.0.insert(net, Arc::clone(id));
            }
        }
    }
}

fn trunk(
    id: &At<&str>,
    mut section: Section<'_>,
    report: &mut Report<'_>,
    secrets: &dyn Secrets,
    sources: &mut Sources,
) -> Option<Trunk> {
    check_id(report, id);
    let name: Id = id.value.into();
    let address = address(&mut section, report, ADDRESS_FORM);
    let accept = reach::accept_from(&mut section, report);
    doors::lint_networks(accept.as_deref().unwrap_or_default(), report);
    match (&accept, &address) {
        (Some(nets), _) => {
            nets.iter().for_each(|net| sources.claim(report, net.value, &name, net.span.clone()))
        }
        (None, Some(At { value: Address { host: Host::Ip(ip), .. }, span })) => {
            sources.claim(report, IpNet::host(*ip), &name, span.clone());
        }
        (None, _) => {}
    }
    let trusted = section.boolean(report, "trusted").unwrap_or(false);
    let called_from = section.choice(
        report,
        "called_from",
        &[
            ("request-uri", CalledFrom::RequestUri),
            ("to", CalledFrom::To),
            ("p-called-party-id", CalledFrom::PCalledPartyId),
        ],
    );
    let country = country(&mut section, report);
    let auth = section.section(report, "auth").and_then(|section| auth(section, report, secrets));
    let unanswered = section.choice(
        report,
        "unanswered",
        &[("invite", Unanswered::Invite), ("redirect", Unanswered::Redirect)],
    );
    let refer_from_caller = section.boolean(report, "refer_from_caller").unwrap_or(false);
    let keepalive = keepalive(&mut section, report, Duration::from_secs(60));
    let patience = reach::patience(&mut section, report);
    let reach = reach::reach(&mut section, report);
    let diversion = section.boolean(report, "diversion").unwrap_or(false);
    let allowed = section.boolean(report, "may_transfer");
    let onward = Onward { allowed, may_route: Pattern::list(&mut section, report), pass: false };
    let in_dialog = doors::in_dialog(&mut section, report);
    let redirects = doors::redirects(&mut section, report);
    let overrides = Overrides::read(&mut section, report);
    let profile = Receiver::read(&mut section, report);
    section.refuse(report, "register", "remove it, and let the PBX send its calls to Baton's address");
    section.refuse(report, "probe", "remove it; a trunk that is down is found out by the next call");
    section.finish(report);
    Some(Trunk {
        id: name,
        address: address?.value,
        accept_from: accept.map(|nets| nets.into_iter().map(|net| net.value).collect()),
        trusted,
        called_from: called_from.unwrap_or(CalledFrom::RequestUri),
        country,
        auth,
        unanswered: unanswered.unwrap_or(Unanswered::Invite),
        refer_from_caller,
        keepalive,
        patience,
        reach,
        diversion,
        onward,
        profile,
        overrides,
        in_dialog,
        redirects,
    })
}

/// `keepalive`: how often who has answered a call is asked whether it is there; "0s": never.
fn keepalive(section: &mut Section<'_>, report: &mut Report<'_>, usual: Duration) -> Option<Duration> {
    let interval = section.duration(report, "keepalive", Duration::ZERO, DAY).unwrap_or(usual);
    (!interval.is_zero()).then(|| interval.max(SHORTEST))
}

fn country(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<&'static Country> {
    let found = section.string(report, "country", "an ISO 3166 code of two letters, like \"US\"")?;
    let known = country::find(found.value);
    if known.is_none() {
        let upper = found.value.to_ascii_uppercase();
        let note = report
            .error(found.span, format!("`{}` is no country", found.value))
            .expected("an ISO 3166 code of two capital letters, like \"US\"");
        if let Some(meant) = country::find(&upper).map(|_| &*upper).or_else(|| country::meant(&upper)) {
            note.help(format!("did you mean `{meant}`?"));
        }
    }
    known
}

fn auth(mut section: Section<'_>, report: &mut Report<'_>, secrets: &dyn Secrets) -> Option<Auth> {
    let username = section.required(report, "username", "the user name");
    if let Some(found) = &username
        && (found.value.is_empty() || found.value.chars().any(char::is_control))
    {
        report.error(found.span.clone(), "`username` is empty or holds control characters");
    }
    let password = if section.contains("password") {
        secret::read(&mut section, report, "password", secrets)
    } else {
        section.required(report, "password", "env:NAME, file:PATH or credential:NAME");
        None
    };
    let realm = doors::realm(&mut section, report);
    section.finish(report);
    Some(Auth { username: username?.value.into(), password: password?, realm })
}

/// `address`: required, one `sip:` URI.
fn address(section: &mut Section<'_>, report: &mut Report<'_>, form: &str) -> Option<At<Address>> {
    let found = section.required(report, "address", form)?;
    parse_address(found, report, form)
}

fn parse_address(found: At<&str>, report: &mut Report<'_>, form: &str) -> Option<At<Address>> {
    match Address::parse(found.value) {
        Ok(value) => Some(At { value, span: found.span }),
        Err(error) => {
            let note = report.error(found.span, format!("`address`: {error}")).expected(form);
            match error {
                AddressError::Tls => note.help("use udp or tcp"),
                _ if found.value.starts_with(rehearsal::SCHEME) => note.help(
                    "a rehearsal agent is the whole `address` of an [agent.NAME]: it always answers, so nobody after it is \
                     ever called",
                ),
                AddressError::Malformed(_) if !found.value.starts_with("sip:") => {
                    note.help(format!("did you mean `sip:{}`?", found.value))
                }
                _ => note,
            };
            None
        }
    }
}

/// `address` of an agent: one, or a list in the order in which they are tried. Never empty.
fn addresses(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Vec<Address>> {
    if !section.is_list("address") {
        return address(section, report, ADDRESSES_FORM).map(|at| vec![at.value]);
    }
    let list = section.strings(report, "address", ADDRESSES_FORM)?;
    if list.is_empty() {
        report
            .error(section.key_span("address"), "an empty `address` reaches nobody")
            .expected(ADDRESSES_FORM);
    }
    let mut addresses: Vec<Address> = Vec::new();
    for (index, entry) in list.into_iter().enumerate() {
        if index == MAX_ADDRESSES {
            report
                .error(entry.span, format!("more than {MAX_ADDRESSES} addresses"))
                .help("the caller waits while they are tried: keep the ones that are likely to answer");
            break;
        }
        let Some(At { value, span }) = parse_address(entry, report, ADDRESSES_FORM) else { continue };
        if addresses.iter().any(|other| other.is_same(&value)) {
            report
                .error(span, format!("`{value}` is there twice"))
                .help("an address is tried once: remove this one");
        } else {
            addresses.push(value);
        }
    }
    (!addresses.is_empty()).then_some(addresses)
}

/// A destination that an agent names.
#[derive(Debug)]
struct Named {
    at: At<Id>,
    /// As the one that a rehearsal agent hands its callers to; else as its fallback.
    rehearsed: bool,
}

/// The numbers that reach an agent already.
#[derive(Default)]
struct Numbers {
    taken: BTreeMap<String, Id>,
    places: Vec<(Id, At<Box<str>>)>,
}

fn agent(
    id: &At<&str>,
    mut section: Section<'_>,
    report: &mut Report<'_>,
    (environments, trunks): (&BTreeSet<&str>, &[Trunk]),
    taken: &mut Numbers,
) -> Option<(Agent, Vec<Named>)> {
    check_id(report, id);
    let name: Id = id.value.into();
    let rehearsed = rehearsal::written(&mut section);
    let rehearsal = rehearsed.and_then(|written| rehearsal::read(written, &section, report));
    let addresses = match (rehearsed, &rehearsal) {
        (None, _) => addresses(&mut section, report),
        (Some(_), read) => read.as_ref().map(|_| vec![rehearsal::nowhere(id.value)]),
    };
    let mut outside = addresses.iter().flatten().filter(|_| rehearsed.is_none());
    outside.any(|address| doubt_place(report, section.value_span("address"), &name, address, trunks));
    let accept = reach::accept_from(&mut section, report);
    let (numbers, wildcard) = numbers(&name, &mut section, report, taken);
    let environment = environment_of(&mut section, report, environments);
    let answer_timeout = section.duration(report, "answer_timeout", SHORTEST, Duration::from_secs(300));
    let first_response = reach::first_response(&mut section, report);
    let reach = reach::reach(&mut section, report);
    let keepalive = keepalive(&mut section, report, Duration::from_secs(20));
    let fallback = section
        .string(report, "fallback", "the id of a destination")
        .map(|found| At { value: Id::from(found.value), span: found.span });
    let may_route = Pattern::list(&mut section, report);
    let max_calls = section.number(report, "max_calls", 0..1_000_001).unwrap_or(0);
    let in_dialog = doors::in_dialog(&mut section, report);
    section.finish(report);
    let agent = Agent {
        id: name,
        addresses: addresses?,
        rehearsal: rehearsal.as_ref().map(|(rehearsal, _)| rehearsal.clone()),
        accept_from: accept.map(|nets| nets.into_iter().map(|net| net.value).collect()),
        numbers,
        wildcard,
        environment,
        answer_timeout: answer_timeout.unwrap_or(Duration::from_secs(20)),
        first_response,
        reach,
        keepalive,
        fallback: fallback.as_ref().map(|at| Arc::clone(&at.value)),
        may_route,
        max_calls,
        in_dialog,
    };
    let destination = rehearsal.map(|(rehearsal, span)| At { value: rehearsal.destination, span });
    let fallback = fallback.map(|at| Named { at, rehearsed: false });
    let destination = destination.map(|at| Named { at, rehearsed: true });
    Some((agent, fallback.into_iter().chain(destination).collect()))
}

/// Warns of an agent that is where a trunk is. True: it did.
fn doubt_place(
    report: &mut Report<'_>,
    place: Range<usize>,
    id: &Id,
    address: &Address,
    trunks: &[Trunk],
) -> bool {
    let Host::Ip(ip) = address.host else { return false };
    let port = |address: &Address| address.port.unwrap_or(5060);
    let same = |trunk: &&Trunk| trunk.address.host == address.host && port(&trunk.address) == port(address);
    if let Some(trunk) = trunks.iter().find(same) {
        report
            .warn(place, format!("the agent `{id}` has the address of the trunk `{}`", trunk.id))
            .help("its calls go back to where they come from: put the agent's own address here");
        return true;
    }
    let accepts =
        |trunk: &&Trunk| trunk.accept_from.iter().flatten().any(|net| net.contains(ip)) && !ip.is_loopback();
    let found = trunks.iter().find(accepts);
    if let Some(trunk) = found {
        let message = format!("the agent `{id}` lies in `accept_from` of the trunk `{}`", trunk.id);
        report
            .warn(place, message)
            .help("an INVITE of its own is taken for a call of that trunk: narrow `accept_from` to the PBX");
    }
    found.is_some()
}

fn numbers(
    id: &Id,
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    taken: &mut Numbers,
) -> (Vec<Box<str>>, bool) {
    const FORM: &str =
        "a list of called numbers and user parts like [\"+14155550100\", \"booking\"], \"*\" for all others";
    let Some(list) = section.strings(report, "numbers", FORM) else {
        if !section.contains("numbers") && !report.is_partial() {
            report.warn(section.place(), format!("no number reaches the agent `{id}`")).expected(FORM);
        }
        return (Vec::new(), false);
    };
    let (mut numbers, mut wildcard) = (Vec::new(), false);
    for entry in list {
        let cleaned = number::clean(entry.value);
        if cleaned.is_empty() || cleaned.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@') {
            report.error(entry.span, format!("`{}` is no number", entry.value)).expected(FORM);
            continue;
        }
        if let Some(other) = taken.taken.get(&*cleaned) {
            let message = format!("`{}` already reaches the agent `{other}`", entry.value);
            report.error(entry.span, message).expected("one agent for each number");
            continue;
        }
        taken.taken.insert(cleaned.to_string(), Arc::clone(id));
        if cleaned == "*" {
            wildcard = true;
        } else {
            taken.places.push((Arc::clone(id), At { value: (&*cleaned).into(), span: entry.span }));
            numbers.push(cleaned.into());
        }
    }
    (numbers, wildcard)
}

fn environment_of(section: &mut Section<'_>, report: &mut Report<'_>, environments: &BTreeSet<&str>) -> Id {
    const FORM: &str = "the name of an [environment.NAME]";
    let found = section.string(report, "environment", FORM);
    let (name, span) = match &found {
        Some(found) => (found.value, found.span.clone()),
        None if section.contains("environment") => return PRODUCTION.into(),
        None => (PRODUCTION, section.place()),
    };
    if !environments.contains(name) && !environments.is_empty() {
        report
            .missing(span, format!("there is no environment `{name}`"))
            .expected(format!("one of {}", quoted(environments.iter().copied())))
            .nearest(name, environments.iter().copied());
    }
    name.into()
}

fn environment(
    id: &At<&str>,
    mut section: Section<'_>,
    report: &mut Report<'_>,
    base: &std::path::Path,
) -> Option<(Environment, Range<usize>)> {
    check_id(report, id);
    let table = section.required(report, "table", "the path of a table, relative to this file");
    let editable = section.boolean(report, "editable").unwrap_or(true);
    let allow_test_calls = section.boolean(report, "allow_test_calls").unwrap_or(false);
    section.finish(report);
    let table = table?;
    if table.value.is_empty() || table.value.contains('\0') {
        report.error(table.span, "`table` is no path").expected("the path of a table, relative to this file");
        return None;
    }
    let path = base.join(PathBuf::from(table.value));
    Some((Environment { id: id.value.into(), table: path, editable, allow_test_calls }, table.span))
}
