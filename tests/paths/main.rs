//! Every path on which a client dials, end to end through stock clients: what was learned on it,
//! of whom, and that nobody else was blamed. A path whose wiring is cut goes red here.
//!
//! | path | test |
//! |---|---|
//! | single-address host, dead and back | `families::a_single_address_is_dialled_dead_or_back` |
//! | many addresses | `families::of_many_addresses_those_before_the_winner_have_failed`, `when_all_refuse_all_are_blamed` |
//! | IPv4 only | all of `dead` |
//! | IPv6 only | `families::an_ipv6_only_host_is_no_different` |
//! | dual stack | `families::of_two_families_the_preferred_one_is_dialled` and what follows it; the order that the routes give: `a_black_holed_family_is_learned` in `retries.rs` |
//! | HTTP/1.1 and HTTP/2, plain and rustls, reqwest and hyper | all of `dead`: a table over `stock::Stock` |
//! | HTTP/2 as a connection that is kept | `pooled::when_a_kept_connection_dies_the_next_request_goes_elsewhere` |
//! | HTTP/2 on a connection that goes silent | `pooled::a_get_on_a_kept_connection_that_goes_silent_is_answered_elsewhere_after_a_ping` |
//! | HTTP/2, and the server's limit of streams is reached | `pooled::when_a_kept_connection_dies_the_requests_that_wait_for_a_stream_are_answered_elsewhere` |
//! | native-tls | `tests/native_tls/tests.rs`, a package of its own |
//! | HTTP proxy and HTTPS proxy, forwarded and by CONNECT | all of `proxies` |
//! | SOCKS5, remote and local names | all of `socks` |
//! | IP literal | `bypass::an_address_in_the_url_blames_nobody_and_a_name_does` |
//! | `resolve_to_addrs` | `bypass::an_overridden_host_blames_nobody_and_another_does`; both without a live host beside: `failure_table.rs` |
//! | redirect to another host | `bypass::a_redirect_is_learned_about_at_both_ends` |
//! | a pooled connection wins while ours still connects | `pooled::a_connect_that_lost_to_a_kept_connection_is_learned_from`; one that stalls: `failover_hyper.rs` |
//! | `connect_timeout`, total `timeout` | `waiting::a_wait_that_ends_late_is_one_soft_strike`, `a_share_of_a_connect_timeout_is_an_address_that_failed`; as long as the watch: `failure_table.rs` |
//! | caller drop at 10 ms | `waiting::a_wait_that_ends_after_ten_milliseconds_says_nothing` |
//! | caller drop at 3 s | `waiting::a_caller_that_leaves_after_three_seconds_has_seen_a_stalled_edge` |
//! | blocking reqwest client | `runtimes::a_blocking_client_learns_the_same` |
//! | current-thread and multi-thread runtimes | `runtimes::every_runtime_learns_the_same` |
//! | several runtimes, one shut down in the middle of a lookup | `runtimes::a_runtime_that_ends_in_the_middle_of_a_lookup_takes_nobody_with_it`; without a client: `tests/runtimes.rs` |
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[path = "../common/mod.rs"]
mod common;

mod bypass;
mod dead;
mod families;
mod guests;
mod pooled;
mod proxies;
mod runtimes;
mod socks;
mod stock;
mod waiting;

use std::net::IpAddr;

use sidestep::{AddressOrder, AddressState, Outcome, ResolverBuilder};

use self::common::{Edges, HOST, RecordType, Seen, World};

/// A world whose addresses are always dealt in the same order, and whose clock is stopped.
async fn in_order(edges: Edges) -> World {
    in_order_with(edges, |builder| builder).await
}

/// The same, with a resolver that is set up further.
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

/// Each of these failed once and in this way, was penalized or not, and no other address was blamed; the
/// host was looked up again once for all of them.
async fn only_these_failed(world: &World, case: &str, expected: &[(IpAddr, Outcome)]) {
    assert_eq!(world.journal.failures(), expected, "{case}");
    asked_again(world).await;
    let snapshot = world.resolver.snapshot();
    let counted = (snapshot.failed_addresses, snapshot.invalidations);
    assert_eq!(counted, (expected.len() as u64, 1), "{case}");
    let asked = world.journal.count(|seen| *seen == Seen::Asked);
    assert_eq!(
        (snapshot.lookups, world.queries()),
        (asked as u64, 2),
        "{case}"
    );
    let host = snapshot.host(HOST).expect("it was asked for");
    for addr in &host.addrs {
        let why = expected.iter().find(|(ip, _)| *ip == addr.addr);
        let soft = why.is_some_and(|(_, why)| matches!(why, Outcome::Slow | Outcome::ClosedEarly));
        let stands = match addr.state {
            AddressState::Healthy => why.is_none(),
            AddressState::Probation => soft,
            AddressState::Penalized => why.is_some() && !soft,
            _ => false,
        };
        assert!(stands, "{case}: {addr:?}");
        assert_eq!(addr.why, why.map(|(_, why)| *why), "{case}");
        assert_eq!(addr.strikes, u32::from(why.is_some()), "{case}");
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 0);
}

/// The host was looked up a second time, or is just being so.
async fn asked_again(world: &World) {
    world.dns.asked(HOST, RecordType::A, 2).await;
}

/// Nothing was held against anyone, and nobody was asked again.
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
