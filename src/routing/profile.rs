//! What a receiver of REFERs needs. A profile is the base, a trunk may override any of its keys, and a destination
//! overrides the trunk. Only the `generic` base exists.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Host;
use super::file::{Report, Section};

/// Where the headers of a handoff stand (`header_placement`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// On the REFER itself.
    Request,
    /// Embedded in the Refer-To URI, percent-encoded (RFC 3261 §19.1.1).
    ReferTo,
    /// In both places.
    Both,
}

impl Placement {
    /// Whether headers stand on the REFER.
    pub fn on_request(self) -> bool {
        matches!(self, Self::Request | Self::Both)
    }

    /// Whether headers are embedded in the Refer-To URI.
    pub fn in_refer_to(self) -> bool {
        matches!(self, Self::ReferTo | Self::Both)
    }
}

/// What a NOTIFY with a final 2xx from this receiver proves (`notify_200`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify200 {
    /// The target answered, as RFC 3515 means it.
    Reported,
    /// No more than that the REFER was taken: the receiver reports 200 before the target answers.
    Accepted,
}

/// A complete profile, overrides applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Where the headers of a handoff stand.
    pub header_placement: Placement,
    /// Whether a Referred-By is sent (RFC 3892).
    pub referred_by: bool,
    /// What a final 2xx NOTIFY proves.
    pub notify_200: Notify200,
    /// Host (and port) of a number's Refer-To URI; `None`: the host of the trunk's address.
    pub refer_to_host: Option<Arc<str>>,
}

impl Profile {
    /// The base for a receiver that nothing is known about.
    pub fn generic() -> Self {
        Self {
            header_placement: Placement::Request,
            referred_by: true,
            notify_200: Notify200::Reported,
            refer_to_host: None,
        }
    }

    /// This profile with `over`'s keys in the place of its own.
    #[must_use]
    pub fn with(mut self, over: &Overrides) -> Self {
        if let Some(value) = over.header_placement {
            self.header_placement = value;
        }
        if let Some(value) = over.referred_by {
            self.referred_by = value;
        }
        if let Some(value) = over.notify_200 {
            self.notify_200 = value;
        }
        if let Some(value) = &over.refer_to_host {
            self.refer_to_host = Some(Arc::clone(value));
        }
        self
    }
}

impl Overrides {
    /// Reads the profile's keys that stand in a trunk's or a destination's section.
    pub fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Self {
        let host = section.string(report, "refer_to_host", "a host, or host:port").and_then(|host| {
            match Host::parse_with_port(host.value) {
                Ok(_) => Some(host.value.into()),
                Err(error) => {
                    report
                        .error(host.span, format!("`refer_to_host`: {error}"))
                        .expected("a host, or host:port; an IPv6 address in brackets");
                    None
                }
            }
        });
        Self {
            header_placement: section.choice(
                report,
                "header_placement",
                &[
                    ("request", Placement::Request),
                    ("refer-to", Placement::ReferTo),
                    ("both", Placement::Both),
                ],
            ),
            referred_by: section.boolean(report, "referred_by"),
            notify_200: section.choice(
                report,
                "notify_200",
                &[("reported", Notify200::Reported), ("accepted", Notify200::Accepted)],
            ),
            refer_to_host: host,
        }
    }
}

/// The keys of a profile that a trunk or a destination sets itself; `None` where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`Profile::header_placement`].
    pub header_placement: Option<Placement>,
    /// See [`Profile::referred_by`].
    pub referred_by: Option<bool>,
    /// See [`Profile::notify_200`].
    pub notify_200: Option<Notify200>,
    /// See [`Profile::refer_to_host`].
    pub refer_to_host: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_wins_over_the_trunk_and_the_trunk_over_the_base() {
        let trunk = Overrides {
            header_placement: Some(Placement::Both),
            notify_200: Some(Notify200::Accepted),
            ..Overrides::default()
        };
        let destination = Overrides { header_placement: Some(Placement::ReferTo), ..Overrides::default() };
        let profile = Profile::generic().with(&trunk).with(&destination);
        assert_eq!(profile.header_placement, Placement::ReferTo);
        assert_eq!(profile.notify_200, Notify200::Accepted);
        assert!(profile.referred_by);
    }
}
