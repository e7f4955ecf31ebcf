//! Tests overrides, fallbacks and the lookup of a resolver, which all may change while in use.

use super::*;
use sidestep::lookup::{Chain, Lookup as _, StaticHosts};
use sidestep::{Event, Family};

fn table(rows: &[(&str, &[u8])]) -> StaticHosts {
    let table = StaticHosts::new();
    for (name, last) in rows {
        table.set(name, last.iter().map(|&n| ip(n))).unwrap();
    }
    table
}

/// Returns the sorted addresses of a host and their source.
async fn seen(resolver: &Resolver, host: &str) -> (Vec<IpAddr>, AnswerSource) {
    let resolved = resolver.resolve(host).await.unwrap();
    let mut addrs = resolved.addrs().to_vec();
    addrs.sort();
    (addrs, resolved.source())
}

// Overrides.

/// An override applies by exact name and by suffix, in any spelling, and also to names that are never looked up.
#[tokio::test(start_paused = true)]
async fn overrides_are_served_without_a_lookup() {
    let script = Script::answer(&[9], 60);
    let overrides = table(&[("a.test", &[1, 2]), (".b.test", &[3]), ("c.onion", &[4])]);
    let resolver = script.build(|builder| builder.overrides(overrides));
    for (name, addrs) in [
        ("A.test.", vec![ip(1), ip(2)]),
        ("x.B.test", vec![ip(3)]),
        ("x.y.b.test", vec![ip(3)]),
        ("c.onion", vec![ip(4)]),
    ] {
        assert_eq!(
            seen(&resolver, name).await,
            (addrs.clone(), AnswerSource::Override)
        );
        let mut selected: Vec<IpAddr> = deal(&resolver, name).await.unwrap()[..addrs.len()]
            .iter()
            .map(SocketAddr::ip)
            .collect();
        selected.sort();
        assert_eq!(selected, addrs, "{name}");
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
    assert_eq!(
        seen(&resolver, "b.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
}

/// A change of the overrides applies from the next call on, and before a cached answer.
#[tokio::test(start_paused = true)]
async fn overrides_may_change_while_in_use() {
    let script = Script::answer(&[9], 60);
    let resolver = script.resolver();
    for _ in 0..2 {
        assert_eq!(
            seen(&resolver, "a.test").await,
            (vec![ip(9)], AnswerSource::Fresh)
        );
    }
    resolver.overrides().set("a.test", [ip(1)]).unwrap();
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Override);
    assert_eq!(deal(&resolver, "a.test").await.unwrap()[0].ip(), ip(1));
    resolver.overrides().replace([(".test", [ip(2)])]).unwrap();
    assert_eq!(deal(&resolver, "a.test").await.unwrap()[0].ip(), ip(2));
    assert_eq!(resolver.overrides().get(".test"), Some(vec![ip(2)]));
    resolver.overrides().clear();
    assert_eq!(deal(&resolver, "a.test").await.unwrap()[0].ip(), ip(9));
    assert_eq!(
        script.asked("a.test"),
        1,
        "the cached answer is still fresh"
    );
}

/// Health orders overrides, also those of names that are never looked up.
#[tokio::test(start_paused = true)]
async fn health_applies_to_overrides() {
    let resolver = Script::answer(&[9], 60)
        .build(|builder| builder.overrides(table(&[("a.test", &[1, 2]), ("c.onion", &[1, 2])])));
    resolver.report("c.onion", ip(1), Outcome::Refused);
    let resolved = resolver.resolve("c.onion").await.unwrap();
    assert_eq!(resolved.addrs(), [ip(2), ip(1)]);
    resolver.report("a.test", ip(1), Outcome::Refused);
    for _ in 0..20 {
        let resolved = resolver.resolve("a.test").await.unwrap();
        assert_eq!(resolved.addrs(), [ip(2), ip(1)]);
    }
    let snapshot = resolver.snapshot();
    let host = snapshot.host("a.test").unwrap();
    assert_eq!(host.source, Some(AnswerSource::Override));
    assert_eq!(host.addr(ip(1)).unwrap().strikes, 1);
    assert_eq!(
        snapshot.lookups, 0,
        "a host with an override is not looked up"
    );
}

/// The user chooses the overrides, so the filter does not apply to them.
#[tokio::test(start_paused = true)]
async fn the_filter_applies_to_fallbacks_and_not_to_overrides() {
    let script = Script::new(down);
    let resolver = script.build(|builder| {
        builder
            .overrides(table(&[("pinned.test", &[1])]))
            .fallbacks(table(&[("a.test", &[1, 2]), ("b.test", &[1])]))
            .filter(|_, addr| addr != ip(1))
    });
    assert_eq!(seen(&resolver, "pinned.test").await.0, [ip(1)]);
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(2)], AnswerSource::Fallback)
    );
    let error = resolver.resolve("b.test").await.unwrap_err();
    assert!(error.to_string().contains("the lookup failed"), "{error}");
}

