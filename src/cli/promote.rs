//! `baton promote`

use super::api::{Ask, Client, segment};
use super::exit::{Exit, Failure};
use super::{Global, changes};
use crate::http::change::{self, Changed};
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
    /// Whose table is replaced
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// Why, for the list of versions
    #[arg(short, long, required_unless_present = "dry_run")]
    message: Option<String>,
    /// Refuse if another version than this is in force
    #[arg(long, value_name = "VERSION")]
    expect_current: Option<u64>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Promote {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let Promote { from, environment, message, expect_current, dry_run, json } = self;
        let path = format!("/v1/environments/{}/promote", segment(&environment));
        let body = change::Promote { from, message, by: changes::who(), expect_current, dry_run };
        let changed: Changed = client.ask(Ask::Post(&path, &body), changes::WITHIN)?;
        changes::print(json, &changed)?;
        Ok(Exit::Done)
    }
}
