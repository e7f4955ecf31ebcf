//! Counts events. A cache hit is no event, so that a hit writes no memory that threads share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Event;

/// Number of events of each kind.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lookups: AtomicU64,
    pub(crate) failed_lookups: AtomicU64,
    pub(crate) fell_back: AtomicU64,
    pub(crate) served_stale: AtomicU64,
    pub(crate) invalidations: AtomicU64,
    pub(crate) failed_addresses: AtomicU64,
    pub(crate) recovered_addresses: AtomicU64,
    pub(crate) trials: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) refused_addresses: AtomicU64,
    pub(crate) retired_connections: AtomicU64,
    pub(crate) dark_families: AtomicU64,
}

impl Counters {
    pub(super) fn observe(&self, event: &Event<'_>) {
        let counter = match event {
            Event::LookupStarted { .. } => &self.lookups,
            Event::LookupFailed { .. } => &self.failed_lookups,
            Event::FallbackServed { .. } => &self.fell_back,
            Event::ServedStale { .. } => &self.served_stale,
            Event::Invalidated { .. } => &self.invalidations,
            Event::AddressFailed { .. } => &self.failed_addresses,
            Event::AddressRecovered { .. } => &self.recovered_addresses,
            Event::TrialStarted { .. } => &self.trials,
            Event::Probe { .. } => &self.probes,
            Event::AddressRefused { .. } => &self.refused_addresses,
            Event::ConnectionDrained { .. } => &self.retired_connections,
            Event::FamilyDark { .. } => &self.dark_families,
            Event::LookupSucceeded { .. }
            | Event::NetworkChanged
            | Event::NetworkDown
            | Event::NetworkUp
            | Event::NeverAsked { .. }
            | Event::NoRoute { .. }
            | Event::ContextLost { .. } => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
