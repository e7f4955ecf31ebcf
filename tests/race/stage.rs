//! A race on a paused clock, over addresses that do what the test sets, with a record of its attempts.
//!
//! The connector resolves the host in its future and attempts the addresses that it gets, as hyper-util's does. TLS is
//! a layer around it. Each attempt is recorded with its start and its end in milliseconds.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use sidestep::lookup::Answer;
use sidestep::{
    AddressOrder, AddressState, ConnectError, HappyEyeballsLayer, Outcome, Resolver,
    ResolverBuilder,
};
use testkit::script::Script;
use testkit::{HOST, Journal};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

pub(crate) use crate::connector::End;
use crate::connector::{Dial, Link, Shared, Tcp, Tls};
pub(crate) use crate::fate::{
    Fate, PANIC, Step, connects, fails, hangs, in_tcp, in_tls, refuses, v4, v6,
};
use crate::faults::BoxError;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A resolver, a race over addresses that do what the test sets, and a record of the attempts.
pub(crate) struct Stage {
    pub(crate) script: Script,
    pub(crate) resolver: Resolver,
    pub(crate) journal: Journal,
    plot: Shared,
    tells_of_tcp: bool,
    asks_after: u64,
    race: HappyEyeballsLayer,
}

impl Stage {
    /// A host with these addresses, always in this order.
    pub(crate) fn new<const N: usize>(cast: [(IpAddr, Fate); N]) -> Self {
        Self::with(cast, |builder| builder)
    }

    /// A host with these addresses, and a resolver with further settings.
    pub(crate) fn with<const N: usize>(
        cast: [(IpAddr, Fate); N],
        set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
    ) -> Self {
        Self::of(&cast, set)
    }

    pub(crate) fn of(
        cast: &[(IpAddr, Fate)],
        set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
    ) -> Self {
        let addrs: Vec<IpAddr> = cast.iter().map(|(addr, _)| *addr).collect();
        let script = Script::new(move |_| Ok(answer(&addrs)));
        let journal = Journal::default();
        let resolver = script.build(|builder| {
            let builder = builder
                .observe(journal.observer())
                .address_order(AddressOrder::Preserve)
                .source_address(Some)
                .background_probe(false);
            set(builder)
        });
        let plot = Shared::new(cast);
        let race = resolver.happy_eyeballs_layer();
        Self {
            script,
            resolver,
            journal,
            plot,
            tells_of_tcp: false,
            asks_after: 0,
            race,
        }
    }

    /// Gives the layer of the race these settings.
    pub(crate) fn racing(
        mut self,
        set: impl FnOnce(HappyEyeballsLayer) -> HappyEyeballsLayer,
    ) -> Self {
        self.race = set(self.race);
        self
    }

    /// Puts a [`TcpConnectedLayer`](sidestep::TcpConnectedLayer) inside of TLS.
    pub(crate) fn telling_of_tcp(mut self) -> Self {
        self.tells_of_tcp = true;
        self
    }

    /// Makes the connector wait for this many milliseconds before it resolves the host.
    pub(crate) fn asking_after(mut self, after: u64) -> Self {
        self.asks_after = after;
        self
    }

    /// Sets the answer of the next lookups.
    pub(crate) fn says(&self, addrs: &[IpAddr]) {
        let addrs = addrs.to_vec();
        self.script.say(move |_| Ok(answer(&addrs)));
    }

    /// Sets what an address does from now on.
    pub(crate) fn turns(&self, addr: IpAddr, fate: Fate) {
        self.plot.edit(|plot| plot.fates.insert(addr, fate));
    }

    /// Counts time from now on, and forgets the earlier attempts.
    pub(crate) fn again(&self) {
        self.plot.edit(|plot| {
            plot.begun = Instant::now();
            plot.dials.clear();
            plot.pending = 0;
            plot.most = 0;
        });
    }

    pub(crate) async fn connect(&self) -> Result<Link, BoxError> {
        self.connect_to("https://edge.test/").await
    }

