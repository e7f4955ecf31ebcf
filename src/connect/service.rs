//! Hangs a slip around each connect.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use super::ResponseFuture;
use super::observer::{Observer, Patience};
#[cfg(feature = "middleware")]
use crate::attempt::Errand;
use crate::attempt::Slip;
use crate::blame::Reach;
use crate::error::BoxError;
use crate::{Family, Resolver};

/// A connector watched by [`ConnectLayer`](super::ConnectLayer).
#[derive(Clone, Debug)]
pub struct Connect<S> {
    inner: S,
    resolver: Resolver,
    reached: Reached,
    patience: Patience,
}

impl<S> Connect<S> {
    pub(super) fn new(inner: S, resolver: Resolver, patience: Patience) -> Self {
        let reached = Reached::default();
        Self {
            inner,
            resolver,
            reached,
            patience,
        }
    }

    /// Returns the connector inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the connector inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        // It may be bound to a local address from now on.
        self.reached = Reached::default();
        &mut self.inner
    }

    /// Takes the connector out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for Connect<S>
where
    S: Service<Req>,
    S::Response: Connection,
    S::Error: Into<BoxError>,
    Req: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        #[cfg(feature = "middleware")]
        Errand::dials();
        let id = self.resolver.inner().id();
        let (slip, patience) = match Slip::of_race(id) {
            Some(slip) => (slip, Patience::Inside),
            None => (Slip::new(id), self.patience),
        };
        let by = Observer::of(&self.resolver, &self.reached, &request);
        // hyper-rustls calls the connector below it at once, others inside their future.
        let connecting = slip.around_call(|| self.inner.call(request));
        ResponseFuture::new(connecting, slip, by, patience)
    }
}

/// Where a connector and its clones have connected to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    v4: AtomicBool,
    v6: AtomicBool,
    second: AtomicBool,
}

impl Reached {
    /// Notes that it has connected to `peer`, of a list that began with `first`.
    pub(super) fn note(&self, peer: IpAddr, first: Option<IpAddr>) {
        let flags = &self.0;
        let family = match Family::of(peer) {
            Family::V4 => &flags.v4,
            Family::V6 => &flags.v6,
        };
        family.store(true, Ordering::Relaxed);
        let canonical = |addr: IpAddr| Family::of(addr.to_canonical());
        if first.is_some_and(|first| canonical(first) != canonical(peer)) {
            flags.second.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn so_far(&self) -> Reach {
        let Flags { v4, v6, second } = &*self.0;
        Reach {
            v4: v4.load(Ordering::Relaxed),
            v6: v6.load(Ordering::Relaxed),
            second: second.load(Ordering::Relaxed),
        }
    }
}