/// Each host has its own round, and a report does not take a turn.
#[tokio::test(start_paused = true)]
async fn round_robin_applies_to_overrides() {
    let resolver = Script::new(down).build(|builder| {
        builder
            .overrides(table(&[("a.test", &[1, 2]), ("b.test", &[1, 2])]))
            .address_order(sidestep::AddressOrder::RoundRobin)
            .prefer_family(Family::V4)
    });
    let mut leads = Vec::new();
    for _ in 0..4 {
        leads.push(resolver.resolve("a.test").await.unwrap().addrs()[0]);
        resolver.report("a.test", ip(1), Outcome::Connected);
        resolver.resolve("b.test").await.unwrap();
        let _ = resolver.snapshot();
    }
    assert_eq!(leads, [ip(1), ip(2), ip(1), ip(2)]);
}

/// A row that moves between a name and a suffix is found at any time.
#[test]
fn a_row_is_found_while_the_table_is_replaced() {
    let rows = table(&[("a.test", &[1])]);
    let writer = rows.clone();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writer.replace([(".test", [ip(2)])]).unwrap();
            writer.replace([("a.test", [ip(1)])]).unwrap();
        }
    });
    for _ in 0..50_000 {
        let answer = futures_util::FutureExt::now_or_never(rows.lookup("a.test"));
        answer.unwrap().unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writing.join().unwrap();
}

// Fallbacks.

/// A failed lookup of any kind makes the resolver serve fallbacks, and then for 30 s without another lookup.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_served_only_after_a_failed_lookup() {
    type Fails = fn(&str) -> Result<Answer, ResolveError>;
    let fails: [Fails; 3] = [
        down,
        |host| Err(ResolveError::not_found(host).with_negative_ttl(60 * S)),
        |_| Ok(Answer::new([])),
    ];
    for fails in fails {
        let script = Script::answer(&[9], 60);
        let rows = table(&[("a.test", &[1, 2]), (".b.test", &[3])]);
        let resolver = script.build(|builder| builder.fallbacks(rows));
        assert_eq!(seen(&resolver, "x.a.test").await.1, AnswerSource::Fresh);
        assert_eq!(seen(&resolver, "ok.b.test").await.1, AnswerSource::Fresh);
        script.say(fails);
        let expected = (vec![ip(1), ip(2)], AnswerSource::Fallback);
        assert_eq!(seen(&resolver, "a.test").await, expected);
        assert_eq!(
            seen(&resolver, "x.b.test").await,
            (vec![ip(3)], AnswerSource::Fallback)
        );
        resolver.resolve("other.test").await.unwrap_err();
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(seen(&resolver, "a.test").await, expected);
            deal(&resolver, "a.test").await.unwrap();
            assert_eq!(Instant::now(), begun);
            advance(S).await;
        }
        assert_eq!(script.asked("a.test"), 1, "no other lookup is sent");
    }
}

