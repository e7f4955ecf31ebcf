use super::*;
use crate::addrs::{v4, v6};
use crate::time;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(250);
const PACE: RaceConfig = RaceConfig {
    delay: DELAY,
    attempt_timeout: Some(Duration::from_secs(10)),
    slow_after: Duration::from_secs(1),
    deadline: None,
};

/// Returns a race over `n` addresses whose first attempt is pending.
fn race(n: u8) -> (RaceState, Instant) {
    let t0 = time::now();
    (RaceState::begun(PACE, (1..=n).map(v4), t0), t0)
}

/// Returns the next step if the budget allows every attempt.
fn next(state: &mut RaceState, now: Instant) -> Step {
    state.next(now, |waiting, _| waiting.first().copied())
}

/// Returns the next step if the budget allows no attempt because of time.
fn wait(state: &mut RaceState, now: Instant) -> Step {
    state.next(now, |_, _| None)
}

/// Starts all attempts that may start now, and returns their addresses.
fn dial(state: &mut RaceState, now: Instant) -> Vec<IpAddr> {
    let dials = std::iter::from_fn(|| match next(state, now) {
        Step::Dial(addr) => {
            state.began(addr, now);
            Some(addr)
        }
        Step::Wait(_) | Step::GiveUp | Step::TimeOut(_) | Step::Reresolve => None,
    });
    dials.collect()
}

fn refuse(state: &mut RaceState, n: u8, now: Instant) {
    state.failed(v4(n), Outcome::Refused, now);
}

#[test]
fn attempts_start_one_delay_apart_and_at_once_after_a_failure() {
    let (mut state, t0) = race(3);
    assert_eq!(
        next(&mut state, t0 + 100 * MS),
        Step::Wait(Some(t0 + DELAY))
    );
    refuse(&mut state, 1, t0 + 110 * MS);
    assert_eq!(next(&mut state, t0 + 110 * MS), Step::Dial(v4(2)));
    let then = t0 + 110 * MS + DELAY;
    assert_eq!(next(&mut state, t0 + 110 * MS), Step::Wait(Some(then)));
    assert_eq!(next(&mut state, then), Step::Dial(v4(3)));
}

/// One failure lets one attempt start, not two.
#[test]
fn after_a_failure_the_one_after_the_next_waits_its_delay() {
    let (mut state, t0) = race(4);
    refuse(&mut state, 1, t0);
    assert_eq!(dial(&mut state, t0), [v4(2)]);
    assert!(dial(&mut state, t0 + 249 * MS).is_empty());
    assert_eq!(dial(&mut state, t0 + DELAY), [v4(3)]);
}

#[test]
fn when_all_have_failed_it_asks_once_and_goes_on_with_what_is_new() {
    let (mut state, t0) = race(2);
    refuse(&mut state, 1, t0);
    assert_eq!(dial(&mut state, t0), [v4(2)]);
    refuse(&mut state, 2, t0);
    assert_eq!(next(&mut state, t0), Step::Reresolve);
    assert_eq!(
        next(&mut state, t0),
        Step::Wait(None),
        "the answer is on its way"
    );
    state.answered(&[v4(2), v4(3), v4(1), v4(3)], t0);
    assert_eq!(dial(&mut state, t0), [v4(3)]);
    refuse(&mut state, 3, t0);
    assert_eq!(next(&mut state, t0), Step::GiveUp, "once");
}

#[test]
fn an_answer_without_a_new_address_ends_it() {
    let (mut state, t0) = race(1);
    refuse(&mut state, 1, t0);
    assert_eq!(next(&mut state, t0), Step::Reresolve);
    state.answered(&[v4(1)], t0);
    assert_eq!(next(&mut state, t0), Step::GiveUp);
}

#[test]
fn as_soon_as_one_is_slow_it_asks_and_dials_at_once_if_all_have_left() {
    let (mut state, t0) = race(2);
    assert_eq!(dial(&mut state, t0 + DELAY), [v4(2)]);
    let due = t0 + PACE.slow_after;
    assert_eq!(next(&mut state, t0 + DELAY), Step::Wait(Some(due)));
    assert_eq!(next(&mut state, due), Step::Reresolve);
    state.answered(&[v4(3)], due);
    assert_eq!(next(&mut state, due), Step::Dial(v4(3)));
    assert_eq!(state.beaten_by(v4(3)).count(), 2);
}

/// An address that is still in the answer may yet connect, so a new address waits for the delay.
#[test]
fn a_new_address_beside_an_old_one_starts_one_delay_after_the_last() {
    let (mut state, t0) = race(4);
    for ms in [250, 500, 750] {
        assert_eq!(dial(&mut state, t0 + ms * MS).len(), 1);
    }
    let due = t0 + PACE.slow_after;
    assert_eq!(next(&mut state, due), Step::Reresolve);
    state.answered(&[v4(4), v4(5), v4(6)], due);
    assert_eq!(dial(&mut state, due), [v4(5)]);
    assert!(dial(&mut state, due + 249 * MS).is_empty());
    assert_eq!(dial(&mut state, due + 250 * MS), [v4(6)]);
}

