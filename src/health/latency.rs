//! Rule: when a connect is slow, and when a race starts its next attempt.
//!
//! | recent connects to the host | a connect is slow after | a race starts the next attempt after |
//! |---|---|---|
//! | none | 350 ms; an attempt of a race 300 ms | 250 ms |
//! | took `t` | 4 × `t`, at least 300 ms, at most 10 s | 2 × `t`, at least 250 ms, at most 2 s |
//!
//! Attempts that start because of time, and not because of a failure, have a budget per host; see [`Budget`].

use std::time::Duration;

/// Time after which a connect is slow, if its host has no recent connects.
///
/// The second lane of hyper-util starts 300 ms after the first, and has the rest of this time to connect.
const UNKNOWN: Duration = Duration::from_millis(350);
/// Least time after which a connect is slow. Half of all connects across the world take less.
pub(crate) const FLOOR: Duration = Duration::from_millis(300);
/// A connect is slow after this multiple of the time that recent connects took.
const TIMES: u32 = 4;
/// Least time for a second lane, because a busy runtime is late by a few milliseconds.
const LANE: Duration = Duration::from_millis(20);
/// Greatest time after which a connect is slow. The fourth SYN is sent after 7 s.
const CAP: Duration = Duration::from_secs(10);

/// The Connection Attempt Delay of RFC 8305, section 8.
const DELAY: Duration = Duration::from_millis(250);
/// Greatest Connection Attempt Delay (RFC 8305, section 8).
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Multiple of the time that recent connects took, which is the attempt delay.
///
/// "A more nuanced algorithm" may use the history of connects (RFC 8305, section 5).
const DELAY_TIMES: u32 = 2;

/// Returns the time after which a connect is slow, if the recent connects to its host took `recent`.
pub(crate) fn slow_after(recent: Option<Duration>) -> Duration {
    recent.map_or(UNKNOWN, |recent| (recent * TIMES).clamp(FLOOR, CAP))
}

/// Returns the time after which an attempt of a race is slow. Such an attempt has no second lane.
pub(crate) fn slow_after_in_race(recent: Option<Duration>) -> Duration {
    recent.map_or(FLOOR, |recent| slow_after(Some(recent)))
}

/// Returns whether an attempt was slow that lost a race by a whole attempt delay.
///
/// The attempt was pending for `pending` when an attempt connected that had started a whole delay later. The recent
/// connects, including the winner, took `recent`.
pub(crate) fn is_beaten(pending: Duration, recent: Option<Duration>) -> bool {
    pending >= recent.map_or(DELAY, |recent| (recent * TIMES).max(DELAY))
}

/// Returns how long a connect waits for a second lane whose first address is known to connect.
pub(crate) fn lane_wait(recent: Option<Duration>) -> Duration {
    recent.map_or(FLOOR, |recent| (recent * TIMES).clamp(LANE, FLOOR))
}

/// Returns how long a race waits for an attempt before it starts the next one.
pub(crate) fn attempt_delay(recent: Option<Duration>) -> Duration {
    recent.map_or(DELAY, |recent| {
        (recent * DELAY_TIMES).clamp(DELAY, LONGEST_DELAY)
    })
}

/// Length of a round of give-ups: after this time, no connect is given up for another address.
///
/// The network may be slow, and a request is sent again only a limited number of times. Seven black holes before the
/// only address that connects take less time.
const ROUND: Duration = Duration::from_millis(2_800);
/// Time from the first give-up of a round after which the next give-up begins a new round.
const ROUND_OVER: Duration = Duration::from_secs(10);

/// Returns the start of the round of a give-up at `now`, or `None` if the give-up is not allowed.
///
/// `began` is the start of the last round, or 0 if the host has connected since. Times are in milliseconds.
pub(crate) fn next_round(began: u64, now: u64) -> Option<u64> {
    let (round, over) = (ROUND.as_millis() as u64, ROUND_OVER.as_millis() as u64);
    match now.saturating_sub(began) {
        _ if began == 0 => Some(now),
        since if since > over => Some(now),
        since => (since <= round).then_some(began),
    }
}

