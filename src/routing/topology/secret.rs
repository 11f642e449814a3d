//! Where a secret comes from. Files never hold one: they say `env:NAME`, `file:PATH` or `credential:NAME`, and the daemon
//! fetches it.

use crate::observe::secret::Secret;
use crate::routing::file::{Report, Section};

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; a relative path is relative to the configuration file.
    File(String),
    /// A credential that systemd passes to the service (`LoadCredential=`).
    Credential(String),
}

/// Fetches secrets for the reader; the daemon's does the I/O.
pub trait Secrets {
    /// The secret of that source.
    ///
    /// # Errors
    /// Why it cannot be had, in words for the diagnostic; never the secret itself.
    fn fetch(&self, source: &SecretSource) -> Result<Secret, String>;
}

/// What a secret's key expects.
const FORM: &str = "env:NAME, file:PATH or credential:NAME";

impl SecretSource {
    /// Reads a source; `None` for anything else, which is then a literal secret or a slip.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        match kind {
            _ if name.is_empty() || name.contains('\0') => None,
            "env" if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                Some(Self::Env(name.into()))
            }
            "file" => Some(Self::File(name.into())),
            "credential" if name.chars().all(plain) && !name.starts_with('.') => {
                Some(Self::Credential(name.into()))
            }
            _ => None,
        }
    }
}

/// Reads the secret of a key. Its text is shown in no diagnostic, because it may be the secret.
pub fn read(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &'static str,
    secrets: &dyn Secrets,
) -> Option<Secret> {
    let found = section.string(report, key, FORM)?;
    let Some(source) = SecretSource::parse(found.value) else {
        report
            .hidden(found.span, format!("`{key}` holds the secret itself, or no source that Baton knows"))
            .expected(FORM)
            .help("files are copied, committed and read aloud: keep the secret outside of this one");
        return None;
    };
    match secrets.fetch(&source) {
        Ok(secret) => Some(secret),
        Err(why) => {
            let note = report.error(found.span, format!("`{key}`: {why}"));
            note.help(match source {
                SecretSource::Env(_) => {
                    "set it in the environment of `baton serve`, and of whoever runs `baton` beside it"
                }
                SecretSource::File(_) => "write the secret into a file that the user of the daemon may read",
                SecretSource::Credential(_) => {
                    "add `LoadCredential=NAME:PATH` to the unit; without systemd use file: or env:"
                }
            });
            None
        }
    }
}
