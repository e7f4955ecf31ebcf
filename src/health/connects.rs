//! Recent connects by host, which distinguish a slow connect from a slow network.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::last::{LastAddrs, Left};
use super::times::AddrTimes;
use crate::addrs::Family;
use crate::bounded::{Bounded, Edit};
use crate::health::latency::{self, Budget};
use crate::host::Host;

/// The recent connects to each host, in a bounded map.
///
/// A connect to a known host changes a few atomics, and may take the lock of [`LastAddrs`].
#[derive(Debug)]
pub(crate) struct RecentConnects {
    hosts: Bounded<Host, Arc<Recent>>,
    epoch: Instant,
    /// When all hosts were last forgotten, in milliseconds since the epoch.
    cleared: AtomicU64,
}

/// A connect that succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuccessfulConnect {
    pub(crate) addr: IpAddr,
    pub(crate) port: u16,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// Whether the address may serve as last resort after the address has left the answer.
    pub(crate) is_remembered: bool,
}

/// The recent connects to one host.
#[derive(Debug, Default)]
struct Recent {
    /// Durations of the last connects in microseconds, at least 1; 0 in unused places.
    took: [AtomicU32; REMEMBERED],
    /// Number of connects so far.
    connects: AtomicUsize,
    /// The port of the last connect; 0 before the first connect.
    port: AtomicU16,
    /// Latest start of a successful connect of each family (IPv4, IPv6), in milliseconds since the epoch.
    began: [AtomicU64; 2],
    last: LastAddrs,
    /// Start of the last connect to each address, in milliseconds since the epoch.
    starts: AddrTimes<STARTS>,
    /// When `last` was cleared, in milliseconds since the epoch.
    forgotten: AtomicU64,
    /// The state of the host's [`Budget`].
    budget: AtomicU64,
    /// The give-ups since the last connect because DNS has moved; see [`latency::next_move`].
    moves: AtomicU64,
    /// Start of the round of give-ups, in milliseconds since the epoch; 0 after a connect. See [`latency::next_round`].
    round: AtomicU64,
    /// When a slow connect was last given up, in milliseconds since the epoch.
    given_up: AtomicU64,
    /// Latest start of a slow connect, in milliseconds since the epoch.
    slow: AtomicU64,
}

/// Connects whose durations are remembered.
///
/// The median of eight durations follows a change of the network within five connects. A single connect that lost a
/// packet does not change the median.
const REMEMBERED: usize = 8;

/// Milliseconds after a give-up in which the next connect may be the retry.
const RETRY_MILLIS: u64 = 500;

/// Addresses of a host whose last start is remembered, unless two of them share a place.
const STARTS: usize = 8;

impl Recent {
    fn take_from_budget(&self, now: u64) -> bool {
        let take = |spent| Budget(spent).take(now).map(|budget| budget.0);
        let taken = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }

    /// Returns the latest start of a successful connect of a family, in milliseconds since the epoch.
    fn began(&self, family: Family) -> u64 {
        self.began[family as usize].load(Ordering::Relaxed)
    }
}

