//! Ready-made filters for [`ResolverBuilder::filter`], which refuse addresses that must not be connected to.
//!
//! A program that fetches URLs from others can be made to connect into its own network. In a server-side request
//! forgery, the host of `http://evil.example/` has the address 10.0.0.7 or 169.254.169.254. In a DNS rebinding, the
//! address is public when the program checks the host and private when the program connects. A check of the host or of
//! an earlier lookup cannot prevent that. The resolver of the connector can, because no connect gets a refused address.
//!
//! # What a filter can't see
//!
//! **A filter checks only the addresses that pass through the resolver.**
//!
//! - **An IP literal in a URL** (`http://10.0.0.7/`, also as the target of a redirect): reqwest and hyper connect to
//!   the literal without a resolver. Check the URL and each redirect, as below.
//! - **Overrides of the client**, such as reqwest's `resolve` and `resolve_to_addrs`: they bypass the resolver.
//! - **Proxies**: the proxy looks up the target, and the filter sees the proxy's own name. reqwest takes proxies from
//!   the environment unless `no_proxy()` is called.
//! - **[Overrides of the resolver](crate::Resolver::overrides)**: they pass no filter, because the program itself
//!   configures them. The override of a suffix applies to every name below the suffix, also to a name that others
//!   choose. Fallbacks pass the filter as answers do.
//! - **Other HTTP clients**, and connections that were made before.
//!
//! # Examples
//!
//! ```
//! use std::net::IpAddr;
//! use sidestep::{Resolver, filter, lookup::{Answer, LookupFuture, Lookup}};
//!
//! /// The name server of an attacker.
//! struct Evil;
//!
//! impl Lookup for Evil {
//!     fn lookup<'a>(&'a self, _host: &'a str) -> LookupFuture<'a> {
//!         let addrs = [[10, 0, 0, 7], [127, 0, 0, 1]].map(IpAddr::from);
//!         Box::pin(async move { Ok(Answer::new(addrs)) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sidestep::ConfigError> {
//! let resolver = Resolver::builder().lookup(Evil).filter(filter::public_only()).build()?;
//! let error = resolver.resolve("evil.test").await.unwrap_err();
//! assert!(error.is_filtered());
//! assert_eq!(
//!     error.to_string(),
//!     "evil.test: the address filter refused all of its 2 addresses (10.0.0.7, 127.0.0.1)",
//! );
//! # Ok(())
//! # }
//! ```
//!
//! The same filter checks the IP literals of a URL and of its redirects:
//!
//! ```
//! # #[cfg(feature = "reqwest")] {
//! use std::net::IpAddr;
//! use reqwest::{Url, redirect::Policy};
//! use sidestep::filter;
//!
//! /// Returns whether the host of a URL is a name, which the resolver filters, or a public address.
//! fn may_be_asked(url: &Url) -> bool {
//!     let host = url.host_str().unwrap_or_default();
//!     let literal: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
//!     literal.map_or(true, |addr| filter::public_only()(host, addr))
//! }
//!
//! let redirects = Policy::custom(|attempt| match attempt.previous().len() < 10 {
//!     true if may_be_asked(attempt.url()) => attempt.follow(),
//!     _ => attempt.error("this redirect leads nowhere good"),
//! });
//! let client = reqwest::Client::builder().redirect(redirects).no_proxy();
//! # let url = |text| Url::parse(text).expect("it is a URL");
//! assert!(may_be_asked(&url("https://example.com/")));
//! assert!(!may_be_asked(&url("http://169.254.169.254/latest/")));
//! assert!(!may_be_asked(&url("http://0x7f.1/")));
//! assert!(!may_be_asked(&url("http://[::ffff:10.0.0.7]/")));
//! # }
//! ```
//!
//! [`ResolverBuilder::filter`]: crate::ResolverBuilder::filter

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A function that returns whether callers may get an address of a host.
pub(crate) type Filter = dyn Fn(&str, IpAddr) -> bool + Send + Sync;

/// Returns a filter that keeps only addresses that hosts of the public internet can have.
///
/// The filter refuses these addresses, in any spelling:
///
/// - addresses that the IANA [IPv4] and [IPv6] Special-Purpose Address Registries do not mark as globally reachable:
///   private, loopback, link-local (also the metadata services of clouds), shared (100.64.0.0/10), unique local,
///   unspecified, documentation, benchmarking, reserved;
/// - multicast and broadcast addresses;
/// - IPv6 addresses that IANA does not allocate as global unicast: all outside of 2000::/3, such as fec0::/10;
/// - IPv4-mapped and NAT64 (64:ff9b::/96) addresses that carry a refused IPv4 address;
/// - IPv4-compatible (::/96), 6to4 (2002::/16), Teredo (2001::/32) and local-use NAT64 (64:ff9b:1::/48) addresses,
///   whatever they carry.
///
/// The filter cannot know the NAT64 prefix of your network, or which public addresses are yours. Refuse those addresses
/// in your own filter, which also calls this one. The [module](self) lists what no filter can see.
///
/// # Examples
///
/// ```
/// use std::net::IpAddr;
/// use sidestep::{Resolver, filter};
///
/// let public = filter::public_only();
/// let ours: IpAddr = "10.20.0.7".parse()?;
/// let resolver = Resolver::builder()
///     .filter(move |host, addr| public(host, addr) || (host == "billing.example.com" && addr == ours))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
/// [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry
pub fn public_only() -> impl Fn(&str, IpAddr) -> bool + Clone + Send + Sync + 'static {
    |_host: &str, addr: IpAddr| is_public(addr)
}

