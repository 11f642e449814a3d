//! What a request brings: a JSON body and a query, with every fault answered as a problem.

use super::BODY;
use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A JSON body of at most so many bytes that was read into `T`.
pub(super) struct Json<T, const MOST: usize = BODY>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync, const MOST: usize> FromRequest<S> for Json<T, MOST> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Json<T, MOST>, Problem> {
        DefaultBodyLimit::max(MOST).apply(&mut request);
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let is_json = |kind: &str| kind == "application/json" || kind == "application/merge-patch+json";
        if !kind.as_deref().is_some_and(is_json) {
            let detail = "the body must be JSON, with the header `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
        }
        let read = timeout(BODY_WITHIN, Bytes::from_request(request, state)).await.map_err(|_| {
            let detail = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
        })?;
        let bytes = read.map_err(|rejection| {
            let status = rejection.status();
            let code =
                if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "body_unreadable" };
            Problem::new(status, code, format!("{} (at most {MOST} bytes)", rejection.body_text()))
        })?;
        // An array would be read as the fields of a struct in their order.
        if bytes.trim_ascii_start().first().is_some_and(|first| b"[\"-0123456789tfn".contains(first)) {
            return Err(Problem::field("body", "expected a JSON object"));
        }
        serde_json::from_slice(&bytes).map(Json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::field("body", error.to_string()),
            _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string()),
        })
    }
}

/// The query string, read into `T`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|rejection| Problem::field("query", rejection.body_text()))
    }
}

/// Two segments of the path, percent-decoded.
pub(super) struct Segments(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segments, Problem> {
        axum::extract::Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path((first, second))| Segments(first, second))
            .map_err(|rejection| {
                Problem::new(StatusCode::BAD_REQUEST, "malformed_path", rejection.body_text())
            })
    }
}

/// One segment of the path, percent-decoded.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segment, Problem> {
        axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(segment)| Segment(segment))
            .map_err(|rejection| {
                Problem::new(StatusCode::BAD_REQUEST, "malformed_path", rejection.body_text())
            })
    }
}
