//! What a test is to do.

use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestCallRequest {
    /// Ask it what it can.
    pub options: bool,
    /// Call it: a phone may ring.
    pub call: bool,
    /// The trunk that a number is called through, where the destination names none and there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The caller's number, as the target sees it, where the destination does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

impl Default for TestCallRequest {
    fn default() -> TestCallRequest {
        TestCallRequest { options: true, call: true, trunk: None, caller: None }
    }
}
