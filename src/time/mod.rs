//! The only place that reads the clock, and the rule of a backoff.

mod backoff;

use std::time::Instant;

pub(crate) use self::backoff::Backoff;

/// Returns the current time of tokio's clock, which a test can pause.
///
/// Outside a runtime, the function reads the system's monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
