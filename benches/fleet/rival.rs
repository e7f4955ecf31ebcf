//! The other policies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout};

use crate::load::Client;
use crate::network::{Failure, Network};
use crate::scenario::Edges;

/// A cache whose entries live for a fixed time.
#[derive(Clone)]
pub(crate) struct Rival {
    network: Arc<Network>,
    life: Duration,
    /// Whether a failed connect evicts the host and is repeated at once.
    evicts: bool,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    entry: Option<(&'static Edges, Instant)>,
    /// The lookup in flight, for which all requests wait.
    lookup: Option<Shared<BoxFuture<'static, Option<&'static Edges>>>>,
}

/// Maximum number of repeated connects of a request.
const TRIES: u32 = 8;
/// Time limit of a lookup: the default of the crate.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

impl Rival {
    pub(crate) fn new(network: &Arc<Network>, life: Duration, evicts: bool) -> Self {
        Self {
            network: Arc::clone(network),
            life,
            evicts,
            cache: Arc::default(),
        }
    }

    /// Returns the cached addresses, or waits for a lookup.
    async fn edges(&self) -> Option<&'static Edges> {
        let lookup = {
            let mut cache = self.cache();
            match cache.entry {
                Some((edges, expires_at)) if Instant::now() < expires_at => return Some(edges),
                _ => cache
                    .lookup
                    .get_or_insert_with(|| self.clone().look_up().boxed().shared())
                    .clone(),
            }
        };
        lookup.await
    }

    async fn look_up(self) -> Option<&'static Edges> {
        let answer = timeout(LOOKUP_TIMEOUT, self.network.query()).await.ok();
        let mut cache = self.cache();
        cache.entry = answer.map(|edges| (edges, Instant::now() + self.life));
        cache.lookup = None;
        answer
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client for Rival {
    async fn request(&self) -> Result<(), Failure> {
        for _ in 0..=TRIES {
            let mut edges = *self.edges().await.ok_or(Failure::Unresolved)?;
            fastrand::shuffle(&mut edges);
            for addr in edges {
                match self.network.attempt(addr).await {
                    Ok(()) => return Ok(()),
                    Err(_) if self.evicts => {
                        self.cache().entry = None;
                        break;
                    }
                    Err(_) => {}
                }
            }
            if !self.evicts {
                break;
            }
        }
        Err(Failure::Unconnected)
    }
}
