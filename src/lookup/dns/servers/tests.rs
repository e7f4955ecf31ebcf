use hickory_resolver::proto::op::ResponseCode;
use proptest::prelude::*;

use super::super::config::{IpStrategy, Protocol};
use super::super::fault::Fault;
use super::*;
use crate::time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn server(n: u8) -> Server {
    Server {
        addr: ([192, 0, 2, n], 53).into(),
        protocol: Protocol::Udp,
    }
}

fn config(servers: u8, attempts: u8) -> StubConfig {
    StubConfig {
        servers: (1..=servers).map(server).collect(),
        search: Vec::new(),
        ndots: 1,
        timeout: 5 * SECOND,
        attempts,
        rotate: false,
        edns: true,
        single_request: false,
        ip_strategy: IpStrategy::Both,
    }
}

/// A simulation of questions to servers, each of which behaves the same each time.
struct Course {
    memory: Memory,
    now: Instant,
}

/// The behavior of a server.
#[derive(Clone, Debug)]
enum Does {
    Answers(Duration),
    Denies(Duration),
    Fails(Duration, ResponseCode),
    Silent,
}

#[derive(Debug, PartialEq)]
enum Came {
    Addresses(u8),
    Denied(u8),
    Failed(String),
}

fn number(server: Server) -> u8 {
    match server.addr.ip() {
        std::net::IpAddr::V4(addr) => addr.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    }
}

impl Course {
    fn new() -> Self {
        Self {
            memory: Memory::default(),
            now: time::now(),
        }
    }

    /// Returns the queried servers with the time of each query, the result of the question, and its duration.
    fn ask(&mut self, config: &StubConfig, does: &[Does]) -> (Vec<(u8, Duration)>, Came, Duration) {
        let began = self.now;
        let order = self.memory.order(config, 0, began);
        let mut turn = QuestionState::new(order, config);
        let mut sent = Vec::new();
        let mut due: Vec<(Instant, Slot)> = Vec::new();
        for _ in 0..1_000 {
            let step = turn.next(self.now, |server| self.memory.wait(server, config.timeout));
            match step {
                Step::Send(slot, server) => {
                    sent.push((number(server), self.now - began));
                    let after = match does[usize::from(number(server)) - 1] {
                        Answers(after) | Denies(after) | Fails(after, _) => after,
                        Silent => continue,
                    };
                    due.push((self.now + after, slot));
                    due.sort();
                }
                Step::Wait(until) => {
                    if due.first().is_none_or(|(at, _)| *at > until) {
                        self.now = until;
                        continue;
                    }
                    let (at, slot) = due.remove(0);
                    self.now = at;
                    let server = turn.server(slot);
                    let Some(since) = turn.sent_at(slot) else {
                        continue;
                    };
                    match &does[usize::from(number(server)) - 1] {
                        Answers(_) => {
                            self.memory.answered(server, Some(at - since), at);
                            self.end(&turn, slot);
                            return (sent, Came::Addresses(number(server)), at - began);
                        }
                        Denies(_) => {
                            self.memory.answered(server, Some(at - since), at);
                            turn.denied_by(slot, ());
                        }
                        Fails(_, code) => {
                            self.memory.failed(server, at);
                            turn.failed_by(slot, Fault::Code(*code));
                        }
                        Silent => {}
                    }
                }
                Step::End(End::Denied(slot, ())) => {
                    self.end(&turn, slot);
                    return (
                        sent,
                        Came::Denied(number(turn.server(slot))),
                        self.now - began,
                    );
                }
                Step::End(End::Failed(_, fault)) => {
                    return (sent, Came::Failed(format!("{fault:?}")), self.now - began);
                }
                Step::End(End::NoServer) => {
                    return (sent, Came::Failed("no server".into()), self.now - began);
                }
            }
        }
        panic!("the question does not end: {sent:?}");
    }

    fn end(&mut self, turn: &QuestionState<()>, slot: Slot) {
        for outdone in turn.outdone(slot) {
            match outdone {
                Outdone::Silent(server, since) => self.memory.silent(server, since, self.now),
                Outdone::Unreachable(server) => self.memory.set_back(server, self.now),
            }
        }
    }
}

fn asked_servers(sent: &[(u8, Duration)]) -> Vec<u8> {
    sent.iter().map(|(server, _)| *server).collect()
}

const SOON: Duration = Duration::from_millis(20);

