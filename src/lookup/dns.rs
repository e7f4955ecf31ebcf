//! DNS by hickory-resolver, its own cache off.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup as Found;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::runtime::{Handle, Id};

use super::{Answer, Answering, Lookup};
use crate::error::{Error, InvalidConfig};

/// Asks name servers over UDP, and over TCP when an answer is truncated; so TTLs are known.
///
/// A and AAAA are asked at once. If one of them fails, the addresses of the other are the answer.
/// The system's hosts file is read first, its search list and `ndots` are kept.
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
    /// Reads the configuration of the network that we are on; `None`: the servers were named.
    read: Option<Read>,
    kept: Mutex<Kept>,
}

type Read = fn() -> Result<(ResolverConfig, ResolverOpts), NoSystemConfig>;

/// What is kept of one network.
#[derive(Debug)]
struct Kept {
    config: ResolverConfig,
    options: ResolverOpts,
    per_runtime: Vec<(Id, TokioResolver)>,
    /// How many networks there were before.
    moves: u64,
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
    /// Asks the name servers that the system is configured with.
    ///
    /// The configuration is read here, and again by
    /// [`Resolver::network_changed`](crate::Resolver::network_changed): another network has other
    /// name servers. It works outside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`NoSystemConfig`] when it can't be read or names no server. No public name server is
    /// taken in its place.
    pub fn from_system() -> Result<Self, NoSystemConfig> {
        Self::read_by(read_system)
    }

    fn read_by(read: Read) -> Result<Self, NoSystemConfig> {
        let (config, options) = read()?;
        Ok(Self::new(config, options, Some(read)))
    }

    /// Asks these name servers, each over UDP and TCP on the given port.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when the list is empty or a port is 0.
    pub fn with_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, InvalidConfig> {
        let servers: Vec<_> = servers.into_iter().collect();
        let invalid = |problem| Err(InvalidConfig::new("Dns::with_servers", problem));
        if servers.is_empty() {
            return invalid("at least one name server is needed");
        }
        if servers.iter().any(|server| server.port() == 0) {
            return invalid("a name server's port is 0; DNS listens on 53");
        }
        let servers = servers.into_iter().map(udp_and_tcp).collect();
        let config = ResolverConfig::from_parts(None, vec![], servers);
        Ok(Self::new(config, ResolverOpts::default(), None))
    }

    fn new(config: ResolverConfig, options: ResolverOpts, read: Option<Read>) -> Self {
        let kept = Kept {
            config,
            options: ours(options),
            per_runtime: Vec::new(),
            moves: 0,
        };
        Self {
            read,
            kept: Mutex::new(kept),
        }
    }

    /// Returns the resolver that belongs to the runtime of the caller: its sockets end with it.
    fn of_this_runtime(&self) -> Result<TokioResolver, NetError> {
        let id = Handle::current().id();
        if let Some(resolver) = self.edit(|kept| find(&mut kept.per_runtime, id)) {
            return Ok(resolver);
        }
        let (config, options, moves) = self.edit(|kept| kept.settings());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        let made = builder.build()?;
        Ok(self.edit(|kept| kept.keep(id, made, moves)))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn settings(&self) -> (ResolverConfig, ResolverOpts, u64) {
        (self.config.clone(), self.options.clone(), self.moves)
    }

    /// Keeps the resolver of a runtime, unless it was made for another network, or is there.
    fn keep(&mut self, id: Id, made: TokioResolver, moves: u64) -> TokioResolver {
        if self.moves != moves {
            return made;
        }
        find(&mut self.per_runtime, id).unwrap_or_else(|| {
            self.per_runtime.truncate(MAX_RUNTIMES - 1);
            self.per_runtime.insert(0, (id, made.clone()));
            made
        })
    }
}

fn read_system() -> Result<(ResolverConfig, ResolverOpts), NoSystemConfig> {
    let (config, options) =
        hickory_resolver::system_conf::read_system_conf().map_err(|source| NoSystemConfig {
            source: source.into(),
        })?;
    if config.name_servers().is_empty() {
        return Err(NoSystemConfig {
            source: "it names no server".into(),
        });
    }
    Ok((config, options))
}

fn ours(mut options: ResolverOpts) -> ResolverOpts {
    // One owner of lifetimes: hickory's cache would answer an invalidation with the address that
    // was just invalidated.
    options.cache_size = 0;
    options.timeout = options.timeout.min(ONE_TRY);
    options.attempts = options.attempts.max(2);
    options.max_active_requests = options.max_active_requests.max(MAX_ACTIVE);
    options
}

/// One try of one server, so that the second still fits into a lookup's 5 s.
const ONE_TRY: Duration = Duration::from_secs(2);
/// Questions in flight on one connection; hickory's default of 32 answers "busy" to the rest.
const MAX_ACTIVE: usize = 1024;
/// Runtimes whose resolver is kept; those unused longest leave.
const MAX_RUNTIMES: usize = 16;
/// Most names of a chain of CNAMEs that are followed.
const MAX_ALIASES: usize = 16;
/// How long an answer for A waits for AAAA. Longer than the 50 ms of RFC 8305, section 3, after
/// which a dial may start: what comes too late here is missing until the answer is asked again.
const PATIENCE_FOR_V6: Duration = Duration::from_millis(500);
/// How long an answer for AAAA waits for A. Longer: IPv4 is what is left when IPv6 is broken.
const PATIENCE_FOR_V4: Duration = Duration::from_secs(1);

fn find(kept: &mut [(Id, TokioResolver)], id: Id) -> Option<TokioResolver> {
    let place = kept.iter().position(|(other, _)| *other == id)?;
    kept[..=place].rotate_right(1);
    Some(kept[0].1.clone())
}

fn udp_and_tcp(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections)
}

