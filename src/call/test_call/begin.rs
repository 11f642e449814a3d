//! Whether a test may begin, and what it is then.

use super::request::TestCallRequest;
use super::tape::Tape;
use super::view::{Outcome, TestCallView};
use super::{State, TestCall};
use crate::call::command::{Invalid, Refusal};
use crate::call::context::Context;
use crate::call::durations::TEST_RING;
use crate::call::record::Stamp;
use crate::call::target_address::TargetAddress;
use crate::routing::file::{nearest, quoted};
use crate::routing::table::{Destination, Route};
use crate::routing::template::Variables;
use crate::routing::topology::Trunk;
use std::borrow::Cow;
use std::sync::Arc;

/// The caller where none is named.
const CALLER: &str = "baton";

/// What a test is known by: there is one for each destination at a time, and its shard is the owner of this name.
pub fn name(environment: &str, destination: &str) -> String {
    format!("{environment}/{destination}")
}

/// There is no call yet that a variable could be of.
struct Nothing;

impl Variables for Nothing {
    fn variable(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

fn invalid(field: &str, message: String) -> Refusal {
    Refusal::Invalid(vec![Invalid { field: field.to_owned(), message }])
}

impl TestCall {
    /// Checks what is asked; nothing is sent yet. `slot`: of the name.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        command: u64,
        (environment, destination): (&str, &str),
        request: TestCallRequest,
        slot: u16,
    ) -> Result<TestCall, Refusal> {
        let settings = cx.tables.topology.environment(environment);
        let (Some(table), Some(settings)) = (cx.tables.table(environment), settings) else {
            return Err(invalid("environment", cx.tables.no_environment(environment)));
        };
        if !settings.allow_test_calls {
            return Err(Refusal::TestsNotAllowed(environment.to_owned()));
        }
        let found = table.find(destination).cloned().ok_or_else(|| Refusal::NoDestination {
            id: destination.to_owned(),
            environment: environment.to_owned(),
            nearest: table.nearest(destination).map(str::to_owned),
        })?;
        let table_version = table.version;
        let (trunk, route) = check(cx, &request, &found)?;
        let place = TargetAddress::through(cx, &trunk, &route);
        let by_number = !matches!(route, Route::Sip(_));
        let now = Stamp(cx.now.wall);
        let view = TestCallView {
            environment: environment.to_owned(),
            table_version,
            destination: destination.to_owned(),
            method: found.method.name().to_owned(),
            route: route.to_string(),
            rules_not_asked: found.rules.len(),
            trunk: by_number.then(|| trunk.id.to_string()),
            uri: place.request_uri.to_string(),
            addresses: Vec::new(),
            options: None,
            call: None,
            outcome: Outcome::Aborted,
            started_at: now,
            ended_at: now,
            duration_ms: 0,
            messages: Vec::new(),
        };
        Ok(TestCall {
            command,
            place,
            shown: shown(&found, &request),
            slot,
            request,
            rings: TEST_RING.min(found.timeouts.ring),
            started: cx.now,
            state: State::Over,
            asked: None,
            until: None,
            armed: None,
            view,
            tape: Tape::new(cx.now.mono),
        })
    }
}

/// The trunk and the route, if all that is asked can be done.
fn check(
    cx: &Context<'_>,
    request: &TestCallRequest,
    destination: &Destination,
) -> Result<(Arc<Trunk>, Route), Refusal> {
    if !request.options && !request.call {
        return Err(invalid("call", "neither `options` nor `call` is to be done".to_owned()));
    }
    let sound = |caller: &str| {
        (1..=64).contains(&caller.len())
            && caller.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
    };
    if request.caller.as_deref().is_some_and(|caller| !sound(caller)) {
        let form = "a number or a user part: letters, digits, `+`, `-`, `.` and `_`";
        return Err(invalid("caller", form.to_owned()));
    }
    let Some(route) = destination.route.clone() else {
        let mut message = format!(
            "`{}` has no route that could be called: `{}` leaves the rest to the caller's side",
            destination.id,
            destination.method.name()
        );
        if !destination.rules.is_empty() {
            message += "; a test does not go by its rules: try where they lead (`render` tells)";
        }
        return Err(invalid("destination", message));
    };
    let trunks = cx.tables.topology.trunks();
    let ids = || trunks.iter().map(|trunk| &*trunk.id);
    let trunk = match (destination.trunk.as_deref().or(request.trunk.as_deref()), trunks) {
        (Some(id), _) => trunks.iter().find(|trunk| &*trunk.id == id).ok_or_else(|| {
            let near = nearest(id, ids()).map(|near| format!("; did you mean `{near}`?"));
            invalid("trunk", format!("there is no trunk `{id}`{}", near.unwrap_or_default()))
        })?,
        (None, []) => return Err(invalid("trunk", "there is no trunk to call through".to_owned())),
        // A URI is reached by itself.
        (None, [trunk, ..]) if trunks.len() == 1 || matches!(route, Route::Sip(_)) => trunk,
        (None, _) => {
            let message = format!(
                "`{route}` is called through the caller's trunk, and a test has no caller: name {}",
                quoted(ids())
            );
            return Err(invalid("trunk", message));
        }
    };
    Ok((Arc::clone(trunk), route))
}

/// Whom the target sees: what the destination says, if that needs no call.
fn shown(destination: &Destination, request: &TestCallRequest) -> Box<str> {
    let mut own = Vec::new();
    let template = destination.caller_id.as_ref();
    let fixed = template.is_some_and(|template| template.expand(&Nothing, &mut own).is_ok());
    let fixed = std::str::from_utf8(&own).ok().filter(|own| fixed && !own.is_empty());
    fixed.or(request.caller.as_deref()).unwrap_or(CALLER).into()
}
