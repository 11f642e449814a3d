//! The files that the answers make: the shipped ones, with their comments, where the answers take the place of what is
//! only an example. They are checked before they are written.

use crate::daemon::configuration::{Configuration, SYSTEM, SYSTEM_STATE, is_system, load_by, open};
use crate::routing::address::{Address, Host};
use crate::routing::file::{Diagnostic, Source};
use std::path::{Path, PathBuf};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// What stands at the head of the shipped configuration, and is true of that alone.
const SHIPPED_HEAD: &str = "\
# Baton's configuration. It starts as it is, on a desk: point a softphone or a PBX on this machine at port 5060 (for one on
# the network see `accept_from`), and a SIP voice agent at 127.0.0.1:5080 gets its calls; the number `rehearsal` needs no
# agent. `baton check` reads this file and the tables that it names.
";
const OWN_HEAD: &str = "\
# Baton's configuration, begun by `baton init`. `baton check` reads this file and the tables that it names. The number
# `rehearsal` needs no agent.
";
/// The sources of the shipped trunk.
const SHIPPED_SOURCES: &str = "accept_from = [\"127.0.0.0/8\", \"::1/128\"]\n";
const RESOLVED_SOURCES: &str = "# accept_from = […]               # absent: what `address` resolves to\n";
/// What the shipped tables show beside a first destination; its numbers are nobody's.
const EXAMPLES: [&str; 2] = ["support", "manager"];

/// What was asked, with what is meant where nobody has answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub(super) pbx: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) numbers: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) listen: Option<String>,
}

impl Answers {
    fn pbx(&self) -> String {
        as_uri(self.pbx.as_deref().unwrap_or("127.0.0.1:5070"))
    }

    /// On this machine, and not where the PBX is.
    pub(super) fn usual_agent(&self) -> &'static str {
        if self.pbx().contains("127.0.0.1:5080") { "127.0.0.1:5081" } else { "127.0.0.1:5080" }
    }

    fn agent(&self) -> String {
        as_uri(self.agent.as_deref().unwrap_or(self.usual_agent()))
    }

    fn numbers(&self) -> Vec<&str> {
        let list = self.numbers.as_deref().unwrap_or("*");
        list.split(',').map(str::trim).filter(|number| !number.is_empty()).collect()
    }

    fn destination(&self) -> String {
        let said = self.destination.as_deref().unwrap_or("100");
        match said {
            extension if extension.bytes().all(|b| b.is_ascii_digit()) => self.extension(extension),
            uri if uri.contains('@') => as_uri(uri),
            number => number.to_owned(),
        }
    }

    /// An extension of the PBX, as a URI.
    fn extension(&self, user: &str) -> String {
        let pbx = self.pbx();
        let host = pbx.trim_start_matches("sip:");
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("sip:{user}@{host}")
    }

    /// A phone to try things with, which the sandbox's table has beside the destination.
    fn test_desk(&self) -> String {
        let phones = ["100", "101"].map(|phone| self.extension(phone));
        let [first, second] = phones;
        if first == self.destination() { second } else { first }
    }

    fn listen(&self) -> [String; 2] {
        let said = self.listen.as_deref().unwrap_or("0.0.0.0:5060");
        let at = match (said.parse::<u16>(), said.parse::<std::net::IpAddr>()) {
            (Ok(port), _) => format!("0.0.0.0:{port}"),
            (_, Ok(ip)) => std::net::SocketAddr::new(ip, 5060).to_string(),
            _ => said.to_owned(),
        };
        [format!("udp:{at}"), format!("tcp:{at}")]
    }
}

/// A host, with or without its port and user, as a URI.
fn as_uri(text: &str) -> String {
    if text.contains(':')
        && text.split(':').next().is_some_and(|scheme| ["sip", "sips", "tel"].contains(&scheme))
    {
        return text.to_owned();
    }
    format!("sip:{text}")
}

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The configuration.
    pub(super) baton: PathBuf,
    /// The folder of the tables. The service may write to its state directory alone.
    pub(super) tables: PathBuf,
    /// The system's own configuration, which the service reads.
    pub(super) is_system: bool,
}

impl Layout {
    /// For a configuration at `baton`.
    pub(super) fn of(baton: PathBuf) -> Layout {
        let folder = baton.parent().unwrap_or(Path::new("")).to_owned();
        match is_system(&folder) {
            true => Layout { baton, tables: SYSTEM_STATE.into(), is_system: true },
            false => Layout { baton, tables: folder, is_system: false },
        }
    }

    /// A table as the configuration names it.
    fn named(&self, table: &str) -> String {
        if self.is_system { format!("{SYSTEM_STATE}/{table}") } else { table.to_owned() }
    }

    /// The comment by which editors find the schema, of a file that is not beside it either.
    fn schema(&self, text: &str, which: &str) -> String {
        let shipped = format!("#:schema ./schema/{which}.json\n");
        let own = format!("#:schema file://{SYSTEM}/schema/{which}.json\n");
        text.replacen(&shipped, if self.is_system { &own } else { "" }, 1)
    }
}

