//! What others take past black-holed addresses, as their sources say; not measured.

use std::time::Duration;

/// curl starts the next address 200 ms after the last (`CURL_HET_DEFAULT`, lib/cf-ip-happy.c at
/// 5c61e168), IPv4 after IPv4 too, and remembers nothing of what failed: the second connect takes as long.
pub(crate) fn curl(dead: u32) -> Duration {
    Duration::from_millis(200) * dead
}

/// Go dials the addresses of one family one after the other, each for what is left of the deadline over
/// the addresses that are left, at least 2 s (`partialDeadline`, src/net/dial.go at 0052a0f6). The deadline
/// is that of its `http.DefaultTransport`, 30 s. It caches no answer and remembers nothing.
pub(crate) fn go(dead: u32, all: u32) -> Duration {
    let mut left = Duration::from_secs(30);
    let mut took = Duration::ZERO;
    for dialled in 0..dead {
        let share = (left / (all - dialled))
            .max(Duration::from_secs(2))
            .min(left);
        left -= share;
        took += share;
    }
    took
}
