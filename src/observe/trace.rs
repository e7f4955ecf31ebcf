//! Event → log. The one place that decides a level.

use super::Event;

/// Warns that an observer of the user has panicked.
pub(super) fn observer_panicked() {
    tracing::warn!(target: "sidestep",
        "the observer that Builder::observe set has panicked; its panics are caught, and it may miss events"
    );
}

/// All under the target `sidestep`. warn: something to change in the program; info: an address or an answer changed standing;
/// debug: each lookup.
pub(super) fn observe(event: &Event<'_>) {
    match event {
        Event::Asked { host, cause } => {
            tracing::debug!(target: "sidestep", host, ?cause, "looking up")
        }
        Event::Answered { host, addrs, life } => {
            tracing::debug!(target: "sidestep", host, ?addrs, ?life, "answered")
        }
        Event::LookupFailed { host, error } => {
            let source = std::error::Error::source(error);
            tracing::debug!(target: "sidestep", host, %error, source, "lookup failed");
        }
        Event::FellBack { host, addrs } => {
            tracing::info!(target: "sidestep", host, ?addrs, "fell back to the program's own addresses")
        }
        // Once for each answer: each request while DNS is down would say the same.
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
            tracing::info!(target: "sidestep", host, %addr, %outcome, error, ?penalty, hard, "address goes behind the others");
        }
        Event::AddressRefused { host, addr } => {
            tracing::debug!(target: "sidestep", host, %addr, "the filter refused an address");
        }
        Event::AddressRecovered { host, addr } => {
            tracing::info!(target: "sidestep", host, %addr, "address serves again");
        }
        Event::Trial { host, addr } => {
            tracing::debug!(target: "sidestep", host, %addr, "trying an address again")
        }
        Event::Probe { host, addr, port } => {
            tracing::debug!(target: "sidestep", host, %addr, port, "connecting to find out whether an address is back")
        }
        Event::NetworkDown => tracing::info!(target: "sidestep",
            "many hosts fail together: the network here is down, no address is to blame"
        ),
        Event::NetworkUp => tracing::info!(target: "sidestep", "the network here is up again"),
        Event::NetworkChanged => {
            tracing::info!(target: "sidestep", "another network: all is forgotten")
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
        Event::Retired { host, addr, why } => {
            tracing::info!(target: "sidestep", host, %addr, %why, "a connection takes no new requests");
        }
        Event::NeverAsked { addr, connects } => tracing::warn!(target: "sidestep", %addr, connects,
            "connects do not ask sidestep's resolver, so failing addresses can't be told; call .sidestep() or \
             .dns_resolver() after any other .dns_resolver(), and use Resolver::pins instead of resolve_to_addrs \
             (URLs that name addresses are fine)"
        ),
        // A warning, for it can only be mended in the program.
        Event::SlipLost { addr } => tracing::warn!(target: "sidestep", %addr,
            "a connect asked sidestep's resolver from another task, so failing addresses can't \
             be told; move the layer that spawns (such as a buffer) outside of ConnectLayer or RaceLayer"
        ),
    }
}
