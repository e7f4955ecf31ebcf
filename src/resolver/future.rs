//! What a connector waits for and gets.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Error;
use crate::order::Dealt;

/// The future of a resolver asked as a service: the host's addresses, in dialling order.
///
/// # Cancel safety
///
/// Dropping it leaves the lookup running; its answer is kept for the next caller.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(State);

enum State {
    Known(Option<Result<Dealt, Error>>),
    Asking(Pin<Box<dyn Future<Output = Result<Dealt, Error>> + Send>>),
}

impl ResponseFuture {
    pub(super) fn known(dealt: Result<Dealt, Error>) -> Self {
        Self(State::Known(Some(dealt)))
    }

    pub(super) fn asking(
        asking: impl Future<Output = Result<Dealt, Error>> + Send + 'static,
    ) -> Self {
        Self(State::Asking(Box::pin(asking)))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Addrs, Error>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let dealt = match &mut self.0 {
            State::Known(dealt) => Poll::Ready(
                dealt
                    .take()
                    .expect("a future is not polled after it was ready"),
            ),
            State::Asking(asking) => asking.as_mut().poll(cx),
        };
        dealt.map_ok(Addrs)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The addresses dealt to one connector: an iterator of at most eight, port 0 ("the scheme's").
#[derive(Clone, Debug)]
pub struct Addrs(pub(super) Dealt);

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