/// Callers of a host in use do not wait for the lookups that check whether the name server works again.
#[tokio::test(start_paused = true)]
async fn the_first_answer_of_a_lookup_ends_a_fallback() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1])])));
    seen(&resolver, "a.test").await;
    script.takes(2 * S);
    for _ in 0..300 {
        tokio::time::sleep(S).await;
        let begun = Instant::now();
        assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
        assert_eq!(Instant::now(), begun);
    }
    let lookups = script.asked("a.test");
    assert!((9..=14).contains(&lookups), "{lookups} lookups in 300 s");
    script.say(|_| Ok(answer(&[9], 60)));
    let mut seconds = 0;
    while seen(&resolver, "a.test").await.1 == AnswerSource::Fallback {
        tokio::time::sleep(S).await;
        seconds += 1;
    }
    assert!(seconds <= 32, "{seconds} s");
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_sends_a_lookup_before_a_fallback_is_served() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1])])));
    seen(&resolver, "a.test").await;
    resolver.invalidate("a.test");
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
    assert_eq!(script.asked("a.test"), 2);
    script.say(|_| Ok(answer(&[9], 60)));
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
    resolver.invalidate("a.test");
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
}

/// A stale answer of a name server is likely newer than the fallbacks of the program.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_before_a_fallback() {
    let script = Script::answer(&[9], 60);
    let resolver = script.build(|builder| {
        builder
            .fallbacks(table(&[("a.test", &[1])]))
            .max_stale(600 * S)
    });
    seen(&resolver, "a.test").await;
    script.say(down);
    advance(61 * S).await;
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(9)], AnswerSource::Stale)
    );
    advance(600 * S).await;
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(1)], AnswerSource::Fallback)
    );
}

/// Fallbacks do not expire, and the lookups run in the background.
#[tokio::test(start_paused = true)]
async fn no_caller_waits_while_fallbacks_are_served() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1])])));
    seen(&resolver, "a.test").await;
    script.takes(60 * S);
    for _ in 0..20 {
        tokio::time::sleep(40 * S).await;
        let begun = Instant::now();
        assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
        assert_eq!(Instant::now(), begun);
    }
}

/// Only the first caller of a slow lookup waits, for 1.8 s. The answer of the slow lookup is kept.
#[tokio::test(start_paused = true)]
async fn the_fallback_is_served_if_a_lookup_is_slow() {
    let script = Script::answer(&[9], 60);
    script.takes(4 * S);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1])])));
    let begun = Instant::now();
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
    assert_eq!(Instant::now() - begun, 1_800 * MS);
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
    assert_eq!(Instant::now() - begun, 1_800 * MS);
    tokio::time::sleep(3 * S).await;
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
    assert_eq!(script.asked("a.test"), 1);
}

/// A change of the fallbacks applies from the next call on, also to hosts that were served the old rows.
#[tokio::test(start_paused = true)]
async fn fallbacks_may_change_while_in_use() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder);
    resolver.resolve("a.test").await.unwrap_err();
    resolver.fallbacks().set("a.test", [ip(1)]).unwrap();
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(1)], AnswerSource::Fallback)
    );
    resolver.fallbacks().set("a.test", [ip(2)]).unwrap();
    assert_eq!(deal(&resolver, "a.test").await.unwrap()[0].ip(), ip(2));
    resolver.fallbacks().replace([(".test", [ip(3)])]).unwrap();
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(3)], AnswerSource::Fallback)
    );
    assert_eq!(script.asked("a.test"), 1);
    assert!(resolver.fallbacks().remove(".test"));
    resolver.resolve("a.test").await.unwrap_err();
    advance(S).await;
    resolver.resolve("a.test").await.unwrap_err();
    assert_eq!(
        script.asked("a.test"),
        2,
        "without a fallback the host is looked up"
    );
}

/// Health orders fallbacks. If all of them have failed, the host is looked up again.
#[tokio::test(start_paused = true)]
async fn health_applies_to_fallbacks() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1, 2])])));
    seen(&resolver, "a.test").await;
    // The backoff of the failed lookup ends before the next lookup.
    advance(2 * S).await;
    resolver.report("a.test", ip(1), Outcome::Refused);
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs(),
        [ip(2), ip(1)]
    );
    tokio::time::sleep(2 * S).await;
    script.say(|_| Ok(answer(&[9], 60)));
    resolver.report("a.test", ip(2), Outcome::Refused);
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
    assert_eq!(
        resolver.snapshot().served_fallbacks,
        2,
        "before and after the first report"
    );
}

