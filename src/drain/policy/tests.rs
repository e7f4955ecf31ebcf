use proptest::prelude::*;

use super::*;
use crate::time;

const SECOND: Duration = Duration::from_secs(1);

const LIMITS: Limits = Limits {
    grace: Duration::from_secs(60),
    age: None,
    idle: Duration::from_secs(90),
};

const LISTED: AddressStatus = AddressStatus {
    listed: Some(true),
    penalized: false,
    has_alternative: true,
};

const GONE: AddressStatus = AddressStatus {
    listed: Some(false),
    ..LISTED
};

fn age(limits: &Limits) -> (ConnectionAge, Instant) {
    let now = time::now();
    let age = ConnectionAge::new(limits, now, &mut fastrand::Rng::with_seed(7));
    (age, now)
}

#[test]
fn a_penalized_address_takes_no_new_requests_while_another_is_healthy() {
    let (mut age, now) = age(&LIMITS);
    let bad = AddressStatus {
        penalized: true,
        ..LISTED
    };
    let all_bad = AddressStatus {
        has_alternative: false,
        ..bad
    };
    assert_eq!(age.drain_reason(all_bad, &LIMITS, now), None);
    let verdict = age.drain_reason(bad, &LIMITS, now);
    assert_eq!(verdict, Some(DrainReason::Penalized));
}

#[test]
fn an_address_that_left_dns_is_left_after_the_grace_period() {
    let (mut age, now) = age(&LIMITS);
    assert_eq!(age.drain_reason(LISTED, &LIMITS, now), None);
    assert_eq!(age.drain_reason(GONE, &LIMITS, now), None);
    assert_eq!(age.drain_reason(GONE, &LIMITS, now + 59 * SECOND), None);
    assert_eq!(age.due(&LIMITS), now + 60 * SECOND);
    let verdict = age.drain_reason(GONE, &LIMITS, now + 60 * SECOND);
    assert_eq!(verdict, Some(DrainReason::RemovedFromDns));
}

/// The address leaves DNS and comes back in turn, and each time the grace period starts anew.
#[test]
fn flicker_moves_nothing() {
    let (mut age, now) = age(&LIMITS);
    for n in 0..100 {
        let stand = if n % 2 == 0 { LISTED } else { GONE };
        let verdict = age.drain_reason(stand, &LIMITS, now + n * 50 * SECOND);
        assert_eq!(verdict, None, "answer {n}");
    }
}

/// The address is a proxy's, or the URL names the address.
#[test]
fn an_address_that_dns_never_named_cannot_leave() {
    let (mut age, now) = age(&LIMITS);
    for n in 0..100 {
        assert_eq!(age.drain_reason(GONE, &LIMITS, now + n * 50 * SECOND), None);
    }
    assert!(!age.is_of_dns());
}

/// While DNS is down, no answer says which addresses have left.
#[test]
fn nobody_leaves_without_a_good_answer() {
    let (mut age, now) = age(&LIMITS);
    let no_answer = AddressStatus {
        listed: None,
        ..LISTED
    };
    let _ = age.drain_reason(LISTED, &LIMITS, now);
    let _ = age.drain_reason(GONE, &LIMITS, now);
    let late = now + 1_000 * SECOND;
    assert_eq!(age.drain_reason(no_answer, &LIMITS, late), None);
    let verdict = age.drain_reason(GONE, &LIMITS, late);
    assert_eq!(verdict, Some(DrainReason::RemovedFromDns));
}

#[test]
fn an_old_connection_is_replaced_unless_all_addresses_are_bad() {
    let limits = Limits {
        age: Some(100 * SECOND),
        ..LIMITS
    };
    let (mut age, now) = age(&limits);
    let late = now + 110 * SECOND;
    let all_bad = AddressStatus {
        has_alternative: false,
        ..LISTED
    };
    assert_eq!(age.drain_reason(LISTED, &limits, now + 89 * SECOND), None);
    assert_eq!(age.drain_reason(all_bad, &limits, late), None);
    for stand in [LISTED, AddressStatus::UNKNOWN] {
        assert_eq!(
            age.drain_reason(stand, &limits, late),
            Some(DrainReason::MaxAge)
        );
    }
}

#[test]
fn a_connection_without_requests_is_taken_for_closed() {
    let (mut age, now) = age(&LIMITS);
    assert!(!age.is_idle(&LIMITS, now + 89 * SECOND));
    assert!(age.is_idle(&LIMITS, now + 90 * SECOND));
    age.used(now + 50 * SECOND);
    assert!(!age.is_idle(&LIMITS, now + 90 * SECOND));
    assert!(age.rests_since(now + 51 * SECOND) && !age.rests_since(now + 50 * SECOND));
}

proptest! {
    #[test]
    fn an_age_is_spread_by_a_tenth(seed: u64, secs in 1_u64..1_000_000) {
        let age = Duration::from_secs(secs);
        let spread = jittered(age, &mut fastrand::Rng::with_seed(seed));
        prop_assert!(spread >= age.mul_f64(0.899) && spread <= age.mul_f64(1.101));
    }

    /// Before the connection is due, no decision changes while the status of the address stays the same.
    #[test]
    fn time_alone_changes_nothing_before_it_is_due(
        seed: u64, age in proptest::option::of(1_u64..200), gone: bool, ahead in 0_u32..200
    ) {
        let limits = Limits { age: age.map(Duration::from_secs), ..LIMITS };
        let now = time::now();
        let mut age = ConnectionAge::new(&limits, now, &mut fastrand::Rng::with_seed(seed));
        let _ = age.drain_reason(LISTED, &limits, now);
        let stand = if gone { GONE } else { LISTED };
        let verdict = age.drain_reason(stand, &limits, now);
        let later = now + ahead * SECOND;
        if later < age.due(&limits) {
            prop_assert_eq!(age.drain_reason(stand, &limits, later), verdict);
            prop_assert!(!age.is_idle(&limits, later));
        }
    }
}
