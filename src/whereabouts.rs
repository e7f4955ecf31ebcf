//! Rule: when this machine is on another network.
//!
//! Not every change of an interface is one: containers and virtual machines come and go, and IPv6
//! addresses are changed for privacy. What counts is from where the internet would be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// When to look after the last notice of a change. The first waits for the end of a burst; a default
/// route may come later than the address that was noticed, and a second family later still.
const LOOKS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];
/// The first look waits no longer than this for a burst to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Out on the internet, wherever one is: a.root-servers.net. Nothing is sent there.
const OUT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

/// From where the internet would be dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    v4: Option<Ipv4Addr>,
    /// The /64: what is below is the machine's own choice and changes for privacy (RFC 8981).
    v6: Option<[u16; 4]>,
}

impl Place {
    /// Finds it out from the source address of a destination.
    pub(crate) fn of(source_of: impl Fn(IpAddr) -> Option<IpAddr>) -> Self {
        let mut place = Self::default();
        for source in OUT.into_iter().filter_map(source_of) {
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

/// Where this machine was last, and when to look again.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    place: Place,
    noticed: Option<Noticed>,
}

/// Notices of changes that are still to be looked into.
#[derive(Clone, Copy, Debug)]
struct Noticed {
    first: Instant,
    last: Instant,
    looks: usize,
}

impl Whereabouts {
    pub(crate) fn at(place: Place) -> Self {
        Self {
            place,
            noticed: None,
        }
    }

    /// Something has changed about the interfaces.
    pub(crate) fn notice(&mut self, now: Instant) {
        let burst = self.noticed.filter(|noticed| noticed.looks == 0);
        self.noticed = Some(Noticed {
            first: burst.map_or(now, |burst| burst.first),
            last: now,
            looks: 0,
        });
    }

    /// When to look next; `None`: not before the next notice.
    pub(crate) fn due(&self) -> Option<Instant> {
        let Noticed { first, last, looks } = self.noticed?;
        let due = last + LOOKS[looks];
        Some(match looks {
            0 => due.min(first + PATIENCE),
            _ => due,
        })
    }

    /// Takes a look. Returns whether this is another network than at the last look. Being nowhere
    /// is not: it may be the same one that comes back.
    #[must_use]
    pub(crate) fn look(&mut self, place: Place) -> bool {
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
        (looks < LOOKS.len()).then_some(Self { looks, ..self })
    }
}

#[cfg(test)]
mod tests;
