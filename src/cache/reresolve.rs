//! Rule: when a host may be re-resolved after a failed connect.

use std::time::{Duration, Instant};

use crate::time::Backoff;

/// Time between two re-resolutions of one host while the answer does not change: 1 s, doubling to 30 s.
const SPACING: Backoff = Backoff {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// Longest time between two re-resolutions of a host without a healthy address, or whose connects are slow: 2 s.
///
/// Only a changed answer ends the failures of such a host, and this is the longest delay until the change is noticed.
const LONGEST_WITHOUT_HEALTHY: Duration = Duration::from_secs(2);

/// The backoff of one host's re-resolutions, the first of which is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReresolveBackoff {
    last: Option<Instant>,
    unchanged: u32,
    /// Whether no healthy address was left at the last report, or connects were slow.
    no_healthy_left: bool,
}

impl ReresolveBackoff {
    /// Returns whether a lookup may start. A lookup that is not due is only deferred until it is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due_at(now)
    }

    /// Returns when the next lookup may start: at once, or one spacing after the last lookup.
    pub(crate) fn due_at(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + self.spacing())
    }

    fn spacing(&self) -> Duration {
        let spacing = SPACING.delay(self.unchanged);
        self.longest_spacing()
            .map_or(spacing, |alone| alone.min(spacing))
    }

    /// Returns the longest time between two lookups if no healthy address is left.
    pub(crate) fn longest_spacing(&self) -> Option<Duration> {
        self.no_healthy_left.then_some(LONGEST_WITHOUT_HEALTHY)
    }

    /// Records that a lookup starts.
    ///
    /// If the last lookup started 60 s ago or earlier, the backoff begins again with the shortest spacing.
    pub(crate) fn start(&mut self, now: Instant) {
        let quiet = self.last.is_none_or(|last| now >= last + 2 * SPACING.most);
        self.unchanged = if quiet {
            1
        } else {
            self.unchanged.saturating_add(1)
        };
        self.last = Some(now);
    }

    /// Records whether a healthy address is left, to which connects are not slow.
    pub(crate) fn set_has_healthy(&mut self, is_left: bool) {
        self.no_healthy_left = !is_left;
    }

    /// Records that an answer differs from the previous one, so that the next lookup is due at once.
    pub(crate) fn changed(&mut self) {
        *self = Self::default();
    }
}

/// A limit for the lookups of all hosts together: 100 at once, then one every 10 ms.
///
/// The limit protects a name server from a process whose connects all fail.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    spent_until: Option<Instant>,
}

impl RateLimiter {
    const COST: Duration = Duration::from_millis(10);
    const BURST: Duration = Duration::from_secs(1);
    /// Longest time by which a lookup is deferred. 3 000 lookups can be deferred at once.
    const QUEUE: Duration = Duration::from_secs(30);

    /// Takes one lookup from the limit, and returns whether the lookup may start now.
    #[must_use]
    pub(crate) fn try_acquire(&mut self, now: Instant) -> bool {
        let spent = self.with_one_more(now);
        let admitted = spent <= now + Self::BURST;
        if admitted {
            self.spent_until = Some(spent);
        }
        admitted
    }

    /// Takes one lookup from the limit, and returns when the lookup may start.
    ///
    /// Lookups start in the order in which they were reserved. Returns `None` if too many lookups wait already.
    #[must_use]
    pub(crate) fn reserve(&mut self, now: Instant) -> Option<Instant> {
        let spent = self.with_one_more(now);
        let wait = spent.duration_since(now).saturating_sub(Self::BURST);
        if wait > Self::QUEUE {
            return None;
        }
        self.spent_until = Some(spent);
        Some(now + wait)
    }

