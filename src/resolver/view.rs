//! The snapshot.

use std::net::IpAddr;
use std::time::Instant;

use super::Shared;
use crate::cache::Known;
use crate::host::Host;
use crate::observe::{AddressView, HostView, Snapshot, Source, Standing};
use crate::penalty::{Rank, Record};
use crate::time;

impl Shared {
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = time::now();
        let mut hosts = Vec::with_capacity(self.store.len());
        self.store.for_each(|host, slot| {
            if self.pins.find(host.as_str()).is_none() {
                let known = slot.known().map(|known| &**known);
                hosts.push(self.view(host.as_str(), known, slot.is_suspect(), now));
            }
        });
        for (name, _) in self.pins.rows() {
            if let Some(pinned) = self.pinned(&name, now) {
                hosts.push(self.view(&name, Some(&pinned), false, now));
            }
        }
        let of_suffix = |host: &Host| self.pins.get(host.as_str()).is_none();
        for host in self.book.hosts().into_iter().filter(of_suffix) {
            if let Some(pinned) = self.pinned(host.as_str(), now) {
                hosts.push(self.view(host.as_str(), Some(&pinned), false, now));
            }
        }
        hosts.sort_by(|one, other| one.host.cmp(&other.host));
        Snapshot::of(self.observers.counters(), hosts)
    }

    fn view(&self, host: &str, known: Option<&Known>, suspect: bool, now: Instant) -> HostView {
        let addrs = known.map_or(&[][..], |known| known.addrs.as_slice());
        let addrs = self.book.read(host, now, |page| {
            let view = |&addr| {
                let record = page.iter().find(|(other, _)| *other == addr);
                of_address(addr, record.map(|(_, record)| record), now)
            };
            addrs.iter().map(view).collect()
        });
        HostView {
            host: host.to_owned(),
            addrs,
            source: known.map(|known| Source::of(known, suspect, now)),
            age: known.map(|known| known.age(now)),
            life_left: known.map(|known| known.expires_at.saturating_duration_since(now)),
            suspect,
        }
    }
}

fn of_address(addr: IpAddr, record: Option<&Record>, now: Instant) -> AddressView {
    let end = record.and_then(Record::end);
    let left = end.map(|end| end.saturating_duration_since(now));
    let until = left.filter(|left| !left.is_zero());
    AddressView {
        addr,
        standing: match record.map(|record| record.rank(now)) {
            None | Some(Rank::Healthy) => Standing::Healthy,
            Some(Rank::Trial | Rank::Doubtful | Rank::Recovering | Rank::ClosesEarly) => {
                Standing::Recovering
            }
            Some(Rank::Penalised(_)) => Standing::Penalised(until.unwrap_or_default()),
        },
        since: record.map(|record| now.saturating_duration_since(record.stands_since())),
        until,
        why: record.map(Record::why),
        error: record.and_then(Record::error).map(ToString::to_string),
        strikes: record.map_or(0, Record::strikes),
    }
}
