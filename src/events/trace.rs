//! Logs events. Only this module decides the log levels.

use super::Event;

/// Warns that the program's observer has panicked.
pub(super) fn observer_panicked() {
    tracing::warn!(target: "sidestep",
        "the observer set by ResolverBuilder::observe panicked; the panic was caught, and the observer may miss events"
    );
}

/// Logs an event under the target `sidestep`.
///
/// | level | event |
/// |---|---|
/// | warn | the program must be changed |
/// | info | an address, a family, an answer, a connection or the network changed its state |
/// | debug | a lookup, a probe, a trial or a refused address |
pub(super) fn observe(event: &Event<'_>) {
    match event {
        Event::LookupStarted { host, cause } => {
            tracing::debug!(target: "sidestep", host, ?cause, "looking up")
        }
        Event::LookupSucceeded { host, addrs, life } => {
            tracing::debug!(target: "sidestep", host, ?addrs, ?life, "lookup succeeded")
        }
        Event::LookupFailed { host, error } => {
            let source = std::error::Error::source(error);
            tracing::debug!(target: "sidestep", host, %error, source, "lookup failed");
        }
        Event::FallbackServed { host, addrs } => {
            tracing::info!(target: "sidestep", host, ?addrs, "served fallback addresses")
        }
        // The log has one line for each answer, because each request would repeat the line while DNS is down.
        Event::ServedStale {
            host,
            age,
            is_first,
        } => {
            if *is_first {
                tracing::info!(target: "sidestep", host, ?age, "served a stale answer");
            }
        }
        Event::Invalidated { host, cause } => {
            tracing::info!(target: "sidestep", host, ?cause, "answer invalidated")
        }
        Event::AddressFailed {
            host,
            addr,
            outcome,
            error,
            penalty,
            hard,
        } => {
            tracing::info!(target: "sidestep", host, %addr, %outcome, error, ?penalty, hard, "address failed and is ordered last");
        }
        Event::AddressRefused { host, addr } => {
            tracing::debug!(target: "sidestep", host, %addr, "the filter refused an address");
        }
        Event::AddressRecovered { host, addr } => {
            tracing::info!(target: "sidestep", host, %addr, "address recovered");
        }
        Event::TrialStarted { host, addr } => {
            tracing::debug!(target: "sidestep", host, %addr, "a request tries an address")
        }
        Event::Probe { host, addr, port } => {
            tracing::debug!(target: "sidestep", host, %addr, port, "probing an address")
        }
        Event::NetworkDown => tracing::info!(target: "sidestep",
            "unrelated hosts fail together: the local network is down, and failures count against no address"
        ),
        Event::NetworkUp => tracing::info!(target: "sidestep", "the local network is up again"),
        Event::NetworkChanged => {
            tracing::info!(target: "sidestep", "the network changed: answers and failures are discarded")
        }
        Event::NoRoute { family, penalty } => {
            tracing::info!(target: "sidestep", ?family, ?penalty, "address family has no route");
        }
        Event::FamilyDark {
            host,
            family,
            penalty,
        } => {
            tracing::info!(target: "sidestep", host, ?family, ?penalty, "address family is slow while the other one connects");
        }
        Event::ConnectionDrained { host, addr, why } => {
            tracing::info!(target: "sidestep", host, %addr, %why, "connection drained");
        }
        Event::NeverAsked { addr, connects } => tracing::warn!(target: "sidestep", %addr, connects,
            "connects do not use sidestep's resolver, so that failing addresses cannot be detected; call .sidestep() or \
             .dns_resolver() after any other .dns_resolver(), and use Resolver::overrides instead of resolve_to_addrs \
             (URLs that name addresses are fine)"
        ),
        // The level is warn, because only a change of the program can fix the cause.
        Event::ContextLost { addr } => tracing::warn!(target: "sidestep", %addr,
            "a connect used sidestep's resolver from another task, so that failing addresses cannot \
             be detected; move the layer that spawns (such as a buffer) outside of ConnectLayer or HappyEyeballsLayer"
        ),
    }
}
