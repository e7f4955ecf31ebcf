//! Behaviour A8: in which order addresses are handed out.

use super::*;

#[tokio::test(start_paused = true)]
async fn families_are_dealt_in_turn_and_ipv6_leads() {
    let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
    let script = Script::new(move |_| Ok(Answer::new([ip(1), v6(1), ip(2), v6(2)])));
    let resolver = script.resolver();
    let mut first = [0; 2];
    for _ in 0..200 {
        let addrs = deal(&resolver, "a.test").await.unwrap();
        let families: Vec<bool> = addrs.iter().map(SocketAddr::is_ipv6).collect();
        assert_eq!(families, [true, false, true, false]);
        first[usize::from(addrs[0].ip() == v6(1))] += 1;
    }
    // 100 each are expected, with a deviation of 7; six deviations.
    assert!(
        first.iter().all(|n| (58..=142).contains(n)),
        "shuffled at every lookup: {first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn ipv4_may_be_preferred() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let script = Script::new(move |_| Ok(Answer::new([v6, ip(1)])));
    let resolver = Resolver::builder()
        .lookup(script)
        .prefer(sidestep::Family::V4)
        .build()
        .unwrap();
    assert_eq!(
        resolver.resolve("a.test").await.unwrap().addrs(),
        [ip(1), v6]
    );
}
