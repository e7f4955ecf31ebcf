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

fn tenure(limits: &Limits) -> (ConnectionAge, Instant) {
    let now = time::now();
    let tenure = ConnectionAge::new(limits, now, &mut fastrand::Rng::with_seed(7));
    (tenure, now)
}

#[test]
fn a_penalized_address_takes_no_new_requests_while_another_is_healthy() {
    let (mut tenure, now) = tenure(&LIMITS);
    let bad = AddressStatus {
        penalized: true,
        ..LISTED
    };
    let all_bad = AddressStatus {
        has_alternative: false,
        ..bad
    };
    assert_eq!(tenure.judge(all_bad, &LIMITS, now), None);
    let verdict = tenure.judge(bad, &LIMITS, now);
    assert_eq!(verdict, Some(DrainReason::Penalized));
}

#[test]
fn an_address_that_left_dns_is_left_after_the_grace_period() {
    let (mut tenure, now) = tenure(&LIMITS);
    assert_eq!(tenure.judge(LISTED, &LIMITS, now), None);
    assert_eq!(tenure.judge(GONE, &LIMITS, now), None);
    assert_eq!(tenure.judge(GONE, &LIMITS, now + 59 * SECOND), None);
    assert_eq!(tenure.due(&LIMITS), now + 60 * SECOND);
    let verdict = tenure.judge(GONE, &LIMITS, now + 60 * SECOND);
    assert_eq!(verdict, Some(DrainReason::RemovedFromDns));
}

/// The address leaves DNS and comes back in turn, and each time the grace period starts anew.
#[test]
fn flicker_moves_nothing() {
    let (mut tenure, now) = tenure(&LIMITS);
    for n in 0..100 {
        let stand = if n % 2 == 0 { LISTED } else { GONE };
        let verdict = tenure.judge(stand, &LIMITS, now + n * 50 * SECOND);
        assert_eq!(verdict, None, "answer {n}");
    }
}

/// The address is a proxy's, or the URL names the address.
#[test]
fn an_address_that_dns_never_named_cannot_leave() {
    let (mut tenure, now) = tenure(&LIMITS);
    for n in 0..100 {
        assert_eq!(tenure.judge(GONE, &LIMITS, now + n * 50 * SECOND), None);
    }
    assert!(!tenure.is_of_dns());
}

/// While DNS is down, no answer says which addresses have left.
#[test]
fn nobody_leaves_without_a_good_answer() {
    let (mut tenure, now) = tenure(&LIMITS);
    let no_answer = AddressStatus {
        listed: None,
        ..LISTED
    };
    let _ = tenure.judge(LISTED, &LIMITS, now);
    let _ = tenure.judge(GONE, &LIMITS, now);
    let late = now + 1_000 * SECOND;
    assert_eq!(tenure.judge(no_answer, &LIMITS, late), None);
    let verdict = tenure.judge(GONE, &LIMITS, late);
    assert_eq!(verdict, Some(DrainReason::RemovedFromDns));
}

#[test]
fn an_old_connection_is_replaced_unless_all_addresses_are_bad() {
    let limits = Limits {
        age: Some(100 * SECOND),
        ..LIMITS
    };
    let (mut tenure, now) = tenure(&limits);
    let late = now + 110 * SECOND;
    let all_bad = AddressStatus {
        has_alternative: false,
        ..LISTED
    };
    assert_eq!(tenure.judge(LISTED, &limits, now + 89 * SECOND), None);
    assert_eq!(tenure.judge(all_bad, &limits, late), None);
    for stand in [LISTED, AddressStatus::UNKNOWN] {
        assert_eq!(
            tenure.judge(stand, &limits, late),
            Some(DrainReason::MaxAge)
        );
    }
}

#[test]
fn a_connection_without_requests_is_taken_for_closed() {
    let (mut tenure, now) = tenure(&LIMITS);
    assert!(!tenure.is_idle(&LIMITS, now + 89 * SECOND));
    assert!(tenure.is_idle(&LIMITS, now + 90 * SECOND));
    tenure.used(now + 50 * SECOND);
    assert!(!tenure.is_idle(&LIMITS, now + 90 * SECOND));
    assert!(tenure.rests_since(now + 51 * SECOND) && !tenure.rests_since(now + 50 * SECOND));
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
        let mut tenure = ConnectionAge::new(&limits, now, &mut fastrand::Rng::with_seed(seed));
        let _ = tenure.judge(LISTED, &limits, now);
        let stand = if gone { GONE } else { LISTED };
        let verdict = tenure.judge(stand, &limits, now);
        let later = now + ahead * SECOND;
        if later < tenure.due(&limits) {
            prop_assert_eq!(tenure.judge(stand, &limits, later), verdict);
            prop_assert!(!tenure.is_idle(&limits, later));
        }
    }
}
