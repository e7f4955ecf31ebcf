//! The state that all clones of a resolver share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::config::{Config, SelectConfig};
use super::context_loss::ContextLoss;
use super::mapped_support;
#[cfg(feature = "watch-network")]
use super::watch::Watch;
use crate::attempt::NewConnections;
use crate::cache::{Cache, Sources};
use crate::events::{Event, Observe, Observers};
use crate::health::{Health, OnProbe, Probe};
use crate::time;

/// Joins the cache, the health of addresses and the new connections, each of which is the only writer of its own state.
pub(crate) struct Inner {
    /// Tells the attempt contexts of several resolvers apart.
    pub(super) id: u64,
    pub(super) config: SelectConfig,
    pub(super) cache: Arc<Cache>,
    pub(super) health: Arc<Health>,
    pub(super) new_connections: NewConnections,
    pub(super) context_loss: ContextLoss,
    pub(super) observers: Arc<Observers>,
    #[cfg(feature = "watch-network")]
    pub(super) watch: Watch,
}

impl Inner {
    pub(super) fn new(
        config: Config,
        sources: Sources,
        user: Option<Arc<dyn Observe>>,
    ) -> Arc<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let now = time::now();
        let observers = Arc::new(Observers::new(user));
        Arc::new_cyclic(|inner: &Weak<Self>| {
            let health = Health::new(&config.health, Self::on_probe(inner.clone()), now);
            let health = Arc::new(health);
            let cache = Cache::new(
                config.cache,
                sources,
                Arc::clone(&health),
                Arc::clone(&observers),
            );
            Self {
                id: MADE.fetch_add(1, Ordering::Relaxed),
                config: SelectConfig {
                    lanes: config.select.lanes && mapped_support::are_connected_to(),
                    ..config.select
                },
                cache: Arc::new(cache),
                health,
                new_connections: NewConnections::new(now),
                context_loss: ContextLoss::new(),
                observers,
                #[cfg(feature = "watch-network")]
                watch: Watch::default(),
            }
        })
    }

    /// Returns the receiver of the probes. A probe holds the resolver weakly.
    fn on_probe(inner: Weak<Self>) -> Arc<OnProbe> {
        Arc::new(move |host, addr, probe| {
            let Some(inner) = inner.upgrade() else {
                return;
            };
            match probe {
                Probe::Started => inner.emit(&Event::Probe {
                    host: host.as_str(),
                    addr: addr.ip(),
                    port: addr.port(),
                }),
                Probe::Ended(probed, began) => inner.probed(host, addr.ip(), &probed, began),
            }
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns what is known of addresses and connects, for the questions of a layer.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observers.tell(event);
    }

    /// Records that a connector layer was made, so that from now on attempt contexts can be lost.
    pub(crate) fn expect_context(&self) {
        self.context_loss.expect_context();
    }

    /// Returns how often a connector has resolved a name outside of any attempt context; see [`Event::ContextLost`].
    pub(crate) fn queries_without_context(&self) -> u64 {
        self.context_loss.queries_without_context()
    }
}
