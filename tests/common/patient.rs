//! Reads from a socket that a pause of the machine does not break off.

use std::io::{Error, ErrorKind, Result};

/// Reads again whenever a signal cuts `read` short. A read with a timeout fails with `EINTR` where the process was stopped
/// and goes on (signal(7)): in a debugger, a frozen cgroup, a container that is paused.
///
/// # Errors
/// Those of `read`, but for `EINTR`.
pub(crate) fn patiently<T>(mut read: impl FnMut() -> Result<T>) -> Result<T> {
    let cut_short = |error: &Error| error.kind() == ErrorKind::Interrupted;
    loop {
        let result = read();
        if !result.as_ref().is_err_and(cut_short) {
            return result;
        }
    }
}