    pub(crate) async fn connect_to(&self, uri: &'static str) -> Result<Link, BoxError> {
        let (resolver, plot) = (self.resolver.clone(), self.plot.clone());
        let asks_after = self.asks_after;
        let tcp = Tcp {
            resolver,
            plot,
            asks_after,
        };
        let (race, plot) = (self.race.clone(), self.plot.clone());
        let uri = Uri::from_static(uri);
        match self.tells_of_tcp {
            true => {
                let tcp = self.resolver.tcp_connected_layer().layer(tcp);
                race.layer(Tls { tcp, plot }).oneshot(uri).await
            }
            false => race.layer(Tls { tcp, plot }).oneshot(uri).await,
        }
    }

    /// A race over the connector that `wrap` returns.
    pub(crate) fn race_over<L, C>(&self, wrap: L) -> sidestep::HappyEyeballs<C>
    where
        L: FnOnce(BoxedConnector) -> C,
    {
        let (resolver, plot) = (self.resolver.clone(), self.plot.clone());
        let asks_after = self.asks_after;
        let tcp = Tcp {
            resolver,
            plot: plot.clone(),
            asks_after,
        };
        let inner = tower::util::BoxCloneService::new(Tls { tcp, plot });
        self.race.layer(wrap(inner))
    }

    /// Connects, and returns the address and the time.
    pub(crate) async fn connected(&self) -> (IpAddr, u64) {
        let link = self.connect().await;
        let link = link.unwrap_or_else(|error| panic!("{error}: {:?}", self.dials()));
        (link.addr(), self.now())
    }

    /// Fails to connect, and returns the error and the time.
    pub(crate) async fn failed(&self) -> (BoxError, u64) {
        let error = self.connect().await.map(|link| link.addr()).unwrap_err();
        (error, self.now())
    }

    pub(crate) fn now(&self) -> u64 {
        self.plot.edit(|plot| plot.now())
    }

    pub(crate) fn dials(&self) -> Vec<Dial> {
        self.plot.edit(|plot| plot.dials.clone())
    }

    /// The address and the start of each attempt.
    pub(crate) fn starts(&self) -> Vec<(IpAddr, u64)> {
        let attempts = self.dials().into_iter();
        attempts
            .map(|attempt| (attempt.addr, attempt.begun))
            .collect()
    }

    /// The end of the first attempt at an address, with its time.
    pub(crate) fn end(&self, addr: IpAddr) -> Option<(u64, End)> {
        let attempts = self.dials();
        let attempt = attempts.iter().find(|attempt| attempt.addr == addr);
        attempt
            .unwrap_or_else(|| panic!("{addr} was not attempted: {attempts:?}"))
            .ended
    }

    /// The number of pending attempts.
    pub(crate) fn pending(&self) -> usize {
        self.plot.edit(|plot| plot.pending)
    }

    pub(crate) fn most(&self) -> usize {
        self.plot.edit(|plot| plot.most)
    }

    pub(crate) fn open(&self) -> usize {
        self.plot.edit(|plot| plot.open)
    }

    /// The number of lookups.
    pub(crate) fn asked(&self) -> usize {
        self.script.asked(HOST)
    }

    pub(crate) fn standing(&self, addr: IpAddr) -> AddressState {
        let snapshot = self.resolver.snapshot();
        let view = snapshot.host(HOST).and_then(|host| host.addr(addr));
        view.map_or(AddressState::Healthy, |view| view.state)
    }
}

fn answer(addrs: &[IpAddr]) -> Answer {
    Answer::new(addrs.iter().copied()).with_ttl(Duration::from_secs(60))
}

pub(crate) type BoxedConnector = tower::util::BoxCloneService<Uri, Link, BoxError>;

/// The outcome of each address in the error.
pub(crate) fn attempts(error: &BoxError) -> Vec<(IpAddr, Option<Outcome>)> {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("not a `ConnectError`: {error:?}"));
    let each = connect.attempts().iter();
    each.map(|attempt| (attempt.addr, attempt.outcome))
        .collect()
}

/// The outcome of the source of the error.
pub(crate) fn primary(error: &BoxError) -> Outcome {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("not a `ConnectError`: {error:?}"));
    let source =
        std::error::Error::source(connect).expect("the source is the error of the connector");
    Outcome::from_error(source)
}
