//! Scripted name servers on port 53 of a namespace, over UDP and TCP.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::system::zone::Zone;

/// The queries in the order of their arrival, each as `127.0.0.53 web.a.test A`.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// Name servers of one scenario.
#[derive(Debug)]
pub(crate) struct Servers {
    zones: Vec<Arc<Zone>>,
    log: Log,
    tasks: JoinSet<()>,
}

impl Servers {
    /// Starts one name server for each address and zone.
    pub(crate) async fn start(specs: &[(String, String)]) -> Self {
        let (mut zones, log, mut tasks) = (Vec::new(), Log::default(), JoinSet::new());
        for (addr, zone) in specs {
            let zone = Arc::new(Zone::parse(zone));
            let bound = bind(addr).await;
            let (udp, tcp) = bound.unwrap_or_else(|error| panic!("port 53 of {addr}: {error}"));
            let server = Server {
                addr: addr.clone(),
                zone: zone.clone(),
                log: log.clone(),
            };
            tasks.spawn(server.clone().serve_udp(udp));
            tasks.spawn(server.serve_tcp(tcp));
            zones.push(zone);
        }
        Self { zones, log, tasks }
    }

    /// Stops the name servers and frees their ports.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Returns the queries since the last call, and clears the log and the counters of the zones.
    pub(crate) fn take_log(&self) -> Vec<String> {
        self.zones.iter().for_each(|zone| zone.reset());
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[derive(Clone)]
struct Server {
    addr: String,
    zone: Arc<Zone>,
    log: Log,
}

impl Server {
    // Replies and connections belong to one task, so that all sockets are closed when the task has ended.
    async fn serve_udp(self, socket: UdpSocket) {
        let mut replies = FuturesUnordered::new();
        let mut buffer = [0; 4096];
        loop {
            let (len, from) = tokio::select! {
                Some(()) = replies.next() => continue,
                received = socket.recv_from(&mut buffer) => match received {
                    Ok(received) => received,
                    // The system reports an ICMP error of an earlier reply here.
                    Err(_) => continue,
                },
            };
            if let Some((reply, delay)) = self.reply(&buffer[..len], false) {
                let socket = &socket;
                replies.push(async move {
                    tokio::time::sleep(delay).await;
                    // The client may have closed its socket.
                    let _: io::Result<usize> = socket.send_to(&reply, from).await;
                });
            }
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                // The client may close a connection at any time.
                Some(_ended) = connections.next() => {}
                Ok((stream, _)) = listener.accept() => connections.push(self.serve_stream(stream)),
            }
        }
    }

    async fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let len = stream.read_u16().await?;
            let mut query = vec![0; len.into()];
            stream.read_exact(&mut query).await?;
            if let Some((reply, delay)) = self.reply(&query, true) {
                tokio::time::sleep(delay).await;
                let len = u16::try_from(reply.len()).expect("a reply fits a TCP message");
                stream.write_u16(len).await?;
                stream.write_all(&reply).await?;
            }
        }
    }

    fn reply(&self, query: &[u8], over_tcp: bool) -> Option<crate::system::zone::Reply> {
        let query = Message::from_vec(query).ok()?;
        for question in &query.queries {
            let (name, rtype) = (question.name(), question.query_type());
            let edns = if query.edns.is_some() { " EDNS" } else { "" };
            let tcp = if over_tcp { " TCP" } else { "" };
            let line = format!("{} {name} {rtype}{edns}{tcp}", self.addr);
            self.log.lock().unwrap().push(line);
        }
        self.zone.reply(&query, over_tcp)
    }
}

async fn bind(addr: &str) -> io::Result<(UdpSocket, TcpListener)> {
    let addr = socket_addr(addr)?;
    Ok((UdpSocket::bind(addr).await?, TcpListener::bind(addr).await?))
}

/// Parses `127.0.0.53`, `::1` or `fe80::53%lo`.
fn socket_addr(addr: &str) -> io::Result<SocketAddr> {
    let Some((addr, interface)) = addr.split_once('%') else {
        let ip: IpAddr = addr.parse().map_err(io::Error::other)?;
        return Ok(SocketAddr::new(ip, 53));
    };
    // Each line has an IPv6 address, the index of its interface, three other columns, and the name of the interface.
    let all = std::fs::read_to_string("/proc/net/if_inet6")?;
    let of_interface = |line: &&str| line.split_whitespace().last() == Some(interface);
    let index = all
        .lines()
        .find(of_interface)
        .and_then(|line| line.split_whitespace().nth(1));
    let index = u32::from_str_radix(index.unwrap_or("no such interface"), 16);
    let ip = addr.parse().map_err(io::Error::other)?;
    Ok(SocketAddrV6::new(ip, 53, 0, index.map_err(io::Error::other)?).into())
}
