//! Tests of the blocks and their boundaries.

use super::*;
use proptest::prelude::*;

fn is_kept(addr: &str) -> bool {
    public_only()("a.test", addr.parse().expect("it is an address"))
}

#[test]
fn addresses_of_the_public_internet_are_kept() {
    for addr in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "151.101.1.140",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.0.9",
        "192.0.0.10",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:1::1",
        "2001:1::2",
        "2001:1::3",
        "2001:3::1",
        "2001:3:ffff::1",
        "2001:4:112::1",
        "2001:4:112:ffff::1",
        "2001:20::1",
        "2001:2f:ffff::1",
        "2001:30::1",
        "2001:3f:ffff::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2620:4f:8000::1",
        "2a04:4e42::396",
        "3fff:1000::1",
    ] {
        assert!(is_kept(addr), "{addr}");
    }
}

/// Blocks that the registries do not mark as globally reachable, and other blocks that no public host uses.
const REFUSED: &[&str] = &[
    // IPv4.
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.11/32",
    "192.0.0.170/31",
    "192.0.0.128/25",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    // IPv4 in IPv6: mapped, compatible, NAT64, translated (RFC 2765).
    "::ffff:10.0.0.0/104",
    "::ffff:169.254.0.0/112",
    "::ffff:127.0.0.0/104",
    "::/96",
    "64:ff9b::10.0.0.0/104",
    "64:ff9b::169.254.0.0/112",
    "64:ff9b::224.0.0.0/100",
    "::ffff:0:0:0/96",
    // IPv6.
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "64:ff9c::/32",
    "100::/64",
    "100:0:0:1::/64",
    "1fff::/16",
    "2001::/32",
    "2001:1::/128",
    "2001:1::4/126",
    "2001:2::/48",
    "2001:4:113::/48",
    "2001:10::/28",
    "2001:40::/26",
    "2001:100::/24",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "5f00::/16",
    "8000::/2",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Returns the first address of a block, and how many bits vary in the block.
fn read(block: &str) -> (IpAddr, u32) {
    let (first, len) = block.split_once('/').expect("a block has a length");
    let (first, len): (IpAddr, u32) = (first.parse().unwrap(), len.parse().unwrap());
    (first, if first.is_ipv4() { 32 } else { 128 } - len)
}

/// Returns the address of a block whose varying bits are `inner`.
fn inside((first, varying): (IpAddr, u32), inner: u128) -> IpAddr {
    let inner = inner & 1_u128.checked_shl(varying).unwrap_or(0).wrapping_sub(1);
    match first {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | inner as u32).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | inner).into(),
    }
}

#[test]
fn both_ends_of_every_special_block_are_refused() {
    for block in REFUSED {
        for inner in [0, u128::MAX] {
            let addr = inside(read(block), inner);
            assert!(!is_public(addr), "{addr} of {block}");
        }
    }
}

/// The addresses beside a special block in public space are public.
#[test]
fn the_neighbours_of_a_special_block_are_kept() {
    for (before, after) in [
        ("", "1.0.0.0"),
        ("9.255.255.255", "11.0.0.0"),
        ("100.63.255.255", "100.128.0.0"),
        ("126.255.255.255", "128.0.0.0"),
        ("169.253.255.255", "169.255.0.0"),
        ("172.15.255.255", "172.32.0.0"),
        ("191.255.255.255", "192.0.1.0"),
        ("192.0.1.255", "192.0.3.0"),
        ("192.88.98.255", "192.88.100.0"),
        ("192.167.255.255", "192.169.0.0"),
        ("198.17.255.255", "198.20.0.0"),
        ("198.51.99.255", "198.51.101.0"),
        ("203.0.112.255", "203.0.114.0"),
        ("223.255.255.255", ""),
        ("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
        ("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
        ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
        ("", "2000::"),
        ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ] {
        for addr in [before, after].into_iter().filter(|addr| !addr.is_empty()) {
            assert!(is_kept(addr), "{addr}");
        }
    }
}

proptest! {
    #[test]
    fn every_address_of_a_special_block_is_refused(
        block in prop::sample::select(REFUSED),
        inner: u128,
    ) {
        let addr = inside(read(block), inner);
        prop_assert!(!is_public(addr), "{addr} of {block}");
    }

    /// The filter decides on an IPv4-mapped or NAT64 address as on the IPv4 address inside.
    #[test]
    fn a_carried_address_is_judged_as_itself(bits: u32) {
        let addr = Ipv4Addr::from_bits(bits);
        let public = is_public(addr.into());
        let high = u128::from(bits);
        let nat64 = Ipv6Addr::from_bits((0x64_ff9b_u128 << 96) | high);
        for dressed in [addr.to_ipv6_mapped(), nat64] {
            prop_assert_eq!(is_public(dressed.into()), public, "{}", dressed);
        }
    }

    /// The filter keeps no IPv6 address outside of 2000::/3.
    #[test]
    fn outside_of_global_unicast_nothing_is_kept(
        first in prop_oneof![1_u16..0x2000, 0x4000_u16..=0xffff],
        rest: u128,
    ) {
        let addr = Ipv6Addr::from_bits(u128::from(first) << 112 | rest >> 16);
        prop_assume!(!addr.to_string().starts_with("64:ff9b::"));
        prop_assert!(!is_public(addr.into()), "{}", addr);
    }
}
