//! Times of other clients past black-holed addresses, computed from their sources and not measured.

use std::time::Duration;

/// curl starts the next address 200 ms after the last (`CURL_HET_DEFAULT`, lib/cf-ip-happy.c at
/// 5c61e168), also IPv4 after IPv4, and remembers no failure, so the second connect takes as long.
pub(crate) fn curl(dead: u32) -> Duration {
    Duration::from_millis(200) * dead
}

/// Go attempts the addresses of one family one after the other. An attempt gets the rest of the deadline, divided by
/// the number of addresses left, but at least 2 s (`partialDeadline`, src/net/dial.go at 0052a0f6). The deadline of
/// `http.DefaultTransport` is 30 s. Go caches no answer and remembers no failure.
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
