//! `baton init`

mod draft;

use super::Global;
use super::exit::{Exit, Failure};
use super::page::{self, plain};
use crate::daemon::configuration::SYSTEM;
use crate::store::replace::{Print, ReplaceError, Replacement};
use clap::Args;
use draft::{Answers, Draft, Layout};
use serde_json::json;
use std::fs;
use std::io::{BufRead, stdin};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the daemon's user has to read: neither the configuration nor a table holds a secret.
const READ_BY_ALL: u32 = 0o644;
/// The configuration's name in its folder.
const NAME: &str = "baton.toml";

/// Makes a configuration from five answers: baton.toml and the tables of production and sandbox.
///
/// Whatever no option answers is asked. The files are checked before they are written, and `baton check --strict` accepts
/// them; none that is there already is touched without --force.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where they go [default: /etc/baton, whose tables go to /var/lib/baton, where the service may write]
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Where the PBX is: an address with or without a port, or a sip: URI
    #[arg(long, value_name = "ADDRESS")]
    pbx: Option<String>,
    /// Where the voice agent is, likewise
    #[arg(long, value_name = "ADDRESS")]
    agent: Option<String>,
    /// Which called numbers are the agent's: a list with commas, * for all
    #[arg(long, value_name = "NUMBERS")]
    numbers: Option<String>,
    /// Where callers go who need a person: a number in E.164, an extension of the PBX, or a URI
    #[arg(long, value_name = "ROUTE")]
    destination: Option<String>,
    /// Where Baton listens for SIP, by UDP and TCP
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Ask nothing: what no option answers is as each question suggests
    #[arg(long)]
    yes: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One of the five.
struct Question {
    asks: &'static str,
    /// The option that answers it.
    option: &'static str,
    of: fn(&mut Answers) -> &mut Option<String>,
    /// What is meant where nothing is said, after the answers before it.
    usual: fn(&Answers) -> &'static str,
}

const QUESTIONS: [Question; 5] = [
    Question {
        asks: "Where is the PBX?",
        option: "--pbx",
        of: |answers| &mut answers.pbx,
        usual: |_| "127.0.0.1:5070",
    },
    Question {
        asks: "Where is the voice agent?",
        option: "--agent",
        of: |answers| &mut answers.agent,
        usual: Answers::usual_agent,
    },
    Question {
        asks: "Which called numbers are the agent's? A list with commas, * for all",
        option: "--numbers",
        of: |answers| &mut answers.numbers,
        usual: |_| "*",
    },
    Question {
        asks: "Where do callers go who need a person? A number in E.164, an extension of the PBX, or a sip: URI",
        option: "--destination",
        of: |answers| &mut answers.destination,
        usual: |_| "100",
    },
    Question {
        asks: "Where shall Baton listen for SIP?",
        option: "--listen",
        of: |answers| &mut answers.listen,
        usual: |_| "0.0.0.0:5060",
    },
];

impl Init {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let layout = Layout::of(self.place(global)?);
        let nobody = Draft::of(&Answers::default(), &layout).map_err(failed)?;
        self.stop_at_existing(&nobody)?;
        let answers = self.answers(&layout)?;
        let draft = Draft::of(&answers, &layout).map_err(failed)?;
        write(&draft, self.force)?;
        let start = match layout.is_system {
            true => "systemctl enable --now baton".to_owned(),
            false => format!("baton serve --config {}", layout.baton.display()),
        };
        let paths: Vec<String> = draft.files.iter().map(|(path, _)| path.display().to_string()).collect();
        if self.json {
            page::json(&json!({ "written": paths, "next": start }))?;
        } else {
            let listed: String = paths.iter().map(|path| format!("  {}\n", plain(path))).collect();
            page::print(&format!("written:\n{listed}next: {}\n", plain(&start)))?;
        }
        Ok(Exit::Done)
    }

    /// The configuration's path.
    fn place(&self, global: &Global) -> Result<PathBuf, Failure> {
        match (&self.directory, &global.config) {
            (Some(_), Some(_)) => {
                Err(Failure::new(Exit::Usage, "--config names the file already: leave DIRECTORY out"))
            }
            (Some(directory), None) => Ok(directory.join(NAME)),
            (None, Some(file)) => Ok(file.clone()),
            (None, None) => Ok(Path::new(SYSTEM).join(NAME)),
        }
    }

    /// Nobody shall answer five questions for nothing.
    fn stop_at_existing(&self, draft: &Draft) -> Result<(), Failure> {
        let mut there =
            draft.files.iter().map(|(path, _)| path).filter(|path| fs::symlink_metadata(path).is_ok());
        match there.next() {
            Some(path) if !self.force => Err(exists(path)),
            _ => Ok(()),
        }
    }

    fn answers(&self, layout: &Layout) -> Result<Answers, Failure> {
        let options = [&self.pbx, &self.agent, &self.numbers, &self.destination, &self.listen];
        let mut answers = Answers::default();
        for (question, option) in QUESTIONS.iter().zip(options) {
            let usual = (question.usual)(&answers);
            let is_asked = option.is_none() && !self.yes;
            loop {
                let answer = match option {
                    Some(option) => option.clone(),
                    None if is_asked => ask(question, usual)?,
                    None => usual.to_owned(),
                };
                *(question.of)(&mut answers) = Some(answer);
                let faults = Draft::of(&answers, layout).map_err(failed)?.faults();
                if faults.is_empty() {
                    break;
                }
                let failure = Failure::diagnostics(&faults);
                if !is_asked {
                    return Err(failure);
                }
                page::complain(&failure.message);
            }
        }
        Ok(answers)
    }
}

/// Asks on standard error, so that the answer's JSON stands alone.
fn ask(question: &Question, usual: &str) -> Result<String, Failure> {
    eprint!("{} [{usual}]: ", question.asks);
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line);
    match read {
        Err(error) => Err(Failure::new(Exit::Failed, format!("no answer can be read: {error}"))),
        Ok(0) => {
            eprintln!();
            let option = question.option;
            Err(Failure::new(
                Exit::Usage,
                format!("no answer: give {option}, or --yes for what stands in brackets"),
            ))
        }
        Ok(_) => {
            let said = line.trim();
            Ok(if said.is_empty() { usual.to_owned() } else { said.to_owned() })
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is there already; --force replaces it", path.display()))
}

fn closed(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    failed(format!("{} cannot be written: {why}; be root, or name a directory of yours", path.display()))
}

/// Writes all of them, or none that could not be.
fn write(draft: &Draft, force: bool) -> Result<(), Failure> {
    let mut ready = Vec::new();
    for (path, text) in &draft.files {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make(folder)?;
        let seen = Print::of(path);
        if seen.is_some() && !force {
            return Err(exists(path));
        }
        let replacement = Replacement::prepare(path, text, folder).map_err(|error| match error {
            ReplaceError::ReadOnly { path, .. } => closed(&path, &"permission denied"),
            error => failed(error),
        })?;
        ready.push((path, seen, replacement));
    }
    for (path, seen, replacement) in ready {
        replacement.carry_out(seen).map_err(failed)?;
        if seen.is_none() {
            // Whatever the mask is: root's may be closed, and the daemon is not root.
            let mode = fs::Permissions::from_mode(READ_BY_ALL);
            fs::set_permissions(path, mode)
                .map_err(|error| failed(format!("{}: {error}", path.display())))?;
        }
    }
    Ok(())
}

/// Makes a folder that is not there; others may look into it.
fn make(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    let mode = fs::Permissions::from_mode(0o755);
    made.and_then(|()| fs::set_permissions(folder, mode)).map_err(|error| closed(folder, &error))
}
