//! The measurements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Serialize;
use sidestep::Resolver;
use sidestep::lookup::Dns;
use testkit::{Fault, NameServer, RecordType};
use tokio::net::TcpListener;
use tower::Service as _;

/// The median of each measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) cold_us: Cold,
    pub(crate) silent_ms: Silent,
    pub(crate) first_server_dead_us: Dead,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cold {
    pub(crate) sidestep: f64,
    pub(crate) hickory: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Silent {
    pub(crate) aaaa: f64,
    pub(crate) a: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dead {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) healthy: f64,
}

/// Number of measurements of each connect, and of each lookup behind a dead server.
const REPEATS: usize = 11;

pub(crate) fn all(lookups: usize) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        Figures {
            cold_us: cold(lookups).await,
            silent_ms: Silent {
                aaaa: silent(RecordType::AAAA).await,
                a: silent(RecordType::A).await,
            },
            first_server_dead_us: dead().await,
        }
    })
}

fn loopback() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

async fn cold(lookups: usize) -> Cold {
    let dns = NameServer::start_in_background();
    let resolver = resolver(&[&dns]);
    let hickory = hickory(&dns);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..lookups {
        let [one, other] = [format!("a{n}.test"), format!("b{n}.test")];
        for name in [&one, &other] {
            dns.set(name, &loopback(), 60);
        }
        let began = Instant::now();
        resolver.resolve(&one).await.expect("the name is there");
        ours.push(began.elapsed());
        let began = Instant::now();
        let found = hickory.lookup_ip(format!("{other}.")).await;
        found.expect("the name is there");
        theirs.push(began.elapsed());
    }
    Cold {
        sidestep: median_us(ours),
        hickory: median_us(theirs),
    }
}

fn resolver(servers: &[&NameServer]) -> Resolver {
    let servers = servers.iter().map(|server| server.addr());
    let dns = Dns::with_servers(servers).expect("the servers have ports");
    let builder = Resolver::builder().lookup(dns);
    builder.build().expect("the settings are valid")
}

/// Builds hickory's own resolver with its cache off.
fn hickory(dns: &NameServer) -> TokioResolver {
    let mut connection = ConnectionConfig::udp();
    connection.port = dns.addr().port();
    let server = NameServerConfig::new(dns.addr().ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = hickory_resolver::config::LookupIpStrategy::Ipv4AndIpv6;
    builder.build().expect("the options are valid")
}

/// Measures the first connect of a host while the name server never answers one record type.
async fn silent(rtype: RecordType) -> f64 {
    let listener = TcpListener::bind("[::]:0").await;
    let listener = listener.expect("loopback has a port");
    let port = listener.local_addr().expect("it is bound").port();
    let _accepting = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let dns = NameServer::start_in_background();
    dns.set("edge.test", &loopback(), 60);
    dns.fault_for(rtype, Fault::Silent);
    let mut took = Vec::new();
    for _ in 0..REPEATS {
        let resolver = resolver(&[&dns]);
        let mut connector = HttpConnector::new_with_resolver(resolver);
        let url = format!("http://edge.test:{port}/").parse();
        let began = Instant::now();
        let connected = connector.call(url.expect("it is a URL")).await;
        connected.expect("the listener accepts");
        took.push(began.elapsed());
    }
    median_us(took) / 1_000.0
}

async fn dead() -> Dead {
    let [dead, good, other] = std::array::from_fn(|_| NameServer::start_in_background());
    dead.fault(Fault::Silent);
    let (mut first, mut second, mut healthy) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..REPEATS {
        let names = ["a", "b", "c", "d"].map(|letter| format!("{letter}{n}.test"));
        for name in &names {
            good.set(name, &loopback(), 60);
            other.set(name, &loopback(), 60);
        }
        let (behind_dead, behind_good) = (resolver(&[&dead, &good]), resolver(&[&good, &other]));
        first.push(time(&behind_dead, &names[0]).await);
        second.push(time(&behind_dead, &names[1]).await);
        time(&behind_good, &names[2]).await;
        healthy.push(time(&behind_good, &names[3]).await);
    }
    Dead {
        first: median_us(first),
        second: median_us(second),
        healthy: median_us(healthy),
    }
}

async fn time(resolver: &Resolver, name: &str) -> Duration {
    let began = Instant::now();
    resolver.resolve(name).await.expect("a server answers");
    began.elapsed()
}

fn median_us(mut all: Vec<Duration>) -> f64 {
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64() * 1_000_000.0
}
