//! Rule: which addresses of an answer are kept, and in which order they are dialled.
//!
//! ```text
//! answer ▶ classes (RFC 6724) ▶ shuffle in a class ▶ the bad last ▶ families in turn ▶ lanes
//! ```

mod addrs;
mod deal;
mod dealt;
mod destination;
mod last_resort;
mod seen;

use std::net::IpAddr;

pub(crate) use self::addrs::{Addrs, distinct};
pub(crate) use self::deal::{How, deal};
pub(crate) use self::dealt::Dealt;
pub(crate) use self::last_resort::add_last_resort;

/// Most addresses kept of one answer. A name server may send thousands.
pub(crate) const MAX_ADDRS: usize = 64;
/// Most addresses of one family handed to a connector: hyper-util divides its connect timeout
/// among them.
pub(crate) const PER_FAMILY: usize = 4;
/// Most addresses handed to a connector: two families, or one in two lanes.
const MAX_DEALT: usize = 2 * PER_FAMILY;

/// Most attempts that one connect of a race makes, and one request over all its connects.
pub(crate) const MOST_ATTEMPTS: usize = 16;

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

/// In which order the addresses of one family are handed out; set by
/// [`Builder::order`](crate::Builder::order).
///
/// Families always take turns, and addresses that failed always go last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Shuffled at each lookup, among addresses that RFC 6724 finds equal.
    #[default]
    Shuffle,
    /// Each lookup begins with the next one, among addresses that RFC 6724 finds equal. All
    /// threads write one counter for each host.
    RoundRobin,
    /// As the name server sent them, for zones whose order tells what is near. The family of the
    /// first address leads, unless [`Builder::prefer`](crate::Builder::prefer) says otherwise.
    AsGiven,
}

/// An address for documentation (RFC 5737).
#[cfg(test)]
pub(crate) fn v4(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

/// An address for documentation (RFC 3849).
#[cfg(test)]
pub(crate) fn v6(n: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()
}