/// Returns the state after one more give-up because DNS has moved, or `None` if the give-up is not allowed.
///
/// Two give-ups are allowed until the host connects, or until [`ROUND_OVER`] has passed since the first one. The state
/// is 0 if there was no give-up. Otherwise its two lowest bits hold the number of give-ups, and the other bits the time
/// of the first one in milliseconds.
pub(crate) fn next_move(state: u64, now: u64) -> Option<u64> {
    let (began, gone) = (state >> 2, state & 3);
    let is_over = now.saturating_sub(began) > ROUND_OVER.as_millis() as u64;
    match gone {
        _ if state == 0 || is_over => Some(now << 2 | 1),
        1 => Some(state + 1),
        _ => None,
    }
}

/// The budget of a host for attempts that start because of time.
///
/// The budget allows 20 attempts at once, then one per second and one for every ten connects. The first races of a
/// quiet process therefore run in full. An overload is not made worse, because the extra attempts stay near 10 % of the
/// connects. The state is one number, the time in milliseconds until which the budget is spent (the generic cell rate
/// algorithm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget(pub(crate) u64);

impl Budget {
    const BURST: u64 = 20;
    const MILLIS_EACH: u64 = 1_000;
    /// Ten connects earn one attempt.
    const EARNED: u64 = Self::MILLIS_EACH / 10;

    /// Takes one attempt at `now`, in milliseconds, or returns `None` if the budget is spent.
    #[must_use]
    pub(crate) fn take(self, now: u64) -> Option<Self> {
        let spent = self.0.max(now) + Self::MILLIS_EACH;
        (spent <= now + Self::BURST * Self::MILLIS_EACH).then_some(Self(spent))
    }

    /// Adds a tenth of an attempt to the budget, for a connect.
    #[must_use]
    pub(crate) fn earn(self) -> Self {
        Self(self.0.saturating_sub(Self::EARNED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_connect_is_slow_after_four_times_the_recent_ones_and_never_before_300_ms() {
        assert_eq!(slow_after(None), 350 * MS);
        assert_eq!(slow_after_in_race(None), 300 * MS);
        for (recent, expected) in [
            (1, 300),
            (75, 300),
            (76, 304),
            (700, 2_800),
            (5_000, 10_000),
        ] {
            assert_eq!(slow_after(Some(recent * MS)), expected * MS);
            assert_eq!(slow_after_in_race(Some(recent * MS)), expected * MS);
        }
    }

    #[test]
    fn the_attempt_delay_follows_the_recent_connects() {
        let expected = [
            (None, 250),
            (Some(20), 250),
            (Some(400), 800),
            (Some(1_400), 2_000),
        ];
        for (recent, delay) in expected {
            assert_eq!(attempt_delay(recent.map(|ms| ms * MS)), delay * MS);
        }
    }

    #[test]
    fn a_second_lane_gets_four_times_the_recent_connects() {
        assert_eq!(lane_wait(None), 300 * MS);
        for (recent, expected) in [(1, 20), (10, 40), (700, 300)] {
            assert_eq!(lane_wait(Some(recent * MS)), expected * MS);
        }
    }

    #[test]
    fn a_beaten_attempt_is_slow_by_the_winner() {
        assert!(is_beaten(255 * MS, Some(5 * MS)));
        assert!(!is_beaten(249 * MS, Some(5 * MS)), "less than one delay");
        assert!(!is_beaten(650 * MS, Some(400 * MS)), "the link is slow");
    }

    #[test]
    fn a_round_of_give_ups_ends_with_a_connect_or_after_a_while() {
        assert_eq!(next_round(0, 5_000), Some(5_000));
        assert_eq!(next_round(5_000, 7_800), Some(5_000));
        assert_eq!(next_round(5_000, 7_801), None);
        assert_eq!(next_round(5_000, 15_000), None);
        assert_eq!(next_round(5_000, 15_001), Some(15_001));
    }

    #[test]
    fn the_budget_holds_a_burst_then_a_rate_and_a_tenth_of_the_connects() {
        let mut budget = Budget::default();
        let taken = |budget: &mut Budget, now| {
            let most = (0..100).map_while(|_| budget.take(now).inspect(|it| *budget = *it));
            most.count()
        };
        assert_eq!(taken(&mut budget, 1_000_000), 20);
        assert_eq!(taken(&mut budget, 1_003_000), 3);
        for _ in 0..50 {
            budget = budget.earn();
        }
        assert_eq!(taken(&mut budget, 1_003_000), 5);
        for _ in 0..10_000 {
            budget = budget.earn();
        }
        assert_eq!(taken(&mut budget, 1_003_000), 20, "nothing is saved up");
    }
}
