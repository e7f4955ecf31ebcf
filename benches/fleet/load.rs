//! The requests of one process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::network::{Failure, Network};
use crate::scenario::STARTS;

/// The client of a process. Clones share one cache.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Makes a request on a new connection.
    fn request(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The requests that a process makes at random, from its start to the end of the scenario.
pub(crate) struct Load {
    network: Arc<Network>,
    interval: Duration,
    rng: fastrand::Rng,
    /// When the process starts, and later when it makes its next request.
    next: Instant,
}

impl Load {
    /// Creates the load of a process. The same seed makes the same requests at the same times, whatever their results.
    pub(crate) fn new(network: &Arc<Network>, interval: Duration, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            network: Arc::clone(network),
            interval,
            next: network.at(STARTS.mul_f64(rng.f64())),
            rng,
        }
    }

    /// Makes the requests with this client.
    pub(crate) async fn run(mut self, client: impl Client) {
        let end = self.network.at(self.network.scenario.end());
        loop {
            let wait = -(1.0 - self.rng.f64()).ln();
            self.next += self.interval.mul_f64(wait);
            sleep_until(self.next.min(end)).await;
            if self.next >= end {
                return;
            }
            let (network, client) = (Arc::clone(&self.network), client.clone());
            tokio::spawn(async move { network.request(client.request()).await });
        }
    }
}
