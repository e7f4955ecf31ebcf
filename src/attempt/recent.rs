//! Connections that were made a short while ago and have not answered yet, to tell whose an early
//! death was.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::Id;

use crate::cache::Generation;
use crate::host::Host;

/// Connections that a connect layer has seen made. Bounded in number and age.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    made: Mutex<VecDeque<Made>>,
    /// How many there are: without any, an answer takes no lock.
    held: AtomicUsize,
    /// When the addresses of the last connections were dealt, also of those that were told about,
    /// have answered, or are old.
    dealt: Mutex<VecDeque<(SocketAddr, Instant)>>,
}

/// A connection that was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) host: Host,
    pub(crate) generation: Generation,
    pub(crate) peer: IpAddr,
    /// The socket's own address, if it has told: no two open connections to one peer share it.
    pub(crate) local: Option<SocketAddr>,
    /// The task that made it, and mostly the one that uses it first.
    pub(crate) task: Option<Id>,
    /// When its address was dealt.
    pub(crate) dealt: Instant,
    pub(crate) at: Instant,
}

impl Made {
    /// Whether this task made it to this host.
    fn is_by(&self, task: Option<Id>, host: &str) -> bool {
        self.task == task && self.host.as_str() == host
    }
}

/// An older connection has most likely answered before and been kept: the shortest keep-alive
/// time that servers commonly have is 5 s (Node.js, Apache httpd), and its end is no fault.
const YOUNG: Duration = Duration::from_secs(5);
/// Connections remembered; those over that are told nothing about.
const REMEMBERED: usize = 1024;

impl Recent {
    pub(crate) fn note(&self, made: Made) {
        let now = made.at;
        if let Some(local) = made.local {
            self.note_dealt(local, made.dealt);
        }
        self.edit(now, |all| {
            if all.len() >= REMEMBERED {
                all.pop_front();
            }
            all.push_back(made);
        });
    }

    /// Notes when the address of a connection was dealt, or the connection made where nobody was asked
    /// for its address.
    pub(crate) fn note_dealt(&self, local: SocketAddr, at: Instant) {
        let mut dealt = self.dealt.lock().unwrap_or_else(PoisonError::into_inner);
        if dealt.len() >= REMEMBERED {
            dealt.pop_front();
        }
        dealt.push_back((local, at));
    }

    /// Forgets what a task has made to a host: it got an answer. Of several connections nobody
    /// tells which one answered, so then all stay. `None`: to any host, as to a proxy.
    pub(crate) fn answered(&self, host: Option<&str>, task: Option<Id>, now: Instant) {
        self.edit(now, |all| {
            let is_it = |made: &Made| match host {
                Some(host) => made.is_by(task, host),
                None => made.task == task,
            };
            let mut places = (0..all.len()).filter(|&place| is_it(&all[place]));
            if let (Some(only), None) = (places.next(), places.next()) {
                all.remove(only);
            }
        });
    }

    /// Takes the connection with this local address out. Taken once: one that dies under many
    /// requests died once.
    pub(crate) fn take(&self, local: SocketAddr, now: Instant) -> Option<Made> {
        self.edit(now, |all| {
            let place = all.iter().rposition(|made| made.local == Some(local))?;
            all.remove(place)
        })
    }

    /// Takes the connection that a task has made to a host, if all that it made have one peer.
    pub(crate) fn take_of(&self, host: &str, task: Option<Id>, now: Instant) -> Option<Made> {
        self.edit(now, |all| {
            let place = all.iter().rposition(|made| made.is_by(task, host))?;
            let peer = all[place].peer;
            let one_peer = all
                .iter()
                .filter(|made| made.is_by(task, host))
                .all(|made| made.peer == peer);
            one_peer.then(|| all.remove(place)).flatten()
        })
    }

    /// Returns when the address of the connection with this local address was dealt, if that is not
    /// too many connections ago.
    pub(crate) fn dealt(&self, local: SocketAddr) -> Option<Instant> {
        let dealt = self.dealt.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = dealt.iter().rev();
        latest.find(|(of, _)| *of == local).map(|(_, at)| *at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    fn edit<T>(&self, now: Instant, change: impl FnOnce(&mut VecDeque<Made>) -> T) -> T {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        while all.front().is_some_and(|old| now > old.at + YOUNG) {
            all.pop_front();
        }
        let told = change(&mut all);
        self.held.store(all.len(), Ordering::Relaxed);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Parsed};
    use crate::time;

    fn made(peer: u8, port: u16, at: Instant) -> Made {
        let Ok(Parsed::Name(host)) = host::parse("edge.test") else {
            panic!("it is a name");
        };
        let local = Some(([127, 0, 0, 1], port).into());
        let (generation, peer) = (Generation::default(), [192, 0, 2, peer].into());
        Made {
            host,
            generation,
            peer,
            local,
            task: None,
            dealt: at,
            at,
        }
    }

    #[test]
    fn a_connection_that_dies_under_many_requests_is_told_once() {
        let (recent, now) = (Recent::default(), time::now());
        recent.note(made(1, 1000, now));
        assert!(recent.take(([127, 0, 0, 1], 1000).into(), now).is_some());
        assert!(recent.take(([127, 0, 0, 1], 1000).into(), now).is_none());
    }

    #[test]
    fn an_old_connection_has_answered_before() {
        let (recent, now) = (Recent::default(), time::now());
        recent.note(made(1, 1000, now));
        let later = now + Duration::from_secs(6);
        let local = ([127, 0, 0, 1], 1000).into();
        assert!(recent.take(local, later).is_none());
        assert_eq!(recent.dealt(local), Some(now), "but is no unknown one");
    }

    #[test]
    fn of_several_peers_none_is_blamed() {
        let (recent, now) = (Recent::default(), time::now());
        let first = made(1, 1000, now);
        recent.note(first.clone());
        assert_eq!(recent.take_of("edge.test", None, now), Some(first));
        recent.note(made(1, 1001, now));
        recent.note(made(2, 1002, now));
        assert_eq!(recent.take_of("edge.test", None, now), None);
    }

    #[test]
    fn one_that_has_answered_is_not_blamed() {
        let (recent, now) = (Recent::default(), time::now());
        recent.note(made(1, 1000, now));
        recent.answered(Some("edge.test"), None, now);
        assert_eq!(recent.take(([127, 0, 0, 1], 1000).into(), now), None);
    }

    #[test]
    fn an_answer_of_an_unknown_host_is_the_proxys() {
        let (recent, now) = (Recent::default(), time::now());
        recent.note(made(1, 1000, now));
        recent.answered(Some("origin.test"), None, now);
        assert!(!recent.is_empty());
        recent.answered(None, None, now);
        assert!(recent.is_empty());
    }

    #[test]
    fn an_answer_to_one_of_several_excuses_none() {
        let (recent, now) = (Recent::default(), time::now());
        recent.note(made(1, 1000, now));
        recent.note(made(2, 1001, now));
        recent.answered(Some("edge.test"), None, now);
        assert!(recent.take(([127, 0, 0, 1], 1000).into(), now).is_some());
    }

    #[test]
    fn memory_stays_bounded() {
        let (recent, now) = (Recent::default(), time::now());
        for port in 0..5_000 {
            recent.note(made(1, port, now));
        }
        assert_eq!(recent.held.load(Ordering::Relaxed), REMEMBERED);
        assert_eq!(recent.dealt.lock().unwrap().len(), REMEMBERED);
        recent.note(made(1, 1, now + Duration::from_secs(6)));
        assert_eq!(recent.held.load(Ordering::Relaxed), 1);
    }
}
