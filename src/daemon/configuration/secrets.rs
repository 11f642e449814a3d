//! Fetches secrets from where the configuration says they are kept.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::observe::secret::Secret;
use crate::routing::topology::secret::{SecretSource, Secrets};

/// The longest secret, in bytes.
const LONGEST: u64 = 4096;

/// The directory in which systemd puts a service's credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Fetches from the process's environment, from files and from systemd.
pub(super) struct Fetch {
    /// What relative paths are relative to.
    pub(super) base: PathBuf,
}

impl Secrets for Fetch {
    fn fetch(&self, source: &SecretSource) -> Result<Secret, String> {
        let text = match source {
            SecretSource::Env(name) => match std::env::var(name) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => {
                    return Err(format!("the environment variable {name} is not set"));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(format!("the environment variable {name} is not UTF-8"));
                }
            },
            SecretSource::File(path) => read(&self.base.join(path))?,
            SecretSource::Credential(name) => {
                let directory = std::env::var_os(CREDENTIALS)
                    .ok_or_else(|| format!("${CREDENTIALS} is not set: credentials come from systemd"))?;
                read(&Path::new(&directory).join(name))?
            }
        };
        // Editors and `echo` end a file with a newline that is no part of the secret.
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("the secret holds control characters".to_owned());
        }
        Ok(Secret::new(text))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let fail = |why: String| format!("{}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| fail(super::plain(&error)))?;
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| fail(super::plain(&error)))?;
    if text.len() as u64 > LONGEST { Err(fail(format!("longer than {LONGEST} bytes"))) } else { Ok(text) }
}
