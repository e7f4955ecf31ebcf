//! A lookup that a test scripts.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::{ResolveError, Resolver, ResolverBuilder};
use tokio::sync::Semaphore;
use tower::{Service as _, ServiceExt as _};

pub const S: Duration = Duration::from_secs(1);
pub const MS: Duration = Duration::from_millis(1);

pub fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// A lookup whose answers, failures and delays a test sets.
#[derive(Clone)]
pub struct Script(pub Arc<Inner>);

pub type Say = dyn FnMut(&str) -> Result<Answer, ResolveError> + Send;

pub struct Inner {
    pub said: Mutex<Box<Say>>,
    pub asked: Mutex<HashMap<String, usize>>,
    pub takes: Mutex<Duration>,
    /// Has one permit for each lookup that may complete.
    pub gate: Semaphore,
}

impl Script {
    pub fn new(say: impl FnMut(&str) -> Result<Answer, ResolveError> + Send + 'static) -> Self {
        Self(Arc::new(Inner {
            said: Mutex::new(Box::new(say)),
            asked: Mutex::default(),
            takes: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    pub fn answer(last: &'static [u8], ttl: u32) -> Self {
        Self::new(move |_| Ok(answer(last, ttl)))
    }

    pub fn say(&self, say: impl FnMut(&str) -> Result<Answer, ResolveError> + Send + 'static) {
        *self.0.said.lock().unwrap() = Box::new(say);
    }

    pub fn takes(&self, time: Duration) {
        *self.0.takes.lock().unwrap() = time;
    }

    /// Makes later lookups wait for [`Self::release`].
    pub fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.0.gate.add_permits(1);
    }

    pub fn asked(&self, host: &str) -> usize {
        self.0
            .asked
            .lock()
            .unwrap()
            .get(host)
            .copied()
            .unwrap_or_default()
    }

    pub fn resolver(&self) -> Resolver {
        self.build(|builder| builder)
    }

    pub fn build(&self, set: impl FnOnce(ResolverBuilder) -> ResolverBuilder) -> Resolver {
        set(Resolver::builder().lookup(self.clone()))
            .build()
            .unwrap()
    }
}

impl Lookup for Script {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        *self
            .0
            .asked
            .lock()
            .unwrap()
            .entry(host.to_owned())
            .or_default() += 1;
        let takes = *self.0.takes.lock().unwrap();
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            self.0.gate.acquire().await.unwrap().forget();
            (self.0.said.lock().unwrap())(host)
        })
    }
}

pub fn answer(last: &[u8], ttl: u32) -> Answer {
    Answer::new(last.iter().map(|&n| ip(n))).with_ttl(ttl * S)
}

pub async fn sorted(resolver: &Resolver, host: &str) -> Vec<IpAddr> {
    let mut addrs = resolver.resolve(host).await.unwrap().addrs().to_vec();
    addrs.sort();
    addrs
}

/// Resolves a host as hyper-util's connector does.
pub async fn deal(resolver: &Resolver, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut service = resolver.clone();
    let addrs = service
        .ready()
        .await?
        .call(Name::from_str(host).unwrap())
        .await?;
    Ok(addrs.collect())
}

/// Returns the error of a name server that fails.
pub fn down(host: &str) -> Result<Answer, ResolveError> {
    Err(ResolveError::failed(host, "SERVFAIL"))
}
