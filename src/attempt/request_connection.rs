//! The connection that was made for one watched request.
//!
//! A client does not show a layer which connection a request uses before the response comes. A connect mostly runs
//! inside the request's own future, so a task-local value around that future shows the connection that was made for
//! the request.

use std::sync::{Arc, Mutex, PoisonError};

use super::NewConnection;

tokio::task_local! {
    static WATCHED: RequestConnection;
}

/// The last connection that was made for one request, or `None`. Clones share one record.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestConnection(Arc<Mutex<Option<NewConnection>>>);

impl RequestConnection {
    /// Runs one poll or call of a request in the scope of this record.
    pub(crate) fn around<T>(&self, poll: impl FnOnce() -> T) -> T {
        WATCHED.sync_scope(self.clone(), poll)
    }

    /// Records a connection that was made for the caller's request, if that request is watched.
    pub(crate) fn note(made: &NewConnection) {
        let _ = WATCHED.try_with(|fresh| fresh.set(Some(made.clone())));
    }

    /// Removes the connection of the caller's request, because a connect begins.
    pub(super) fn begin() {
        let _ = WATCHED.try_with(|fresh| fresh.set(None));
    }

    /// Takes the connection out.
    pub(crate) fn take(&self) -> Option<NewConnection> {
        self.set(None)
    }

    fn set(&self, made: Option<NewConnection>) -> Option<NewConnection> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, made)
    }
}
