//! The slip: what one connect asked the resolver and was dealt.
//!
//! reqwest shows a connector layer neither host nor address. So the layer hangs a slip around
//! the inner connector, the resolver writes on the slip that hangs around its caller, and when
//! the connect ends the layer reads it. The slip names what was *asked*: under a proxy that is
//! the proxy.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::task::futures::TaskLocalFuture;

use super::Fresh;
use crate::cache::Generation;
use crate::host::Host;
use crate::observe::Source;
use crate::order::Dealt;

tokio::task_local! {
    static HANGING: Slip;
}

/// A slip of one connect. Clones are the same slip.
#[derive(Clone, Debug)]
pub(crate) struct Slip(Arc<Sheet>);

#[derive(Debug)]
struct Sheet {
    resolver: u64,
    /// The slip that hung around the caller when this one was made: layers of two resolvers may
    /// be stacked, and each resolver looks for its own.
    outer: Option<Slip>,
    deals: Deals,
    notes: Mutex<Notes>,
    /// Whether TCP is up, as far as somebody inside has told.
    is_up: AtomicBool,
}

/// What the resolver deals under a slip.
#[derive(Debug)]
enum Deals {
    /// What a connector dials by itself.
    Few,
    /// The first address of a race, which keeps all of them.
    First(OnceLock<AllAddrs>),
    /// This address of a race, when its host is asked for. Another name is answered as ever: behind a
    /// proxy of its own choosing a connector may ask for several.
    Pinned(Box<Note>),
}

/// All addresses of a host; mostly so few that they need no heap.
pub(crate) type AllAddrs = SmallVec<[IpAddr; 8]>;

/// What is written; mostly one note, which needs no list.
#[derive(Debug, Default)]
struct Notes {
    first: Option<Note>,
    others: Vec<Note>,
}

/// What one name was answered with.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) host: Host,
    pub(crate) generation: Generation,
    pub(crate) dealt: Dealt,
    pub(crate) at: Instant,
    /// Where the addresses were from, and how long ago those had been asked for.
    pub(crate) source: Source,
    pub(crate) age: Duration,
}

/// SOCKS asks for two names; more are no connect that can be read.
const MAX_NOTES: usize = 4;

impl Slip {
    /// Makes a slip that only the resolver with this number writes on.
    pub(crate) fn new(resolver: u64) -> Self {
        Self::dealing(resolver, Deals::Few)
    }

    /// Makes the slip of a race's first attempt: it is dealt one address, and [`list`](Self::list)
    /// has all.
    pub(crate) fn first(resolver: u64) -> Self {
        Self::dealing(resolver, Deals::First(OnceLock::new()))
    }

    /// Makes the slip of a later attempt, which is dealt exactly this address of the same host.
    pub(crate) fn pinned(resolver: u64, note: &Note, addr: IpAddr) -> Self {
        let mut dealt = Dealt::new();
        dealt.push(addr);
        let note = Note {
            dealt,
            ..note.clone()
        };
        Self::dealing(resolver, Deals::Pinned(Box::new(note)))
    }

    fn dealing(resolver: u64, deals: Deals) -> Self {
        Fresh::begin();
        Self(Arc::new(Sheet {
            resolver,
            outer: HANGING.try_with(Self::clone).ok(),
            deals,
            notes: Mutex::default(),
            is_up: AtomicBool::new(false),
        }))
    }

    /// Returns the nearest slip of this resolver that hangs around the caller.
    pub(crate) fn hanging(resolver: u64) -> Option<Self> {
        HANGING
            .try_with(|slip| slip.nearest(resolver))
            .ok()
            .flatten()
    }

    /// Returns the same if it is of a race.
    pub(crate) fn of_race(resolver: u64) -> Option<Self> {
        Self::hanging(resolver).filter(Self::is_raced)
    }

    fn nearest(&self, resolver: u64) -> Option<Self> {
        let mut slips = std::iter::successors(Some(self), |slip| slip.0.outer.as_ref());
        slips.find(|slip| slip.0.resolver == resolver).cloned()
    }

    /// Hangs the slip around a call, because hyper-rustls calls the connector below at once.
    pub(crate) fn around_call<T>(&self, call: impl FnOnce() -> T) -> T {
        HANGING.sync_scope(self.clone(), call)
    }

    /// Hangs the slip around a future, wherever that is polled.
    pub(crate) fn around<F: Future>(&self, future: F) -> TaskLocalFuture<Self, F> {
        HANGING.scope(self.clone(), future)
    }

