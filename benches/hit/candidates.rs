//! The candidates that the bench compares.

use std::future::Ready;
use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;
use std::task::{Context, Poll};

use clap::ValueEnum;
use futures_util::FutureExt as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hyper_util::client::legacy::connect::dns::Name as HyperName;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Serialize;
use sidestep::Resolver;
use testkit::NameServer;
use tower::Service;

use crate::fixed::{DAY, Fixed};

/// The host that the bench looks up.
pub(crate) const HOST: &str = "static.edge-cdn.example.test";

/// One way to look up a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Candidate {
    Floor,
    BareFloor,
    Reqwest,
    Service,
    Hickory,
    ReqwestHickory,
}

impl Candidate {
    pub(crate) const ALL: [Self; 6] = [
        Self::Floor,
        Self::BareFloor,
        Self::Reqwest,
        Self::Service,
        Self::Hickory,
        Self::ReqwestHickory,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: two boxes, no cache",
            Self::BareFloor => "floor without boxes",
            Self::Reqwest => "sidestep, reqwest's Resolve",
            Self::Service => "sidestep, Service<Name>",
            Self::Hickory => "hickory lookup_ip, cached",
            Self::ReqwestHickory => "reqwest hickory-dns, cached",
        }
    }

    pub(crate) fn run(self, world: &World, ops: u32) {
        match self {
            Self::Floor => repeat(ops, || resolve(&Bare(world.addrs))),
            Self::BareFloor => repeat(ops, || call(&mut Bare(world.addrs))),
            Self::Reqwest => repeat(ops, || resolve(&world.resolver)),
            Self::Service => {
                // The resolver is cloned only once, because each clone writes a reference count that threads share.
                let mut resolver = world.resolver.clone();
                repeat(ops, || call(&mut resolver));
            }
            Self::Hickory => repeat(ops, || lookup_ip(&world.hickory)),
            Self::ReqwestHickory => repeat(ops, || resolve(&AsReqwestDoes(&world.hickory))),
        }
    }
}

/// All parts are built once: the resolvers with filled caches.
pub(crate) struct World {
    addrs: [IpAddr; 8],
    pub(crate) resolver: Resolver,
    hickory: TokioResolver,
    _name_server: NameServer,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime starts");
        let addrs = eight();
        let name_server = NameServer::start_in_background();
        name_server.set(HOST, &addrs, 86_400);
        let resolver = Resolver::builder().lookup(Fixed(addrs.to_vec()));
        let resolver = resolver
            .min_ttl(DAY)
            .max_ttl(DAY)
            .build()
            .expect("settings are valid");
        let hickory = hickory(name_server.addr());
        runtime.block_on(async {
            resolver.resolve(HOST).await.expect("it is there");
            hickory.lookup_ip(HOST).await.expect("it is there");
        });
        Self {
            addrs,
            resolver,
            hickory,
            _name_server: name_server,
            _runtime: runtime,
        }
    }
}

fn eight() -> [IpAddr; 8] {
    std::array::from_fn(|n| match u8::try_from(n).expect("eight is small") {
        n @ 0..4 => [192, 0, 2, n].into(),
        n => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into(),
    })
}

fn hickory(server: SocketAddr) -> TokioResolver {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_name_servers(vec![config]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    builder.build().expect("settings are valid")
}

fn repeat(ops: u32, mut op: impl FnMut() -> usize) {
    for _ in 0..ops {
        assert_eq!(black_box(op()), 8);
    }
}

/// Looks up the host as reqwest does.
fn resolve(resolver: &impl Resolve) -> usize {
    let name = Name::from_str(black_box(HOST)).expect("it is a name");
    let addrs = resolver.resolve(name).now_or_never().expect("it is cached");
    addrs.expect("it is there").map(black_box).count()
}

/// Looks up the host as hyper-util does.
fn call<S>(service: &mut S) -> usize
where
    S: Service<HyperName>,
    S::Response: Iterator,
    S::Error: std::fmt::Debug,
{
    let name = HyperName::from_str(black_box(HOST)).expect("it is a name");
    let addrs = service.call(name).now_or_never().expect("it is cached");
    addrs.expect("it is there").map(black_box).count()
}

fn lookup_ip(resolver: &TokioResolver) -> usize {
    let found = resolver
        .lookup_ip(black_box(HOST))
        .now_or_never()
        .expect("it is cached");
    found.expect("it is there").iter().map(black_box).count()
}

/// The floor, which copies and shuffles addresses and has no cache.
struct Bare([IpAddr; 8]);

impl Bare {
    fn shuffled(&self) -> impl Iterator<Item = SocketAddr> + Send + use<> {
        let mut addrs = self.0;
        fastrand::shuffle(&mut addrs);
        addrs.into_iter().map(|addr| SocketAddr::new(addr, 0))
    }
}

impl Resolve for Bare {
    fn resolve(&self, name: Name) -> Resolving {
        black_box(name.as_str());
        let addrs: Addrs = Box::new(self.shuffled());
        Box::pin(std::future::ready(Ok(addrs)))
    }
}

impl Service<HyperName> for Bare {
    type Response = Box8;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Box8, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: HyperName) -> Self::Future {
        black_box(name.as_str());
        let mut addrs = self.0;
        fastrand::shuffle(&mut addrs);
        std::future::ready(Ok(Box8(addrs.into_iter())))
    }
}

/// Eight addresses on the stack.
struct Box8(std::array::IntoIter<IpAddr, 8>);

impl Iterator for Box8 {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        self.0.next().map(|addr| SocketAddr::new(addr, 0))
    }
}

/// hickory, called as reqwest's `hickory-dns` feature does.
struct AsReqwestDoes<'a>(&'a TokioResolver);

impl Resolve for AsReqwestDoes<'_> {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = resolver.lookup_ip(name.as_str()).await?;
            let addrs: Vec<IpAddr> = found.iter().collect();
            Ok(Box::new(addrs.into_iter().map(|addr| SocketAddr::new(addr, 0))) as Addrs)
        })
    }
}
