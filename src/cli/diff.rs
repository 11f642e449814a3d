//! `baton diff`

use super::api::{Client, segment};
use super::exit::{Exit, Failure};
use super::{Global, changes, page};
use crate::http::versions::{Compared, Side};
use clap::Args;

/// Compares two states of a table, by destination and key.
///
/// A side is a version (7), an environment (sandbox: the version in force there), or both (sandbox:4).
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Whose table
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// The earlier side [default: the version before --to; with another environment as --to, the version in force]
    #[arg(long, value_name = "SIDE")]
    from: Option<String>,
    /// The later side [default: the version in force; where there was none before, the other environment]
    #[arg(long, value_name = "SIDE")]
    to: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let sides: Vec<String> = [("from", &self.from), ("to", &self.to)]
            .into_iter()
            .filter_map(|(name, side)| side.as_ref().map(|side| format!("{name}={}", segment(side))))
            .collect();
        let path = format!("/v1/environments/{}/diff?{}", segment(&self.environment), sides.join("&"));
        let compared: Compared = client.get(&path)?;
        if self.json {
            page::json(&compared)?;
        } else {
            page::print(&show(&compared))?;
        }
        Ok(Exit::Done)
    }
}

fn show(compared: &Compared) -> String {
    let side = |side: &Side| format!("{} version {}", side.environment, side.version);
    let head = format!("{} to {}\n", side(&compared.from), side(&compared.to));
    match (compared.same_text, compared.diff.is_empty()) {
        (true, _) => format!("{head}the same text\n"),
        (false, true) => format!("{head}only comments or layout differ\n"),
        (false, false) => format!("{head}\n{}", changes::diff(&page::sheet(), &compared.diff)),
    }
}