impl Lookup for Dns {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        Box::pin(async move {
            let resolver = self
                .of_this_runtime()
                .map_err(|error| Error::failed(host, error))?;
            let v4 = pin!(ask(&resolver, host, RecordType::A));
            let v6 = pin!(ask(&resolver, host, RecordType::AAAA));
            let (first, second) = match select(v4, v6).await {
                Either::Left((first, v6)) => wait(first, v6, PATIENCE_FOR_V6).await,
                Either::Right((first, v4)) => wait(first, v4, PATIENCE_FOR_V4).await,
            };
            merge(first, second)
        })
    }

    /// Asks the name servers of the network that we are on now, over new sockets. If they can't
    /// be read, those that were known.
    fn network_changed(&self) {
        let read = match self.read.map(|read| read()) {
            Some(Err(error)) => {
                let source = std::error::Error::source(&error);
                tracing::warn!(target: "sidestep", %error, source, "asking the name servers of the network before");
                None
            }
            Some(Ok(read)) => Some(read),
            None => None,
        };
        self.edit(|kept| {
            if let Some((config, options)) = read {
                (kept.config, kept.options) = (config, ours(options));
            }
            kept.per_runtime.clear();
            kept.moves += 1;
        });
    }
}

type Family = Result<Answer, Error>;

/// Waits for the other family: as long as it takes when the first brought no addresses.
async fn wait(
    first: Family,
    other: impl Future<Output = Family>,
    patience: Duration,
) -> (Family, Option<Family>) {
    let second = match &first {
        Ok(_) => tokio::time::timeout(patience, other).await.ok(),
        Err(_) => Some(other.await),
    };
    (first, second)
}

async fn ask(resolver: &TokioResolver, host: &str, family: RecordType) -> Family {
    let found = resolver
        .lookup(host, family)
        .await
        .map_err(|error| read(host, error))?;
    let aliases = aliases(&found);
    let mut ttl = u32::MAX;
    let mut addrs = Vec::new();
    for record in found.answers() {
        // What it says of another name is not the answer to what was asked.
        if !aliases.iter().any(|name| name.eq_ignore_root(&record.name)) {
            continue;
        }
        // CNAMEs on the way count too: the answer lives no longer than its shortest link.
        ttl = ttl.min(record.ttl);
        addrs.extend(match &record.data {
            RData::A(addr) => Some(IpAddr::V4(addr.0)),
            RData::AAAA(addr) => Some(IpAddr::V6(addr.0)),
            _ => None,
        });
    }
    if addrs.is_empty() {
        return Err(Error::no_records(host));
    }
    Ok(Answer::new(addrs).with_ttl(Duration::from_secs(ttl.into())))
}

/// The name that was asked for, and those that its CNAMEs lead to, in whatever order they came. A
/// chain has a handful; a longer one is not followed to its end.
fn aliases(found: &Found) -> Vec<&Name> {
    let mut names: Vec<_> = found.message().queries.iter().map(Query::name).collect();
    let mut seen = 0;
    while let Some(&name) = names.get(seen).filter(|_| seen < MAX_ALIASES) {
        seen += 1;
        for record in found.answers() {
            if let RData::CNAME(target) = &record.data
                && record.name.eq_ignore_root(name)
                && !names.contains(&&target.0)
            {
                names.push(&target.0);
            }
        }
    }
    names
}

/// One answer of two. A failure on one side is weighed against what the other side said: only
/// when both say that there is nothing is there nothing.
fn merge(first: Family, second: Option<Family>) -> Family {
    match (first, second) {
        (Ok(one), Some(Ok(other))) => {
            let ttl = one.ttl.min(other.ttl);
            let addrs = Answer::new(one.addrs.into_iter().chain(other.addrs));
            Ok(Answer { ttl, ..addrs })
        }
        (Ok(one), None) => Ok(partial(one)),
        (Ok(one), Some(Err(error))) | (Err(error), Some(Ok(one))) => {
            Ok(if error.is_negative_answer() {
                one
            } else {
                partial(one)
            })
        }
        (Err(error), None) => Err(error),
        (Err(one), Some(Err(other))) => Err(graver(one, other)),
    }
}

/// What came of one family while the other failed, or did not come in time.
fn partial(one: Answer) -> Answer {
    Answer {
        is_partial: true,
        ..one
    }
}

fn graver(one: Error, other: Error) -> Error {
    match (one.is_negative_answer(), other.is_negative_answer()) {
        (true, false) => other,
        (true, true) if other.is_not_found() => other,
        (true | false, _) => one,
    }
}

fn read(host: &str, error: NetError) -> Error {
    match &error {
        NetError::Timeout => Error::timed_out(host),
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let negative = match none.response_code {
                ResponseCode::NXDomain => Error::not_found(host),
                ResponseCode::NoError => Error::no_records(host),
                _ => return Error::failed(host, error),
            };
            match none.negative_ttl {
                Some(ttl) => negative.with_negative_ttl(Duration::from_secs(ttl.into())),
                None => negative,
            }
        }
        _ => Error::failed(host, error),
    }
}

#[cfg(test)]
mod tests;
