//! Every path on which a client connects, end to end through stock clients. The tests check which failures are recorded,
//! for which addresses, and that no other address has failed. If the wiring of a path breaks, a test fails.
//!
//! | path | test |
//! |---|---|
//! | single-address host, dead and back | `families::a_single_address_is_attempted_whether_dead_or_back` |
//! | many addresses | `families::of_many_addresses_only_those_before_the_winner_have_failed`, `if_all_addresses_refuse_all_are_penalized` |
//! | IPv4 only | all of `dead` |
//! | IPv6 only | `families::a_single_ipv6_address_is_attempted_whether_dead_or_back` |
//! | dual stack | `families::of_two_families_only_the_preferred_one_is_attempted` and the tests after it; the order that the routes give: `a_black_holed_family_is_attempted_once` in `clients/retries.rs` |
//! | HTTP/1.1 and HTTP/2, plain and rustls, reqwest and hyper | all of `dead`: a table over `stock::Stock` |
//! | HTTP/2 on a pooled connection | `pooled::after_a_pooled_connection_dies_the_next_request_uses_another_edge` |
//! | HTTP/2 on a pooled connection that goes silent | `pooled::a_get_on_a_silent_pooled_connection_is_sent_again_after_a_ping` |
//! | HTTP/2 with the limit of streams of the server reached | `pooled::requests_that_wait_for_a_stream_are_sent_again_if_the_connection_dies` |
//! | native-tls | `tests/native_tls/tests.rs`, a package of its own |
//! | HTTP proxy and HTTPS proxy, forwarded and by CONNECT | all of `proxies` |
//! | SOCKS5, with hosts looked up by the proxy and by the client | all of `socks` |
//! | IP literal | `bypass::a_failure_is_recorded_for_a_host_and_not_for_an_address_in_the_url` |
//! | `resolve_to_addrs` | `bypass::a_failure_is_recorded_for_a_resolved_host_and_not_for_an_overridden_one`; both without another host: `connect/failure_table.rs` |
//! | redirect to another host | `bypass::failures_of_both_hosts_of_a_redirect_are_recorded` |
//! | a pooled connection wins while a connect is pending | `pooled::a_connect_that_lost_to_a_pooled_connection_is_recorded`; a connect that is slow: `connect/failover_hyper.rs` |
//! | `connect_timeout`, total `timeout` | `waiting::a_connect_dropped_late_is_one_soft_strike`, `an_address_that_uses_up_its_share_of_a_connect_timeout_has_failed`; a timeout as long as the limit of slow connects: `connect/failure_table.rs` |
//! | caller that leaves after 10 ms | `waiting::a_connect_dropped_after_ten_milliseconds_records_nothing` |
//! | caller that leaves after 500 ms | `waiting::a_connect_dropped_after_half_a_second_is_slow_by_default` |
//! | blocking reqwest client | `runtimes::a_blocking_client_records_the_same_failures` |
//! | current-thread and multi-thread runtimes | `runtimes::every_runtime_records_the_same_failures` |
//! | several runtimes, one shut down during a lookup | `runtimes::a_runtime_shut_down_during_a_lookup_fails_no_request_of_another_runtime`; without a client: `dns/runtimes.rs` |

mod bypass;
mod dead;
mod families;
mod pooled;
mod proxies;
mod runtimes;
mod socks;
mod stock;
mod waiting;

use std::net::IpAddr;

use sidestep::{AddressOrder, AddressState, Outcome, ResolverBuilder};
use testkit::{Edges, HOST, RecordType, Seen, World};

/// A world whose addresses are always in the same order, and whose clock is stopped.
async fn in_order(edges: Edges) -> World {
    in_order_with(edges, |builder| builder).await
}

/// A world whose addresses are always in the same order, with further settings of the resolver.
async fn in_order_with(
    edges: Edges,
    set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
) -> World {
    let world = World::of(edges, |builder| {
        set(builder.address_order(AddressOrder::Preserve))
    })
    .await;
    world.dns.rotate(false);
    world
}

/// Checks that each of these addresses failed once and with this outcome, that no other address failed, and that the
/// host was looked up again once for all of them.
async fn only_these_failed(world: &World, case: &str, expected: &[(IpAddr, Outcome)]) {
    assert_eq!(world.journal.failures(), expected, "{case}");
    asked_again(world).await;
    let snapshot = world.resolver.snapshot();
    let counted = (snapshot.failed_addresses, snapshot.invalidations);
    assert_eq!(counted, (expected.len() as u64, 1), "{case}");
    let started = world.journal.count(|seen| *seen == Seen::Asked);
    assert_eq!(
        (snapshot.lookups, world.queries()),
        (started as u64, 2),
        "{case}"
    );
    let host = snapshot.host(HOST).expect("the host is in the cache");
    for addr in &host.addrs {
        let failure = expected.iter().find(|(ip, _)| *ip == addr.addr);
        let is_soft = failure
            .is_some_and(|(_, outcome)| matches!(outcome, Outcome::Slow | Outcome::ClosedEarly));
        let is_expected = match addr.state {
            AddressState::Healthy => failure.is_none(),
            AddressState::Probation => is_soft,
            AddressState::Penalized => failure.is_some() && !is_soft,
            _ => false,
        };
        assert!(is_expected, "{case}: {addr:?}");
        assert_eq!(addr.why, failure.map(|(_, outcome)| *outcome), "{case}");
        assert_eq!(addr.strikes, u32::from(failure.is_some()), "{case}");
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
}

/// Waits until the host is looked up a second time.
async fn asked_again(world: &World) {
    world.dns.asked(HOST, RecordType::A, 2).await;
}

/// Checks that no address has failed and that the answer is not suspect.
fn nobody_was_blamed(world: &World, case: &str) {
    assert_eq!(world.journal.failures(), [], "{case}");
    let snapshot = world.resolver.snapshot();
    assert_eq!(
        (snapshot.failed_addresses, snapshot.invalidations),
        (0, 0),
        "{case}"
    );
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
}
