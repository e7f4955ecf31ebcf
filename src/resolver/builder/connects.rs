//! Settings of connects: when one is slow, and when it is over.

use std::time::Duration;

use super::Builder;

impl Builder {
    /// Sets how long a connect may be pending before it is slow. `None`: by the recent connects to its host.
    ///
    /// Defaults to `None`: four times what the recent connects to the host took (their median), at least 300 ms
    /// and at most 10 s. Without recent connects a connect is slow after 350 ms, and the attempt of a
    /// [race](crate::RaceLayer) after 300 ms.
    ///
    /// The address of a slow connect goes behind the healthy ones, and the host is looked up again at once. If
    /// requests are sent again, as by `.sidestep()`, the connect is given up as soon as there is something better:
    /// another healthy address, or an answer without the addresses that the connect is pending at. If a later
    /// connect to the same address succeeds meanwhile, the address keeps its place, and the connect is not given up
    /// for another address. If all addresses of a host are slow together, no connect is given up before
    /// [`attempt_timeout`](Self::attempt_timeout).
    ///
    /// While nothing connects to the host, give-ups are limited. Give-ups for another address take from a budget (20
    /// at once, then one a second and one for every ten connects to the host) and end 2.8 s after the first one. A
    /// changed answer is followed by two give-ups at most. Both limits begin anew 10 s after the first give-up.
    ///
    /// A set time replaces the computed ones, also for an attempt that loses a race. Keep a set time below the
    /// timeouts of your client: a connect that is dropped sooner says nothing about its address, because the caller
    /// may just have gone away.
    pub fn stalled_after(mut self, pending: impl Into<Option<Duration>>) -> Self {
        self.stalled_after = pending.into();
        self
    }

    /// Sets how long a connect may take before [`ConnectLayer`](crate::ConnectLayer) gives it up with a timeout
    /// error, so that a retry connects to another address. `None`: it never does.
    ///
    /// Defaults to 10 s. It is a backstop for what the connector below does not end itself: the connector tries
    /// one address after the other, and an operating system takes minutes to give one up. The connect is given up
    /// only if there is another address to connect to, and never before it is slow. A shorter connect timeout of the
    /// client comes first. The time must not be under [`stalled_after`](Self::stalled_after), if that is set.
    ///
    /// In a [race](crate::RaceLayer) it is what each attempt may take, TLS included, while another attempt can
    /// be made.
    pub fn attempt_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.attempt_timeout = timeout.into();
        self
    }

    /// Sets how long a [race](crate::RaceLayer) waits for an attempt before it starts the next one beside it.
    /// `None`: by the recent connects to the host.
    ///
    /// Defaults to `None`: twice what the recent connects to the host took (their median), at least 250 ms, the
    /// Connection Attempt Delay of RFC 8305, section 8, and at most 2 s. A set delay must lie in 100 ms to 2 s as
    /// it says there.
    ///
    /// Attempts that start because of time have a budget per host: 20 at once, then one a second and one for
    /// every ten connects to the host. After a failure the next attempt starts at once, and without the budget.
    pub fn attempt_delay(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.attempt_delay = delay.into();
        self
    }

    /// Sets how long a [race](crate::RaceLayer) may take in all, with the lookup, every attempt and
    /// the fresh answer. `None`: as long as its attempts.
    ///
    /// Defaults to 30 s. A connect timeout of the client, around the race, drops it without an account
    /// of the addresses; this one gives it.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// Sets whether a connect may use an address that has left, as its last resort.
    ///
    /// Defaults to `true`. Some name servers check the health of a service and name one address at a time, with a
    /// TTL of a few seconds (GSLB). If that address is dead, the answer has no other one, and the requests fail
    /// until the name server has noticed. So a connect then goes to an address that an answer of the host has named,
    /// that connected within the last 60 s, and that a newer answer no longer names.
    ///
    /// - Such an address is tried after all addresses of the current answer, in the same connect or in its retry.
    ///   If every current address hung and no probe has connected to one since, one address that left goes before them,
    ///   or each request would wait for a current one first.
    /// - Except in a race, a connect is given four addresses of a family. So an answer with more of them has no last
    ///   resort.
    /// - The last eight addresses of a host that connected are remembered. Those of them that left are tried in random
    ///   order. One that has a penalty is not tried, nor is one that the [`filter`](Self::filter) refuses.
    /// - A connect to such an address does not prolong the 60 s. Its failures count against that address alone.
    /// - [`Resolver::invalidate`](crate::Resolver::invalidate), a change of the network and an answer without addresses
    ///   end the last resort of a host. [`pins`](Self::pins) and [`fallbacks`](Self::fallbacks) have none and are none.
    /// - [`Resolver::resolve`](crate::Resolver::resolve) returns what DNS says, without a last resort. [`ConnectError`](crate::ConnectError)
    ///   lists it as any other address.
    ///
    /// If all current addresses fail, a request may reach an address that has left DNS, up to 60 s after the last
    /// connect to it. Turn the last resort off if your connections must not use such an address, for instance because
    /// another customer may have the address by then and your requests are not protected by TLS.
    pub fn last_resort(mut self, on: bool) -> Self {
        self.last_resort = on;
        self
    }
}
