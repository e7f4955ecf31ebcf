//! Decides how long an answer of one family waits for the other family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Cache;
use crate::addrs::Family;
use crate::lookup::Answer;
use crate::time;

/// How long an answer of one family waits for the other (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// A public address of each family, which shows whether the family has a route: a.root-servers.net.
const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

impl Cache {
    /// Returns how long an answer of one family waits for the other.
    ///
    /// If no address of the answer has a route, returns `None`, and the answer waits until the other family has
    /// answered.
    pub(super) fn resolution_delay(&self, answer: &Answer) -> Option<Duration> {
        let addr = answer.addrs.first()?.to_canonical();
        let (family, other) = (Family::of(addr), Family::of(addr).other());
        if !self.has_route(family, addr) {
            return None;
        }
        let is_unwanted = other == Family::V6 && self.config.prefer == Some(Family::V4);
        match is_unwanted || !self.has_route(other, FAR[other as usize]) {
            true => Some(Duration::ZERO),
            false => Some(RESOLUTION_DELAY),
        }
    }

    /// Returns whether this machine has a route to an address of a family, and the family is not dark.
    fn has_route(&self, family: Family, addr: IpAddr) -> bool {
        if self.health.is_second(family, time::now()) {
            return false;
        }
        // The user's `source_address` may panic; the sorting of the answer reports that.
        let source = || self.source_of(addr).is_some();
        catch_unwind(AssertUnwindSafe(source)).unwrap_or(true)
    }
}
