//! Secrets that the daemon makes for itself once and keeps: the API's token, and the key that spreads foreign Call-IDs
//! over the slots. Both are readable by their owner only.

use super::{StateDir, StoreError};
use crate::observe::secret::Secret;
use crate::sip::ident::SlotKey;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const TOKEN: &str = "http-token";
const SLOT_KEY: &str = "slot-key";

impl StateDir {
    fn token_path(&self) -> PathBuf {
        self.path().join(TOKEN)
    }

    /// The API's token; made once.
    ///
    /// # Errors
    /// The file cannot be read or written, or the system has no randomness.
    pub fn token(&self) -> Result<Secret, StoreError> {
        Ok(Secret::new(self.kept(TOKEN, 32)?))
    }

    /// The API's token as a running daemon has made it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn existing_token(&self) -> Result<Secret, StoreError> {
        let path = self.token_path();
        let text = fs::read_to_string(&path).map_err(StoreError::at(&path, "cannot be read"))?;
        Ok(Secret::new(text.trim()))
    }

    /// The key of the slots; made once, the same in all shards and over restarts.
    ///
    /// # Errors
    /// The file cannot be read or written, is spoilt, or the system has no randomness.
    pub fn slot_key(&self) -> Result<SlotKey, StoreError> {
        let text = self.kept(SLOT_KEY, 16)?;
        let spoilt = || {
            let path = self.path().join(SLOT_KEY);
            let error =
                io::Error::other("expected 32 hexadecimal digits; delete the file to have it made anew");
            StoreError { path, what: "is spoilt", error }
        };
        let mut key = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return Err(spoilt());
        }
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| spoilt())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| spoilt())?;
        }
        Ok(SlotKey(key))
    }

    /// The text of a file; where it is absent or empty, `bytes` random bytes in hexadecimal that stand there from now on.
    fn kept(&self, name: &str, bytes: usize) -> Result<String, StoreError> {
        let path = self.path().join(name);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::at(&path, "cannot be read")(error)),
        }
        let mut random = vec![0; bytes];
        getrandom::fill(&mut random)
            .map_err(|error| StoreError::at(&path, "no randomness")(io::Error::other(error.to_string())))?;
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        replace(&path, text.as_bytes())?;
        Ok(text)
    }
}

/// Writes a small file for its owner only, as a whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        // What a crash has left would keep its old mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(StoreError::at(path, "cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_made_once_and_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::create(&folder.path().join("a/b")).unwrap();
        let token = state.token().unwrap();
        assert_eq!(token.expose().len(), 64);
        assert_eq!(state.token().unwrap(), token);
        assert_eq!(state.existing_token().unwrap(), token);
        let mode = fs::metadata(state.token_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = state.slot_key().unwrap();
        assert!(state.slot_key().unwrap() == key);
        fs::write(state.path().join(SLOT_KEY), "short").unwrap();
        assert!(state.slot_key().unwrap_err().to_string().contains("delete the file"));
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::create(folder.path()).unwrap();
        fs::write(state.token_path(), "\n").unwrap();
        assert_eq!(state.token().unwrap().expose().len(), 64);
    }
}
