//! `baton check`

use super::exit::{Exit, Failure};
use super::{Global, page};
use crate::daemon::configuration::{Configuration, load};
use clap::{Args, ValueEnum};
use serde_json::json;

/// Checks the configuration and its tables.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Print the JSON Schemas of both files, or that of one, for editors
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "both", conflicts_with_all = ["strict", "json"])]
    schema: Option<Which>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whose schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// That of baton.toml
    Baton,
    /// That of a table
    Destinations,
    /// Both, as one object
    Both,
}

impl Which {
    /// The schemas are files of the source, which editors of the shipped configuration read there.
    fn schema(self) -> String {
        let (baton, destinations) = (
            include_str!("../../config/schema/baton.json"),
            include_str!("../../config/schema/destinations.json"),
        );
        match self {
            Which::Baton => baton.to_owned(),
            Which::Destinations => destinations.to_owned(),
            Which::Both => {
                format!(
                    "{{\n\"baton\": {},\n\"destinations\": {}\n}}\n",
                    baton.trim_end(),
                    destinations.trim_end()
                )
            }
        }
    }
}

impl Check {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        if let Some(which) = self.schema {
            page::print(&which.schema())?;
            return Ok(Exit::Done);
        }
        let path = match global.path() {
            Ok(path) => path,
            Err(failure) if !self.json => return Err(failure),
            Err(failure) => {
                page::json(&json!({ "valid": false, "diagnostics": [{ "message": failure.message }] }))?;
                return Ok(failure.exit);
            }
        };
        let loaded = load(&path);
        let (errors, all) = (loaded.errors(), loaded.diagnostics.len());
        let valid = errors == 0 && !(self.strict && all > 0);
        if self.json {
            page::json(&json!({ "valid": valid, "diagnostics": loaded.diagnostics }))?;
        } else {
            for diagnostic in &loaded.diagnostics {
                page::print(&format!("{diagnostic}\n\n"))?;
            }
            let path = path.display().to_string();
            page::print(&summary(&path, loaded.configuration.as_ref().filter(|_| valid), errors, all))?;
        }
        Ok(if valid { Exit::Done } else { Exit::Configuration })
    }
}

fn summary(path: &str, configuration: Option<&Configuration>, errors: usize, all: usize) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let warnings = count(all - errors, "warning");
    let Some(configuration) = configuration else {
        return format!("{path}: {}, {warnings}\n", count(errors, "error"));
    };
    let topology = &configuration.topology;
    let destinations = configuration.tables.values().map(|table| table.destinations.len()).sum();
    format!(
        "{path}: valid; {}, {}, {}, {}; {warnings}\n",
        count(topology.trunks().len(), "trunk"),
        count(topology.agents().len(), "agent"),
        count(topology.environments().len(), "environment"),
        count(destinations, "destination"),
    )
}
