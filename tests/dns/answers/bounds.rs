//! Tests behavior A10: the bounds of a resolver and of its settings.

use super::*;

#[tokio::test(start_paused = true)]
async fn lookups_of_many_hosts_do_not_exceed_the_capacity() {
    let script = Script::answer(&[1], 60);
    let resolver = Resolver::builder()
        .lookup(script.clone())
        .max_hosts(64)
        .build()
        .unwrap();
    sorted(&resolver, "hot.test").await;
    for n in 0..5_000 {
        advance(200 * MS).await;
        sorted(&resolver, &format!("h{n}.attacker.test")).await;
        sorted(&resolver, "hot.test").await;
        assert!(resolver.snapshot().hosts.len() <= 64);
    }
    // In 1 000 s only refreshes look the host up, at 80 to 90 % of its lifetime. The host is never evicted.
    let lookups = script.asked("hot.test");
    assert!(lookups <= 2 + 1_000 / 48, "{lookups} lookups");
}

/// An attacker looks up 100 000 hosts at once. The resolver keeps `max_hosts` hosts, among them the host in use and
/// the host with a penalty.
#[tokio::test(start_paused = true)]
async fn a_flood_of_hosts_evicts_neither_a_host_in_use_nor_a_penalty() {
    let script = Script::answer(&[1, 2], 60);
    let builder = Resolver::builder().lookup(script.clone());
    let resolver = builder.max_hosts(1_000).build().unwrap();
    for name in ["hot.test", "bad.test"] {
        sorted(&resolver, name).await;
    }
    resolver.report("bad.test", ip(1), Outcome::Refused);
    for n in 0..100_000 {
        sorted(&resolver, &format!("h{n}.attacker.test")).await;
        if n % 500 == 0 {
            sorted(&resolver, "hot.test").await;
        }
    }
    assert!(resolver.snapshot().hosts.len() <= 1_000);
    assert_eq!((script.asked("hot.test"), script.asked("bad.test")), (1, 1));
    let resolved = resolver.resolve("bad.test").await.unwrap();
    assert_eq!(resolved.addrs(), [ip(2), ip(1)]);
    tokio::time::sleep(MS).await;
    assert_eq!(
        script.asked("bad.test"),
        2,
        "the next caller sends a lookup"
    );
}

/// In-flight lookups may exceed the capacity. When they complete, the resolver evicts the excess hosts.
#[tokio::test(start_paused = true)]
async fn the_capacity_holds_again_after_a_burst_of_lookups() {
    let script = Script::answer(&[1], 60);
    script.takes(S);
    let builder = Resolver::builder().lookup(script);
    let resolver = builder.max_hosts(4).build().unwrap();
    let names: Vec<String> = (0..200).map(|n| format!("h{n}.test")).collect();
    let all = names.iter().map(|name| resolver.resolve(name));
    futures_util::future::join_all(all).await;
    assert!(resolver.snapshot().hosts.len() <= 4);
}

#[tokio::test(start_paused = true)]
async fn an_answer_keeps_64_addresses_and_a_connector_gets_four_of_each_family() {
    let many = (0..5_000_u16).flat_map(|n| {
        let [a, b] = n.to_be_bytes();
        [
            IpAddr::from([10, 0, a, b]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]),
        ]
    });
    let many: Vec<IpAddr> = many.collect();
    let script = Script::new(move |_| Ok(Answer::new(many.clone())));
    let resolver = script.resolver();
    assert_eq!(resolver.resolve("a.test").await.unwrap().addrs().len(), 64);
    let selected = deal(&resolver, "a.test").await.unwrap();
    let v6 = selected.iter().filter(|addr| addr.is_ipv6()).count();
    assert_eq!((v6, selected.len()), (4, 8));
}

#[test]
fn the_error_of_an_invalid_setting_names_its_setter() {
    type Set = fn(sidestep::ResolverBuilder) -> sidestep::ResolverBuilder;
    let bad: [(&str, Set); 10] = [
        ("slow_connect_after", |b| {
            b.slow_connect_after(Duration::MAX)
        }),
        ("max_ttl", |b| b.max_ttl(500 * MS)),
        ("min_ttl", |b| b.min_ttl(61 * S)),
        ("max_ttl", |b| b.max_ttl(Duration::ZERO)),
        ("max_ttl", |b| b.max_ttl(Duration::MAX)),
        ("max_hosts", |b| b.max_hosts(0)),
        ("lookup_timeout", |b| b.lookup_timeout(Duration::ZERO)),
        ("max_stale", |b| b.max_stale(Duration::MAX)),
        ("serve_stale_after", |b| b.serve_stale_after(Duration::MAX)),
        ("slow_connect_after", |b| {
            b.slow_connect_after(Duration::ZERO)
        }),
    ];
    for (setter, set) in bad {
        let error = set(Resolver::builder()).build().unwrap_err();
        assert_eq!(error.setter(), setter);
        assert!(
            error
                .to_string()
                .starts_with(&format!("invalid {setter}: ")),
            "{error}"
        );
    }
}

/// Hosts of an attacker, whose addresses fail, evict neither the host in use nor its refresh.
#[tokio::test(start_paused = true)]
async fn failing_hosts_do_not_evict_a_host_in_use() {
    let script = Script::answer(&[1, 2], 60);
    let builder = Resolver::builder().lookup(script.clone());
    let resolver = builder.max_hosts(64).build().unwrap();
    sorted(&resolver, "hot.test").await;
    for n in 0..2_000 {
        let name = format!("h{n}.attacker.test");
        for _ in 0..2 {
            sorted(&resolver, &name).await;
        }
        resolver.report(&name, ip(1), Outcome::Refused);
        sorted(&resolver, "hot.test").await;
    }
    // Before the first sweep all hosts have the same age, and the sweep evicts one in sixty.
    assert!(script.asked("hot.test") <= 2);
    script.takes(2 * S);
    for second in 0..120 {
        tokio::time::sleep(S).await;
        let begun = Instant::now();
        sorted(&resolver, "hot.test").await;
        assert_eq!(Instant::now(), begun, "at {second} s");
    }
}

/// The cut to 64 addresses keeps both families.
#[tokio::test(start_paused = true)]
async fn the_cut_of_many_addresses_keeps_both_families() {
    let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    for (v4s, v6s, kept) in [
        (200_u8, 3_u16, 3),
        (3, 200, 61),
        (200, 50, 32),
        (40, 10, 10),
    ] {
        let addrs: Vec<IpAddr> = (0..v4s).map(ip).chain((0..v6s).map(v6)).collect();
        let script = Script::new(move |_| Ok(Answer::new(addrs.clone())));
        let resolved = script.resolver().resolve("a.test").await.unwrap();
        let all = usize::from(v4s) + usize::from(v6s);
        assert_eq!(resolved.addrs().len(), all.min(64), "{v4s} and {v6s}");
        let of_v6 = resolved
            .addrs()
            .iter()
            .filter(|addr| addr.is_ipv6())
            .count();
        assert_eq!(of_v6, kept, "{v4s} and {v6s}");
    }
}

#[test]
fn resolvers_of_one_builder_are_independent() {
    let builder = Resolver::builder().lookup(Script::answer(&[1], 60));
    let (one, other) = (builder.clone().build().unwrap(), builder.build().unwrap());
    one.overrides().set("a.test", [ip(1)]).unwrap();
    assert!(other.overrides().is_empty());
}
