//! Connections that were made a short while ago and have brought no response yet.
//!
//! The resolver attributes an early close to the address of such a connection.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::attempt::ConnectionId;
use crate::cache::Generation;
use crate::host::Host;

/// The new connections of all connects that a layer watches, bounded in number and age.
///
/// A connect locks one of a few shards, and allocates nothing once the shards have grown.
#[derive(Debug)]
pub(crate) struct NewConnections {
    shards: [Mutex<Shard>; SHARDS],
    epoch: Instant,
    /// When the last connection was recorded, in milliseconds since the epoch and at least 1. The value is 0 if there
    /// was no connection. Long after the last connection a response takes no lock.
    last: AtomicU64,
    /// The number of the next connection whose ends are not named.
    connected_unknown_peer: AtomicU64,
}

/// Connections in the order in which they were recorded.
type Shard = VecDeque<(Key, NewConnection)>;

/// The key of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The ends of the connection.
    Ends(ConnectionId),
    /// A number that this map has given, if the socket names no end.
    Nameless(u64),
}

/// A connection that was made by a watched connect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewConnection {
    pub(crate) host: Host,
    pub(crate) generation: Generation,
    pub(crate) peer: IpAddr,
    /// The ends of the connection, if the socket has named them.
    pub(crate) ends: Option<ConnectionId>,
    /// The addresses that were attempted until the connection was made.
    pub(crate) attempted: SmallVec<[IpAddr; 4]>,
    pub(crate) at: Instant,
    /// When the connection died with an error that names no connection; see [`NewConnections::take_unnamed`].
    pub(crate) died: Option<Instant>,
}

impl NewConnection {
    fn is_young(&self, now: Instant) -> bool {
        now <= self.at + MAX_AGE
    }
}

/// The age up to which an early close counts. An older connection has most likely brought a response and was kept
/// alive. The shortest keep-alive time that servers commonly have is 5 s (Node.js, Apache httpd), and its end is no
/// failure.
const MAX_AGE: Duration = Duration::from_secs(5);
/// The most connections that are kept. Beyond that number the oldest connections are removed.
const REMEMBERED: usize = 1024;
const SHARDS: usize = 16;
/// The time within which all requests that waited for a connection learn of its death, also on a busy machine.
const ONE_DEATH: Duration = Duration::from_secs(1);

impl Key {
    /// Returns the shard of the key. Linux gives even ports to connects, so the lowest bit says nothing.
    fn shard(self) -> usize {
        match self {
            Self::Ends(ends) => usize::from(ends.local.port() / 2) % SHARDS,
            Self::Nameless(number) => number as usize % SHARDS,
        }
    }
}

