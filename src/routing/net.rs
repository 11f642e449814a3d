//! IP networks in CIDR notation, as `accept_from` writes them. Read by the configuration, asked by
//! [`super::topology`] for every packet that belongs to no dialog.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address whose host bits are zero, and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The part before the slash is no IP address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// The part after the slash is no number, or too large for the family.
    #[error("the prefix length must be a number from 0 to {0}")]
    Prefix(u8),
    /// Bits beyond the prefix are set: most often a typing error, so it is not cut silently.
    #[error("bits beyond the prefix are set; the network is `{0}`")]
    HostBits(IpNet),
}

impl IpNet {
    /// The network of exactly one host. IPv4-mapped IPv6 addresses become IPv4.
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: width(address) }
    }

    /// The network that holds `address`, cut to `prefix` bits (at most 32 or 128).
    pub fn cut(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(address));
        let bits = to_bits(address);
        let kept = if prefix == 0 { 0 } else { bits & (u128::MAX << (width(address) - prefix)) };
        Self { address: from_bits(kept, address), prefix }
    }

    /// Whether it is a network of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Length of the prefix in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of `other` lies in this network.
    pub fn covers(&self, other: &IpNet) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether `address` lies in this network. An IPv4-mapped IPv6 address is looked at as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::cut(address, self.prefix) == *self
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, family: IpAddr) -> IpAddr {
    match family {
        // A cut IPv4 address never has more than 32 bits.
        IpAddr::V4(_) => IpAddr::from(((bits & 0xffff_ffff) as u32).to_be_bytes()),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

impl FromStr for IpNet {
    type Err = NetError;

    /// Reads `10.0.0.0/24`, `2001:db8::/32`, or a bare address as the network of one host.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetError::Address(address.to_owned()))?;
        let address = if prefix.is_none() { address.to_canonical() } else { address };
        let Some(prefix) = prefix else { return Ok(Self::host(address)) };
        let plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|p| plain && *p <= width(address))
            .ok_or(NetError::Prefix(width(address)))?;
        let net = Self::cut(address, prefix);
        if net.address == address { Ok(net) } else { Err(NetError::HostBits(net)) }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect(text)
    }

    #[test]
    fn contains_by_prefix() {
        assert!(net("10.0.0.0/24").contains("10.0.0.255".parse().unwrap()));
        assert!(!net("10.0.0.0/24").contains("10.0.1.0".parse().unwrap()));
        assert!(net("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(!net("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(net("2001:db8::/32").contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(
            net("10.0.0.0/24").contains("::ffff:10.0.0.7".parse().unwrap()),
            "a dual-stack socket maps IPv4"
        );
        assert!(net("::/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn reads_and_writes() {
        assert_eq!(net("10.0.0.7").to_string(), "10.0.0.7/32");
        assert_eq!(net("::1").to_string(), "::1/128");
        assert_eq!("10.0.0.7/24".parse::<IpNet>().unwrap_err(), NetError::HostBits(net("10.0.0.0/24")));
        assert_eq!("10.0.0.0/33".parse::<IpNet>().unwrap_err(), NetError::Prefix(32));
        assert_eq!("10.0.0.0/".parse::<IpNet>().unwrap_err(), NetError::Prefix(32));
        assert_eq!("10.0.0.0/+8".parse::<IpNet>().unwrap_err(), NetError::Prefix(32));
        assert!(matches!("pbx/8".parse::<IpNet>(), Err(NetError::Address(_))));
    }
}
