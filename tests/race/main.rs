//! Behaviours F7, F8 and F9: the race, with those of other clients that are worth having.
//!
//! Each row is a behaviour that another client tests, said in our words, and the tests of ours that hold it.
//! `answers`, `dns`, … are other test crates beside this one.
//!
//! | OkHttp `FastFallbackTest` | behaviour | test |
//! |---|---|---|
//! | callIpv6FirstEvenWhenIpv4IpIsListedFirst, callIpv6WhenBothServersAreReachable | IPv6 leads, and alone is dialled | `families::where_both_families_serve_ipv6_alone_is_dialled`, `order::ipv6_goes_first_though_ipv4_is_listed_first` |
//! | reachesIpv4WhenIpv6IsDown, reachesIpv6WhenIpv4IsDown, reachesIpv4AfterUnreachableIpv6Address | one family refuses or swallows packets: the other serves | `families::where_one_family_is_dead_the_other_serves` |
//! | failsWhenBothServersAreDown | each is dialled once, and the error tells of each | `sockets::where_all_are_dead_the_error_tells_of_each`, `dead::when_all_are_dead_each_is_dialled_once_and_told_of` |
//! | timesOutWithFastFallbackDisabled | a race cannot be turned off; a single black hole ends at the bound of the connect | `dead::the_connects_own_bound_ends_it_with_every_address_in_the_error`, `dead::with_nothing_left_to_dial_an_attempt_may_still_connect` |
//! | preferCallConnectionOverDeferredConnection | the winner is kept, a loser is nowhere | `pools::the_connection_that_won_is_kept_and_nobody_is_dialled` |
//!
//! | OkHttp `FastFallbackExchangeFinderTest` | behaviour | test |
//! |---|---|---|
//! | takeConnectedConnection | a kept connection serves, nobody is dialled | `pools::the_connection_that_won_is_kept_and_nobody_is_dialled` |
//! | takeConnectingConnection | up at 240 ms: no second dial | `starts::one_that_is_up_within_the_delay_is_dialled_alone` |
//! | firstPlanConnectedBeforeSecondPlan | 260 against 270 ms: the second is cancelled | `starts::a_late_first_that_is_up_before_the_second_wins` |
//! | secondPlanConnectedBeforeFirstPlan | 260 against 270 ms: the first is cancelled | `starts::a_second_that_is_up_before_the_first_wins` |
//! | secondPlanAlreadyConnected, thirdPlanAlreadyConnected | one that is up at once ends the race; so does a kept connection that comes free | `starts::a_third_that_is_up_before_the_others_wins`, `pools::a_connection_that_comes_free_while_a_race_runs_serves` |
//! | takeMultipleConnections | connects at once are a connection each | `starts::connects_at_once_are_a_race_and_a_connection_each` |
//! | takeMultipleConnectionsReturnsRaceLoser | a loser can be dialled by the next | `starts::a_loser_is_there_for_the_next_connect` |
//! | firstConnectionFailsAndNoOthersExist | its own error | `errors::of_a_single_address_its_own_error_is_told` |
//! | firstConnectionFailsToConnectAndSecondSucceeds | no wait after a hard failure | `starts::after_a_hard_failure_nobody_waits` |
//! | firstConnectionFailsToConnectAndSecondFailureIsSuppressedException | the first error goes first, the others with it | `errors::the_first_error_goes_first_and_the_others_with_it` |
//! | firstConnectionCrashesWithUncheckedException | a bug is not swallowed | `errors::a_connector_that_panics_panics_and_no_other_address_is_dialled` |
//! | routePlannerPlanThrowsOnOnlyPlan | the lookup's error as it is | `errors::without_addresses_the_lookups_error_is_told` |
//! | recoversAfterFirstPlanCallThrows | a failed lookup costs nothing where addresses are known | `errors::a_lookup_that_fails_costs_no_connect_where_addresses_are_known` |
//! | retryConnectionThatLostTcpRaceAfterWinnersTlsFails | differs: TLS is in the race, so nobody was cancelled | `starts::one_that_was_overtaken_in_tcp_wins_when_the_others_tls_fails` |
//! | losingPlanDoesNotConnectTls | a loser is cancelled where it stands | `starts::a_loser_is_cancelled_where_it_stands` |
//! | tcpConnectFollowUpPlanUsed, tlsConnectFollowUpPlanUsed | no other settings are tried at one address; the next address is | `starts::after_a_hard_failure_nobody_waits`, `dead::broken_handshakes_are_walked_past` |
//! | tcpConnectionsRaceAfterTlsFails | 250 ms apart before it and after it | `starts::after_tls_has_failed_the_delay_counts_from_the_next_start` |
//! | minimumDelayEnforcedBetweenConnects | differs: 0/250/500/510/520, at once after each hard failure (RFC 8305, F7), for 0/250/500/530/780 | `starts::each_hard_failure_starts_one_and_the_delay_the_others` |
//! | reusePlanAndNewConnectRace | of two that are up at once one is closed | `starts::of_two_that_are_up_at_once_one_is_kept` |
//!
//! | OkHttp `RouteSelectorTest` | behaviour | test |
//! |---|---|---|
//! | singleRoute, singleRouteReturnsFailedRoute | the only address is dialled though it failed | `health::a_penalty_delays_nobody_where_there_is_nothing_else`, `sockets::a_single_address_is_dialled_at_once_dead_or_back` |
//! | failedRouteWithSingleProxy | the failed go last, none is lost | `health::those_that_failed_are_dialled_last_and_none_is_lost` |
//! | failedRouteWithMultipleProxies, proxyDnsFailureContinuesToNextProxy | hyper has one proxy: its other addresses are dialled, and its lookup's error is told | `proxies::a_dead_address_of_a_proxy_costs_no_request_and_the_origin_is_not_asked_for`, `proxies::a_proxy_that_has_no_name_is_told_as_the_lookups_error` |
//! | addressesSortedWhenFastFallbackIsOn, addressesNotSortedWhenFastFallbackIsOff | families take turns; off is `AddressOrder::Preserve` within a family | `order::families_take_turns_to_the_end_of_the_list` |
//! | queryForAllSelectedRoutes | every address is come to | `order::every_address_of_the_answer_is_come_to` |
//! | routeReturnsEncryptedClientHelloData | none: HTTPS records are not looked up | |
//! | explicitProxyTriesThatProxysAddressesOnly | the origin is asked for by nobody | `proxies::a_dead_address_of_a_proxy_costs_no_request_and_the_origin_is_not_asked_for` |
//! | getHostString | a proxy given by its address is never asked for | `proxies::a_proxy_given_by_its_address_is_never_asked_for` |
//!
//! | OkHttp `RouteFailureTest` | behaviour | test |
//! |---|---|---|
//! | http2OneBadHostOneGood…, all four | one is bad, the other answers in the same call; a refused stream is sent again by reqwest | `sockets::however_one_edge_dies_no_request_fails`, `retries::what_http2_did_not_process_is_sent_again_as_stock_reqwest_does` |
//! | http2OneBadHostRetryOnConnectionFailure | all bad: an error | `sockets::where_all_are_dead_the_error_tells_of_each` |
//! | proxyMoveTest | the name moves while a connection is kept; clean and unclean close | `proxies::a_proxy_that_has_moved_is_found_in_the_same_request`, `pools::when_what_is_connected_dies_the_next_request_goes_to_who_is_there` |
//!
//! | OkHttp `StateMachineDnsCallTest`, `MemoryCacheTest` | behaviour | test |
//! |---|---|---|
//! | server TTL, clamps | kept for its TTL within bounds | `answers::an_answer_is_kept_for_its_ttl_within_bounds` |
//! | TTL from the sending | a slow lookup lives no longer | `answers::life_is_counted_from_the_sending` |
//! | a lookup in flight is joined, `computeIfAbsent` | many misses are one lookup | `answers::a_thousand_misses_are_one_lookup` |
//! | revalidation serves and asks; is joined | nobody waits, nobody asks twice | `answers::a_host_in_use_never_makes_a_caller_wait_again`, `answers::who_asks_while_an_answer_is_looked_up_ahead_joins_that` |
//! | partial failure | one family failing costs the other nothing | `dns::one_failing_family_does_not_cost_the_other` |
//! | a failure expires, is revalidated | failed lookups back off | `answers::failed_lookups_back_off` |
//! | cancel before enqueue | a waiter dropped at any point costs nobody | `answers::a_waiter_dropped_at_any_point_costs_the_others_nothing` |
//! | expired first, then least recently used | bounds hold, idle hosts leave | `store::the_least_recently_asked_hosts_leave_first`, `answers::capacity_holds_whatever_names_are_asked` |
//!
//! | OkHttp `InetAddressOrderTest` | behaviour | test |
//! |---|---|---|
//! | 2 of IPv6 and 3 of IPv4 | take turns | `order::families_take_turns_to_the_end_of_the_list` |
//! | one family, singletons | stay as they are | `order::a_single_family_keeps_its_order` |
//!
//! | gRPC-go resolver | behaviour | test |
//! |---|---|---|
//! | TestRateLimitedResolve | 1,000 failing callers are one lookup an interval | `answers::a_stream_of_failing_callers_is_one_lookup_at_0_and_1_and_then_each_2_seconds`, `health::a_thousand_failing_races_are_one_lookup` |
//! | TestMinResolutionInterval_NoExtraDelay | exactly an interval after the last | `answers::a_stream_of_failing_callers_is_one_lookup_at_0_and_1_and_then_each_2_seconds` |
//! | TestDNSResolver_ExponentialBackoff | failed lookups back off | `answers::failed_lookups_back_off` |
//! | TestResolveTimeout | a hung lookup frees who waits | `answers::a_hung_lookup_frees_its_waiters_in_time` |
//! | TestReportError | the caller sees what DNS said | `dns::negative_answers_are_told_apart`, `errors::without_addresses_the_lookups_error_is_told` |
//!
//! | gRPC-go pick first | behaviour | test |
//! |---|---|---|
//! | OneServerDown | one dial, then none | `dead::one_that_is_down_costs_one_dial_and_then_none` |
//! | AllServersDown | each once, each told | `dead::when_all_are_dead_each_is_dialled_once_and_told_of` |
//! | AddressesRemoved, ResolverUpdates_DisjointLists | the name has moved: found in the same connect; a race in the air goes on | `moved::a_name_that_has_moved_is_found_in_the_same_connect`, `updates::an_answer_that_has_nothing_of_the_old_does_not_end_a_race` |
//! | NewAddressWhileBlocking | who waits for addresses dials as they come | `starts::a_connect_that_waits_for_addresses_dials_when_they_come` |
//! | StickyTransientFailure | differs: each connect dials, at once | `dead::the_next_connect_dials_them_all_again_at_once` |
//! | ShuffleAddressList | each is first as often | `order::by_default_each_address_is_first_as_often` |
//! | ResolverError_WithPreviousUpdate_Ready | a connection outlives bad DNS | `pools::a_kept_connection_serves_whatever_dns_says`, `updates::what_dns_says_of_a_name_closes_no_connection` |
//! | ResolverError_WithPreviousUpdate_Connecting | so does a race | `updates::a_name_server_that_fails_meanwhile_ends_no_race` |
//! | ResolverError_WithPreviousUpdate_TransientFailure | the connect's error is told, addresses stay | `moved::while_the_name_server_is_down_the_connects_error_is_told` |
//! | ResolverError_ZeroAddresses | ends the answer, and no race | `moved::a_name_without_addresses_ends_the_answer_and_the_dials_are_told`, `updates::a_name_that_has_no_addresses_left_ends_no_race` |
//! | DuplicateAddrs | one dial | `starts::an_address_that_is_named_twice_is_dialled_once` |
//! | ResolverUpdates_ActiveBackendInUpdatedList, ResolverUpdates_IdenticalLists | nothing is begun anew, or dialled twice | `updates::an_answer_that_names_the_same_again_begins_nothing_anew`, `moved::an_answer_that_has_not_changed_gives_no_second_chance` |
//! | ResolverUpdates_InActiveBackendInUpdatedList | only what is new is dialled | `moved::of_a_fresh_answer_only_what_is_new_is_dialled` |
//! | StopConnectedServer_*, Reconnection | the next request goes to who is there | `pools::when_what_is_connected_dies_the_next_request_goes_to_who_is_there`, `pools::one_that_restarts_is_connected_to_again` |
//! | HappyEyeballs_TF_AfterEndOfList | those still at it are waited for | `errors::at_the_end_of_the_list_those_still_at_it_are_waited_for` |
//! | HappyEyeballs_TriggerConnectionDelay, HappyEyeballs_TF_ThenTimerFires | the delay counts from the last start | `starts::the_delay_counts_from_the_last_start` |
//! | HappyEyeballs_Ignore_Inflight_Cancellations | a cancelled loser has not failed | `starts::a_late_first_that_is_up_before_the_second_wins`, `health::a_loser_that_began_last_is_as_good_as_before` |
//! | Interleaving{IPv4,IPv6,Unknown}Preferred | the preferred family leads | `order::families_take_turns_to_the_end_of_the_list` |
//!
//! | curl | behaviour | test |
//! |---|---|---|
//! | unit2600, rows 1 to 10 | dials, time, result; differs: no bound of six, as none is dropped for the next | `curl::each_row_of_curls_table_holds` |
//! | test_06_11 | TCP is up, the certificate is wrong | `dead::a_wrong_certificate_is_met_at_two_addresses_at_most`, `sockets::a_wrong_certificate_everywhere_is_met_twice` |
//!
//! | c-ares, of servers | behaviour | test |
//! |---|---|---|
//! | ServerFailoverOpts, ThirdServer | the failed go last | `health::those_that_failed_are_dialled_last_and_none_is_lost` |
//! | ProbeAfterProbeTimeout, StickyRecoveryProbe | after its time one finds out | `health::when_its_penalty_is_over_one_connect_finds_out_and_it_is_as_good_as_before`, `failover_reqwest::an_edge_that_comes_back_is_found_by_a_probe` |
//! | StickyRecoveryTieBreak | and one alone | `health::of_many_connects_one_finds_out_and_waits_for_its_delay_alone`, `flapping::among_a_hundred_callers_one_finds_out` |
//! | ServerNoResponseFailover, v4Worksv6Timesout | silence is learned too | `health::one_that_never_answers_is_learned_though_every_race_is_won_by_another` |
//!
//! | Finagle `FailFast` | behaviour | test |
//! |---|---|---|
//! | become available when the next attempt succeeds; admit when available | healthy after one success | `health::when_its_penalty_is_over_one_connect_finds_out_and_it_is_as_good_as_before` |
//! | time out according to backoffs; accepts empty backoff | ever less often; the bounds of settings | `health::one_that_stays_dead_is_tried_ever_less_often`, `answers::a_setting_that_cannot_work_names_its_setter` |
//! | refuse external attempts | differs: others are dialled, or the only one is | `health::of_many_connects_one_finds_out_and_waits_for_its_delay_alone`, `health::a_penalty_delays_nobody_where_there_is_nothing_else` |
//! | cancels timer on close | a probe ends with the last resolver | `failover_reqwest::a_probe_ends_with_the_last_resolver` |
//! | fails simultaneous requests properly | each gets its error | `health::a_thousand_failing_races_are_one_lookup` |
//!
//! | AWS `default_host_resolver_test` | behaviour | test |
//! |---|---|---|
//! | test_resolver_ttls | in turn; what is known is served | `answers::in_turn_each_lookup_begins_with_the_next_address`, `answers::a_known_address_is_served_while_dns_is_down` |
//! | test_resolver_connect_failure_recording | the failed last, the same answer clears nothing | `health::those_that_failed_are_dialled_last_and_none_is_lost`, `answers::all_bad_addresses_are_returned_the_one_whose_penalty_ends_first_leading`, `answers::a_penalty_outlives_the_answer_and_ends_by_itself` |
//! | test_resolver_ttl_refreshes_on_resolve | each answer is good for its own life | `answers::a_host_in_use_never_makes_a_caller_wait_again` |
//! | test_resolver_bad_list_expires_eventually | a penalty ends though DNS stays | `health::when_its_penalty_is_over_one_connect_finds_out_and_it_is_as_good_as_before` |
//! | test_resolver_low_frequency_starvation | a long life keeps nobody waiting | `answers::a_long_life_keeps_nobody_from_the_new_address` |
//! | test_resolver_purge_host_cache, test_resolver_purge_cache | by hand; an unknown host too | `answers::after_an_invalidation_the_next_caller_waits_for_the_fresh_answer` |
//!
//! | Armeria | behaviour | test |
//! |---|---|---|
//! | refreshing; autoRefreshTimeoutWithFailedQuery | looked up ahead; a failure changes nothing | `answers::a_failed_refresh_changes_nothing`, `dns::a_host_in_use_is_looked_up_ahead` |
//! | removedWhenExceedingBackoffMaxAttempts | stale answers end after a day | `answers::stale_answers_end_after_a_day` |
//! | negativeTtl | kept by its own TTL | `answers::nxdomain_and_nodata_end_an_answer_and_are_kept_by_their_ttl` |
//! | timeout (not cached) | differs: for a second, so that a dead server is spared | `answers::failed_lookups_back_off` |
//! | returnPartialDnsQuestions | one family is enough | `dns::one_failing_family_does_not_cost_the_other` |
//! | shouldStopRefreshingOnEviction, cacheClearWhenClosed | nothing is left behind | `answers::an_idle_host_is_left_to_expire`, `answers::a_resolver_dropped_in_the_middle_of_a_lookup_leaves_nothing_behind` |
//! | boundByCacheTtl, zeroTtl | bounds hold | `answers::an_answer_is_kept_for_its_ttl_within_bounds` |
//!
//! | Netty `DefaultDnsCacheTest` | behaviour | test |
//! |---|---|---|
//! | testExpireWithDifferentTTLs | the shortest counts | `dns::an_answer_lives_as_long_as_its_shortest_record` |
//! | testExpireWithToBigMinTTL | is refused when it is set | `answers::a_setting_that_cannot_work_names_its_setter` |
//! | testDotHandling | one host | `answers::case_and_the_root_dot_do_not_matter` |
//! | testAddSameAddressForSameHostname | one address | `starts::an_address_that_is_named_twice_is_dialled_once` |
//! | testCacheFailed | for a while | `answers::failed_lookups_back_off` |
//!
//! | Go, hyper-util | behaviour | test |
//! |---|---|---|
//! | {unreachable, slow, local} × {IPv4, IPv6} | the other family in time | `order::whatever_one_family_does_the_other_is_come_to_in_time` |
//!
//! | mozilla/happy-eyeballs | behaviour | test |
//! |---|---|---|
//! | hostname_resolution | addresses come late; none come | `starts::the_delay_counts_from_when_addresses_were_dealt`, `errors::without_addresses_the_lookups_error_is_told` |
//! | optimistic_dns | old addresses while the new are asked for | `errors::a_lookup_that_fails_costs_no_connect_where_addresses_are_known` |
//! | network_config | one family, either preferred, an address in the URL | `order::families_take_turns_to_the_end_of_the_list`, `odd::an_address_in_the_url_that_hangs_ends_with_the_connect` |
//! | https_records | none: HTTPS records are not looked up | |
//!
//! | Nobody has | behaviour | test |
//! |---|---|---|
//! | refused, and the next lookup asks: on every path | one address, a literal, a proxy, HTTP/2 | `sockets::a_refusal_has_the_host_asked_for_again`, `families::an_address_in_the_url_is_dialled_as_it_is`, `proxies::a_proxy_that_has_moved_is_found_in_the_same_request` |
//! | a storm of faults of this machine | evicts nothing | `local::a_storm_of_local_faults_evicts_nothing`, `local::without_a_route_for_one_family_the_other_is_dialled_at_once` |
//! | a report on an older answer | harms no newer one | `updates::a_race_that_fails_on_an_older_answer_dials_the_newer_and_does_not_harm_it` |
//! | 1,000 fail at once | one lookup | `health::a_thousand_failing_races_are_one_lookup` |
//! | a refresh fails while the answer is good | it stays | `answers::a_failed_refresh_changes_nothing` |
//! | dropped at 10 ms and at 3 s | says nothing; has seen who hangs | `local::a_race_that_is_dropped_soon_cancels_all_and_says_nothing`, `local::a_race_that_is_dropped_late_has_seen_who_hangs` |
//! | DNS flickers | costs no connect | `moved::an_answer_that_flickers_costs_no_connect` |
//! | all dead, DNS as before | bounded, told, and back at once | `health::when_all_come_back_the_next_connect_serves` |
//! | TLS reset at one, the other good | one call | `sockets::however_one_edge_dies_no_request_fails` |
//! | a wrong certificate | one other address, no loop | `sockets::a_wrong_certificate_everywhere_is_met_twice` |
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../paths/guests.rs"]
#[allow(dead_code, reason = "proxies alone are of use here")]
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

/// Every test that the table above names.
fn named(table: &str) -> impl Iterator<Item = &str> {
    let rows = table.lines().filter(|line| line.starts_with("//! | "));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let ticked = last.flat_map(|tests| tests.split('`').skip(1).step_by(2));
    ticked.filter_map(|test| Some(test.split_once("::")?.1))
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

/// A behaviour whose test is renamed or taken out is a behaviour that nobody holds.
#[test]
fn each_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let table = include_str!("main.rs");
    let missing: Vec<_> = named(table)
        .filter(|test| !text.contains(&format!("fn {test}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named(table).count() > 100, "the table is read");
}
