//! When something is sent again: at once, and then after 25 ms, doubling; over 3 s in all, for until
//! then a change of DNS has come through.

use std::time::Duration;

use tokio::time::sleep;

/// How often.
pub(crate) const MOST: u32 = 8;

/// Waits before it is sent again, which it was `times` times.
pub(crate) async fn pause(times: u32) {
    if times > 0 {
        sleep(Duration::from_millis(25) * 2_u32.pow(times - 1)).await;
    }
}
