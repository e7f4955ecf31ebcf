//! The snapshot.

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
        Snapshot::of(&self.observers.counters, hosts)
    }

    fn view(&self, host: &str, known: Option<&Known>, suspect: bool, now: Instant) -> HostView {
        let addrs = known.map_or(&[][..], |known| known.addrs.as_slice());
        let addrs = self.book.read(host, now, |page| {
            let view = |&addr| {
                let record = page
                    .iter()
                    .find(|(other, _)| *other == addr)
                    .map(|(_, record)| record);
                AddressView {
                    addr,
                    standing: record.map_or(Standing::Healthy, |record| standing(record, now)),
                    why: record.map(|record| record.why()),
                    strikes: record.map_or(0, |record| record.strikes()),
                }
            };
            addrs.iter().map(view).collect()
        });
        HostView {
            host: host.to_owned(),
            addrs,
            source: known.map(|known| Source::of(known, suspect, now)),
            age: known.map(|known| now.saturating_duration_since(known.asked_at)),
            life_left: known.map(|known| known.expires_at.saturating_duration_since(now)),
            suspect,
        }
    }
}

fn standing(record: &Record, now: Instant) -> Standing {
    let left = |end: Option<Instant>| end.map(|end| end.saturating_duration_since(now));
    match record.rank(now) {
        Rank::Healthy => Standing::Healthy,
        Rank::Trial | Rank::Recovering => Standing::Recovering,
        Rank::Penalised(_) => Standing::Penalised(left(record.end()).unwrap_or_default()),
    }
}
