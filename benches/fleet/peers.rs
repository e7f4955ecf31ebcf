//! The connections that the simulated edges accept.

use std::io;
use std::net::{IpAddr, TcpListener};

use http::Extensions;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpInfo};
use tokio::net::TcpStream;

use crate::scenario::{NEW, OLD};

/// The [`HttpInfo`] of a connection to each edge.
///
/// Only a socket can make an [`HttpInfo`], so each edge accepts one connection before the simulation begins.
#[derive(Debug)]
pub(crate) struct Peers(Vec<(IpAddr, HttpInfo)>);

/// A connection without a socket.
#[derive(Debug)]
pub(crate) struct Made(HttpInfo);

impl Peers {
    /// Connects to each edge on loopback. If the system connects to IPv4-mapped addresses, each edge has two.
    pub(crate) async fn connect() -> io::Result<Self> {
        let mut peers = Vec::new();
        for edge in OLD.into_iter().chain(NEW) {
            let listener = TcpListener::bind((edge, 0))?;
            let port = listener.local_addr()?.port();
            peers.push((edge, info(edge, port).await?));
            if let IpAddr::V4(edge) = edge {
                let mapped = IpAddr::V6(edge.to_ipv6_mapped());
                peers.extend(info(mapped, port).await.map(|info| (mapped, info)).ok());
            }
        }
        Ok(Self(peers))
    }

    /// Returns a connection to an address.
    pub(crate) fn made(&self, addr: IpAddr) -> Made {
        let found = self.0.iter().find(|(peer, _)| *peer == addr);
        let (_, info) = found.expect("only an edge accepts connections");
        Made(info.clone())
    }
}

async fn info(addr: IpAddr, port: u16) -> io::Result<HttpInfo> {
    let mut extras = Extensions::new();
    let stream = TcpStream::connect((addr, port)).await?;
    stream.connected().get_extras(&mut extras);
    extras
        .remove()
        .ok_or_else(|| io::Error::other("the connection names no peer"))
}

impl Connection for Made {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.0.clone())
    }
}
