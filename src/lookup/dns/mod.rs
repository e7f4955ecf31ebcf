//! A stub resolver that queries name servers as the system's resolver does, and returns TTLs.
//!
//! | module | task |
//! |---|---|
//! | `candidates` | selects the names to query (search list, `ndots`), and decides how the walk over them ends |
//! | `servers` | selects the next name server, and records how each server behaves |
//! | `reply` | decides what a reply means |
//! | `question` | sends one question to name servers, as `servers` decides |
//! | `exchange` | sends one question to one server |
//! | `families` | joins the addresses of A and AAAA records |
//! | `system` | reads resolv.conf, the hosts file and nsswitch.conf |
//! | `decided` | contains the default lookup, which uses [`Dns`] or [`System`](super::System) |
//! | `trial` | queries each server separately |
//!
//! The rules are pure functions that take the time as an argument. hickory provides messages and streams.

mod builder;
mod candidates;
mod config;
mod exchange;
mod families;
mod fault;
mod question;
mod reply;
mod servers;
mod settings;
mod system;
mod system_default;
mod trial;

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::Name;

pub use self::builder::DnsBuilder;
use self::candidates::{End, Walk};
use self::config::StubConfig;
pub use self::config::{IpStrategy, Protocol};
use self::families::With;
use self::fault::{Fault, ServerFailed};
use self::question::ServerMemory;
use self::settings::Settings;
use self::system::{SystemConfig, SystemFiles};
pub(crate) use self::system_default::SystemDefault;
pub use self::trial::ServerTrial;
use super::{Answer, Lookup, LookupFuture};
use crate::error::{ConfigError, ResolveError};

/// A lookup that queries name servers and returns the TTLs of answers.
///
/// `Dns` sends queries over UDP, and over TCP if a reply is truncated.
///
/// `Dns` resolves a host as the system's resolver would. The hosts file comes first. Then `Dns` queries the name
/// servers for one candidate of the search list after another, for A and AAAA at the same time. `Dns` queries the
/// name servers in the given order. If a server fails or is slow, `Dns` queries the next one. If a server is
/// silent or can't be reached while others answer, `Dns` queries that server last for a while.
///
/// As soon as one family has addresses, `Dns` returns these addresses as the answer. The addresses of the other
/// family join the answer when their reply arrives.
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
    remembered: Arc<ServerMemory>,
}

/// The source of the configuration of a [`Dns`].
#[derive(Debug)]
enum Source {
    /// The system's files, which a lookup reads again if they change.
    System(SystemFiles),
    /// The caller's name servers, and the system's files if lookups use the hosts file.
    Named(Arc<StubConfig>, Option<SystemFiles>),
}

/// The error of [`Dns::from_system`] if the system's DNS configuration names no server.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not read the system's DNS configuration ({PLACE}): name the servers with \
     Dns::with_servers, or ask the system with lookup::System"
)]
pub struct SystemConfigError {
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
    /// Returns a lookup that queries the system's name servers.
    ///
    /// `from_system` reads the system's configuration files. Lookups read the files again if they change.
    /// `from_system` needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns [`SystemConfigError`] if the configuration names no server. sidestep uses no public name server
    /// instead.
    pub fn from_system() -> Result<Self, SystemConfigError> {
        let files = SystemFiles::default();
        if files.current().stub.servers.is_empty() {
            return Err(SystemConfigError {
                source: "it names no server".into(),
            });
        }
        Ok(Self::new(Source::System(files)))
    }

    /// Returns a lookup that queries these name servers, each over UDP and TCP on its port.
    ///
    /// The lookup reads the system's hosts file first, and uses no search list.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the list is empty or has more than 32 servers, or if a server has port 0, the
    /// unspecified address, or an IPv6 link-local address without its scope.
    pub fn with_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, ConfigError> {
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

    async fn ask(&self, host: &str, settings: Settings) -> Result<Answer, ResolveError> {
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
            // The labels of a candidate are ASCII and have 1 to 63 octets, because the resolver refuses other hosts.
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

impl Lookup for Dns {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let settings = self.settings().await;
            self.ask(host, settings).await
        })
    }

    /// Forgets what lookups learned about the name servers.
    ///
    /// Lookups notice a change of the system's files without this call.
    fn network_changed(&self) {
        self.remembered.clear();
    }

    /// Returns true if there may be a search list, because `api` and `api.` are then two names.
    fn root_dot_matters(&self) -> bool {
        match &self.source {
            Source::System(_) => true,
            Source::Named(config, _) => !config.search.is_empty(),
        }
    }
}

fn error(host: &str, end: End<Option<ServerFailed>>) -> ResolveError {
    let with_ttl = |error: ResolveError, ttl: Option<_>| match ttl {
        Some(ttl) => error.with_negative_ttl(ttl),
        None => error,
    };
    match end {
        End::NotFound(ttl) => with_ttl(ResolveError::not_found(host), ttl),
        End::NoRecords(ttl) => with_ttl(ResolveError::no_records(host), ttl),
        End::Failed(None) => ResolveError::failed(host, "no name server is configured"),
        End::Failed(Some(failed)) => match failed.fault {
            Fault::Silent => ResolveError::timed_out_at(host, failed),
            Fault::Machine(_) => ResolveError::of_this_machine(host, failed),
            _ => ResolveError::failed(host, failed),
        },
    }
}

#[cfg(test)]
mod tests;
