//! What went differently from a script, and a received message that says so itself. Made by [`super::peer`] and the
//! scripts.

use super::tape::Party;
use super::text::Text;
use std::net::SocketAddr;

/// Why a rehearsal did not go as its script says.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The machine refused a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A message was wrong, or another one than the script awaits.
    #[error("the {} expected {expected}, but {got}", .who.as_str())]
    Unexpected {
        /// Whose script.
        who: Party,
        /// What should have come.
        expected: String,
        /// What came.
        got: String,
    },
    /// Baton itself said something else than the script awaits.
    #[error("{0}")]
    Verdict(String),
}

/// A received message, to be judged by the script.
#[derive(Clone, Debug)]
pub struct Received {
    pub(super) who: Party,
    /// As it came.
    pub text: Text,
    /// Who sent it.
    pub(super) source: SocketAddr,
}

impl Received {
    /// Asserts that the header stands there exactly once, with that value.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] with what stands there instead.
    pub fn says(&self, name: &str, value: &str) -> Result<&Self, Fault> {
        let found: Vec<&str> = self.text.all(name).collect();
        if found == [value] {
            return Ok(self);
        }
        Err(self.fault(format!("`{name}: {value}`"), format!("found {found:?} there")))
    }

    /// Asserts that the header is absent.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] with what stands there.
    pub fn lacks(&self, name: &str) -> Result<&Self, Fault> {
        match self.text.header(name) {
            None => Ok(self),
            Some(value) => Err(self.fault(format!("no {name}"), format!("found {value:?}"))),
        }
    }

    /// Asserts something about the body.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] with the body.
    pub fn body_has(&self, part: &str) -> Result<&Self, Fault> {
        if self.text.body.contains(part) {
            return Ok(self);
        }
        Err(self.fault(format!("{part:?} in the body"), format!("the body is {:?}", self.text.body)))
    }

    /// Something in it is not as expected.
    pub(super) fn fault(&self, expected: String, got: String) -> Fault {
        Fault::Unexpected { who: self.who, expected: format!("{expected} in {}", self.text.start), got }
    }
}
