//! What a lookup still waits for after it has answered.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::Answer;

/// The late part of an answer: the other family's addresses, which are still asked for.
///
/// The resolver's lookup task takes the late part once and waits for it, before or after it serves
/// the answer. A clone of the answer shares it. Dropping the last clone closes its sockets.
#[derive(Clone)]
pub(crate) struct Late(Arc<Mutex<Option<Waiting>>>);

/// Ends with the whole answer, if the late part changed it, and what is left to wait for then.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = (Option<Answer>, Option<Late>)> + Send>>;

#[cfg_attr(not(feature = "hickory"), expect(dead_code, reason = "`Dns` makes it"))]
impl Late {
    /// Makes a late part that may bring addresses.
    pub(crate) fn new(
        waiting: impl Future<Output = (Option<Answer>, Option<Self>)> + Send + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(waiting)))))
    }

    /// Makes a late part that brings no addresses, such as the reply of a server on trial.
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

/// All late parts are equal, because they are no part of what an answer says.
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
