//! Queries each name server separately, to find out which servers work.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;

use super::config::{Protocol, Server, StubConfig};
use super::exchange::{self, Question};
use super::{Dns, Fault};
use crate::addrs::Family;
use crate::time;

/// The result of [`Dns::trial`] for one name server.
#[derive(Clone, Debug)]
pub struct ServerTrial {
    server: Server,
    took: Duration,
    fault: Option<Fault>,
}

impl ServerTrial {
    /// Returns the address and port of the name server.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// Returns the protocol by which `trial` queried the name server.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.server.protocol
    }

    /// Returns true if the name server answered.
    #[must_use]
    pub fn works(&self) -> bool {
        self.fault.is_none()
    }

    /// Returns how long the answer, or the failure, took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Returns why the name server does not work, or `None` if it works.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.fault.as_ref().map(ToString::to_string)
    }
}

impl fmt::Display for ServerTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            took,
            fault,
        } = self;
        match fault {
            None => write!(f, "name server {} works ({took:.1?})", server.addr),
            Some(fault) => write!(f, "name server {} {fault} ({took:.1?})", server.addr),
        }
    }
}

impl Dns {
    /// Queries each configured name server for the root, and returns which servers work and how fast.
    ///
    /// `trial` queries all servers at the same time, and takes at most the configured time limit of one server. A
    /// negative answer counts as an answer. If a server refuses the root, the server counts as not working, although
    /// the server may answer for its own names. Lookups do not use the results.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let dns = sidestep::lookup::Dns::from_system()?;
    /// for server in dns.trial().await {
    ///     println!("{server}"); // name server 192.0.2.53:53 works (12.3ms)
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn trial(&self) -> Vec<ServerTrial> {
        let settings = self.settings().await;
        let config = settings.stub();
        let servers = config.servers.iter();
        join_all(servers.map(|&server| try_one(server, config))).await
    }
}

async fn try_one(server: Server, config: &StubConfig) -> ServerTrial {
    let began = time::now();
    let question = Question {
        name: Name::root(),
        family: Family::V4,
    };
    let exchange_result = exchange::ask(server, question, config.edns, config.timeout).await;
    ServerTrial {
        server,
        took: time::now().saturating_duration_since(began),
        fault: exchange_result.server_answer.err(),
    }
}
