//! The network of one process: the name server and the edges, which count what reaches them.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::scenario::{DNS_RTT, EDGE_RTT, Edges, Scenario};
use crate::tally::{Second, Tally};

/// The name server and the edges of a scenario. No packet is sent, and time passes on tokio's clock.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) scenario: Scenario,
    begin: Instant,
    tally: Arc<Mutex<Tally>>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// DNS named no address.
    Unresolved,
    /// No address connected.
    Unconnected,
}

impl Network {
    /// Creates a network whose scenario begins now.
    pub(crate) fn new(scenario: Scenario, tally: Arc<Mutex<Tally>>) -> Self {
        Self {
            scenario,
            begin: Instant::now(),
            tally,
        }
    }

    /// Returns the moment at this time of the scenario.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.begin + time
    }

    /// Queries the name server. While the name server is down, the query gets no reply.
    pub(crate) async fn query(&self) -> &'static Edges {
        self.count(|second| second.queries += 1);
        match self.scenario.answer(self.now()) {
            Some(edges) => {
                sleep(DNS_RTT).await;
                edges
            }
            None => std::future::pending().await,
        }
    }

    /// Attempts an address, IPv4-mapped or not, for a request.
    pub(crate) async fn attempt(&self, addr: IpAddr) -> io::Result<()> {
        let is_up = self.scenario.is_up(addr, self.now());
        self.count(|second| {
            second.dials += 1;
            second.dead += u64::from(!is_up);
        });
        reply(is_up).await
    }

    /// Connects to an address for a probe.
    pub(crate) async fn probe(&self, addr: IpAddr) -> io::Result<()> {
        self.count(|second| second.probes += 1);
        reply(self.scenario.is_up(addr, self.now())).await
    }

    /// Counts a request, and whether it failed, for the second in which each happens.
    pub(crate) async fn request(&self, request: impl Future<Output = Result<(), Failure>>) {
        self.count(|second| second.requests += 1);
        if let Err(failure) = request.await {
            self.count(|second| {
                second.failed += 1;
                second.unanswered += u64::from(failure == Failure::Unresolved);
            });
        }
    }

    fn count(&self, count: impl FnOnce(&mut Second)) {
        let second = self.now().as_secs();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        count(tally.at(second));
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

async fn reply(is_up: bool) -> io::Result<()> {
    sleep(EDGE_RTT).await;
    match is_up {
        true => Ok(()),
        false => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}
