//! All connections of one client, by origin.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::handle::Handle;
use super::origin_connections::{DrainedConnection, Origin, OriginConnections};
use crate::attempt::ConnectionId;
use crate::drain::policy::Limits;
use crate::events::Event;
use crate::resolver::Inner;
use crate::{Resolver, time};

/// Maps `scheme://authority` to connections. All clones of a service share one registry.
pub(crate) struct Registry {
    resolver: Resolver,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    origins: HashMap<Box<str>, OriginConnections>,
    /// When the connections of all origins are checked next, so that those of unused origins are removed.
    clean_at: Option<Instant>,
}

impl Registry {
    pub(super) fn new(resolver: Resolver, limits: Limits) -> Self {
        Self {
            resolver,
            limits,
            state: Mutex::default(),
        }
    }

    /// Records that a request to `origin` that began at `began` went out on a connection.
    pub(crate) fn note(
        &self,
        origin: &str,
        host: &str,
        ends: ConnectionId,
        handle: Handle,
        began: Instant,
    ) {
        let now = time::now();
        let new = Origin::of(host, self.resolver.inner().host(host));
        let (is_new, idle) = self.edit(|state| {
            let idle = state.clean(&self.limits, now);
            let kept = match state.origins.get_mut(origin) {
                Some(kept) => kept,
                None => {
                    let kept = OriginConnections::of(new);
                    state.origins.entry(origin.into()).or_insert(kept)
                }
            };
            let is_new = kept.note(ends, handle, began, &self.limits, now);
            (is_new, idle)
        });
        drain_all(self.resolver.inner(), "", &idle);
        if is_new {
            // The sweep compares the address with the current answer. At the next request, DNS may have another answer.
            self.sweep(origin);
        }
    }

    /// Drains the connections to `origin` that are due.
    ///
    /// The lock is not held during calls of the resolver, because the resolver may call code of the user.
    pub(crate) fn sweep(&self, origin: &str) {
        let find = |state: &mut State| {
            let kept = state.origins.get(origin)?;
            Some((Arc::clone(kept.origin()), kept.is_of_dns()))
        };
        let Some((found, is_of_dns)) = self.edit(find) else {
            return;
        };
        let (shared, now) = (self.resolver.inner(), time::now());
        let outlook = found.host.as_ref().map(|host| {
            let outlook = shared.host_status(host, now);
            // Behind a proxy, this resolver does not look up the host.
            if is_of_dns || !outlook.is_blank() {
                shared.keep_refreshed(host, now);
            }
            outlook
        });
        let drained = self.edit(|state| {
            let kept = state.origins.get_mut(origin);
            kept.map(|kept| kept.sweep(shared, outlook, &self.limits, now))
        });
        drain_all(shared, &found.name, &drained.unwrap_or_default());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.edit(|state| state.origins.values().map(OriginConnections::len).sum())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }
}

impl State {
    /// Removes and returns the connections of all origins that the pool has closed for lack of requests.
    ///
    /// The check runs once per idle timeout.
    fn clean(&mut self, limits: &Limits, now: Instant) -> Vec<DrainedConnection> {
        if self.clean_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.clean_at = Some(now + limits.idle);
        let mut idle = Vec::new();
        self.origins.retain(|_, kept| {
            idle.append(&mut kept.take_idle(limits, now));
            kept.len() > 0
        });
        idle
    }
}

fn drain_all(shared: &Inner, host: &str, all: &[DrainedConnection]) {
    for DrainedConnection { ends, handle, why } in all {
        let Some(why) = *why else {
            handle.release(*ends);
            continue;
        };
        handle.drain(*ends);
        let addr = ends.addr();
        shared.emit(&Event::ConnectionDrained { host, addr, why });
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
