//! Who Baton talks to: trunks, agents and environments, and the two questions about them: who sent this, and which
//! agent does this number reach. Pure data; the daemon reads it and resolves names.

pub mod read;
pub mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Id;
use super::address::{Address, Host};
use super::net::IpNet;
use super::onward::Onward;
use super::pattern::Pattern;
use super::profile::{Belief, Limits, Overrides, Receiver};
use crate::observe::secret::Secret;
use crate::sip::leg::reach::Reach;
use crate::sip::leg::tries::Patience;
use crate::sip::{InDialog, Transport};

/// Where the called number of an INVITE stands (`called_from`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalledFrom {
    /// The Request-URI's user part.
    RequestUri,
    /// The To header's user part.
    To,
    /// The P-Called-Party-ID header's user part (RFC 7315 §4.2).
    PCalledPartyId,
}

/// What a handoff does before the caller leg is answered (`unanswered`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The destination is called by INVITE.
    Invite,
    /// The caller's side gets a 302 with the destination as Contact.
    Redirect,
}

/// Digest credentials (RFC 3261 §22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The user name.
    pub username: Box<str>,
    /// The password, already fetched from its source.
    pub password: Secret,
    /// The one realm that it is for; `None`: any that asks at the trunk's own places.
    pub realm: Option<Box<str>>,
}

/// A PBX, SBC or carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its id, the key in the configuration.
    pub id: Id,
    /// Where INVITEs to it go.
    pub address: Address,
    /// The sources that are this trunk; `None`: what `address` resolves to.
    pub accept_from: Option<Vec<IpNet>>,
    /// Whether its P-Asserted-Identity is believed and ours is sent to it (RFC 3325).
    pub trusted: bool,
    /// Where its INVITEs carry the called number.
    pub called_from: CalledFrom,
    /// The country that numbers without `+` belong to.
    pub country: Option<&'static super::country::Country>,
    /// Credentials for its challenges.
    pub auth: Option<Auth>,
    /// What a handoff does before its caller is answered.
    pub unanswered: Unanswered,
    /// Whether a REFER from the caller's side is passed to whom the caller talks with (false: 603).
    pub refer_from_caller: bool,
    /// Interval of OPTIONS inside the dialogs of its calls; `None`: none are sent.
    pub keepalive: Option<Duration>,
    /// How long an INVITE to it may be without any response.
    pub patience: Patience,
    /// How it is reached.
    pub reach: Reach,
    /// Whether INVITEs to it that send a call on carry an entry of ours in Diversion and History-Info.
    pub diversion: bool,
    /// Whether whoever was joined with a caller by it may move the caller on; what the caller's side may name where
    /// [`Trunk::refer_from_caller`] lets it refer.
    pub onward: Onward,
    /// Which receiver it is; `None`: it is recognised for each dialog by itself.
    pub profile: Option<Receiver>,
    /// Keys of the profile that this trunk sets itself.
    pub overrides: Overrides,
    /// Who may speak inside its dialogs.
    pub in_dialog: InDialog,
    /// Whom a 3xx of its may name.
    pub redirects: Redirects,
}

/// Whom a 3xx may name (`redirects`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// The routes of the table, and what `may_route` of the agent allows.
    #[default]
    Table,
    /// Any plain user at the trunk's own host and port besides.
    Host,
    /// Nobody: a 3xx is a refusal.
    None,
}

/// What surrounds the tables of a configuration, as they are checked against it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Ids of all trunks, also of those with faults.
    pub ids: BTreeSet<Id>,
    /// Hosts of their addresses; `None` where a trunk has a fault, so that nothing is said about what it may be.
    pub hosts: Option<Vec<Host>>,
    /// The trunks that want headers inside the Refer-To URI.
    pub embedding: Vec<Id>,
    /// What each trunk's word proves.
    pub beliefs: Vec<(Id, Belief)>,
    /// What each trunk takes of a handoff's headers, where that is limited.
    pub limits: Vec<(Id, Limits)>,
    /// Whether a trunk is reached by UDP.
    pub by_udp: bool,
    /// What is doubtful about a number in E.164; `None`: numbers are not looked at.
    pub doubt: Option<Doubt>,
    /// The countries of the trunks.
    pub countries: Vec<&'static super::country::Country>,
}

