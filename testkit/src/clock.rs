//! A clock for tests over real sockets, which advances only while a connect waits for time alone.
//!
//! A machine under load may take seconds for a handshake. A [`Clock`] stands still meanwhile, so no time limit of the
//! crate and no penalty ends because of the load. If a connect needs time to pass, because an edge drops packets or a
//! lookup has to wait, [`while_pending`] advances the clock.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock of the tests is read here"
)]

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::Instant;

use crate::{DialLog, Dialled, Edges, Journal};

/// Stops the clock of the current runtime until this value is dropped.
///
/// tokio advances a paused clock as soon as the runtime is idle, even if data is on the way to its sockets, but not
/// while a blocking task runs. So each [`Clock`] runs a blocking task.
#[derive(Debug)]
pub struct Clock {
    _blocking: mpsc::Sender<()>,
    port: u16,
}

/// The edges and the journal of a test whose clock is stopped.
struct Watched {
    edges: Edges,
    journal: Journal,
}

thread_local! {
    /// The tests that stopped the clock of this thread's runtime.
    static STOPPED: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
}

/// Length of a step of the clock, which is shorter than any time limit that a test sets.
const STEP: Duration = Duration::from_millis(5);

/// Time between two connects, so that the crate can order them.
const INSTANT: Duration = Duration::from_micros(1);

impl Clock {
    /// Stops the clock for a test with these edges.
    ///
    /// Returns `None` on a multi-thread runtime, whose clock tokio cannot pause.
    pub fn stop(edges: &Edges, journal: &Journal) -> Option<Self> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let (blocking, ended) = mpsc::channel::<()>();
        let is_first = STOPPED.with_borrow(Vec::is_empty);
        if is_first {
            tokio::time::pause();
        }
        spawn_blocking(move || ended.recv());
        let (edges, journal) = (edges.clone(), journal.clone());
        let port = edges.port();
        STOPPED.with_borrow_mut(|all| all.push(Watched { edges, journal }));
        Some(Self {
            _blocking: blocking,
            port,
        })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let is_last = STOPPED.with_borrow_mut(|all| {
            all.retain(|it| it.edges.port() != self.port);
            all.is_empty()
        });
        // If the runtime has ended, there is no clock to resume.
        if is_last && Handle::try_current().is_ok() {
            tokio::time::resume();
        }
    }
}

/// Waits for `work`, which connects, and advances a stopped clock if `work` waits for time alone.
///
/// `work` waits for time alone while its last attempt is to a silent edge or has failed in TCP, and no lookup is in
/// flight.
pub async fn while_pending<F: Future>(work: F) -> F::Output {
    let watched = |it: &Watched| run(it.edges.clone(), it.journal.clone());
    let clocks: Vec<_> = STOPPED.with_borrow(|all| all.iter().map(watched).collect());
    if clocks.is_empty() {
        return work.await;
    }
    tokio::time::advance(INSTANT).await;
    tokio::select! {
        biased;
        output = work => output,
        _ = futures_util::future::join_all(clocks) => unreachable!("a clock never ends"),
    }
}

/// Sleeps for `time`, on a stopped clock too.
pub async fn sleep(time: Duration) {
    if STOPPED.with_borrow(Vec::is_empty) {
        return tokio::time::sleep(time).await;
    }
    // tokio rounds a timer up to its next millisecond.
    let end = Instant::now() + time + STEP;
    while Instant::now() < end {
        step().await;
    }
}

async fn step() {
    tokio::time::advance(STEP).await;
    // The runtime now polls its sockets and timers.
    for _ in 0..8 {
        yield_now().await;
    }
}

fn run(edges: Edges, journal: Journal) -> impl Future<Output = ()> {
    let (log, port) = (DialLog::start(), edges.port());
    let before = log.to_port(port).len();
    // If the last attempt has failed or is to a silent edge, the connect waits for time.
    let is_over = move |attempts: &[Dialled]| {
        let over =
            |attempt: &Dialled| attempt.failed || edges.is_silent(attempt.addr.to_canonical());
        attempts[before..].last().is_some_and(over)
    };
    async move {
        loop {
            log.until(port, &is_over).await;
            while is_over(&log.to_port(port)) {
                match journal.is_looking_up() {
                    true => yield_now().await,
                    false => step().await,
                }
            }
        }
    }
}
