//! What is kept on disk. Below `state.dir`: the API's token, the key of the slots, where the API listens, the versions of
//! the tables, and one record for each ended call. And how a table's own file is replaced. Blocking file access, so never
//! called on a shard's thread.

pub mod records;
pub mod replace;
pub mod secrets;
pub mod versions;

use crate::call::record::Stamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where files of tables go that were replaced without ever having been in force.
const SET_ASIDE: &str = "set-aside";
/// Where the API listens, for a configuration that leaves the port to the system (`http.listen` with port 0).
const HTTP_ADDRESS: &str = "http-address";

/// A file of the state directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}: {error}", .path.display())]
pub struct StoreError {
    /// Which.
    pub path: PathBuf,
    /// What was tried.
    pub what: &'static str,
    /// Why it failed. Part of the message, so not named as its source: whoever prints the chain would print it twice.
    pub error: io::Error,
}

impl StoreError {
    fn at(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        move |error| StoreError { path: path.to_owned(), what, error }
    }
}

/// The state directory.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Names the directory without touching it: for those who only read.
    pub fn at(path: &Path) -> StateDir {
        StateDir { path: path.to_owned() }
    }

    /// Creates the directory where it is not there yet, for its owner only.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(path: &Path) -> Result<StateDir, StoreError> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(StoreError::at(path, "cannot create the state directory"))?;
        Ok(StateDir::at(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the bytes of a table's file that is about to be replaced and was never in force, so that nobody's work is
    /// lost. Gives where.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn set_aside(&self, environment: &str, bytes: &[u8], at: Stamp) -> Result<PathBuf, StoreError> {
        let folder = self.path.join(SET_ASIDE);
        fs::create_dir_all(&folder).map_err(StoreError::at(&folder, "cannot be created"))?;
        let stamp: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        let path = folder.join(format!("{environment}-{stamp}.toml"));
        fs::write(&path, bytes).map_err(StoreError::at(&path, "cannot be written"))?;
        Ok(path)
    }

    /// Tells the command line where the API listens.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_http_address(&self, address: std::net::SocketAddr) -> Result<(), StoreError> {
        secrets::replace(&self.path.join(HTTP_ADDRESS), address.to_string().as_bytes())
    }

    /// What [`StateDir::write_http_address`] has told.
    ///
    /// # Errors
    /// No daemon has written it, or it cannot be read.
    pub fn http_address(&self) -> Result<std::net::SocketAddr, StoreError> {
        let path = self.path.join(HTTP_ADDRESS);
        let text = fs::read_to_string(&path).map_err(StoreError::at(&path, "cannot be read"))?;
        text.trim()
            .parse()
            .map_err(|error| StoreError::at(&path, "holds no address")(io::Error::other(error)))
    }
}
