//! Where a destination lies: a number, a `sip:` or a `tel:` URI; how it is written into a Refer-To or a Request-URI; and
//! when a URI that somebody names is the same place.

use std::fmt;
use std::sync::Arc;

use super::address::{Address, AddressError};
use super::number;
use crate::wire::uri::{self, Scheme, Uri};

/// Where a destination lies. Routes carry no variables: what goes into a Refer-To is fixed by the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// A number, `+` and digits only. Its host comes from the trunk.
    E164(Box<str>),
    /// A `sip:` URI, sent as written.
    Sip(Address),
    /// A `tel:` URI (RFC 3966), sent as written in a REFER; an INVITE goes to its number at the trunk.
    Tel {
        /// The whole URI as written.
        text: Arc<str>,
        /// Its subscriber number: `+` and digits for a global one, else as written without separators.
        number: Box<str>,
    },
}

/// Why a text is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A variable.
    #[error("a route takes no variables")]
    Variable,
    /// Digits without `+`, or too many or too few.
    #[error("`{0}` is no E.164 number")]
    Number(String),
    /// A `tel:` URI that names nobody by itself.
    #[error("a local number in a `tel:` URI needs `;phone-context=` (RFC 3966 section 5.1.5)")]
    Local,
    /// No number and no URI.
    #[error("`{0}` is neither a number nor a URI")]
    Unknown(String),
    /// A URI that cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Route {
    /// Reads a route of the table: an E.164 number (separators are dropped), a `sip:` or a `tel:` URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        if text.contains('$') {
            return Err(RouteError::Variable);
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("tel") => Self::parse_tel(text),
            Some(_) => Ok(Self::Sip(Address::parse(text)?)),
            None => {
                let cleaned = number::clean(text);
                if number::is_e164(&cleaned) {
                    Ok(Self::E164(cleaned.into()))
                } else if cleaned.bytes().any(|b| b.is_ascii_digit())
                    && cleaned.bytes().all(|b| b.is_ascii_digit() || b == b'+')
                {
                    Err(RouteError::Number(text.to_owned()))
                } else {
                    Err(RouteError::Unknown(text.to_owned()))
                }
            }
        }
    }

    fn parse_tel(text: &str) -> Result<Self, RouteError> {
        let uri = Uri::parse(text.as_bytes()).map_err(AddressError::from)?;
        let written = String::from_utf8_lossy(uri.user.unwrap_or_default());
        let number = number::clean(&written);
        if number.starts_with('+') {
            if !number::is_e164(&number) {
                return Err(RouteError::Number(written.into_owned()));
            }
        } else if uri.param(b"phone-context").is_none() {
            return Err(RouteError::Local);
        }
        Ok(Self::Tel { text: text.into(), number: number.into() })
    }

    /// The route as written in the table.
    pub fn text(&self) -> &str {
        match self {
            Self::E164(number) => number,
            Self::Sip(address) => &address.text,
            Self::Tel { text, .. } => text,
        }
    }

    /// The URI that a REFER names, without `<>` and without headers: a number at `refer_to_host` or, without one, at the host of
    /// `trunk`, which is the trunk's address; URIs as written.
    pub fn refer_uri(&self, trunk: &Address, refer_to_host: Option<&str>) -> String {
        match self {
            Self::E164(number) => match refer_to_host {
                Some(host) => format!("sip:{number}@{host}"),
                None => format!("sip:{number}@{}", trunk.host),
            },
            Self::Sip(address) => address.text.to_string(),
            Self::Tel { text, .. } => text.to_string(),
        }
    }

    /// The Request-URI of an INVITE to this place, and the address it is sent to: numbers go to `trunk`, which is
    /// the trunk's address, `sip:` URIs to themselves.
    pub fn request_uri<'a>(&'a self, trunk: &'a Address) -> (String, &'a Address) {
        let at_trunk = |number: &str| {
            let mut uri = format!("sip:{}@{}", super::headers::user_part(number), trunk.host_port());
            if let Some(transport) = trunk.transport {
                uri.push_str(";transport=");
                uri.push_str(transport.as_param());
            }
            (uri, trunk)
        };
        match self {
            Self::E164(number) | Self::Tel { number, .. } => at_trunk(number),
            Self::Sip(address) => (address.text.to_string(), address),
        }
    }

    /// Whether `named` is this place. URIs are compared as RFC 3261 §19.1.4 says. A number is the same as `tel:` with it, and
    /// as its `sip:` URI on a host for which `is_ours` says that numbers mean the same there as here (the trunk, the
    /// advertised host); on any other host it is somebody else's number.
    pub fn matches(&self, named: &Uri<'_>, is_ours: &dyn Fn(&uri::Host<'_>) -> bool) -> bool {
        match self {
            Self::E164(number) => number_of(named, is_ours).as_deref() == Some(&**number),
            Self::Tel { text, number } => {
                Uri::parse(text.as_bytes()).is_ok_and(|own| own.equivalent(named))
                    || (!text.contains(';') && number_of(named, is_ours).as_deref() == Some(&**number))
            }
            Self::Sip(address) => Uri::parse(address.text.as_bytes()).is_ok_and(|own| own.equivalent(named)),
        }
    }
}

