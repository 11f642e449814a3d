//! The command line: one file for each verb.
//!
//! `serve` is the daemon, `init`, `check` and `demo` stand alone; all others ask a running daemon by its API (`api`). What
//! people read goes to standard output as aligned text, with `--json` as JSON; what went wrong goes to standard error,
//! and the exit code (`exit`) tells which kind it was.

mod api;
mod call;
mod calls;
mod changes;
mod check;
mod demo;
mod destinations;
mod diff;
mod exit;
mod handoff;
mod init;
mod page;
mod promote;
mod reload;
mod render;
mod rollback;
mod serve;
mod trial;
mod versions;

use clap::{Args, Parser, Subcommand};
use exit::{Exit, Failure};
use std::path::PathBuf;
use std::process::ExitCode;

/// Takes calls for AI voice agents and hands the callers over, by REFER or BYE, and knows how it ended.
#[derive(Debug, Parser)]
#[command(name = "baton", version, after_help = exit::LEGEND, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file [default: $BATON_CONFIG, ./config/baton.toml, /etc/baton/baton.toml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the daemon
    Serve,
    /// Makes a configuration from five answers
    Init(init::Init),
    /// Checks the configuration and its tables: every fault at once, with its place
    Check(check::Check),
    /// Plays handoffs by every method on loopback sockets, each as a ladder with its verdict
    Demo(demo::Demo),
    /// Lists the live calls
    Calls(calls::Calls),
    /// Shows one call with its legs and handoffs
    Call(call::Show),
    /// Moves a caller to a destination
    Handoff(handoff::HandOff),
    /// Lists the destinations of an environment
    Destinations(destinations::Destinations),
    /// Shows what a handoff would send, and which rule makes each line
    Render(render::Render),
    /// Lists the versions of a table: who has changed it, when and why
    Versions(versions::Versions),
    /// Compares two versions of a table, or two environments
    Diff(diff::Compare),
    /// Puts the table of another environment in force, as a new version
    Promote(promote::Promote),
    /// Puts an earlier version of a table in force again
    Rollback(rollback::Rollback),
    /// Tries a destination: looks its name up, asks it what it can, calls it and lets it go
    Test(trial::Test),
    /// Has the daemon read its files again: all or nothing
    Reload(reload::Reload),
}

/// Reads the command line, does what it says and tells how it went.
pub fn run() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    let done = match verb {
        Verb::Serve => serve::run(&global),
        Verb::Init(init) => init.run(&global),
        Verb::Check(check) => check.run(&global),
        Verb::Demo(demo) => demo.run(),
        Verb::Calls(calls) => calls.run(&global),
        Verb::Call(show) => show.run(&global),
        Verb::Handoff(handoff) => handoff.run(&global),
        Verb::Destinations(destinations) => destinations.run(&global),
        Verb::Render(render) => render.run(&global),
        Verb::Versions(versions) => versions.run(&global),
        Verb::Diff(compare) => compare.run(&global),
        Verb::Promote(promote) => promote.run(&global),
        Verb::Rollback(rollback) => rollback.run(&global),
        Verb::Test(test) => test.run(&global),
        Verb::Reload(reload) => reload.run(&global),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            if !message.is_empty() {
                page::complain(&message);
            }
            exit.into()
        }
    }
}

impl Global {
    /// The configuration file.
    fn path(&self) -> Result<PathBuf, Failure> {
        crate::daemon::configuration::find(self.config.as_deref())
            .map_err(|diagnostic| Failure::new(Exit::Configuration, diagnostic.to_string()))
    }
}
