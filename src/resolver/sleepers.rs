//! Who sleeps until a host is looked up though nobody asks.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::bounded::{Bounded, Edit};
use crate::host::Host;

/// Those that sleep, and when each wakes: one for each host.
#[derive(Debug)]
pub(super) struct Sleepers(Bounded<Host, Asleep>);

#[derive(Clone, Debug)]
struct Asleep {
    due: Instant,
    /// Ends it. Unknown for the moment in which it is started.
    task: Option<AbortHandle>,
}

/// What there is for one who wants to sleep.
pub(super) enum Bed {
    Free,
    /// Somebody sleeps for this host, and wakes no later.
    Taken,
    /// There are too many.
    None,
}

/// Later than so a task only runs whose runtime is not driven.
const OVERSLEPT: Duration = Duration::from_millis(100);

impl Sleepers {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Bounded::new(capacity))
    }

    /// Makes a bed. Whoever sleeps for this host and would wake later is sent away.
    ///
    /// One who has overslept is on a runtime that stands still.
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

    /// Notes which task sleeps there, unless it has got up already.
    pub(super) fn is_asleep(&self, host: &Host, due: Instant, task: &AbortHandle) {
        self.0.edit(host, |asleep| match asleep {
            Some(asleep) if asleep.due == due => {
                let task = Some(task.clone());
                (Edit::Put(Asleep { due, task }), ())
            }
            Some(_) | None => (Edit::Keep, ()),
        });
    }

    /// Returns false when another one sleeps in this place by now.
    pub(super) fn get_up(&self, host: &Host, due: Instant) -> bool {
        self.0.edit(host, |asleep| match asleep {
            Some(asleep) if asleep.due == due => (Edit::Remove, true),
            Some(_) | None => (Edit::Keep, false),
        })
    }
}

impl Drop for Sleepers {
    /// With the last resolver nobody is left to look anything up for.
    fn drop(&mut self) {
        self.0.for_each(|_, asleep| {
            if let Some(task) = &asleep.task {
                task.abort();
            }
        });
    }
}
