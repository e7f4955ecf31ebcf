//! Asks each name server on its own, to find out which one works.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;

use super::config::{Protocol, Server, StubConfig};
use super::exchange::{self, Question};
use super::{Dns, Fault};
use crate::order::Family;
use crate::time;

/// The result of the trial of one name server; see [`Dns::trial`].
#[derive(Clone, Debug)]
pub struct ServerTrial {
    server: Server,
    took: Duration,
    fault: Option<Fault>,
}

impl ServerTrial {
    /// Returns the name server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// Returns how the name server was asked.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.server.protocol
    }

    /// Returns true when the name server has answered.
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
    /// Asks each configured name server for the root, and returns whether it works and how fast.
    ///
    /// `trial` asks all servers at once. A negative answer is an answer too. The trial takes at most the
    /// configured time limit of a server, and no lookup learns from it. A server that refuses the root counts as
    /// one that does not work, although it may answer for its own names.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
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
    let exchanged = exchange::ask(server, question, config.edns, config.timeout).await;
    ServerTrial {
        server,
        took: time::now().saturating_duration_since(began),
        fault: exchanged.said.err(),
    }
}