/// DNS may change after the first re-resolve.
#[test]
fn it_asks_once_more_when_all_are_slow_and_not_again() {
    let (mut state, t0) = race(2);
    assert_eq!(dial(&mut state, t0 + DELAY), [v4(2)]);
    let first = t0 + PACE.slow_after;
    assert_eq!(next(&mut state, first), Step::Reresolve);
    state.answered(&[v4(1), v4(2)], first);
    let second = first + RERESOLVE_AGAIN;
    assert_eq!(next(&mut state, first), Step::Wait(Some(second)));
    assert_eq!(next(&mut state, second), Step::Reresolve);
    state.answered(&[v4(1), v4(2)], second);
    assert_eq!(
        next(&mut state, second),
        Step::Wait(None),
        "one may yet connect"
    );
    refuse(&mut state, 1, second);
    refuse(&mut state, 2, second);
    assert_eq!(next(&mut state, second), Step::GiveUp);
}

#[test]
fn an_address_that_is_known_to_connect_may_go_first() {
    let (mut state, t0) = race(4);
    let known = state.next(t0 + DELAY, |waiting, since| {
        assert_eq!((waiting, since), (&[2, 3, 4].map(v4)[..], t0));
        Some(v4(4))
    });
    assert_eq!(known, Step::Dial(v4(4)));
    assert_eq!(dial(&mut state, t0 + 2 * DELAY), [v4(2)]);
}

/// An answer that came a moment ago is as good as the next one.
#[test]
fn after_an_early_answer_it_does_not_ask_when_all_have_failed() {
    let (mut state, t0) = race(1);
    let slow = t0 + PACE.slow_after;
    assert_eq!(next(&mut state, slow), Step::Reresolve);
    state.answered(&[v4(1)], slow);
    refuse(&mut state, 1, slow + DELAY);
    assert_eq!(next(&mut state, slow + DELAY), Step::GiveUp);
}

#[test]
fn without_a_budget_no_attempt_starts_because_of_time() {
    let (mut state, t0) = race(3);
    assert_eq!(
        state.next(t0 + DELAY, |_, _| None),
        Step::Wait(Some(t0 + 2 * DELAY))
    );
    refuse(&mut state, 1, t0 + DELAY);
    let dialled = state.next(t0 + DELAY, |_, _| unreachable!("a failure needs none"));
    assert_eq!(dialled, Step::Dial(v4(2)));
    assert_eq!(dial(&mut state, t0 + 2 * DELAY), [v4(3)]);
}

/// Once the attempts are slow, an address that connects for other requests may be attempted without a budget.
#[test]
fn without_a_budget_a_race_looks_again_when_its_attempts_become_slow() {
    let t0 = time::now();
    let slow_after = 300 * MS;
    let config = RaceConfig { slow_after, ..PACE };
    let mut state = RaceState::begun(config, [v4(1), v4(2)], t0);
    let slow_at = t0 + slow_after;
    assert_eq!(wait(&mut state, t0 + DELAY), Step::Wait(Some(slow_at)));
    assert_eq!(next(&mut state, slow_at), Step::Dial(v4(2)));
}

/// An attempt that the budget holds back can't start, so the host is re-resolved as if no address waited.
#[test]
fn without_a_budget_a_race_asks_again_while_all_that_runs_is_slow() {
    let (mut state, t0) = race(3);
    let early = t0 + PACE.slow_after;
    assert_eq!(
        wait(&mut state, t0 + DELAY),
        Step::Wait(Some(t0 + 2 * DELAY))
    );
    assert_eq!(wait(&mut state, early), Step::Reresolve);
    state.answered(&[v4(1), v4(2), v4(3)], early);
    assert!(state.waits_for_others());
    let again = early + RERESOLVE_AGAIN;
    assert!(matches!(wait(&mut state, again - MS), Step::Wait(_)));
    assert_eq!(wait(&mut state, again), Step::Reresolve);
    state.answered(&[v4(4)], again);
    assert_eq!(wait(&mut state, again), Step::Dial(v4(4)), "DNS has moved");
}

#[test]
fn no_attempt_waits_for_the_end_of_a_slow_one_and_none_is_dropped_for_another() {
    let (mut state, t0) = race(9);
    let mut now = t0;
    let mut attempted = vec![v4(1)];
    for _ in 0..8 {
        now += DELAY;
        attempted.extend(dial(&mut state, now));
        state.answered(&[], now);
    }
    assert_eq!(attempted, (1..=9).map(v4).collect::<Vec<_>>());
    assert_eq!(state.running().count(), 9);
}

