//! Tasks whose request can't be sent once more after it was on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::Id;

/// The tasks. Empty in good times.
///
/// Nobody tells a resolver which request asks, but a request mostly dials in the task that sends it.
#[derive(Debug, Default)]
pub(crate) struct Careful {
    tasks: Mutex<HashMap<Option<Id>, Care>>,
    /// How many there are: without any, nobody takes a lock.
    held: AtomicUsize,
}

/// For how many requests of a task, and since when the last.
#[derive(Debug)]
struct Care {
    requests: usize,
    since: Instant,
}

/// Tasks remembered; those over that are dealt as everybody is.
const REMEMBERED: usize = 16_384;
/// A request that has not ended after so long was dropped in the middle.
const ENDED: Duration = Duration::from_secs(120);

impl Careful {
    pub(crate) fn begin(&self, task: Option<Id>, now: Instant) {
        self.edit(|tasks| {
            if tasks.len() >= REMEMBERED {
                tasks.retain(|_, care| now < care.since + ENDED);
            }
            if tasks.len() < REMEMBERED || tasks.contains_key(&task) {
                let requests = tasks.get(&task).map_or(0, |care| care.requests);
                let (requests, since) = (requests + 1, now);
                tasks.insert(task, Care { requests, since });
            }
        });
    }

    pub(crate) fn end(&self, task: Option<Id>) {
        if !self.is_empty() {
            self.edit(|tasks| match tasks.get_mut(&task) {
                Some(care) if care.requests > 1 => care.requests -= 1,
                Some(_) | None => drop(tasks.remove(&task)),
            });
        }
    }

    pub(crate) fn holds(&self, task: Option<Id>, now: Instant) -> bool {
        let is_young = |care: &Care| now < care.since + ENDED;
        !self.is_empty() && self.edit(|tasks| tasks.get(&task).is_some_and(is_young))
    }

    fn is_empty(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    fn edit<T>(&self, change: impl FnOnce(&mut HashMap<Option<Id>, Care>) -> T) -> T {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut tasks);
        self.held.store(tasks.len(), Ordering::Relaxed);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;

    #[tokio::test]
    async fn a_task_is_careful_until_its_request_ends() {
        let (careful, now) = (Careful::default(), time::now());
        let other = tokio::spawn(async { tokio::task::try_id() });
        let other = other.await.unwrap();
        careful.begin(other, now);
        assert!(careful.holds(other, now));
        assert!(!careful.holds(None, now));
        assert!(!careful.holds(other, now + ENDED), "it was dropped");
        careful.end(None);
        assert!(careful.holds(other, now));
        careful.end(other);
        assert!(!careful.holds(other, now));
    }

    /// As of a `join_all`: each ends its own care.
    #[test]
    fn a_task_with_two_requests_is_careful_until_both_have_ended() {
        let (careful, now) = (Careful::default(), time::now());
        careful.begin(None, now);
        careful.begin(None, now);
        careful.end(None);
        assert!(careful.holds(None, now));
        careful.end(None);
        assert!(!careful.holds(None, now));
    }
}
