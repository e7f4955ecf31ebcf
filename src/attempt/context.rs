//! The attempt context, which records what one connect resolved.
//!
//! reqwest shows a connector layer neither the host nor the addresses of a connect. So the layer runs the inner
//! connector in the scope of an attempt context, which is a task-local value. The resolver records each resolution in
//! the attempt context of its caller, and the layer reads the attempt context when the connect ends. The recorded host
//! is the one that the connector resolved, which behind a proxy is the proxy.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::task::futures::TaskLocalFuture;

use super::RequestConnection;
use crate::addrs::AddressList;
use crate::cache::Generation;
use crate::events::AnswerSource;
use crate::host::Host;

tokio::task_local! {
    static CURRENT: AttemptContext;
}

/// The attempt context of one connect. Clones share one record.
#[derive(Clone, Debug)]
pub(crate) struct AttemptContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resolver: u64,
    /// The attempt context that surrounded the caller when this one was made. Layers of two resolvers may be stacked,
    /// and each resolver finds its own attempt context.
    outer: Option<AttemptContext>,
    kind: AttemptKind,
    resolutions: Mutex<Resolutions>,
    /// Whether TCP is up, as far as a [`TcpConnectedLayer`](crate::TcpConnectedLayer) inside has reported.
    is_tcp_connected: AtomicBool,
}

/// The kind of a connect, which decides what the resolver returns to the connect.
#[derive(Debug)]
enum AttemptKind {
    /// A connector that attempts a list of addresses. The resolver returns that list.
    Connector,
    /// The first attempt of a race. The resolver returns one address, and the attempt context keeps all.
    RaceFirst(OnceLock<AllAddrs>),
    /// A later attempt of a race. The resolver returns this address for the race's host, and resolves another name as
    /// usual. Behind a proxy of its own choosing a connector may resolve several names.
    RaceAddress(Box<Resolution>),
}

/// All addresses of a host. Mostly there are so few that they need no heap allocation.
pub(crate) type AllAddrs = SmallVec<[IpAddr; 8]>;

/// The recorded resolutions. Mostly there is one, which needs no list.
#[derive(Debug, Default)]
struct Resolutions {
    first: Option<Resolution>,
    others: Vec<Resolution>,
}

/// One name that was resolved within an attempt context, and its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Resolution {
    pub(crate) host: Host,
    pub(crate) generation: Generation,
    pub(crate) addrs: AddressList,
    pub(crate) resolved_at: Instant,
    /// Where the addresses came from. `age` is the age of their answer at `resolved_at`.
    pub(crate) source: AnswerSource,
    pub(crate) age: Duration,
}

/// The most resolutions of an attempt context. SOCKS resolves two names, and a connect that resolves more can't be
/// attributed.
const MAX_RESOLUTIONS: usize = 4;

impl AttemptContext {
    /// Creates the attempt context of a connector, in which only the resolver with this number records.
    pub(crate) fn new(resolver: u64) -> Self {
        Self::with_kind(resolver, AttemptKind::Connector)
    }

    /// Creates the attempt context of a race's first attempt. The resolver returns one address to the attempt, and
    /// [`race_candidates`](Self::race_candidates) returns all.
    pub(crate) fn race_first(resolver: u64) -> Self {
        Self::with_kind(resolver, AttemptKind::RaceFirst(OnceLock::new()))
    }

    /// Creates the attempt context of a later attempt of a race, which is given exactly this address of the same host.
    pub(crate) fn race_address(resolver: u64, resolution: &Resolution, addr: IpAddr) -> Self {
        let mut selected = AddressList::new();
        selected.push(addr);
        let resolution = Resolution {
            addrs: selected,
            ..resolution.clone()
        };
        Self::with_kind(resolver, AttemptKind::RaceAddress(Box::new(resolution)))
    }

    fn with_kind(resolver: u64, deals: AttemptKind) -> Self {
        RequestConnection::begin();
        Self(Arc::new(Inner {
            resolver,
            outer: CURRENT.try_with(Self::clone).ok(),
            kind: deals,
            resolutions: Mutex::default(),
            is_tcp_connected: AtomicBool::new(false),
        }))
    }

    /// Returns the innermost attempt context of this resolver around the caller.
    pub(crate) fn current(resolver: u64) -> Option<Self> {
        CURRENT
            .try_with(|context| context.nearest(resolver))
            .ok()
            .flatten()
    }

    /// Returns the [`current`](Self::current) attempt context, if that belongs to a race.
    pub(crate) fn of_race(resolver: u64) -> Option<Self> {
        Self::current(resolver).filter(Self::is_in_race)
    }

    fn nearest(&self, resolver: u64) -> Option<Self> {
        let mut contexts = std::iter::successors(Some(self), |context| context.0.outer.as_ref());
        contexts
            .find(|context| context.0.resolver == resolver)
            .cloned()
    }