/// The new addresses of an answer are attempted before those that still wait.
#[test]
fn of_a_fresh_answer_what_is_new_goes_first() {
    let (mut state, t0) = race(8);
    for n in 2..=4 {
        assert_eq!(dial(&mut state, t0 + u32::from(n - 1) * DELAY), [v4(n)]);
    }
    let due = t0 + PACE.slow_after;
    assert_eq!(next(&mut state, due - MS), Step::Wait(Some(due)));
    assert_eq!(dial(&mut state, due), [v4(5)], "and then it asks");
    state.answered(&[v4(2), v4(20), v4(21)], due);
    let mut dialled = Vec::new();
    for n in 1..=4 {
        refuse(&mut state, n, due);
        dialled.extend(dial(&mut state, due));
    }
    assert_eq!(dialled, [20, 21, 6, 7].map(v4));
}

#[test]
fn an_attempt_begins_when_it_is_dealt_its_address() {
    let (mut state, t0) = race(3);
    assert_eq!(next(&mut state, t0 + DELAY), Step::Dial(v4(2)));
    state.answered(&[], t0);
    refuse(&mut state, 1, t0 + DELAY);
    assert_eq!(next(&mut state, t0 + DELAY), Step::Dial(v4(3)));
    state.learn([v4(4)]);
    let later = t0 + 5_000 * MS;
    (2..=3).for_each(|n| state.began(v4(n), later));
    let end = later + 10_000 * MS;
    assert_eq!(wait(&mut state, end - MS), Step::Wait(Some(end)));
    assert_eq!(wait(&mut state, end), Step::TimeOut(v4(2)));
}

#[test]
fn tcp_that_is_up_earns_one_more_delay() {
    let (mut state, t0) = race(2);
    state.is_up(v4(1), t0 + 200 * MS);
    let later = t0 + 200 * MS + DELAY;
    assert_eq!(next(&mut state, t0 + DELAY), Step::Wait(Some(later)));
    state.is_up(v4(2), t0 + 400 * MS);
    assert_eq!(
        next(&mut state, later),
        Step::Dial(v4(2)),
        "who does not run earns none"
    );
}

#[test]
fn an_attempt_that_takes_too_long_is_ended_for_another_and_for_nothing_else() {
    let (mut state, t0) = race(2);
    state.answered(&[], t0);
    let end = t0 + 10_000 * MS;
    assert_eq!(wait(&mut state, end - MS), Step::Wait(Some(end)));
    assert_eq!(wait(&mut state, end), Step::TimeOut(v4(1)));
    assert_eq!(
        state.ends(end).next(),
        Some((v4(1), Some(Outcome::TimedOut)))
    );
    assert_eq!(wait(&mut state, end), Step::Dial(v4(2)));
    state.began(v4(2), end);
    let long = end + 100_000 * MS;
    assert_eq!(
        next(&mut state, long),
        Step::Wait(None),
        "it may yet connect"
    );
}

#[test]
fn at_the_deadline_it_is_over_whatever_runs() {
    let t0 = time::now();
    let deadline = Some(t0 + 1_100 * MS);
    let config = RaceConfig {
        attempt_timeout: None,
        deadline,
        ..PACE
    };
    let mut state = RaceState::begun(config, [v6(1), v6(2), v6(3)], t0);
    let t1 = t0 + 1_000 * MS;
    assert_eq!(dial(&mut state, t1), [v6(2)]);
    state.answered(&[], t1);
    assert_eq!(next(&mut state, t1), Step::Wait(deadline));
    let end = t0 + 1_100 * MS;
    assert_eq!(next(&mut state, end), Step::GiveUp);
    let ends: Vec<_> = state.ends(end).map(|(_, end)| end).collect();
    assert_eq!(
        ends,
        [Some(Outcome::Slow), Some(Outcome::Canceled), None],
        "who has just begun has not been pending for too long"
    );
}

/// Pending attempts may still connect.
#[test]
fn a_fault_of_this_machine_starts_no_more() {
    let (mut state, t0) = race(4);
    assert_eq!(dial(&mut state, t0 + DELAY), [v4(2)]);
    state.failed(v4(2), Outcome::LocalError, t0 + DELAY);
    assert_eq!(next(&mut state, t0 + DELAY), Step::Wait(None));
    refuse(&mut state, 1, t0 + DELAY);
    assert_eq!(
        next(&mut state, t0 + DELAY),
        Step::GiveUp,
        "nor does it ask again"
    );
}

