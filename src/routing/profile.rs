//! What a receiver of REFERs needs, and what it is believed. A profile is the base, a trunk may override any of its keys, and
//! a destination overrides the trunk.
//!
//! With `profile = "auto"` a receiver is [recognised](Receiver::recognise) by its name, for each dialog by itself. That only
//! makes Baton more careful with what it is told: what goes on the wire changes by a named profile or a key alone.

mod known;

pub use known::Receiver;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::Host;
use super::file::{Report, Section, quoted};

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

/// Whether the caller's side is asked if it still has the caller, after a NOTIFY that proves nothing of that
/// (`ask_return`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskReturn {
    /// By a re-INVITE.
    Reinvite,
    /// It is not.
    None,
}

/// What is believed of a receiver's word. It depends on who the receiver of a dialog is seen to be, where the trunk does not
/// name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Belief {
    /// The trunk's `profile`; `None`: `auto`.
    pub named: Option<Receiver>,
    /// `notify_200`, where the trunk or the destination sets it.
    pub notify_200: Option<Notify200>,
    /// `ask_return`, where the trunk or the destination sets it.
    pub ask_return: Option<AskReturn>,
}

impl Belief {
    /// Who the receiver is, by name or by what was `seen` in the dialog.
    pub fn receiver(self, seen: Receiver) -> Receiver {
        self.named.unwrap_or(seen)
    }

    /// What a final 2xx NOTIFY proves.
    pub fn notify_200(self, seen: Receiver) -> Notify200 {
        self.notify_200.unwrap_or_else(|| self.receiver(seen).notify_200())
    }

    /// Whether a NOTIFY with that final status leaves it open if the caller is still in our dialog, and the caller's side is to
    /// be asked.
    pub fn asks(self, seen: Receiver, told: u16) -> bool {
        self.may_ask() && !self.receiver(seen).never_left(told)
    }

    /// Whether the receiver is known to tell of a transfer before it has done what it tells of.
    pub fn tells_early(self, seen: Receiver) -> bool {
        self.receiver(seen).notify_200() == Notify200::Accepted
    }

    /// Whether the caller's side may be asked at all.
    pub fn may_ask(self) -> bool {
        self.ask_return != Some(AskReturn::None)
    }
}

/// A complete profile, overrides applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Where the headers of a handoff stand.
    pub header_placement: Placement,
    /// Whether a Referred-By is sent (RFC 3892).
    pub referred_by: bool,
    /// What its word proves.
    pub belief: Belief,
    /// Host (and port) of a number's Refer-To URI; `None`: the host of the trunk's address.
    pub refer_to_host: Option<Arc<str>>,
    /// How much of a handoff's headers it takes.
    pub limits: Limits,
}

/// How much of a handoff's headers a receiver takes (`limits`). A table that is likely to exceed it is warned of; at a
/// handoff nothing is cut, because a header in part says something else than it did. `None`: no limit is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most headers.
    pub headers: Option<u32>,
    /// The longest name, in bytes.
    pub name: Option<u32>,
    /// The longest value, in bytes.
    pub value: Option<u32>,
    /// Names and values together, in bytes.
    pub total: Option<u32>,
}

impl Limits {
    /// What the receiver does not take of these names and lengths of values.
    pub fn exceeded_by<'h>(&self, headers: impl Iterator<Item = (&'h str, usize)> + Clone) -> Vec<String> {
        let over = |most: Option<u32>, found: usize| most.filter(|most| found > *most as usize);
        let mut told = Vec::new();
        let count = headers.clone().count();
        if let Some(most) = over(self.headers, count) {
            told.push(format!("{count} headers, and the receiver takes {most}"));
        }
        for (name, value) in headers.clone() {
            if let Some(most) = over(self.name, name.len()) {
                told.push(format!(
                    "the name `{name}` has {} bytes, and the receiver takes {most}",
                    name.len()
                ));
            }
            if let Some(most) = over(self.value, value) {
                told.push(format!("`{name}` takes about {value} bytes, and the receiver takes {most}"));
            }
        }
        let total = headers.map(|(name, value)| name.len() + value).sum();
        if let Some(most) = over(self.total, total) {
            told.push(format!(
                "the headers take about {total} bytes together, and the receiver takes {most}"
            ));
        }
        told
    }

    fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut table = section.section(report, "limits")?;
        let limits = Self {
            headers: table.number(report, "headers", 0..33),
            name: table.number(report, "name", 1..65),
            value: table.number(report, "value", 1..2049),
            total: table.number(report, "total", 1..65_536),
        };
        table.finish(report);
        Some(limits)
    }
}

