//! Lookups with a resolver that was written for hyper-util.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::str::FromStr;

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use super::{Answer, Lookup, LookupFuture};
use crate::ResolveError;
use crate::error::BoxError;

/// Looks up hosts with any `Service<Name>`, such as one that you wrote for [`HttpConnector`].
///
/// The lookup drops the ports of the service's answers. The answers have no TTL, so the resolver keeps them for 30 s.
/// If the service caches, an invalidation does not reach beyond the cache of the service.
///
/// [`HttpConnector`]: hyper_util::client::legacy::connect::HttpConnector
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::connect::dns::GaiResolver;
/// use sidestep::{Resolver, lookup::FromService};
///
/// let resolver = Resolver::builder().lookup(FromService::new(GaiResolver::new())).build()?;
/// # Ok::<(), sidestep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct FromService<S> {
    service: S,
}

impl<S> FromService<S> {
    /// Wraps a service, which is cloned for each lookup.
    #[must_use]
    pub fn new(service: S) -> Self {
        Self { service }
    }
}

impl<S> Lookup for FromService<S>
where
    S: Service<Name> + Clone + Send + Sync + 'static,
    S::Response: Iterator<Item = SocketAddr>,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        let mut service = self.service.clone();
        Box::pin(async move {
            let failed = |error: BoxError| ResolveError::failed(host, error);
            let name = Name::from_str(host).map_err(|error| failed(error.into()))?;
            poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(|error| failed(error.into()))?;
            let addrs = service
                .call(name)
                .await
                .map_err(|error| failed(error.into()))?;
            Ok(Answer::new(addrs.map(|addr| addr.ip())))
        })
    }
}

impl<S> fmt::Debug for FromService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromService").finish_non_exhaustive()
    }
}
