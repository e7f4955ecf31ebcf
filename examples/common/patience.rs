//! The delays of retries: the first retry is sent at once, and the next ones after 25 ms, doubling. The
//! retries take more than 3 s in all, and by then a change of DNS has arrived.

use std::time::Duration;

use tokio::time::sleep;

/// Maximum number of retries.
pub(crate) const MOST: u32 = 8;

/// Waits before the next retry, after `times` retries.
pub(crate) async fn pause(times: u32) {
    if times > 0 {
        sleep(Duration::from_millis(25) * 2_u32.pow(times - 1)).await;
    }
}
