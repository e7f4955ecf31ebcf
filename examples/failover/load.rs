//! A steady load, which starts a request every period, whatever the state of the earlier ones.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use testkit::lab::clock;
use testkit::lab::get::Get;
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval_at, timeout_at};
use tower::ServiceExt as _;

use crate::scenario::Plan;

/// Time after the last start in which a request may end without counting as hung.
const GRACE: Duration = Duration::from_secs(1);

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Failed,
    /// The request was not sent because too many were in flight.
    Shed,
    /// The request had no response when the scenario was over.
    Hung,
}

/// One request. Its times are from the start of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) end: End,
}

/// Sends GETs through the whole plan, and shows the progress on `bar`.
pub(crate) async fn drive(
    get: &Get,
    plan: &Plan,
    begin: Instant,
    bar: &ProgressBar,
) -> Vec<Request> {
    let mut load = Load::new(begin, plan.most_in_flight);
    let mut ticks = interval_at(begin.into(), plan.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while load.requests.len() < plan.requests() {
        tokio::select! {
            _ = ticks.tick() => load.start(get),
            Some(done) = load.tasks.join_next() => load.note(done.expect("no request panics")),
        }
        if !bar.is_hidden() {
            bar.set_message(load.words());
        }
    }
    load.finish().await
}

/// The ended requests, and those in flight.
struct Load {
    begin: Instant,
    most_in_flight: usize,
    requests: Vec<Request>,
    tasks: JoinSet<(usize, End, Instant)>,
}

impl Load {
    fn new(begin: Instant, most_in_flight: usize) -> Self {
        let (requests, tasks) = (Vec::new(), JoinSet::new());
        Self {
            begin,
            most_in_flight,
            requests,
            tasks,
        }
    }

    fn start(&mut self, get: &Get) {
        let at = clock::now() - self.begin;
        let full = self.tasks.len() >= self.most_in_flight;
        let end = if full { End::Shed } else { End::Hung };
        let took = Duration::ZERO;
        self.requests.push(Request { at, took, end });
        if !full {
            let (index, get) = (self.requests.len() - 1, get.clone());
            self.tasks.spawn(async move {
                let end = match get.oneshot(()).await {
                    Ok(()) => End::Answered,
                    Err(_) => End::Failed,
                };
                (index, end, clock::now())
            });
        }
    }

    fn note(&mut self, (index, end, ended): (usize, End, Instant)) {
        let request = &mut self.requests[index];
        request.took = ended - self.begin - request.at;
        request.end = end;
    }

    /// Waits for the last requests. Those that are still in flight then count as hung.
    async fn finish(mut self) -> Vec<Request> {
        let patience = TokioInstant::from(clock::now() + GRACE);
        while let Ok(Some(done)) = timeout_at(patience, self.tasks.join_next()).await {
            self.note(done.expect("no request panics"));
        }
        let now = clock::now() - self.begin;
        let hung = |request: &&mut Request| request.end == End::Hung;
        for request in self.requests.iter_mut().filter(hung) {
            request.took = now - request.at;
        }
        self.requests
    }

    fn words(&self) -> String {
        let count = |end| {
            self.requests
                .iter()
                .filter(|request| request.end == end)
                .count()
        };
        let answered = count(End::Answered);
        let failed = count(End::Failed) + count(End::Shed);
        format!(
            "{answered:>5} answered  {failed:>5} failed  {:>3} waiting",
            self.tasks.len()
        )
    }
}
