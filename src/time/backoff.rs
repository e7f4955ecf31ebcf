//! Rule: delays that double.

use std::time::Duration;

/// A delay that doubles from `least` to `most`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// Returns the delay after this number of strikes in a row; the first strike is 1.
    pub(crate) fn delay(&self, strikes: u32) -> Duration {
        let doublings = strikes.saturating_sub(1).min(31);
        self.least.saturating_mul(1 << doublings).min(self.most)
    }

    /// Returns the delay, up to 20 % more or less, so that processes do not act in lockstep.
    pub(crate) fn jittered(&self, strikes: u32, rng: &mut fastrand::Rng) -> Duration {
        self.delay(strikes).mul_f64(0.8 + 0.4 * rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PENALTY: Backoff = Backoff {
        least: Duration::from_secs(5),
        most: Duration::from_secs(300),
    };

    #[test]
    fn a_delay_doubles_up_to_its_cap() {
        let delays: Vec<u64> = (1..=8).map(|n| PENALTY.delay(n).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    proptest! {
        #[test]
        fn a_delay_never_shrinks_while_strikes_grow(strikes in 0_u32..u32::MAX) {
            prop_assert!(PENALTY.delay(strikes) <= PENALTY.delay(strikes + 1));
        }

        #[test]
        fn two_processes_do_not_move_as_one(seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            prop_assert_ne!(PENALTY.jittered(1, &mut rng), PENALTY.jittered(1, &mut rng));
        }

        #[test]
        fn jitter_stays_within_a_fifth(strikes: u32, seed: u64) {
            let (exact, jittered) = (PENALTY.delay(strikes),
                PENALTY.jittered(strikes, &mut fastrand::Rng::with_seed(seed)));
            prop_assert!(jittered >= exact.mul_f64(0.799) && jittered <= exact.mul_f64(1.201));
        }
    }
}
