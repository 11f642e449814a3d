//! What the world is configured with: the product's own TOML, read by the product's own reader, so that a scenario shows
//! the keys that a person would write.

use super::message::host_of;
use super::s;
use baton::call::engine::Settings;
use baton::observe::secret::Secret;
use baton::routing::file::{Report, Section, Source};
use baton::routing::tables::Tables;
use baton::routing::topology::read::Parties;
use baton::routing::topology::secret::{SecretSource, Secrets};
use baton::routing::{Id, table};
use baton::sip::ident::{Seed, SlotKey};
use baton::sip::{self, Listener, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The texts of `baton.toml` and of the tables, and what a scenario has put into them.
#[derive(Clone)]
pub struct Config {
    baton: String,
    table: String,
    serial: u64,
    max_calls: usize,
    max_duration: Duration,
    shows_messages: bool,
    pub(super) one_engine: bool,
}

const BATON: &str = r#"
[trunk.pbx]
address     = "sip:10.0.0.5:5060;transport=udp"
accept_from = ["10.0.0.0/26"]
trusted     = true
country     = "US"
auth        = { username = "baton", password = "env:PBX_PASSWORD" }
keepalive   = "0s"
# pbx

[trunk.carrier]
address     = "sip:203.0.113.7:5060"
unanswered  = "redirect"
keepalive   = "0s"

[agent.booking]
address        = "sip:booking@10.0.0.80:5080"
accept_from    = ["10.0.0.80/32"]
numbers        = ["+14155550100", "booking"]
environment    = "production"
# agent

[environment.production]
table = "destinations.toml"
"#;

const TABLE: &str = r#"
default = "front-desk"

[destination.front-desk]
route = "+14155550123"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Language  = "${language:-en}"

[destination.patient]
route = "+14155550123"
timeouts = { total = "10m" }

[destination.hasty]
route = "+14155550123"
timeouts = { total = "10s" }

[destination.hangup-on-failure]
route = "+14155550124"
on_failure = ["hangup"]

[destination.hangup-on-unknown]
route = "+14155550124"
on_failure = { unknown = ["hangup"] }

[destination.bye-on-failure]
route = "+14155550124"
on_failure = ["bye"]
[destination.bye-on-failure.headers]
X-Reason = "escalated"

[destination.by-cause]
route = "+14155550124"
on_failure = { busy = ["bye"], default = ["agent"] }

[destination.phone]
route = "tel:+14155550177"

[destination.queue]
route = "sip:queue@pbx.example.com"

[destination.back]
method = "bye"
[destination.back.headers]
X-Handoff-To = "queue-7"
X-Utterance  = "$utterance"
"#;

impl Default for Config {
    fn default() -> Self {
        Config {
            baton: BATON.to_owned(),
            table: TABLE.to_owned(),
            serial: 1,
            max_calls: 100_000,
            max_duration: s(4 * 3600),
            shows_messages: false,
            one_engine: false,
        }
    }
}

struct Fixed;

impl Secrets for Fixed {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Ok(Secret::new("s3cret"))
    }
}

