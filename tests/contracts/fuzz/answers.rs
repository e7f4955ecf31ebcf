//! A name server that sends any reply.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{self, RData, RecordType};
use sidestep::Resolver;
use sidestep::lookup::Dns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};

use crate::fuzz::reply::Evil;

const HOST: &str = "edge.test";

/// How the server makes its replies, and the replies that it has sent.
#[derive(Default)]
struct State {
    evil: Evil,
    sent: Vec<Vec<u8>>,
}

/// The time limit of a lookup.
const LIMIT: Duration = Duration::from_millis(40);
/// Time after which a lookup counts as hung.
const HANG: Duration = Duration::from_millis(1_500);

pub(crate) struct Lab {
    runtime: Runtime,
    server: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let server = runtime.block_on(async {
            let (udp, tcp) = bind().await;
            let server = udp.local_addr().unwrap();
            tokio::spawn(serve_udp(udp, Arc::clone(&state)));
            tokio::spawn(serve_tcp(tcp, Arc::clone(&state)));
            server
        });
        Self {
            runtime,
            server,
            state,
        }
    }

    pub(crate) fn check(&self, evil: &Evil) {
        *self.state.lock().unwrap() = State {
            evil: evil.clone(),
            sent: Vec::new(),
        };
        let lookup = Dns::with_servers([self.server]).unwrap();
        let builder = Resolver::builder().lookup(lookup).lookup_timeout(LIMIT);
        let resolver = builder.build().unwrap();
        let resolved = self
            .runtime
            .block_on(async { tokio::time::timeout(HANG, resolver.resolve(HOST)).await });
        match resolved.expect("the lookup ends within its time limit") {
            Ok(resolved) => {
                let sent = std::mem::take(&mut self.state.lock().unwrap().sent);
                let valid: Vec<_> = sent.iter().flat_map(|reply| addresses(reply)).collect();
                assert!((1..=64).contains(&resolved.addrs().len()));
                for addr in resolved.addrs() {
                    assert!(valid.contains(addr), "{addr} is none of {valid:?}");
                }
            }
            Err(error) => assert!(!error.to_string().contains("panicked"), "{error}"),
        }
    }
}

/// Returns the addresses that a message has for the queried name.
fn addresses(message: &[u8]) -> Vec<IpAddr> {
    let Ok(message) = Message::from_vec(message) else {
        return Vec::new();
    };
    let records = || message.answers.iter();
    // An alias may lead to any other name.
    let aliased = records().any(|record| record.record_type() == RecordType::CNAME);
    let is_of_host =
        |name: &rr::Name| aliased || name.to_lowercase().to_ascii().trim_end_matches('.') == HOST;
    let of_host = records().filter(|record| is_of_host(&record.name));
    of_host
        .filter_map(|record| match record.data {
            RData::A(addr) => Some(IpAddr::from(addr.0).to_canonical()),
            RData::AAAA(addr) => Some(IpAddr::from(addr.0).to_canonical()),
            _ => None,
        })
        .collect()
}

async fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let reply = {
            let mut state = state.lock().unwrap();
            if state.evil.speaks < 4 {
                continue;
            }
            let reply = state.evil.udp.to(&buffer[..len]);
            state.sent.push(reply.clone());
            reply
        };
        // The system does not send a reply that is too long for a datagram.
        let _ = socket.send_to(&reply, from).await;
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, Arc::clone(&state)));
    }
}

/// Answers one query and closes the connection, or closes the connection without a reply.
async fn serve_stream(mut stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let len = stream.read_u16().await?;
    let mut query = vec![0; len.into()];
    stream.read_exact(&mut query).await?;
    let (len, reply) = {
        let mut state = state.lock().unwrap();
        let Some(reply) = state.evil.tcp.as_ref().map(|reply| reply.to(&query)) else {
            return Ok(());
        };
        state.sent.push(reply.clone());
        (state.evil.tcp_len.unwrap_or(reply.len() as u16), reply)
    };
    stream.write_u16(len).await?;
    stream.write_all(&reply).await
}
