//! `Service<Name>`: hyper-util's `HttpConnector` asks so.

use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::resolver::{Addrs, ResponseFuture};
use crate::{Error, Resolver};

impl Service<Name> for Resolver {
    type Response = Addrs;
    type Error = Error;
    type Future = ResponseFuture;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> ResponseFuture {
        self.deal(name.as_str())
    }
}
