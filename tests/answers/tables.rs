//! Fixed and fallback addresses, and the lookup that is asked, all changed while in use.

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

async fn seen(resolver: &Resolver, host: &str) -> (Vec<IpAddr>, AnswerSource) {
    let resolved = resolver.resolve(host).await.unwrap();
    let mut addrs = resolved.addrs().to_vec();
    addrs.sort();
    (addrs, resolved.source())
}

// Pins.

/// By exact name and by suffix, in whatever spelling, without a lookup; also names that never
/// leave the machine.
#[tokio::test(start_paused = true)]
async fn pinned_addresses_are_answered_before_any_lookup() {
    let script = Script::answer(&[9], 60);
    let pins = table(&[("a.test", &[1, 2]), (".b.test", &[3]), ("c.onion", &[4])]);
    let resolver = script.build(|builder| builder.overrides(pins));
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
        let mut dealt: Vec<IpAddr> = deal(&resolver, name).await.unwrap()[..addrs.len()]
            .iter()
            .map(SocketAddr::ip)
            .collect();
        dealt.sort();
        assert_eq!(dealt, addrs, "{name}");
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
    assert_eq!(
        seen(&resolver, "b.test").await,
        (vec![ip(9)], AnswerSource::Fresh)
    );
}

/// A pin holds from the next question on, over what is cached, and its end too.
#[tokio::test(start_paused = true)]
async fn pins_change_while_in_use() {
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
    assert_eq!(script.asked("a.test"), 1, "what was good is still good");
}

/// Also to names that never leave the machine.
#[tokio::test(start_paused = true)]
async fn health_applies_to_pinned_addresses() {
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
    assert_eq!(snapshot.lookups, 0, "there is nothing to look up again");
}

