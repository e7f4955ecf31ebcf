//! Rule: when a host may be looked up again because a connect failed.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// Time between two such lookups of one host while the answer does not change.
const SPACING: Backoff = Backoff {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// The longest of these times while no healthy address is left: then nothing but a changed answer ends the
/// failures, and this is how late the change may be noticed.
const SPACING_ALONE: Duration = Duration::from_secs(2);

/// The spacing of one host's lookups after failures. The first is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recheck {
    last: Option<Instant>,
    unchanged: u32,
    /// Whether no healthy address is left, as far as was told.
    is_alone: bool,
}

impl Recheck {
    /// Whether a lookup may start. What is not due is only deferred: it starts when it is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due_at(now)
    }

    /// When the next lookup may start: at once, or a spacing after the last.
    pub(crate) fn due_at(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + self.spacing())
    }

    fn spacing(&self) -> Duration {
        let spacing = SPACING.delay(self.unchanged);
        self.spacing_alone()
            .map_or(spacing, |alone| alone.min(spacing))
    }

    /// Returns the longest time between two lookups if no healthy address is left.
    pub(crate) fn spacing_alone(&self) -> Option<Duration> {
        self.is_alone.then_some(SPACING_ALONE)
    }

    /// Notes that a lookup starts. A quiet time as long as the longest spacing starts afresh.
    pub(crate) fn start(&mut self, now: Instant) {
        let quiet = self.last.is_none_or(|last| now >= last + 2 * SPACING.most);
        self.unchanged = if quiet {
            1
        } else {
            self.unchanged.saturating_add(1)
        };
        self.last = Some(now);
    }

    /// Notes whether a healthy address is left.
    pub(crate) fn health_is_left(&mut self, is_left: bool) {
        self.is_alone = !is_left;
    }

    /// Notes that an answer came which differs from the one before: the next is due at once.
    pub(crate) fn changed(&mut self) {
        *self = Self::default();
    }
}

/// Lookups after failures, all hosts together: 100 in one second, then one each 10 ms. Keeps a
/// name server safe from a process whose every connect fails.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    spent_until: Option<Instant>,
}

impl Quota {
    const COST: Duration = Duration::from_millis(10);
    const BURST: Duration = Duration::from_secs(1);
    /// Nothing is put off for longer; until then 3 000 hosts can be.
    const QUEUE: Duration = Duration::from_secs(30);

    /// Takes one lookup from the quota, if one is left.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let spent = self.with_one_more(now);
        let admitted = spent <= now + Self::BURST;
        if admitted {
            self.spent_until = Some(spent);
        }
        admitted
    }

    /// Takes one lookup and tells when it may start: the first that is not taken by others. `None`:
    /// too many wait already.
    #[must_use]
    pub(crate) fn book(&mut self, now: Instant) -> Option<Instant> {
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

    /// The first at once, the next after 1 s, 2 s, 4 s … 30 s, each exactly then and not later.
    #[test]
    fn lookups_are_spaced_without_extra_delay() {
        let mut recheck = Recheck::default();
        let mut now = time::now();
        for secs in [1, 2, 4, 8, 16, 30, 30] {
            assert!(recheck.is_due(now));
            recheck.start(now);
            assert!(
                !recheck.is_due(now + secs * S - Duration::from_millis(1)),
                "{secs} s"
            );
            now += secs * S;
        }
        assert!(recheck.is_due(now));
    }

    #[test]
    fn a_changed_answer_or_a_quiet_time_starts_afresh() {
        let mut recheck = Recheck::default();
        let now = time::now();
        for _ in 0..9 {
            recheck.start(now);
        }
        assert!(!recheck.is_due(now + 29 * S));
        recheck.changed();
        assert!(recheck.is_due(now));
        for _ in 0..9 {
            recheck.start(now);
        }
        let later = now + 61 * S;
        recheck.start(later);
        assert!(recheck.is_due(later + S));
    }

    /// However long the failures last.
    #[test]
    fn while_no_healthy_address_is_left_lookups_are_2_seconds_apart() {
        let mut recheck = Recheck::default();
        recheck.health_is_left(false);
        let mut now = time::now();
        for secs in [1, 2, 2, 2, 2, 2, 2, 2, 2] {
            assert!(recheck.is_due(now));
            recheck.start(now);
            assert!(!recheck.is_due(now + secs * S - Duration::from_millis(1)));
            now += secs * S;
        }
        recheck.health_is_left(true);
        assert!(!recheck.is_due(now + 27 * S), "others are there to dial");
        assert!(recheck.is_due(now + 28 * S));
    }

    #[test]
    fn when_the_last_healthy_address_fails_the_next_is_due_within_2_seconds() {
        let mut recheck = Recheck::default();
        let now = time::now();
        for _ in 0..5 {
            recheck.health_is_left(true);
            recheck.start(now);
        }
        assert!(!recheck.is_due(now + 15 * S));
        recheck.health_is_left(false);
        assert!(!recheck.is_due(now + 2 * S - Duration::from_millis(1)));
        assert!(recheck.is_due(now + 2 * S));
    }

    /// A host whose only address flaps is looked up no more often than one whose address stays dead.
    #[test]
    fn a_flapping_address_hurries_nothing() {
        let mut recheck = Recheck::default();
        let now = time::now();
        let mut lookups = 0;
        for ms in (0..300_000).step_by(100) {
            let at = now + Duration::from_millis(ms);
            recheck.health_is_left(ms % 200 == 0);
            if recheck.is_due(at) {
                recheck.start(at);
                lookups += 1;
            }
        }
        assert!(lookups <= 151, "{lookups} in five minutes");
    }

    #[test]
    fn the_quota_holds_a_burst_and_then_a_rate() {
        let mut quota = Quota::default();
        let now = time::now();
        assert_eq!((0..1_000).filter(|_| quota.take(now)).count(), 100);
        assert_eq!((0..1_000).filter(|_| quota.take(now + S)).count(), 100);
        assert!(!quota.take(now + S));
        assert!(quota.take(now + S + Quota::COST));
    }

    /// What is put off has a time of its own, in turn, and nobody gets in between.
    #[test]
    fn what_is_booked_starts_in_turn_within_the_rate() {
        let mut quota = Quota::default();
        let now = time::now();
        let waits: Vec<_> = (0..3_200).map_while(|_| quota.book(now)).collect();
        assert!(waits[..100].iter().all(|&at| at == now), "the burst");
        assert!(
            (100..)
                .zip(&waits[100..])
                .all(|(n, &at)| at == now + (n - 99) * Quota::COST),
            "then one each 10 ms"
        );
        assert_eq!(waits.len(), 3_100, "no longer than 30 s");
        assert!(!quota.take(now + 29 * S), "those who wait go first");
        assert!(quota.take(now + 30 * S + Quota::COST));
    }
}