/// Says why nobody can have a number in E.164, as a sentence that begins with the number; `None` where somebody can.
pub type Doubt = fn(&str) -> Option<String>;

/// An agent inside Baton (`address = "rehearsal:front-desk?after=2s"`): it answers, and hands its callers over by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The destination that it names.
    pub destination: Id,
    /// How long it talks with a caller before that.
    pub after: Duration,
}

/// A SIP voice agent that takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id, the key in the configuration.
    pub id: Id,
    /// Where INVITEs to it go: the next one where the one before did not take the call. Never empty, none twice.
    pub addresses: Vec<Address>,
    /// It is an agent inside Baton. Its one address is nobody's until [`Topology::with_rehearsals_at`] told where that
    /// listens.
    pub rehearsal: Option<Rehearsal>,
    /// The sources that are this agent; `None`: what all of `addresses` resolve to.
    pub accept_from: Option<Vec<IpNet>>,
    /// The called numbers and user parts that reach it, normalised; the wildcard is not among them.
    pub numbers: Vec<Box<str>>,
    /// Whether it takes every number that no agent names.
    pub wildcard: bool,
    /// The environment whose table its decisions use.
    pub environment: Id,
    /// How long it may take to answer an INVITE.
    pub answer_timeout: Duration,
    /// How long it may leave an INVITE without any response, be it a 100.
    pub first_response: Duration,
    /// How it is reached.
    pub reach: Reach,
    /// Interval of OPTIONS inside its dialog; `None`: none are sent.
    pub keepalive: Option<Duration>,
    /// Where the caller goes when it is absent; `None`: the table's default.
    pub fallback: Option<Id>,
    /// Routes that it may name itself.
    pub may_route: Vec<Pattern>,
    /// Calls that it takes at the same time; 0: no limit of its own.
    pub max_calls: u32,
    /// Who may speak inside its dialogs.
    pub in_dialog: InDialog,
}

impl Agent {
    /// The address that is tried first.
    pub fn address(&self) -> &Address {
        // Never empty: the reader makes no agent without an address.
        &self.addresses[0]
    }

    /// The destination that who called this asks for, if it is an agent inside Baton.
    pub fn rehearses<'a>(&self, called: &'a str) -> Option<&'a str> {
        self.rehearsal.as_ref().and_then(|_| rehearsed(called, &self.numbers))
    }
}

/// The destination that a called user part asks a rehearsal agent for: `rehearsal-front-desk`. A number of its own asks for none.
pub fn rehearsed<'a>(called: &'a str, numbers: &[Box<str>]) -> Option<&'a str> {
    called.strip_prefix(REHEARSED).filter(|_| !numbers.iter().any(|number| **number == *called))
}

/// An environment: a table and the agents that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its id, the key in the configuration.
    pub id: Id,
    /// The file of its table, as an absolute path or one relative to the working directory.
    pub table: PathBuf,
    /// Whether single destinations may be changed through the API. Where not, its table changes by its file, by
    /// promotion and by rollback only.
    pub editable: bool,
    /// Whether its destinations may be called to try them, which rings real phones.
    pub allow_test_calls: bool,
}

/// One address that SIP is served on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listener {
    /// `udp` or `tcp`.
    pub transport: Transport,
    /// Its address; may be a wildcard.
    pub address: SocketAddr,
}

/// The host that goes into Via and Contact, and the port if one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// As `advertise` writes it; never an unspecified address.
    pub host: Host,
    /// The port; `None`: the listener's.
    pub port: Option<u16>,
}

