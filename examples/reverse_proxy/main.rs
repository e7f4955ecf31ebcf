//! Runs a reverse proxy of axum whose upstreams die, and shows what its callers notice.
//!
//! ```sh
//! cargo run --example reverse_proxy --features hyper-client
//! ```
//!
//! All parts run inside this process, on loopback: a name server, upstreams of one host on 127.0.0.2 and up, the
//! proxy, and sixteen callers of the proxy. During the calls, upstreams refuse, swallow packets, and cut connections
//! with requests in flight, and DNS removes them. The program ends after all acts, with an error if a request has
//! failed.
//!
//! The proxy itself is in `reverse_proxy/proxy.rs`. Two of its lines use sidestep: the client,
//! `sidestep::hyper::client_with(&resolver)`, and `resolver.passive_health_layer()` around it.

#[path = "../common/loopback.rs"]
mod loopback;
#[path = "../common/patience.rs"]
mod patience;
mod proxy;
#[path = "../common/tally.rs"]
mod tally;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sidestep::{Resolver, lookup::Dns};
use testkit::lab::clock;
use testkit::{Edges, Mode, NameServer, Scheme};
use tokio::net::TcpListener;

use crate::proxy::Proxy;
use crate::tally::Tally;

type Failure = Box<dyn Error + Send + Sync>;

const HOST: &str = "upstream.test";

/// Number of callers that send requests at once.
const CALLERS: usize = 16;

/// Length of each act.
const ACT: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let ips = loopback::addresses(6)?;
    let (old, new) = ips.split_at(4);
    let dns = NameServer::start().await;
    dns.set(HOST, old, 1);
    let edges = Edges::on(&ips, Scheme::Http).await;
    let stage = Stage::start(&dns, &edges).await?;
    stage.bodies_pass().await?;
    let mut failed = stage.act("all serve").await;

    edges.set(old[0], Mode::Refuse).await;
    failed += stage.act(&format!("{} refuses", old[0])).await;

    edges.set(old[1], Mode::BlackHole).await;
    failed += stage.act(&format!("{} swallows packets", old[1])).await;

    edges.set(old[2], Mode::AcceptAndClose).await;
    failed += stage.act(&format!("{} accepts and closes", old[2])).await;

    dns.set(HOST, new, 1);
    join_all(old.iter().map(|&ip| edges.set(ip, Mode::Refuse))).await;
    let act = format!("all that were in DNS refuse, and it says {new:?}");
    failed += stage.act(&act).await;

    if failed > 0 {
        return Err(format!("{failed} requests failed").into());
    }
    println!("\nno request failed");
    Ok(())
}

/// The proxy, and a client that connects only to the proxy.
struct Stage {
    proxy: Arc<Proxy>,
    url: String,
    client: reqwest::Client,
}

impl Stage {
    async fn start(dns: &NameServer, edges: &Edges) -> Result<Self, Failure> {
        let resolver = Resolver::builder()
            .lookup(Dns::with_servers([dns.addr()])?)
            .build()?;
        let proxy = Proxy::new(&resolver, edges.url(HOST).parse()?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let service = proxy.clone().router();
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let client = reqwest::Client::builder().no_proxy();
        let client = client.tls_backend_preconfigured(edges.client_config());
        Ok(Self {
            proxy,
            url,
            client: client.build()?,
        })
    }

    /// Checks that the proxy forwards the bodies of requests and responses.
    async fn bodies_pass(&self) -> Result<(), Failure> {
        let sent = "over the proxy ".repeat(10_000);
        let request = self.client.post(format!("{}echo", self.url));
        let response = request.body(sent.clone()).send().await?;
        match response.text().await? == sent {
            true => Ok(()),
            false => Err("the upstream got another body than was sent".into()),
        }
    }

    /// Sends requests for one act, prints the results, and returns how many requests failed.
    async fn act(&self, title: &str) -> usize {
        let before = self.proxy.sent_again();
        let until = clock::now() + ACT;
        let all = join_all((0..CALLERS).map(|_| self.requests(until))).await;
        let mut all = all.into_iter().reduce(Tally::join).unwrap_or_default();
        all.again = self.proxy.sent_again() - before;
        println!("{title}\n  {all}");
        all.failed()
    }

    async fn requests(&self, until: Instant) -> Tally {
        let mut tally = Tally::default();
        while clock::now() < until {
            let begin = clock::now();
            tally.note(begin, self.get().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tally
    }

    /// Returns the edge that responds.
    async fn get(&self) -> Result<String, String> {
        let failed = |error: reqwest::Error| format!("{error:?}");
        let response = self.client.get(&self.url).send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        match text.split(' ').nth(1) {
            Some(edge) if status.is_success() => Ok(edge.to_owned()),
            _ => Err(format!("{status}: {text}")),
        }
    }
}
