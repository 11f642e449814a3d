//! Who plays in the scenes of `baton demo`, the number that is dialled, and the destinations.

use super::peer::Peer;
use std::net::SocketAddr;

/// The number that the caller dials.
pub(super) const CALLED: &str = "+14155550100";

/// Who plays.
pub(super) struct Cast {
    /// It calls.
    pub(super) pbx: Peer,
    /// It is called first.
    pub(super) agent: Peer,
    /// Where the caller is moved to.
    pub(super) desk: Peer,
}

/// The destinations of the demo, in the form of `config/destinations.toml`, with a desk that listens there.
pub(super) fn table(desk: SocketAddr) -> String {
    TABLE.replace("DESK", &desk.to_string())
}

const TABLE: &str = r#"default = "front-desk"

[destination.front-desk]
name        = "Front desk"
description = "When the caller needs to speak with a person"
route       = "+14155550123"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Account   = "$account_id"
X-Why       = "$reason"
X-Language  = "${language:-en}"

[destination.billing]
name        = "Billing"
description = "When the caller asks about an invoice"
method      = "invite"
route       = "sip:billing@DESK"
[destination.billing.headers]
X-Account   = "$account_id"

[destination.support]
name        = "Support"
description = "When something does not work"
route       = "sip:support@DESK"
on_failure  = { refused = ["invite"], default = ["agent"] }
[destination.support.headers]
X-Account   = "$account_id"

[destination.manager]
name        = "Manager"
description = "When the caller asks for one"
method      = "attended"
route       = "sip:manager@DESK"
[destination.manager.headers]
X-Account   = "$account_id"

[destination.main-menu]
name        = "Main menu of the PBX"
description = "When the caller wants something that the PBX does by itself"
method      = "bye"
[destination.main-menu.headers]
X-Account   = "$account_id"
X-Next      = "main-menu"
"#;
