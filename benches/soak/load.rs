//! A closed load, with a fixed number of requests in flight.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use testkit::lab::clock;
use testkit::lab::get::{Failure, Get};
use testkit::soak::scenes::{Kind, Scene};
use testkit::soak::schedule::At;
use tokio::task::JoinSet;
use tower::{Service as _, ServiceExt as _};

use crate::ledger::{Met, trailed};
use crate::stage::WORK;

/// Number of requests in flight.
pub(crate) const IN_FLIGHT: usize = 200;
/// Time after the last start in which a request may end without counting as hung.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// Number of kinds of failures that are reported.
const TOLD: usize = 20;

/// Sends requests until none is left or the time is over.
pub(crate) struct Load {
    /// The clients, which the users share in turn.
    clients: Vec<Get>,
    scenes: Vec<Scene>,
    left: AtomicU64,
    begin: Instant,
    until: Instant,
    /// The start of each request in flight.
    in_flight: [Mutex<Option<Instant>>; IN_FLIGHT],
    tally: Mutex<Tally>,
}

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) requests: u64,
    /// How long the load may take.
    pub(crate) lasts: Duration,
    /// Requests that take longer than this are recorded as slow.
    pub(crate) slow_from: Duration,
}

/// The circumstances of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    /// The scene that took place during the request.
    pub(crate) scene: Option<Kind>,
    /// Whether a lost ping has ended a connection of the request.
    pub(crate) silence: bool,
}

/// The results of the requests.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Times of all requests, in microseconds.
    pub(crate) took: Histogram<u64>,
    /// Times of the requests of each class, in microseconds.
    pub(crate) classes: BTreeMap<Class, Histogram<u64>>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) hung: Vec<Duration>,
    /// Requests that take longer than this are slow.
    slow_from: Duration,
    /// The slow requests by their events.
    pub(crate) slow: BTreeMap<String, Slow>,
    /// The number of each kind of failure.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Time from the first start to the last end, or until the other requests counted as hung.
    pub(crate) lasted: Duration,
}

/// Slow requests that had the same events.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) requests: u64,
    pub(crate) worst: Duration,
    /// Starts of the first and the last of these requests, from the start of the load.
    pub(crate) began: [Duration; 2],
}

/// The result of a request.
struct Sent {
    began: Duration,
    took: Duration,
    failure: Option<String>,
    met: Vec<Met>,
    class: Class,
}

impl Tally {
    fn new(slow_from: Duration) -> Self {
        Self {
            took: histogram(),
            classes: BTreeMap::new(),
            answered: 0,
            failed: 0,
            hung: Vec::new(),
            slow_from,
            slow: BTreeMap::new(),
            failures: BTreeMap::new(),
            lasted: Duration::ZERO,
        }
    }

    fn note(&mut self, sent: Sent) {
        let Sent {
            began,
            took,
            failure,
            met,
            class,
        } = sent;
        let micros = took.as_micros().try_into().unwrap_or(u64::MAX);
        self.took.saturating_record(micros);
        let of_class = self.classes.entry(class).or_insert_with(histogram);
        of_class.saturating_record(micros);
        if took > self.slow_from {
            let met = match class.scene {
                Some(scene) => format!("{} in the scene {scene:?}", words(&met)),
                None => words(&met),
            };
            let slow = self.slow.entry(met).or_insert(Slow {
                requests: 0,
                worst: took,
                began: [began; 2],
            });
            slow.requests += 1;
            slow.worst = slow.worst.max(took);
            slow.began = [slow.began[0].min(began), slow.began[1].max(began)];
        }
        match failure {
            None => self.answered += 1,
            Some(failure) => {
                self.failed += 1;
                let met: Vec<_> = met.iter().map(|met| met.words()).collect();
                let (second, met) = (began.as_secs(), met.join(", "));
                let told = format!("begun at {second} s, having met {met}: {failure}");
                if self.failures.len() < TOLD || self.failures.contains_key(&told) {
                    *self.failures.entry(told).or_default() += 1;
                }
            }
        }
    }
}

