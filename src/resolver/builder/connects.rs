//! Settings of connects: when one is slow, and when it is over.

use std::time::Duration;

use super::Builder;

impl Builder {
    /// Sets how long a connect may be pending before its address is held to be slow: it goes
    /// behind the healthy ones and the host is looked up again.
    ///
    /// Defaults to 1 s, the time of the first SYN retransmission. It is held to be slow from 300 ms
    /// on already when it was overtaken: a connect to another address of the host began later and was
    /// made in a quarter of the time. Raise it on links where a
    /// healthy connect takes longer. Lower it below the timeouts of your client: a connect that
    /// is dropped sooner says nothing about its address, because the caller may just have gone
    /// away.
    pub fn stalled_after(mut self, pending: Duration) -> Self {
        self.stalled_after = pending;
        self
    }

    /// Sets how long a connect that has more than one address may take before
    /// [`ConnectLayer`](crate::ConnectLayer) gives it up with a timeout error, which a retry
    /// dials elsewhere. `None`: it never does.
    ///
    /// Defaults to 10 s. It is a backstop for what the connector below does not end by itself: it
    /// dials one address after the other, and an operating system takes minutes to give one up.
    /// Where requests are sent again it comes sooner when it is clear that the address hangs: three
    /// connects to it were overtaken by others (see [`stalled_after`](Self::stalled_after)), none has
    /// been made since, and a healthy address is left.
    /// A shorter connect timeout of the client comes first. Not under
    /// [`stalled_after`](Self::stalled_after).
    ///
    /// In a [race](crate::RaceLayer) it is what each attempt may take, TLS included, and also the one
    /// to a single address: a fresh answer may bring another.
    pub fn attempt_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.attempt_timeout = timeout.into();
        self
    }

    /// Sets how long a [race](crate::RaceLayer) waits for an attempt before it dials the next
    /// address beside it.
    ///
    /// Defaults to 250 ms, the Connection Attempt Delay of RFC 8305, section 8, and must lie in
    /// 100 ms to 2 s as it says there. Raise it where a healthy connect with TLS takes longer, so that
    /// fewer connects are begun in vain; a slow link is no failure. Lower it where all edges are near.
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = delay;
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
}
