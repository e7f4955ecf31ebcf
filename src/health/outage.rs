//! Rule: the local network is down if several unrelated hosts fail together.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::host::Host;

/// Hosts in different networks that must fail together, without a success in between, to make an outage.
///
/// If a CDN fails, many hosts fail, but their addresses are in the same network.
const UNRELATED: usize = 4;
/// Longest time between failures that belong to one outage.
const TOGETHER: Duration = Duration::from_secs(10);

/// Detects outages of the local network from the ends of connects.
#[derive(Debug, Default)]
pub(crate) struct OutageDetector {
    failed: Vec<Failed>,
    is_on: bool,
}

#[derive(Debug)]
struct Failed {
    host: Host,
    network: NetworkPrefix,
    at: Instant,
}

/// What a failed connect says about the local network.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The failure says nothing about the network, so the address may be bad.
    Normal,
    /// This failure shows that the local network has been down since the given time.
    Began(Instant),
    /// The local network is known to be down, so the failure is attributed to no address.
    Down,
}

impl OutageDetector {
    /// Records a failed connect.
    pub(crate) fn record_failure(&mut self, host: &Host, addr: IpAddr, now: Instant) -> Verdict {
        if self.is_on {
            return Verdict::Down;
        }
        self.failed.retain(|failed| now < failed.at + TOGETHER);
        let network = NetworkPrefix::of(addr);
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

    /// Records a successful connect, and returns whether the success ends an outage.
    #[must_use]
    pub(crate) fn record_success(&mut self) -> bool {
        self.failed.clear();
        std::mem::take(&mut self.is_on)
    }

    /// Returns whether a connect has failed since the last success.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// The network of an address: a /16 of IPv4, or a /32 of IPv6.
///
/// A registry assigns at least that much IPv6 space to one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetworkPrefix {
    V4([u8; 2]),
    V6([u16; 2]),
}

impl NetworkPrefix {
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

    fn fail(outage: &mut OutageDetector, n: u8, network: u8, now: Instant) -> Verdict {
        outage.record_failure(&host(n), [10, network, 0, n].into(), now)
    }

    #[test]
    fn four_unrelated_hosts_that_fail_together_are_an_outage() {
        let (mut outage, now) = (OutageDetector::default(), time::now());
        for n in 1..=3 {
            assert_eq!(fail(&mut outage, n, n, now), Verdict::Normal);
        }
        assert_eq!(fail(&mut outage, 4, 4, now + S), Verdict::Began(now));
        assert_eq!(fail(&mut outage, 1, 1, now + 60 * S), Verdict::Down);
        assert!(outage.record_success());
        assert_eq!(fail(&mut outage, 1, 1, now + 61 * S), Verdict::Normal);
    }

    /// Failures in one network, of one host, or far apart in time are no outage.
    #[test]
    fn related_failures_are_no_outage() {
        let (mut outage, now) = (OutageDetector::default(), time::now());
        for n in 1..=50 {
            assert_eq!(fail(&mut outage, n, 1, now), Verdict::Normal, "one CDN");
            assert_eq!(fail(&mut outage, 1, n, now), Verdict::Normal, "one host");
        }
        let mut outage = OutageDetector::default();
        for n in 1..=50_u8 {
            let then = now + u32::from(n) * 4 * S;
            assert_eq!(fail(&mut outage, n, n, then), Verdict::Normal, "far apart");
        }
    }

    #[test]
    fn a_success_between_them_says_that_the_network_is_there() {
        let (mut outage, now) = (OutageDetector::default(), time::now());
        for n in 1..=50 {
            assert_eq!(fail(&mut outage, n, n, now), Verdict::Normal);
            assert!(!outage.record_success());
        }
    }
}