impl NewConnections {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            epoch: now,
            last: AtomicU64::new(0),
            connected_unknown_peer: AtomicU64::new(0),
        }
    }

    pub(crate) fn note(&self, made: NewConnection) {
        let key = made.ends.map_or_else(
            || Key::Nameless(self.connected_unknown_peer.fetch_add(1, Ordering::Relaxed)),
            Key::Ends,
        );
        self.last.fetch_max(self.millis(made.at), Ordering::Relaxed);
        let mut shard = self.shard(key);
        if shard.len() == REMEMBERED / SHARDS {
            shard.pop_front();
        }
        shard.push_back((key, made));
    }

    /// Removes the connection to a host, because a response has come that names no connection.
    ///
    /// If there are several connections to one address, the address has responded, and the oldest of them is removed.
    /// If they are to several addresses, the response may be of any of them, and all stay. If `host` is `None`, the
    /// connection may be to any host, such as a proxy.
    pub(crate) fn answered(&self, host: Option<&str>, now: Instant) {
        let alive = self.young(now, |made| {
            made.died.is_none() && host.is_none_or(|host| made.host.as_str() == host)
        });
        let oldest = alive.iter().min_by_key(|(_, made)| made.at);
        if let Some((oldest, first)) = oldest
            && alive.iter().all(|(_, made)| made.peer == first.peer)
        {
            self.take_by(*oldest, now);
        }
    }

    /// Takes the connection with these ends out. If the connection dies under many requests, only the first request
    /// takes the connection.
    pub(crate) fn take(&self, ends: ConnectionId, now: Instant) -> Option<NewConnection> {
        self.take_by(Key::Ends(ends), now)
    }

    /// Returns the connection to a host that an error without a connection is about, and marks the connection dead.
    ///
    /// Such a connection died before it carried a request. `None`: the connection may be to one of several addresses,
    /// or its death was returned before.
    ///
    /// All requests that wait for one HTTP/2 connection fail with it, one after the other. Meanwhile the retry of the
    /// first request has made another connection. So a failure within [`ONE_DEATH`] belongs to the same death, unless
    /// its request was sent again after that death, at `retried`.
    pub(crate) fn take_unnamed(
        &self,
        host: &str,
        retried: Option<Instant>,
        now: Instant,
    ) -> Option<NewConnection> {
        let to_host = self.young(now, |made| made.host.as_str() == host);
        let is_dead = |made: &NewConnection| made.died.is_some();
        let is_same = |made: &NewConnection| {
            let died = made.died.filter(|&at| now < at + ONE_DEATH);
            died.is_some_and(|at| retried.is_none_or(|retried| retried < at))
        };
        if to_host.iter().any(|(_, made)| is_same(made)) {
            return None;
        }
        let mut alive = to_host.iter().filter(|(_, made)| !is_dead(made));
        let (last, made) = alive.clone().max_by_key(|(_, made)| made.at)?;
        let one_peer = alive.all(|(_, other)| other.peer == made.peer);
        one_peer.then(|| self.mark_dead(*last, now)).flatten()
    }

    /// Marks a connection dead, and returns its earlier state. `None`: the connection was dead before.
    fn mark_dead(&self, key: Key, now: Instant) -> Option<NewConnection> {
        let mut shard = self.shard(key);
        let mut latest = shard.iter_mut().rev();
        let (_, made) = latest.find(|(other, _)| *other == key)?;
        let alive = made.died.is_none().then(|| made.clone())?;
        made.died = Some(now);
        Some(alive)
    }

    /// Returns whether no connection is young.
    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let young = MAX_AGE + Duration::from_millis(1);
        last == 0 || now > self.epoch + Duration::from_millis(last) + young
    }

    fn take_by(&self, key: Key, now: Instant) -> Option<NewConnection> {
        let mut shard = self.shard(key);
        let last = shard.iter().rposition(|(other, _)| *other == key)?;
        let (_, made) = shard.remove(last)?;
        // The system uses the ends of a closed connection again for a later one.
        shard.retain(|(other, _)| *other != key);
        made.is_young(now).then_some(made)
    }

    /// Returns the young connections for which `is_such` returns true.
    fn young(
        &self,
        now: Instant,
        is_such: impl Fn(&NewConnection) -> bool,
    ) -> Vec<(Key, NewConnection)> {
        let mut young = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let such = shard
                .iter()
                .filter(|(_, made)| made.is_young(now) && is_such(made));
            young.extend(such.cloned());
        }
        young
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.shard()])
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        since.try_into().unwrap_or(u64::MAX).max(1)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};
    use crate::time;

    fn recent() -> (NewConnections, Instant) {
        let now = time::now();
        (NewConnections::new(now), now)
    }

    fn ends(peer: u8, port: u16) -> ConnectionId {
        ConnectionId {
            local: ([127, 0, 0, 1], port).into(),
            remote: ([192, 0, 2, peer], 443).into(),
        }
    }

    fn made(peer: u8, port: u16, at: Instant) -> NewConnection {
        let Ok(Parsed::Name(host)) = host::parse("edge.test") else {
            panic!("it is a name");
        };
        let ends = ends(peer, port);
        let (generation, peer) = (Generation::default(), ends.addr());
        NewConnection {
            host,
            generation,
            peer,
            ends: Some(ends),
            attempted: SmallVec::from_slice(&[peer]),
            at,
            died: None,
        }
    }

    #[test]
    fn a_connection_that_dies_under_many_requests_is_told_once() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        assert!(recent.take(ends(1, 1000), now).is_some());
        assert!(recent.take(ends(1, 1000), now).is_none());
    }

    #[test]
    fn connections_from_one_port_to_two_peers_are_two() {
        let (recent, now) = recent();
        let (first, second) = (made(1, 1000, now), made(2, 1000, now));
        recent.note(first.clone());
        recent.note(second.clone());
        assert_eq!(recent.take(ends(1, 1000), now), Some(first));
        assert_eq!(recent.take(ends(2, 1000), now), Some(second));
    }

    #[test]
    fn a_later_connection_with_the_same_ends_takes_the_place_of_the_first() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        let later = made(1, 1000, now + Duration::from_secs(1));
        recent.note(later.clone());
        assert_eq!(recent.take(ends(1, 1000), later.at), Some(later.clone()));
        assert_eq!(recent.take(ends(1, 1000), later.at), None);
    }

    #[test]
    fn an_old_connection_has_answered_before() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        let later = now + Duration::from_secs(6);
        assert!(recent.take(ends(1, 1000), later).is_none());
    }

    #[test]
    fn of_several_peers_none_is_blamed() {
        let (recent, now) = recent();
        let first = made(1, 1000, now);
        recent.note(first.clone());
        recent.note(made(2, 1001, now));
        assert_eq!(recent.take_unnamed("edge.test", None, now), None);
        recent.take(ends(2, 1001), now);
        assert_eq!(recent.take_unnamed("other.test", None, now), None);
        assert_eq!(recent.take_unnamed("edge.test", None, now), Some(first));
    }

    /// The retry of the first request has made a connection to another address before the second request fails.
    #[test]
    fn requests_that_wait_for_one_connection_are_told_of_one_death() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        assert!(recent.take_unnamed("edge.test", None, now).is_some());
        recent.note(made(2, 1001, now));
        let late = now + ONE_DEATH - Duration::from_millis(1);
        assert_eq!(recent.take_unnamed("edge.test", None, late), None);
        let after = recent.take_unnamed("edge.test", None, now + ONE_DEATH);
        assert!(after.is_some());
    }

    #[test]
    fn a_request_that_was_sent_again_has_met_another_death() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        assert!(recent.take_unnamed("edge.test", None, now).is_some());
        let second = made(2, 1001, now);
        recent.note(second.clone());
        let taken = recent.take_unnamed("edge.test", Some(now), now);
        assert_eq!(taken, Some(second));
    }

    #[test]
    fn one_that_has_answered_is_not_blamed() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        recent.answered(Some("edge.test"), now);
        assert_eq!(recent.take(ends(1, 1000), now), None);
    }

    #[test]
    fn an_answer_of_an_unknown_host_is_the_proxys() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        recent.answered(Some("origin.test"), now);
        recent.note(made(1, 1001, now));
        assert!(recent.take(ends(1, 1000), now).is_some());
        recent.answered(None, now);
        assert_eq!(recent.take(ends(1, 1001), now), None);
    }

    #[test]
    fn an_answer_to_one_of_several_excuses_none() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        recent.note(made(2, 1001, now));
        recent.answered(Some("edge.test"), now);
        assert!(recent.take(ends(1, 1000), now).is_some());
    }

    #[test]
    fn an_answer_of_one_address_removes_its_oldest_connection() {
        let (recent, now) = recent();
        recent.note(made(1, 1000, now));
        recent.note(made(1, 1001, now + Duration::from_millis(1)));
        recent.answered(Some("edge.test"), now + Duration::from_millis(2));
        assert_eq!(recent.take(ends(1, 1000), now), None);
        assert!(recent.take(ends(1, 1001), now).is_some());
    }

    #[test]
    fn memory_stays_bounded() {
        let (recent, now) = recent();
        for port in 0..5_000 {
            recent.note(made(
                1,
                port,
                now + u32::from(port) * Duration::from_micros(1),
            ));
        }
        let all = recent.young(now, |_| true);
        assert_eq!(all.len(), REMEMBERED);
        assert!(
            all.iter().any(|(key, _)| *key == Key::Ends(ends(1, 4_999))),
            "the last one is kept"
        );
        assert!(!recent.is_empty(now + MAX_AGE));
        assert!(recent.is_empty(now + 2 * MAX_AGE), "all are old");
    }
}
