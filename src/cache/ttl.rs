//! Rule: the lifetime of an answer.

use std::time::Duration;

/// Lifetime of an answer without a TTL, as from `getaddrinfo`: 30 s.
///
/// AWS CRT, the JVM and Bun have the same default for such answers.
const WITHOUT_TTL: Duration = Duration::from_secs(30);
/// Lifetime of a negative answer without an SOA record: 5 s.
///
/// RFC 2308, section 5, forbids caching such an answer. The cache keeps the answer for some seconds all the same,
/// because dnsmasq sends such answers and every connect would look up the host again.
const NEGATIVE_WITHOUT_SOA: Duration = Duration::from_secs(5);
/// Bounds for the lifetime of a negative answer.
const NEGATIVE: TtlBounds = TtlBounds {
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
};

/// Least and greatest lifetime of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TtlBounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl TtlBounds {
    /// Returns the lifetime of an answer with this TTL, counted from the sending of the query.
    pub(crate) fn positive(&self, ttl: Option<Duration>) -> Duration {
        self.clamp(ttl.unwrap_or(WITHOUT_TTL))
    }

    fn clamp(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.min, self.max)
    }
}

/// Returns the time after which an answer in use is refreshed: 80 to 90 % of its lifetime.
///
/// The share is random, so that hosts that were cached in the same second are not refreshed in the same second.
pub(crate) fn refresh_after(life: Duration, rng: &mut fastrand::Rng) -> Duration {
    life.mul_f64(share(rng))
}

/// Returns a random share of a lifetime, from 0.8 to 0.9.
pub(crate) fn share(rng: &mut fastrand::Rng) -> f64 {
    0.8 + 0.1 * rng.f64()
}

/// Returns the time from a failed lookup to the next one, if an answer is left to serve.
///
/// `life` is the lifetime of that answer. The time counts from the sending of the failed lookup, and is that of a
/// refresh. A failing name server therefore gets no more lookups than a working one. The time is at least 30 s (RFC
/// 8767, section 5, failure recheck timer), and at most that of an answer with a lifetime of one minute.
pub(crate) fn retry_after(life: Duration, share: f64) -> Duration {
    const LEAST: Duration = Duration::from_millis(37_500);
    const MOST: Duration = Duration::from_secs(60);
    life.clamp(LEAST, MOST).mul_f64(share)
}

/// Returns the lifetime of a partial answer: at most 30 s (RFC 8767, section 5, failure recheck timer).
pub(crate) fn partial(life: Duration) -> Duration {
    const MOST: Duration = Duration::from_secs(30);
    life.min(MOST)
}

/// Returns the lifetime of a negative answer.
pub(crate) fn negative(ttl: Option<Duration>) -> Duration {
    ttl.map_or(NEGATIVE_WITHOUT_SOA, |ttl| NEGATIVE.clamp(ttl))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: TtlBounds = TtlBounds {
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
    };

    #[test]
    fn an_answer_without_a_ttl_lives_thirty_seconds() {
        assert_eq!(BOUNDS.positive(None), Duration::from_secs(30));
        assert_eq!(negative(None), Duration::from_secs(5));
    }

    #[test]
    fn a_name_server_in_trouble_has_half_a_minute() {
        let of = |secs| retry_after(Duration::from_secs(secs), 0.8);
        assert_eq!(of(5), Duration::from_secs(30));
        assert_eq!(of(60), Duration::from_secs(48));
    }

    proptest! {
        #[test]
        fn an_answer_in_use_is_looked_up_again_before_it_ends(secs in 1_u64..604_800, seed: u64) {
            let life = Duration::from_secs(secs);
            let after = refresh_after(life, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(after >= life.mul_f64(0.799) && after <= life.mul_f64(0.901));
        }

        #[test]
        fn a_name_server_in_trouble_is_asked_no_more_than_one_in_health(secs in 1_u64..604_800, seed: u64) {
            let life = Duration::from_secs(secs);
            let mut rng = fastrand::Rng::with_seed(seed);
            let healthy = refresh_after(life, &mut rng.clone());
            let after = retry_after(life, share(&mut rng));
            prop_assert!(after >= healthy.min(Duration::from_secs(48)));
            prop_assert!((29_999..=54_000).contains(&after.as_millis()));
        }

        #[test]
        fn a_clamped_ttl_lies_in_its_bounds(ttl in proptest::option::of(0_u64..u64::from(u32::MAX))) {
            let ttl = ttl.map(Duration::from_secs);
            prop_assert!((BOUNDS.min..=BOUNDS.max).contains(&BOUNDS.positive(ttl)));
            prop_assert!((NEGATIVE.min..=NEGATIVE.max).contains(&negative(ttl)));
        }
    }
}
