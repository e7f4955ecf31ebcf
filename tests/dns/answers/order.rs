//! Tests behavior A8: the order in which addresses are returned.

use super::*;
use sidestep::{AddressOrder, Family, ResolverBuilder};

fn v6(last: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into()
}

/// Makes a resolver whose answers have these addresses, on a machine with these source addresses.
fn dual_stack(
    addrs: &'static [fn() -> IpAddr],
    source: fn(IpAddr) -> Option<IpAddr>,
    set: impl FnOnce(ResolverBuilder) -> ResolverBuilder,
) -> Resolver {
    let script = Script::new(move |_| Ok(Answer::new(addrs.iter().map(|addr| addr()))));
    let builder = Resolver::builder().lookup(script).source_address(source);
    set(builder).build().unwrap()
}

const BOTH: &[fn() -> IpAddr] = &[|| ip(1), || v6(1), || ip(2), || v6(2)];

async fn families(resolver: &Resolver) -> Vec<bool> {
    let addrs = deal(resolver, "a.test").await.unwrap();
    addrs.iter().map(SocketAddr::is_ipv6).collect()
}

#[tokio::test(start_paused = true)]
async fn families_take_turns_and_ipv6_goes_first() {
    let resolver = dual_stack(BOTH, Some, |builder| builder);
    let mut first = [0; 2];
    for _ in 0..200 {
        let addrs = deal(&resolver, "a.test").await.unwrap();
        assert_eq!(families(&resolver).await, [true, false, true, false]);
        first[usize::from(addrs[0].ip() == v6(1))] += 1;
    }
    // The expected count is 100 with a standard deviation of 7. The limits are six deviations away.
    assert!(
        first.iter().all(|n| (58..=142).contains(n)),
        "each call shuffles the addresses: {first:?}"
    );
}

/// IPv6 has no route, or only a unique local source address (RFC 6724, rules 1 and 5).
#[tokio::test(start_paused = true)]
async fn ipv6_without_a_usable_source_address_goes_second() {
    let sources: [fn(IpAddr) -> Option<IpAddr>; 2] = [
        |to| to.is_ipv4().then_some(to),
        |to| match to {
            IpAddr::V4(_) => Some(to),
            IpAddr::V6(_) => Some([0xfd00, 0, 0, 0, 0, 0, 0, 2].into()),
        },
    ];
    for source in sources {
        let resolver = dual_stack(BOTH, source, |builder| builder);
        assert_eq!(families(&resolver).await, [false, true, false, true]);
        let resolver = dual_stack(BOTH, source, |builder| builder.prefer_family(Family::V6));
        assert_eq!(
            families(&resolver).await,
            [true, false, true, false],
            "unless IPv6 is preferred"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ipv4_goes_first_if_it_is_preferred() {
    let resolver = dual_stack(BOTH, Some, |builder| builder.prefer_family(Family::V4));
    assert_eq!(families(&resolver).await, [false, true, false, true]);
}

/// Unique local addresses go after global addresses (RFC 6724, rule 6), and each group is shuffled.
#[tokio::test(start_paused = true)]
async fn only_addresses_of_equal_precedence_are_shuffled() {
    const LOCAL: &[fn() -> IpAddr] = &[
        || [0xfd00, 0, 0, 0, 0, 0, 0, 7].into(),
        || v6(1),
        || [0xfd00, 0, 0, 0, 0, 0, 0, 8].into(),
        || v6(2),
    ];
    let resolver = dual_stack(LOCAL, Some, |builder| builder);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let addrs = deal(&resolver, "a.test").await.unwrap();
        let class = |addr: &SocketAddr| addr.ip() == v6(1) || addr.ip() == v6(2);
        assert_eq!(
            addrs.iter().map(class).collect::<Vec<_>>(),
            [true, true, false, false]
        );
        seen.insert(addrs);
    }
    assert_eq!(seen.len(), 4, "two orders of each group");
}

/// After an attempt without a route its family goes second for all hosts, for 10 s or until the family connects.
#[tokio::test(start_paused = true)]
async fn a_family_without_a_route_goes_second_for_10_s() {
    let resolver = dual_stack(BOTH, Some, |builder| builder);
    resolver.resolve("other.test").await.unwrap();
    resolver.report("other.test", v6(1), Outcome::NoRoute);
    assert_eq!(families(&resolver).await, [false, true, false, true]);
    advance(10 * S).await;
    assert_eq!(families(&resolver).await, [true, false, true, false]);
    resolver.report("other.test", v6(1), Outcome::NoRoute);
    resolver.report("other.test", v6(2), Outcome::Connected);
    assert_eq!(families(&resolver).await, [true, false, true, false]);
}

/// Makes a resolver that begins with the next address at each call.
fn round_robin(script: Script) -> Resolver {
    let builder = Resolver::builder().lookup(script);
    let builder = builder.ipv4_mapped_fallback(false);
    let builder = builder.address_order(AddressOrder::RoundRobin);
    builder.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn round_robin_begins_with_the_next_address_at_each_call() {
    let script = Script::answer(&[1, 2, 3], 60);
    let resolver = round_robin(script);
    let mut leads = Vec::new();
    for _ in 0..7 {
        leads.push(deal(&resolver, "a.test").await.unwrap()[0].ip());
    }
    assert_eq!(leads, [1, 2, 3, 1, 2, 3, 1].map(ip));
}

/// `AddressOrder::Preserve` keeps the order of the name server across families. Health takes precedence.
#[tokio::test(start_paused = true)]
async fn preserve_keeps_the_order_of_the_name_server() {
    let resolver = dual_stack(BOTH, Some, |builder| {
        builder.address_order(AddressOrder::Preserve)
    });
    for _ in 0..20 {
        let resolved = resolver.resolve("a.test").await.unwrap();
        assert_eq!(resolved.addrs(), [ip(1), v6(1), ip(2), v6(2)]);
    }
    resolver.report("a.test", ip(1), Outcome::Refused);
    let resolved = resolver.resolve("a.test").await.unwrap();
    assert_eq!(resolved.addrs()[3], ip(1), "the failed address goes last");
}

/// A new answer continues the round. The other addresses share the turns of a failed address.
#[tokio::test(start_paused = true)]
async fn a_round_continues_with_a_new_answer_and_skips_a_failed_address() {
    let script = Script::answer(&[1, 2, 3, 4, 5, 6], 5);
    let resolver = round_robin(script);
    let mut leads = std::collections::BTreeMap::<IpAddr, usize>::new();
    for _ in 0..12 {
        let addrs = deal(&resolver, "a.test").await.unwrap();
        *leads.entry(addrs[0].ip()).or_default() += 1;
        advance(6 * S).await;
    }
    assert!(
        leads.len() == 6 && leads.values().all(|&n| n == 2),
        "{leads:?}"
    );
    resolver.resolve("b.test").await.unwrap();
    resolver.report("b.test", ip(3), Outcome::Refused);
    leads.clear();
    for _ in 0..50 {
        let addrs = deal(&resolver, "b.test").await.unwrap();
        assert!(addrs.iter().all(|addr| addr.ip() != ip(3)));
        *leads.entry(addrs[0].ip()).or_default() += 1;
    }
    assert!(leads.values().all(|&n| n == 10), "{leads:?}");
}