impl Config {
    #[track_caller]
    fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.baton.contains(from), "{from:?} stands in the configuration");
        self.baton = self.baton.replace(from, to);
        self
    }

    /// Another address of the PBX.
    pub fn pbx_address(self, uri: &str) -> Self {
        self.replace("sip:10.0.0.5:5060;transport=udp", uri)
    }

    /// Other sources of the PBX.
    pub fn accept_from(self, net: &str) -> Self {
        self.replace("10.0.0.0/26", net)
    }

    /// One more key for the login of the trunk `pbx`.
    pub fn trunk_auth(self, key: &str) -> Self {
        self.replace("\"env:PBX_PASSWORD\" }", &format!("\"env:PBX_PASSWORD\", {key} }}"))
    }

    /// One more line for the trunk `pbx`.
    pub fn trunk_key(self, line: &str) -> Self {
        self.replace("# pbx", &format!("{line}\n# pbx"))
    }

    /// How often the trunk `pbx` is asked inside its calls; scenarios go without unless they are about that.
    pub fn trunk_keepalive(self, interval: &str) -> Self {
        self.replace("keepalive   = \"0s\"\n# pbx", &format!("keepalive   = \"{interval}\"\n# pbx"))
    }

    /// Another address of the agent.
    pub fn agent_address(self, uri: &str) -> Self {
        self.replace("sip:booking@10.0.0.80:5080", uri)
    }

    /// Several addresses of the agent, in the order in which they are tried.
    pub fn agent_addresses(self, uris: &[&str]) -> Self {
        self.replace("\"sip:booking@10.0.0.80:5080\"", &format!("{uris:?}"))
    }

    /// Other sources of the agent.
    pub fn agent_source(self, net: &str) -> Self {
        self.replace("10.0.0.80/32", net)
    }

    /// One more line for the agent.
    pub fn agent_key(self, line: &str) -> Self {
        self.replace("# agent", &format!("{line}\n# agent"))
    }

    /// Destinations may be called to test them.
    pub fn allow_test_calls(self) -> Self {
        self.replace(
            "table = \"destinations.toml\"",
            "table = \"destinations.toml\"\nallow_test_calls = true",
        )
    }

    /// One more section in the configuration.
    pub fn section(mut self, text: &str) -> Self {
        self.baton.push_str(text);
        self
    }

    /// One more destination.
    pub fn destination(mut self, text: &str) -> Self {
        self.table.push_str(text);
        self
    }

    /// Another table.
    pub fn table_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.table);
        self
    }

    /// The number of this state of the tables.
    pub fn serial(mut self, serial: u64) -> Self {
        self.serial = serial;
        self
    }

    /// Live calls beyond which there is 503.
    pub fn max_calls(mut self, calls: usize) -> Self {
        self.max_calls = calls;
        self
    }

    /// The test is of what one engine knows, which others that share the calls do not: the addresses that it has found dead,
    /// say.
    pub fn one_engine(mut self) -> Self {
        self.one_engine = true;
        self
    }

    /// Each message is told of.
    pub fn shows_messages(mut self) -> Self {
        self.shows_messages = true;
        self
    }

    /// The longest call.
    pub fn max_duration(mut self, duration: Duration) -> Self {
        self.max_duration = duration;
        self
    }

    /// Trunks, agents and tables.
    pub fn tables(&self) -> Arc<Tables> {
        let source = Source::new("baton.toml", &self.baton);
        let mut report = Report::new(&source);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &Fixed, std::path::Path::new("."));
        let trunks = parties.surroundings(None);
        top.finish(&mut report);
        let faults: Vec<String> = report.finish().iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        let environment: Id = "production".into();
        let source = Source::new("destinations.toml", &self.table);
        let (table, faults) = table::read(&source, &environment, Some(&trunks));
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let mut table = table.unwrap_or_else(|| panic!("{}", faults.join("\n")));
        table.version = self.serial;
        let environments = BTreeMap::from([("production".into(), Arc::new(table))]);
        Arc::new(Tables { serial: self.serial, topology: parties.topology(), environments })
    }

    /// An engine's settings. The listeners are those of [`super::listener_of`].
    pub fn settings(&self, seed: u64) -> Settings {
        let listener = |transport, local: &str, advertised: &str| Listener {
            transport,
            local: local.parse().expect("an address"),
            advertised: advertised.into(),
        };
        let listeners = vec![
            listener(Transport::Udp, super::BATON, "192.0.2.10"),
            listener(Transport::Tcp, super::BATON, "192.0.2.10"),
            listener(Transport::Udp, super::BATON6, "[2001:db8::10]"),
            listener(Transport::Tcp, super::BATON6, "[2001:db8::10]"),
        ];
        let mut key = [7u8; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        Settings {
            stack: sip::Settings {
                listeners,
                parties: Vec::new(),
                seed: Seed(key),
                product: "Baton".into(),
                session_timer: Some(sip::leg::session_timer::Settings::default()),
            },
            slot_key: SlotKey([9; 16]),
            max_calls: self.max_calls,
            occupancy: Default::default(),
            announced: Default::default(),
            max_duration: self.max_duration,
            tables: self.tables(),
            shows_messages: self.shows_messages,
        }
    }

    /// All addresses that the configuration names.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tables = self.tables();
        let trunks = tables.topology.trunks().iter().map(|t| t.address.text.to_string());
        let agents = tables.topology.agents().iter().flat_map(|a| &a.addresses);
        let agents = agents.map(|address| address.text.to_string());
        let routes = tables.environments.values().flat_map(|t| t.destinations.values());
        let routes = routes.filter_map(|d| d.route.as_ref().map(ToString::to_string));
        let known = |uri: String| {
            let (host, port, _) = host_of(&uri);
            host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port.unwrap_or(5060)))
        };
        trunks.chain(agents).chain(routes).filter_map(known).collect()
    }
}
