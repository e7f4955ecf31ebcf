//! The schedules of `cargo bench --bench soak`: no seed makes one that nobody could get over, and none
//! leaves a fault out.

#[path = "../benches/soak/director.rs"]
mod director;
#[path = "common/edge.rs"]
mod edge;
#[path = "../benches/soak/law.rs"]
mod law;
#[path = "../benches/soak/limits.rs"]
mod limits;
#[path = "common/name_server.rs"]
mod name_server;
#[path = "../benches/soak/scenes.rs"]
mod scenes;
#[path = "../benches/soak/schedule.rs"]
mod schedule;

use std::sync::LazyLock;
use std::time::Duration;

use self::edge::Mode;
use self::limits::{IN_A_SECOND, most_queries};
use self::name_server::Fault;
use self::scenes::Kind;
use self::schedule::{Act, Connects, EDGES, Schedule};

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const BOTH: [Connects; 2] = [Connects::ForEachRequest, Connects::Pooled];

/// The schedules of a hundred seeds for both kinds of clients, with the words for each.
static ALL: LazyLock<Vec<(String, Schedule)>> = LazyLock::new(|| {
    let both = |seed| BOTH.map(|connects| (seed, connects));
    let all = (0..100).flat_map(both).map(|(seed, connects)| {
        let words = format!("seed {seed}, {connects:?}");
        (words, Schedule::stormy(seed, FIVE_MINUTES, connects))
    });
    all.collect()
});

/// One edge serves of every answer that a client may hold, and no request may be lost twice.
#[test]
fn every_schedule_keeps_to_the_law() {
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
    for (words, schedule) in &*ALL {
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
            assert!(is_enough, "{words}: {mode:?} {deaths} times");
        }
        for fault in [Fault::Silent, Fault::ServFail] {
            let outages = happens(Act::NameServer(fault));
            assert!(outages > 0, "{words}: {fault:?}");
        }
        for (kind, least) in [
            (Kind::SeveralHang, 3),
            (Kind::OneAddress, 1),
            (Kind::Moved, 1),
        ] {
            let count = scenes.iter().filter(|scene| scene.kind == kind).count();
            assert!(count >= least, "{words}: {kind:?} {count} times");
        }
    }
}

/// Counts the edges that die in this way.
fn deaths(act: Act, mode: Mode) -> usize {
    match act {
        Act::Edge(_, other) if other == mode => 1,
        Act::Edges(edges, other) if other == mode => edges.into_iter().filter(|&dies| dies).count(),
        Act::Edge(..) | Act::Edges(..) | Act::Dns(_) | Act::NameServer(_) => 0,
    }
}

/// All victims of a scene serve until they die together.
#[test]
fn a_scene_kills_what_serves() {
    for (words, Schedule { steps, scenes, .. }) in &*ALL {
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
            assert!(!victims.is_empty(), "{words}");
            let all_serve = victims.iter().all(|&edge| modes[edge] == Mode::Serve);
            assert!(all_serve, "{words}: {scene:?} {modes:?}");
        }
    }
}

#[test]
fn a_seed_is_one_schedule() {
    for connects in BOTH {
        let steps = |seed| Schedule::stormy(seed, FIVE_MINUTES, connects).steps;
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }
}

/// Nothing fails: an answer of 5 s is asked for again each 4 s. And no limit is beyond what all hosts
/// together may ask.
#[test]
fn the_limit_of_queries_follows_the_rules() {
    let connects = Connects::ForEachRequest;
    let calm = most_queries(&Schedule::calm(connects), 300.0);
    assert!((152.0..200.0).contains(&calm), "{calm}");
    let storm = most_queries(&Schedule::stormy(1, FIVE_MINUTES, connects), 300.0);
    assert!(
        storm > calm && storm < 300.0 * IN_A_SECOND as f64 / 20.0,
        "{storm}"
    );
}
