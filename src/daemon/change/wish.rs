//! The text that a change asks for, and where it comes from.

use super::edit::{self, EditError};
use super::*;
use crate::call::command::Refusal;
use crate::http::destinations::Condition;

/// The text that one change asks for.
pub(super) struct Wish {
    /// Named after what the places of its faults are to be looked up in.
    pub(super) source: Source,
    pub(super) origin: Origin,
    /// For a `PUT`: which destination, and whether it is new.
    put: Option<(String, bool)>,
    /// The destinations of the other environment that stay there.
    pub(super) left_behind: Vec<String>,
}

impl Wish {
    /// What a `PUT` is answered with.
    pub(super) fn put(&self, table: &Table) -> Result<Option<Put>, ChangeError> {
        let Some((id, created)) = &self.put else { return Ok(None) };
        let document = Document::read(&table.text).map_err(|error| no_document(&error))?;
        let view = destinations::view(table, &document, id);
        let view = view.ok_or_else(|| ChangeError::Fault(format!("`{id}` was put and is not there")))?;
        Ok(Some(Put { created: *created, etag: destinations::etag(&view), view }))
    }
}

impl Reloader {
    pub(super) async fn wish(
        &mut self,
        environment: &Id,
        change: &Change,
        watch: &mut FileWatch,
    ) -> Result<Wish, ChangeError> {
        match &change.what {
            What::Promote { from } => self.promotion(environment, from, watch).await,
            What::Rollback { version } => self.rollback(environment, *version).await,
            What::Put { .. } | What::Delete { .. } => self.edit(environment, &change.what),
        }
    }

    /// The text in force of another environment.
    async fn promotion(
        &mut self,
        environment: &Id,
        from: &str,
        watch: &mut FileWatch,
    ) -> Result<Wish, ChangeError> {
        if from == &**environment {
            let same = format!("`{from}` is what is promoted to; name the environment that it was tried in");
            return Err(ChangeError::Field("from", same));
        }
        let (from, on_disk) = self.settled(from, watch).await?;
        let table = self.table(&from)?;
        // Whoever promotes means what they see in the file.
        if !on_disk.holds(table) {
            return Err(on_disk.in_the_way(&from));
        }
        let origin = Origin::Promote { environment: from.to_string(), version: table.version };
        let document = Document::read(&table.text).map_err(|error| no_document(&error))?;
        let left_behind = document.left_behind(environment);
        let mut text = table.text.to_string();
        for id in &left_behind {
            text = edit::remove(&text, id).map_err(astray)?;
        }
        let source = Source::new(&on_disk.path.display().to_string(), &text);
        Ok(Wish { source, origin, put: None, left_behind })
    }

    /// The text of an earlier version.
    async fn rollback(&self, environment: &Id, version: Option<u64>) -> Result<Wish, ChangeError> {
        let (of, current) = (environment.to_string(), self.table(environment)?.version);
        let found = self.numbering.ask(move |versions| {
            let version = match version {
                Some(number) => versions.find(&of, number)?,
                None => versions.before(&of, current)?,
            };
            version.map(|version| Ok((version.number, versions.text(&version)?))).transpose()
        });
        let Some((number, text)) = found.await? else {
            return Err(ChangeError::NoVersion(match version {
                Some(number) => {
                    format!("`{environment}` has no version {number}, or it is not kept any more")
                }
                None => format!("`{environment}` has no version before {current}"),
            }));
        };
        let source = Source::new(&format!("{environment} version {number}"), &text);
        Ok(Wish { source, origin: Origin::Rollback { version: number }, put: None, left_behind: Vec::new() })
    }

    /// The text in force with one destination changed.
    fn edit(&self, environment: &Id, what: &What) -> Result<Wish, ChangeError> {
        let table = self.table(environment)?;
        let known = self.current.topology.environments().iter().find(|known| known.id == *environment);
        let named = known.ok_or_else(|| self.no_environment(environment))?;
        if !named.editable {
            return Err(ChangeError::NotEditable(format!(
                "[environment.{environment}] says `editable = false`: change it by promoting an environment where the \
                 change was tried, or edit {}",
                named.table.display()
            )));
        }
        let document = Document::read(&table.text).map_err(|error| no_document(&error))?;
        let (id, text, created) = match what {
            What::Put { id, keys, default, condition } => {
                let view = destinations::view(table, &document, id);
                let created = view.is_none();
                check(id, condition, view.as_ref())?;
                if *default == Some(false) && *table.default == **id {
                    let say = "it is the default; put another destination with `default` true to change that";
                    return Err(ChangeError::Field("default", say.to_owned()));
                }
                let text = edit::put(&table.text, id, keys, *default == Some(true)).map_err(astray)?;
                if text.len() as u64 > crate::daemon::configuration::MAX_FILE {
                    return Err(ChangeError::Field("body", "the table would be too large".to_owned()));
                }
                (id, text, Some(created))
            }
            What::Delete { id, condition } => {
                let view = destinations::view(table, &document, id).ok_or_else(|| {
                    let nearest = table.nearest(id).map(str::to_owned);
                    let environment = environment.to_string();
                    ChangeError::NoDestination(Refusal::NoDestination {
                        id: id.clone(),
                        environment,
                        nearest,
                    })
                })?;
                check(id, condition, Some(&view))?;
                (id, edit::remove(&table.text, id).map_err(astray)?, None)
            }
            What::Promote { .. } | What::Rollback { .. } => {
                return Err(ChangeError::Fault("no edit".to_owned()));
            }
        };
        let source = Source::new(&named.table.display().to_string(), &text);
        let origin = Origin::Edit { destination: id.clone() };
        Ok(Wish {
            source,
            origin,
            put: created.map(|created| (id.clone(), created)),
            left_behind: Vec::new(),
        })
    }
}

fn astray(error: EditError) -> ChangeError {
    ChangeError::Fault(format!("{error}; edit the file instead"))
}

/// Whether the destination is as the request means it (RFC 9110 §13.1, RFC 6585 §3).
fn check(id: &str, condition: &Condition, view: Option<&serde_json::Value>) -> Result<(), ChangeError> {
    let wrong = |detail: String| Err(ChangeError::Precondition(detail));
    match (condition, view) {
        (Condition::Unsaid, Some(_)) => Err(ChangeError::NoCondition { id: id.to_owned() }),
        (Condition::Unsaid | Condition::Absent, None) | (Condition::Matches(None), Some(_)) => Ok(()),
        (Condition::Absent, Some(_)) => wrong(format!("`{id}` is there already")),
        (Condition::Matches(_), None) => wrong(format!("there is no `{id}`, or not any more")),
        (Condition::Matches(Some(tags)), Some(view)) if tags.contains(&destinations::etag(view)) => Ok(()),
        (Condition::Matches(Some(_)), Some(_)) => {
            wrong(format!("`{id}` was changed by somebody else since; GET it again and repeat the change"))
        }
    }
}