impl Receiver {
    /// Reads `profile` of a trunk's section: a receiver by name; `None`: `auto`.
    pub fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Self> {
        const PLANNED: [&str; 5] = ["twilio", "genesys", "cisco", "avaya", "teams"];
        const AUTO: &str = "auto";
        let all = [Self::Generic].into_iter().chain(Self::KNOWN);
        let names = [AUTO].into_iter().chain(all.clone().map(Self::name));
        let expected = format!("one of {}", quoted(names.clone()));
        let found = section.string(report, "profile", &expected)?;
        let named = all.clone().find(|receiver| receiver.name() == found.value);
        if named.is_some() || found.value == AUTO {
            return named;
        }
        if PLANNED.contains(&found.value) {
            report
                .error(found.span, format!("the profile \"{}\" is not carried out yet", found.value))
                .expected(expected)
                .help("set what this receiver needs by key: header_placement, referred_by, notify_200, ask_return, refer_to_host");
        } else {
            report
                .error(found.span, format!("`{}` is no profile", found.value))
                .expected(expected)
                .nearest(found.value, names);
        }
        None
    }
}

impl Profile {
    /// The base for a receiver that nothing is known about.
    pub fn generic() -> Self {
        Self {
            header_placement: Placement::Request,
            referred_by: true,
            belief: Belief { named: Some(Receiver::Generic), ..Belief::default() },
            refer_to_host: None,
            limits: Limits::default(),
        }
    }

    /// The base of a trunk's `profile`; `None`: `auto`. What is sent is the same for all there are.
    pub fn base(named: Option<Receiver>) -> Self {
        let belief = Belief { named, ..Belief::default() };
        Self { belief, ..Self::generic() }
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
        self.belief.notify_200 = over.notify_200.or(self.belief.notify_200);
        self.belief.ask_return = over.ask_return.or(self.belief.ask_return);
        if let Some(value) = &over.refer_to_host {
            self.refer_to_host = Some(Arc::clone(value));
        }
        if let Some(value) = over.limits {
            self.limits = value;
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
            ask_return: section.choice(
                report,
                "ask_return",
                &[("reinvite", AskReturn::Reinvite), ("none", AskReturn::None)],
            ),
            refer_to_host: host,
            limits: Limits::read(section, report),
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
    /// See [`Belief::notify_200`].
    pub notify_200: Option<Notify200>,
    /// See [`Belief::ask_return`].
    pub ask_return: Option<AskReturn>,
    /// See [`Profile::refer_to_host`].
    pub refer_to_host: Option<Arc<str>>,
    /// See [`Profile::limits`]; all of them or none.
    pub limits: Option<Limits>,
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
        assert_eq!(profile.belief.notify_200(Receiver::Generic), Notify200::Accepted);
        assert!(profile.referred_by);
    }

    #[test]
    fn a_receiver_that_is_seen_counts_where_none_is_named() {
        let believed = |profile: &Profile| profile.belief.notify_200(Receiver::Asterisk);
        assert_eq!(believed(&Profile::base(None)), Notify200::Accepted);
        assert_eq!(believed(&Profile::generic()), Notify200::Reported);
        let over = Overrides { notify_200: Some(Notify200::Reported), ..Overrides::default() };
        assert_eq!(believed(&Profile::base(None).with(&over)), Notify200::Reported);
        let asks = |profile: &Profile, told| profile.belief.asks(Receiver::Asterisk, told);
        assert!(asks(&Profile::base(None), 503) && !asks(&Profile::base(None), 404));
        assert!(asks(&Profile::generic(), 404));
        let over = Overrides { ask_return: Some(AskReturn::None), ..Overrides::default() };
        assert!(!asks(&Profile::generic().with(&over), 503));
    }
}
