//! The only place that reads the clock, and the rule of a backoff.

mod backoff;

use std::time::{Duration, Instant};

pub(crate) use self::backoff::Backoff;

/// The longest time that a setting accepts, because RFC 8767, section 4, caps a TTL at 7 days.
///
/// Sums of such times stay far below the greatest `Instant`.
pub(crate) const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
