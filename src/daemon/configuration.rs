//! Reads `baton.toml` and the tables it names, all or nothing: every fault of every file at once, or a [`Configuration`].
//!
//! Called at the start, by `check`, and again for each reload: a reload that finds an error changes nothing. What it cannot
//! change without a restart is told by [`Configuration::restart_needed`].

mod candidate;
mod secrets;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::numbers;
use crate::observe::line::{Format, Level, Style};
use crate::observe::secret::Secret;
use crate::routing::Id;
use crate::routing::Tables;
use crate::routing::address::Host;
use crate::routing::file::{Diagnostic, Report, Section, Severity, Source, nearest};
use crate::routing::table::{self, Table};
use crate::routing::topology::read::{self, Parties};
use crate::routing::topology::{Settings, Topology, secret};

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The environment variable that names the configuration file.
pub const VARIABLE: &str = "BATON_CONFIG";

/// Where the file is looked for when nothing names it, in order.
pub const PLACES: [&str; 2] = ["config/baton.toml", "/etc/baton/baton.toml"];

/// The directory of a configuration that belongs to the system.
pub const SYSTEM: &str = "/etc/baton";

/// Where the state of that one is kept: what the unit's `StateDirectory=baton` makes.
pub const SYSTEM_STATE: &str = "/var/lib/baton";

/// The state directories that systemd has made for a service, separated by colons (systemd.exec(5)).
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// Everything that the files say.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its text, for [`Configuration::candidate`].
    source: Source,
    /// The keys of `[sip]`, with their defaults.
    pub sip: Settings,
    /// The keys of `[http]`, with their defaults.
    pub http: Http,
    /// The keys of `[log]`, with their defaults.
    pub log: Log,
    /// `state.dir`: where the journal, versions, records and the generated token are kept.
    pub state_dir: PathBuf,
    /// Trunks, agents, environments.
    pub topology: Topology,
    /// The table of each environment, version 0.
    pub tables: BTreeMap<Id, Arc<Table>>,
}

/// The `[http]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// The bearer token; `None`: generated once into the state directory.
    pub token: Option<Secret>,
    /// The API as seen from outside.
    pub public_url: Option<PublicUrl>,
}

/// The `[log]` section: how lines are written on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Format, and whether numbers are masked.
    pub style: Style,
    /// Lines below it are not written.
    pub level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self { style: Style::default(), level: Level::Info }
    }
}

/// `http.public_url`: scheme, host and port, and nothing after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// As written, without a final slash.
    pub text: Box<str>,
    /// Its host: one that the Host header of a request may name.
    pub host: Host,
    /// Its port, if one is written.
    pub port: Option<u16>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8060)), token: None, public_url: None }
    }
}

/// What reading the files gave.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` if there is an error.
    pub configuration: Option<Configuration>,
    /// Errors and warnings, file by file in the order of their text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    fn failed(diagnostic: Diagnostic) -> Self {
        Self { configuration: None, diagnostics: vec![diagnostic] }
    }

    /// How many errors there are; warnings are not among them.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }
}

/// The configuration file: the one that `--config` names, else `$BATON_CONFIG`, else the first of [`PLACES`] that is there.
///
/// # Errors
/// A diagnostic that says where it was looked for.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Box<Diagnostic>> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        Box::new(Diagnostic::of_file(
            PLACES[0],
            format!("there is no configuration: neither {} nor {}", PLACES[0], PLACES[1]),
            Some(format!("name it with --config or ${VARIABLE}; `baton demo` needs none")),
        ))
    })
}

/// Reads the file and the tables that it names.
pub fn load(path: &Path) -> Loaded {
    load_by(path, &open)
}