/// What is put into Via and Contact (`advertise`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Advertise {
    /// The local address that reaches the peer.
    #[default]
    Local,
    /// One for every listener.
    All(Advertised),
    /// By listener; those that are not named advertise the local address.
    ByListener(Vec<(Listener, Advertised)>),
}

impl Advertise {
    /// What `listener` advertises, if the configuration says so.
    pub fn at(&self, listener: &Listener) -> Option<&Advertised> {
        match self {
            Self::Local => None,
            Self::All(advertised) => Some(advertised),
            Self::ByListener(table) => table.iter().find(|(l, _)| l == listener).map(|(_, a)| a),
        }
    }
}

/// How sessions are kept alive and found dead by refreshes (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimer {
    /// The Session-Expires that is asked for, in whole seconds: without a refresh in it the session is over.
    pub expires: Duration,
    /// The shortest Session-Expires that is agreed to, in whole seconds: at least 90 s, at most `expires`.
    pub min_se: Duration,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self { expires: Duration::from_secs(1800), min_se: Duration::from_secs(90) }
    }
}

/// The `[sip]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where SIP is served. Never empty.
    pub listen: Vec<Listener>,
    /// What is put into Via and Contact.
    pub advertise: Advertise,
    /// Shards; 0: the daemon chooses.
    pub workers: u16,
    /// Calls at the same time; beyond it 503.
    pub max_calls: u32,
    /// The longest that one call may last.
    pub max_duration: Duration,
    /// How long live calls may go on after SIGTERM.
    pub drain: Duration,
    /// The session timers of every leg; `None`: Baton asks for none and refreshes nothing by itself.
    pub session_timer: Option<SessionTimer>,
}

/// All trunks, agents and environments, with the indexes that answer who and where.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    trunks: Vec<Arc<Trunk>>,
    agents: Vec<Arc<Agent>>,
    environments: Vec<Arc<Environment>>,
    /// Networks of the trunks, longest prefix first.
    trunk_nets: Vec<(IpNet, usize)>,
    agent_nets: Vec<(IpNet, usize)>,
    /// By trunk: what its `address` resolves to.
    homes: Vec<Vec<IpNet>>,
    numbers: BTreeMap<Box<str>, usize>,
    wildcard: Option<usize>,
    rehearsal: Option<usize>,
}

/// What the called user part begins with that asks the rehearsal agent for a destination: `rehearsal-front-desk`.
const REHEARSED: &str = "rehearsal-";

/// Two trunks that resolve to the same address: the first of them, by id, is taken for its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The network both have.
    pub net: IpNet,
    /// The trunk that wins.
    pub first: Id,
    /// The trunk that is not recognised by it.
    pub second: Id,
}

impl Topology {
    /// Builds the indexes. Addresses that are names and have no `accept_from` match no source until
    /// [`Topology::with_resolved`] told what they resolve to.
    pub fn new(trunks: Vec<Trunk>, agents: Vec<Agent>, environments: Vec<Environment>) -> Self {
        let mut topology = Self {
            trunks: trunks.into_iter().map(Arc::new).collect(),
            agents: agents.into_iter().map(Arc::new).collect(),
            environments: environments.into_iter().map(Arc::new).collect(),
            ..Self::default()
        };
        for (index, agent) in topology.agents.iter().enumerate() {
            for number in &agent.numbers {
                topology.numbers.entry(number.clone()).or_insert(index);
            }
            if agent.wildcard && topology.wildcard.is_none() {
                topology.wildcard = Some(index);
            }
            if agent.rehearsal.is_some() && topology.rehearsal.is_none() {
                topology.rehearsal = Some(index);
            }
        }
        topology.with_resolved(|_| Vec::new()).0
    }

