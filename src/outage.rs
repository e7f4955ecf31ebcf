//! Rule: many unrelated hosts that fail together say that it is our own network.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::host::Host;

/// So many hosts in so many networks, and nothing that connected meanwhile: a CDN that dies takes
/// many hosts with it, but their addresses are neighbours.
const UNRELATED: usize = 4;
/// Failures further apart than this are not one event.
const TOGETHER: Duration = Duration::from_secs(10);

/// What has failed since something connected.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failed: Vec<Failed>,
    is_on: bool,
}

#[derive(Debug)]
struct Failed {
    host: Host,
    network: Network,
    at: Instant,
}

/// What a failure says of the network here.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: the address may be bad.
    Normal,
    /// With this one it is clear that the network here is down, since then.
    Began(Instant),
    /// It is known to be down; no address is to blame.
    Down,
}

impl Outage {
    /// Takes the failure of a connect.
    pub(crate) fn fail(&mut self, host: &Host, addr: IpAddr, now: Instant) -> Verdict {
        if self.is_on {
            return Verdict::Down;
        }
        self.failed.retain(|failed| now < failed.at + TOGETHER);
        let network = Network::of(addr);
        let related = |failed: &Failed| failed.host == *host || failed.network == network;
        if !self.failed.iter().any(related) {
            self.failed.push(Failed {
                host: host.clone(),
                network,
                at: now,
            });
        }
        if self.failed.len() < UNRELATED {
            return Verdict::Normal;
        }
        let since = self
            .failed
            .iter()
            .map(|failed| failed.at)
            .min()
            .unwrap_or(now);
        self.is_on = true;
        Verdict::Began(since)
    }

    /// Something has connected. Returns whether that ends an outage.
    #[must_use]
    pub(crate) fn succeed(&mut self) -> bool {
        self.failed.clear();
        std::mem::take(&mut self.is_on)
    }

    /// Whether something has failed since the last success.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// A neighbourhood of addresses: a /16 of IPv4, a /32 of IPv6, which is what a registry hands out
/// to one network at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4([u8; 2]),
    V6([u16; 2]),
}

impl Network {
    fn of(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => {
                let [a, b, ..] = addr.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(addr) => {
                let [a, b, ..] = addr.segments();
                Self::V6([a, b])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};
    use crate::time;

    const S: Duration = Duration::from_secs(1);

    fn host(n: u8) -> Host {
        match host::parse(&format!("h{n}.test")) {
            Ok(Parsed::Name(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    fn fail(outage: &mut Outage, n: u8, network: u8, now: Instant) -> Verdict {
        outage.fail(&host(n), [10, network, 0, n].into(), now)
    }

    #[test]
    fn four_unrelated_hosts_that_fail_together_are_an_outage() {
        let (mut outage, now) = (Outage::default(), time::now());
        for n in 1..=3 {
            assert_eq!(fail(&mut outage, n, n, now), Verdict::Normal);
        }
        assert_eq!(fail(&mut outage, 4, 4, now + S), Verdict::Began(now));
        assert_eq!(fail(&mut outage, 1, 1, now + 60 * S), Verdict::Down);
        assert!(outage.succeed());
        assert_eq!(fail(&mut outage, 1, 1, now + 61 * S), Verdict::Normal);
    }

    /// Neighbours, one host again and again, and what is far apart in time are not.
    #[test]
    fn related_failures_are_no_outage() {
        let (mut outage, now) = (Outage::default(), time::now());
        for n in 1..=50 {
            assert_eq!(fail(&mut outage, n, 1, now), Verdict::Normal, "one CDN");
            assert_eq!(fail(&mut outage, 1, n, now), Verdict::Normal, "one host");
        }
        let mut outage = Outage::default();
        for n in 1..=50_u8 {
            let then = now + u32::from(n) * 4 * S;
            assert_eq!(fail(&mut outage, n, n, then), Verdict::Normal, "far apart");
        }
    }

    #[test]
    fn a_success_between_them_says_that_the_network_is_there() {
        let (mut outage, now) = (Outage::default(), time::now());
        for n in 1..=50 {
            assert_eq!(fail(&mut outage, n, n, now), Verdict::Normal);
            assert!(!outage.succeed());
        }
    }
}
