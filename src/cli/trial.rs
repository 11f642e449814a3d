//! `baton test`

use super::Global;
use super::api::{Ask, Client, segment};
use super::exit::{Exit, Failure};
use super::page::{self, plain};
use crate::call::durations::TEST_LONGEST;
use crate::call::test_call::TestCallRequest;
use crate::rehearsal::{Ink, Page, Tested};
use clap::Args;
use std::io::{IsTerminal, stdin};

/// Behind which the words below a ladder stand.
const INDENT: usize = 5;

/// Tries a destination: looks its name up, asks it what it can, then calls it and lets it go at once.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The destination's id
    destination: String,
    /// Whose table; it must have allow_test_calls = true
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// Call it without a question: a phone may ring
    #[arg(long)]
    yes: bool,
    /// The trunk that a number is called through, where the destination names none and there are several
    #[arg(long)]
    trunk: Option<String>,
    /// The caller's number, as the target sees it, where the destination does not say
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// Print JSON: what was found, what it means, and every message
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let ask_first = !self.yes;
        if ask_first && (self.json || !stdin().is_terminal()) {
            let why = "a phone may ring, and there is nobody here to be asked: add --yes";
            return Err(Failure::new(Exit::Usage, why));
        }
        let client = Client::new(global)?;
        let sheet = page::sheet();
        if ask_first {
            let found = self.ask(&client, true, false)?;
            page::print(&show(&sheet, &found))?;
            if !found.found.outcome.is_good() {
                return Ok(Exit::Failed);
            }
            if !consents(&found.found.uri)? {
                return Ok(Exit::Done);
            }
        }
        let tested = self.ask(&client, self.yes, true)?;
        if self.json {
            page::json(&tested)?;
        } else {
            page::print(&show(&sheet, &tested))?;
        }
        Ok(if tested.found.outcome.is_good() { Exit::Done } else { Exit::Failed })
    }

    fn ask(&self, client: &Client, options: bool, call: bool) -> Result<Tested, Failure> {
        let request =
            TestCallRequest { options, call, trunk: self.trunk.clone(), caller: self.caller.clone() };
        let (environment, destination) = (segment(&self.environment), segment(&self.destination));
        let path = format!("/v1/environments/{environment}/destinations/{destination}/test");
        client.ask(Ask::Post(&path, &request), TEST_LONGEST)
    }
}

/// Asks on the terminal whether to go on.
fn consents(uri: &str) -> Result<bool, Failure> {
    page::print(&format!("Call {}? A phone may ring. [y/N] ", plain(uri)))?;
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.map_err(|error| Failure::new(Exit::Failed, format!("no answer can be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

fn show(sheet: &Page, tested: &Tested) -> String {
    let found = &tested.found;
    let through = found.trunk.as_deref().map(|trunk| format!(" through trunk {trunk}")).unwrap_or_default();
    let mut out = format!(
        "{} of {}, version {}: {} ({}){through}\n",
        found.destination,
        found.environment,
        found.table_version,
        plain(&found.route),
        found.method
    );
    match found.addresses.as_slice() {
        [] => out += "no address\n\n",
        addresses => out += &format!("at {}\n\n", addresses.join(", then ")),
    }
    if let Some(text) = tested.without_rules() {
        out += &sheet.paragraph(INDENT + 2, &plain(&text));
        out.push('\n');
    }
    if !found.messages.is_empty() {
        out += &tested.ladder(sheet);
        out.push('\n');
    }
    for text in tested.abilities.iter() {
        out += &sheet.paragraph(INDENT + 2, &plain(text));
    }
    let (mark, ink) = if found.outcome.is_good() { ("✔", Ink::Good) } else { ("✘", Ink::Bad) };
    let words = format!("{mark} {}", found.outcome.as_str());
    out += &format!("{:INDENT$}{}\n", "", sheet.ink(ink, &words));
    for text in [&tested.verdict, &tested.next_step] {
        if !text.is_empty() {
            out += &sheet.paragraph(INDENT + 2, &plain(text));
        }
    }
    out
}
