//! A name server that says anything.

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

use crate::reply::Evil;

const HOST: &str = "edge.test";

/// What is said now, and what has been said since.
#[derive(Default)]
struct Mouth {
    evil: Evil,
    said: Vec<Vec<u8>>,
}

/// The resolver gives up after this.
const LIMIT: Duration = Duration::from_millis(40);
/// A lookup that has not ended by then hangs.
const HANG: Duration = Duration::from_millis(1_500);

pub(crate) struct Lab {
    runtime: Runtime,
    server: SocketAddr,
    mouth: Arc<Mutex<Mouth>>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mouth = Arc::<Mutex<Mouth>>::default();
        let server = runtime.block_on(async {
            let (udp, tcp) = bind().await;
            let server = udp.local_addr().unwrap();
            tokio::spawn(serve_udp(udp, Arc::clone(&mouth)));
            tokio::spawn(serve_tcp(tcp, Arc::clone(&mouth)));
            server
        });
        Self {
            runtime,
            server,
            mouth,
        }
    }

    pub(crate) fn check(&self, evil: &Evil) {
        *self.mouth.lock().unwrap() = Mouth {
            evil: evil.clone(),
            said: Vec::new(),
        };
        let lookup = Dns::with_servers([self.server]).unwrap();
        let builder = Resolver::builder().lookup(lookup).lookup_timeout(LIMIT);
        let resolver = builder.build().unwrap();
        let resolved = self
            .runtime
            .block_on(async { tokio::time::timeout(HANG, resolver.resolve(HOST)).await });
        match resolved.expect("it ends with the lookup's time") {
            Ok(resolved) => {
                let said = std::mem::take(&mut self.mouth.lock().unwrap().said);
                let truth: Vec<_> = said.iter().flat_map(|said| addresses(said)).collect();
                assert!((1..=64).contains(&resolved.addrs().len()));
                for addr in resolved.addrs() {
                    assert!(truth.contains(addr), "{addr} is none of {truth:?}");
                }
            }
            Err(error) => assert!(!error.to_string().contains("panicked"), "{error}"),
        }
    }
}

/// The addresses that a message gives the name that was asked for.
fn addresses(message: &[u8]) -> Vec<IpAddr> {
    let Ok(message) = Message::from_vec(message) else {
        return Vec::new();
    };
    let records = || message.answers.iter();
    // An alias may lead to any other name.
    let aliased = records().any(|record| record.record_type() == RecordType::CNAME);
    let is_its =
        |name: &rr::Name| aliased || name.to_lowercase().to_ascii().trim_end_matches('.') == HOST;
    let its = records().filter(|record| is_its(&record.name));
    its.filter_map(|record| match record.data {
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

async fn serve_udp(socket: UdpSocket, mouth: Arc<Mutex<Mouth>>) {
    let mut room = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut room).await {
        let reply = {
            let mut mouth = mouth.lock().unwrap();
            if mouth.evil.speaks < 4 {
                continue;
            }
            let reply = mouth.evil.udp.to(&room[..len]);
            mouth.said.push(reply.clone());
            reply
        };
        // What is too long for a datagram is not sent.
        let _ = socket.send_to(&reply, from).await;
    }
}

async fn serve_tcp(listener: TcpListener, mouth: Arc<Mutex<Mouth>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(talk(stream, Arc::clone(&mouth)));
    }
}

/// Answers one question and closes; or closes at once.
async fn talk(mut stream: TcpStream, mouth: Arc<Mutex<Mouth>>) -> std::io::Result<()> {
    let len = stream.read_u16().await?;
    let mut asked = vec![0; len.into()];
    stream.read_exact(&mut asked).await?;
    let (len, reply) = {
        let mut mouth = mouth.lock().unwrap();
        let Some(reply) = mouth.evil.tcp.as_ref().map(|reply| reply.to(&asked)) else {
            return Ok(());
        };
        mouth.said.push(reply.clone());
        (mouth.evil.tcp_len.unwrap_or(reply.len() as u16), reply)
    };
    stream.write_u16(len).await?;
    stream.write_all(&reply).await
}