use Does::{Answers, Denies, Fails, Silent};
use ResponseCode::{NotImp, Refused, ServFail};

/// The first server's answer counts, even if a second server would reply sooner.
#[test]
fn a_second_server_is_not_asked_while_the_first_answers() {
    for second in [
        Fails(MS, Refused),
        Fails(MS, ServFail),
        Fails(MS, NotImp),
        Denies(MS),
    ] {
        let mut course = Course::new();
        for _ in 0..10 {
            let (sent, came, _) = course.ask(&config(2, 2), &[Answers(SOON), second.clone()]);
            assert_eq!((asked_servers(&sent), came), (vec![1], Came::Addresses(1)));
        }
    }
}

#[test]
fn a_server_that_fails_is_followed_at_once() {
    for code in [ServFail, Refused, NotImp, ResponseCode::FormErr] {
        let (sent, came, took) = Course::new().ask(&config(2, 2), &[Fails(MS, code), Answers(MS)]);
        assert_eq!(
            (asked_servers(&sent), came),
            (vec![1, 2], Came::Addresses(2))
        );
        assert!(took <= 3 * MS);
    }
}

/// With one working and two silent servers in any order, only the first question waits.
///
/// After 2 s, each silent server is tried once together with the working server.
#[test]
fn a_dead_first_server_costs_one_wait() {
    for good in 0..3 {
        let mut does = vec![Silent, Silent, Silent];
        does[good] = Answers(SOON);
        let mut course = Course::new();
        let (_, _, first) = course.ask(&config(3, 2), &does);
        assert!(first <= 1_100 * MS, "{good}: {first:?}");
        for turn in 1..12 {
            course.now += SECOND;
            let (sent, came, took) = course.ask(&config(3, 2), &does);
            let good = good as u8 + 1;
            assert_eq!(came, Came::Addresses(good), "{turn}");
            assert_eq!(took, SOON, "{turn}");
            assert!(
                turn < 5 || asked_servers(&sent) == [good],
                "{turn}: {sent:?}"
            );
        }
    }
}

/// A server that was set back is tried together with a working server.
///
/// If the server replies, the server is first again.
#[test]
fn a_server_that_was_set_back_is_tried_beside_a_working_one() {
    let mut course = Course::new();
    for _ in 0..2 {
        course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
        course.now += SILENT;
    }
    let (sent, ..) = course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
    assert_eq!(asked_servers(&sent), [2], "it is set back");
    course.now += SET_BACK;
    let (sent, _, took) = course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
    assert_eq!(
        (asked_servers(&sent), took),
        (vec![2, 1], SOON),
        "it is still dead"
    );
    let (sent, ..) = course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
    assert_eq!(asked_servers(&sent), [2], "one trial at a time");
    course.now += SET_BACK;
    let (sent, ..) = course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
    assert_eq!(
        asked_servers(&sent),
        [2],
        "twice the time after a failed trial"
    );
    course.now += SET_BACK;
    let (sent, ..) = course.ask(&config(2, 2), &[Silent, Answers(SOON)]);
    assert_eq!(asked_servers(&sent), [2, 1], "it is still dead");
    course.now += SET_BACK_MOST;
    let (sent, ..) = course.ask(&config(2, 2), &[Answers(MS), Answers(SOON)]);
    assert_eq!(asked_servers(&sent), [2, 1]);
    let (sent, ..) = course.ask(&config(2, 2), &[Answers(MS), Answers(SOON)]);
    assert_eq!(asked_servers(&sent), [1]);
}

/// If two servers disagree, the earlier server decides.
///
/// A later server's NXDOMAIN counts only if the earlier server has failed.
#[test]
fn a_later_servers_negative_answer_waits_for_the_earlier_one() {
    let late = Answers(900 * MS);
    let (sent, came, _) = Course::new().ask(&config(2, 2), &[late, Denies(MS)]);
    assert_eq!(
        (asked_servers(&sent), came),
        (vec![1, 2], Came::Addresses(1))
    );
    let failing = Fails(900 * MS, ServFail);
    let (_, came, _) = Course::new().ask(&config(2, 2), &[failing, Denies(MS)]);
    assert_eq!(came, Came::Denied(2));
    let (_, came, took) = Course::new().ask(&config(2, 2), &[Silent, Denies(MS)]);
    assert_eq!(came, Came::Denied(2));
    assert_eq!(took, 3 * SECOND, "three fifths of the time limit");
}

