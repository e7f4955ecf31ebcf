//! The connection that was made for one watched request.
//!
//! A client tells no layer which connection a request goes out on before the response comes. A connect
//! mostly runs inside the request's own future, so a task-local around that shows what was made for it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Made;

tokio::task_local! {
    static WATCHED: Fresh;
}

/// What was made for one request last; `None` while nothing was. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fresh(Arc<Mutex<Option<Made>>>);

impl Fresh {
    /// The scope of one poll or call of a request.
    pub(crate) fn around<T>(&self, poll: impl FnOnce() -> T) -> T {
        WATCHED.sync_scope(self.clone(), poll)
    }

    /// Notes a connection that was made for the request around the caller, if one is watched.
    pub(crate) fn note(made: &Made) {
        let _ = WATCHED.try_with(|fresh| fresh.set(Some(made.clone())));
    }

    /// Notes that a connect begins for the request around the caller.
    pub(super) fn begin() {
        let _ = WATCHED.try_with(|fresh| fresh.set(None));
    }

    /// Takes what was made out.
    pub(crate) fn take(&self) -> Option<Made> {
        self.set(None)
    }

    fn set(&self, made: Option<Made>) -> Option<Made> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, made)
    }
}
