//! What a handoff is made of: the plan, which is checked and fixed when it is decided, and the attempt's plan, one
//! destination by one method with its headers expanded. The ladder makes further ones of the same plan.

use crate::call::given::{By, Given};
use crate::call::ids::HandoffId;
use crate::routing::profile::Profile;
use crate::routing::rules;
use crate::routing::table::{Destination, Method, Route, Table};
use crate::sip::{Field, Now};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A checked decision. Tables and variables are those of its moment, however long the ladder takes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: Arc<Table>,
    pub(crate) basis: Basis,
    /// The rules that were taken when it was decided; the handoff's view has those of its steps, too.
    pub(crate) rules: Vec<rules::Taken>,
}

/// What headers are expanded from.
#[derive(Debug)]
pub(crate) struct Basis {
    pub(crate) given: Given,
    /// What was set on the call.
    pub(crate) set: BTreeMap<Box<str>, Box<str>>,
    pub(crate) at: Now,
    pub(crate) handoff_id: HandoffId,
    pub(crate) by: By,
}

/// What one attempt is to do: move the caller to this destination by this method, with these headers.
#[derive(Clone, Debug)]
pub(crate) struct AttemptPlan {
    pub(crate) destination: Arc<Destination>,
    pub(crate) method: Method,
    /// The destination's, or the one that the decision named in its place.
    pub(crate) route: Option<Route>,
    pub(crate) fields: Vec<Field>,
    /// Whom the target sees; None: the caller.
    pub(crate) caller_id: Option<Box<str>>,
    pub(crate) profile: Profile,
}
