//! `/v1/environments/{env}/versions` and `…/diff`: which states a table was in, and what differs between two of them.

use super::Api;
use super::body::{Query, Segment, Segments};
use super::calls::Page;
use super::problem::Problem;
use crate::routing::diff::Diff;
use crate::routing::document::Document;
use crate::routing::table::Table;
use crate::store::versions::{Unavailable, Version, Versions};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Versions on one page.
const PAGE: usize = 100;

/// A version as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Whose table.
    pub environment: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub version: Version,
    /// Whether decisions are made by it now.
    pub in_force: bool,
    /// The whole text of the file, where one version is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Whose table.
    pub environment: String,
    /// Counted from 1 for each environment.
    pub version: u64,
    /// SHA-256 of its text.
    pub hash: String,
}

/// Two versions compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The earlier side.
    pub from: Side,
    /// The later one.
    pub to: Side,
    /// Whether their texts are the same; where not and nothing differs, comments or layout do.
    pub same_text: bool,
    /// What differs.
    #[serde(flatten)]
    pub diff: Diff,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sides {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /v1/environments/{env}/versions`: the newest first.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<VersionView>>, Problem> {
    let current = api.in_force(&environment)?;
    let limit = paging.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("expected a number from 1 to {PAGE}")));
    }
    let below = paging.cursor.as_deref().map(str::parse).transpose();
    let below =
        below.map_err(|_| Problem::field("cursor", "expected the `next_cursor` of an earlier page"))?;
    let of = environment.clone();
    let versions = api.ask_versions(move |versions| versions.list(&of, below, limit)).await?;
    // Number 1 is the first that there ever was.
    let last = versions.last().map_or(1, |version| version.number);
    let next_cursor = (versions.len() == limit && last > 1).then(|| last.to_string());
    let view = |version: Version| {
        let in_force = version.number == current;
        VersionView { environment: environment.clone(), version, in_force, text: None }
    };
    Ok(axum::Json(Page { data: versions.into_iter().map(view).collect(), next_cursor }))
}

/// `GET /v1/environments/{env}/versions/{version}`: one with its text.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Segments(environment, number): Segments,
) -> Result<axum::Json<VersionView>, Problem> {
    let current = api.in_force(&environment)?;
    let number: u64 = number.parse().map_err(|_| no_version(&environment, &number))?;
    let of = environment.clone();
    let found = api.ask_versions(move |versions| find(versions, &of, number)).await?;
    let (version, text) = found.ok_or_else(|| no_version(&environment, &number.to_string()))?;
    let in_force = version.number == current;
    Ok(axum::Json(VersionView { environment, version, in_force, text: Some(text) }))
}

/// `GET /v1/environments/{env}/diff?from=&to=`
///
/// A side is a version of this environment (`7`), another environment (`sandbox`, its version in force) or a version of it
/// (`sandbox:4`). `to` is the version in force where it is not said. `from` is then the version before `to`; where `to` is
/// another environment, the version in force of this one. Where neither is said and nothing was before the version in force,
/// it is compared with that of the other environment, if there is only one.
pub(super) async fn diff(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
    Query(sides): Query<Sides>,
) -> Result<axum::Json<Compared>, Problem> {
    let mut to = api.side(&environment, sides.to.as_deref().unwrap_or(&environment))?;
    let from = match &sides.from {
        Some(from) => api.side(&environment, from)?,
        None if to.environment != environment => api.side(&environment, &environment)?,
        None => {
            let (of, number) = (to.environment.clone(), to.version);
            let before = api.ask_versions(move |versions| versions.before(&of, number)).await?;
            match (before, api.other_environment(&environment).filter(|_| sides.to.is_none())) {
                (Some(before), _) => Wanted { environment: environment.clone(), version: before.number },
                // Nothing has been changed yet: what could be promoted is what there is to compare.
                (None, Some(other)) => std::mem::replace(&mut to, api.side(&environment, &other)?),
                (None, None) => return Err(no_version(&environment, &format!("before {number}"))),
            }
        }
    };
    let (of_from, of_to) = (from.clone(), to.clone());
    let texts = api
        .ask_versions(move |versions| {
            let of = |wanted: &Wanted| find(versions, &wanted.environment, wanted.version);
            Ok((of(&of_from)?, of(&of_to)?))
        })
        .await?;
    let there = |found: Option<(Version, String)>, wanted: &Wanted| {
        found.ok_or_else(|| no_version(&wanted.environment, &wanted.version.to_string()))
    };
    let (earlier, later) = (there(texts.0, &from)?, there(texts.1, &to)?);
    let read = |text: &str| {
        Document::read(text).map_err(|error| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "fault",
                format!("a version is no table: {error}"),
            )
        })
    };
    // What never goes from one to the other is no difference.
    let mut sides = (read(&earlier.1)?, read(&later.1)?);
    if from.environment != to.environment {
        sides = (sides.0.for_environment(&to.environment), sides.1.for_environment(&from.environment));
    }
    let diff = Diff::between(&sides.0, &sides.1);
    let same_text = earlier.0.hash == later.0.hash;
    let side = |wanted: Wanted, version: Version| Side {
        environment: wanted.environment,
        version: wanted.version,
        hash: version.hash,
    };
    Ok(axum::Json(Compared { from: side(from, earlier.0), to: side(to, later.0), same_text, diff }))
}

/// A version that is asked for.
#[derive(Clone)]
struct Wanted {
    environment: String,
    version: u64,
}

fn find(
    versions: &Versions,
    environment: &str,
    number: u64,
) -> Result<Option<(Version, String)>, Unavailable> {
    let Some(version) = versions.find(environment, number)? else { return Ok(None) };
    let text = versions.text(&version)?;
    Ok(Some((version, text)))
}

fn no_version(environment: &str, which: &str) -> Problem {
    let detail = format!("`{environment}` has no version {which}, or it is not kept any more");
    Problem::new(StatusCode::NOT_FOUND, "no_version", detail)
}

impl Api {
    /// The number of the version in force.
    fn in_force(&self, environment: &str) -> Result<u64, Problem> {
        let tables = Arc::clone(&self.tables.borrow());
        let number = |table: &Arc<Table>| table.version;
        tables
            .table(environment)
            .map(number)
            .ok_or_else(|| Problem::no_environment(tables.no_environment(environment)))
    }

    /// The one other environment that there is.
    fn other_environment(&self, environment: &str) -> Option<String> {
        let tables = Arc::clone(&self.tables.borrow());
        let mut others = tables.environments.keys().filter(|id| ***id != *environment);
        let other = others.next().map(ToString::to_string);
        other.filter(|_| others.next().is_none())
    }

    /// What a side of a comparison means.
    fn side(&self, environment: &str, text: &str) -> Result<Wanted, Problem> {
        let number = |text: &str| text.parse::<u64>().ok();
        let (environment, version) = match (number(text), text.rsplit_once(':')) {
            (Some(version), _) => (environment, version),
            (None, Some((of, version))) => {
                let wrong =
                    || Problem::field("diff", "expected a version, an environment, or both as `sandbox:4`");
                self.in_force(of)?;
                (of, number(version).ok_or_else(wrong)?)
            }
            (None, None) => (text, self.in_force(text)?),
        };
        Ok(Wanted { environment: environment.to_owned(), version })
    }

    /// Asks the versions, beside the tasks that must not wait for a disk.
    async fn ask_versions<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Versions) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Problem> {
        let versions = Arc::clone(&self.versions);
        match tokio::task::spawn_blocking(move || ask(&versions)).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => {
                let detail = format!("the versions were not read: {error}");
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail))
            }
        }
    }
}
