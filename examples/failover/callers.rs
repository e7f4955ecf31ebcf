//! All clients that the lab compares, and how they send a request.

use std::net::SocketAddr;

use rustls::ClientConfig;
use testkit::lab::clients::{Client, Connections};
use testkit::lab::get::{Failure, Get};
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use crate::hyper_clients::{Hyper, Version};

/// A client of one of the libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Reqwest(Client),
    Hyper(Hyper),
}

impl Caller {
    /// All clients by library, those of sidestep last.
    pub(crate) const ALL: [Self; 6] = {
        let ([a, b, c], [d, e, f]) = (Client::ALL, Hyper::ALL);
        [
            Self::Reqwest(a),
            Self::Reqwest(b),
            Self::Reqwest(c),
            Self::Hyper(d),
            Self::Hyper(e),
            Self::Hyper(f),
        ]
    };

    /// Returns the clients of a scenario. If all clients use HTTP/2, the race over HTTP/1.1 does not take part.
    pub(crate) fn with(connections: Connections) -> impl Iterator<Item = Self> {
        let is_needless = move |caller: &Self| {
            connections == Connections::Kept && *caller == Self::Hyper(Hyper::Race(Version::Http1))
        };
        Self::ALL
            .into_iter()
            .filter(move |caller| !is_needless(caller))
    }

    pub(crate) fn library(self) -> Library {
        match self {
            Self::Reqwest(_) => Library::Reqwest,
            Self::Hyper(_) => Library::Hyper,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Reqwest(client) => client.title(),
            Self::Hyper(client) => client.title(),
        }
    }

    /// Returns the host that only this client looks up, so that its queries can be counted.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Reqwest(client) => client.host(),
            Self::Hyper(client) => client.host(),
        }
    }

    /// Builds a service that sends a GET to `url`, with the name server and the authority of the lab.
    pub(crate) fn build(
        self,
        dns: SocketAddr,
        tls: ClientConfig,
        connections: Connections,
        url: &str,
    ) -> Result<Get, Failure> {
        match self {
            Self::Reqwest(client) => {
                let built = client.build(dns, tls, connections)?;
                Ok(through_reqwest(built.http, url))
            }
            Self::Hyper(client) => client.build(dns, tls, connections, url),
        }
    }
}

/// The library of a client. Each library has its own picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Reqwest,
    Hyper,
}

impl Library {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reqwest => "reqwest",
            Self::Hyper => "hyper",
        }
    }
}

fn through_reqwest(http: reqwest::Client, url: &str) -> Get {
    let url = url.to_owned();
    let send = move |()| {
        let request = http.get(&url);
        async move {
            let answer = request.send().await?.error_for_status()?;
            Ok(answer.bytes().await.map(drop)?)
        }
    };
    BoxCloneSyncService::new(service_fn(send))
}
