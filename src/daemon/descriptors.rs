//! File descriptors: each connection is one, and what cannot be opened for want of them is neither called nor answered. A
//! process gets fewer than it may have (getrlimit(2)), because programs that use select(2) cannot have more.

use crate::observe::line::{Line, Sink};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// As many as the bounds on connections and look-ups allow, and what else is open.
const WANTED: u64 = 8192;

/// Takes as many as there may be, and says so if they are few.
pub(super) fn take(log: &Sink) {
    let may = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        if now >= WANTED.min(most) {
            return Ok(now);
        }
        setrlimit(Resource::RLIMIT_NOFILE, WANTED.min(most), most).map(|()| WANTED.min(most))
    });
    let line = match may {
        Ok(may) if may >= WANTED => return,
        Ok(may) => Line::warn("serve.few_descriptors").number("limit", may),
        Err(error) => Line::warn("serve.few_descriptors").text("reason", error.to_string()),
    };
    log(line.text(
        "hint",
        format!("with all its connections Baton needs {WANTED}; raise LimitNOFILE, or ulimit -n"),
    ));
}
