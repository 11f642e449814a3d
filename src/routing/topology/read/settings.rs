//! Reads `[sip]`.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeValue;

use super::{DAY, SHORTEST};
use crate::routing::address::Host;
use crate::routing::duration;
use crate::routing::file::{At, Report, Section, with_article};
use crate::routing::topology::{Advertise, Advertised, Listener, SessionTimer, Settings};
use crate::sip::Transport;

/// The shortest session that may be asked for (RFC 4028 §5).
const SHORTEST_SESSION: Duration = Duration::from_secs(90);

const LISTENER_FORM: &str = "transport:address:port, like \"udp:0.0.0.0:5060\" or \"tcp:[::]:5060\"";

/// Reads `[sip]`. Without it, and for every key that is absent, the defaults.
pub fn settings(top: &mut Section<'_>, report: &mut Report<'_>) -> Settings {
    let mut settings = Settings::default();
    let Some(mut section) = top.section(report, "sip") else { return settings };
    if let Some(list) =
        section.strings(report, "listen", "a list like [\"udp:0.0.0.0:5060\", \"tcp:0.0.0.0:5060\"]")
    {
        settings.listen = listeners(&list, report);
        if list.is_empty() {
            report
                .error(section.key_span("listen"), "an empty `listen` serves nobody")
                .expected(LISTENER_FORM);
        }
    }
    settings.advertise = advertise(&mut section, report, &settings.listen);
    if let Some(workers) = section.number(report, "workers", 0..257) {
        settings.workers = u16::try_from(workers).unwrap_or(u16::MAX);
    }
    settings.max_calls = section.number(report, "max_calls", 1..1_000_001).unwrap_or(settings.max_calls);
    settings.max_duration =
        section.duration(report, "max_duration", SHORTEST, DAY * 30).unwrap_or(settings.max_duration);
    settings.drain = section.duration(report, "drain", Duration::ZERO, DAY).unwrap_or(settings.drain);
    section.refuse(report, "tls", "remove it; Baton has udp and tcp for now");
    settings.session_timer = session_timer(&mut section, report);
    section.finish(report);
    settings
}

/// `session_timer`: a table, or `false` for none.
fn session_timer(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<SessionTimer> {
    let default = SessionTimer::default();
    let Some(found) = section.take("session_timer") else { return Some(default) };
    if found.value.as_bool() == Some(false) {
        return None;
    }
    if found.value.as_table().is_none() {
        report
            .error(found.span, format!("`session_timer` is {} in [sip]", with_article(found.value)))
            .expected("a table like { expires = \"1800s\", min_se = \"90s\" }, or `false` for none");
        return Some(default);
    }
    let mut table = section.section(report, "session_timer")?;
    let mut seconds = |key| {
        let value = table.duration(report, key, SHORTEST_SESSION, DAY)?;
        if value.subsec_nanos() > 0 {
            report
                .error(table.key_span(key), format!("`{key}` is no whole number of seconds"))
                .expected("seconds, which is what goes on the wire");
        }
        Some(value)
    };
    let expires = seconds("expires");
    let min_se = seconds("min_se").unwrap_or(default.min_se);
    let is_told = expires.is_none() && table.contains("expires");
    let expires = expires.unwrap_or(default.expires);
    if min_se > expires && !is_told {
        report
            .error(table.key_span("min_se"), "`min_se` is longer than `expires`")
            .expected(format!("at most `expires`, which is \"{}\"", duration::format(expires)));
    }
    table.finish(report);
    Some(SessionTimer { expires, min_se })
}

impl Default for Settings {
    fn default() -> Self {
        let any = SocketAddr::from(([0, 0, 0, 0], 5060));
        Self {
            listen: vec![
                Listener { transport: Transport::Udp, address: any },
                Listener { transport: Transport::Tcp, address: any },
            ],
            advertise: Advertise::Local,
            workers: 0,
            max_calls: 20_000,
            max_duration: Duration::from_secs(4 * 3600),
            drain: Duration::from_secs(25),
            session_timer: Some(SessionTimer::default()),
        }
    }
}

fn listeners(list: &[At<&str>], report: &mut Report<'_>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in list {
        let Some(listener) = listener(entry, report) else { continue };
        // Port 0 is a new port each time, so two of them are two listeners.
        if listener.address.port() != 0 && listeners.contains(&listener) {
            report.error(entry.span.clone(), format!("`{}` is there twice", entry.value));
        } else {
            listeners.push(listener);
        }
    }
    listeners
}

fn listener(entry: &At<&str>, report: &mut Report<'_>) -> Option<Listener> {
    let (transport, address) = entry.value.split_once(':').unwrap_or((entry.value, ""));
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" | "ws" | "wss" => {
            report
                .error(entry.span.clone(), format!("listening on {transport} is not carried out yet"))
                .expected(LISTENER_FORM)
                .help("remove this listener");
            return None;
        }
        other => {
            report
                .error(entry.span.clone(), format!("`{other}` is no transport"))
                .expected(LISTENER_FORM)
                .nearest(other, ["udp", "tcp"]);
            return None;
        }
    };
    match address.parse() {
        Ok(address) => Some(Listener { transport, address }),
        Err(_) => {
            report
                .error(entry.span.clone(), format!("`{address}` is no address with a port"))
                .expected(LISTENER_FORM);
            None
        }
    }
}

fn advertise(section: &mut Section<'_>, report: &mut Report<'_>, listen: &[Listener]) -> Advertise {
    const FORM: &str = "a host or host:port like \"203.0.113.10\", or a table of them by listener";
    let Some(found) = section.take("advertise") else { return Advertise::Local };
    match found.value {
        DeValue::String(text) => advertised(&At { value: text.as_ref(), span: found.span }, report)
            .map_or(Advertise::Local, Advertise::All),
        DeValue::Table(_) => {
            let Some(table) = section.section(report, "advertise") else { return Advertise::Local };
            let mut entries = Vec::new();
            for (name, value) in table.entries() {
                let Some(listener) = listener(&name, report) else { continue };
                if !listen.contains(&listener) {
                    report
                        .error(name.span, format!("`{}` is no listener", name.value))
                        .expected("one of those in `listen`, written as there");
                    continue;
                }
                match value.value.as_str() {
                    Some(text) => {
                        let host = advertised(&At { value: text, span: value.span }, report);
                        entries.extend(host.map(|host| (listener, host)));
                    }
                    None => {
                        let message = format!("`{}` is {}", name.value, with_article(value.value));
                        report.error(value.span, message).expected(FORM);
                    }
                }
            }
            Advertise::ByListener(entries)
        }
        other => {
            report.error(found.span, format!("`advertise` is {}", with_article(other))).expected(FORM);
            Advertise::Local
        }
    }
}

fn advertised(found: &At<&str>, report: &mut Report<'_>) -> Option<Advertised> {
    const FORM: &str = "a host or host:port like \"203.0.113.10\"; an IPv6 address in brackets";
    match Host::parse_with_port(found.value) {
        Ok((Host::Ip(ip), _)) if ip.is_unspecified() => {
            report
                .error(found.span.clone(), format!("nobody can reach `{}`", found.value))
                .expected(FORM)
                .help("remove it to advertise the local address that reaches the peer");
            None
        }
        Ok((host, port)) => Some(Advertised { host, port }),
        Err(error) => {
            report.error(found.span.clone(), format!("`advertise`: {error}")).expected(FORM);
            None
        }
    }
}