    /// Where to keep all addresses of the host that is asked for, if it is the first name that a race
    /// asks for: then only the first of them is to be dealt.
    pub(crate) fn keep_all(&self, all: impl FnOnce() -> AllAddrs) -> Option<IpAddr> {
        match &self.0.deals {
            Deals::First(list) if list.get().is_none() => list.get_or_init(all).first().copied(),
            Deals::First(_) | Deals::Few | Deals::Pinned(_) => None,
        }
    }

    /// Returns what an attempt of a race is dealt if it asks for this name, in whatever spelling: a later
    /// one its address, and one that has asked before the same again.
    pub(crate) fn pin(&self, name: &str) -> Option<Note> {
        let note = match &self.0.deals {
            Deals::Pinned(note) => Some((**note).clone()),
            Deals::First(list) => list
                .get()
                .and_then(|_| self.edit(|notes| notes.first.clone())),
            Deals::Few => None,
        };
        note.filter(|note| note.host.is(name))
    }

    /// Returns all addresses of the host that a race's first attempt has asked for first.
    pub(crate) fn list(&self) -> Option<(Note, &[IpAddr])> {
        let Deals::First(list) = &self.0.deals else {
            return None;
        };
        let first = self.edit(|notes| notes.first.clone())?;
        Some((first, list.get()?))
    }

    /// Notes that TCP is up.
    pub(crate) fn tcp_is_up(&self) {
        self.0.is_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, note: Note) {
        self.edit(|notes| match &notes.first {
            None => notes.first = Some(note),
            Some(first) if self.is_raced() && first.host == note.host => {}
            Some(_) if notes.others.len() + 1 < MAX_NOTES => notes.others.push(note),
            Some(_) => {}
        });
    }

    fn is_raced(&self) -> bool {
        !matches!(self.0.deals, Deals::Few)
    }

    /// Returns what is written, if it is one note: of two names neither can be blamed.
    pub(crate) fn only_note(&self) -> Option<Note> {
        self.edit(|notes| notes.first.clone().filter(|_| notes.others.is_empty()))
    }

    /// Returns the one note that dealt the address.
    pub(crate) fn note_with(&self, addr: IpAddr) -> Option<Note> {
        self.edit(|notes| {
            let mut with = notes
                .first
                .iter()
                .chain(&notes.others)
                .filter(|note| note.dealt.as_slice().contains(&addr));
            with.next().filter(|_| with.next().is_none()).cloned()
        })
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.edit(|notes| notes.first.is_none())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
        change(&mut self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};

    #[tokio::test]
    async fn a_slip_is_seen_only_inside_and_only_by_its_resolver() {
        let slip = Slip::new(7);
        assert!(Slip::hanging(7).is_none());
        let inside = async { (Slip::hanging(7).is_some(), Slip::hanging(8).is_some()) };
        assert_eq!(slip.around(inside).await, (true, false));
        assert!(slip.around_call(|| Slip::hanging(7).is_some()));
    }

    /// SOCKS asks for the target and for the proxy: neither can be blamed.
    #[test]
    fn of_two_names_neither_is_the_only_one() {
        let slip = Slip::new(1);
        let mut dealt = Dealt::new();
        dealt.push([192, 0, 2, 1].into());
        for name in ["target.test", "proxy.test"] {
            let Ok(Parsed::Name(host)) = host::parse(name) else {
                panic!("it is a name");
            };
            let (generation, at) = (Generation::default(), crate::time::now());
            slip.write(Note {
                host,
                generation,
                dealt: dealt.clone(),
                at,
                source: Source::Fresh,
                age: Duration::ZERO,
            });
        }
        assert!(slip.only_note().is_none());
        assert!(
            slip.note_with([192, 0, 2, 1].into()).is_none(),
            "and both were dealt it"
        );
    }

    /// Layers of two resolvers around one connector.
    #[tokio::test]
    async fn each_resolver_finds_its_own_of_two_slips() {
        let outer = Slip::new(1);
        let seen = outer.around_call(|| {
            let inner = Slip::new(2);
            inner.around_call(|| [1, 2, 3].map(|id| Slip::hanging(id).is_some()))
        });
        assert_eq!(seen, [true, true, false]);
    }

    #[tokio::test]
    async fn a_spawned_task_does_not_see_the_slip() {
        let seen = Slip::new(7)
            .around(async { tokio::spawn(async { Slip::hanging(7).is_some() }).await })
            .await;
        assert!(!seen.unwrap());
    }
}
