//! A stub resolver that asks name servers as the system's own does, and returns TTLs.
//!
//! | file | decides or does |
//! |---|---|
//! | `candidates` | which names are asked for (search list, `ndots`), and how the walk ends |
//! | `servers` | which name server is asked next, and what is remembered of each |
//! | `reply` | what a whole reply means |
//! | `question` | one question, sent as `servers` says |
//! | `exchange` | sends one query to one server |
//! | `families` | joins A and AAAA |
//! | `system` | reads resolv.conf, the hosts file and nsswitch.conf |
//! | `decided` | the default lookup: [`Dns`] or [`System`](super::System), as the system does |
//! | `trial` | asks each server on its own |
//!
//! The rules are pure functions that take the time as an argument. hickory provides messages and streams.

mod builder;
mod candidates;
mod config;
mod decided;
mod exchange;
mod families;
mod fault;
mod question;
mod reply;
mod servers;
mod system;
mod trial;

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::Name;

pub use self::builder::DnsBuilder;
use self::candidates::{End, Walk};
use self::config::StubConfig;
pub use self::config::{IpStrategy, Protocol};
pub(crate) use self::decided::SystemDefault;
use self::families::With;
use self::fault::{Fault, ServerFailed};
use self::question::Remembered;
use self::system::{SystemConfig, SystemFiles};
pub use self::trial::ServerTrial;
use super::{Answer, Answering, Lookup};
use crate::error::{Error, InvalidConfig};
use crate::time;

/// Asks name servers over UDP, and over TCP if a reply is truncated, and returns the TTLs of answers.
///
/// A name resolves as the system's own resolver would resolve it. The hosts file comes first. Then `Dns` asks
/// the name servers for one candidate of the search list after another, and for A and AAAA at once. `Dns`
/// asks the name servers in the given order. If a server fails or is slow, `Dns` asks the next one. A server
/// that is silent or can't be reached while others answer is asked last for a while.
///
/// As soon as one family has addresses, these addresses are the answer. The other family joins the answer
/// when its reply comes.
///
/// # Examples
///
/// ```
/// use sidestep::{Resolver, lookup::Dns};
///
/// let dns = Dns::with_servers(["192.0.2.53:53".parse()?])?;
/// let resolver = Resolver::builder().lookup(dns).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dns {
    source: Source,
    remembered: Arc<Remembered>,
}

/// Where the configuration comes from.
#[derive(Debug)]
enum Source {
    /// The system's files, as they are now.
    System(SystemFiles),
    /// The caller's name servers, and the system's hosts file if it is read.
    Named(Arc<StubConfig>, Option<SystemFiles>),
}

/// The configuration of one lookup.
#[derive(Clone, Debug)]
enum Settings {
    System(Arc<SystemConfig>),
    /// The caller's name servers, and the system's configuration for its hosts file.
    Named(Arc<StubConfig>, Option<Arc<SystemConfig>>),
}

/// The system's DNS configuration could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not read the system's DNS configuration ({PLACE}): name the servers with \
     Dns::with_servers, or ask the system with lookup::System"
)]
pub struct NoSystemConfig {
    source: Box<dyn std::error::Error + Send + Sync>,
}

const PLACE: &str = if cfg!(windows) {
    "the registry's network adapters"
} else if cfg!(target_vendor = "apple") {
    "System Configuration"
} else {
    "/etc/resolv.conf"
};

impl Dns {
    /// Makes a lookup that asks the system's name servers.
    ///
    /// This call reads the configuration, and lookups read it again if its files change. The call needs no
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// [`NoSystemConfig`] if the configuration names no server. sidestep takes no public name server in its
    /// place.
    pub fn from_system() -> Result<Self, NoSystemConfig> {
        let files = SystemFiles::default();
        if files.current().stub.servers.is_empty() {
            return Err(NoSystemConfig {
                source: "it names no server".into(),
            });
        }
        Ok(Self::new(Source::System(files)))
    }

