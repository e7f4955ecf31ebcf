//! Destination address selection (RFC 6724, section 6), as far as a program can apply it.
//!
//! Rules 3, 4 and 7 (deprecated addresses, home addresses, native transport) need data that no portable interface
//! provides. Rule 9 (longest matching prefix) is left out, because it would select the same address of a CDN for every
//! client and defeat round robin. Rule 10 is the shuffle.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

/// The class of a destination address by RFC 6724; a lesser class is better.
///
/// The fields are compared in the order of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    /// Rule 1: avoid unusable destinations.
    unusable: bool,
    /// Rule 2: prefer matching scope.
    other_scope: bool,
    /// Rule 5: prefer matching label.
    other_label: bool,
    /// Rule 6: prefer higher precedence.
    precedence: Reverse<u8>,
    /// Rule 8: prefer smaller scope.
    scope: u8,
}

impl Class {
    /// Returns the class of `addr` for connects from `source`; `None` means that there is no route.
    pub(super) fn of(addr: IpAddr, source: Option<IpAddr>) -> Self {
        let Policy { precedence, label } = policy(addr);
        let scope = scope(addr);
        Self {
            unusable: source.is_none(),
            other_scope: source.is_none_or(|source| self::scope(source) != scope),
            other_label: source.is_none_or(|source| policy(source).label != label),
            precedence: Reverse(precedence),
            scope,
        }
    }
}

/// Returns whether routes can make a difference to the order of these addresses.
///
/// Addresses of one policy and scope are equal, whatever their source addresses are. Finding a source address costs a
/// socket for each address.
pub(super) fn differ(addrs: &[IpAddr]) -> bool {
    let of = |addr: IpAddr| (policy(addr), scope(addr));
    addrs.windows(2).any(|two| of(two[0]) != of(two[1]))
}

/// The entry of the policy table for an address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Policy {
    precedence: u8,
    label: u8,
}

/// The default policy table (RFC 6724, section 2.1): prefix, length of the prefix, precedence, label.
///
/// The longest prefix comes first.
const POLICIES: [(Ipv6Addr, u32, u8, u8); 9] = [
    (Ipv6Addr::LOCALHOST, 128, 50, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
    (Ipv6Addr::UNSPECIFIED, 96, 1, 3),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
    (Ipv6Addr::UNSPECIFIED, 0, 40, 1),
];

fn policy(addr: IpAddr) -> Policy {
    let addr = match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    };
    let differ = |prefix: Ipv6Addr| addr.to_bits() ^ prefix.to_bits();
    let matching = POLICIES
        .into_iter()
        .find(|&(prefix, length, ..)| differ(prefix).leading_zeros() >= length);
    let (_, _, precedence, label) = matching.expect("the last prefix holds every address");
    Policy { precedence, label }
}

/// Scopes of unicast addresses (RFC 4291, section 2.7; IPv4 by RFC 6724, section 3.2).
const LINK_LOCAL: u8 = 0x2;
const SITE_LOCAL: u8 = 0x5;
const GLOBAL: u8 = 0xe;

fn scope(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(addr) if addr.is_loopback() || addr.is_link_local() => LINK_LOCAL,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(addr) if addr.is_multicast() => addr.octets()[1] & 0xf,
        // The loopback address has link-local scope (RFC 4007, section 4).
        IpAddr::V6(addr) if addr.is_loopback() || addr.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(addr) if addr.segments()[0] & 0xffc0 == 0xfec0 => SITE_LOCAL,
        IpAddr::V6(_) => GLOBAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The examples are those of RFC 6724, section 10.2, without deprecated or home addresses and without rule 9.
    ///
    /// Each row has the better destination and then the worse one, each with its source address.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        let examples = [
            // Prefer matching scope.
            (
                ("2001:db8:1::1", Some("2001:db8:1::2")),
                ("198.51.100.121", Some("169.254.13.78")),
            ),
            (
                ("198.51.100.121", Some("198.51.100.117")),
                ("2001:db8:1::1", Some("fe80::1")),
            ),
            // Prefer higher precedence.
            (
                ("2001:db8:1::1", Some("2001:db8:1::2")),
                ("10.1.2.3", Some("10.1.2.4")),
            ),
            // Prefer smaller scope.
            (
                ("fe80::1", Some("fe80::2")),
                ("2001:db8:1::1", Some("2001:db8:1::2")),
            ),
            // Prefer matching label.
            (
                ("2002:c633:6401::1", Some("2002:c633:6401::2")),
                ("2001:db8:1::1", Some("2002:c633:6401::2")),
            ),
            // Prefer higher precedence.
            (
                ("2001:db8:1::1", Some("2001:db8:1::2")),
                ("2002:c633:6401::1", Some("2002:c633:6401::2")),
            ),
            // Avoid unusable destinations.
            (
                ("198.51.100.121", Some("198.51.100.117")),
                ("2001:db8:1::1", None),
            ),
            // A unique local source address does not reach the global internet (section 10.6).
            (
                ("198.51.100.121", Some("198.51.100.117")),
                ("2001:db8:1::1", Some("fd00::2")),
            ),
        ];
        for ((better, its), (worse, others)) in examples {
            let class = |addr, source: Option<&str>| Class::of(ip(addr), source.map(ip));
            assert!(
                class(better, its) < class(worse, others),
                "{better} before {worse}"
            );
        }
    }

    #[test]
    fn the_longest_prefix_of_the_policy_table_counts() {
        let table = [
            ("::1", 50, 0),
            ("::7", 1, 3),
            ("192.0.2.1", 35, 4),
            ("2001:0:1::1", 5, 5),
            ("2001:db8::1", 40, 1),
            ("2002::1", 30, 2),
            ("fd00::1", 3, 13),
            ("fec0::1", 1, 11),
            ("3ffe::1", 1, 12),
        ];
        for (addr, precedence, label) in table {
            assert_eq!(policy(ip(addr)), Policy { precedence, label }, "{addr}");
        }
    }

    #[test]
    fn sources_are_wanted_only_where_they_may_make_a_difference() {
        assert!(!differ(&[ip("192.0.2.1"), ip("10.0.0.1")]));
        assert!(!differ(&[ip("2001:db8::1")]));
        assert!(differ(&[ip("2001:db8::1"), ip("192.0.2.1")]));
        assert!(differ(&[ip("2001:db8::1"), ip("fd00::1")]));
    }
}
