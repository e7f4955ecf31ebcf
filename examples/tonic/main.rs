//! Runs two tonic channels whose gRPC servers die, and shows what their callers notice.
//!
//! ```sh
//! cargo run --example tonic
//! ```
//!
//! All parts run inside this process, on loopback: a name server, and gRPC servers on 127.0.0.2 and up that respond to
//! `grpc.health.v1` checks. While eight callers of each channel send calls, servers refuse and swallow packets, and DNS
//! removes them. The program ends after all acts, with an error if a call has failed.
//!
//! # Which channel to use
//!
//! **The raced channel** suits nearly all programs: `Endpoint::connect_with_connector_lazy` over
//! `resolver.happy_eyeballs_layer()`. This channel is one line, detects failures in TLS, and needs no task that feeds
//! addresses. If a server dies, the calls in flight fail and have to be sent again. All calls of a process go to one
//! server, and the resolver's shuffle spreads the processes.
//!
//! **The balanced channel** is for a process whose calls are too many for one server: `Channel::balance_channel`.
//! tonic then connects to addresses, so the program must feed addresses (`channels::Feed`) and check them
//! (`Host::check`). A server that refuses fails its share of the calls as long as its address is in the channel, and
//! each of these calls has to be sent again.
//!
//! Both channels are in `tonic/channels.rs`. Here each channel has its own resolver, so that neither learns from the
//! other. In a program they share one resolver.

mod calls;
mod channels;
#[path = "../common/loopback.rs"]
mod loopback;
#[path = "../common/patience.rs"]
mod patience;
mod servers;
#[path = "../common/tally.rs"]
mod tally;

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sidestep::lookup::Dns;
use testkit::lab::clock;
use testkit::{Edges, Mode, NameServer};
use tonic::transport::Channel;

use crate::channels::Host;
use crate::tally::Tally;

const HOST: &str = "grpc.test";

/// Number of callers of each channel.
const CALLERS: usize = 8;

/// Length of each act.
const ACT: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let ips = loopback::addresses(5)?;
    let (old, new) = ips.split_at(3);
    let dns = NameServer::start().await;
    dns.set(HOST, old, 1);
    let edges = servers::start(&ips).await;
    let stage = Stage::new(&dns, &edges)?;
    let mut failed = stage.act("all serve").await;

    let victim = stage.raced_to().await?;
    edges.set(victim, Mode::Refuse).await;
    let act = format!("{victim}, to which the raced channel was connected, refuses");
    failed += stage.act(&act).await;

    let victim = stage.raced_to().await?;
    edges.set(victim, Mode::BlackHole).await;
    let act = format!("{victim}, to which the raced channel went then, swallows packets");
    failed += stage.act(&act).await;

    dns.set(HOST, new, 1);
    join_all(old.iter().map(|&ip| edges.set(ip, Mode::Refuse))).await;
    let act = format!("all that were in DNS refuse, and it says {new:?}");
    failed += stage.act(&act).await;

    if failed > 0 {
        return Err(format!("{failed} calls failed").into());
    }
    println!("\nno call failed");
    Ok(())
}

/// The channels under the same load.
struct Stage {
    raced: Channel,
    balanced: Channel,
    /// The host whose addresses feed the balanced channel.
    host: Host,
}

impl Stage {
    fn new(dns: &NameServer, edges: &Edges) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let origin: tonic::transport::Uri = edges.url(HOST).parse()?;
        let host = || Host::new(origin.clone(), Dns::with_servers([dns.addr()])?);
        let raced = channels::raced(&host()?.resolver, &origin);
        let host = host()?;
        let (balanced, feed) = channels::balanced(host.clone());
        tokio::spawn(feed.run());
        Ok(Self {
            raced,
            balanced,
            host,
        })
    }

    /// Sends calls through both channels for one act, prints the results, and returns how many calls failed.
    async fn act(&self, title: &str) -> usize {
        println!("\n{title}");
        let (raced, balanced) = tokio::join!(
            load(&self.raced, None),
            load(&self.balanced, Some(&self.host)),
        );
        println!("  raced    {raced}\n  balanced {balanced}");
        raced.failed() + balanced.failed()
    }

    /// Returns the edge that the raced channel is connected to.
    async fn raced_to(&self) -> Result<IpAddr, Box<dyn Error + Send + Sync>> {
        Ok(calls::ask(self.raced.clone()).await?.parse()?)
    }
}

async fn load(channel: &Channel, checked: Option<&Host>) -> Tally {
    let until = clock::now() + ACT;
    let callers = (0..CALLERS).map(|_| calls::calls(channel.clone(), checked, until));
    let all = join_all(callers).await;
    all.into_iter().reduce(Tally::join).unwrap_or_default()
}
