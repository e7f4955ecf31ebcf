//! Health records by host and address, which outlive answers.
//!
//! A new lookup of a host does not clear its records.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::addrs::{Family, MAX_ADDRS};
use crate::bounded::{Bounded, Edit};
use crate::health::record::{AddressRecord, Failure, Rank, Transition};
use crate::host::Host;

/// The trial of an address whose penalty is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) addr: IpAddr,
    /// The port of the probe that tries the address; `None` if a request tries the address.
    pub(crate) port: Option<u16>,
}

/// Most early probes that one slow connect starts.
const EARLY_PROBES: usize = 8;
/// How long a family goes second after a connect found no route.
const NO_ROUTE: Duration = Duration::from_secs(10);
/// Stands for a family of which one address was slow, and which goes first all the same.
const SLOW_ONCE: u64 = 1;
/// How long a family goes second after two of its addresses were slow while the other family connected.
const DARK: Duration = Duration::from_secs(300);

/// The health records of all hosts, in a bounded map whose reads take no lock.
#[derive(Debug)]
pub(crate) struct HealthStore {
    hosts: Bounded<Host, Vec<(IpAddr, AddressRecord)>>,
    epoch: Instant,
    /// Until when each family (IPv4, IPv6) goes second, in milliseconds since `epoch`.
    ///
    /// 0 if the family was neither slow nor without a route since its last connect.
    second_until: [AtomicU64; 2],
    /// The last address of each family that was slow while the other family connected, and when that was.
    slow: [Mutex<Option<(IpAddr, Instant)>>; 2],
    /// Number of outages of the local network so far.
    outages: AtomicU32,
    /// Start of the last outage, in milliseconds since `epoch`.
    ///
    /// Failures between the start and the end of the outage are void.
    void_since: AtomicU64,
}