/// The files, not written yet.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where the configuration goes.
    baton: PathBuf,
    /// Each file with its text; the configuration last, so that it never names what is not there.
    pub(super) files: Vec<(PathBuf, String)>,
}

/// The shipped files have changed, and this has not been told.
#[derive(Debug, thiserror::Error)]
#[error("the shipped configuration has no `{0}`")]
pub(super) struct Missing(&'static str);

impl Draft {
    pub(super) fn of(answers: &Answers, layout: &Layout) -> Result<Draft, Missing> {
        const PRODUCTION: &str = "destinations.toml";
        const SANDBOX: &str = "destinations.sandbox.toml";
        let production = include_str!("../../../config/destinations.toml");
        let sandbox = include_str!("../../../config/destinations.sandbox.toml");
        let files = vec![
            (layout.tables.join(PRODUCTION), table(&layout.schema(production, "destinations"), answers)?),
            (layout.tables.join(SANDBOX), table(&layout.schema(sandbox, "destinations"), answers)?),
            (layout.baton.clone(), baton(answers, layout, [PRODUCTION, SANDBOX])?),
        ];
        Ok(Draft { baton: layout.baton.clone(), files })
    }

    /// Whatever `check --strict` would say of them.
    pub(super) fn faults(&self) -> Vec<Diagnostic> {
        self.load().1
    }

    fn load(&self) -> (Option<Configuration>, Vec<Diagnostic>) {
        let loaded = load_by(&self.baton, &|path| {
            let own = self.files.iter().find(|(own, _)| own == path);
            own.map_or_else(|| open(path), |(path, text)| Ok(Source::new(&path.display().to_string(), text)))
        });
        (loaded.configuration, loaded.diagnostics)
    }
}

fn baton(answers: &Answers, layout: &Layout, tables: [&str; 2]) -> Result<String, Missing> {
    let shipped = include_str!("../../../config/baton.toml");
    let mut text = layout.schema(shipped, "baton");
    text = text.replacen(SHIPPED_HEAD, OWN_HEAD, 1).replacen("[agent.booking]", "[agent.main]", 1);
    let pbx = answers.pbx();
    // What is no address is told of by the check.
    let sources = match Address::parse(&pbx).map(|address| address.host) {
        Ok(Host::Ip(ip)) if ip.is_loopback() => SHIPPED_SOURCES.to_owned(),
        Ok(Host::Ip(ip)) => format!("accept_from = [\"{ip}\"]\n"),
        Ok(Host::Name(_)) | Err(_) => RESOLVED_SOURCES.to_owned(),
    };
    text = text.replacen(SHIPPED_SOURCES, &sources, 1);
    let mut document = parse(&text)?;
    let mut set = |path: &[&'static str], value: Value| set(document.as_table_mut(), path, value);
    set(&["sip", "listen"], list(&answers.listen()))?;
    set(&["trunk", "pbx", "address"], pbx.into())?;
    set(&["agent", "main", "address"], answers.agent().into())?;
    set(&["agent", "main", "numbers"], list(&answers.numbers()))?;
    set(&["agent", "rehearsal", "numbers"], list(&["rehearsal"]))?;
    set(&["environment", "production", "table"], layout.named(tables[0]).into())?;
    set(&["environment", "sandbox", "table"], layout.named(tables[1]).into())?;
    if layout.is_system {
        set(&["state", "dir"], SYSTEM_STATE.into())?;
    }
    Ok(document.to_string())
}

fn table(shipped: &str, answers: &Answers) -> Result<String, Missing> {
    let mut document = parse(shipped)?;
    let all = document.as_table_mut();
    set(all, &["destination", "front-desk", "route"], answers.destination().into())?;
    if find(all, &["destination", "test-desk"]).is_ok() {
        set(all, &["destination", "test-desk", "route"], answers.test_desk().into())?;
    }
    let destinations = find(all, &["destination"])?.as_table_mut().ok_or(Missing("destination"))?;
    let examples = EXAMPLES.map(|id| destinations.remove(id));
    // What stands above the first of them is about the destination before.
    let above =
        examples[0].as_ref().and_then(Item::as_table).and_then(|table| table.decor().prefix().cloned());
    let next = destinations.get_mut("hand-back").and_then(Item::as_table_mut).ok_or(Missing("hand-back"))?;
    next.decor_mut().set_prefix(above.ok_or(Missing("support"))?);
    Ok(document.to_string())
}

fn parse(text: &str) -> Result<DocumentMut, Missing> {
    text.parse().map_err(|_| Missing("TOML"))
}

fn list<T: AsRef<str>>(entries: &[T]) -> Value {
    entries.iter().map(AsRef::as_ref).collect::<Array>().into()
}

/// Sets a key that is there, and leaves what stands around it.
fn set(table: &mut Table, path: &[&'static str], mut value: Value) -> Result<(), Missing> {
    let item = find(table, path)?;
    if let Some(before) = item.as_value() {
        *value.decor_mut() = before.decor().clone();
    }
    *item = Item::Value(value);
    Ok(())
}

fn find<'t>(table: &'t mut Table, path: &[&'static str]) -> Result<&'t mut Item, Missing> {
    let (first, rest) = path.split_first().ok_or(Missing("key"))?;
    let mut item = table.get_mut(first).ok_or(Missing(first))?;
    for key in rest {
        item = item.as_table_mut().and_then(|table| table.get_mut(key)).ok_or(Missing(key))?;
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(pbx: &str, destination: &str) -> Answers {
        Answers { pbx: Some(pbx.to_owned()), destination: Some(destination.to_owned()), ..Answers::default() }
    }

    #[track_caller]
    fn sound(answers: &Answers, layout: &Layout) -> (Configuration, String) {
        let draft = Draft::of(answers, layout).unwrap();
        let (configuration, diagnostics) = draft.load();
        assert!(diagnostics.is_empty(), "{diagnostics:#?}");
        (configuration.unwrap(), draft.files.iter().map(|(_, text)| &**text).collect())
    }

    #[test]
    fn the_system_has_its_tables_where_the_service_may_write() {
        let layout = Layout::of("/etc/baton/baton.toml".into());
        let (configuration, text) = sound(&answers("10.0.0.5", "+14155550123"), &layout);
        assert_eq!(configuration.state_dir, Path::new("/var/lib/baton"));
        let names = [
            "/etc/baton/baton.toml",
            "/var/lib/baton/destinations.toml",
            "/var/lib/baton/destinations.sandbox.toml",
        ];
        assert_eq!(configuration.files(), names.map(PathBuf::from));
        assert!(text.contains("#:schema file:///etc/baton/schema/destinations.json\n"));
        assert!(!text.contains("./schema/"));
    }

    #[test]
    fn elsewhere_all_of_it_stands_together() {
        let layout = Layout::of("somewhere/baton.toml".into());
        assert_eq!(layout.tables, Path::new("somewhere"));
        let (configuration, text) = sound(&Answers::default(), &layout);
        assert_eq!(configuration.state_dir, Path::new("somewhere/state"));
        assert!(!text.contains("#:schema"), "there are none beside them");
    }

    #[test]
    fn what_is_only_an_example_is_not_there() {
        let layout = Layout::of("x/baton.toml".into());
        for pbx in
            ["10.0.0.5", "pbx.example.com:5070", "sip:[2001:db8::5]:5060;transport=tcp", "127.0.0.1:5080"]
        {
            let (configuration, text) = sound(&answers(pbx, "sip:queue@10.0.0.9"), &layout);
            for example in
                ["+1415555", "support", "manager", "booking", "on a desk", "sip:100@127.0.0.1:5070"]
            {
                let lines = text.lines().filter(|line| !line.starts_with('#'));
                let left: Vec<&str> = lines.filter(|line| line.contains(example)).collect();
                assert!(left.is_empty(), "{left:?}");
            }
            assert!(text.contains("# ring = \"30s\""), "what explains the first destination stays");
            assert_eq!(configuration.tables["production"].destinations.len(), 2);
            assert_eq!(configuration.tables["sandbox"].destinations.len(), 3);
        }
    }

    #[test]
    fn sources_are_the_pbx_and_nobody_else() {
        let layout = Layout::of("x/baton.toml".into());
        let accepts =
            |pbx: &str| sound(&answers(pbx, "100"), &layout).0.topology.trunks()[0].accept_from.clone();
        let texts =
            |pbx: &str| accepts(pbx).map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(texts("10.0.0.5:5070"), Some(vec!["10.0.0.5/32".to_owned()]));
        assert_eq!(texts("127.0.0.1:5070").map(|nets| nets.len()), Some(2));
        assert_eq!(texts("pbx.example.com"), None, "what it resolves to");
    }

    #[test]
    fn answers_are_taken_as_people_give_them() {
        let of = |said: &str| answers("sip:trunk@10.0.0.5:5070", said).destination();
        assert_eq!(of("200"), "sip:200@10.0.0.5:5070");
        assert_eq!(of("+14155550123"), "+14155550123");
        assert_eq!(of("queue@10.0.0.9"), "sip:queue@10.0.0.9");
        assert_eq!(of("tel:+14155550123"), "tel:+14155550123");
        let listen = |said: &str| Answers { listen: Some(said.to_owned()), ..Answers::default() }.listen();
        assert_eq!(listen("5070"), ["udp:0.0.0.0:5070", "tcp:0.0.0.0:5070"]);
        assert_eq!(listen("::1"), ["udp:[::1]:5060", "tcp:[::1]:5060"]);
        assert_eq!(listen("10.0.0.20:5080")[0], "udp:10.0.0.20:5080");
        let numbers = Answers { numbers: Some(" +14155550100, 200 ,".to_owned()), ..Answers::default() };
        assert_eq!(numbers.numbers(), ["+14155550100", "200"]);
    }

    #[test]
    fn a_destination_where_the_test_phone_would_be_is_no_doubt() {
        let layout = Layout::of("x/baton.toml".into());
        for said in ["100", "101", "102"] {
            sound(&answers("10.0.0.5", said), &layout);
        }
    }
}