/// Who pins an address means it.
#[tokio::test(start_paused = true)]
async fn pins_pass_no_filter_and_fallbacks_do() {
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

/// Each host by itself, and not moved on by a report.
#[tokio::test(start_paused = true)]
async fn in_turn_pinned_addresses_take_turns_too() {
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

/// A row that moves between a name and a suffix is found at each moment.
#[test]
fn a_replaced_table_has_no_gap() {
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

/// Not while a lookup answers; when it fails, whatever way; then at once and without asking, for
/// 30 s.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_used_only_after_the_lookup_failed() {
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
        assert_eq!(script.asked("a.test"), 1, "nobody is asked for a while");
    }
}

/// In steady use nobody waits for the lookups that find out whether the network is back.
#[tokio::test(start_paused = true)]
async fn the_first_answer_of_the_network_ends_a_fallback() {
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
    let asked = script.asked("a.test");
    assert!((9..=14).contains(&asked), "asked {asked} times in 300 s");
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
async fn an_invalidation_asks_the_network_before_the_fallback() {
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

/// What a name server said, even long ago, goes before what was compiled in.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_goes_before_a_fallback() {
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

/// After their life too: what the program knows does not age, and asking is for the background.
#[tokio::test(start_paused = true)]
async fn nobody_waits_once_fallbacks_are_in_service() {
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

/// A lookup that hangs costs a caller 1.8 s, once; what it brings in the end is not lost.
#[tokio::test(start_paused = true)]
async fn a_slow_lookup_serves_the_fallback() {
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

/// A change holds from the next question on, also for hosts that are served the old rows.
#[tokio::test(start_paused = true)]
async fn fallbacks_change_while_in_use() {
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
    assert_eq!(script.asked("a.test"), 2, "now the network is all there is");
}

/// All dead: the host is looked up again, and health orders what there is.
#[tokio::test(start_paused = true)]
async fn health_applies_to_fallbacks() {
    let script = Script::new(down);
    let resolver = script.build(|builder| builder.fallbacks(table(&[("a.test", &[1, 2])])));
    seen(&resolver, "a.test").await;
    // The failure is waited out before the host is looked up again.
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
        "after the first report too"
    );
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_a_fallback() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let resolver = Script::new(down).build(|builder| {
        let told = told.clone();
        builder
            .fallbacks(table(&[("a.test", &[1])]))
            .observe(move |event: &Event<'_>| {
                if let Event::FallbackServed { host, addrs, .. } = event {
                    told.lock()
                        .unwrap()
                        .push(((*host).to_owned(), addrs.to_vec()));
                }
            })
    });
    seen(&resolver, "a.test").await;
    assert_eq!(*told.lock().unwrap(), [("a.test".to_owned(), vec![ip(1)])]);
}

/// While a lookup hangs and the fallbacks are dead, nobody waits for more than that lookup.
#[tokio::test(start_paused = true)]
async fn dead_fallbacks_give_no_new_hope() {
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

/// Outside of any runtime there is no timer to wait by: what is known is served.
#[test]
fn without_a_runtime_fallbacks_and_stale_answers_are_served() {
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
            "outside: {host}"
        );
        script.hold();
        let without_timer = bare.block_on(resolver.resolve(host)).unwrap();
        assert_eq!(without_timer.source(), source, "without a timer: {host}");
    }
}

/// Health is kept for each host, also for those that a suffix stands for.
#[tokio::test(start_paused = true)]
async fn the_snapshot_shows_hosts_below_a_pinned_suffix() {
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
    assert_eq!(snapshot.hosts.len(), 2, "each once");
    resolver.report("x.b.test", ip(9), Outcome::Refused);
    let failed = resolver.snapshot().failed_addresses;
    assert_eq!(failed, 1, "what is not the host's is left out of account");
}

/// As an answer's addresses are: RFC 6724, and no event of a stale answer when their life is over.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_ordered_and_are_never_stale() {
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

/// A fallback that a slow lookup is replaced by is told, counted and bounded as any.
#[tokio::test(start_paused = true)]
async fn a_fallback_for_a_slow_lookup_is_one_too() {
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

/// The first that answers; one that hangs leaves time for the next; "no such name" is an answer.
#[tokio::test(start_paused = true)]
async fn one_lookup_after_another_is_asked_until_one_answers() {
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

/// Of three the first two share the time with the third, and an answer lives from when it was
/// asked for.
#[tokio::test(start_paused = true)]
async fn the_last_of_many_lookups_is_asked_in_time() {
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
async fn a_table_is_a_lookup_too() {
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

/// Another lookup: what is good stays, what had failed is asked of it at once.
#[tokio::test(start_paused = true)]
async fn a_switched_lookup_drops_nothing_that_is_good() {
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

/// Who waits for a lookup of the old one gets its answer, or the new one's if it fails; who comes
/// later does not wait for it.
#[tokio::test(start_paused = true)]
async fn a_switch_lets_lookups_in_flight_go() {
    for fails in [false, true] {
        let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
        old.takes(3 * S);
        if fails {
            old.say(down);
        }
        let resolver = old.resolver();
        let early = tokio::spawn({
            let resolver = resolver.clone();
            async move { seen(&resolver, "a.test").await.0 }
        });
        tokio::time::sleep(S).await;
        resolver.set_lookup(new.clone());
        let begun = Instant::now();
        assert_eq!(seen(&resolver, "a.test").await.0, [ip(2)]);
        assert_eq!(Instant::now(), begun);
        assert_eq!(
            early.await.unwrap(),
            [ip(2)],
            "the newer answer is known by then"
        );
        assert_eq!(seen(&resolver, "a.test").await.0, [ip(2)]);
        assert_eq!(new.asked("a.test"), 1);
    }
}

/// Who waited for the old lookup for longer than the new one's answer lives asks again.
#[tokio::test(start_paused = true)]
async fn a_waiter_that_was_let_go_gets_no_answer_past_its_life() {
    let (old, new) = (Script::new(down), Script::answer(&[2], 1));
    old.takes(4 * S);
    let builder = Resolver::builder().lookup(old).max_stale(Duration::ZERO);
    let resolver = builder.build().unwrap();
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { seen(&resolver, "a.test").await }
    });
    tokio::time::sleep(S).await;
    resolver.set_lookup(new);
    assert_eq!(seen(&resolver, "a.test").await.1, AnswerSource::Fresh);
    assert_eq!(early.await.unwrap(), (vec![ip(2)], AnswerSource::Fresh));
}

/// With nothing newer, the answer of the old lookup counts.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_on_its_way_is_not_lost() {
    let (old, new) = (Script::answer(&[1], 60), Script::answer(&[2], 60));
    old.takes(S);
    let resolver = old.resolver();
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { seen(&resolver, "a.test").await.0 }
    });
    tokio::task::yield_now().await;
    resolver.set_lookup(new.clone());
    assert_eq!(early.await.unwrap(), [ip(1)]);
    assert_eq!(seen(&resolver, "a.test").await.0, [ip(1)]);
    assert_eq!(new.asked("a.test"), 0);
}
