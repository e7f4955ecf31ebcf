//! A closed load: so many requests are in flight at any time, each on a new connection.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::clock;
use crate::edge::Mode;
use crate::ledger::trailed;
use crate::stage::WORK;

/// Requests in flight.
pub(crate) const IN_FLIGHT: usize = 200;
/// How long after the last start a request may still end without counting as hung.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// Kinds of failures that are told.
const TOLD: usize = 20;

/// Requests to send to one URL until there are none left, or the time is over.
pub(crate) struct Load {
    http: reqwest::Client,
    url: String,
    left: AtomicU64,
    begin: Instant,
    until: Instant,
    /// When each request in flight began.
    in_flight: [Mutex<Option<Instant>>; IN_FLIGHT],
    tally: Mutex<Tally>,
}

/// What a load is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) requests: u64,
    /// How long it may take.
    pub(crate) lasts: Duration,
    /// From where on requests are looked at closely.
    pub(crate) slow_from: Duration,
}

/// What became of the requests.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Microseconds.
    pub(crate) took: Histogram<u64>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) hung: Vec<Duration>,
    /// Slower ones are slow.
    slow_from: Duration,
    /// What the slow requests had met, how many, and the slowest.
    pub(crate) slow: BTreeMap<String, (u64, Duration)>,
    /// Of each kind of failure, how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From the first start to the last end, or until the rest was held to be hung.
    pub(crate) lasted: Duration,
}

impl Tally {
    fn new(slow_from: Duration) -> Self {
        const HOUR: u64 = 3_600_000_000;
        Self {
            took: Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are valid"),
            answered: 0,
            failed: 0,
            hung: Vec::new(),
            slow_from,
            slow: BTreeMap::new(),
            failures: BTreeMap::new(),
            lasted: Duration::ZERO,
        }
    }

    fn note(&mut self, took: Duration, failure: Option<String>, met: &[Mode]) {
        let micros = took.as_micros().try_into().unwrap_or(u64::MAX);
        self.took.saturating_record(micros);
        if took > self.slow_from {
            let (count, worst) = self.slow.entry(words(met)).or_default();
            *count += 1;
            *worst = took.max(*worst);
        }
        match failure {
            None => self.answered += 1,
            Some(failure) => {
                self.failed += 1;
                let told = format!("having dialled {met:?}: {failure}");
                if self.failures.len() < TOLD || self.failures.contains_key(&told) {
                    *self.failures.entry(told).or_default() += 1;
                }
            }
        }
    }
}

/// Names what a request has met, as a set.
fn words(met: &[Mode]) -> String {
    let mut dead: Vec<_> = met.iter().filter(|&&mode| mode != Mode::Serve).collect();
    dead.sort_by_key(|&&mode| mode as usize);
    dead.dedup();
    let dead: Vec<_> = dead.iter().map(|mode| format!("{mode:?}")).collect();
    match (dead.is_empty(), met.len()) {
        (false, _) => dead.join(" + "),
        (true, 0 | 1) => "none".to_owned(),
        (true, _) => "serving edges only, more than one".to_owned(),
    }
}

impl Load {
    pub(crate) fn new(http: reqwest::Client, url: String, plan: Plan) -> Self {
        let Plan {
            requests,
            lasts,
            slow_from,
        } = plan;
        let begin = clock::now();
        Self {
            http,
            url,
            left: AtomicU64::new(requests),
            begin,
            until: begin + lasts,
            in_flight: std::array::from_fn(|_| Mutex::default()),
            tally: Mutex::new(Tally::new(slow_from)),
        }
    }

    /// Sends all requests and returns what became of them.
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

    /// One after another.
    async fn use_it(self: Arc<Self>, user: usize) {
        while self.take() && clock::now() < self.until {
            let began = clock::now();
            self.mark(user, Some(began));
            let (ended, met) = trailed(self.send()).await;
            self.mark(user, None);
            let took = clock::now() - began;
            let failure = ended.err().map(|error| chain(&error.without_url()));
            self.edit(|tally| tally.note(took, failure, &met));
            // Who fails at once is not to fail more often than others are answered.
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

    async fn send(&self) -> reqwest::Result<()> {
        let answer = self.http.get(&self.url).send().await?.error_for_status()?;
        answer.bytes().await.map(drop)
    }

    fn mark(&self, user: usize, began: Option<Instant>) {
        *self.in_flight[user].lock().expect("no mark panics") = began;
    }

    /// Counts who is in flight as hung.
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

/// An error and all that lies behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    let words: Vec<_> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
