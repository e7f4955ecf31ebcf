//! Tests `lookup::Dns` with real name servers on loopback and stock reqwest clients.

mod families;
mod faults;
mod names;
mod replies;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use sidestep::lookup::{Dns, DnsBuilder};
use sidestep::{Resolver, ResolverBuilder};
use testkit::{Edges, NameServer, get};
use tokio::net::UdpSocket;

const MS: Duration = Duration::from_millis(1);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9));

/// Name servers, and two HTTP servers at 127.0.0.2 and 127.0.0.3.
struct Stage {
    servers: Vec<NameServer>,
    edges: Edges,
}

impl Stage {
    async fn new(servers: usize) -> Self {
        let mut started = Vec::new();
        for _ in 0..servers {
            started.push(NameServer::start().await);
        }
        Self {
            servers: started,
            edges: Edges::http(2).await,
        }
    }

    fn dns(&self) -> &NameServer {
        &self.servers[0]
    }

    /// Returns the address of the HTTP server that requests should reach.
    fn right(&self) -> IpAddr {
        self.edges.ips()[0]
    }

    fn wrong(&self) -> IpAddr {
        self.edges.ips()[1]
    }

    /// Makes a lookup that queries the name servers in their order.
    fn lookup(&self, set: impl FnOnce(DnsBuilder) -> DnsBuilder) -> Dns {
        let servers = self.servers.iter().map(NameServer::addr);
        let builder = servers.fold(Dns::builder(), DnsBuilder::server);
        set(builder.use_hosts(false)).build().unwrap()
    }

    fn resolver(
        &self,
        set_dns: impl FnOnce(DnsBuilder) -> DnsBuilder,
        set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
    ) -> Resolver {
        let builder = Resolver::builder().lookup(self.lookup(set_dns));
        set(builder).build().unwrap()
    }

    /// Makes a stock reqwest client; each request makes a new connection.
    fn client(&self, resolver: &Resolver) -> reqwest::Client {
        use sidestep::reqwest::ClientBuilderExt as _;
        let builder = reqwest::Client::builder().no_proxy();
        let builder = builder.tls_backend_preconfigured(self.edges.client_config());
        let builder = builder.pool_max_idle_per_host(0);
        builder.sidestep(resolver).build().unwrap()
    }

    /// Sends a request, and returns the address of the HTTP server that responded.
    async fn get(&self, resolver: &Resolver, host: &str) -> IpAddr {
        let body = get(&self.client(resolver), &self.edges.url(host)).await;
        let body = body.unwrap();
        let edge = body.split(' ').nth(1).unwrap();
        edge.parse().unwrap()
    }

    fn total(&self) -> usize {
        self.servers.iter().map(NameServer::total).sum()
    }
}

/// Returns the addresses of a host, sorted.
async fn addrs(resolver: &Resolver, host: &str) -> Vec<IpAddr> {
    let mut addrs = resolver.resolve(host).await.unwrap().addrs().to_vec();
    addrs.sort();
    addrs
}

/// Starts a name server over UDP that sends this reply to each query.
async fn udp_server(reply: impl Fn(Message) -> Message + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let reply = reply(Message::from_vec(&buffer[..len]).unwrap());
            let reply = reply.to_vec().unwrap();
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    addr
}
