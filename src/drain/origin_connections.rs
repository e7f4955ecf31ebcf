//! The connections to one origin.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::attempt::ConnectionId;
use crate::drain::policy::{AddressStatus, ConnectionAge, Limits};
use crate::events::DrainReason;
use crate::host::{self, Host};
use crate::resolver::{HostStatus, Inner};

/// The name of an origin's host, and the host that the resolver reads from that name.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) name: String,
    /// The host, or `None` if the name is an IP address, for which there is no lookup.
    pub(super) host: Option<Host>,
}

impl Origin {
    /// `host` is the host that the resolver reads from the name.
    pub(super) fn of(name: &str, host: Option<Host>) -> Self {
        Self {
            name: host::normalized(name),
            host,
        }
    }
}

/// The known connections to one origin that take new requests.
///
/// A pool does not report that it closes a connection. A connection counts as closed if it had no request for longer
/// than the pool keeps idle connections. [`evict_idle`](Self::evict_idle) removes further connections.
#[derive(Debug)]
pub(super) struct OriginConnections {
    origin: Arc<Origin>,
    connections: HashMap<ConnectionId, Connection>,
    /// Number of connections from which on [`evict_idle`](Self::evict_idle) removes some.
    crowded: usize,
    /// Whether DNS has ever named the address of one of the connections.
    of_dns: bool,
    /// The status of the host at the last sweep, and when time alone makes the next sweep necessary.
    swept: Option<(Option<HostStatus>, Instant)>,
}

#[derive(Debug)]
struct Connection {
    handle: Handle,
    age: ConnectionAge,
}

/// A connection that takes no new requests, and the reason if there is one to report.
#[derive(Debug)]
pub(super) struct DrainedConnection {
    pub(super) ends: ConnectionId,
    pub(super) handle: Handle,
    pub(super) why: Option<DrainReason>,
}

/// Number of connections that are kept without a check.
const FEW: usize = 256;
/// Time within which a free connection is back in its pool.
const REST: Duration = Duration::from_secs(1);

impl OriginConnections {
    pub(super) fn of(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            connections: HashMap::new(),
            crowded: FEW,
            of_dns: false,
            swept: None,
        }
    }

    /// Records that a request that began at `began` went out on a connection, and returns whether the connection is
    /// new. A connection with the ID of an earlier one replaces the earlier one.
    pub(super) fn note(
        &mut self,
        ends: ConnectionId,
        handle: Handle,
        began: Instant,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        match self.connections.get_mut(&ends) {
            Some(connection) => {
                connection.handle = handle;
                connection.age.used(now);
                false
            }
            None => {
                self.evict_idle(began);
                let mut age = ConnectionAge::new(limits, began, &mut fastrand::Rng::new());
                age.used(now);
                let connection = Connection { handle, age };
                self.connections.insert(ends, connection);
                self.swept = None;
                true
            }
        }
    }

    /// Removes connections that are probably closed, if there are many.
    ///
    /// A request that began at `began` went out on an unknown connection. The client made that connection because no
    /// connection in the pool was free. So a connection that had no request for a second before `began` is closed, or
    /// still busy with a long response. A busy one is known again by its next response.
    fn evict_idle(&mut self, began: Instant) {
        if self.connections.len() < self.crowded {
            return;
        }
        if let Some(then) = began.checked_sub(REST) {
            self.connections
                .retain(|_, connection| !connection.age.rests_since(then));
        }
        self.crowded = FEW.max(2 * self.connections.len());
    }

    /// Removes and returns the connections to be drained, given the status of the host. The sweep costs next to nothing
    /// while nothing has changed.
    pub(super) fn sweep(
        &mut self,
        shared: &Inner,
        outlook: Option<HostStatus>,
        limits: &Limits,
        now: Instant,
    ) -> Vec<DrainedConnection> {
        if let Some((last, due)) = &self.swept
            && *last == outlook
            && now < *due
        {
            return Vec::new();
        }
        let connections = &mut self.connections;
        let drained = match (&self.origin.host, &outlook) {
            (Some(host), Some(outlook)) => shared.with_status(host, outlook, now, |stand| {
                take_out(connections, stand, limits, now)
            }),
            (None, _) | (_, None) => {
                take_out(connections, &|_| AddressStatus::UNKNOWN, limits, now)
            }
        };
        self.of_dns |= self.connections.values().any(|it| it.age.is_of_dns());
        let due = self.connections.values().map(|it| it.age.due(limits));
        self.swept = due.min().map(|due| (outlook, due));
        drained
    }

    /// Removes and returns the connections that had no request for longer than a pool keeps idle ones.
    pub(super) fn take_idle(&mut self, limits: &Limits, now: Instant) -> Vec<DrainedConnection> {
        let mut taken = Vec::new();
        self.connections.retain(|&ends, connection| {
            let leaves = connection.has_ended(limits, now);
            if leaves {
                taken.push(connection.drained(ends, None));
            }
            !leaves
        });
        taken
    }

    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub(super) fn is_of_dns(&self) -> bool {
        self.of_dns
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }
}

impl Connection {
    /// Returns whether the connection takes no requests any more because of its pool.
    fn has_ended(&self, limits: &Limits, now: Instant) -> bool {
        self.handle.is_drained() || self.age.is_idle(limits, now)
    }

    fn drained(&self, ends: ConnectionId, why: Option<DrainReason>) -> DrainedConnection {
        DrainedConnection {
            ends,
            handle: self.handle.clone(),
            why,
        }
    }
}

fn take_out(
    connections: &mut HashMap<ConnectionId, Connection>,
    stand: &dyn Fn(IpAddr) -> AddressStatus,
    limits: &Limits,
    now: Instant,
) -> Vec<DrainedConnection> {
    let mut taken = Vec::new();
    connections.retain(|&ends, connection| {
        let why = connection
            .age
            .drain_reason(stand(ends.addr()), limits, now)
            .filter(|_| !connection.handle.is_drained());
        let leaves = why.is_some() || connection.has_ended(limits, now);
        if leaves {
            taken.push(connection.drained(ends, why));
        }
        !leaves
    });
    taken
}
