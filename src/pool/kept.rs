//! The connections to one origin.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::ends::Ends;
use crate::host::{self, Host};
use crate::observe::Retirement;
use crate::resolver::{Outlook, Shared};
use crate::retire::{Limits, Stand, Tenure};

/// Whom the requests are for.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: String,
    /// `None`: an address, which no resolver is asked for.
    pub(super) host: Option<Host>,
}

impl Site {
    /// `host`: what the resolver reads in the name.
    pub(super) fn of(name: &str, host: Option<Host>) -> Self {
        Self {
            name: host::spelling(name),
            host,
        }
    }
}

/// The connections to one origin that may take requests, as far as they are known.
///
/// Nothing tells when a pool closes one. One is taken for closed that has had no request for longer
/// than the pool keeps idle ones, and see [`Kept::thin_out`].
#[derive(Debug)]
pub(super) struct Kept {
    site: Arc<Site>,
    connections: HashMap<Ends, Connection>,
    /// From so many on they are thinned out.
    crowded: usize,
    /// Whether DNS has ever named one of their addresses.
    of_dns: bool,
    /// What the last sweep saw, and when time alone brings the next.
    swept: Option<(Option<Outlook>, Instant)>,
}

#[derive(Debug)]
struct Connection {
    handle: Handle,
    tenure: Tenure,
}

/// A connection that is to take no new requests; told of where there is a reason to tell.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) ends: Ends,
    pub(super) handle: Handle,
    pub(super) why: Option<Retirement>,
}

/// So many are kept without a question.
const FEW: usize = 256;
/// A connection that is free is back in its pool within this.
const REST: Duration = Duration::from_secs(1);

impl Kept {
    pub(super) fn of(site: Site) -> Self {
        Self {
            site: Arc::new(site),
            connections: HashMap::new(),
            crowded: FEW,
            of_dns: false,
            swept: None,
        }
    }

    /// Takes note that a request which began then has gone out on this connection, and returns
    /// whether it is a new one. A later one with the ends of an earlier takes its place.
    pub(super) fn note(
        &mut self,
        ends: Ends,
        handle: Handle,
        began: Instant,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        match self.connections.get_mut(&ends) {
            Some(connection) => {
                connection.handle = handle;
                connection.tenure.used(now);
                false
            }
            None => {
                self.thin_out(began);
                let mut tenure = Tenure::new(limits, began, &mut fastrand::Rng::new());
                tenure.used(now);
                let connection = Connection { handle, tenure };
                self.connections.insert(ends, connection);
                self.swept = None;
                true
            }
        }
    }

    /// A request that began then has met a connection that was not known: it was dialled, for none in
    /// the pool was free. So those that took no request for a while before are closed, or still busy
    /// with a long response; by their next response those are known again.
    fn thin_out(&mut self, began: Instant) {
        if self.connections.len() < self.crowded {
            return;
        }
        if let Some(then) = began.checked_sub(REST) {
            self.connections
                .retain(|_, connection| !connection.tenure.rests_since(then));
        }
        self.crowded = FEW.max(2 * self.connections.len());
    }

    /// Takes out what is to be retired by how the host stands. Costs next to nothing while nothing
    /// has changed.
    pub(super) fn sweep(
        &mut self,
        shared: &Shared,
        outlook: Option<Outlook>,
        limits: &Limits,
        now: Instant,
    ) -> Vec<Retired> {
        if let Some((last, due)) = &self.swept
            && *last == outlook
            && now < *due
        {
            return Vec::new();
        }
        let connections = &mut self.connections;
        let retired = match (&self.site.host, &outlook) {
            (Some(host), Some(outlook)) => shared.judged(host, outlook, now, |stand| {
                take_out(connections, stand, limits, now)
            }),
            (None, _) | (_, None) => take_out(connections, &|_| Stand::UNKNOWN, limits, now),
        };
        self.of_dns |= self.connections.values().any(|it| it.tenure.is_of_dns());
        let due = self.connections.values().map(|it| it.tenure.due(limits));
        self.swept = due.min().map(|due| (outlook, due));
        retired
    }

    /// Takes out what has had no request for longer than a pool keeps it.
    pub(super) fn take_idle(&mut self, limits: &Limits, now: Instant) -> Vec<Retired> {
        let mut taken = Vec::new();
        self.connections.retain(|&ends, connection| {
            let leaves = connection.has_ended(limits, now);
            if leaves {
                taken.push(connection.retired(ends, None));
            }
            !leaves
        });
        taken
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        &self.site
    }

    pub(super) fn is_of_dns(&self) -> bool {
        self.of_dns
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }
}

impl Connection {
    /// Whether it takes no requests any more for reasons of its pool.
    fn has_ended(&self, limits: &Limits, now: Instant) -> bool {
        self.handle.is_spent() || self.tenure.is_idle(limits, now)
    }

    fn retired(&self, ends: Ends, why: Option<Retirement>) -> Retired {
        Retired {
            ends,
            handle: self.handle.clone(),
            why,
        }
    }
}

fn take_out(
    connections: &mut HashMap<Ends, Connection>,
    stand: &dyn Fn(IpAddr) -> Stand,
    limits: &Limits,
    now: Instant,
) -> Vec<Retired> {
    let mut taken = Vec::new();
    connections.retain(|&ends, connection| {
        let why = connection
            .tenure
            .judge(stand(ends.addr()), limits, now)
            .filter(|_| !connection.handle.is_spent());
        let leaves = why.is_some() || connection.has_ended(limits, now);
        if leaves {
            taken.push(connection.retired(ends, why));
        }
        !leaves
    });
    taken
}
