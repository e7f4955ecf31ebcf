//! How long the last connects took, to tell an address that hangs from a network that is slow.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::Host;

/// The last connects that were made. Bounded.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<VecDeque<Connected>>);

#[derive(Debug)]
struct Connected {
    host: Host,
    addr: IpAddr,
    dealt: Instant,
    took: Duration,
}

/// Connects remembered: as many as a busy client makes while one is pending.
const REMEMBERED: usize = 64;
/// Who took a quarter of the time is not just luckier; a lost packet costs that much, too, and is a
/// soft strike at worst.
const QUICKER: u32 = 4;

impl Lately {
    pub(crate) fn note(&self, host: &Host, addr: IpAddr, dealt: Instant, now: Instant) {
        self.edit(|all| {
            if all.len() >= REMEMBERED {
                all.pop_front();
            }
            all.push_back(Connected {
                host: host.clone(),
                addr,
                dealt,
                took: now.saturating_duration_since(dealt),
            });
        });
    }

    /// Whether a connect that is still pending was overtaken: one to another address of the host
    /// began later and was made much quicker, and none to its own address has been made since.
    pub(crate) fn has_overtaken(
        &self,
        host: &Host,
        addr: IpAddr,
        dealt: Instant,
        now: Instant,
    ) -> bool {
        let pending = now.saturating_duration_since(dealt);
        self.edit(|all| {
            let later = || {
                all.iter()
                    .filter(|it| it.dealt >= dealt && it.host == *host)
            };
            let quicker = |it: &Connected| it.addr != addr && it.took * QUICKER <= pending;
            later().any(quicker) && !later().any(|it| it.addr == addr)
        })
    }

    fn edit<T>(&self, change: impl FnOnce(&mut VecDeque<Connected>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};
    use crate::order::v4;
    use crate::time;

    const MS: Duration = Duration::from_millis(1);

    fn host(name: &str) -> Host {
        match host::parse(name) {
            Ok(Parsed::Name(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    /// What a connect to `v4(1)` finds that began at `t0` and is pending for 300 ms.
    fn overtaken_by(host_name: &str, addr: IpAddr, after: Duration, took: Duration) -> bool {
        let (lately, t0) = (Lately::default(), time::now());
        let dealt = t0 + after;
        lately.note(&host(host_name), addr, dealt, dealt + took);
        lately.has_overtaken(&host("a.test"), v4(1), t0, t0 + 300 * MS)
    }

    #[test]
    fn a_much_quicker_connect_to_another_address_of_the_host_overtakes() {
        assert!(overtaken_by("a.test", v4(2), MS, 75 * MS));
        assert!(!overtaken_by("a.test", v4(2), MS, 76 * MS), "all are slow");
        assert!(!overtaken_by("b.test", v4(2), MS, 20 * MS), "another host");
        assert!(!overtaken_by("a.test", v4(1), MS, 20 * MS), "it connects");
    }

    #[test]
    fn one_that_began_earlier_says_nothing_of_now() {
        let (lately, t0) = (Lately::default(), time::now());
        lately.note(&host("a.test"), v4(2), t0, t0 + 20 * MS);
        let (dealt, now) = (t0 + MS, t0 + 500 * MS);
        assert!(!lately.has_overtaken(&host("a.test"), v4(1), dealt, now));
    }

    #[test]
    fn an_address_that_has_connected_since_does_not_hang() {
        let (lately, t0) = (Lately::default(), time::now());
        lately.note(&host("a.test"), v4(2), t0, t0 + 20 * MS);
        lately.note(&host("a.test"), v4(1), t0, t0 + 20 * MS);
        assert!(!lately.has_overtaken(&host("a.test"), v4(1), t0, t0 + 500 * MS));
    }

    #[test]
    fn memory_stays_bounded() {
        let (lately, t0) = (Lately::default(), time::now());
        for _ in 0..10 * REMEMBERED {
            lately.note(&host("a.test"), v4(2), t0, t0);
        }
        assert_eq!(lately.edit(|all| all.len()), REMEMBERED);
    }
}
