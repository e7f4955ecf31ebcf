//! Settings of the layers: which resolver.

use tower_layer::Layer;

use super::{Race, Tcp};
use crate::Resolver;

/// Races the addresses of a host, TLS included, and dials a fresh answer inside the same connect.
#[derive(Clone, Debug)]
pub struct RaceLayer {
    resolver: Resolver,
}

/// Tells a [race](RaceLayer) that TCP is up, so that TLS gets its time.
#[derive(Clone, Debug)]
pub struct TcpLayer {
    resolver: Resolver,
}

impl Resolver {
    /// Returns the layer that races connects; see [`RaceLayer`].
    #[must_use]
    pub fn race_layer(&self) -> RaceLayer {
        self.inner().expect_slips();
        RaceLayer {
            resolver: self.clone(),
        }
    }

    /// Returns the layer for inside of TLS, under a race; see [`TcpLayer`].
    #[must_use]
    pub fn tcp_layer(&self) -> TcpLayer {
        TcpLayer {
            resolver: self.clone(),
        }
    }
}

impl<S> Layer<S> for RaceLayer {
    type Service = Race<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Race::new(inner, self.resolver.clone())
    }
}

impl<S> Layer<S> for TcpLayer {
    type Service = Tcp<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Tcp::new(inner, self.resolver.clone())
    }
}