    /// Runs a call in the scope of this attempt context, because hyper-rustls calls its inner connector at once.
    pub(crate) fn sync_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), call)
    }

    /// Runs a future in the scope of this attempt context, in whatever task the future is polled.
    pub(crate) fn scope<F: Future>(&self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self.clone(), future)
    }

    /// Keeps all addresses of a race's host, and returns the first one. `None`: this is not the first resolution of a
    /// race's first attempt.
    pub(crate) fn start_race(&self, all: impl FnOnce() -> AllAddrs) -> Option<IpAddr> {
        match &self.0.kind {
            AttemptKind::RaceFirst(list) if list.get().is_none() => {
                list.get_or_init(all).first().copied()
            }
            AttemptKind::RaceFirst(_) | AttemptKind::Connector | AttemptKind::RaceAddress(_) => {
                None
            }
        }
    }

    /// Returns the resolution that an attempt of a race is given for `name`, in any spelling.
    ///
    /// A later attempt is given its address. A first attempt that resolves its host again is given the same address
    /// again.
    pub(crate) fn assigned(&self, name: &str) -> Option<Resolution> {
        let resolution = match &self.0.kind {
            AttemptKind::RaceAddress(resolution) => Some((**resolution).clone()),
            AttemptKind::RaceFirst(list) => list
                .get()
                .and_then(|_| self.edit(|notes| notes.first.clone())),
            AttemptKind::Connector => None,
        };
        resolution.filter(|resolution| resolution.host.eq_name(name))
    }

    /// Returns all addresses of the host that the first attempt of a race has resolved first.
    pub(crate) fn race_candidates(&self) -> Option<(Resolution, &[IpAddr])> {
        let AttemptKind::RaceFirst(list) = &self.0.kind else {
            return None;
        };
        let first = self.edit(|notes| notes.first.clone())?;
        Some((first, list.get()?))
    }

    /// Records that TCP is up.
    pub(crate) fn set_tcp_connected(&self) {
        self.0.is_tcp_connected.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_tcp_connected(&self) -> bool {
        self.0.is_tcp_connected.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, resolution: Resolution) {
        self.edit(|notes| match &notes.first {
            None => notes.first = Some(resolution),
            Some(first) if self.is_in_race() && first.host == resolution.host => {}
            Some(_) if notes.others.len() + 1 < MAX_RESOLUTIONS => notes.others.push(resolution),
            Some(_) => {}
        });
    }

    fn is_in_race(&self) -> bool {
        !matches!(self.0.kind, AttemptKind::Connector)
    }

    /// Returns the resolution if there is exactly one. A failure can't be attributed to one of two names.
    pub(crate) fn single(&self) -> Option<Resolution> {
        self.edit(|notes| notes.first.clone().filter(|_| notes.others.is_empty()))
    }

    /// Returns the resolution with this address, if exactly one resolution has the address.
    pub(crate) fn containing(&self, addr: IpAddr) -> Option<Resolution> {
        self.edit(|notes| {
            let mut with = notes
                .first
                .iter()
                .chain(&notes.others)
                .filter(|resolution| resolution.addrs.as_slice().contains(&addr));
            with.next().filter(|_| with.next().is_none()).cloned()
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edit(|notes| notes.first.is_none())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Resolutions) -> T) -> T {
        change(
            &mut self
                .0
                .resolutions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};

    #[tokio::test]
    async fn a_context_is_seen_only_inside_and_only_by_its_resolver() {
        let context = AttemptContext::new(7);
        assert!(AttemptContext::current(7).is_none());
        let inside = async {
            (
                AttemptContext::current(7).is_some(),
                AttemptContext::current(8).is_some(),
            )
        };
        assert_eq!(context.scope(inside).await, (true, false));
        assert!(context.sync_scope(|| AttemptContext::current(7).is_some()));
    }

    /// SOCKS resolves the target and the proxy, so a failure can't be attributed to either of them.
    #[test]
    fn of_two_names_neither_is_the_only_one() {
        let context = AttemptContext::new(1);
        let mut selected = AddressList::new();
        selected.push([192, 0, 2, 1].into());
        for name in ["target.test", "proxy.test"] {
            let Ok(Parsed::Name(host)) = host::parse(name) else {
                panic!("it is a name");
            };
            let (generation, at) = (Generation::default(), crate::time::now());
            context.record(Resolution {
                host,
                generation,
                addrs: selected.clone(),
                resolved_at: at,
                source: AnswerSource::Fresh,
                age: Duration::ZERO,
            });
        }
        assert!(context.single().is_none());
        assert!(
            context.containing([192, 0, 2, 1].into()).is_none(),
            "and both were dealt it"
        );
    }

    /// The layers of two resolvers wrap one connector.
    #[tokio::test]
    async fn each_resolver_finds_its_own_of_two_contexts() {
        let outer = AttemptContext::new(1);
        let seen = outer.sync_scope(|| {
            let inner = AttemptContext::new(2);
            inner.sync_scope(|| [1, 2, 3].map(|id| AttemptContext::current(id).is_some()))
        });
        assert_eq!(seen, [true, true, false]);
    }

    #[tokio::test]
    async fn a_spawned_task_does_not_see_the_context() {
        let seen = AttemptContext::new(7)
            .scope(async { tokio::spawn(async { AttemptContext::current(7).is_some() }).await })
            .await;
        assert!(!seen.unwrap());
    }
}