impl HealthStore {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        Self {
            hosts: Bounded::new(capacity),
            epoch: now,
            second_until: [AtomicU64::new(0), AtomicU64::new(0)],
            slow: Default::default(),
            outages: AtomicU32::new(0),
            void_since: AtomicU64::new(0),
        }
    }

    /// Records a failed attempt at one address, which began at `began`.
    pub(crate) fn record_failure(
        &self,
        host: &Host,
        addr: IpAddr,
        failure: &Failure,
        began: Instant,
        now: Instant,
        rng: &fastrand::Rng,
    ) -> Transition {
        let transition = self.edit(host, |records| {
            let outages = self.outages.load(Ordering::Acquire);
            let last_turn = records.iter().filter_map(|(_, record)| record.turn()).max();
            let record = record_of(records, addr, now)?;
            let last_turn = last_turn.unwrap_or(now);
            let transition =
                record.record_failure(failure, began, last_turn, now, &mut rng.clone());
            if transition != Transition::None {
                record.failed_after(outages);
            }
            Some(transition)
        });
        self.make_room(host, now);
        transition
    }

    /// Records a successful attempt at one address, which began at `began`.
    ///
    /// While no host has a record, the call reads one atomic.
    pub(crate) fn record_success(
        &self,
        host: &Host,
        addr: IpAddr,
        began: Instant,
        now: Instant,
    ) -> Transition {
        if !self.has_records(host) {
            return Transition::None;
        }
        self.edit_record(host, addr, |record| record.record_success(began, now))
    }

    /// Records a probe that began at `began` and has connected to an address.
    pub(crate) fn accepts(
        &self,
        host: &Host,
        addr: IpAddr,
        began: Instant,
        now: Instant,
    ) -> Transition {
        self.edit_record(host, addr, |record| record.accept(began, now))
    }

    /// Records that a connect to an address hangs although a probe has connected to the address.
    ///
    /// Returns whether a probe had connected.
    pub(crate) fn withdraw_probe(&self, host: &Host, addr: IpAddr) -> bool {
        let mut was_reached = false;
        let _ = self.edit(host, |records| {
            let (_, record) = records.iter_mut().find(|(other, _)| *other == addr)?;
            was_reached = record.withdraw_probe();
            was_reached.then_some(Transition::None)
        });
        was_reached
    }

    /// Puts a healthy address in doubt, and returns whether the address was healthy before.
    pub(crate) fn doubt(
        &self,
        host: &Host,
        addr: IpAddr,
        awaits_probe: bool,
        now: Instant,
    ) -> bool {
        let mut is_news = false;
        let _ = self.edit(host, |records| {
            let record = record_of(records, addr, now)?;
            is_news = record.doubt(awaits_probe, now);
            is_news.then_some(Transition::None)
        });
        self.make_room(host, now);
        is_news
    }

    /// Returns the addresses of a host that are in doubt and wait for a probe.
    ///
    /// Each address is returned to one caller only.
    pub(crate) fn take_probes(&self, host: &Host, now: Instant) -> Vec<IpAddr> {
        self.take_each(
            host,
            MAX_ADDRS,
            |_, record| record.awaits_probe(now),
            |record| record.try_take_probe(now),
        )
    }

    /// Returns the addresses of `addrs` that are to be probed before their penalties end.
    ///
    /// Each address is returned to one caller only, and every 5 s at most. One call returns eight addresses at most.
    pub(crate) fn take_early_probes(
        &self,
        host: &Host,
        addrs: &[IpAddr],
        now: Instant,
    ) -> Vec<IpAddr> {
        self.take_each(
            host,
            EARLY_PROBES,
            |addr, record| addrs.contains(&addr) && record.is_early_probe_due(now),
            |record| record.try_take_early_probe(now),
        )
    }

    /// Returns at most `most` addresses of a host that are due and whose records `take` has taken.
    ///
    /// While no address is due, no record is copied.
    fn take_each(
        &self,
        host: &Host,
        most: usize,
        is_due: impl Fn(IpAddr, &AddressRecord) -> bool,
        take: impl Fn(&mut AddressRecord) -> bool,
    ) -> Vec<IpAddr> {
        let any_due = |records: &Vec<(IpAddr, AddressRecord)>| {
            records.iter().any(|(addr, record)| is_due(*addr, record))
        };
        let found = self.hosts.peek(host, |found| {
            found.is_some_and(|(_, records)| any_due(records))
        });
        let mut taken = Vec::new();
        if found {
            let _ = self.edit(host, |records| {
                let due = records
                    .iter_mut()
                    .filter(|(addr, record)| is_due(*addr, record));
                let each = due.filter_map(|(addr, record)| take(record).then_some(*addr));
                taken = each.take(most).collect();
                (!taken.is_empty()).then_some(Transition::None)
            });
        }
        taken
    }

    /// Returns the trial of an address whose penalty is over, if one is due.
    ///
    /// A probe to `port` comes first. A request tries the address if a probe has connected and was not enough, or if
    /// there is no `port`. Only one caller gets each trial. For half a second after a failure of the host no request
    /// tries an address, because the request may be a retry. The same holds if `may_be_retry` returns true.
    pub(crate) fn take_trial(
        &self,
        host: &Host,
        addrs: &[IpAddr],
        port: Option<u16>,
        may_be_retry: impl FnOnce() -> bool,
        now: Instant,
    ) -> Option<Trial> {
        let is_due = |(_, record): &(_, AddressRecord)| record.rank(now) == Rank::Probation;
        let may_be_due = |records: &Vec<(IpAddr, AddressRecord)>| records.iter().any(is_due);
        let found = self.hosts.peek(host, |found| {
            found.is_some_and(|(_, records)| may_be_due(records))
        });
        if !found {
            return None;
        }
        let may_be_retry = may_be_retry();
        let mut taken = None;
        let _ = self.edit(host, |records| {
            let has_just_failed = records
                .iter()
                .any(|(_, record)| record.has_just_failed(now));
            let may_request = !has_just_failed && !may_be_retry;
            let listed = records.iter_mut().filter(|(addr, _)| addrs.contains(addr));
            taken = listed.into_iter().find_map(|(addr, record)| {
                let port = port.filter(|_| !record.needs_request());
                let may = port.is_some() || may_request;
                let addr = *addr;
                (may && record.try_take_trial(now)).then_some(Trial { addr, port })
            });
            taken.map(|_| Transition::None)
        });
        taken
    }

    /// Records that this machine has no route for a family, and returns how long the family goes second.
    pub(crate) fn no_route(&self, family: Family, now: Instant) -> Duration {
        self.goes_second(family, NO_ROUTE, now);
        NO_ROUTE
    }

    /// Records an address that was slow while the other family connected, and puts a dark family second.
    ///
    /// A family is dark if two of its addresses, of any hosts, were slow within 300 s and the family has not connected
    /// in between. Returns how long the family goes second, if the family went first before.
    pub(crate) fn deprioritize_if_dark(&self, addr: IpAddr, now: Instant) -> Option<Duration> {
        let family = Family::of(addr);
        let before = self.slow(family).replace((addr, now));
        self.second_until[family as usize].fetch_max(SLOW_ONCE, Ordering::Relaxed);
        let (other, at) = before?;
        let is_dark = other != addr && now.saturating_duration_since(at) < DARK;
        (is_dark && self.goes_second(family, DARK, now)).then_some(DARK)
    }

    fn slow(&self, family: Family) -> MutexGuard<'_, Option<(IpAddr, Instant)>> {
        let slow = &self.slow[family as usize];
        slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a family second for `time`, and returns whether the family went first before.
    fn goes_second(&self, family: Family, time: Duration, now: Instant) -> bool {
        let until = self.millis(now + time);
        let before = self.second_until[family as usize].fetch_max(until, Ordering::Relaxed);
        before <= self.millis(now)
    }

    /// Records that a family connects, so that the family no longer goes second.
    ///
    /// Unless the family was slow or without a route, the call reads one atomic.
    pub(crate) fn family_connects(&self, family: Family) {
        let until = &self.second_until[family as usize];
        if until.load(Ordering::Relaxed) != 0 {
            *self.slow(family) = None;
            until.store(0, Ordering::Relaxed);
        }
    }

    /// Returns whether a family goes second, because it has no route or is dark.
    pub(crate) fn is_second(&self, family: Family, now: Instant) -> bool {
        let until = self.second_until[family as usize].load(Ordering::Relaxed);
        until != 0 && until > self.millis(now)
    }

    /// Returns the family to connect to first: `wanted`, unless only that family has no route or is dark.
    #[inline]
    pub(crate) fn preferred_family(&self, wanted: Family, now: Instant) -> Family {
        let until = |family| self.second_until[family as usize].load(Ordering::Relaxed);
        if until(wanted) == 0 {
            return wanted;
        }
        let (now, other) = (self.millis(now), wanted.other());
        match until(wanted) > now && until(other) <= now {
            true => other,
            false => wanted,
        }
    }

    /// Returns whether no host has a record.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Returns whether a host has records.
    pub(crate) fn has_records(&self, host: &Host) -> bool {
        !self.is_empty() && self.hosts.contains(host)
    }

    /// Returns the hosts that have records, spent records included.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        let mut hosts = Vec::with_capacity(self.hosts.len());
        self.hosts.for_each(|host, _| hosts.push(host.clone()));
        hosts
    }

    /// Calls `look` with the records of a host, or with an empty slice if there are none.
    ///
    /// The call first removes void records, and the host if all of its records are spent.
    pub(crate) fn read<T>(
        &self,
        host: &str,
        now: Instant,
        look: impl FnOnce(&[(IpAddr, AddressRecord)]) -> T,
    ) -> T {
        if self.is_empty() {
            return look(&[]);
        }
        let mut outdated = None;
        let result = self.hosts.peek(host, |found| match found {
            None => Ok(look(&[])),
            Some((_, records)) if !self.is_outdated(records, now) => Ok(look(records)),
            Some((host, _)) => {
                outdated = Some(host.clone());
                Err(look)
            }
        });
        match result {
            Ok(result) => result,
            Err(look) => {
                outdated.inspect(|host| self.clean(host, now));
                let records = self
                    .hosts
                    .peek(host, |found| found.map(|(_, records)| records.clone()));
                look(&records.unwrap_or_default())
            }
        }
    }

    /// Returns whether [`clean`](Self::clean) has something to remove.
    fn is_outdated(&self, records: &[(IpAddr, AddressRecord)], now: Instant) -> bool {
        is_spent(records, now) || records.iter().any(|(_, record)| self.is_void(record))
    }

    /// Returns whether a record's last failure happened during the last outage.
    fn is_void(&self, record: &AddressRecord) -> bool {
        let outages = self.outages.load(Ordering::Acquire);
        let is_before_it = record.outages_before().wrapping_add(1) == outages;
        is_before_it && self.millis(record.since()) >= self.void_since.load(Ordering::Relaxed)
    }

    /// Removes the void records of a host, and the host if all other records are spent.
    fn clean(&self, host: &Host, now: Instant) {
        let _ = self.edit(host, |_| Some(Transition::None));
        self.remove_unless(host, |records| !is_spent(records, now));
    }

    fn edit(
        &self,
        host: &Host,
        mut change: impl FnMut(&mut Vec<(IpAddr, AddressRecord)>) -> Option<Transition>,
    ) -> Transition {
        self.hosts.edit(host, |records| {
            let mut records = records.cloned().unwrap_or_default();
            records.retain(|(_, record)| !self.is_void(record));
            match change(&mut records) {
                Some(result) => (Edit::Put(records), result),
                None => (Edit::Keep, Transition::None),
            }
        })
    }

    /// Changes the record of an address, if there is one.
    fn edit_record(
        &self,
        host: &Host,
        addr: IpAddr,
        mut change: impl FnMut(&mut AddressRecord) -> Transition,
    ) -> Transition {
        self.edit(host, |records| {
            let (_, record) = records.iter_mut().find(|(other, _)| *other == addr)?;
            Some(change(record))
        })
    }

    /// Removes hosts if the store exceeds its capacity, after a host was added.
    ///
    /// Hosts with outdated records are removed first, and then hosts with the fewest strikes. Among equals, the host
    /// whose records changed longest ago is removed first.
    fn make_room(&self, host: &Host, now: Instant) {
        self.hosts.make_room(host, |_, records, _| {
            let last = records.iter().map(|(_, record)| record.since()).max();
            Some((!self.is_outdated(records, now), max_strikes(records), last))
        });
    }

    /// Removes all records, after which no family goes second.
    pub(crate) fn clear(&self) {
        self.hosts.clear();
        for family in [Family::V4, Family::V6] {
            self.family_connects(family);
        }
    }

    /// Makes the failures from `since` to this call void.
    ///
    /// The records of a host are cleaned when they are read or changed next, so that no caller pays for all
    /// hosts.
    pub(crate) fn clear_since(&self, since: Instant) {
        self.void_since.store(self.millis(since), Ordering::Relaxed);
        self.outages.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes the records of a host unless `wanted` returns true.
    ///
    /// `wanted` returns true if another thread has recorded a failure meanwhile.
    fn remove_unless(&self, host: &Host, wanted: impl Fn(&[(IpAddr, AddressRecord)]) -> bool) {
        self.hosts.edit(host, |records| match records {
            Some(records) if !wanted(records) => (Edit::Remove, ()),
            Some(_) | None => (Edit::Keep, ()),
        });
    }

    /// In milliseconds since the epoch; 1 at the epoch, so that 0 is no time.
    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).map_or(u64::MAX, |millis| millis.saturating_add(1))
    }
}

