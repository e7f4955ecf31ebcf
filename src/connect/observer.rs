//! Who watches a connect, and for how long.

use std::any::Any;

use http::Uri;

use super::service::Reached;
use crate::{Resolver, host};

/// Who watches a connect.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(crate) resolver: Resolver,
    pub(crate) reached: Reached,
    /// Whom the connect is for, where the request tells it.
    pub(crate) target: Option<Uri>,
}

/// Who gives a pending connect up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The watch, after a long time.
    Alone,
    /// The watch, sooner where that is clear: somebody dials again.
    Redialled,
    /// The race that it is in.
    Raced,
    /// The same, for a layer inside of a race's attempt, which leaves all to that.
    Inside,
}

impl Observer {
    /// The request is read where it can be: reqwest's shows nothing.
    pub(crate) fn of(resolver: &Resolver, reached: &Reached, request: &dyn Any) -> Self {
        Self {
            resolver: resolver.clone(),
            reached: reached.clone(),
            target: request.downcast_ref::<Uri>().cloned(),
        }
    }

    pub(super) fn target(&self) -> Option<String> {
        self.target.as_ref().and_then(Uri::host).map(host::spelling)
    }
}