    /// Addresses that need resolving: names without `accept_from`, before their source is known; and those of trunks with a
    /// password, which goes to nobody else.
    pub fn unresolved(&self) -> impl Iterator<Item = &Address> {
        let trunks = self.trunks.iter().filter(|t| t.accept_from.is_none() || t.auth.is_some());
        let trunks = trunks.map(|t| std::slice::from_ref(&t.address));
        let agents = self.agents.iter().filter(|a| a.accept_from.is_none()).map(|a| a.addresses.as_slice());
        trunks.chain(agents).flatten().filter(|address| matches!(address.host, Host::Name(_)))
    }

    /// This topology with the sources of every address that `resolve` knows (an empty answer: not known yet). Also
    /// tells which trunks now have the same source.
    #[must_use]
    pub fn with_resolved(&self, resolve: impl Fn(&Address) -> Vec<IpAddr>) -> (Self, Vec<Overlap>) {
        let hosts = |address: &Address| match &address.host {
            Host::Ip(ip) => vec![IpNet::host(*ip)],
            Host::Name(_) => resolve(address).into_iter().map(IpNet::host).collect(),
        };
        let nets = |addresses: &[Address], accept: &Option<Vec<IpNet>>| match accept {
            Some(nets) => nets.clone(),
            None => addresses.iter().flat_map(hosts).collect(),
        };
        let mut next = self.clone();
        let trunks = self.trunks.iter().map(|t| nets(std::slice::from_ref(&t.address), &t.accept_from));
        next.trunk_nets = Self::ordered(trunks);
        next.agent_nets = Self::ordered(self.agents.iter().map(|a| nets(&a.addresses, &a.accept_from)));
        next.homes = self.trunks.iter().map(|trunk| hosts(&trunk.address)).collect();
        let overlaps = next
            .trunk_nets
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| Overlap {
                net: pair[0].0,
                first: Arc::clone(&self.trunks[pair[0].1].id),
                second: Arc::clone(&self.trunks[pair[1].1].id),
            })
            .collect();
        (next, overlaps)
    }

    /// This topology with the agents inside Baton at that UDP address. Their sources are known once the topology is
    /// [resolved](Topology::with_resolved) again.
    #[must_use]
    pub fn with_rehearsals_at(&self, at: SocketAddr) -> Self {
        let mut next = self.clone();
        for agent in next.agents.iter_mut().filter(|agent| agent.rehearsal.is_some()) {
            let addresses = vec![Address::at(&agent.id, at)];
            *agent = Arc::new(Agent { addresses, ..Agent::clone(agent) });
        }
        next
    }

    fn ordered(nets: impl Iterator<Item = Vec<IpNet>>) -> Vec<(IpNet, usize)> {
        let mut all: Vec<(IpNet, usize)> = nets
            .enumerate()
            .flat_map(|(index, nets)| nets.into_iter().map(move |net| (net, index)))
            .collect();
        all.sort_by(|a, b| b.0.prefix().cmp(&a.0.prefix()).then(a.cmp(b)));
        all.dedup();
        all
    }

    /// The trunk that a packet from `source` belongs to: the one with the longest prefix.
    pub fn trunk_at(&self, source: IpAddr) -> Option<&Arc<Trunk>> {
        self.trunk_nets.iter().find(|(net, _)| net.contains(source)).map(|(_, index)| &self.trunks[*index])
    }

    /// Whether `source` is what that trunk's `address` resolves to: where its password may go.
    pub fn is_home(&self, trunk: &str, source: IpAddr) -> bool {
        let homes = self.trunks.iter().zip(&self.homes).find(|(known, _)| &*known.id == trunk);
        homes.is_some_and(|(_, homes)| homes.iter().any(|home| home.contains(source)))
    }

    /// The agents that a packet from `source` may belong to, longest prefix first; several may share a host.
    pub fn agents_at(&self, source: IpAddr) -> impl Iterator<Item = &Arc<Agent>> {
        self.agent_nets
            .iter()
            .filter(move |(net, _)| net.contains(source))
            .map(|(_, index)| &self.agents[*index])
    }

    /// Whether `source` is a trunk or an agent. Anyone else gets no answer.
    pub fn knows(&self, source: IpAddr) -> bool {
        self.trunk_at(source).is_some() || self.agents_at(source).next().is_some()
    }

    /// Whose connection one from `source` is, if it may be opened to us: a trunk's, an agent's, or (an empty name) that of
    /// whoever may speak in a dialog by its tags.
    pub fn owner_of(&self, source: IpAddr) -> Option<Id> {
        if let Some(trunk) = self.trunk_at(source) {
            return Some(Arc::clone(&trunk.id));
        }
        if let Some(agent) = self.agents_at(source).next() {
            return Some(Arc::clone(&agent.id));
        }
        let by_tags = self.trunks.iter().any(|trunk| trunk.in_dialog == InDialog::Tags)
            || self.agents.iter().any(|agent| agent.in_dialog == InDialog::Tags);
        by_tags.then(|| "".into())
    }

    /// The agent that `called` reaches when it comes from `trunk`: the number as it stands, then as the trunk's
    /// country reads it, then the rehearsal agent by [`Agent::rehearses`], then the agent that takes all others.
    pub fn agent_for(&self, trunk: &Trunk, called: &str) -> Option<&Arc<Agent>> {
        let plain = super::number::clean(called);
        let index = self
            .numbers
            .get(&*plain)
            .or_else(|| self.numbers.get(&*super::number::normalise(called, trunk.country)))
            .copied()
            .or(self.rehearsal.filter(|_| called.starts_with(REHEARSED)))
            .or(self.wildcard)?;
        self.agents.get(index)
    }

    /// The trunk of that id.
    pub fn trunk(&self, id: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|t| &*t.id == id)
    }

    /// The agent of that id.
    pub fn agent(&self, id: &str) -> Option<&Arc<Agent>> {
        self.agents.iter().find(|a| &*a.id == id)
    }

    /// The environment of that id.
    pub fn environment(&self, id: &str) -> Option<&Arc<Environment>> {
        self.environments.iter().find(|e| &*e.id == id)
    }

    /// All trunks, by id.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }

    /// All agents, by id.
    pub fn agents(&self) -> &[Arc<Agent>] {
        &self.agents
    }

    /// All environments, by id.
    pub fn environments(&self) -> &[Arc<Environment>] {
        &self.environments
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Report, Section, Source};
    use super::read::Parties;
    use super::secret::{SecretSource, Secrets};
    use super::*;

    struct NoSecrets;
    impl Secrets for NoSecrets {
        fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
            Err("none".to_owned())
        }
    }

    fn topology(text: &str) -> Topology {
        let source = Source::new("t", text);
        let mut report = Report::new(&source);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &NoSecrets, std::path::Path::new(""));
        assert!(!report.has_errors(), "{:#?}", report.finish());
        parties.topology()
    }

    const TEXT: &str = r#"
        [trunk.carrier]
        address = "sip:carrier.example.com"
        [trunk.lan]
        address = "sip:10.0.0.1"
        accept_from = ["10.0.0.0/8", "fd00::/8"]
        country = "US"
        [trunk.pbx]
        address = "sip:10.0.0.5"
        [agent.booking]
        address = "sip:127.0.0.1:5080"
        numbers = ["+1 415 555 0100", "booking", "100"]
        [agent.other]
        address = ["sip:agents.example.com", "sip:127.0.0.2", "sip:AGENTS2.example.com"]
        numbers = ["*"]
        [environment.production]
        table = "t.toml"
    "#;

    fn trunk_at(topology: &Topology, source: &str) -> Option<String> {
        topology.trunk_at(source.parse().unwrap()).map(|trunk| trunk.id.to_string())
    }

    #[test]
    fn the_longest_prefix_is_the_trunk() {
        let topology = topology(TEXT);
        assert_eq!(trunk_at(&topology, "10.0.0.5").as_deref(), Some("pbx"));
        assert_eq!(trunk_at(&topology, "::ffff:10.0.0.5").as_deref(), Some("pbx"));
        assert_eq!(trunk_at(&topology, "10.0.0.6").as_deref(), Some("lan"));
        assert_eq!(trunk_at(&topology, "fd00::1").as_deref(), Some("lan"));
        assert_eq!(trunk_at(&topology, "203.0.113.1"), None);
        assert!(topology.knows("127.0.0.1".parse().unwrap()), "an agent is known, too");
        assert_eq!(trunk_at(&topology, "127.0.0.1"), None, "and is no trunk");
        assert_eq!(topology.agents_at("127.0.0.1".parse().unwrap()).count(), 1);
    }

    #[test]
    fn names_are_sources_once_they_are_resolved() {
        let topology = topology(TEXT);
        let names: Vec<String> = topology.unresolved().map(|address| address.host.to_string()).collect();
        assert_eq!(names, ["carrier.example.com", "agents.example.com", "agents2.example.com"]);
        let (resolved, overlaps) =
            topology.with_resolved(|address| match address.host.to_string().as_str() {
                "carrier.example.com" => vec!["203.0.113.1".parse().unwrap(), "10.0.0.5".parse().unwrap()],
                "agents2.example.com" => vec!["203.0.113.2".parse().unwrap()],
                _ => vec![],
            });
        assert_eq!(trunk_at(&resolved, "203.0.113.1").as_deref(), Some("carrier"));
        assert_eq!(overlaps.len(), 1);
        assert_eq!((&*overlaps[0].first, &*overlaps[0].second), ("carrier", "pbx"));
        assert_eq!(trunk_at(&resolved, "10.0.0.5").as_deref(), Some("carrier"), "the first by id");
        let agents_at = |topology: &Topology, source: &str| {
            let agents = topology.agents_at(source.parse().unwrap());
            agents.map(|agent| agent.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(agents_at(&topology, "127.0.0.2"), ["other"], "every address of a list is a source");
        assert_eq!(agents_at(&topology, "203.0.113.2"), [""; 0]);
        assert_eq!(agents_at(&resolved, "203.0.113.2"), ["other"]);
        assert_eq!(agents_at(&resolved, "127.0.0.2"), ["other"]);
        assert_eq!(&*topology.agent("other").unwrap().address().text, "sip:agents.example.com");
    }

    #[test]
    fn a_called_number_reaches_its_agent() {
        let topology = topology(TEXT);
        let agent = |trunk: &str, called: &str| {
            let trunk = topology.trunk(trunk).unwrap();
            topology.agent_for(trunk, called).map(|agent| agent.id.to_string()).unwrap()
        };
        assert_eq!(agent("pbx", "+14155550100"), "booking");
        assert_eq!(agent("pbx", "+1-415-555-0100"), "booking");
        assert_eq!(agent("pbx", "booking"), "booking");
        assert_eq!(agent("pbx", "100"), "booking");
        assert_eq!(agent("pbx", "4155550100"), "other", "no country: taken as it is");
        assert_eq!(agent("lan", "4155550100"), "booking");
        assert_eq!(agent("lan", "100"), "booking");
        assert_eq!(agent("lan", "Booking"), "other", "user parts are case-sensitive");
    }

    #[test]
    fn secret_sources() {
        assert_eq!(SecretSource::parse("env:A_B"), Some(SecretSource::Env("A_B".into())));
        assert_eq!(SecretSource::parse("file:a/b"), Some(SecretSource::File("a/b".into())));
        assert_eq!(SecretSource::parse("credential:pbx"), Some(SecretSource::Credential("pbx".into())));
        for text in
            ["", "env:", "env:A=B", "hunter2", "vault:x", "credential:../x", "credential:a/b", "file:"]
        {
            assert_eq!(SecretSource::parse(text), None, "{text}");
        }
    }
}