/// As [`load`], with the texts that `open` gives: those of files that are not written yet, too.
pub fn load_by(path: &Path, open: &dyn Fn(&Path) -> Result<Source, Box<Diagnostic>>) -> Loaded {
    let source = match open(path) {
        Ok(source) => source,
        Err(diagnostic) => {
            let help = format!(
                "name a text file in UTF-8 that you may read, with --config or ${VARIABLE}; `baton demo` needs none"
            );
            return Loaded::failed(Diagnostic { suggestion: Some(help), ..*diagnostic });
        }
    };
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut report = Report::new(&source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    let fetch = secrets::Fetch { base: base.clone() };
    let sip = read::settings(&mut top, &mut report);
    let http = http(&mut top, &mut report, &fetch);
    let log = log(&mut top, &mut report);
    let state_dir = state(&mut top, &mut report, &base);
    let parties = Parties::read(&mut top, &mut report, &fetch, &base);
    top.finish(&mut report);

    let around = parties.surroundings(Some(numbers::doubt));
    let mut tables = BTreeMap::new();
    let mut below = Vec::new();
    for (environment, place) in &parties.environments {
        match open(&environment.table) {
            Ok(source) => {
                let (table, diagnostics) = table::read(&source, &environment.id, Some(&around));
                tables.extend(table.map(|table| (Arc::clone(&environment.id), Arc::new(table))));
                below.extend(diagnostics);
            }
            // Reported where the file is named, which is where it is put right.
            Err(fault) => {
                let message = fault.message;
                let note = report.error(place.clone(), format!("{}: {message}", environment.table.display()));
                if environment.table.exists() {
                    note.help("a table is a text file in UTF-8 that the user of the daemon may read");
                } else if let Some(near) = sibling(&environment.table) {
                    note.help(format!("did you mean `{near}`?"));
                }
            }
        }
    }
    parties.check_listeners(&mut report, &sip.listen);
    parties.check(&mut report, &tables);
    if !report.has_errors() {
        parties.lint(&mut report, numbers::doubt);
    }
    let mut diagnostics = report.finish();
    diagnostics.extend(below);
    let sound = diagnostics.iter().all(|d| d.severity != Severity::Error);
    let configuration = sound.then(|| Configuration {
        path: path.to_owned(),
        source: source.clone(),
        sip,
        http,
        log,
        state_dir,
        topology: parties.topology(),
        tables,
    });
    Loaded { configuration, diagnostics }
}

/// What a client of the API needs of the configuration.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where the API listens, and its token.
    pub http: Http,
    /// Where the generated token is found.
    pub state_dir: PathBuf,
    /// Why the file is no TOML. Then these are what could be read of it, and the daemon's own word goes before them.
    pub slips: Vec<Diagnostic>,
}

/// Reads how the API is reached, and nothing else: a fault in a table must not keep anybody from asking the daemon.
///
/// # Errors
/// The faults of these two sections, and a file that cannot be read.
pub fn access(path: &Path) -> Result<Access, Vec<Diagnostic>> {
    let source = open(path).map_err(|diagnostic| vec![*diagnostic])?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut report = Report::new(&source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    let http = http(&mut top, &mut report, &secrets::Fetch { base: base.clone() });
    let state_dir = state(&mut top, &mut report, &base);
    let is_partial = report.is_partial();
    let faults: Vec<Diagnostic> =
        report.finish().into_iter().filter(|d| d.severity == Severity::Error).collect();
    if faults.is_empty() || is_partial { Ok(Access { http, state_dir, slips: faults }) } else { Err(faults) }
}

/// A file's text, [`MAX_FILE`] bytes at most.
///
/// # Errors
/// It is no file, cannot be read, is too large or is no UTF-8.
pub fn open(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let name = path.display().to_string();
    let fail = |message: String| Box::new(Diagnostic::of_file(&name, message, None));
    let closed = |error| fail(format!("cannot be opened: {}", plain(&error)));
    // Looked at before it is opened: opening a pipe waits until somebody writes to it.
    let found = std::fs::metadata(path).map_err(|error| match std::fs::read_link(path) {
        Ok(to) if error.kind() == std::io::ErrorKind::NotFound => {
            fail(format!("is a link to {}, which is not there", to.display()))
        }
        _ => closed(error),
    })?;
    if !found.is_file() {
        return Err(fail("is no file".to_owned()));
    }
    let file = std::fs::File::open(path).map_err(closed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(format!("cannot be read: {}", plain(&error))))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(format!("is larger than {MAX_FILE} bytes")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(&name, &text)),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = memchr::memchr_iter(b'\n', good).count() + 1;
            Err(fail(format!("line {line} is not UTF-8")))
        }
    }
}

/// The operating system's reason without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A file next to `missing` whose name is nearly its name.
fn sibling(missing: &Path) -> Option<String> {
    let name = missing.file_name()?.to_str()?;
    let directory = missing.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(directory)
        .ok()?
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // A link that leads nowhere is there, and is no suggestion.
        .filter(|other| other.ends_with(".toml") && other != name)
        .collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

fn http(top: &mut Section<'_>, report: &mut Report<'_>, fetch: &secrets::Fetch) -> Http {
    const LISTEN: &str = "an address with a port like \"127.0.0.1:8060\"";
    const URL: &str = "a URL like \"https://baton.example.com\"";
    let mut http = Http::default();
    let Some(mut section) = top.section(report, "http") else { return http };
    if let Some(found) = section.string(report, "listen", LISTEN) {
        match found.value.parse() {
            Ok(address) => {
                http.listen = address;
                if is_exposed(http.listen.ip()) {
                    report.warn(found.span, format!("the API listens on {}, without TLS", address.ip())).help(
                        "whoever is on the way reads the token: listen on loopback, and put a proxy with TLS before it",
                    );
                }
            }
            Err(_) => {
                report
                    .error(found.span, format!("`{}` is no address with a port", found.value))
                    .expected(LISTEN);
            }
        }
    }
    if section.contains("token") {
        http.token = secret::read(&mut section, report, "token", fetch);
    } else {
        section.has("token");
    }
    if let Some(found) = section.string(report, "public_url", URL) {
        http.public_url = public_url(found.value);
        if http.public_url.is_none() {
            report
                .error(found.span, format!("`{}` is no URL of a server", found.value))
                .expected(URL)
                .help("scheme, host and port only");
        }
    }
    section.finish(report);
    http
}

/// Whether others than this machine and its own network may reach that address.
fn is_exposed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local()),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