/// Returns the record of an address, and creates the record if there is none.
fn record_of(
    records: &mut Vec<(IpAddr, AddressRecord)>,
    addr: IpAddr,
    now: Instant,
) -> Option<&mut AddressRecord> {
    if !records.iter().any(|(other, _)| *other == addr) {
        records.retain(|(_, record)| !record.is_spent(now));
        if records.len() >= MAX_ADDRS {
            drop_oldest(records, now);
        }
        records.push((addr, AddressRecord::new(now)));
    }
    let found = records.iter_mut().find(|(other, _)| *other == addr);
    found.map(|(_, record)| record)
}

/// Removes one record to make room for another.
///
/// Records of healthy addresses are removed first. Among equals, the record that changed longest ago is removed first.
fn drop_oldest(records: &mut Vec<(IpAddr, AddressRecord)>, now: Instant) {
    let is_bad = |record: &AddressRecord| record.rank(now) != Rank::Healthy;
    let age =
        |(_, (_, record)): &(usize, &(IpAddr, AddressRecord))| (is_bad(record), record.since());
    let oldest = records.iter().enumerate().min_by_key(age);
    if let Some((place, _)) = oldest {
        records.remove(place);
    }
}

fn is_spent(records: &[(IpAddr, AddressRecord)], now: Instant) -> bool {
    records.iter().all(|(_, record)| record.is_spent(now))
}

/// Returns the most strikes of one address of a host.
fn max_strikes(records: &[(IpAddr, AddressRecord)]) -> u32 {
    let strikes = records.iter().map(|(_, record)| record.strikes());
    strikes.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
