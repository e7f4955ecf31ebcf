//! The settings that say when a connect is slow and when a connect ends.

use std::time::Duration;

use super::ResolverBuilder;

impl ResolverBuilder {
    /// Sets how long a connect may be pending before it is slow.
    ///
    /// Defaults to `None`: a connect is slow after four times the median of the recent connects to its host, at least
    /// 300 ms and at most 10 s. Without recent connects, a connect is slow after 350 ms, and the attempt of a
    /// [race](crate::HappyEyeballsLayer) after 300 ms.
    ///
    /// The address of a slow connect is ordered behind the healthy ones, and the host is looked up again at once. If
    /// the client retries requests, for example after `.sidestep()`, the connect is given up as soon as there is
    /// something better to connect to. That is another healthy address, an answer without the addresses that the
    /// connect is pending at, or another address that a probe has reached. A slow connect starts these probes, also of
    /// penalized addresses. If a later connect to the same address succeeds meanwhile, the address keeps its place,
    /// and the connect is not given up for another address. If all addresses of a host are slow together, no connect
    /// is given up before the [timeout](crate::ConnectLayer::timeout) of the layer.
    ///
    /// While no connect to the host succeeds, give-ups are limited. Give-ups for another address take from a budget
    /// (20 at once, then one a second and one for every ten connects to the host) and end 2.8 s after the first
    /// give-up. After a changed answer, there are at most two give-ups. Both limits begin anew 10 s after the first
    /// give-up.
    ///
    /// A set time replaces the computed ones, also for an attempt that loses a race. Keep a set time below the
    /// timeouts of your client. A connect that the client drops sooner says nothing about its address, because the
    /// caller may just have canceled the request.
    pub fn slow_connect_after(mut self, pending: impl Into<Option<Duration>>) -> Self {
        self.slow_connect_after = pending.into();
        self
    }

    /// Sets whether a connect may use an address that has left, as its last resort.
    ///
    /// Defaults to `true`. Some name servers check the health of a service and return one address at a time, with a
    /// TTL of a few seconds (GSLB). If connects to that address fail, the answer has no other one, and requests fail
    /// until the name server has noticed. A connect then goes to an address that an earlier answer of the host has
    /// named, that connected within the last 60 s, and that a newer answer no longer names.
    ///
    /// - Such an address is attempted after all addresses of the current answer, in the same connect or in its retry.
    ///   If connects to every current address were slow, and no probe has connected to one since, one address that
    ///   left goes before them. Otherwise each request would wait for a current address first.
    /// - Except in a race, a connect is given four addresses of a family. An answer with more addresses has no last
    ///   resort.
    /// - The resolver remembers the last eight addresses of a host that connected. Those that left are attempted in
    ///   random order. An address that has a penalty, or that the [`filter`](Self::filter) refuses, is not attempted.
    /// - A connect to such an address does not prolong the 60 s. Its failures count against that address alone.
    /// - [`Resolver::invalidate`](crate::Resolver::invalidate), a change of the network and an answer without
    ///   addresses end the last resort of a host.
    /// - [`overrides`](Self::overrides) and [`fallbacks`](Self::fallbacks) have no last resort, and never become one.
    /// - [`Resolver::resolve`](crate::Resolver::resolve) returns the addresses of the answer, without a last resort.
    ///   [`ConnectError`](crate::ConnectError) lists a last resort like any other address.
    ///
    /// If all current addresses fail, a request may reach an address that has left DNS, up to 60 s after the last
    /// connect to it. Turn the last resort off if your connections must not use such an address, for instance because
    /// another customer may have the address by then and TLS does not protect your requests.
    pub fn last_resort(mut self, on: bool) -> Self {
        self.last_resort = on;
        self
    }
}
