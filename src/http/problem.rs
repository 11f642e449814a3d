//! Errors as `application/problem+json` (RFC 9457). `code` is the word for programs; `errors` has one entry for each
//! field that is wrong. Every refusal of the engine gets its HTTP status here and nowhere else.

use crate::call::command::Refusal;
use crate::routing::file::Diagnostic;
use crate::shard::Unavailable;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// One error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the title is the phrase of the status, and `code` tells the rest.
    pub r#type: Box<str>,
    /// The phrase of the status.
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// The word for programs: `no_call`, `handoff_running`.
    pub code: Box<str>,
    /// What happened, for people.
    pub detail: Box<str>,
    /// The handoff that is in the way, for `handoff_running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_id: Option<Box<str>>,
    /// The version that is in force, for `version_conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<NonZeroU64>,
    /// Each field or place that is wrong.
    pub errors: Vec<FieldError>,
}

/// One fault of a request or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Which field of the request, or which file.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// Line in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The fault with its place, its line and a caret, as `check` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

impl Problem {
    /// A problem without field errors.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into().into(),
            handoff_id: None,
            current_version: None,
            errors: Vec::new(),
        }
    }

    /// 422 about one field.
    pub fn field(field: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        let mut problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{field}: {message}"));
        problem.errors.push(FieldError { field: field.to_owned(), message, ..FieldError::default() });
        problem
    }

    /// 422 about files, each fault with its place.
    pub fn diagnostics(diagnostics: &[Diagnostic]) -> Problem {
        let count = diagnostics.len();
        let detail = format!(
            "{count} fault{} in the configuration; nothing was changed",
            if count == 1 { "" } else { "s" }
        );
        let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "configuration_invalid", detail);
        problem.errors = diagnostics.iter().map(FieldError::from).collect();
        problem
    }

    /// 409: the call is over, though it can still be read.
    pub fn call_ended(call: &str) -> Problem {
        Problem::new(StatusCode::CONFLICT, "call_ended", format!("the call `{call}` is over"))
    }
}

impl From<&Diagnostic> for FieldError {
    fn from(diagnostic: &Diagnostic) -> FieldError {
        let place = |number: usize| (diagnostic.line > 0).then_some(number);
        FieldError {
            field: diagnostic.file.clone(),
            message: diagnostic.message.clone(),
            line: place(diagnostic.line),
            column: place(diagnostic.column),
            expected: diagnostic.expected.clone(),
            suggestion: diagnostic.suggestion.clone(),
            shown: Some(diagnostic.to_string()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, code) = match &refusal {
            Refusal::NoCall(_) => (StatusCode::NOT_FOUND, "no_call"),
            Refusal::NoHandoff(_) => (StatusCode::NOT_FOUND, "no_handoff"),
            Refusal::Busy(_) => (StatusCode::CONFLICT, "handoff_running"),
            Refusal::TooLate(_) => (StatusCode::CONFLICT, "too_late"),
            Refusal::NotBriefing(_) => (StatusCode::CONFLICT, "nothing_to_complete"),
            Refusal::Ending => (StatusCode::CONFLICT, "call_ending"),
            Refusal::NoDestination { .. } => (StatusCode::NOT_FOUND, "no_destination"),
            Refusal::RouteNotAllowed(_) => (StatusCode::FORBIDDEN, "route_not_allowed"),
            Refusal::TestsNotAllowed(_) => (StatusCode::FORBIDDEN, "tests_not_allowed"),
            Refusal::TestRunning(_) => (StatusCode::CONFLICT, "test_running"),
            Refusal::TooManyTests(_) => (StatusCode::CONFLICT, "too_many_tests"),
            Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Refusal::Closing => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        };
        let mut problem = Problem::new(status, code, refusal.to_string());
        match refusal {
            Refusal::Busy(handoff) => problem.handoff_id = Some(handoff.into()),
            Refusal::Invalid(fields) => {
                let error = |field: crate::call::command::Invalid| FieldError {
                    field: field.field,
                    message: field.message,
                    ..FieldError::default()
                };
                problem.errors = fields.into_iter().map(error).collect();
            }
            _ => {}
        }
        problem
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"baton\""));
        }
        response
    }
}
