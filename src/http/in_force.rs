//! What the files say that is not in force: a reload was refused, or a key counts after a restart only. Whoever looks at a
//! table or asks what it would do is told so, beside the answer.

use super::Api;
use crate::routing::file::{Diagnostic, Severity};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use std::path::Path;
use std::sync::Arc;

/// The header of answers about tables.
pub const HEADER: &str = "Baton-Not-In-Force";
/// The paths that are about tables.
const TABLES: &str = "/v1/environments/";
/// The longest value of the header, in bytes.
const LONGEST: usize = 1000;

/// The faults of files that are not in force. Nothing is in it where all is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotInForce {
    /// The faults for which the last reload was refused, each with its place.
    faults: Vec<(String, String)>,
    /// The keys that need a restart.
    restart: Vec<String>,
}

impl NotInForce {
    /// A reload was refused for these.
    pub fn faulty(diagnostics: &[Diagnostic], before: &NotInForce) -> NotInForce {
        let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error);
        let faults = errors.map(|error| {
            let place = match error.line {
                0 => error.file.clone(),
                line => format!("{}:{line}:{}", error.file, error.column),
            };
            (error.file.clone(), format!("{place}: {}", error.message))
        });
        NotInForce { faults: faults.collect(), restart: before.restart.clone() }
    }

    /// A reload was carried out; these keys have changed and count after a restart.
    pub fn restart(keys: Vec<String>) -> NotInForce {
        NotInForce { faults: Vec::new(), restart: keys }
    }

    /// Whether all that stands in the way of the files is in that one.
    pub fn is_by(&self, file: &Path) -> bool {
        let file = file.display().to_string();
        !self.faults.is_empty() && self.faults.iter().all(|(of, _)| *of == file)
    }

    /// In a sentence; `None`: all that stands in the files is in force.
    pub fn said(&self) -> Option<String> {
        let faulty = self.faults.first().map(|(_, first)| {
            let more = match self.faults.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!("{first}{more}; the last good state is in force")
        });
        let keys =
            (!self.restart.is_empty()).then(|| format!("{} after a restart only", self.restart.join(", ")));
        let said: Vec<String> = faulty.into_iter().chain(keys).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// Adds it to the answers about tables.
pub(super) async fn tell(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let about_tables = request.uri().path().starts_with(TABLES);
    let mut response = next.run(request).await;
    let said = if about_tables { api.not_in_force.borrow().said() } else { None };
    if let Some(value) = said.and_then(|said| HeaderValue::from_str(&ascii(&said)).ok()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// As a header can carry it.
fn ascii(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    shown.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_with_its_place() {
        let fault = |file: &str, line| Diagnostic {
            severity: Severity::Error,
            file: file.to_owned(),
            line,
            column: 3,
            span: 0..0,
            message: "`x` is wrong".to_owned(),
            expected: None,
            suggestion: None,
            source: String::new(),
        };
        let restart = NotInForce::restart(vec!["sip.listen".to_owned()]);
        let faulty = NotInForce::faulty(&[fault("a.toml", 7), fault("b.toml", 0)], &restart);
        assert_eq!(
            faulty.said().unwrap(),
            "a.toml:7:3: `x` is wrong (and 1 more); the last good state is in force; sip.listen after a restart only"
        );
        assert!(!faulty.is_by(Path::new("a.toml")) && !NotInForce::default().is_by(Path::new("a.toml")));
        let one = NotInForce::faulty(&[fault("a.toml", 7)], &restart);
        assert!(one.is_by(Path::new("a.toml")) && !one.is_by(Path::new("b.toml")));
        assert_eq!(NotInForce::default().said(), None);
        assert_eq!(ascii("b\u{fc}ro\n"), "b?ro?");
    }
}
