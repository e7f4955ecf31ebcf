//! Records by host and address. They outlive answers: looking up again does not clear them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use papaya::{Compute, HashMap, Operation, ResizeMode};

use crate::host::Host;
use crate::order::{Family, MAX_ADDRS};
use crate::penalty::{Failure, Rank, Record, Transition};

/// An address whose penalty is over and that somebody is to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) addr: IpAddr,
    /// Where a connect of our own finds out; `None`: a request does.
    pub(crate) port: Option<u16>,
}

/// How long a family without a route stays behind the other one.
const NO_ROUTE: Duration = Duration::from_secs(10);

/// `Host → (address, record)…`, bounded. Reads take no lock.
#[derive(Debug)]
pub(crate) struct Book {
    pages: HashMap<Host, Vec<(IpAddr, Record)>, RandomState>,
    hosts: AtomicUsize,
    capacity: usize,
    epoch: Instant,
    /// Until when each family has no route, in milliseconds since the epoch; IPv4, IPv6.
    no_route: [AtomicU64; 2],
}

impl Book {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        Self {
            // Why blocking: see `Store::new`.
            pages: HashMap::builder()
                .hasher(RandomState::default())
                .resize_mode(ResizeMode::Blocking)
                .build(),
            hosts: AtomicUsize::new(0),
            capacity,
            epoch: now,
            no_route: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// Takes a failure of one address whose dial began at `began`.
    pub(crate) fn fail(
        &self,
        host: &Host,
        addr: IpAddr,
        failure: &Failure,
        began: Instant,
        now: Instant,
        rng: &fastrand::Rng,
    ) -> Transition {
        self.make_room(host, now);
        self.edit(host, |page| {
            if !page.iter().any(|(other, _)| *other == addr) {
                page.retain(|(_, record)| !record.is_spent(now));
                page.truncate(MAX_ADDRS - 1);
                page.push((addr, Record::new(now)));
            }
            let last_turn = page.iter().filter_map(|(_, record)| record.turn()).max();
            let (_, record) = page.iter_mut().find(|(other, _)| *other == addr)?;
            Some(record.fail(
                failure,
                began,
                last_turn.unwrap_or(now),
                now,
                &mut rng.clone(),
            ))
        })
    }

    /// Takes a success whose dial began at `began`. It costs next to nothing while nothing is held
    /// against anyone.
    pub(crate) fn succeed(
        &self,
        host: &Host,
        addr: IpAddr,
        began: Instant,
        now: Instant,
    ) -> Transition {
        if self.is_empty() || !self.pages.pin().contains_key(host) {
            return Transition::None;
        }
        self.edit(host, |page| {
            let (_, record) = page.iter_mut().find(|(other, _)| *other == addr)?;
            Some(record.succeed(began, now))
        })
    }

    /// Notes the port at which a host was connected to. It costs next to nothing while nothing is
    /// held against anyone.
    pub(crate) fn learn_port(&self, host: &Host, port: u16) {
        if self.is_empty() || !self.pages.pin().contains_key(host) {
            return;
        }
        let _ = self.edit(host, |page| {
            let mut news = false;
            for (_, record) in page {
                news |= record.learn_port(port);
            }
            news.then_some(Transition::None)
        });
    }

    /// Takes the trial of an address whose penalty is over, if one is due. One caller gets it.
    pub(crate) fn take_trial(&self, host: &Host, addrs: &[IpAddr], now: Instant) -> Option<Trial> {
        let may_be_due = self.pages.pin().get(host).is_some_and(|page| {
            page.iter()
                .any(|(_, record)| record.rank(now) == Rank::Recovering)
        });
        if !may_be_due {
            return None;
        }
        let mut taken = None;
        let _ = self.edit(host, |page| {
            taken = page
                .iter_mut()
                .filter(|(addr, _)| addrs.contains(addr))
                .find_map(|(addr, record)| {
                    let port = record.probe_port();
                    let addr = *addr;
                    record.try_take_trial(now).then_some(Trial { addr, port })
                });
            taken.map(|_| Transition::None)
        });
        taken
    }

    /// Notes that a family has no route from here.
    pub(crate) fn no_route(&self, family: Family, now: Instant) -> Duration {
        self.no_route[family as usize].store(self.millis(now + NO_ROUTE), Ordering::Relaxed);
        NO_ROUTE
    }

