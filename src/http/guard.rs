//! Who may ask. A bearer token, compared in constant time; and the Host and Origin headers, so that a web page whose
//! name was made to point at this address (DNS rebinding) gets nothing from a browser on the same machine.

use super::listener::Client;
use super::problem::Problem;
use crate::call::dropped::{Dropped, Tell};
use crate::observe::line::{Line, Sink};
use crate::observe::secret::Secret;
use crate::sip::Time;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Whether the process answers; open to all.
pub(super) const HEALTH: &str = "/healthz";
/// Whether new calls are taken; open to all.
pub(super) const READY: &str = "/readyz";

/// What to look at where a client shows the wrong token, or none.
const WRONG_TOKEN: &str = "its bearer token is not that of `http.token` (absent there: of `http-token` in `state.dir`); if nobody here has sent it, somebody tries tokens: see whether `http.listen` has to be reached from there";
const NO_TOKEN: &str = "it has no `Authorization: Bearer TOKEN`, which all but /healthz and /readyz need; the token is that of `http.token` (absent there: of `http-token` in `state.dir`)";

/// What a request must show.
pub struct Guard {
    token: Secret,
    listen: SocketAddr,
    /// Scheme and authority of the URL by which the API is reached from outside.
    public: Option<(String, String)>,
    /// Who was refused.
    refused: Mutex<Dropped<()>>,
    /// Time zero of those.
    since: Instant,
    log: Sink,
}

impl Guard {
    /// For an API on `listen` (as bound), which is `public_url` from outside.
    pub fn new(token: Secret, listen: SocketAddr, public_url: Option<&str>, log: Sink) -> Guard {
        let public = public_url.and_then(|url| {
            let (scheme, rest) = url.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            Some((scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
        });
        Guard { token, listen, public, refused: Mutex::default(), since: Instant::now(), log }
    }

    /// A request without the right token: one line for each source and minute.
    fn refuse(&self, client: IpAddr, hint: &str) {
        let now = Time(u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX));
        // Nothing that is done under this lock can leave the list half changed.
        let told = self.refused.lock().unwrap_or_else(PoisonError::into_inner).count(now, client, ());
        let (source, count) = match told {
            Some(Tell::Source(count)) => (client.to_canonical().to_string(), count),
            Some(Tell::Others(count)) => ("others".to_owned(), count),
            None => return,
        };
        let line = Line::warn("http.unauthorized").text("source", &source).number("count", count);
        (self.log)(line.quoted("hint", Some(hint)));
    }

    fn knows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if self.public.as_ref().is_some_and(|(scheme, authority)| same_authority(scheme, authority, &host)) {
            return true;
        }
        let (name, port) = split_port(&host);
        // Port 80 is left out of a Host header.
        if port.unwrap_or(80) != self.listen.port() {
            return false;
        }
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            // An address cannot be rebound: whoever names it means this machine.
            Ok(ip) => self.listen.ip().is_unspecified() || ip == self.listen.ip(),
            Err(_) => name == "localhost",
        }
    }

    fn knows_origin(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let public = |(of, at): &(String, String)| scheme == of && same_authority(of, at, authority);
        scheme == "http" && authority == host.to_ascii_lowercase() || self.public.as_ref().is_some_and(public)
    }
}

fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        // The last colon of a bare IPv6 literal stands inside its brackets.
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (authority, None),
    }
}

fn same_authority(scheme: &str, one: &str, other: &str) -> bool {
    let usual = if scheme == "https" { 443 } else { 80 };
    let parts = |authority| {
        let (name, port) = split_port(authority);
        (name.to_owned(), port.unwrap_or(usual))
    };
    parts(one) == parts(other)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Host and Origin, on every route.
pub(super) async fn same_site(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // HTTP/1.1 allows the host in the request line as well; it wins (RFC 9112 section 3.2.2).
    let host = request.uri().authority().map(|authority| authority.as_str()).or(text(headers, header::HOST));
    let hosts = headers.get_all(header::HOST).iter().count();
    let Some(host) = host.filter(|host| hosts <= 1 && guard.knows_host(host)) else {
        let detail =
            "the Host header names neither the address of http.listen nor the host of http.public_url";
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail).into_response();
    };
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, header::ORIGIN);
        if !origin.is_some_and(|origin| guard.knows_origin(origin, host)) {
            let detail = "the Origin header names another site";
            return Problem::new(StatusCode::FORBIDDEN, "wrong_origin", detail).into_response();
        }
    }
    next.run(request).await
}

/// The token, on everything but the probes: who has none does not learn what there is.
pub(super) async fn authorise(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if [HEALTH, READY].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let given = text(request.headers(), header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().as_bytes());
    let right = given.is_some_and(|given| bool::from(given.ct_eq(guard.token.expose().as_bytes())));
    if !right {
        let (detail, hint) = match given {
            Some(_) => ("the bearer token is not the right one", WRONG_TOKEN),
            None => ("this needs the header `Authorization: Bearer TOKEN`", NO_TOKEN),
        };
        if let Some(Client(address)) = request.extensions().get() {
            guard.refuse(*address, hint);
        }
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", detail).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str, public: Option<&str>) -> Guard {
        Guard::new(Secret::new("t"), listen.parse().unwrap(), public, Arc::new(|_| ()))
    }

    #[test]
    fn only_this_host_is_meant() {
        let local = guard("127.0.0.1:8060", Some("https://baton.example.com/"));
        for host in [
            "127.0.0.1:8060",
            "localhost:8060",
            "LOCALHOST:8060",
            "baton.example.com",
            "baton.example.com:443",
        ] {
            assert!(local.knows_host(host), "{host}");
        }
        for host in
            ["127.0.0.1", "evil.example:8060", "127.0.0.2:8060", "localhost:80", "baton.example.com:8060", ""]
        {
            assert!(!local.knows_host(host), "{host}");
        }
        let any = guard("[::]:80", None);
        assert!(
            any.knows_host("[2001:db8::1]")
                && any.knows_host("192.0.2.1:80")
                && !any.knows_host("evil.example")
        );
    }

    #[test]
    fn an_origin_is_this_site_or_none() {
        let local = guard("127.0.0.1:8060", Some("https://baton.example.com"));
        assert!(local.knows_origin("http://localhost:8060", "localhost:8060"));
        assert!(local.knows_origin("https://baton.example.com", "127.0.0.1:8060"));
        assert!(!local.knows_origin("http://evil.example", "localhost:8060"));
        assert!(!local.knows_origin("null", "localhost:8060"));
        assert!(!local.knows_origin("http://baton.example.com", "localhost:8060"));
    }
}
