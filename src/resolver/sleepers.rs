//! Who sleeps until a host is looked up though nobody asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::host::Host;

/// Those that sleep, and when each wakes: one for each host.
#[derive(Debug, Default)]
pub(super) struct Sleepers(Mutex<HashMap<Host, Asleep>>);

#[derive(Debug)]
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
    /// Makes a bed. Whoever sleeps for this host and would wake later is sent away.
    ///
    /// One who has overslept is on a runtime that stands still.
    pub(super) fn lie_down(&self, host: &Host, due: Instant, now: Instant, most: usize) -> Bed {
        let (bed, later) = self.edit(|sleeping| match sleeping.get(host) {
            Some(asleep) if asleep.due <= due && now <= asleep.due + OVERSLEPT => {
                (Bed::Taken, None)
            }
            None if sleeping.len() >= most => (Bed::None, None),
            Some(_) | None => {
                let asleep = Asleep { due, task: None };
                (Bed::Free, sleeping.insert(host.clone(), asleep))
            }
        });
        if let Some(task) = later.and_then(|later| later.task) {
            task.abort();
        }
        bed
    }

    /// Notes which task sleeps there, unless it has got up already.
    pub(super) fn is_asleep(&self, host: &Host, due: Instant, task: AbortHandle) {
        self.edit(|sleeping| {
            if let Some(asleep) = sleeping.get_mut(host).filter(|asleep| asleep.due == due) {
                asleep.task = Some(task);
            }
        });
    }

    /// Returns false when another one sleeps in this place by now.
    pub(super) fn get_up(&self, host: &Host, due: Instant) -> bool {
        self.edit(|sleeping| {
            let is_mine = sleeping.get(host).is_some_and(|asleep| asleep.due == due);
            if is_mine {
                sleeping.remove(host);
            }
            is_mine
        })
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<Host, Asleep>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sleepers {
    /// With the last resolver nobody is left to look anything up for.
    fn drop(&mut self) {
        self.edit(|sleeping| {
            let tasks = sleeping.drain().filter_map(|(_, asleep)| asleep.task);
            tasks.for_each(|task| task.abort());
        });
    }
}
