//! Rule: when this machine is on another network.
//!
//! Not every change of an interface means another network: containers and virtual machines come and go, and IPv6
//! addresses change for privacy. The source addresses of connections to the internet decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Times of the checks, counted from the last notice of a change.
///
/// The first check waits for the end of a burst. A default route may come later than the address whose change was
/// noticed, and a second family later still.
const CHECK_DELAYS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];
/// Longest time for which the first check waits for a burst to end.
const MAX_DEBOUNCE: Duration = Duration::from_secs(5);

/// Addresses on the internet, the same on any network: a.root-servers.net. Nothing is sent there.
const PROBE_TARGETS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

/// The source addresses of connections to the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkFingerprint {
    v4: Option<Ipv4Addr>,
    /// The /64 prefix. The machine chooses the rest, and changes it for privacy (RFC 8981).
    v6: Option<[u16; 4]>,
}

impl NetworkFingerprint {
    /// Returns the fingerprint, given a function from a destination to the source address of connections to it.
    pub(crate) fn of(source_of: impl Fn(IpAddr) -> Option<IpAddr>) -> Self {
        let mut place = Self::default();
        for source in PROBE_TARGETS.into_iter().filter_map(source_of) {
            match source.to_canonical() {
                IpAddr::V4(addr) if leads_out_v4(addr) => place.v4 = Some(addr),
                IpAddr::V6(addr) if leads_out_v6(addr) => {
                    let [a, b, c, d, ..] = addr.segments();
                    place.v6 = Some([a, b, c, d]);
                }
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        place
    }

    fn is_nowhere(self) -> bool {
        self == Self::default()
    }
}

fn leads_out_v4(addr: Ipv4Addr) -> bool {
    !(addr.is_unspecified() || addr.is_loopback() || addr.is_link_local())
}

fn leads_out_v6(addr: Ipv6Addr) -> bool {
    !(addr.is_unspecified() || addr.is_loopback() || addr.is_unicast_link_local())
}

/// The last known network of this machine, and when the next check is due.
#[derive(Debug)]
pub(crate) struct NetworkMonitor {
    place: NetworkFingerprint,
    noticed: Option<Noticed>,
}

/// Notices of changes for which checks are due.
#[derive(Clone, Copy, Debug)]
struct Noticed {
    first: Instant,
    last: Instant,
    looks: usize,
}

impl NetworkMonitor {
    pub(crate) fn at(place: NetworkFingerprint) -> Self {
        Self {
            place,
            noticed: None,
        }
    }

    /// Records a notice: the system has reported a change of the interfaces.
    pub(crate) fn notice(&mut self, now: Instant) {
        let burst = self.noticed.filter(|noticed| noticed.looks == 0);
        self.noticed = Some(Noticed {
            first: burst.map_or(now, |burst| burst.first),
            last: now,
            looks: 0,
        });
    }

    /// Returns when the next check is due, or `None` if there is none before the next notice.
    pub(crate) fn due(&self) -> Option<Instant> {
        let Noticed { first, last, looks } = self.noticed?;
        let due = last + CHECK_DELAYS[looks];
        Some(match looks {
            0 => due.min(first + MAX_DEBOUNCE),
            _ => due,
        })
    }

    /// Records a check, and returns whether the machine is on another network than before.
    ///
    /// A machine without a network is on no other network, because the same network may come back.
    #[must_use]
    pub(crate) fn check(&mut self, place: NetworkFingerprint) -> bool {
        self.noticed = self.noticed.and_then(Noticed::looked);
        if place.is_nowhere() || place == self.place {
            return false;
        }
        self.place = place;
        true
    }
}

impl Noticed {
    fn looked(self) -> Option<Self> {
        let looks = self.looks + 1;
        (looks < CHECK_DELAYS.len()).then_some(Self { looks, ..self })
    }
}

#[cfg(test)]
mod tests;
