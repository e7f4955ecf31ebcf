//! Builds the snapshot of a resolver.

use std::net::IpAddr;
use std::time::Instant;

use super::Inner;
use crate::cache::CachedAnswer;
use crate::events::{AddressSnapshot, AddressState, HostSnapshot, Snapshot};
use crate::health::record::{AddressRecord, Rank};
use crate::host::Host;
use crate::time;

impl Inner {
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = time::now();
        let mut hosts = Vec::with_capacity(self.cache.len());
        self.cache.for_each(|host, is_suspect| {
            if !self.cache.has_override(host.as_str()) {
                let known = self.cache.current(host, now);
                hosts.push(self.view(host.as_str(), known.as_deref(), is_suspect, now));
            }
        });
        let overrides = self.cache.overrides();
        for (name, _) in overrides.iter() {
            if let Some(overridden) = self.cache.override_for(&name, now) {
                hosts.push(self.view(&name, Some(&overridden), false, now));
            }
        }
        let of_suffix = |host: &Host| overrides.get(host.as_str()).is_none();
        for host in self.health.hosts().into_iter().filter(of_suffix) {
            if let Some(overridden) = self.cache.override_for(host.as_str(), now) {
                hosts.push(self.view(host.as_str(), Some(&overridden), false, now));
            }
        }
        hosts.sort_by(|one, other| one.host.cmp(&other.host));
        Snapshot::of(self.observers.counters(), hosts)
    }

    fn view(
        &self,
        host: &str,
        known: Option<&CachedAnswer>,
        suspect: bool,
        now: Instant,
    ) -> HostSnapshot {
        let addrs = known.map_or(&[][..], |known| known.addrs.as_slice());
        let addrs = self.health.read(host, now, |records| {
            let view = |&addr| of_address(addr, records.find(addr), now);
            addrs.iter().map(view).collect()
        });
        HostSnapshot {
            host: host.to_owned(),
            addrs,
            source: known.map(|known| known.source(suspect, now)),
            age: known.map(|known| known.age(now)),
            life_left: known.map(|known| known.expires_at.saturating_duration_since(now)),
            suspect,
        }
    }
}

fn of_address(addr: IpAddr, record: Option<&AddressRecord>, now: Instant) -> AddressSnapshot {
    let end = record.and_then(AddressRecord::end);
    let left = end.map(|end| end.saturating_duration_since(now));
    let until = left.filter(|left| !left.is_zero());
    AddressSnapshot {
        addr,
        state: match record.map(|record| record.rank(now)) {
            None | Some(Rank::Healthy) => AddressState::Healthy,
            Some(
                Rank::Trial
                | Rank::Doubtful
                | Rank::Accepted(_)
                | Rank::Probation
                | Rank::ClosesEarly,
            ) => AddressState::Probation,
            Some(Rank::Penalized(_)) => AddressState::Penalized,
        },
        since: record.map(|record| now.saturating_duration_since(record.state_since())),
        until,
        why: record.map(AddressRecord::why),
        error: record
            .and_then(AddressRecord::error)
            .map(ToString::to_string),
        strikes: record.map_or(0, AddressRecord::strikes),
    }
}
