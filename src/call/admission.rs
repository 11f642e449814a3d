//! Whether an INVITE becomes a call: from a trunk, to a number that an agent has, within the limits.

use super::facts::called;
use crate::observe::counters::REFUSALS;
use crate::routing::Tables;
use crate::routing::topology::{Agent, Trunk};
use crate::sip::Flow;
use crate::wire::Message;
use std::sync::Arc;

/// A call that may begin.
pub(crate) struct Admitted {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) called: Box<str>,
}

/// An INVITE that is refused.
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// Id of the trunk, for the log.
    pub(crate) trunk: Box<str>,
    pub(crate) why: String,
    /// Index into [`REFUSALS`].
    pub(crate) kind: usize,
    /// For 503.
    pub(crate) retry_after: bool,
}

/// How full the engine is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) max_calls: usize,
    pub(crate) draining: bool,
}

fn kind(name: &str) -> usize {
    REFUSALS.iter().position(|known| *known == name).unwrap_or(0)
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
            kind: kind("no_agent"),
            retry_after: false,
        });
    };
    let refused = |status, why: String, name, retry_after| Refused {
        status,
        trunk: (&*trunk.id).into(),
        why,
        kind: kind(name),
        retry_after,
    };
    if load.draining {
        return Err(refused(503, "draining: no new calls".into(), "draining", true));
    }
    if load.calls >= load.max_calls {
        return Err(refused(
            503,
            format!("{} calls are up, which is max_calls", load.calls),
            "overload",
            true,
        ));
    }
    let Some(called) = called(trunk, invite) else {
        return Err(refused(404, "the INVITE names no called number".into(), "no_agent", false));
    };
    match topology.agent_for(trunk, &called) {
        Some(agent) => Ok(Admitted { trunk: Arc::clone(trunk), agent: Arc::clone(agent), called }),
        None => Err(refused(404, format!("no agent has the number {called}"), "no_agent", false)),
    }
}