#[tokio::test(start_paused = true)]
async fn a_served_fallback_is_an_event() {
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let resolver = Script::new(down).build(|builder| {
        let events = events.clone();
        builder
            .fallbacks(table(&[("a.test", &[1])]))
            .observe(move |event: &Event<'_>| {
                if let Event::FallbackServed { host, addrs, .. } = event {
                    events
                        .lock()
                        .unwrap()
                        .push(((*host).to_owned(), addrs.to_vec()));
                }
            })
    });
    seen(&resolver, "a.test").await;
    assert_eq!(
        *events.lock().unwrap(),
        [("a.test".to_owned(), vec![ip(1)])]
    );
}

/// While a lookup hangs and the fallbacks have failed, callers wait for that lookup only.
#[tokio::test(start_paused = true)]
async fn callers_do_not_wait_again_after_fallbacks_have_failed() {
    let script = Script::answer(&[9], 60);
    script.takes(60 * S);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1, 2])])));
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fallback);
        for last in [1, 2] {
            resolver.report("a.test", ip(last), Outcome::Refused);
        }
    }
    assert_eq!(Instant::now() - begun, 1_800 * MS);
    assert_eq!(script.asked("a.test"), 1);
}

/// Without a timer a caller cannot wait, so suspect answers and fallbacks are served at once.
#[test]
fn fallbacks_and_suspect_answers_are_served_without_a_runtime() {
    let script = Script::answer(&[9], 1);
    let fallbacks = table(&[("b.test", &[1])]);
    let resolver = script.build(|builder| builder.fallbacks(fallbacks).max_ttl(S));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { drop(resolver.resolve("a.test").await.unwrap()) });
    resolver.invalidate("a.test");
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (host, source) in [
        ("a.test", AnswerSource::Suspect),
        ("b.test", AnswerSource::Fallback),
    ] {
        let outside = futures_util::FutureExt::now_or_never(resolver.resolve(host));
        assert_eq!(
            outside.unwrap().unwrap().source(),
            source,
            "outside a runtime: {host}"
        );
        script.hold();
        let without_timer = bare.block_on(resolver.resolve(host)).unwrap();
        assert_eq!(without_timer.source(), source, "without a timer: {host}");
    }
}

/// Each host below a suffix has its own health.
#[tokio::test(start_paused = true)]
async fn the_snapshot_lists_hosts_below_an_overridden_suffix() {
    let resolver =
        Script::new(down).build(|builder| builder.overrides(table(&[(".b.test", &[1, 2])])));
    assert_eq!(
        resolver.resolve("x.b.test").await.unwrap().age(),
        Duration::ZERO
    );
    resolver.report("x.b.test", ip(1), Outcome::Refused);
    let snapshot = resolver.snapshot();
    let strikes = |host| snapshot.host(host).unwrap().addr(ip(1)).unwrap().strikes;
    assert_eq!((strikes("x.b.test"), strikes(".b.test")), (1, 0));
    assert_eq!(
        snapshot.hosts.len(),
        2,
        "the host and the suffix are listed once"
    );
    resolver.report("x.b.test", ip(9), Outcome::Refused);
    let failed = resolver.snapshot().failed_addresses;
    assert_eq!(
        failed, 1,
        "a report of an address of another host does not count"
    );
}

/// Fallbacks are ordered like the addresses of an answer (RFC 6724), and do not become stale.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_ordered_and_never_become_stale() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let rows = StaticHosts::new();
    rows.set("a.test", [v6, ip(1)]).unwrap();
    let resolver = Script::new(down).build(|builder| {
        let builder = builder.source_address(|to| to.is_ipv4().then_some(to));
        builder.fallbacks(rows)
    });
    for _ in 0..10 {
        let resolved = resolver.resolve("a.test").await.unwrap();
        assert_eq!(
            (resolved.addrs(), resolved.source()),
            (&[ip(1), v6][..], AnswerSource::Fallback)
        );
        advance(31 * S).await;
    }
    let snapshot = resolver.snapshot();
    assert!(
        snapshot.served_stale == 0 && snapshot.served_fallbacks > 1,
        "{snapshot:?}"
    );
}

