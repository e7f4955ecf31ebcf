//! Resolves names for a race, which gets one address per attempt, and a fresh answer later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Inner;
use crate::addrs::AddressList;
use crate::attempt::{AttemptContext, Resolution};
use crate::cache::CachedAnswer;
use crate::host::Host;
use crate::time;

impl Inner {
    /// Selects one address for the first attempt of a race, and stores all addresses in its attempt context.
    ///
    /// Returns false if the attempt context does not begin a race.
    #[inline(never)]
    pub(super) fn start_race(
        &self,
        host: &Host,
        known: &CachedAnswer,
        context: &AttemptContext,
        now: Instant,
        selected: &mut AddressList,
    ) -> bool {
        let first = context.start_race(|| self.all_for_race(host, known, now));
        if let Some(first) = first {
            selected.push(first);
            context.record(self.resolution(host, known, selected.clone(), now));
        }
        first.is_some()
    }

    /// Selects the address that an attempt of a race is for, and returns false if there is none.
    ///
    /// The address was selected when the race began, so nothing is looked up.
    #[inline(never)]
    pub(super) fn assigned_address(
        context: &AttemptContext,
        name: &str,
        selected: &mut AddressList,
    ) -> bool {
        let Some(resolution) = context.assigned(name) else {
            return false;
        };
        *selected = resolution.addrs.clone();
        let at = time::now();
        context.record(Resolution {
            resolved_at: at,
            ..resolution
        });
        true
    }

    /// Returns the addresses of a host in order, for a race whose attempts are slow or have failed.
    ///
    /// If the answer is suspect, the method waits for a fresh answer; see [`Cache::reresolved`]. Returns `None` if there
    /// is no answer. The race has its last resort from the start, so the method adds none.
    ///
    /// [`Cache::reresolved`]: crate::cache::Cache::reresolved
    pub(crate) async fn reresolved(
        self: Arc<Self>,
        host: Host,
    ) -> Option<(Resolution, Vec<IpAddr>)> {
        let known = self.cache.reresolved(&host).await?;
        let now = time::now();
        let addrs = self.all_in_order(&host, &known, now);
        let resolution = self.resolution(&host, &known, AddressList::new(), now);
        Some((resolution, addrs.into_vec()))
    }

    /// Returns the addresses that a race attempts next while its host is looked up, in order.
    ///
    /// They are those of the current answer. If that answer is newer than the one of the race and a fresh answer is on
    /// its way, the method returns `None`: the newer answer has failed for other connects, and the attempts of the race
    /// are limited.
    pub(crate) fn meanwhile(&self, resolution: &Resolution) -> Option<(Resolution, Vec<IpAddr>)> {
        let now = time::now();
        let host = &resolution.host;
        let known = self.cache.current(host, now)?;
        if known.generation != resolution.generation {
            return match self.cache.expects_fresh_answer(host, now) {
                true => None,
                false => self.newer_answer(resolution),
            };
        }
        let addrs = self.all_with_trial(host, &known, None, now);
        Some((resolution.clone(), addrs.into_vec()))
    }

    /// Returns the addresses of the current answer in order, if `resolution` is of another answer.
    pub(crate) fn newer_answer(
        &self,
        resolution: &Resolution,
    ) -> Option<(Resolution, Vec<IpAddr>)> {
        let now = time::now();
        let known = self.cache.current(&resolution.host, now)?;
        if known.generation == resolution.generation {
            return None;
        }
        let addrs = self.all_in_order(&resolution.host, &known, now);
        let resolution = self.resolution(&resolution.host, &known, AddressList::new(), now);
        Some((resolution, addrs.into_vec()))
    }
}
