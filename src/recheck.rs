//! Rule: when a host may be looked up again because a connect failed.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// Time between two such lookups of one host while the answer does not change.
const SPACING: Backoff = Backoff {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// The spacing of one host's lookups after failures. The first is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recheck {
    last: Option<Instant>,
    unchanged: u32,
}

impl Recheck {
    /// Whether a lookup may start. What is not due is only deferred: the mark stays, and the
    /// first caller after the time has come finds it due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now >= last + SPACING.delay(self.unchanged))
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

    /// Takes one lookup from the quota, if one is left.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let spent = self.spent_until.map_or(now, |until| until.max(now)) + Self::COST;
        let admitted = spent <= now + Self::BURST;
        if admitted {
            self.spent_until = Some(spent);
        }
        admitted
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

    #[test]
    fn the_quota_holds_a_burst_and_then_a_rate() {
        let mut quota = Quota::default();
        let now = time::now();
        assert_eq!((0..1_000).filter(|_| quota.take(now)).count(), 100);
        assert_eq!((0..1_000).filter(|_| quota.take(now + S)).count(), 100);
        assert!(!quota.take(now + S));
        assert!(quota.take(now + S + Quota::COST));
    }
}
