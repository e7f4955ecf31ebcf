//! Selects which addresses of an answer are kept, and in which order a connect attempts them.
//!
//! ```text
//! answer ▶ classes (RFC 6724) ▶ shuffle within a class ▶ failed addresses last ▶ families in turn ▶ lanes
//! ```

mod last_resort;
mod list;
mod rfc6724;
mod seen;
mod select;
mod set;

use std::net::IpAddr;

pub(crate) use self::last_resort::{add_last_resort, last_resort_leader};
pub(crate) use self::list::AddressList;
pub(crate) use self::select::{SelectParams, select};
pub(crate) use self::set::{AddressSet, distinct};

/// Maximum number of addresses kept from one answer. A name server may send thousands.
pub(crate) const MAX_ADDRS: usize = 64;
/// Maximum number of addresses of one family in one connect, among which hyper-util divides its connect timeout.
pub(crate) const MAX_PER_FAMILY: usize = 4;
/// Maximum number of addresses in one connect: two families, or one family in two lanes.
const MAX_LIST: usize = 2 * MAX_PER_FAMILY;

/// Maximum number of attempts of one race, and of one request over all its connects.
pub(crate) const MAX_ATTEMPTS: usize = 16;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two, as in IpAddr")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    pub(crate) fn of(addr: IpAddr) -> Self {
        if addr.is_ipv6() { Self::V6 } else { Self::V4 }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// Order in which the resolver returns the addresses of one family.
///
/// [`ResolverBuilder::address_order`](crate::ResolverBuilder::address_order) sets the order. Families always take
/// turns, and addresses that failed always go last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressOrder {
    /// The resolver shuffles addresses that RFC 6724 finds equal, anew for each caller.
    #[default]
    Shuffle,
    /// Each caller starts with the next address, among addresses that RFC 6724 finds equal. All threads write one
    /// counter for each host.
    RoundRobin,
    /// Addresses keep the order of the name server, for zones whose order says which address is near. The family of
    /// the first address goes first, unless
    /// [`ResolverBuilder::prefer_family`](crate::ResolverBuilder::prefer_family) is set.
    Preserve,
}

/// Returns an IPv4 address for documentation (RFC 5737).
#[cfg(test)]
pub(crate) fn v4(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

/// Returns an IPv6 address for documentation (RFC 3849).
#[cfg(test)]
pub(crate) fn v6(n: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()
}
