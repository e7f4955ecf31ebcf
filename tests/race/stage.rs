//! A race on a paused clock: addresses that do as they are told, and what was dialled when.
//!
//! The connector asks the resolver inside of its future and dials what it is dealt, as hyper-util's
//! does; TLS is a layer around it. Each dial, its end and its cancellation is written down with its
//! time in milliseconds.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use sidestep::lookup::Answer;
use sidestep::{
    AddressOrder, AddressState, ConnectError, HappyEyeballsLayer, Outcome, Resolver,
    ResolverBuilder,
};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

use crate::common::{HOST, Journal};
pub(crate) use crate::connector::End;
use crate::connector::{Dial, Link, Shared, Tcp, Tls};
pub(crate) use crate::fate::{
    Fate, PANIC, Step, connects, fails, hangs, in_tcp, in_tls, refuses, v4, v6,
};
use crate::faults::BoxError;
use crate::script::Script;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A resolver, a race over addresses that do as they are told, and what became of it.
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
    /// A host of these addresses, always in this order.
    pub(crate) fn new<const N: usize>(cast: [(IpAddr, Fate); N]) -> Self {
        Self::with(cast, |builder| builder)
    }

    /// The same, with a resolver that is set up further.
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
        let names: Vec<IpAddr> = cast.iter().map(|(addr, _)| *addr).collect();
        let script = Script::new(move |_| Ok(answer(&names)));
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

    /// From now on the layer of the race has these settings.
    pub(crate) fn racing(
        mut self,
        set: impl FnOnce(HappyEyeballsLayer) -> HappyEyeballsLayer,
    ) -> Self {
        self.race = set(self.race);
        self
    }

    /// From now on a [`TcpConnectedLayer`](sidestep::TcpConnectedLayer) stands inside of TLS.
    pub(crate) fn telling_of_tcp(mut self) -> Self {
        self.tells_of_tcp = true;
        self
    }

    /// From now on the connector takes so many milliseconds before it asks the resolver.
    pub(crate) fn asking_after(mut self, after: u64) -> Self {
        self.asks_after = after;
        self
    }

    /// From now on the name server says this.
    pub(crate) fn says(&self, addrs: &[IpAddr]) {
        let addrs = addrs.to_vec();
        self.script.say(move |_| Ok(answer(&addrs)));
    }

    /// From now on this address does so.
    pub(crate) fn turns(&self, addr: IpAddr, fate: Fate) {
        self.plot.edit(|plot| plot.fates.insert(addr, fate));
    }

    /// Counts from now on, and forgets what was dialled.
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

    /// A race over a connector that is wrapped so.
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

    /// Connects, and returns whereto and when.
    pub(crate) async fn connected(&self) -> (IpAddr, u64) {
        let link = self.connect().await;
        let link = link.unwrap_or_else(|error| panic!("{error}: {:?}", self.dials()));
        (link.addr(), self.now())
    }

    /// Fails to connect, and returns why and when.
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

    /// Who was dialled when.
    pub(crate) fn starts(&self) -> Vec<(IpAddr, u64)> {
        let dials = self.dials().into_iter();
        dials.map(|dial| (dial.addr, dial.begun)).collect()
    }

    /// How the first dial of an address ended, and when.
    pub(crate) fn end(&self, addr: IpAddr) -> Option<(u64, End)> {
        let dials = self.dials();
        let dial = dials.iter().find(|dial| dial.addr == addr);
        dial.unwrap_or_else(|| panic!("{addr} was not dialled: {dials:?}"))
            .ended
    }

    /// Dials that have not ended.
    pub(crate) fn pending(&self) -> usize {
        self.plot.edit(|plot| plot.pending)
    }

    pub(crate) fn most(&self) -> usize {
        self.plot.edit(|plot| plot.most)
    }

    pub(crate) fn open(&self) -> usize {
        self.plot.edit(|plot| plot.open)
    }

    /// How often the name server was asked.
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

/// What the error says of each address.
pub(crate) fn attempts(error: &BoxError) -> Vec<(IpAddr, Option<Outcome>)> {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("it gives no account: {error:?}"));
    let each = connect.attempts().iter();
    each.map(|tried| (tried.addr, tried.outcome)).collect()
}

/// What the error that is put first says.
pub(crate) fn primary(error: &BoxError) -> Outcome {
    let connect = ConnectError::find(&**error);
    let connect = connect.unwrap_or_else(|| panic!("it gives no account: {error:?}"));
    let source = std::error::Error::source(connect).expect("it keeps the connector's own");
    Outcome::from_error(source)
}
