//! Connects without a lookup, and redirects from one host to another.

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{AddressState, Outcome};
use testkit::guests::redirect_to;
use testkit::{Edges, HOST, Mode, Scheme, World, get};

use crate::paths::stock::Stock;
use crate::paths::{in_order, nobody_was_blamed, only_these_failed};

/// The same client connects to the same address, first by the address and then by the host.
#[tokio::test]
async fn a_failure_is_recorded_for_a_host_and_not_for_an_address_in_the_url() {
    for stock in Stock::all() {
        let case = format!("{stock:?}");
        let world = stock.world(2).await;
        let (client, dead) = (stock.client(&world), world.ips()[0]);
        let literal = world.edges.url(&dead.to_string());
        client.get(&literal).await.unwrap();
        world.edges.set(dead, Mode::Refuse).await;
        for _ in 0..3 {
            client.get(&literal).await.unwrap_err();
        }
        assert_eq!(world.dns.total(), 0, "{case}");
        nobody_was_blamed(&world, &case);
        for _ in 0..5 {
            client.get(&world.url()).await.unwrap();
        }
        only_these_failed(&world, &case, &[(dead, Outcome::Failed)]).await;
    }
}

/// The client has its own addresses for one host, which is not looked up. Another host is.
#[tokio::test]
async fn a_failure_is_recorded_for_a_resolved_host_and_not_for_an_overridden_one() {
    for mode in [Mode::Refuse, Mode::TlsReset] {
        let case = format!("{mode:?}");
        let world = in_order(Edges::https(2).await).await;
        let dead = world.ips()[0];
        let addrs = [(dead, world.edges.port()).into()];
        let builder = world.builder().resolve_to_addrs("given.edge.test", &addrs);
        let client = builder.sidestep(&world.resolver).build().unwrap();
        let given = world.edges.url("given.edge.test");
        get(&client, &given).await.unwrap();
        world.edges.set(dead, mode).await;
        get(&client, &given).await.unwrap_err();
        assert_eq!(world.dns.total(), 0, "{case}");
        nobody_was_blamed(&world, &case);
        for _ in 0..5 {
            get(&client, &world.url()).await.unwrap();
        }
        let outcome = match mode {
            Mode::Refuse => Outcome::Failed,
            _ => Outcome::TlsFailed,
        };
        only_these_failed(&world, &case, &[(dead, outcome)]).await;
    }
}

/// Both hosts have the same addresses, and each failure is recorded for its own host.
#[tokio::test]
async fn failures_of_both_hosts_of_a_redirect_are_recorded() {
    const FROM: &str = "from.test";
    let world = in_order(Edges::https(3).await).await;
    let from = Edges::hosting(3, Scheme::Http, redirect_to(world.url())).await;
    let ips = world.ips();
    assert_eq!(from.ips(), ips);
    world.dns.set(FROM, &ips, 1800);
    from.set(ips[0], Mode::Refuse).await;
    // For the other host the same address is alive, and the next address is dead.
    let to = [ips[1], ips[2], ips[0]];
    world.dns.set(HOST, &to, 1800);
    world.edges.set(ips[1], Mode::TlsReset).await;
    let client = world.client();
    for _ in 0..5 {
        let body = get(&client, &from.url(FROM)).await.unwrap();
        assert!(body.contains("127.0.0.4"), "{body}");
    }
    let failures = world.journal.failures();
    assert_eq!(
        failures,
        [(ips[0], Outcome::Failed), (ips[1], Outcome::TlsFailed)]
    );
    assert_eq!(unhealthy(&world, FROM), [ips[0]]);
    assert_eq!(unhealthy(&world, HOST), [ips[1]]);
}

fn unhealthy(world: &World, host: &str) -> Vec<std::net::IpAddr> {
    let snapshot = world.resolver.snapshot();
    let addrs = &snapshot.host(host).unwrap().addrs;
    let failed = addrs
        .iter()
        .filter(|addr| addr.state != AddressState::Healthy);
    failed.map(|addr| addr.addr).collect()
}
