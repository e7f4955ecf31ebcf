//! Tests the schedules of `cargo bench --bench soak`. A client can survive the schedule of each seed, and each schedule
//! has every fault.

use std::sync::LazyLock;
use std::time::Duration;

use testkit::soak::law;
use testkit::soak::limits::{IN_A_SECOND, most_queries};
use testkit::soak::scenes::Kind;
use testkit::soak::schedule::{Act, Connects, EDGES, Schedule};
use testkit::{Fault, Mode};

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const BOTH: [Connects; 2] = [Connects::ForEachRequest, Connects::Pooled];

/// The schedules of a hundred seeds for both kinds of clients, with a label for each.
static ALL: LazyLock<Vec<(String, Schedule)>> = LazyLock::new(|| {
    let both = |seed| BOTH.map(|connects| (seed, connects));
    let all = (0..100).flat_map(both).map(|(seed, connects)| {
        let label = format!("seed {seed}, {connects:?}");
        (label, Schedule::stormy(seed, FIVE_MINUTES, connects))
    });
    all.collect()
});

/// Every answer that a client may hold names an edge that serves, and no request is lost twice.
#[test]
fn every_schedule_obeys_the_law() {
    ALL.iter().for_each(|(_, schedule)| law::check(schedule));
}

#[test]
fn every_schedule_has_every_fault() {
    const DEATHS: [Mode; 8] = [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
        Mode::AcceptAndClose,
        Mode::CloseAfterRequest,
        Mode::Hang,
        Mode::HangInHttp,
    ];
    for (label, schedule) in &*ALL {
        let Schedule {
            connects,
            steps,
            scenes,
            ..
        } = schedule;
        let happens = |wanted: Act| steps.iter().filter(|(_, act)| *act == wanted).count();
        for mode in DEATHS {
            let deaths: usize = steps.iter().map(|&(_, act)| deaths(act, mode)).sum();
            let least = match (connects, mode) {
                (Connects::ForEachRequest, Mode::HangInHttp) => 0,
                _ => 3,
            };
            let is_enough = deaths >= least && (deaths == 0) == (least == 0);
            assert!(is_enough, "{label}: {mode:?} {deaths} times");
        }
        for fault in [Fault::Silent, Fault::ServFail] {
            let outages = happens(Act::NameServer(fault));
            assert!(outages > 0, "{label}: {fault:?}");
        }
        for (kind, least) in [
            (Kind::SeveralHang, 3),
            (Kind::OneAddress, 1),
            (Kind::Moved, 1),
        ] {
            let count = scenes.iter().filter(|scene| scene.kind == kind).count();
            assert!(count >= least, "{label}: {kind:?} {count} times");
        }
    }
}

/// Counts the edges that `act` changes to `mode`.
fn deaths(act: Act, mode: Mode) -> usize {
    match act {
        Act::Edge(_, other) if other == mode => 1,
        Act::Edges(edges, other) if other == mode => edges.into_iter().filter(|&dies| dies).count(),
        Act::Edge(..) | Act::Edges(..) | Act::Dns(_) | Act::NameServer(_) => 0,
    }
}

/// All victims of a scene serve until they die together.
#[test]
fn all_victims_of_a_scene_serve_before_they_die() {
    for (label, Schedule { steps, scenes, .. }) in &*ALL {
        for scene in scenes {
            let before = steps
                .iter()
                .take_while(|(at, act)| *at < scene.dies || !matches!(act, Act::Edges(..)));
            let mut modes = [Mode::Serve; EDGES];
            for (_, act) in before {
                match *act {
                    Act::Edge(edge, mode) => modes[edge] = mode,
                    Act::Edges(edges, mode) => {
                        let edges = (0..EDGES).filter(|&edge| edges[edge]);
                        edges.for_each(|edge| modes[edge] = mode);
                    }
                    Act::Dns(_) | Act::NameServer(_) => {}
                }
            }
            let victims: Vec<_> = (0..EDGES).filter(|&edge| scene.victims[edge]).collect();
            assert!(!victims.is_empty(), "{label}");
            let all_serve = victims.iter().all(|&edge| modes[edge] == Mode::Serve);
            assert!(all_serve, "{label}: {scene:?} {modes:?}");
        }
    }
}

#[test]
fn a_seed_always_makes_the_same_schedule() {
    for connects in BOTH {
        let steps = |seed| Schedule::stormy(seed, FIVE_MINUTES, connects).steps;
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }
}

/// Without faults an answer of 5 s is refreshed every 4 s. With faults the limit is below that of all hosts together.
#[test]
fn the_limit_of_queries_follows_the_rules_for_lookups() {
    let connects = Connects::ForEachRequest;
    let calm = most_queries(&Schedule::calm(connects), 300.0);
    assert!((152.0..200.0).contains(&calm), "{calm}");
    let storm = most_queries(&Schedule::stormy(1, FIVE_MINUTES, connects), 300.0);
    assert!(
        storm > calm && storm < 300.0 * IN_A_SECOND as f64 / 20.0,
        "{storm}"
    );
}
