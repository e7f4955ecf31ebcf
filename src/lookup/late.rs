//! The late part of an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::Answer;

/// The late part of an answer, such as the addresses of the other family, whose query is pending.
///
/// The resolver's lookup task takes the late part once and waits for it, before or after the task serves the answer.
/// Clones of the answer share the late part. Dropping the last clone closes its sockets.
#[derive(Clone)]
pub(crate) struct Late(Arc<Mutex<Option<Waiting>>>);

/// A future of the whole answer, if the late part changed it, and of the next late part.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = (Option<Answer>, Option<Late>)> + Send>>;

#[cfg_attr(not(feature = "hickory"), expect(dead_code, reason = "`Dns` makes it"))]
impl Late {
    /// Makes a late part that may add addresses.
    pub(crate) fn new(
        waiting: impl Future<Output = (Option<Answer>, Option<Self>)> + Send + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(waiting)))))
    }

    /// Makes a late part that adds no addresses, such as the reply of a server on trial.
    pub(crate) fn rest(rest: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::new(async move {
            rest.await;
            (None, None)
        })
    }
}

impl Late {
    /// Returns the future of the late part to the first caller, and `None` to later ones.
    pub(crate) fn take(&self) -> Option<Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take()
    }
}

/// All late parts are equal, so that they do not count when answers are compared.
impl PartialEq for Late {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Late {}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}