/// If a server leaves one name without an answer and answers other names, the server is not silent.
#[test]
fn a_server_that_answers_other_names_is_not_silent() {
    let (mut memory, sent) = (Memory::default(), time::now());
    memory.answered(server(1), Some(MS), sent + MS);
    memory.silent(server(1), sent, sent + 5 * SECOND);
    assert!(!memory.is_suspect(server(1)) && !memory.is_set_back(server(1)));
    memory.silent(server(1), sent + SECOND, sent + 5 * SECOND);
    assert!(memory.is_set_back(server(1)), "but since then it is");
}

/// After a failure of this machine, no further query is sent, and pending queries stay.
#[test]
fn a_failure_of_this_machine_leaves_queries_that_are_sent() {
    let config = config(2, 1);
    let order = Memory::default().order(&config, 0, time::now());
    let mut turn: QuestionState<()> = QuestionState::new(order, &config);
    let (t0, wait) = (time::now(), |_| {
        Memory::default().wait(server(1), config.timeout)
    });
    let Step::Send(first, _) = turn.next(t0, wait) else {
        panic!("the first server is asked");
    };
    let Step::Send(second, _) = turn.next(t0 + SECOND, wait) else {
        panic!("the second server is asked beside it");
    };
    let full = std::io::Error::from_raw_os_error(24);
    turn.failed_by(second, Fault::Machine(std::sync::Arc::new(full)));
    assert!(matches!(turn.next(t0 + SECOND, wait), Step::Wait(_)));
    assert!(turn.sent_at(first).is_some(), "its answer still counts");
}

/// Addresses of a later server count as much as those of an earlier server.
#[test]
fn a_slow_server_is_overlapped_and_still_waited_for() {
    let (sent, came, took) =
        Course::new().ask(&config(2, 2), &[Answers(600 * MS), Answers(500 * MS)]);
    assert_eq!(sent, [(1, Duration::ZERO), (2, 500 * MS)]);
    assert_eq!((came, took), (Came::Addresses(1), 600 * MS));
}

/// A lone server is queried again before its time limit, because a query may be lost.
#[test]
fn a_lone_silent_server_is_asked_once_for_each_attempt() {
    let (sent, came, took) = Course::new().ask(&config(1, 3), &[Silent]);
    let at = |n: u32| (1, n * 500 * MS);
    assert_eq!(sent, [at(0), at(1), at(2)]);
    assert_eq!((came, took), (Came::Failed("Silent".into()), 6 * SECOND));
}

#[test]
fn a_lone_servers_servfail_is_repeated_once_and_then_no_more() {
    let mut course = Course::new();
    let (sent, ..) = course.ask(&config(1, 5), &[Fails(MS, ServFail)]);
    assert_eq!(asked_servers(&sent), [1, 1]);
    for _ in 0..10 {
        let (sent, ..) = course.ask(&config(1, 5), &[Fails(MS, ServFail)]);
        assert_eq!(asked_servers(&sent), [1], "it has failed before");
    }
    for _ in 0..ANSWERS_PER_REPEAT {
        course.ask(&config(1, 5), &[Answers(MS)]);
    }
    let (sent, ..) = course.ask(&config(1, 5), &[Fails(MS, ServFail)]);
    assert_eq!(asked_servers(&sent), [1, 1], "it has answered enough since");
    let (sent, ..) = course.ask(&config(1, 5), &[Fails(MS, ServFail)]);
    assert_eq!(asked_servers(&sent), [1], "it has failed again");
    let (sent, ..) = Course::new().ask(&config(2, 5), &[Fails(MS, ServFail), Fails(MS, ServFail)]);
    assert_eq!(asked_servers(&sent), [1, 2], "two servers agree");
}

/// If no server can answer a name, no server is set back.
#[test]
fn a_broken_name_does_not_change_the_order() {
    let mut course = Course::new();
    for _ in 0..5 {
        course.ask(&config(2, 2), &[Fails(MS, ServFail), Fails(MS, ServFail)]);
    }
    let (sent, ..) = course.ask(&config(2, 2), &[Answers(MS), Answers(MS)]);
    assert_eq!(asked_servers(&sent), [1]);
}

