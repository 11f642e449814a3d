//! Receivers of REFERs that are known: what each is believed, and the names by which it is recognised. The facts stand in
//! `known.toml`; here is only what reads them.

use std::sync::LazyLock;

use serde::Deserialize;

use super::Notify200;

/// A kind of receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// Nothing is known about it.
    #[default]
    Generic,
    /// Asterisk, and what is built on it.
    Asterisk,
    /// FreeSWITCH, and what is built on it.
    Freeswitch,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    title: Box<str>,
    notify_200: Notify200,
    never_left: Vec<u16>,
    unanswered: Vec<(u16, u16)>,
    begins: Vec<Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    asterisk: Facts,
    freeswitch: Facts,
}

/// None: the file does not read, which a test rules out.
static KNOWN: LazyLock<Option<Known>> = LazyLock::new(|| toml::from_str(include_str!("known.toml")).ok());

impl Receiver {
    /// Those that something is known about.
    pub const KNOWN: [Self; 2] = [Self::Asterisk, Self::Freeswitch];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Asterisk => "asterisk",
            Self::Freeswitch => "freeswitch",
        }
    }

    /// Who calls itself so in User-Agent or Server.
    pub fn recognise(product: &[u8]) -> Self {
        let begins = |name: &str| {
            product.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
        };
        let is_it =
            |kind: &Self| kind.facts().is_some_and(|facts| facts.begins.iter().any(|name| begins(name)));
        Self::KNOWN.into_iter().find(is_it).unwrap_or_default()
    }

    fn facts(self) -> Option<&'static Facts> {
        let known = KNOWN.as_ref()?;
        match self {
            Self::Generic => None,
            Self::Asterisk => Some(&known.asterisk),
            Self::Freeswitch => Some(&known.freeswitch),
        }
    }

    /// How people call it; `None`: nobody in particular.
    pub fn title(self) -> Option<&'static str> {
        self.facts().map(|facts| &*facts.title)
    }

    /// What its NOTIFY 200 proves.
    pub fn notify_200(self) -> Notify200 {
        self.facts().map_or(Notify200::Reported, |facts| facts.notify_200)
    }

    /// Whether that final response to an INVITE, with that Q.850 cause in its Reason, means that nobody answered.
    pub fn is_unanswered(self, status: u16, q850: u16) -> bool {
        self.facts().is_some_and(|facts| facts.unanswered.contains(&(status, q850)))
    }

    /// Whether a NOTIFY with that status means that the caller never left our dialog.
    pub fn never_left(self, status: u16) -> bool {
        self.facts().is_some_and(|facts| facts.never_left.contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads() {
        let known: Result<Known, _> = toml::from_str(include_str!("known.toml"));
        assert_eq!(known.map(|_| ()), Ok(()));
        for receiver in Receiver::KNOWN {
            let facts = receiver.facts().expect("its section");
            assert!(facts.begins.iter().all(|name| name.len() >= 4), "short names fit anybody: {facts:?}");
        }
    }

    #[test]
    fn by_what_they_call_themselves() {
        for (product, receiver) in [
            ("Asterisk PBX 22.10.1", Receiver::Asterisk),
            ("asterisk pbx", Receiver::Asterisk),
            ("FPBX-16.0.40.7(18.13.0)", Receiver::Asterisk),
            ("FPBX-AsteriskNOW-12.0.76.2(13.2.0)", Receiver::Asterisk),
            ("IPBX-2.11.0(16.7.0)", Receiver::Asterisk),
            ("Wazo PBX", Receiver::Asterisk),
            ("Grandstream UCM6304V1.0A 1.0.21.9", Receiver::Asterisk),
            ("Grandstream GRP2614 1.0.11.6", Receiver::Generic),
            ("FreeSWITCH-mod_sofia/1.10.12-release~64bit", Receiver::Freeswitch),
            ("3CXPhoneSystem 18.0.9.20", Receiver::Generic),
            ("Cisco-SIPGateway/IOS-16.9", Receiver::Generic),
            ("kamailio (5.8.0 (x86_64/linux))", Receiver::Generic),
            ("Aster", Receiver::Generic),
            ("", Receiver::Generic),
        ] {
            assert_eq!(Receiver::recognise(product.as_bytes()), receiver, "{product}");
        }
    }

    #[test]
    fn what_is_known_of_them() {
        assert_eq!(Receiver::Generic.notify_200(), Notify200::Reported);
        assert!(Receiver::KNOWN.iter().all(|receiver| receiver.notify_200() == Notify200::Accepted));
        for (status, never) in [(400, true), (403, true), (404, true), (486, false), (503, false)] {
            assert_eq!(Receiver::Asterisk.never_left(status), never, "{status}");
            assert!(!Receiver::Generic.never_left(status));
        }
        assert!(Receiver::Asterisk.is_unanswered(603, 16) && !Receiver::Asterisk.is_unanswered(603, 21));
        assert!(!Receiver::Generic.is_unanswered(603, 16) && !Receiver::Freeswitch.is_unanswered(603, 16));
    }
}
