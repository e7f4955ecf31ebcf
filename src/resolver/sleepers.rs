//! The timers that start lookups without a caller.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::bounded::{Bounded, Edit};
use crate::host::Host;

/// The timers, and when each fires. A host has at most one.
#[derive(Debug)]
pub(super) struct Sleepers(Bounded<Host, Asleep>);

#[derive(Clone, Debug)]
struct Asleep {
    due: Instant,
    /// Aborts the task of the timer. `None` until the task is spawned.
    task: Option<AbortHandle>,
}

/// Whether a timer may start.
pub(super) enum Bed {
    Free,
    /// The host has a timer that does not fire later.
    Taken,
    /// There are too many timers.
    None,
}

/// A timer that is overdue for longer is on a runtime that is not polled.
const OVERSLEPT: Duration = Duration::from_millis(100);

impl Sleepers {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Bounded::new(capacity))
    }

    /// Reserves the timer of a host, and aborts an existing timer that fires later.
    ///
    /// An existing timer that is overdue by more than 100 ms is replaced, too, because its runtime is not polled.
    pub(super) fn lie_down(&self, host: &Host, due: Instant, now: Instant) -> Bed {
        let (bed, later) = self.0.edit(host, |asleep| match asleep {
            Some(asleep) if asleep.due <= due && now <= asleep.due + OVERSLEPT => {
                (Edit::Keep, (Bed::Taken, None))
            }
            None if self.0.is_full() => (Edit::Keep, (Bed::None, None)),
            Some(_) | None => {
                let asleep = asleep.cloned();
                (Edit::Put(Asleep { due, task: None }), (Bed::Free, asleep))
            }
        });
        if let Some(task) = later.and_then(|later| later.task) {
            task.abort();
        }
        bed
    }

    /// Records the task of a timer, unless the timer has fired already.
    pub(super) fn is_asleep(&self, host: &Host, due: Instant, task: &AbortHandle) {
        self.0.edit(host, |asleep| match asleep {
            Some(asleep) if asleep.due == due => {
                let task = Some(task.clone());
                (Edit::Put(Asleep { due, task }), ())
            }
            Some(_) | None => (Edit::Keep, ()),
        });
    }

    /// Removes a timer, and returns false if another timer has replaced it.
    pub(super) fn get_up(&self, host: &Host, due: Instant) -> bool {
        self.0.edit(host, |asleep| match asleep {
            Some(asleep) if asleep.due == due => (Edit::Remove, true),
            Some(_) | None => (Edit::Keep, false),
        })
    }
}

impl Drop for Sleepers {
    /// Aborts all timers, because the last resolver is dropped.
    fn drop(&mut self) {
        self.0.for_each(|_, asleep| {
            if let Some(task) = &asleep.task {
                task.abort();
            }
        });
    }
}