    /// Makes a lookup that asks these name servers, each over UDP and TCP on its port.
    ///
    /// The system's hosts file comes first. There is no search list.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] if the list is empty or has more than 32 servers, or if a server has port 0, the
    /// unspecified address, or a link-local address without its scope.
    pub fn with_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, InvalidConfig> {
        servers
            .into_iter()
            .fold(Self::builder(), DnsBuilder::server)
            .build_for("Dns::with_servers")
    }

    /// Returns a builder for a `Dns` with your own name servers and options.
    pub fn builder() -> DnsBuilder {
        DnsBuilder::new()
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            remembered: Arc::default(),
        }
    }

    async fn settings(&self) -> Settings {
        match &self.source {
            Source::System(files) => Settings::System(files.refreshed().await),
            Source::Named(config, files) => {
                let config = Arc::clone(config);
                match files {
                    Some(files) => Settings::Named(config, Some(files.refreshed().await)),
                    None => Settings::Named(config, None),
                }
            }
        }
    }

    async fn ask(&self, host: &str, settings: Settings) -> Result<Answer, Error> {
        if let Some(answer) = settings.hosts_answer(host) {
            return Ok(answer);
        }
        let mut walk = Walk::new(host, settings.stub());
        let start = self.remembered.edit(|memory| memory.start(settings.stub()));
        let with = With {
            settings,
            remembered: Arc::clone(&self.remembered),
            start,
        };
        while let Some(candidate) = walk.next() {
            // The labels of a candidate are ASCII and have 1 to 63 octets; the resolver refuses other names.
            let labels = candidate.split('.').map(str::as_bytes);
            let Ok(name) = Name::from_labels(labels) else {
                continue;
            };
            match families::ask(&with, name).await {
                Ok(answer) => return Ok(answer),
                Err(miss) => walk.missed(miss),
            }
        }
        Err(error(host, walk.end()))
    }
}

impl Settings {
    fn stub(&self) -> &StubConfig {
        match self {
            Self::System(system) => &system.stub,
            Self::Named(config, _) => config,
        }
    }

    /// Returns the answer of the hosts file to the name as it is written.
    ///
    /// glibc compares the root dot too, so that it finds no absolute name. With the caller's name servers the
    /// root dot makes no difference.
    fn hosts_answer(&self, host: &str) -> Option<Answer> {
        let addrs = match self {
            Self::System(system) => system.hosts.find(host)?,
            Self::Named(_, system) => {
                let name = host.strip_suffix('.').unwrap_or(host);
                system.as_ref()?.hosts.find(name)?
            }
        };
        let strategy = self.stub().ip_strategy;
        let addrs: Vec<_> = addrs
            .iter()
            .copied()
            .filter(|addr| strategy.takes(*addr))
            .collect();
        (!addrs.is_empty()).then(|| Answer {
            asked_at: Some(time::now()),
            ..Answer::new(addrs)
        })
    }
}

impl Lookup for Dns {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        Box::pin(async move {
            let settings = self.settings().await;
            self.ask(host, settings).await
        })
    }

    /// Forgets what lookups learned about the name servers. A change of the system's files is noticed without
    /// this call.
    fn network_changed(&self) {
        self.remembered.clear();
    }

    /// Returns true if there may be a search list, with which `api` and `api.` are two names.
    fn root_dot_matters(&self) -> bool {
        match &self.source {
            Source::System(_) => true,
            Source::Named(config, _) => !config.search.is_empty(),
        }
    }
}

fn error(host: &str, end: End<Option<ServerFailed>>) -> Error {
    let with_ttl = |error: Error, ttl: Option<_>| match ttl {
        Some(ttl) => error.with_negative_ttl(ttl),
        None => error,
    };
    match end {
        End::NotFound(ttl) => with_ttl(Error::not_found(host), ttl),
        End::NoRecords(ttl) => with_ttl(Error::no_records(host), ttl),
        End::Failed(None) => Error::failed(host, "no name server is configured"),
        End::Failed(Some(failed)) => match failed.fault {
            Fault::Silent => Error::timed_out_at(host, failed),
            Fault::Machine(_) => Error::of_this_machine(host, failed),
            _ => Error::failed(host, failed),
        },
    }
}

#[cfg(test)]
mod tests;
