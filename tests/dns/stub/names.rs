//! Tests which names are queried: the search list, `ndots`, the root dot, and any ASCII name.

use testkit::{Fault, RecordType};

use super::{MS, Stage, V6, addrs};

/// The searched name has an IPv6 address, and the name itself has IPv4 alone.
#[tokio::test]
async fn a_name_that_exists_is_not_mixed_with_a_searched_one() {
    let stage = Stage::new(1).await;
    let host = "github.example.com";
    stage.dns().set(host, &[stage.right()], 60);
    stage.dns().set("github.example.com.corp.test", &[V6], 60);
    let resolver = stage.resolver(|dns| dns.search(["corp.test"]), |builder| builder);
    assert_eq!(stage.get(&resolver, host).await, stage.right());
    assert_eq!(addrs(&resolver, host).await, [stage.right()]);
    assert_eq!(stage.total(), 2, "both families of one candidate");
}

/// The A record below one search domain and the AAAA record below the next belong to two hosts.
#[tokio::test]
async fn two_candidates_are_never_mixed() {
    let stage = Stage::new(1).await;
    stage.dns().set("web.a.test", &[stage.right()], 60);
    stage.dns().set("web.b.test", &[V6], 60);
    let resolver = stage.resolver(|dns| dns.search(["a.test", "b.test"]), |builder| builder);
    assert_eq!(stage.get(&resolver, "web").await, stage.right());
    assert_eq!(addrs(&resolver, "web").await, [stage.right()]);
}

/// The host of `http://api.example.com./` is queried without the search list.
#[tokio::test]
async fn a_root_dot_makes_a_name_absolute() {
    let stage = Stage::new(1).await;
    stage.dns().set("api.example.com", &[stage.right()], 60);
    let searched = "api.example.com.corp.test";
    stage.dns().set(searched, &[stage.wrong()], 60);
    let search = ["ns.svc.test", "corp.test"];
    let resolver = stage.resolver(|dns| dns.search(search).ndots(5), |builder| builder);
    assert_eq!(
        stage.get(&resolver, "api.example.com.").await,
        stage.right()
    );
    assert_eq!(stage.total(), 2);
    assert_eq!(stage.get(&resolver, "api.example.com").await, stage.wrong());
    assert_eq!(
        stage.get(&resolver, "API.example.com.").await,
        stage.right()
    );
    assert_eq!(
        stage.total(),
        2 + 4,
        "the names with and without the root dot are cached separately"
    );
    resolver.invalidate("api.example.com.");
    assert_eq!(
        stage.get(&resolver, "api.example.com.").await,
        stage.right()
    );
    assert_eq!(stage.total(), 2 + 4 + 2);
    assert_eq!(resolver.snapshot().hosts.len(), 2);
    assert!(resolver.snapshot().host("api.example.com.").is_some());
}

/// If the name fails and the searched name is NXDOMAIN, the cached answer stays.
#[tokio::test]
async fn a_searched_nxdomain_does_not_hide_a_failure() {
    let stage = Stage::new(1).await;
    let host = "api.example.com";
    stage.dns().set(host, &[stage.right()], 60);
    let resolver = stage.resolver(
        |dns| dns.search(["corp.test"]),
        |builder| builder.min_ttl(50 * MS).max_ttl(50 * MS),
    );
    assert_eq!(stage.get(&resolver, host).await, stage.right());
    stage.dns().fault_of(host, Fault::ServFail);
    resolver.invalidate(host);
    for _ in 0..3 {
        assert_eq!(stage.get(&resolver, host).await, stage.right());
    }
    stage
        .dns()
        .asked("api.example.com.corp.test", RecordType::A, 1)
        .await;
}

/// A name is queried as it is, without IDNA and without the rules of host names.
#[tokio::test]
async fn any_ascii_name_is_queried_as_it_is() {
    let stage = Stage::new(1).await;
    let label = "a".repeat(63);
    let longest = [&label[..], &label, &label, &label[..61]].join(".");
    assert_eq!(longest.len(), 253);
    let names = [
        "my_service.test",
        "_dmarc.example.test",
        "9front.test",
        "123.test",
        "xn--zzzz-not-punycode-.test",
        "xn--a.test",
        "-dash-.test",
        "a--b.test",
        &longest,
        "single",
    ];
    let resolver = stage.resolver(|dns| dns, |builder| builder);
    for name in names {
        stage.dns().set(name, &[stage.right()], 60);
        assert_eq!(addrs(&resolver, name).await, [stage.right()], "{name}");
    }
    let host = "my_service.test";
    assert_eq!(stage.get(&resolver, host).await, stage.right());
    assert_eq!(stage.get(&resolver, "9front.test").await, stage.right());
    let total = stage.total();
    for name in ["a..b", &"a".repeat(64), &format!("{longest}a")] {
        assert!(resolver.resolve(name).await.unwrap_err().is_invalid_name());
    }
    assert_eq!(stage.total(), total);
}

#[tokio::test]
async fn only_the_configured_families_are_queried() {
    use sidestep::lookup::IpStrategy;
    for (strategy, rtype, addr) in [
        (IpStrategy::Ipv4Only, RecordType::A, None),
        (IpStrategy::Ipv6Only, RecordType::AAAA, Some(V6)),
    ] {
        let stage = Stage::new(1).await;
        stage.dns().set("edge.test", &[stage.right(), V6], 60);
        let resolver = stage.resolver(|dns| dns.ip_strategy(strategy), |builder| builder);
        let addr = addr.unwrap_or_else(|| stage.right());
        assert_eq!(addrs(&resolver, "edge.test").await, [addr]);
        assert_eq!(stage.dns().queries("edge.test", rtype), 1);
        assert_eq!(stage.total(), 1);
    }
}