    fn with_one_more(&self, now: Instant) -> Instant {
        self.spent_until.map_or(now, |until| until.max(now)) + Self::COST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;

    const S: Duration = Duration::from_secs(1);

    /// The first lookup is due at once. The next ones are due 1 s, 2 s, 4 s … 30 s later, without extra delay.
    #[test]
    fn lookups_are_spaced_without_extra_delay() {
        let mut backoff = ReresolveBackoff::default();
        let mut now = time::now();
        for secs in [1, 2, 4, 8, 16, 30, 30] {
            assert!(backoff.is_due(now));
            backoff.start(now);
            assert!(
                !backoff.is_due(now + secs * S - Duration::from_millis(1)),
                "{secs} s"
            );
            now += secs * S;
        }
        assert!(backoff.is_due(now));
    }

    #[test]
    fn a_changed_answer_or_a_quiet_time_starts_afresh() {
        let mut backoff = ReresolveBackoff::default();
        let now = time::now();
        for _ in 0..9 {
            backoff.start(now);
        }
        assert!(!backoff.is_due(now + 29 * S));
        backoff.changed();
        assert!(backoff.is_due(now));
        for _ in 0..9 {
            backoff.start(now);
        }
        let later = now + 61 * S;
        backoff.start(later);
        assert!(backoff.is_due(later + S));
    }

    /// The spacing does not grow, however long the failures last.
    #[test]
    fn while_no_healthy_address_is_left_lookups_are_2_seconds_apart() {
        let mut backoff = ReresolveBackoff::default();
        backoff.set_has_healthy(false);
        let mut now = time::now();
        for secs in [1, 2, 2, 2, 2, 2, 2, 2, 2] {
            assert!(backoff.is_due(now));
            backoff.start(now);
            assert!(!backoff.is_due(now + secs * S - Duration::from_millis(1)));
            now += secs * S;
        }
        backoff.set_has_healthy(true);
        assert!(!backoff.is_due(now + 27 * S), "others are there to dial");
        assert!(backoff.is_due(now + 28 * S));
    }

    #[test]
    fn when_the_last_healthy_address_fails_the_next_is_due_within_2_seconds() {
        let mut backoff = ReresolveBackoff::default();
        let now = time::now();
        for _ in 0..5 {
            backoff.set_has_healthy(true);
            backoff.start(now);
        }
        assert!(!backoff.is_due(now + 15 * S));
        backoff.set_has_healthy(false);
        assert!(!backoff.is_due(now + 2 * S - Duration::from_millis(1)));
        assert!(backoff.is_due(now + 2 * S));
    }

    /// A host whose only address flaps is looked up no more often than a host whose only address keeps failing.
    #[test]
    fn a_flapping_address_hurries_nothing() {
        let mut backoff = ReresolveBackoff::default();
        let now = time::now();
        let mut lookups = 0;
        for ms in (0..300_000).step_by(100) {
            let at = now + Duration::from_millis(ms);
            backoff.set_has_healthy(ms % 200 == 0);
            if backoff.is_due(at) {
                backoff.start(at);
                lookups += 1;
            }
        }
        assert!(lookups <= 151, "{lookups} in five minutes");
    }

    #[test]
    fn the_quota_holds_a_burst_and_then_a_rate() {
        let mut limiter = RateLimiter::default();
        let now = time::now();
        assert_eq!((0..1_000).filter(|_| limiter.try_acquire(now)).count(), 100);
        assert_eq!(
            (0..1_000).filter(|_| limiter.try_acquire(now + S)).count(),
            100
        );
        assert!(!limiter.try_acquire(now + S));
        assert!(limiter.try_acquire(now + S + RateLimiter::COST));
    }

    /// Each deferred lookup has a start time of its own, and no other lookup takes that time.
    #[test]
    fn what_is_booked_starts_in_turn_within_the_rate() {
        let mut limiter = RateLimiter::default();
        let now = time::now();
        let waits: Vec<_> = (0..3_200).map_while(|_| limiter.reserve(now)).collect();
        assert!(waits[..100].iter().all(|&at| at == now), "the burst");
        assert!(
            (100..)
                .zip(&waits[100..])
                .all(|(n, &at)| at == now + (n - 99) * RateLimiter::COST),
            "then one each 10 ms"
        );
        assert_eq!(waits.len(), 3_100, "no longer than 30 s");
        assert!(
            !limiter.try_acquire(now + 29 * S),
            "those who wait go first"
        );
        assert!(limiter.try_acquire(now + 30 * S + RateLimiter::COST));
    }
}
