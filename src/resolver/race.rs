//! What a race asks: one address after the other, and a fresh answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::attempt::{Note, Slip};
use crate::cache::{Cause, Known, Origin, Slot};
use crate::host::Host;
use crate::order::Dealt;
use crate::time;

impl Shared {
    /// Deals the first attempt of a race one address, and lets the race keep all.
    #[inline(never)]
    pub(super) fn deal_first(
        self: &Arc<Self>,
        host: &Host,
        known: &Known,
        slip: &Slip,
        now: Instant,
        dealt: &mut Dealt,
    ) -> bool {
        let first = slip.keep_all(|| self.all_for_race(host, known, now));
        if let Some(first) = first {
            dealt.push(first);
            slip.write(self.note(host, known, dealt.clone(), now));
        }
        first.is_some()
    }

    /// Deals an attempt of a race the address that is its own. It was judged when the race began, so that
    /// nothing is looked up.
    #[inline(never)]
    pub(super) fn deal_pin(slip: &Slip, name: &str, dealt: &mut Dealt) -> bool {
        let Some(note) = slip.pin(name) else {
            return false;
        };
        *dealt = note.dealt.clone();
        let at = time::now();
        slip.write(Note { at, ..note });
        true
    }

    /// Returns a host's addresses in dialling order after all of them have failed somebody: where what is
    /// known is suspect it waits for a fresh answer, at most [`stale_after`](crate::Builder::stale_after), and
    /// for one that is put off as long before that. `None` where there is no answer.
    ///
    /// The race has its last resort from the start, so none is added here.
    ///
    /// What is still held to be healthy, as a family without a route, is no reason not to wait here.
    pub(crate) async fn again(self: Arc<Self>, host: Host) -> Option<(Note, Vec<IpAddr>)> {
        if let Some(due) = self.put_off(&host) {
            tokio::time::sleep_until(due.into()).await;
        }
        let mut known = self.known(&host).await.ok()?;
        if known.origin == Origin::Lookup && self.may_be_replaced(&host) {
            let fresh = self.ask_or_serve(&host, Cause::ConnectFailed, known);
            known = fresh.await.ok()?;
        }
        let now = time::now();
        let addrs = self.all_in_order(&host, &known, now);
        let note = self.note(&host, &known, Dealt::new(), now);
        Some((note, addrs.into_vec()))
    }

    /// Returns the current answer of a host if it is another one than `note` is about, in dialling order.
    pub(crate) fn newer_answer(self: &Arc<Self>, note: &Note) -> Option<(Note, Vec<IpAddr>)> {
        let now = time::now();
        let known = self.current(&note.host, now)?;
        if known.generation == note.generation {
            return None;
        }
        let addrs = self.all_in_order(&note.host, &known, now);
        let note = self.note(&note.host, &known, Dealt::new(), now);
        Some((note, addrs.into_vec()))
    }

    /// Returns when the host may be looked up again, if that is soon.
    fn put_off(&self, host: &Host) -> Option<Instant> {
        let now = time::now();
        let due = self.store.peek(host.as_str(), |slot| slot.recheck_at(now));
        let is_soon = |due: &Instant| *due > now && *due <= now + self.config.stale_after;
        due.flatten().filter(is_soon)
    }

    /// Whether a suspect answer is being looked up again, or may be.
    fn may_be_replaced(&self, host: &Host) -> bool {
        let now = time::now();
        let open = |slot: &Slot| match slot.recheck_at(now) {
            Some(due) => due <= now,
            None => slot.is_suspect(),
        };
        self.store.peek(host.as_str(), open) == Some(true)
    }
}
