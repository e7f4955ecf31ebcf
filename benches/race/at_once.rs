//! A connector that connects at once, so that the bench measures only the layers around it.

use std::error::Error;
use std::pin::Pin;
use std::str::FromStr as _;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpInfo};
use sidestep::Resolver;
use tower::Service;

type Failure = Box<dyn Error + Send + Sync>;

/// Calls the resolver as hyper-util does, and connects at once.
#[derive(Clone, Debug)]
pub(crate) struct AtOnce {
    pub(crate) resolver: Resolver,
    /// The info of a connection to the address that the resolver returns.
    pub(crate) info: HttpInfo,
}

impl Service<Uri> for AtOnce {
    type Response = Made;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Made, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (mut resolver, info) = (self.resolver.clone(), self.info.clone());
        Box::pin(async move {
            let name = Name::from_str(uri.host().ok_or("the URI has no host")?)?;
            let addr = resolver.call(name).await?.next();
            addr.ok_or("the answer has no address")?;
            Ok(Made(info))
        })
    }
}

/// A connection without a socket.
#[derive(Debug)]
pub(crate) struct Made(HttpInfo);

impl Connection for Made {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.0.clone())
    }
}
