//! The events of a resolver, in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sidestep::{DrainReason, Event, Outcome};
use tokio::sync::watch;

use crate::within;

/// An event of a resolver.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Asked,
    Failed(IpAddr, Outcome),
    Recovered(IpAddr),
    Trial(IpAddr),
    Probe(IpAddr),
    Invalidated,
    ServedStale,
    NoRoute,
    FamilyDark,
    Retired(IpAddr, DrainReason),
    ContextLost,
}

/// The events of a resolver, in order.
#[derive(Clone, Default)]
pub struct Journal(Arc<watch::Sender<Vec<Seen>>>, Arc<AtomicUsize>);

impl Journal {
    pub fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let (journal, lookups) = (self.0.clone(), self.1.clone());
        move |event| {
            match event {
                Event::LookupStarted { .. } => drop(lookups.fetch_add(1, Ordering::SeqCst)),
                Event::LookupSucceeded { .. } | Event::LookupFailed { .. } => {
                    lookups.fetch_sub(1, Ordering::SeqCst);
                }
                _ => {}
            }
            if let Some(seen) = seen(event) {
                journal.send_modify(|all| all.push(seen));
            }
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }

    /// Returns whether a lookup is in flight.
    pub fn is_looking_up(&self) -> bool {
        self.1.load(Ordering::SeqCst) > 0
    }

    pub fn count(&self, is: impl Fn(&Seen) -> bool) -> usize {
        self.0.borrow().iter().filter(|seen| is(seen)).count()
    }

    pub fn failures(&self) -> Vec<(IpAddr, Outcome)> {
        let failed = |seen: &Seen| match seen {
            Seen::Failed(addr, outcome) => Some((*addr, *outcome)),
            _ => None,
        };
        self.0.borrow().iter().filter_map(failed).collect()
    }

    /// Waits until an event has happened.
    #[track_caller]
    pub fn saw(&self, is: impl Fn(&Seen) -> bool) -> impl Future<Output = ()> {
        let mut all = self.0.subscribe();
        within("the event", async move {
            let seen = all.wait_for(|all| all.iter().any(&is)).await;
            drop(seen.expect("the journal lives as long as its test"));
        })
    }
}

fn seen(event: &Event<'_>) -> Option<Seen> {
    Some(match *event {
        Event::LookupStarted { .. } => Seen::Asked,
        Event::AddressFailed { addr, outcome, .. } => Seen::Failed(addr, outcome),
        Event::AddressRecovered { addr, .. } => Seen::Recovered(addr),
        Event::TrialStarted { addr, .. } => Seen::Trial(addr),
        Event::Probe { addr, .. } => Seen::Probe(addr),
        Event::Invalidated { .. } => Seen::Invalidated,
        Event::ServedStale { .. } => Seen::ServedStale,
        Event::NoRoute { .. } => Seen::NoRoute,
        Event::FamilyDark { .. } => Seen::FamilyDark,
        Event::ConnectionDrained { addr, why, .. } => Seen::Retired(addr, why),
        Event::ContextLost { .. } => Seen::ContextLost,
        _ => return None,
    })
}
