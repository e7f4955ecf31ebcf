//! The timers that start lookups without a caller.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::bounded::{Bounded, Edit};
use crate::host::Host;

/// The timers, and when each fires. A host has at most one.
#[derive(Debug)]
pub(super) struct RefreshTimers(Bounded<Host, Timer>);

#[derive(Clone, Debug)]
struct Timer {
    due: Instant,
    /// Aborts the task of the timer. `None` until the task is spawned.
    task: Option<AbortHandle>,
}

/// Whether a timer may start.
pub(super) enum Reservation {
    Free,
    /// The host has a timer that does not fire later.
    Taken,
    /// There are too many timers.
    None,
}

/// A timer that is overdue for longer is on a runtime that is not polled.
const OVERDUE: Duration = Duration::from_millis(100);

impl RefreshTimers {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Bounded::new(capacity))
    }

    /// Reserves the timer of a host, and aborts an existing timer that fires later.
    ///
    /// An existing timer that is overdue by more than 100 ms is replaced, too, because its runtime is not polled.
    pub(super) fn reserve(&self, host: &Host, due: Instant, now: Instant) -> Reservation {
        let (reservation, later) = self.0.edit(host, |timer| match timer {
            Some(timer) if timer.due <= due && now <= timer.due + OVERDUE => {
                (Edit::Keep, (Reservation::Taken, None))
            }
            None if self.0.is_full() => (Edit::Keep, (Reservation::None, None)),
            Some(_) | None => {
                let timer = timer.cloned();
                (
                    Edit::Put(Timer { due, task: None }),
                    (Reservation::Free, timer),
                )
            }
        });
        if let Some(task) = later.and_then(|later| later.task) {
            task.abort();
        }
        reservation
    }

    /// Records the task of a timer, unless the timer has fired already.
    pub(super) fn start(&self, host: &Host, due: Instant, task: &AbortHandle) {
        self.0.edit(host, |timer| match timer {
            Some(timer) if timer.due == due => {
                let task = Some(task.clone());
                (Edit::Put(Timer { due, task }), ())
            }
            Some(_) | None => (Edit::Keep, ()),
        });
    }

    /// Removes a timer, and returns false if another timer has replaced it.
    pub(super) fn remove(&self, host: &Host, due: Instant) -> bool {
        self.0.edit(host, |timer| match timer {
            Some(timer) if timer.due == due => (Edit::Remove, true),
            Some(_) | None => (Edit::Keep, false),
        })
    }
}

impl Drop for RefreshTimers {
    /// Aborts all timers, because the last resolver is dropped.
    fn drop(&mut self) {
        self.0.for_each(|_, timer| {
            if let Some(task) = &timer.task {
                task.abort();
            }
        });
    }
}