impl RecentConnects {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        Self {
            hosts: Bounded::new(capacity),
            epoch: now,
            cleared: AtomicU64::new(0),
        }
    }

    /// Records a connect to a host.
    pub(crate) fn connected(&self, host: &Host, connect: &SuccessfulConnect) {
        let SuccessfulConnect {
            addr,
            port,
            began,
            took,
            is_remembered,
        } = *connect;
        let began_at = self.millis(began);
        self.with(host, |recent| {
            let place = recent.connects.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
            let micros = took.as_micros().try_into().unwrap_or(u32::MAX).max(1);
            recent.took[place].store(micros, Ordering::Relaxed);
            recent.port.store(port, Ordering::Relaxed);
            recent.round.store(0, Ordering::Relaxed);
            recent.moves.store(0, Ordering::Relaxed);
            recent.began[Family::of(addr) as usize].fetch_max(began_at, Ordering::Relaxed);
            recent.starts.record(addr, began_at);
            let earn = |spent| Some(Budget(spent).earn().0);
            let _ = recent
                .budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
            let forgotten = recent.forgotten.load(Ordering::Relaxed);
            // A connect that began before the addresses were forgotten belongs to an older answer.
            if is_remembered && began_at > forgotten.max(self.cleared.load(Ordering::Relaxed)) {
                let now = began + took;
                recent.last.connected(addr, self.millis(now) / 1_000, now);
            }
        });
    }

    /// Returns the addresses of a host that connected within the last 60 s and left the answer.
    ///
    /// `is_listed` returns whether the answer of the current connect names an address.
    pub(crate) fn left(
        &self,
        host: &Host,
        is_listed: impl Fn(IpAddr) -> bool,
        now: Instant,
    ) -> Left {
        self.find(host)
            .map_or_else(Left::new, |recent| recent.last.left(is_listed, now))
    }

    /// Forgets which addresses of a host have connected until now.
    pub(crate) fn forget_addrs(&self, host: &Host, now: Instant) {
        if let Some(recent) = self.find(host) {
            recent.forgotten.store(self.millis(now), Ordering::Relaxed);
            recent.last.forget();
        }
    }

    /// Returns the median duration of the recent connects to a host, or `None` if there were none.
    pub(crate) fn took(&self, host: &Host) -> Option<Duration> {
        let mut took = self.look(host, |recent| {
            recent.took.each_ref().map(|it| it.load(Ordering::Relaxed))
        })?;
        took.sort_unstable();
        let known = took.iter().position(|&it| it > 0)?;
        let known = &took[known..];
        Some(Duration::from_micros(known[(known.len() - 1) / 2].into()))
    }

    /// Returns the port of the last connect to a host.
    pub(crate) fn port(&self, host: &Host) -> Option<u16> {
        let port = self.look(host, |recent| recent.port.load(Ordering::Relaxed));
        port.filter(|&port| port > 0)
    }

    /// Returns whether a connect to a host that began at `since` or later has succeeded.
    pub(crate) fn has_connected_since(&self, host: &Host, since: Instant) -> bool {
        let last = |recent: &Recent| recent.began(Family::V4).max(recent.began(Family::V6));
        self.look(host, last) >= Some(self.millis(since))
    }

    /// Records that a connect to a host that began at `since` is slow.
    pub(crate) fn note_slow(&self, host: &Host, since: Instant) {
        let since = self.millis(since);
        self.with(host, |recent| {
            recent.slow.fetch_max(since, Ordering::Relaxed)
        });
    }

    /// Returns whether connects to a host are slow: none that began as late as the last slow connect has succeeded.
    pub(crate) fn are_slow(&self, host: &Host) -> bool {
        let are_slow = |recent: &Recent| {
            let last = recent.began(Family::V4).max(recent.began(Family::V6));
            recent.slow.load(Ordering::Relaxed) > last
        };
        self.look(host, are_slow) == Some(true)
    }

    /// Returns whether a connect to this address that began in a later millisecond than `since` has succeeded.
    pub(crate) fn has_connected_to(&self, addr: IpAddr, host: &Host, since: Instant) -> bool {
        let since = self.millis(since);
        self.look(host, |recent| recent.starts.is_later(addr, since)) == Some(true)
    }

    /// Returns whether a connect in one family to a host that began at `since` or later has succeeded.
    pub(crate) fn has_connected_in(&self, family: Family, host: &Host, since: Instant) -> bool {
        self.look(host, |recent| recent.began(family)) >= Some(self.millis(since))
    }

    /// Takes an attempt that starts because of time from the budget of a host, and returns whether one was left.
    #[must_use]
    pub(crate) fn take_from_budget(&self, host: &Host, now: Instant) -> bool {
        let now = self.millis(now);
        self.with(host, |recent| recent.take_from_budget(now))
    }

    /// Returns whether a slow connect may be given up for an untried address, and counts the give-up.
    ///
    /// The limit applies while no other connect to the host has succeeded; see [`latency::next_round`].
    #[must_use]
    pub(crate) fn take_give_up(&self, host: &Host, now: Instant) -> bool {
        let now = self.millis(now);
        self.with(host, |recent| {
            let round = latency::next_round(recent.round.load(Ordering::Relaxed), now);
            let taken = round.filter(|_| recent.take_from_budget(now));
            taken.inspect(|&round| recent.round.store(round, Ordering::Relaxed));
            taken.is_some()
        })
    }

    /// Returns whether a slow connect whose addresses have left the answer may be given up, and counts the give-up.
    ///
    /// The limit applies while no other connect to the host has succeeded; see [`latency::next_move`].
    #[must_use]
    pub(crate) fn take_move(&self, host: &Host, now: Instant) -> bool {
        let now = self.millis(now);
        self.with(host, |recent| {
            let moved = |moves| latency::next_move(moves, now);
            let taken = recent
                .moves
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
            taken.is_ok()
        })
    }

    /// Records that a slow connect to a host is given up, so that a retry follows.
    pub(crate) fn note_give_up(&self, host: &Host, now: Instant) {
        let now = self.millis(now);
        self.with(host, |recent| recent.given_up.store(now, Ordering::Relaxed));
    }

    /// Returns whether a slow connect was given up so recently that the next connect may be its retry.
    pub(crate) fn has_just_given_up(&self, host: &Host, now: Instant) -> bool {
        let given_up = self.look(host, |recent| recent.given_up.load(Ordering::Relaxed));
        let given_up = given_up.filter(|&at| at > 0);
        given_up.is_some_and(|at| self.millis(now).saturating_sub(at) < RETRY_MILLIS)
    }

    /// Forgets all hosts, as after a change of the network.
    pub(crate) fn clear(&self, now: Instant) {
        self.cleared.store(self.millis(now), Ordering::Relaxed);
        self.hosts.clear();
    }

    fn with<T>(&self, host: &Host, change: impl FnOnce(&Recent) -> T) -> T {
        let recent = self.find(host).unwrap_or_else(|| self.insert(host));
        change(&recent)
    }

    fn find(&self, host: &Host) -> Option<Arc<Recent>> {
        self.hosts.read(host, |_, recent| Arc::clone(recent))
    }

    /// Calls `look` with the recent connects of a host; the age of the host stays.
    fn look<T>(&self, host: &Host, look: impl FnOnce(&Recent) -> T) -> Option<T> {
        self.hosts
            .peek(host, |found| found.map(|(_, recent)| look(recent)))
    }

    fn insert(&self, host: &Host) -> Arc<Recent> {
        let recent = self.hosts.edit(host, |recent| match recent {
            Some(recent) => (Edit::Keep, Arc::clone(recent)),
            None => {
                let recent = Arc::<Recent>::default();
                (Edit::Put(Arc::clone(&recent)), recent)
            }
        });
        self.hosts
            .make_room(host, |_, _, age| Some(std::cmp::Reverse(age)));
        recent
    }

    /// Returns the milliseconds from the epoch to `at`, plus 1, so that 0 stands for no time.
    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).map_or(u64::MAX, |millis| millis.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addrs::v4;
    use crate::host::{self, Parsed};
    use crate::time;

    const MS: Duration = Duration::from_millis(1);

    fn host(text: &str) -> Host {
        match host::parse(text) {
            Ok(Parsed::Name(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    fn connects() -> (RecentConnects, Host, Instant) {
        let now = time::now();
        (RecentConnects::new(10, now), host("edge.test"), now)
    }

    fn connect(connects: &RecentConnects, host: &Host, port: u16, began: Instant, took: Duration) {
        let connect = SuccessfulConnect {
            addr: v4(1),
            port,
            began,
            took,
            is_remembered: true,
        };
        connects.connected(host, &connect);
    }

    #[test]
    fn the_median_follows_the_network_and_not_one_lost_packet() {
        let (connects, host, now) = connects();
        assert_eq!(connects.took(&host), None);
        connect(&connects, &host, 443, now, 20 * MS);
        assert_eq!(connects.took(&host), Some(20 * MS));
        connect(&connects, &host, 443, now, 1_020 * MS);
        assert_eq!(connects.took(&host), Some(20 * MS));
        for _ in 0..5 {
            connect(&connects, &host, 443, now, 700 * MS);
        }
        assert_eq!(connects.took(&host), Some(700 * MS));
    }

    #[test]
    fn the_last_port_and_the_last_start_are_known() {
        let (connects, host, now) = connects();
        assert_eq!(connects.port(&host), None);
        assert!(!connects.has_connected_since(&host, now));
        connect(&connects, &host, 443, now + 10 * MS, MS);
        connect(&connects, &host, 8443, now + 5 * MS, MS);
        assert_eq!(connects.port(&host), Some(8443));
        assert!(connects.has_connected_since(&host, now + 10 * MS));
        assert!(!connects.has_connected_since(&host, now + 11 * MS));
        assert!(connects.has_connected_in(Family::V4, &host, now));
        assert!(!connects.has_connected_in(Family::V6, &host, now));
    }

    #[test]
    fn a_connect_that_began_before_its_host_was_forgotten_is_no_last_resort() {
        let (connects, host, now) = connects();
        let left = || connects.left(&host, |_| false, now + 100 * MS).len();
        connect(&connects, &host, 443, now, MS);
        assert_eq!(left(), 1);
        connects.forget_addrs(&host, now + 10 * MS);
        assert_eq!(left(), 0);
        connect(&connects, &host, 443, now + 9 * MS, 10 * MS);
        assert_eq!(left(), 0);
        connect(&connects, &host, 443, now + 20 * MS, MS);
        assert_eq!(left(), 1);
        connects.clear(now + 30 * MS);
        connect(&connects, &host, 443, now + 29 * MS, 10 * MS);
        assert_eq!(left(), 0);
    }

    #[test]
    fn an_address_that_has_connected_since_is_known() {
        let (connects, host, now) = connects();
        connect(&connects, &host, 443, now + 10 * MS, MS);
        assert!(connects.has_connected_to(v4(1), &host, now + 9 * MS));
        assert!(!connects.has_connected_to(v4(1), &host, now + 10 * MS));
        assert!(!connects.has_connected_to(v4(2), &host, now));
    }

    #[test]
    fn each_host_has_a_budget_of_its_own() {
        let (connects, one, now) = connects();
        let taken = |host: &Host| {
            let take = |_: &i32| connects.take_from_budget(host, now);
            (0..100).take_while(take).count()
        };
        assert_eq!(taken(&one), 20);
        assert_eq!(taken(&host("other.test")), 20);
        for _ in 0..10 {
            connect(&connects, &one, 443, now, MS);
        }
        assert_eq!(taken(&one), 1);
    }

    #[test]
    fn a_slow_host_is_given_up_for_one_round() {
        let (connects, host, now) = connects();
        assert!(connects.take_give_up(&host, now));
        assert!(connects.take_give_up(&host, now + 2_800 * MS));
        assert!(!connects.take_give_up(&host, now + 2_801 * MS));
        connect(&connects, &host, 443, now, MS);
        assert!(connects.take_give_up(&host, now + 2_801 * MS));
    }

    /// A name server that names other addresses each time does not make a request start over forever.
    #[test]
    fn two_give_ups_find_out_whether_dns_has_moved() {
        let (connects, host, now) = connects();
        let take = |at| connects.take_move(&host, at);
        assert!(take(now) && take(now) && !take(now + 10_000 * MS));
        assert!(take(now + 10_001 * MS));
        connect(&connects, &host, 443, now, MS);
        assert!(take(now) && take(now) && !take(now));
    }

    #[test]
    fn memory_stays_bounded() {
        let (connects, _, now) = connects();
        for n in 0..1_000 {
            connect(&connects, &host(&format!("h{n}.test")), 443, now, MS);
        }
        assert!(connects.hosts.len() <= 10);
    }
}
