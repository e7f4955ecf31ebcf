//! The future that a connector gets from a resolver, and the addresses that the future returns.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::ResolveError;
use crate::addrs::AddressList;

/// The future of a [`Resolver`](crate::Resolver) as a service, which returns the addresses of a host in order.
///
/// # Cancel safety
///
/// If the future is dropped, the lookup keeps running. The cache keeps its answer for the next caller.
#[must_use = "futures do nothing unless polled"]
pub struct ResolveFuture(State);

enum State {
    Known(Option<Result<AddressList, ResolveError>>),
    Asking(Pin<Box<dyn Future<Output = Result<AddressList, ResolveError>> + Send>>),
}

impl ResolveFuture {
    pub(super) fn known(selected: Result<AddressList, ResolveError>) -> Self {
        Self(State::Known(Some(selected)))
    }

    pub(super) fn asking(
        asking: impl Future<Output = Result<AddressList, ResolveError>> + Send + 'static,
    ) -> Self {
        Self(State::Asking(Box::pin(asking)))
    }
}

impl Future for ResolveFuture {
    type Output = Result<Addrs, ResolveError>;

    /// # Panics
    ///
    /// Panics if the future is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let selected = match &mut self.0 {
            State::Known(selected) => Poll::Ready(
                selected
                    .take()
                    .expect("a future is not polled after it was ready"),
            ),
            State::Asking(asking) => asking.as_mut().poll(cx),
        };
        selected.map_ok(Addrs)
    }
}

impl fmt::Debug for ResolveFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveFuture").finish_non_exhaustive()
    }
}

/// The addresses that a connector is given, at most eight.
///
/// The port of each address is 0, which stands for the port of the scheme.
#[derive(Clone, Debug)]
pub struct Addrs(pub(super) AddressList);

impl Iterator for Addrs {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        self.0.take_next().map(|&addr| SocketAddr::new(addr, 0))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Addrs {}