/// A fallback that is served because a lookup is slow counts as served, and `max_hosts` bounds its hosts.
#[tokio::test(start_paused = true)]
async fn a_fallback_for_a_slow_lookup_is_counted_and_bounded() {
    let script = Script::new(down);
    script.takes(60 * S);
    let resolver =
        script.build(|builder| builder.fallbacks(table(&[(".test", &[1])])).max_hosts(4));
    let names: Vec<String> = (0..50).map(|n| format!("h{n}.test")).collect();
    let all = names.iter().map(|name| seen(&resolver, name));
    futures_util::future::join_all(all).await;
    assert_eq!(resolver.snapshot().served_fallbacks, 50);
    tokio::time::sleep(10 * S).await;
    assert!(resolver.snapshot().hosts.len() <= 4);
}

// Lookups.

/// NXDOMAIN and NODATA are answers too. A lookup that hangs leaves time for the next one.
#[tokio::test(start_paused = true)]
async fn a_chain_tries_its_lookups_until_one_answers() {
    let (first, second) = (Script::new(down), Script::answer(&[2], 60));
    let lookup = Chain::new(first.clone()).or(second.clone());
    let resolver = Resolver::builder().lookup(lookup).build().unwrap();
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(2)], AnswerSource::Fresh)
    );
    first.takes(60 * S);
    let begun = Instant::now();
    assert_eq!(seen(&resolver, "b.test").await.0, [ip(2)]);
    assert_eq!(Instant::now() - begun, 2_500 * MS);
    first.takes(Duration::ZERO);
    first.say(|host| Err(ResolveError::not_found(host)));
    assert!(resolver.resolve("c.test").await.unwrap_err().is_not_found());
    first.say(|_| Ok(Answer::new([])));
    assert!(
        resolver
            .resolve("d.test")
            .await
            .unwrap_err()
            .is_no_records()
    );
    assert_eq!((second.asked("c.test"), second.asked("d.test")), (0, 0));
    assert!(
        Chain::new(first)
            .per_lookup_timeout(Duration::ZERO)
            .is_err()
    );
}

/// Three lookups share the time limit. The lifetime of an answer counts from when its own lookup was sent.
#[tokio::test(start_paused = true)]
async fn the_last_lookup_of_a_chain_is_sent_within_the_time_limit() {
    let (hangs, good) = (Script::new(down), Script::answer(&[2], 1));
    hangs.takes(60 * S);
    let lookup = Chain::new(hangs.clone()).or(hangs).or(good.clone());
    let builder = Resolver::builder().lookup(lookup).max_stale(Duration::ZERO);
    let resolver = builder.build().unwrap();
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(2)], AnswerSource::Fresh)
    );
    advance(900 * MS).await;
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(2)], AnswerSource::Fresh)
    );
    assert_eq!(good.asked("a.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn static_hosts_are_a_lookup() {
    let rows = table(&[("a.test", &[1])]);
    let answer = rows.lookup("a.test").await.unwrap();
    assert_eq!(answer, Answer::new([ip(1)]));
    let resolver = Resolver::builder().lookup(rows).build().unwrap();
    assert_eq!(
        seen(&resolver, "a.test").await,
        (vec![ip(1)], AnswerSource::Fresh)
    );
    assert!(resolver.resolve("b.test").await.unwrap_err().is_not_found());
}

/// A host whose old lookup has failed is looked up at once by the new lookup.
#[tokio::test(start_paused = true)]
async fn fresh_answers_stay_when_the_lookup_is_replaced() {
    let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
    let resolver = old.resolver();
    seen(&resolver, "good.test").await;
    old.say(|host| Err(ResolveError::not_found(host).with_negative_ttl(60 * S)));
    resolver.resolve("bad.test").await.unwrap_err();
    resolver.set_lookup(new.clone());
    assert_eq!(
        seen(&resolver, "good.test").await,
        (vec![ip(1)], AnswerSource::Fresh)
    );
    assert_eq!(seen(&resolver, "bad.test").await.0, [ip(2)]);
    assert_eq!((new.asked("good.test"), old.asked("bad.test")), (0, 1));
    advance(61 * S).await;
    assert_eq!(seen(&resolver, "good.test").await.0, [ip(2)]);
}

/// A caller of the old lookup gets the newer answer, whether the old lookup fails or not. A later caller does not
/// wait for the old lookup.
#[tokio::test(start_paused = true)]
async fn callers_do_not_join_the_in_flight_lookup_of_a_replaced_lookup() {
    for fails in [false, true] {
        let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
        old.takes(3 * S);
        if fails {
            old.say(down);
        }
        let resolver = old.resolver();
        let caller = tokio::spawn({
            let resolver = resolver.clone();
            async move { seen(&resolver, "a.test").await.0 }
        });
        tokio::time::sleep(S).await;
        resolver.set_lookup(new.clone());
        let begun = Instant::now();
        assert_eq!(seen(&resolver, "a.test").await.0, [ip(2)]);
        assert_eq!(Instant::now(), begun);
        assert_eq!(
            caller.await.unwrap(),
            [ip(2)],
            "the newer answer is cached by then"
        );
        assert_eq!(seen(&resolver, "a.test").await.0, [ip(2)]);
        assert_eq!(new.asked("a.test"), 1);
    }
}

/// The old lookup takes longer than the lifetime of the new answer, so its caller sends another lookup.
#[tokio::test(start_paused = true)]
async fn a_caller_of_a_replaced_lookup_gets_no_expired_answer() {
    let (old, new) = (Script::new(down), Script::answer(&[2], 1));
    old.takes(4 * S);
    let builder = Resolver::builder().lookup(old).max_stale(Duration::ZERO);
    let resolver = builder.build().unwrap();
    let caller = tokio::spawn({
        let resolver = resolver.clone();
        async move { seen(&resolver, "a.test").await }
    });
    tokio::time::sleep(S).await;
    resolver.set_lookup(new);
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fresh);
    assert_eq!(caller.await.unwrap(), (vec![ip(2)], AnswerSource::Fresh));
}

