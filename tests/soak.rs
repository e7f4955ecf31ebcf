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
#[path = "../benches/soak/schedule.rs"]
mod schedule;

use std::time::Duration;

use self::edge::Mode;
use self::limits::{IN_A_SECOND, most_queries};
use self::name_server::Fault;
use self::schedule::{Act, Schedule};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Of every answer that a client may hold one edge serves; two are not cut off at once.
#[test]
fn every_schedule_keeps_to_the_law() {
    for seed in 0..100 {
        law::check(&Schedule::stormy(seed, FIVE_MINUTES));
    }
}

#[test]
fn every_schedule_has_every_fault() {
    const DEATHS: [Mode; 7] = [
        Mode::Refuse,
        Mode::BlackHole,
        Mode::TlsReset,
        Mode::WrongCertificate,
        Mode::AcceptAndClose,
        Mode::CloseAfterRequest,
        Mode::Hang,
    ];
    for seed in 0..100 {
        let steps = Schedule::stormy(seed, FIVE_MINUTES).steps;
        let happens = |wanted: Act| steps.iter().filter(|(_, act)| *act == wanted).count();
        for mode in DEATHS {
            let deaths: usize = (0..8).map(|edge| happens(Act::Edge(edge, mode))).sum();
            assert!(deaths >= 3, "seed {seed}: {mode:?} {deaths} times");
        }
        for fault in [Fault::Silent, Fault::ServFail] {
            assert!(
                happens(Act::NameServer(fault)) > 0,
                "seed {seed}: {fault:?}"
            );
        }
    }
}

#[test]
fn a_seed_is_one_schedule() {
    let steps = |seed| Schedule::stormy(seed, FIVE_MINUTES).steps;
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
}

/// Nothing fails: an answer of 5 s is asked for again each 4 s. And no limit is beyond what all hosts
/// together may ask.
#[test]
fn the_limit_of_queries_follows_the_rules() {
    let calm = most_queries(&Schedule::calm(), 300.0);
    assert!((152.0..200.0).contains(&calm), "{calm}");
    let storm = most_queries(&Schedule::stormy(1, FIVE_MINUTES), 300.0);
    assert!(
        storm > calm && storm < 300.0 * IN_A_SECOND as f64 / 20.0,
        "{storm}"
    );
}