#[test]
fn one_other_address_is_tried_after_a_wrong_certificate_and_a_fresh_answers() {
    let (mut state, t0) = race(4);
    state.failed(v4(1), Outcome::BadCertificate, t0);
    assert_eq!(dial(&mut state, t0), [v4(2)]);
    state.failed(v4(2), Outcome::BadCertificate, t0);
    assert_eq!(next(&mut state, t0), Step::Reresolve);
    state.answered(&[3, 4, 5, 6, 7].map(v4), t0);
    for n in [5, 6] {
        assert_eq!(dial(&mut state, t0), [v4(n)], "nothing of the old answer");
        state.failed(v4(n), Outcome::BadCertificate, t0);
    }
    assert_eq!(next(&mut state, t0), Step::GiveUp);
}

#[test]
fn who_had_a_head_start_of_a_delay_is_beaten_and_who_had_less_has_only_lost() {
    let (mut state, t0) = race(4);
    let t1 = t0 + DELAY;
    assert_eq!(dial(&mut state, t1), [v4(2)]);
    refuse(&mut state, 2, t1 + 100 * MS);
    assert_eq!(dial(&mut state, t1 + 100 * MS), [v4(3)]);
    let beaten = |state: &RaceState, winner| state.beaten_by(v4(winner)).collect::<Vec<_>>();
    assert_eq!(beaten(&state, 3), [v4(1)]);
    let t2 = t1 + 100 * MS + DELAY;
    assert_eq!(dial(&mut state, t2), [v4(4)]);
    assert!(beaten(&state, 1).is_empty());
    assert_eq!(beaten(&state, 4), [v4(1), v4(3)]);
}

proptest! {
    /// A race attempts each address at most once and ends, whichever attempts fail, hang or come up. Two attempts
    /// start closer than the delay only after a failure.
    #[test]
    fn a_race_dials_each_address_once_and_ends(
        n in 1_u8..20,
        fresh in 0_u8..20,
        events in prop::collection::vec((0_u8..4, 0_u8..20, 0_u64..400), 0..200),
    ) {
        let mut now = time::now();
        let deadline = Some(now + 100_000 * MS);
        let mut state = RaceState::begun(RaceConfig { deadline, ..PACE }, (1..=n).map(v4), now);
        let mut model = Model::new(now);
        for (what, which, ms) in events {
            now += u32::try_from(ms).unwrap() * MS;
            let running = model.running.len().max(1);
            let some = model.running.get(usize::from(which) % running).copied();
            match (what, some) {
                (0, Some(addr)) => model.fail(&mut state, addr, now),
                (1, Some(addr)) => state.is_up(addr, now),
                _ => {}
            }
            model.follow(&mut state, fresh, now);
        }
        while let Some(until) = model.follow(&mut state, fresh, now) {
            prop_assert!(until > now, "it waits for what has been");
            now = until;
        }
        prop_assert!(model.asked <= 2);
        let most = MAX_ATTEMPTS.min(2 * usize::from(n));
        prop_assert!(model.dialled.len() <= usize::from(n.max(fresh)).min(most));
        if model.running.is_empty() {
            prop_assert_eq!(model.dialled.len(), usize::from(n.max(fresh)).min(most));
        }
    }
}

/// The attempts of a race so far, and what must hold for them.
struct Model {
    dialled: Vec<IpAddr>,
    running: Vec<IpAddr>,
    last_start: Instant,
    has_failed: bool,
    asked: usize,
}

impl Model {
    fn new(now: Instant) -> Self {
        Self {
            dialled: vec![v4(1)],
            running: vec![v4(1)],
            last_start: now,
            has_failed: false,
            asked: 0,
        }
    }

    fn fail(&mut self, state: &mut RaceState, addr: IpAddr, now: Instant) {
        state.failed(addr, Outcome::Refused, now);
        self.running.retain(|other| *other != addr);
        self.has_failed = true;
    }

    fn dial(&mut self, addr: IpAddr, now: Instant) {
        assert!(!self.dialled.contains(&addr));
        assert!(self.has_failed || now >= self.last_start + DELAY);
        self.dialled.push(addr);
        self.running.push(addr);
        (self.last_start, self.has_failed) = (now, false);
    }

    /// Runs the race until it waits. Returns the end of the wait, or `None` if the race has ended.
    fn follow(&mut self, state: &mut RaceState, fresh: u8, now: Instant) -> Option<Instant> {
        loop {
            match next(state, now) {
                Step::Dial(addr) => self.dial(addr, now),
                Step::TimeOut(addr) => {
                    self.running.retain(|other| *other != addr);
                    self.has_failed = true;
                }
                Step::Reresolve => {
                    self.asked += 1;
                    state.answered(&(1..=fresh).map(v4).collect::<Vec<_>>(), now);
                    // All pending addresses may have left the answer, so one attempt starts at once.
                    self.has_failed = true;
                }
                Step::Wait(until) => {
                    assert!(!self.running.is_empty());
                    return until;
                }
                Step::GiveUp => return None,
            }
        }
    }
}
