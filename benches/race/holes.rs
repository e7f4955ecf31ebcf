//! Measures how long a connect takes if the first addresses are black holes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;
use testkit::{Edges, Mode};
use tokio::time::{sleep, timeout};

use crate::clients::{Client, Kind, bare, stock};
use crate::paper;

/// Time between the starts of two attempts of a race: 250 ms (RFC 8305, section 8).
pub(crate) const DELAY: Duration = Duration::from_millis(250);
/// Numbers of addresses, and how many of them are dead. A connector is given four addresses of a family, so eight
/// are more than one connect of reqwest attempts.
const CASES: [(u8, &[u8]); 2] = [(4, &[0, 1, 2, 3]), (8, &[0, 1, 3, 5, 6, 7])];
/// Number of measurements of each case.
const REPEATS: usize = 7;
/// Time after which a first penalty is over: 5 s, and up to a fifth more by its jitter.
const PENALTY: Duration = Duration::from_millis(6_200);
pub(crate) const HOST: &str = "edge.test";

/// The times of connects with some addresses dead, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Connects {
    pub(crate) all: u8,
    pub(crate) dead: u8,
    pub(crate) race: Ours,
    pub(crate) sidestep: Ours,
    /// Times of hyper-util, or `None` for a connect that reached the limit.
    pub(crate) hyper_first_ms: Option<f64>,
    pub(crate) hyper_second_ms: Option<f64>,
    /// Times of curl, from its source.
    pub(crate) curl_paper_ms: f64,
    /// Times of Go, from its source.
    pub(crate) go_paper_ms: f64,
}

/// The times of the connects of one client.
#[derive(Debug, Serialize)]
pub(crate) struct Ours {
    pub(crate) cold: Figures,
    pub(crate) warm: Figures,
}

/// The times of the connects of one client, cold or warm.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) first_ms: Spread,
    pub(crate) second_ms: Spread,
    /// The first connect after the penalties of the dead addresses are over.
    pub(crate) rested_ms: Spread,
    /// Bare connects to healthy addresses, including the lookup.
    pub(crate) round_trip_ms: Spread,
    /// The total error of as many sleeps of 250 ms as addresses are dead.
    pub(crate) timer_error_ms: Spread,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) worst: f64,
}

impl Spread {
    fn of(all: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<_> = all.into_iter().map(millis).collect();
        all.sort_by(f64::total_cmp);
        Self {
            median: all[all.len() / 2],
            worst: all[all.len() - 1],
        }
    }
}

/// The state of a client before its first measured connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The resolver and the client are new, and the addresses are dead already.
    Nothing,
    /// Each address has connected, and the dead addresses died just now.
    AllConnected,
}

/// Measures all cases at once, because a connect to a black hole waits and needs no processor.
pub(crate) fn measure(limit: Duration) -> Vec<Connects> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let cases = CASES.iter().flat_map(|(all, dead)| {
        let all = *all;
        dead.iter().map(move |&dead| connects(all, dead, limit))
    });
    runtime.block_on(join_all(cases))
}

async fn connects(all: u8, dead: u8, limit: Duration) -> Connects {
    let hyper = async { Stand::build(all, dead).await.hyper(limit).await };
    let (hyper, race, sidestep) = tokio::join!(
        hyper,
        ours(Kind::Race, all, dead),
        ours(Kind::Sidestep, all, dead)
    );
    let [first, second] = hyper.map(|took| took.map(millis));
    Connects {
        all,
        dead,
        race,
        sidestep,
        hyper_first_ms: first,
        hyper_second_ms: second,
        curl_paper_ms: millis(paper::curl(dead.into())),
        go_paper_ms: millis(paper::go(dead.into(), all.into())),
    }
}

async fn ours(kind: Kind, all: u8, dead: u8) -> Ours {
    let figures = async |before| {
        let stand = Stand::build(all, dead).await;
        let mut lives = Vec::new();
        for _ in 0..REPEATS {
            lives.push(stand.live(kind, before).await);
        }
        figures(&lives)
    };
    let (cold, warm) = tokio::join!(figures(Before::Nothing), figures(Before::AllConnected));
    Ours { cold, warm }
}

fn figures(lives: &[Life]) -> Figures {
    let spread = |what: fn(&Life) -> Duration| Spread::of(lives.iter().map(what));
    Figures {
        first_ms: spread(|it| it.first),
        second_ms: spread(|it| it.second),
        rested_ms: spread(|it| it.rested),
        round_trip_ms: spread(|it| it.round_trip),
        timer_error_ms: spread(|it| it.timer_error),
    }
}

/// The edges of one host, the first of which die.
struct Stand {
    edges: Edges,
    dead: u8,
}

/// Measures the connects of one client, and the timer errors of this machine.
struct Life {
    first: Duration,
    second: Duration,
    rested: Duration,
    round_trip: Duration,
    timer_error: Duration,
}

impl Stand {
    async fn build(all: u8, dead: u8) -> Self {
        let edges = Edges::http(all).await;
        let stand = Self { edges, dead };
        stand.turn(Mode::BlackHole).await;
        stand
    }

    /// Changes the edges that die to `mode`.
    async fn turn(&self, mode: Mode) {
        let ips = self.edges.ips();
        let turns = ips[..self.dead.into()].iter();
        join_all(turns.map(|&ip| self.edges.set(ip, mode))).await;
    }

    /// Connects twice through hyper-util, which learns nothing from the first connect.
    async fn hyper(&self, limit: Duration) -> [Option<Duration>; 2] {
        let addr = |ip| SocketAddr::new(ip, 0);
        let mut client = stock(self.edges.ips().into_iter().map(addr).collect());
        let mut took = [None; 2];
        for took in &mut took {
            *took = timeout(limit, self.connect(&mut client)).await.ok();
        }
        took
    }

    /// Connects three times with a new client.
    async fn live(&self, kind: Kind, before: Before) -> Life {
        let (ips, dead) = (self.edges.ips(), usize::from(self.dead));
        let round_trip = self.connect(&mut bare(&ips[dead..])).await;
        let mut client = Client::new(kind, &self.edges);
        if before == Before::AllConnected {
            self.turn(Mode::Serve).await;
            self.connect_to_each(&mut client, &ips).await;
            self.turn(Mode::BlackHole).await;
        }
        let (first, timer_error) = tokio::join!(self.connect(&mut client), self.timers());
        let second = self.connect(&mut client).await;
        sleep(PENALTY).await;
        let rested = self.connect(&mut client).await;
        Life {
            first,
            second,
            rested,
            round_trip,
            timer_error,
        }
    }

    /// Connects once to each address, to the first one of the answer last.
    async fn connect_to_each(&self, client: &mut Client, ips: &[IpAddr]) {
        for &ip in ips.iter().rev() {
            client.restrict_to(Some(ip));
            let peer = client.connect(self.edges.url(HOST)).await;
            assert_eq!(peer, ip, "the only address that is known");
        }
        client.restrict_to(None);
    }

    async fn connect(&self, client: &mut Client) -> Duration {
        let begun = Instant::now();
        let peer = client.connect(self.edges.url(HOST)).await;
        let took = begun.elapsed();
        let live = &self.edges.ips()[self.dead.into()..];
        assert!(live.contains(&peer), "{peer} is dead");
        took
    }

    /// Sleeps as often as a race waits.
    async fn timers(&self) -> Duration {
        let begun = Instant::now();
        for _ in 0..self.dead {
            sleep(DELAY).await;
        }
        begun.elapsed().saturating_sub(DELAY * self.dead.into())
    }
}

fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}
