//! The attacks, each of which does one thing with every name.

use std::future::{pending, ready};
use std::net::IpAddr;
use std::time::Duration;

use clap::ValueEnum;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{HappyEyeballs, Outcome, ResolveError, Resolver};
use tower::Layer as _;

/// What the bench does with each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Resolves the name, and reports that its address refuses
    Report,
    /// Resolves the name
    Resolve,
    /// Resolves a name that does not exist
    Missing,
    /// Resolves a name whose lookup fails
    Fails,
    /// Resolves a name whose lookup times out
    TimesOut,
    /// Sends a request through reqwest with sidestep to an address that refuses
    Sidestep,
    /// Sends a request through hyper-util's client with a race to an address that refuses
    Race,
}

impl Attack {
    pub(crate) const ALL: [Self; 7] = [
        Self::Report,
        Self::Resolve,
        Self::Missing,
        Self::Fails,
        Self::TimesOut,
        Self::Sidestep,
        Self::Race,
    ];

    /// Returns how many times as long a name takes as in the cheapest attack.
    pub(crate) fn cost(self) -> u32 {
        match self {
            Self::Report | Self::Resolve | Self::Missing | Self::Fails | Self::TimesOut => 1,
            Self::Sidestep | Self::Race => 10,
        }
    }

    /// Returns whether tokio's clock is paused, so that the clock advances at once to the next timeout.
    pub(crate) fn pauses_the_clock(self) -> bool {
        self == Self::TimesOut
    }
}

/// A lookup that answers as the attack needs.
struct AttackLookup(Attack);

impl Lookup for AttackLookup {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        match self.0 {
            Attack::Report | Attack::Resolve | Attack::Sidestep | Attack::Race => Box::pin(ready(
                Ok(Answer::new([REFUSES]).with_ttl(Duration::from_secs(60))),
            )),
            Attack::Missing => Box::pin(ready(Err(ResolveError::not_found(host)))),
            Attack::Fails => Box::pin(ready(Err(ResolveError::failed(host, "SERVFAIL")))),
            Attack::TimesOut => Box::pin(pending()),
        }
    }
}

/// The address of all names.
const REFUSES: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// A resolver under attack, and the clients around it.
pub(crate) struct Target {
    attack: Attack,
    pub(crate) resolver: Resolver,
    port: u16,
    reqwest: reqwest::Client,
    hyper: Client<HappyEyeballs<HttpConnector<Resolver>>, Empty<Bytes>>,
}

impl Target {
    pub(crate) fn new(attack: Attack, capacity: usize) -> Self {
        // The call fails only if a provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Resolver::builder()
            .lookup(AttackLookup(attack))
            .max_hosts(capacity)
            .lookup_timeout(Duration::from_millis(10))
            .build()
            .expect("settings are valid");
        let reqwest = reqwest::Client::builder().no_proxy().sidestep(&resolver);
        let http = HttpConnector::new_with_resolver(resolver.clone());
        let race = resolver.happy_eyeballs_layer().layer(http);
        Self {
            attack,
            port: free_port(),
            reqwest: reqwest.build().expect("no TLS is asked for"),
            hyper: Client::builder(TokioExecutor::new()).build(race),
            resolver,
        }
    }

    /// Runs the attack on one name.
    pub(crate) async fn hit(&self, n: u32) {
        let (host, port) = (format!("h{n:07}.example.test"), self.port);
        match self.attack {
            Attack::Resolve | Attack::Report => {
                let resolved = self.resolver.resolve(&host).await;
                resolved.expect("every name has an address");
                if self.attack == Attack::Report {
                    self.resolver.report(&host, REFUSES, Outcome::Refused);
                }
            }
            Attack::Missing | Attack::Fails | Attack::TimesOut => {
                let resolved = self.resolver.resolve(&host).await;
                resolved.expect_err("no name has an address");
            }
            Attack::Sidestep => {
                let request = self.reqwest.get(format!("http://{host}:{port}/"));
                request.send().await.expect_err("the address refuses");
            }
            Attack::Race => {
                let uri = format!("http://{host}:{port}/");
                let request = self.hyper.get(uri.parse().expect("it is a URI"));
                request.await.expect_err("the address refuses");
            }
        }
    }
}

/// Returns a port that refuses connects, because no socket uses the port.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((REFUSES, 0)).expect("loopback has ports");
    listener.local_addr().expect("it is bound").port()
}
