use std::sync::Arc;

use super::*;
use crate::addrs::{AddressSet, v4};
use crate::cache::CachedAnswer;
use crate::time;

/// Returns the failure of a connect at these addresses of an answer.
fn failed(attempted: &[u8], answer: &Arc<CachedAnswer>, news: bool) -> Failure {
    let outlook = FailoverOutlook {
        known: Arc::clone(answer),
        left: SmallVec::new(),
        is_healthy: false,
        may_connect: false,
        fresh_answer_expected: news,
        next: answer.addrs.as_slice().len().min(4),
    };
    Failure {
        addrs: attempted.iter().map(|&n| v4(n)).collect(),
        attempts: attempted.len(),
        given: 0,
        next: outlook.next,
        next_if_it_hangs: outlook.next,
        outlook: Some(outlook),
        ..Failure::of(RetryReason::Connect, usize::MAX)
    }
}

fn answer(addrs: impl IntoIterator<Item = u8>) -> Arc<CachedAnswer> {
    changed(0, addrs)
}

/// Returns an answer after `times` other answers with new addresses.
fn changed(times: u32, addrs: impl IntoIterator<Item = u8>) -> Arc<CachedAnswer> {
    let addrs = AddressSet::new(addrs.into_iter().map(v4));
    Arc::new(CachedAnswer::overridden(addrs, time::now()).with_changes(times))
}

#[test]
fn a_request_is_retried_while_an_address_is_left() {
    let (mut history, now, known) = (RequestHistory::default(), time::now(), answer(1..=4));
    for n in 1..=3 {
        assert!(history.may_retry(&failed(&[n], &known, false), now), "{n}");
    }
    assert!(!history.may_retry(&failed(&[4], &known, false), now));
    assert_eq!(history.since, Some(now));
}

#[test]
fn attempts_end_at_twice_the_first_answer_whatever_dns_says() {
    for size in [1, 2, 3, 4, 8] {
        let (mut history, now) = (RequestHistory::default(), time::now());
        let mut attempts = 0;
        for round in 0.. {
            let first = size * round;
            let batch: Vec<u8> = (first..first + size.min(4)).collect();
            attempts += batch.len();
            let known = changed(round.into(), first..first + size);
            if !history.may_retry(&failed(&batch, &known, true), now) {
                break;
            }
        }
        assert!(
            attempts <= 16.min(2 * usize::from(size)),
            "{size}: {attempts}"
        );
        assert!(attempts > usize::from(size.min(4)), "{size}: {attempts}");
    }
}

#[test]
fn a_request_makes_at_most_sixteen_attempts() {
    let (mut history, now, known) = (RequestHistory::default(), time::now(), answer(0..64));
    let mut attempts = 0;
    for round in 0.. {
        attempts += 4;
        let batch = [0, 1, 2, 3].map(|n| 4 * round + n);
        if !history.may_retry(&failed(&batch, &known, true), now) {
            break;
        }
    }
    assert_eq!(attempts, MAX_ATTEMPTS);
}

/// Each attempt is given another answer, as when attempts fail in TLS.
#[test]
fn a_request_sees_at_most_three_answers() {
    let (mut history, now) = (RequestHistory::default(), time::now());
    let mut seen = 0;
    for n in 0.. {
        seen += 1;
        let first = 8 * n;
        let known = changed(n.into(), first..first + 8);
        if !history.may_retry(&failed(&[first], &known, true), now) {
            break;
        }
    }
    assert_eq!(seen, 1 + MAX_FRESH_ANSWERS);
}

/// The host is not looked up again while the answer stays the same.
#[test]
fn after_two_fresh_answers_the_addresses_of_the_last_one_are_tried() {
    let (mut history, now) = (RequestHistory::default(), time::now());
    let answers = [(0, 1), (1, 5), (2, 9)].map(|(times, first)| changed(times, first..first + 4));
    for (n, known) in [1, 5, 9].into_iter().zip(&answers) {
        let is_last = n == 9;
        assert!(
            history.may_retry(&failed(&[n], known, !is_last), now),
            "{n}"
        );
    }
    assert!(history.may_retry(&failed(&[10], &answers[2], false), now));
}

/// A slow connect starts a lookup while the connect is pending, so its failure may come after the second fresh answer.
#[test]
fn an_answer_that_no_connect_was_given_counts() {
    let (mut history, now) = (RequestHistory::default(), time::now());
    assert!(history.may_retry(&failed(&[1], &changed(0, 1..=4), false), now));
    assert!(history.may_retry(&failed(&[9], &changed(2, 9..=12), false), now));
    assert!(!history.may_retry(&failed(&[10], &changed(2, 9..=12), true), now));
}

#[test]
fn a_request_waits_twice_for_an_answer_that_stays_the_same() {
    let (mut history, now, known) = (RequestHistory::default(), time::now(), answer(1..=8));
    let all: Vec<u8> = (1..=8).collect();
    let again = |history: &mut RequestHistory| {
        let failed = Failure {
            given: 0,
            next: 1,
            next_if_it_hangs: 1,
            attempts: 1,
            ..failed(&all, &known, true)
        };
        history.may_retry(&failed, now)
    };
    assert_eq!([(); 3].map(|()| again(&mut history)), [true, true, false]);
}

#[test]
fn each_kind_has_its_own_count() {
    let (mut history, now) = (RequestHistory::default(), time::now());
    let mut may = |kind| history.may_retry(&Failure::of(kind, 1), now);
    assert!(may(RetryReason::EarlyClose));
    assert!(may(RetryReason::ProtocolNack));
    assert!(!may(RetryReason::EarlyClose));
}
