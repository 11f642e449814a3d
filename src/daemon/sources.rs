//! Who is a trunk or an agent where the configuration does not say it by an address. A name: `accept_from` is then what
//! `address` resolves to, asked at the start, on reload and again now and then; a name that does not resolve keeps its
//! last answer. A rehearsal agent: it is where this process opened a socket for it.

use crate::net::resolve::addresses;
use crate::observe::line::{Line, Sink};
use crate::rehearsal::{Agents, Script, Scripts};
use crate::routing::Tables;
use crate::routing::address::Host;
use crate::routing::topology::Topology;
use hickory_resolver::TokioResolver;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// The latest answers.
pub struct Sources {
    dns: TokioResolver,
    known: HashMap<String, Vec<IpAddr>>,
    rehearsals: Arc<Agents>,
    log: Sink,
}

impl Sources {
    /// Nothing is known yet.
    pub fn new(dns: TokioResolver, rehearsals: Arc<Agents>, log: Sink) -> Sources {
        Sources { dns, known: HashMap::new(), rehearsals, log }
    }

    /// Asks for every name of `topology` that stands for sources; true if an answer differs from the one before.
    pub async fn refresh(&mut self, topology: &Topology) -> bool {
        let names: BTreeSet<String> = topology
            .unresolved()
            .filter_map(|address| match &address.host {
                Host::Name(name) => Some(name.to_string()),
                Host::Ip(_) => None,
            })
            .collect();
        self.known.retain(|name, _| names.contains(name));
        let mut lookups = JoinSet::new();
        for name in names {
            let dns = self.dns.clone();
            lookups.spawn(async move {
                let found = addresses(&dns, &name).await;
                (name, found)
            });
        }
        let mut changed = false;
        while let Some(joined) = lookups.join_next().await {
            let Ok((name, found)) = joined else { continue };
            match found {
                Ok(mut found) => {
                    found.sort_unstable();
                    let before = self.known.insert(name, found.clone());
                    changed |= before.as_ref() != Some(&found);
                }
                Err(reason) => (self.log)(
                    Line::warn("source.unresolved")
                        .text("name", name)
                        .text("reason", reason)
                        .text("hint", "calls from it are not recognised; set accept_from, or mend the name"),
                ),
            }
        }
        changed
    }

    /// Puts the answers into the topology of these tables, and has the rehearsal agents do what they say.
    pub fn apply(&self, tables: &mut Tables) {
        if let Some(at) = self.rehearsals.play(scripts(tables)) {
            tables.topology = tables.topology.with_rehearsals_at(at);
        }
        let (resolved, overlaps) = tables.topology.with_resolved(|address| match &address.host {
            Host::Name(name) => self.known.get(&**name).cloned().unwrap_or_default(),
            Host::Ip(_) => Vec::new(),
        });
        for overlap in overlaps {
            (self.log)(
                Line::warn("source.ambiguous")
                    .text("net", overlap.net.to_string())
                    .text("taken_for", &*overlap.first)
                    .text("not_for", &*overlap.second)
                    .text("hint", "two trunks resolve to the same address; tell them apart by accept_from"),
            );
        }
        tables.topology = resolved;
    }
}

/// What each rehearsal agent does.
fn scripts(tables: &Tables) -> Scripts {
    let agents = tables.topology.agents().iter();
    let scripts = agents.filter_map(|agent| {
        let rehearsal = agent.rehearsal.as_ref()?;
        let table = tables.environments.get(&*agent.environment);
        let destinations = || table.into_iter().flat_map(|table| table.destinations.values());
        let script = Script {
            destination: rehearsal.destination.to_string(),
            after: rehearsal.after,
            briefed: destinations().filter(|to| to.brief).map(|to| to.id.to_string()).collect(),
        };
        Some((agent.id.to_string(), script))
    });
    scripts.collect()
}