/// After the first server was slow once, the next server's negative answer still waits for the first server.
///
/// If servers disagree, as inside and outside of a VPN, the order decides.
#[test]
fn a_slow_moment_does_not_change_which_server_decides() {
    let mut course = Course::new();
    let slow = Answers(900 * MS);
    let (_, came, _) = course.ask(&config(2, 2), &[slow.clone(), Answers(MS)]);
    assert_eq!(came, Came::Addresses(2), "an address is an address");
    let (sent, came, took) = course.ask(&config(2, 2), &[slow, Denies(MS)]);
    assert_eq!(came, Came::Addresses(1));
    assert_eq!(asked_servers(&sent), [2, 1], "the no waits for the first");
    assert_eq!(took, 901 * MS);
    let (sent, ..) = course.ask(&config(2, 2), &[Answers(MS), Denies(MS)]);
    assert_eq!(asked_servers(&sent), [1], "it has answered");
}

/// An internal server that refuses other names is still queried first for its own names.
#[test]
fn a_server_that_replies_is_never_set_back() {
    let mut course = Course::new();
    for _ in 0..10 {
        let (sent, came, _) = course.ask(&config(2, 2), &[Fails(MS, Refused), Answers(MS)]);
        assert_eq!(
            (asked_servers(&sent), came),
            (vec![1, 2], Came::Addresses(2))
        );
        course.now += SET_BACK;
    }
    let (_, came, _) = course.ask(&config(2, 2), &[Answers(MS), Denies(MS)]);
    assert_eq!(came, Came::Addresses(1));
}

#[test]
fn the_overlap_adapts_to_what_a_server_takes() {
    let mut memory = Memory::default();
    let overlap = |memory: &Memory| memory.wait(server(1), 5 * SECOND).alone;
    assert_eq!(overlap(&memory), 500 * MS, "nothing is known");
    for (took, expected) in [(MS, 250 * MS), (100 * MS, 500 * MS), (SECOND, 2_500 * MS)] {
        for _ in 0..200 {
            memory.answered(server(1), Some(took), time::now());
        }
        let is = overlap(&memory);
        assert!(is.abs_diff(expected) < 10 * MS, "{took:?}: {is:?}");
    }
    assert_eq!(
        memory.wait(server(1), SECOND).alone,
        500 * MS,
        "half of the time limit"
    );
}

#[test]
fn rotation_starts_with_each_server_in_turn() {
    let mut memory = Memory::default();
    let rotating = StubConfig {
        rotate: true,
        ..config(3, 2)
    };
    let mut first = || {
        let start = memory.start(&rotating);
        number(memory.order(&rotating, start, time::now()).servers[0])
    };
    assert_eq!([first(), first(), first(), first()], [1, 2, 3, 1]);
}

fn does() -> impl Strategy<Value = Does> {
    (0_u8..6, 0_u64..6_000).prop_map(|(kind, after)| {
        let after = Duration::from_millis(after);
        match kind {
            0 => Answers(after),
            1 => Denies(after),
            2 => Fails(after, ServFail),
            3 => Fails(after, Refused),
            _ => Silent,
        }
    })
}

proptest! {
    /// For any behavior of the servers, the question ends, and each server gets at most one query for each
    /// attempt. Each answer comes from a server that answers.
    #[test]
    fn a_question_ends_within_its_bounds(
        all in prop::collection::vec(does(), 1..5),
        attempts in 1_u8..=5,
        questions in 1_usize..6,
    ) {
        let config = config(all.len() as u8, attempts);
        let mut course = Course::new();
        for _ in 0..questions {
            let (sent, came, took) = course.ask(&config, &all);
            for n in 1..=all.len() as u8 {
                let of_one = sent.iter().filter(|(server, _)| *server == n).count();
                prop_assert!(of_one <= attempts.into());
            }
            prop_assert!(took <= config.timeout * (all.len() as u32) * u32::from(attempts));
            match came {
                Came::Addresses(n) => {
                    prop_assert!(matches!(all[usize::from(n) - 1], Answers(_)));
                }
                Came::Denied(n) => prop_assert!(matches!(all[usize::from(n) - 1], Denies(_))),
                Came::Failed(_) => {
                    let may_answer = |does: &Does| match does {
                        Answers(after) | Denies(after) => *after < config.timeout,
                        _ => false,
                    };
                    prop_assert!(!all.iter().any(may_answer));
                }
            }
            course.now += Duration::from_secs(7);
        }
    }
}
