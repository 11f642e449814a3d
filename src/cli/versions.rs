//! `baton versions`

use super::api::{Client, segment};
use super::exit::{Exit, Failure};
use super::page::{Table, or_dash};
use super::{Global, page};
use crate::http::Page;
use crate::http::versions::VersionView;
use crate::store::versions::Origin;
use clap::Args;

/// Versions that are shown where nobody asks for more.
const SHOWN: usize = 20;
/// The most that the API gives at once.
const PAGE: usize = 100;

/// Lists the versions of a table, the newest first.
#[derive(Debug, Args)]
pub(super) struct Versions {
    /// One version with its text
    version: Option<u64>,
    /// Whose table
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = SHOWN, conflicts_with = "version")]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Versions {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let path = format!("/v1/environments/{}/versions", segment(&self.environment));
        if let Some(number) = self.version {
            let version: VersionView = client.get(&format!("{path}/{number}"))?;
            if self.json {
                page::json(&version)?;
            } else {
                // The text as it is in the file, so that it can be put into one.
                page::print(version.text.as_deref().unwrap_or_default())?;
            }
            return Ok(Exit::Done);
        }
        let mut all = Page { data: Vec::new(), next_cursor: None };
        while all.data.len() < self.limit {
            let limit = (self.limit - all.data.len()).min(PAGE);
            let after =
                all.next_cursor.take().map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
            let next: Page<VersionView> = client.get(&format!("{path}?limit={limit}{after}"))?;
            all.data.extend(next.data);
            all.next_cursor = next.next_cursor;
            if all.next_cursor.is_none() {
                break;
            }
        }
        if self.json {
            page::json(&all)?;
        } else {
            page::print(&show(&all))?;
        }
        Ok(Exit::Done)
    }
}

fn show(versions: &Page<VersionView>) -> String {
    let mut table = Table::new(&["VERSION", "WHEN", "BY", "WHAT", "MESSAGE"]);
    for VersionView { version, in_force, .. } in &versions.data {
        let mark = if *in_force { " *" } else { "" };
        let what = match &version.origin {
            Origin::File => "file".to_owned(),
            Origin::Edit { destination } => format!("edit of {destination}"),
            Origin::Promote { environment, version } => format!("promotion of {environment} {version}"),
            Origin::Rollback { version } => format!("rollback to {version}"),
        };
        table.row(vec![
            format!("{}{mark}", version.number),
            version.at.to_string(),
            version.by.clone(),
            what,
            or_dash(version.message.as_deref()),
        ]);
    }
    let more = if versions.next_cursor.is_some() { "; there are more (--limit)" } else { "" };
    format!("{}\n* is in force{more}\n", table.show())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Stamp;
    use crate::sip::UnixMillis;
    use crate::store::versions::Version;

    #[test]
    fn a_row_for_each_version() {
        let view = |number, by: &str, message: Option<&str>, origin| {
            let message = message.map(str::to_owned);
            let at = Stamp(UnixMillis(0));
            let version =
                Version { number, at, by: by.to_owned(), message, origin, hash: String::new(), bytes: 0 };
            VersionView { environment: "production".to_owned(), version, in_force: number == 3, text: None }
        };
        let promoted = Origin::Promote { environment: "sandbox".to_owned(), version: 7 };
        let data = vec![
            view(3, "ann", Some("a new number"), promoted),
            view(2, "api", None, Origin::Edit { destination: "front-desk".to_owned() }),
            view(1, "file", None, Origin::File),
        ];
        assert_eq!(
            show(&Page { data, next_cursor: None }),
            "\
VERSION  WHEN                      BY    WHAT                    MESSAGE
3 *      1970-01-01T00:00:00.000Z  ann   promotion of sandbox 7  a new number
2        1970-01-01T00:00:00.000Z  api   edit of front-desk      -
1        1970-01-01T00:00:00.000Z  file  file                    -

* is in force
"
        );
    }
}
