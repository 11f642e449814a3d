//! `baton rollback`

use super::api::{Ask, Client, segment};
use super::exit::{Exit, Failure};
use super::{Global, changes};
use crate::http::change::{self, Changed};
use clap::Args;

/// Puts an earlier version of a table in force again, as a new version.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Which version [default: the one before that in force; twice in a row is there and back]
    version: Option<u64>,
    /// Whose table
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

impl Rollback {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let Rollback { version, environment, message, expect_current, dry_run, json } = self;
        let path = format!("/v1/environments/{}/rollback", segment(&environment));
        let body = change::Rollback { version, message, by: changes::who(), expect_current, dry_run };
        let changed: Changed = client.ask(Ask::Post(&path, &body), changes::WITHIN)?;
        changes::print(json, &changed)?;
        Ok(Exit::Done)
    }
}