fn public_url(text: &str) -> Option<PublicUrl> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, port) = Host::parse_with_port(rest).ok()?;
    Some(PublicUrl { text: text.into(), host, port })
}

fn log(top: &mut Section<'_>, report: &mut Report<'_>) -> Log {
    let mut log = Log::default();
    let Some(mut section) = top.section(report, "log") else { return log };
    let formats = [("logfmt", Format::Logfmt), ("json", Format::Json)];
    let levels =
        [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];
    log.style.format = section.choice(report, "format", &formats).unwrap_or_default();
    log.style.mask_numbers = section.boolean(report, "mask_numbers").unwrap_or_default();
    log.level = section.choice(report, "level", &levels).unwrap_or(log.level);
    section.finish(report);
    log
}

/// Where the state is kept if the file does not say: the first directory that systemd has made for it (`given`), else
/// [`SYSTEM_STATE`] for the system's own configuration, so that the command line finds what the service writes, else a
/// folder beside the file.
fn usual_state(base: &Path, given: Option<&OsStr>) -> PathBuf {
    let given = given.and_then(OsStr::to_str).and_then(|given| given.split(':').next()).map(Path::new);
    match given {
        Some(given) if given.is_absolute() => given.to_owned(),
        _ if is_system(base) => SYSTEM_STATE.into(),
        _ => base.join("state"),
    }
}

/// Whether that is the directory of the system's own configuration, however it is named.
pub fn is_system(directory: &Path) -> bool {
    let named = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    directory == Path::new(SYSTEM) || std::fs::canonicalize(named).is_ok_and(|real| real == Path::new(SYSTEM))
}

fn state(top: &mut Section<'_>, report: &mut Report<'_>, base: &Path) -> PathBuf {
    let usual = || usual_state(base, std::env::var_os(STATE_DIRECTORY).as_deref());
    let Some(mut section) = top.section(report, "state") else { return usual() };
    let dir = section.string(report, "dir", "a directory, relative to this file");
    if let Some(found) = &dir
        && (found.value.is_empty() || found.value.contains('\0'))
    {
        report
            .error(found.span.clone(), "`dir` is no directory")
            .expected("a directory, relative to this file");
    }
    section.finish(report);
    dir.map_or_else(usual, |found| base.join(found.value))
}

impl Configuration {
    /// What the engines get, with its serial number.
    pub fn tables(&self, serial: u64) -> Tables {
        let environments =
            self.tables.iter().map(|(id, table)| (Box::from(&**id), Arc::clone(table))).collect();
        Tables { serial, topology: self.topology.clone(), environments }
    }

    /// All files that a change of which is a reason to reload: the configuration and its tables.
    pub fn files(&self) -> Vec<PathBuf> {
        let tables = self.topology.environments().iter().map(|environment| environment.table.clone());
        std::iter::once(self.path.clone()).chain(tables).collect()
    }

    /// The keys whose change from `old` to `new` takes effect only with a restart; a reload applies all others.
    pub fn restart_needed(old: &Self, new: &Self) -> Vec<&'static str> {
        [
            ("sip.listen", old.sip.listen != new.sip.listen),
            ("sip.advertise", old.sip.advertise != new.sip.advertise),
            ("sip.workers", old.sip.workers != new.sip.workers),
            ("sip.max_calls", old.sip.max_calls != new.sip.max_calls),
            ("sip.max_duration", old.sip.max_duration != new.sip.max_duration),
            ("sip.drain", old.sip.drain != new.sip.drain),
            ("sip.session_timer", old.sip.session_timer != new.sip.session_timer),
            ("http.listen", old.http.listen != new.http.listen),
            ("http.token", old.http.token != new.http.token),
            ("http.public_url", old.http.public_url != new.http.public_url),
            ("log", old.log != new.log),
            ("state.dir", old.state_dir != new.state_dir),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_kept_where_systemd_has_made_a_place_for_it() {
        let usual = |base: &str, given: Option<&str>| usual_state(Path::new(base), given.map(OsStr::new));
        assert_eq!(usual("/etc/baton", Some("/var/lib/baton-2")), Path::new("/var/lib/baton-2"));
        assert_eq!(usual("config", Some("/var/lib/baton:/var/lib/other")), Path::new("/var/lib/baton"));
        assert_eq!(
            usual("/etc/baton", None),
            Path::new("/var/lib/baton"),
            "what the service has, the command line reads"
        );
        assert_eq!(usual("/etc/baton/", None), Path::new("/var/lib/baton"));
        assert_eq!(usual("config", None), Path::new("config/state"));
        for nothing in ["", "relative", ":"] {
            assert_eq!(usual("config", Some(nothing)), Path::new("config/state"), "{nothing:?}");
        }
    }
}
