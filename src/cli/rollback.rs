//! `baton rollback`

use super::Global;
use super::changes::{self, Terms};
use super::exit::{Exit, Failure};
use crate::http::change;
use clap::Args;

/// Puts an earlier version of a table in force again, as a new version.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Which version [default: the one before that in force; twice in a row is there and back]
    version: Option<u64>,
    #[command(flatten)]
    terms: Terms,
}

impl Rollback {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Rollback { version, terms } = self;
        let Terms { environment, message, expect_current, dry_run, json } = terms;
        let body = change::Rollback { version, message, by: changes::who(), expect_current, dry_run };
        changes::carry_out(global, &environment, "rollback", &body, json)
    }
}
