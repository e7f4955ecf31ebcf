//! Hangs a slip around each connect.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use super::ResponseFuture;
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
}

impl<S> Connect<S> {
    pub(super) fn new(inner: S, resolver: Resolver) -> Self {
        let reached = Reached::default();
        Self {
            inner,
            resolver,
            reached,
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
        let slip = Slip::new(self.resolver.inner().id());
        // Read where it can be: reqwest's request shows nothing.
        let target = (&request as &dyn Any).downcast_ref::<Uri>().cloned();
        // hyper-rustls calls the connector below it at once, others inside their future.
        let connecting = slip.around_call(|| self.inner.call(request));
        ResponseFuture::new(
            connecting,
            slip,
            self.resolver.clone(),
            self.reached.clone(),
            target,
        )
    }
}

/// Families that a connector and its clones have connected in.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached(Arc<[AtomicBool; 2]>);

impl Reached {
    pub(super) fn note(&self, family: Family) {
        self.0[family as usize].store(true, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> Reach {
        let has = |family: Family| self.0[family as usize].load(Ordering::Relaxed);
        Reach {
            v4: has(Family::V4),
            v6: has(Family::V6),
        }
    }
}
