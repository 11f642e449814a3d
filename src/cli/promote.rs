//! `baton promote`

use super::Global;
use super::changes::{self, Terms};
use super::exit::{Exit, Failure};
use crate::http::change;
use clap::Args;

/// Puts the table of another environment in force in this one.
///
/// It is read as this environment's table first, and refused where it has a fault. Handoffs that run end by what they began
/// with; `baton rollback` takes it back.
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The environment whose table is taken: where the change was tried
    #[arg(long, value_name = "ENVIRONMENT")]
    from: String,
    #[command(flatten)]
    terms: Terms,
}

impl Promote {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Promote { from, terms } = self;
        let Terms { environment, message, expect_current, dry_run, json } = terms;
        let body = change::Promote { from, message, by: changes::who(), expect_current, dry_run };
        changes::carry_out(global, &environment, "promote", &body, json)
    }
}