/// The E.164 number that a URI means here, if it means one: `tel:+…`, or `sip:+…` on a host that `is_ours`. Embedded headers and a
/// password make it something else.
pub fn number_of(named: &Uri<'_>, is_ours: &dyn Fn(&uri::Host<'_>) -> bool) -> Option<String> {
    let meant = match named.scheme {
        Scheme::Tel => named.params.is_empty(),
        Scheme::Sip => named.password.is_none() && named.headers.is_empty() && is_ours(&named.host),
        Scheme::Sips | Scheme::Other(_) => false,
    };
    let user = meant.then(|| named.user_text())?;
    let number = number::clean(std::str::from_utf8(&user).ok()?).into_owned();
    number::is_e164(&number).then_some(number)
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_uris() {
        assert_eq!(Route::parse("+1 (415) 555-0123"), Ok(Route::E164("+14155550123".into())));
        assert_eq!(Route::parse("sip:100@pbx").unwrap().text(), "sip:100@pbx");
        let Ok(Route::Tel { number, .. }) = Route::parse("tel:+1-415-555-0123;ext=7") else {
            panic!("a tel URI")
        };
        assert_eq!(&*number, "+14155550123");
        for (text, error) in [
            ("4155550123", RouteError::Number("4155550123".into())),
            ("+0123", RouteError::Number("+0123".into())),
            ("front-desk", RouteError::Unknown("front-desk".into())),
            ("sip:$caller_id@pbx", RouteError::Variable),
            ("tel:100", RouteError::Local),
            ("sips:100@pbx", RouteError::Address(AddressError::Tls)),
            ("mailto:a@b", RouteError::Address(AddressError::Scheme)),
        ] {
            assert_eq!(Route::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_same_place_by_other_names() {
        let ours =
            |host: &uri::Host<'_>| matches!(host, uri::Host::Name(name) if name.eq_ignore_ascii_case(b"pbx"));
        let same = |route: &str, named: &str| {
            Route::parse(route).unwrap().matches(&Uri::parse(named.as_bytes()).unwrap(), &ours)
        };
        assert!(same("+14155550123", "tel:+1-415-555-0123"));
        assert!(same("+14155550123", "sip:+14155550123@PBX;user=phone"));
        assert!(same("+14155550123", "sip:%2B14155550123@pbx"));
        assert!(!same("+14155550123", "sip:+14155550123@evil.example"));
        assert!(!same("+14155550123", "sip:14155550123@pbx"));
        assert!(!same("+14155550123", "sip:+14155550123@pbx?Route=%3Csip:evil%3E"));
        assert!(!same("+14155550123", "sips:+14155550123@pbx"));
        assert!(same("sip:100@pbx", "sip:100@PBX"));
        assert!(!same("sip:100@pbx", "sip:100@pbx:5070"));
        assert!(!same("sip:100@pbx", "sip:100@pbx.evil.example"));
        assert!(same("tel:+14155550123", "sip:+14155550123@pbx"));
        assert!(same("tel:+14155550123;ext=7", "tel:+1415-5550123;ext=7"));
        assert!(!same("tel:+14155550123;ext=7", "tel:+14155550123"));
    }
}
