//! How long the last connects took, to tell an address that hangs from a network that is slow.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::Host;

/// The last connects that were made, and those that were overtaken. Bounded.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    made: VecDeque<Connected>,
    overtaken: VecDeque<(Host, IpAddr, Instant)>,
}

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
/// So many connects are not overtaken at one address by lost packets.
const HANGING: usize = 3;
/// Those that began longer ago say nothing of now.
const TOGETHER: Duration = Duration::from_secs(10);

impl Lately {
    pub(crate) fn note(&self, host: &Host, addr: IpAddr, dealt: Instant, now: Instant) {
        let took = now.saturating_duration_since(dealt);
        self.edit(|lists| {
            lists
                .overtaken
                .retain(|(other, at, _)| other != host || *at != addr);
            if lists.made.len() >= REMEMBERED {
                lists.made.pop_front();
            }
            lists.made.push_back(Connected {
                host: host.clone(),
                addr,
                dealt,
                took,
            });
        });
    }

    /// Whether a connect that is still pending was overtaken: one to another address of the host
    /// began later and was made much quicker, none to its own address has been made since, and that
    /// was not as slow before.
    pub(crate) fn has_overtaken(
        &self,
        host: &Host,
        addr: IpAddr,
        dealt: Instant,
        now: Instant,
    ) -> bool {
        let pending = now.saturating_duration_since(dealt);
        self.edit(|lists| {
            let made = || lists.made.iter().filter(|it| it.host == *host);
            let (mut own, mut others) = (
                made().filter(|it| it.addr == addr),
                made().filter(|it| it.addr != addr),
            );
            let is_alive = own.any(|it| it.dealt >= dealt || it.took * QUICKER > pending);
            let is_quicker = |it: &Connected| it.dealt >= dealt && it.took * QUICKER <= pending;
            let is_overtaken = !is_alive && others.any(is_quicker);
            let it = (host.clone(), addr, dealt);
            if is_overtaken && !lists.overtaken.contains(&it) {
                if lists.overtaken.len() >= REMEMBERED {
                    lists.overtaken.pop_front();
                }
                lists.overtaken.push_back(it);
            }
            is_overtaken
        })
    }

    /// Whether a connect has been pending for longer than any to the host took of late: a network whose
    /// connects take now half a second and now a whole one holds up good addresses too.
    pub(crate) fn is_unusual(&self, host: &Host, pending: Duration) -> bool {
        self.edit(|lists| {
            let mut made = lists.made.iter().filter(|it| it.host == *host);
            made.all(|it| it.took < pending)
        })
    }

    /// Whether several connects to an address were overtaken, and none was made since.
    pub(crate) fn is_hanging(&self, host: &Host, addr: IpAddr, now: Instant) -> bool {
        self.edit(|lists| {
            let is_one = |(other, at, dealt): &&(Host, IpAddr, Instant)| {
                other == host && *at == addr && now < *dealt + TOGETHER
            };
            lists.overtaken.iter().filter(is_one).count() >= HANGING
        })
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Lists) -> T) -> T {
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
    fn an_address_that_is_always_slow_is_not_overtaken() {
        let (lately, t0) = (Lately::default(), time::now());
        lately.note(&host("a.test"), v4(1), t0, t0 + 320 * MS);
        let t1 = t0 + 1_000 * MS;
        lately.note(&host("a.test"), v4(2), t1, t1 + 20 * MS);
        let overtaken = |after| lately.has_overtaken(&host("a.test"), v4(1), t1, t1 + after);
        assert!(!overtaken(400 * MS));
        assert!(overtaken(1_280 * MS), "but four times as long says so");
    }

    #[test]
    fn who_takes_no_longer_than_others_took_is_not_unusual() {
        let (lately, t0) = (Lately::default(), time::now());
        assert!(
            lately.is_unusual(&host("a.test"), 250 * MS),
            "nothing is known"
        );
        lately.note(&host("a.test"), v4(2), t0, t0 + 400 * MS);
        lately.note(&host("b.test"), v4(2), t0, t0 + 900 * MS);
        assert!(!lately.is_unusual(&host("a.test"), 400 * MS));
        assert!(lately.is_unusual(&host("a.test"), 401 * MS));
    }

    /// One may have lost a packet, three have not.
    #[test]
    fn an_address_that_three_were_overtaken_at_hangs_until_one_connects() {
        let (lately, t0) = (Lately::default(), time::now());
        let later = t0 + 10 * MS;
        lately.note(&host("a.test"), v4(2), later, later + 20 * MS);
        for ms in 0..3 {
            assert!(!lately.is_hanging(&host("a.test"), v4(1), later));
            for _ in 0..2 {
                let (dealt, now) = (t0 + ms * MS, t0 + 400 * MS);
                assert!(lately.has_overtaken(&host("a.test"), v4(1), dealt, now));
            }
        }
        assert!(lately.is_hanging(&host("a.test"), v4(1), later));
        assert!(!lately.is_hanging(&host("a.test"), v4(1), later + TOGETHER));
        assert!(!lately.is_hanging(&host("a.test"), v4(3), later));
        lately.note(&host("a.test"), v4(1), t0, t0 + 500 * MS);
        assert!(!lately.is_hanging(&host("a.test"), v4(1), later));
    }

    #[test]
    fn memory_stays_bounded() {
        let (lately, t0) = (Lately::default(), time::now());
        for _ in 0..10 * REMEMBERED {
            lately.note(&host("a.test"), v4(2), t0, t0);
        }
        assert_eq!(lately.edit(|lists| lists.made.len()), REMEMBERED);
        for ms in 1..1_000 {
            let dealt = t0 - ms * MS;
            assert!(lately.has_overtaken(&host("a.test"), v4(1), dealt, t0 + 300 * MS));
        }
        assert_eq!(lately.edit(|lists| lists.overtaken.len()), REMEMBERED);
    }
}
