//! Who is who to the stack: each trunk and agent has an index there, by which its legs name it. Indexes stay what they are
//! over reloads: legs hold them.

use super::admission::{self, Load};
use crate::routing::Id;
use crate::routing::Tables;
use crate::routing::topology::{Agent, Auth, Trunk};
use crate::sip::Flow;
use crate::sip::door::{Neighbours, Party};
use crate::sip::stack::Credentials;
use crate::wire::Message;
use std::net::IpAddr;
use std::sync::Arc;

/// Numbers trunks and agents for the stack; a number stays over reloads.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    parties: Vec<(Name, Party)>,
}

/// Whom a leg belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Trunk(Id),
    Agent(Id),
}

impl Roster {
    /// Takes up what a set of tables says; parties that are gone keep what they had for the legs that are still theirs.
    pub(crate) fn adopt(&mut self, tables: &Tables) -> Vec<Party> {
        for trunk in tables.topology.trunks() {
            let credentials = trunk.auth.as_ref().map(credentials);
            self.set(Name::Trunk(Arc::clone(&trunk.id)), Party { credentials, in_dialog: trunk.in_dialog });
        }
        for agent in tables.topology.agents() {
            let party = Party { credentials: None, in_dialog: agent.in_dialog };
            self.set(Name::Agent(Arc::clone(&agent.id)), party);
        }
        self.parties.iter().map(|(_, party)| party.clone()).collect()
    }

    fn set(&mut self, name: Name, party: Party) {
        match self.parties.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = party,
            None => self.parties.push((name, party)),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parties.len()
    }

    /// The index of a trunk.
    pub(crate) fn trunk(&self, trunk: &Trunk) -> Option<u16> {
        self.index(|name| matches!(name, Name::Trunk(id) if *id == trunk.id))
    }

    /// The index of an agent.
    pub(crate) fn agent(&self, agent: &Agent) -> Option<u16> {
        self.index(|name| matches!(name, Name::Agent(id) if *id == agent.id))
    }

    fn index(&self, is: impl Fn(&Name) -> bool) -> Option<u16> {
        u16::try_from(self.parties.iter().position(|(name, _)| is(name))?).ok()
    }

    /// Whom that index stands for.
    pub(crate) fn name(&self, party: u16) -> Option<&Name> {
        self.parties.get(usize::from(party)).map(|(name, _)| name)
    }
}

fn credentials(auth: &Auth) -> Credentials {
    Credentials {
        username: auth.username.clone(),
        password: auth.password.clone(),
        realm: auth.realm.as_deref().map(|realm| realm.as_bytes().into()),
    }
}

impl Name {
    /// As the section of the configuration is headed.
    pub(crate) fn section(&self) -> String {
        match self {
            Name::Trunk(id) => format!("[trunk.{id}]"),
            Name::Agent(id) => format!("[agent.{id}]"),
        }
    }
}

/// What the configuration knows of addresses.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) roster: &'a Roster,
    /// New calls that would be refused are turned away at once, by this load.
    pub(crate) pressed: Option<Load>,
}

impl Neighbours for Known<'_> {
    fn knows(&self, address: IpAddr) -> bool {
        self.tables.topology.knows(address)
    }

    fn is_of(&self, party: u16, address: IpAddr) -> bool {
        match self.roster.name(party) {
            Some(Name::Trunk(id)) => {
                self.tables.topology.trunk_at(address).is_some_and(|trunk| trunk.id == *id)
            }
            Some(Name::Agent(id)) => self.tables.topology.agents_at(address).any(|agent| agent.id == *id),
            None => false,
        }
    }

    fn party_at(&self, address: IpAddr) -> Option<u16> {
        match self.tables.topology.trunk_at(address) {
            Some(trunk) => self.roster.trunk(trunk),
            None => self.roster.agent(self.tables.topology.agents_at(address).next()?),
        }
    }

    fn turns_away(&self, flow: Flow, invite: &Message<'_>) -> Option<u16> {
        let load = self.pressed?;
        admission::admit(self.tables, load, flow, invite).err().map(|refused| refused.status)
    }
}
