//! `Service<Name>`, by which hyper-util's `HttpConnector` resolves names.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::resolver::{Addrs, ResolveFuture};
use crate::{ResolveError, Resolver};

impl Service<Name> for Resolver {
    type Response = Addrs;
    type Error = ResolveError;
    type Future = ResolveFuture;

    /// Always returns ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> ResolveFuture {
        self.resolve_into(name.as_str())
    }
}
