//! `baton serve`

use super::Global;
use super::exit::{Exit, Failure};
use crate::daemon::start::{ServeError, serve};

/// Runs the daemon until it is told to stop.
pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    let Err(error) = serve(&global.path()?) else { return Ok(Exit::Done) };
    // A supervisor tries again after all but this.
    let exit = if error.is_configuration() { Exit::Configuration } else { Exit::Failed };
    Err(match error {
        ServeError::Invalid(diagnostics) => Failure::diagnostics(&diagnostics),
        // Standard error has it already, as a line of the log.
        ServeError::Told(_) => Failure { exit, message: String::new() },
        ServeError::Failed(error) => Failure::new(exit, format!("{error:#}")),
    })
}
