//! The one door to the clock.

use std::time::Instant;

/// Returns the present moment by tokio's clock, so that a paused clock drives everything.
///
/// It works outside a runtime too and then reads the system's monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
