//! How a verb ends.

use std::fmt;
use std::process::ExitCode;

/// Shown below `--help`.
pub(super) const LEGEND: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable, 4 not found,
5 the handoff ended otherwise than succeeded or handed_back, 6 conflict, 78 configuration invalid";

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0.
    Done,
    /// 1.
    Failed,
    /// 2.
    Usage,
    /// 3.
    Unreachable,
    /// 4.
    NotFound,
    /// 5: the handoff ended otherwise than `succeeded` or `handed_back`.
    Otherwise,
    /// 6.
    Conflict,
    /// 78, EX_CONFIG of sysexits(3).
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::NotFound => 4,
            Exit::Otherwise => 5,
            Exit::Conflict => 6,
            Exit::Configuration => 78,
        })
    }
}

/// Why a verb was not carried out, in the words that standard error gets.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure { exit, message: format!("baton: {message}") }
    }

    /// Faults of files, as `check` shows them.
    pub(super) fn diagnostics<T: fmt::Display>(diagnostics: &[T]) -> Failure {
        let shown: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        Failure { exit: Exit::Configuration, message: shown.join("\n\n") }
    }
}
