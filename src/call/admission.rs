//! Whether an INVITE becomes a call: from a trunk, to a number that an agent has, within the limits.

use super::counters::RefusalKind;
use crate::routing::Tables;
use crate::routing::select::by_id;
use crate::routing::topology::{Agent, CalledFrom, Trunk};
use crate::sip::identity::Local;
use crate::sip::{Flow, identity};
use crate::wire::Message;
use std::sync::Arc;

/// A call that may begin.
pub(crate) struct Admitted {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) agent: Arc<Agent>,
    /// As it stood in the INVITE.
    pub(crate) called: Box<str>,
}

/// An INVITE that is refused.
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// Id of the trunk, for the log.
    pub(crate) trunk: Box<str>,
    pub(crate) why: String,
    pub(crate) kind: RefusalKind,
    /// For 503.
    pub(crate) retry_after: bool,
}

/// How full it is, over all shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) max_calls: usize,
    pub(crate) draining: bool,
}

/// There is no room for one more call.
pub(crate) fn overload(trunk: &Trunk, calls: usize) -> Refused {
    not_now(trunk, RefusalKind::Overload, format!("{calls} calls are up, which is max_calls"))
}

/// A call that may come again later.
fn not_now(trunk: &Trunk, kind: RefusalKind, why: String) -> Refused {
    Refused { status: 503, trunk: (&*trunk.id).into(), why, kind, retry_after: true }
}

/// A call that nobody is there for.
fn no_agent(trunk: &Trunk, why: String) -> Refused {
    Refused { status: 404, trunk: (&*trunk.id).into(), why, kind: RefusalKind::NoAgent, retry_after: false }
}

/// Decides about a new INVITE.
pub(crate) fn admit(
    tables: &Tables,
    load: Load,
    flow: Flow,
    invite: &Message<'_>,
) -> Result<Admitted, Refused> {
    let topology = &tables.topology;
    let Some(trunk) = topology.trunk_at(flow.peer.ip()) else {
        let why = "an agent's address is no trunk: calls come from trunks".into();
        return Err(Refused {
            status: 403,
            trunk: "".into(),
            why,
            kind: RefusalKind::NoAgent,
            retry_after: false,
        });
    };
    if load.draining {
        return Err(not_now(trunk, RefusalKind::Draining, "draining: no new calls".into()));
    }
    if load.calls >= load.max_calls {
        return Err(overload(trunk, load.calls));
    }
    let Some(called) = called(trunk, invite) else {
        return Err(no_agent(trunk, "the INVITE names no called number".into()));
    };
    match topology.agent_for(trunk, &called) {
        Some(agent) if let Some(why) = nothing_to_rehearse(tables, agent, &called) => {
            Err(no_agent(trunk, why))
        }
        Some(agent) => Ok(Admitted { trunk: Arc::clone(trunk), agent: Arc::clone(agent), called }),
        None => Err(no_agent(trunk, format!("no agent has the number {called}"))),
    }
}

/// Why a rehearsal agent has nothing to do for who called this.
fn nothing_to_rehearse(tables: &Tables, agent: &Agent, called: &str) -> Option<String> {
    let id = agent.rehearses(called)?;
    let table = tables.table(&agent.environment)?;
    by_id(table, Some(id)).err().map(|none| format!("{none} ({called})"))
}

/// The called number of an INVITE, where the trunk says that it stands.
fn called(trunk: &Trunk, message: &Message<'_>) -> Option<Box<str>> {
    match trunk.called_from {
        CalledFrom::RequestUri => identity::called_by_request_uri(message, local(trunk)),
        CalledFrom::To => identity::called_by_to(message, local(trunk)),
        CalledFrom::PCalledPartyId => identity::called_by_party_id(message, local(trunk)),
    }
}

/// A trunk's country knows better which digits its numbers begin with.
pub(crate) fn local(trunk: &Trunk) -> Local {
    if trunk.country.is_some() { Local::AsWritten } else { Local::ByContext }
}
