//! Behaviors F7, F8 and F9 of the race, with the tests of other clients that apply to it.
//!
//! Each row is a behavior that another client tests, and the tests here that cover it. `answers`, `dns`, … are other test
//! crates beside this one.
//!
//! | OkHttp `FastFallbackTest` | behavior | test |
//! |---|---|---|
//! | callIpv6FirstEvenWhenIpv4IpIsListedFirst, callIpv6WhenBothServersAreReachable | IPv6 leads and is the only family that is attempted | `families::if_both_families_serve_only_ipv6_is_attempted`, `order::ipv6_goes_first_although_ipv4_is_listed_first` |
//! | reachesIpv4WhenIpv6IsDown, reachesIpv6WhenIpv4IsDown, reachesIpv4AfterUnreachableIpv6Address | one family refuses or swallows packets, and the other serves | `families::if_one_family_is_dead_the_other_serves` |
//! | failsWhenBothServersAreDown | each address is attempted once, and the error lists each | `sockets::if_all_addresses_are_dead_the_error_lists_each`, `dead::if_all_addresses_are_dead_each_is_attempted_once_and_listed_in_the_error` |
//! | timesOutWithFastFallbackDisabled | a race cannot be turned off; a single black hole ends with the timeout of the connect | `dead::a_connect_that_times_out_lists_every_address_in_its_error`, `dead::the_last_attempt_may_connect_until_the_connect_times_out` |
//! | preferCallConnectionOverDeferredConnection | the connection of the winner is pooled, that of a loser is closed | `pools::the_connection_that_won_is_reused_without_a_new_connect` |
//!
//! | OkHttp `FastFallbackExchangeFinderTest` | behavior | test |
//! |---|---|---|
//! | takeConnectedConnection | a pooled connection serves without a connect | `pools::the_connection_that_won_is_reused_without_a_new_connect` |
//! | takeConnectingConnection | the first attempt connects after 240 ms: no second attempt | `starts::an_address_that_connects_within_the_delay_is_the_only_attempt` |
//! | firstPlanConnectedBeforeSecondPlan | 260 against 270 ms: the second attempt is canceled | `starts::a_late_first_attempt_that_connects_before_the_second_wins` |
//! | secondPlanConnectedBeforeFirstPlan | 260 against 270 ms: the first attempt is canceled | `starts::a_second_attempt_that_connects_before_the_first_wins` |
//! | secondPlanAlreadyConnected, thirdPlanAlreadyConnected | an attempt that connects at once ends the race; a pooled connection that becomes idle serves, too | `starts::a_third_attempt_that_connects_before_the_others_wins`, `pools::a_pooled_connection_that_becomes_idle_during_a_race_serves_the_request` |
//! | takeMultipleConnections | connects at once make a connection each | `starts::two_connects_at_once_make_two_races_and_two_connections` |
//! | takeMultipleConnectionsReturnsRaceLoser | the next connect may attempt a loser | `starts::a_loser_is_attempted_by_the_next_connect` |
//! | firstConnectionFailsAndNoOthersExist | the error is that of the only address | `errors::the_error_of_a_single_address_is_its_own` |
//! | firstConnectionFailsToConnectAndSecondSucceeds | no wait after a hard failure | `starts::after_a_hard_failure_the_next_attempt_starts_at_once` |
//! | firstConnectionFailsToConnectAndSecondFailureIsSuppressedException | the first failure is the source of the error, and the others are listed | `errors::the_first_failure_is_the_source_of_the_error_and_the_others_are_listed` |
//! | firstConnectionCrashesWithUncheckedException | a bug of the connector is not hidden | `errors::a_panic_of_the_connector_reaches_the_caller_and_ends_the_race` |
//! | routePlannerPlanThrowsOnOnlyPlan | the error of the lookup is returned unchanged | `errors::without_addresses_the_error_of_the_lookup_is_returned` |
//! | recoversAfterFirstPlanCallThrows | a failed lookup fails no connect while a stale answer is left | `errors::a_failed_lookup_fails_no_connect_while_a_stale_answer_is_left` |
//! | retryConnectionThatLostTcpRaceAfterWinnersTlsFails | differs: TLS is part of the race, so no attempt was canceled | `starts::an_address_that_was_slower_in_tcp_wins_if_tls_of_the_other_fails` |
//! | losingPlanDoesNotConnectTls | a loser is canceled when the winner has connected | `starts::a_loser_is_canceled_when_the_winner_has_tls` |
//! | tcpConnectFollowUpPlanUsed, tlsConnectFollowUpPlanUsed | an address is not attempted again with other settings; the next address is attempted | `starts::after_a_hard_failure_the_next_attempt_starts_at_once`, `dead::after_a_broken_handshake_the_next_address_is_attempted` |
//! | tcpConnectionsRaceAfterTlsFails | attempts start 250 ms apart before and after the failure | `starts::after_tls_has_failed_the_delay_counts_from_the_next_start` |
//! | minimumDelayEnforcedBetweenConnects | differs: 0/250/500/510/520, at once after each hard failure (RFC 8305, F7), instead of 0/250/500/530/780 | `starts::each_hard_failure_starts_an_attempt_and_the_delay_starts_the_others` |
//! | reusePlanAndNewConnectRace | of two connections that are made at once one is closed | `starts::if_two_attempts_connect_at_once_one_connection_is_kept` |
//!
//! | OkHttp `RouteSelectorTest` | behavior | test |
//! |---|---|---|
//! | singleRoute, singleRouteReturnsFailedRoute | the only address is attempted although it has failed | `health::a_penalty_of_the_only_address_delays_no_connect`, `sockets::a_single_address_is_attempted_at_once_whether_dead_or_back` |
//! | failedRouteWithSingleProxy | failed addresses go last, and none is dropped | `health::failed_addresses_are_attempted_last_and_none_is_dropped` |
//! | failedRouteWithMultipleProxies, proxyDnsFailureContinuesToNextProxy | hyper has one proxy: its other addresses are attempted, and the error of its lookup is returned | `proxies::a_dead_address_of_a_proxy_fails_no_request_and_the_origin_is_not_looked_up`, `proxies::if_the_lookup_of_a_proxy_fails_its_error_is_returned` |
//! | addressesSortedWhenFastFallbackIsOn, addressesNotSortedWhenFastFallbackIsOff | families take turns; `AddressOrder::Preserve` keeps the order within a family | `order::families_take_turns_to_the_end_of_the_list` |
//! | queryForAllSelectedRoutes | every address is attempted | `order::every_address_of_the_answer_is_attempted` |
//! | routeReturnsEncryptedClientHelloData | none: HTTPS records are not looked up | |
//! | explicitProxyTriesThatProxysAddressesOnly | the origin is not looked up | `proxies::a_dead_address_of_a_proxy_fails_no_request_and_the_origin_is_not_looked_up` |
//! | getHostString | a proxy that is given by its address is not looked up | `proxies::a_proxy_given_by_its_address_is_not_looked_up` |
//!
//! | OkHttp `RouteFailureTest` | behavior | test |
//! |---|---|---|
//! | http2OneBadHostOneGood…, all four | one edge is bad, and the other serves the same call; reqwest sends a refused stream again | `sockets::if_one_edge_dies_no_request_fails`, `retries::a_request_that_http2_did_not_process_is_sent_again_as_by_stock_reqwest` |
//! | http2OneBadHostRetryOnConnectionFailure | all edges are bad: an error | `sockets::if_all_addresses_are_dead_the_error_lists_each` |
//! | proxyMoveTest | the host moves while a connection is pooled; clean and unclean close | `proxies::a_proxy_that_has_moved_is_found_in_the_same_request`, `pools::after_a_pooled_connection_dies_the_next_request_uses_the_live_edge` |
//!
//! | OkHttp `StateMachineDnsCallTest`, `MemoryCacheTest` | behavior | test |
//! |---|---|---|
//! | server TTL, clamps | an answer is kept for its TTL within bounds | `answers::an_answer_is_kept_for_its_ttl_within_bounds` |
//! | TTL from the sending | a slow lookup does not extend the lifetime | `answers::the_lifetime_counts_from_when_the_lookup_was_sent` |
//! | a lookup in flight is joined, `computeIfAbsent` | many misses share one lookup | `answers::a_thousand_callers_share_one_lookup` |
//! | revalidation serves and looks up; is joined | no caller waits, and no second lookup starts | `answers::no_caller_waits_for_the_refresh_of_a_host_in_use`, `answers::a_caller_joins_an_in_flight_refresh_of_an_expired_answer` |
//! | partial failure | a failure of one family does not affect the other | `dns::a_failing_family_does_not_affect_the_other` |
//! | a failure expires, is revalidated | failed lookups back off | `answers::failed_lookups_back_off` |
//! | cancel before enqueue | a caller that is dropped at any point affects no other caller | `answers::a_caller_dropped_at_any_point_does_not_affect_the_others` |
//! | expired first, then least recently used | bounds apply, and idle hosts are removed | `store::the_least_recently_asked_hosts_leave_first`, `answers::lookups_of_many_hosts_do_not_exceed_the_capacity` |
//!
//! | OkHttp `InetAddressOrderTest` | behavior | test |
//! |---|---|---|
//! | 2 of IPv6 and 3 of IPv4 | families take turns | `order::families_take_turns_to_the_end_of_the_list` |
//! | one family, singletons | the order stays | `order::a_single_family_keeps_its_order` |
//!
//! | gRPC-go resolver | behavior | test |
//! |---|---|---|
//! | TestRateLimitedResolve | 1,000 failing callers start one lookup an interval | `answers::failing_callers_send_one_lookup_at_0_s_and_1_s_and_then_every_2_s`, `health::a_thousand_failed_races_share_one_lookup` |
//! | TestMinResolutionInterval_NoExtraDelay | a lookup starts exactly one interval after the last | `answers::failing_callers_send_one_lookup_at_0_s_and_1_s_and_then_every_2_s` |
//! | TestDNSResolver_ExponentialBackoff | failed lookups back off | `answers::failed_lookups_back_off` |
//! | TestResolveTimeout | a lookup that hangs releases its callers | `answers::a_lookup_that_hangs_ends_for_its_callers_after_5_s` |
//! | TestReportError | the caller gets the error of DNS | `dns::nxdomain_and_nodata_are_different_errors`, `errors::without_addresses_the_error_of_the_lookup_is_returned` |
//!
//! | gRPC-go pick first | behavior | test |
//! |---|---|---|
//! | OneServerDown | one attempt, then none | `dead::an_address_that_is_down_costs_one_attempt_and_then_none` |
//! | AllServersDown | each address is attempted once and listed | `dead::if_all_addresses_are_dead_each_is_attempted_once_and_listed_in_the_error` |
//! | AddressesRemoved, ResolverUpdates_DisjointLists | the host has moved and is found in the same connect; a pending race goes on | `moved::a_host_that_has_moved_is_found_in_the_same_connect`, `updates::a_new_answer_without_the_old_addresses_does_not_end_a_race` |
//! | NewAddressWhileBlocking | a connect that waits for a lookup attempts the addresses of the answer | `starts::a_connect_that_waits_for_a_lookup_starts_attempts_with_the_answer` |
//! | StickyTransientFailure | differs: each connect attempts all addresses at once | `dead::the_next_connect_attempts_all_dead_addresses_again_at_once` |
//! | ShuffleAddressList | each address leads equally often | `order::each_shuffled_address_goes_first_equally_often` |
//! | ResolverError_WithPreviousUpdate_Ready | a failed lookup closes no connection | `pools::a_pooled_connection_serves_while_dns_has_no_address`, `updates::a_failed_lookup_closes_no_connection` |
//! | ResolverError_WithPreviousUpdate_Connecting | a failed lookup ends no race | `updates::a_lookup_that_fails_during_a_race_does_not_end_the_race` |
//! | ResolverError_WithPreviousUpdate_TransientFailure | the error of the connect is returned, and the addresses stay | `moved::while_the_name_server_is_down_the_error_of_the_connect_is_returned` |
//! | ResolverError_ZeroAddresses | an empty answer ends the old answer and no race | `moved::a_host_without_records_ends_the_answer_and_the_error_lists_the_attempts`, `updates::an_answer_without_addresses_does_not_end_a_race` |
//! | DuplicateAddrs | one attempt | `starts::an_address_that_an_answer_repeats_is_attempted_once` |
//! | ResolverUpdates_ActiveBackendInUpdatedList, ResolverUpdates_IdenticalLists | no attempt starts again, and no address is attempted twice | `updates::a_new_answer_with_the_same_addresses_restarts_no_attempt`, `moved::an_unchanged_answer_starts_no_more_attempts` |
//! | ResolverUpdates_InActiveBackendInUpdatedList | only new addresses are attempted | `moved::only_new_addresses_of_a_fresh_answer_are_attempted` |
//! | StopConnectedServer_*, Reconnection | the next request uses the live edge | `pools::after_a_pooled_connection_dies_the_next_request_uses_the_live_edge`, `pools::after_an_edge_restarts_the_next_request_connects_to_it_again` |
//! | HappyEyeballs_TF_AfterEndOfList | the race waits for pending attempts | `errors::at_the_end_of_the_list_a_race_waits_for_pending_attempts` |
//! | HappyEyeballs_TriggerConnectionDelay, HappyEyeballs_TF_ThenTimerFires | the delay counts from the last start | `starts::the_delay_counts_from_the_last_start` |
//! | HappyEyeballs_Ignore_Inflight_Cancellations | a canceled loser has not failed | `starts::a_late_first_attempt_that_connects_before_the_second_wins`, `health::a_loser_that_began_last_stays_healthy` |
//! | Interleaving{IPv4,IPv6,Unknown}Preferred | the preferred family leads | `order::families_take_turns_to_the_end_of_the_list` |
//!
//! | curl | behavior | test |
//! |---|---|---|
//! | unit2600, rows 1 to 10 | attempts, time and result; differs: a race has no limit of six attempts, as none is dropped for the next | `curl::each_row_of_curls_table_holds` |
//! | test_06_11 | TCP connects, and the certificate is wrong | `dead::after_two_wrong_certificates_a_race_attempts_no_other_address`, `sockets::if_every_certificate_is_wrong_two_addresses_are_attempted` |
//!
//! | c-ares, for servers | behavior | test |
//! |---|---|---|
//! | ServerFailoverOpts, ThirdServer | failed addresses go last | `health::failed_addresses_are_attempted_last_and_none_is_dropped` |
//! | ProbeAfterProbeTimeout, StickyRecoveryProbe | after the penalty one connect tries the address | `health::after_its_penalty_one_trial_makes_an_address_healthy_again`, `failover_reqwest::a_probe_finds_that_an_edge_serves_again` |
//! | StickyRecoveryTieBreak | only one connect tries the address | `health::after_a_penalty_only_one_of_many_connects_tries_the_address`, `flapping::of_a_hundred_callers_one_tries_an_edge_after_its_penalty` |
//! | ServerNoResponseFailover, v4Worksv6Timesout | an address that does not respond is recorded, too | `health::a_black_hole_is_ordered_last_although_others_win_every_race` |
//!
//! | Finagle `FailFast` | behavior | test |
//! |---|---|---|
//! | become available when the next attempt succeeds; admit when available | an address is healthy after one success | `health::after_its_penalty_one_trial_makes_an_address_healthy_again` |
//! | time out according to backoffs; accepts empty backoff | trials become less frequent; settings have bounds | `health::an_address_that_stays_dead_is_tried_less_and_less_often`, `answers::the_error_of_an_invalid_setting_names_its_setter` |
//! | refuse external attempts | differs: other addresses are attempted, or the only one | `health::after_a_penalty_only_one_of_many_connects_tries_the_address`, `health::a_penalty_of_the_only_address_delays_no_connect` |
//! | cancels timer on close | a probe ends with the last resolver | `failover_reqwest::a_pending_probe_ends_with_the_last_resolver` |
//! | fails simultaneous requests properly | each connect gets its error | `health::a_thousand_failed_races_share_one_lookup` |
//!
//! | AWS `default_host_resolver_test` | behavior | test |
//! |---|---|---|
//! | test_resolver_ttls | addresses lead in turn; a cached answer is served | `answers::round_robin_begins_with_the_next_address_at_each_call`, `answers::an_expired_answer_is_served_while_dns_is_down` |
//! | test_resolver_connect_failure_recording | failed addresses go last, and the same answer clears nothing | `health::failed_addresses_are_attempted_last_and_none_is_dropped`, `answers::penalized_addresses_are_returned_in_the_order_in_which_their_penalties_end`, `answers::a_penalty_outlives_the_answer_and_ends_with_one_trial` |
//! | test_resolver_ttl_refreshes_on_resolve | each answer has a lifetime of its own | `answers::no_caller_waits_for_the_refresh_of_a_host_in_use` |
//! | test_resolver_bad_list_expires_eventually | a penalty ends although the answer stays | `health::after_its_penalty_one_trial_makes_an_address_healthy_again` |
//! | test_resolver_low_frequency_starvation | a long lifetime delays no caller | `answers::a_failed_address_is_replaced_before_its_long_lifetime_ends` |
//! | test_resolver_purge_host_cache, test_resolver_purge_cache | the program invalidates a host; also an unknown one | `answers::the_next_caller_after_an_invalidation_waits_for_a_fresh_answer` |
//!
//! | Armeria | behavior | test |
//! |---|---|---|
//! | refreshing; autoRefreshTimeoutWithFailedQuery | a host in use is refreshed; a failed refresh changes nothing | `answers::a_failed_refresh_leaves_the_answer`, `dns::a_host_in_use_is_refreshed` |
//! | removedWhenExceedingBackoffMaxAttempts | stale answers end after a day | `answers::stale_answers_end_after_a_day` |
//! | negativeTtl | a negative answer is kept for its own TTL | `answers::nxdomain_and_nodata_end_an_answer_and_are_kept_for_their_ttl` |
//! | timeout (not cached) | differs: a failed lookup is kept for a second, so that a dead server gets few queries | `answers::failed_lookups_back_off` |
//! | returnPartialDnsQuestions | one family is enough | `dns::a_failing_family_does_not_affect_the_other` |
//! | shouldStopRefreshingOnEviction, cacheClearWhenClosed | no task is left | `answers::the_answer_of_an_idle_host_expires`, `answers::a_resolver_dropped_during_a_lookup_leaves_no_task` |
//! | boundByCacheTtl, zeroTtl | bounds apply | `answers::an_answer_is_kept_for_its_ttl_within_bounds` |
//!
//! | Netty `DefaultDnsCacheTest` | behavior | test |
//! |---|---|---|
//! | testExpireWithDifferentTTLs | the shortest TTL counts | `dns::an_answer_lives_as_long_as_its_shortest_record` |
//! | testExpireWithToBigMinTTL | the setting is refused | `answers::the_error_of_an_invalid_setting_names_its_setter` |
//! | testDotHandling | both spellings are one host | `answers::case_and_the_root_dot_make_no_difference` |
//! | testAddSameAddressForSameHostname | one address | `starts::an_address_that_an_answer_repeats_is_attempted_once` |
//! | testCacheFailed | a failure is kept for a while | `answers::failed_lookups_back_off` |
//!
//! | Go, hyper-util | behavior | test |
//! |---|---|---|
//! | {unreachable, slow, local} × {IPv4, IPv6} | the other family connects in time | `order::if_one_family_is_slow_or_dead_the_other_connects_in_time` |
//!
//! | mozilla/happy-eyeballs | behavior | test |
//! |---|---|---|
//! | hostname_resolution | addresses come late, or none come | `starts::the_delay_counts_from_the_end_of_the_lookup`, `errors::without_addresses_the_error_of_the_lookup_is_returned` |
//! | optimistic_dns | a stale answer is used while a lookup is pending | `errors::a_failed_lookup_fails_no_connect_while_a_stale_answer_is_left` |
//! | network_config | one family, a preferred family, an address in the URL | `order::families_take_turns_to_the_end_of_the_list`, `odd::a_black_hole_in_the_url_ends_with_the_timeout_of_the_connect` |
//! | https_records | none: HTTPS records are not looked up | |
//!
//! | no other client | behavior | test |
//! |---|---|---|
//! | a refused connect starts a lookup on every path | one address, an address in the URL, a proxy, HTTP/2 | `sockets::after_a_refused_connect_the_host_is_looked_up_again`, `families::an_address_in_the_url_is_attempted_without_a_lookup`, `proxies::a_proxy_that_has_moved_is_found_in_the_same_request` |
//! | many local faults | no address is penalized | `local::many_local_faults_penalize_no_address_and_start_no_lookup`, `local::without_a_route_for_one_family_the_other_is_attempted_at_once` |
//! | a failure of an older answer | no newer answer is harmed | `updates::a_race_that_fails_on_an_older_answer_attempts_the_newer_without_harm_to_it` |
//! | 1,000 connects fail at once | one lookup | `health::a_thousand_failed_races_share_one_lookup` |
//! | a refresh fails while the answer is fresh | the answer stays | `answers::a_failed_refresh_leaves_the_answer` |
//! | a connect dropped after 10 ms and after 3 s | nothing is recorded; the slow addresses are recorded | `local::a_race_that_is_dropped_soon_cancels_its_attempts_and_records_nothing`, `local::a_race_that_is_dropped_late_records_the_slow_addresses` |
//! | an answer changes back and forth | no connect fails | `moved::an_answer_that_changes_back_and_forth_fails_no_connect` |
//! | all addresses are dead, and the answer stays | the attempts are bounded, the error lists them, and the first connect after an address is back succeeds | `health::after_all_addresses_come_back_the_next_connect_succeeds` |
//! | one edge resets TLS, and the other serves | one call | `sockets::if_one_edge_dies_no_request_fails` |
//! | a wrong certificate | one other address, and no more | `sockets::if_every_certificate_is_wrong_two_addresses_are_attempted` |
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../paths/guests.rs"]
#[allow(dead_code, reason = "only the proxies are used here")]
mod guests;
#[path = "../answers/script.rs"]
#[allow(dead_code, reason = "each test crate uses a part")]
mod script;

mod attacks;
mod clients;
mod connector;
mod curl;
mod dead;
mod errors;
mod families;
mod fate;
mod faults;
mod health;
mod laws;
mod local;
mod lone;
mod moved;
mod odd;
mod order;
mod overload;
mod pools;
mod proxies;
mod sockets;
mod stage;
mod starts;
mod tcp;
mod updates;

use std::fs;
use std::path::Path;

/// The tests that the table names.
fn tests_of(table: &str) -> impl Iterator<Item = &str> {
    let rows = table.lines().filter(|line| line.starts_with("//! | "));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let quoted = last.flat_map(|tests| tests.split('`').skip(1).step_by(2));
    quoted.filter_map(|test| Some(test.split_once("::")?.1))
}

fn sources(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// If a test of the table is renamed or removed, this test fails.
#[test]
fn each_test_in_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let table = include_str!("main.rs");
    let missing: Vec<_> = tests_of(table)
        .filter(|test| !text.contains(&format!("fn {test}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(
        tests_of(table).count() > 100,
        "the table has more than 100 tests"
    );
}