fn is_public(addr: IpAddr) -> bool {
    match carried(addr) {
        Some(inner) => is_public(inner.into()),
        None => BLOCKS
            .iter()
            .filter(|block| block.holds(bits(addr)))
            .max_by_key(|block| block.len)
            .is_some_and(|block| block.public),
    }
}

/// Returns the IPv4 address that packets to a NAT64 address may reach (RFC 6052, section 2.1).
fn carried(addr: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(addr) = addr else {
        return None;
    };
    match addr.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            let [.., a, b, c, d] = addr.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// Returns an address as a number, which is the same for IPv4 and for IPv4-mapped IPv6.
const fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// The addresses that begin with the same `len` bits.
struct Block {
    first: u128,
    len: u32,
    public: bool,
}

impl Block {
    fn holds(&self, bits: u128) -> bool {
        (self.first ^ bits).leading_zeros() >= self.len
    }
}

const fn keep((first, len): (u128, u32)) -> Block {
    let public = true;
    Block { first, len, public }
}

const fn refuse((first, len): (u128, u32)) -> Block {
    let public = false;
    Block { first, len, public }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u32) -> (u128, u32) {
    (bits(IpAddr::V4(Ipv4Addr::new(a, b, c, d))), 96 + len)
}

/// Returns the first address and the length of a block.
///
/// Three segments begin every block. A block of a single address also has a `last` segment.
const fn v6(a: u16, b: u16, c: u16, last: u16, len: u32) -> (u128, u32) {
    let addr = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last);
    (addr.to_bits(), len)
}

/// The blocks of kept and refused addresses. The smallest block that holds an address decides.
///
/// The filter refuses an address that is in no block. The blocks come from the IANA IPv4 and IPv6 Special-Purpose
/// Address Registries; N/A in their column "Globally Reachable" is not "True".
///
/// The list omits a block inside another block with the same decision. The list also omits all blocks of IPv6 outside
/// of 2000::/3, from which IANA allocates all global unicast addresses (RFC 4291, section 2.4; IANA Internet Protocol
/// Version 6 Address Space). These are 64:ff9b:1::/48 (RFC 8215), 100::/64 (RFC 6666), 100:0:0:1::/64 (RFC 9780),
/// 5f00::/16 (RFC 9602), fc00::/7 (RFC 4193), fe80::/10 (RFC 4291), fec0::/10 (RFC 3879), ff00::/8 (RFC 4291).
const BLOCKS: &[Block] = &[
    // All of IPv4, as ::ffff:0:0/96.
    keep(v4(0, 0, 0, 0, 0)),
    // "This network" (RFC 791, section 3.2), and 0.0.0.0 is this host (RFC 1122).
    refuse(v4(0, 0, 0, 0, 8)),
    // Private use (RFC 1918).
    refuse(v4(10, 0, 0, 0, 8)),
    refuse(v4(172, 16, 0, 0, 12)),
    refuse(v4(192, 168, 0, 0, 16)),
    // Shared address space of carrier-grade NAT (RFC 6598).
    refuse(v4(100, 64, 0, 0, 10)),
    // Loopback (RFC 1122, section 3.2.1.3).
    refuse(v4(127, 0, 0, 0, 8)),
    // Link-local (RFC 3927).
    refuse(v4(169, 254, 0, 0, 16)),
    // IETF protocol assignments (RFC 6890, section 2.1), except two anycast addresses: Port
    // Control Protocol (RFC 7723) and TURN (RFC 8155).
    refuse(v4(192, 0, 0, 0, 24)),
    keep(v4(192, 0, 0, 9, 32)),
    keep(v4(192, 0, 0, 10, 32)),
    // Documentation (RFC 5737).
    refuse(v4(192, 0, 2, 0, 24)),
    refuse(v4(198, 51, 100, 0, 24)),
    refuse(v4(203, 0, 113, 0, 24)),
    // 6to4 relay anycast, deprecated: N/A (RFC 7526); 6a44 (RFC 6751).
    refuse(v4(192, 88, 99, 0, 24)),
    // Benchmarking (RFC 2544).
    refuse(v4(198, 18, 0, 0, 15)),
    // Multicast (RFC 5771).
    refuse(v4(224, 0, 0, 0, 4)),
    // Reserved (RFC 1112, section 4), and limited broadcast (RFC 919).
    refuse(v4(240, 0, 0, 0, 4)),
    // Global unicast.
    keep(v6(0x2000, 0, 0, 0, 3)),
    // IETF protocol assignments (RFC 2928), among them Teredo: N/A (RFC 4380), benchmarking
    // (RFC 5180) and the first ORCHID: N/A (RFC 4843).
    refuse(v6(0x2001, 0, 0, 0, 23)),
    // Anycast: Port Control Protocol (RFC 7723), TURN (RFC 8155), service registration (RFC 9665).
    keep(v6(0x2001, 1, 0, 1, 128)),
    keep(v6(0x2001, 1, 0, 2, 128)),
    keep(v6(0x2001, 1, 0, 3, 128)),
    // AMT (RFC 7450).
    keep(v6(0x2001, 3, 0, 0, 32)),
    // AS112 (RFC 7535).
    keep(v6(0x2001, 4, 0x112, 0, 48)),
    // ORCHIDv2 (RFC 7343).
    keep(v6(0x2001, 0x20, 0, 0, 28)),
    // Drone remote ID entity tags (RFC 9374).
    keep(v6(0x2001, 0x30, 0, 0, 28)),
    // Documentation (RFC 3849, RFC 9637).
    refuse(v6(0x2001, 0xdb8, 0, 0, 32)),
    refuse(v6(0x3fff, 0, 0, 0, 20)),
    // 6to4: N/A (RFC 3056).
    refuse(v6(0x2002, 0, 0, 0, 16)),
];

#[cfg(test)]
mod tests;