fn histogram() -> Histogram<u64> {
    const HOUR: u64 = 3_600_000_000;
    Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are valid")
}

/// Names the events of a request, as a set.
fn words(met: &[Met]) -> String {
    let mut dead: Vec<_> = met.iter().filter(|&&met| met != Met::Edge(0)).collect();
    dead.sort();
    dead.dedup();
    let dead: Vec<_> = dead.iter().map(|met| met.words()).collect();
    match (dead.is_empty(), met.len()) {
        (false, _) => dead.join(" + "),
        (true, 0 | 1) => "none".to_owned(),
        (true, _) => "serving edges only, more than one".to_owned(),
    }
}

impl Load {
    pub(crate) fn new(clients: Vec<Get>, scenes: &[Scene], plan: Plan) -> Self {
        let Plan {
            requests,
            lasts,
            slow_from,
        } = plan;
        let begin = clock::now();
        Self {
            clients,
            scenes: scenes.to_vec(),
            left: AtomicU64::new(requests),
            begin,
            until: begin + lasts,
            in_flight: std::array::from_fn(|_| Mutex::default()),
            tally: Mutex::new(Tally::new(slow_from)),
        }
    }

    /// Sends all requests and returns their results.
    pub(crate) async fn drive(self) -> Tally {
        let load = Arc::new(self);
        let mut users = JoinSet::new();
        for user in 0..IN_FLIGHT {
            users.spawn(load.clone().use_it(user));
        }
        let patience = load.until + GRACE;
        while let Ok(Some(user)) = tokio::time::timeout_at(patience.into(), users.join_next()).await
        {
            user.expect("no user panics");
        }
        load.close()
    }

    /// Sends the requests of one user, one after another.
    async fn use_it(self: Arc<Self>, user: usize) {
        let mut client = self.clients[user % self.clients.len()].clone();
        while self.take() && clock::now() < self.until {
            let began = clock::now();
            self.mark(user, Some(began));
            let (ended, met) = trailed(send(&mut client)).await;
            self.mark(user, None);
            let took = clock::now() - began;
            let failure = ended.err().map(|error| chain(&*error));
            let class = Class {
                scene: self.scene(began, took),
                silence: met.contains(&Met::Silence),
            };
            let sent = Sent {
                began: began - self.begin,
                took,
                failure,
                met,
                class,
            };
            self.edit(|tally| tally.note(sent));
            // A user whose request fails at once waits, so that fast failures do not make up most of the requests.
            tokio::time::sleep(WORK.saturating_sub(took)).await;
        }
    }

    fn take(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    /// Returns the scene in which edges died during a request or shortly before.
    fn scene(&self, began: Instant, took: Duration) -> Option<Kind> {
        let millis = |at: Duration| -> At { at.as_millis().try_into().unwrap_or(At::MAX) };
        let began = began - self.begin;
        let (from, until) = (millis(began), millis(began + took));
        let mut scenes = self.scenes.iter();
        let scene = scenes.find(|scene| from < scene.ends && scene.dies <= until)?;
        Some(scene.kind)
    }

    fn mark(&self, user: usize, began: Option<Instant>) {
        *self.in_flight[user].lock().expect("no mark panics") = began;
    }

    /// Counts the requests in flight as hung.
    fn close(&self) -> Tally {
        let now = clock::now();
        let began = |slot: &Mutex<Option<Instant>>| *slot.lock().expect("no mark panics");
        let hung = self.in_flight.iter().filter_map(began);
        self.edit(|tally| {
            for began in hung {
                let age = now - began;
                let micros = age.as_micros().try_into().unwrap_or(u64::MAX);
                tally.took.saturating_record(micros);
                tally.hung.push(age);
            }
            tally.lasted = now - self.begin;
            tally.clone()
        })
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut self.tally.lock().expect("no edit panics"))
    }
}

async fn send(client: &mut Get) -> Result<(), Failure> {
    client.ready().await?.call(()).await
}

/// Returns the text of an error and of all its sources.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    let words: Vec<_> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
