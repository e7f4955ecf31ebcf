//! The data of a watched connect, and the mode in which a pending connect is given up.

use std::any::Any;
use std::time::Duration;

use http::Uri;

use super::families_used::SharedFamiliesUsed;
use crate::{Resolver, host};

/// The resolver, the used families, the target and the timeout of a watched connect.
#[derive(Clone, Debug)]
pub(crate) struct AttemptInfo {
    pub(crate) resolver: Resolver,
    pub(crate) families_used: SharedFamiliesUsed,
    /// The URI that the connect is for, if the connector's request shows it.
    pub(crate) target: Option<Uri>,
    /// The time after which a connect is given up, if there is another address.
    pub(crate) timeout: Option<Duration>,
}

/// The mode in which a pending connect is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeoutMode {
    /// The watch gives the connect up after the timeout of the layer.
    Standalone,
    /// The watch gives the connect up sooner if there is something better, because the caller connects again.
    CallerRetries,
    /// The race gives up its attempts.
    InRace,
    /// The layer lies inside an attempt of a race, and leaves watching and reporting to the race.
    NestedInRace,
}

impl AttemptInfo {
    /// Creates the data of a connect from its request. The target is known only if the request is a [`Uri`]. reqwest's
    /// request shows nothing.
    pub(crate) fn of(
        resolver: &Resolver,
        families_used: &SharedFamiliesUsed,
        request: &dyn Any,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            resolver: resolver.clone(),
            families_used: families_used.clone(),
            target: request.downcast_ref::<Uri>().cloned(),
            timeout,
        }
    }

    pub(super) fn target(&self) -> Option<String> {
        self.target
            .as_ref()
            .and_then(Uri::host)
            .map(host::normalized)
    }
}
