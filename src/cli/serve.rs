//! `baton serve`

use super::Global;
use super::exit::{Exit, Failure};
use crate::daemon::start::{ServeError, serve};

/// Runs the daemon until it is told to stop.
pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    match serve(&global.path()?) {
        Ok(()) => Ok(Exit::Done),
        Err(ServeError::Invalid(diagnostics)) => Err(Failure::diagnostics(&diagnostics)),
        // Standard error has it already, as a line of the log.
        Err(ServeError::Told(_)) => Err(Failure { exit: Exit::Failed, message: String::new() }),
        Err(ServeError::Failed(error)) => Err(Failure::new(Exit::Failed, format!("{error:#}"))),
    }
}