/// The answer of the old lookup is kept if there is no newer answer.
#[tokio::test(start_paused = true)]
async fn the_answer_of_a_replaced_lookup_is_kept() {
    let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
    old.takes(S);
    let resolver = old.resolver();
    let caller = tokio::spawn({
        let resolver = resolver.clone();
        async move { seen(&resolver, "a.test").await.0 }
    });
    tokio::task::yield_now().await;
    resolver.set_lookup(new.clone());
    assert_eq!(caller.await.unwrap(), [ip(1)]);
    assert_eq!(seen(&resolver, "a.test").await.0, [ip(1)]);
    assert_eq!(new.asked("a.test"), 0);
}

/// The name server is down, and fallbacks serve many hosts, whose addresses fail. The lookups after failed connects
/// have one limit for all hosts, and a call above the limit gets the fallback.
#[tokio::test(start_paused = true)]
async fn hosts_on_fallbacks_share_the_limit_of_lookups() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[(".fallback.test", &[9])])));
    let hosts: Vec<_> = (0..400).map(|n| format!("{n}.fallback.test")).collect();
    for host in &hosts {
        assert_eq!(sorted(&resolver, host).await, [ip(9)]);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lookups = || hosts.iter().map(|host| script.asked(host)).sum::<usize>();
    let before = lookups();
    for host in &hosts {
        resolver.report(host, ip(9), Outcome::Refused);
        assert_eq!(sorted(&resolver, host).await, [ip(9)]);
    }
    let more = lookups() - before;
    assert!(more <= 250, "{more} lookups of 400 hosts at once");
}

/// A look at the resolver emits no event, although the fallbacks pass through the filter each time.
#[tokio::test(start_paused = true)]
async fn a_refused_fallback_is_an_event_of_a_failed_lookup() {
    let script = Script::new(down);
    let resolver = script.build(|builder| {
        let fallbacks = table(&[("a.test", &[8, 9])]);
        builder.fallbacks(fallbacks).filter(|_, addr| addr != ip(8))
    });
    for _ in 0..20 {
        assert_eq!(sorted(&resolver, "a.test").await, [ip(9)]);
        let _ = resolver.snapshot();
    }
    let refused = resolver.snapshot().refused_addresses;
    assert_eq!(
        refused,
        script.asked("a.test") as u64,
        "one for each failed lookup"
    );
}