    /// Notes that a family has a route. It costs next to nothing while nobody doubts it.
    pub(crate) fn has_route(&self, family: Family) {
        let flag = &self.no_route[family as usize];
        if flag.load(Ordering::Relaxed) != 0 {
            flag.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the family to dial first: the wanted one, unless it has no route and the other has.
    #[inline]
    pub(crate) fn leads(&self, wanted: Family, now: Instant) -> Family {
        let until = |family| self.no_route[family as usize].load(Ordering::Relaxed);
        if until(wanted) == 0 {
            return wanted;
        }
        let (now, other) = (self.millis(now), wanted.other());
        match until(wanted) > now && until(other) <= now {
            true => other,
            false => wanted,
        }
    }

    /// Whether nothing is held against any address of any host.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.load(Ordering::Acquire) == 0
    }

    /// Whether something may be held against an address of this host.
    pub(crate) fn holds(&self, host: &Host) -> bool {
        !self.is_empty() && self.pages.pin().contains_key(host)
    }

    /// Returns the hosts that something is or was held against.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        self.pages.pin().keys().cloned().collect()
    }

    /// Hands the host's records to `look`; none when nothing is held against any of it. A page
    /// with nothing left on it is torn out on the way.
    pub(crate) fn read<T>(
        &self,
        host: &str,
        now: Instant,
        look: impl FnOnce(&[(IpAddr, Record)]) -> T,
    ) -> T {
        if self.is_empty() {
            return look(&[]);
        }
        let pages = self.pages.pin();
        match pages.get_key_value(host) {
            None => look(&[]),
            Some((host, page)) if is_spent(page, now) => {
                self.drop_page(host, |page| !is_spent(page, now));
                look(&[])
            }
            Some((_, page)) => look(page),
        }
    }

    fn edit(
        &self,
        host: &Host,
        mut change: impl FnMut(&mut Vec<(IpAddr, Record)>) -> Option<Transition>,
    ) -> Transition {
        let mut told = None;
        let pages = self.pages.pin();
        let done = pages.compute(host.clone(), |page| {
            let mut page = page.map(|(_, page)| page.clone()).unwrap_or_default();
            told = change(&mut page);
            match told {
                Some(_) => Operation::Insert(page),
                None => Operation::Abort(()),
            }
        });
        if matches!(done, Compute::Inserted(..)) {
            self.hosts.fetch_add(1, Ordering::AcqRel);
        }
        told.unwrap_or(Transition::None)
    }

    /// Before a host is added to a full book: those with nothing left against them leave, and if
    /// those are few, others with the fewest strikes.
    fn make_room(&self, host: &Host, now: Instant) {
        let pages = self.pages.pin();
        if self.hosts.load(Ordering::Acquire) < self.capacity || pages.contains_key(host) {
            return;
        }
        let leave = self.capacity.div_ceil(16);
        let spent = pages
            .iter()
            .filter(|(_, page)| is_spent(page, now))
            .map(|(host, _)| host);
        let spent: Vec<&Host> = spent.collect();
        let mut others: Vec<_> = pages
            .iter()
            .map(|(host, page)| (worst(page), host))
            .collect();
        let more = leave.saturating_sub(spent.len()).min(others.len());
        if more > 0 {
            others.select_nth_unstable_by_key(more - 1, |&(worst, _)| worst);
        }
        let others = others[..more].iter().map(|&(_, host)| host);
        for host in spent.into_iter().chain(others) {
            self.drop_page(host, |_| false);
        }
    }

    /// Forgets all that is held against anybody, and which families have no route.
    pub(crate) fn clear(&self) {
        self.forget(|_| true);
        for flag in &self.no_route {
            flag.store(0, Ordering::Relaxed);
        }
    }

    /// Forgets what was held against anybody since then.
    pub(crate) fn forgive(&self, since: Instant) {
        self.forget(|record| record.since() >= since);
    }

    fn forget(&self, is_void: impl Fn(&Record) -> bool) {
        let pages = self.pages.pin();
        for host in pages.keys() {
            let _ = self.edit(host, |page| {
                page.retain(|(_, record)| !is_void(record));
                Some(Transition::None)
            });
            self.drop_page(host, |page| !page.is_empty());
        }
    }

    /// Tears a page out, unless a failure was written on it meanwhile and it is wanted.
    fn drop_page(&self, host: &Host, wanted: impl Fn(&[(IpAddr, Record)]) -> bool) {
        let pages = self.pages.pin();
        let done = pages.compute(host.clone(), |page| match page {
            Some((_, page)) if !wanted(page) => Operation::Remove,
            Some(_) | None => Operation::Abort(()),
        });
        if matches!(done, Compute::Removed(..)) {
            self.hosts.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

fn is_spent(page: &[(IpAddr, Record)], now: Instant) -> bool {
    page.iter().all(|(_, record)| record.is_spent(now))
}

/// The most strikes against one of a host's addresses.
fn worst(page: &[(IpAddr, Record)]) -> u32 {
    let strikes = page.iter().map(|(_, record)| record.strikes());
    strikes.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
