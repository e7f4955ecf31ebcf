//! SOCKS5 proxies, with hosts that the proxy looks up and hosts that the client looks up.

use sidestep::Outcome;
use testkit::guests::socks_proxy;
use testkit::{Edges, HOST, Mode, Scheme};

use crate::paths::proxies::{ORIGIN, Path};
use crate::paths::{in_order, nobody_was_blamed};

/// Where the host of the origin is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OriginLookup {
    /// `socks5h`: the proxy looks the host up.
    Remote,
    /// `socks5`: the client looks the host up.
    Local,
}

/// How the URL gives the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    ByHost,
    ByAddress,
}

async fn through(lookup: OriginLookup, proxy: Proxy, origin: Scheme) -> Path {
    let case = format!("{lookup:?} lookup of the origin, proxy {proxy:?}, {origin:?} origin");
    let origin = Edges::on(&[[127, 0, 0, 9].into()], origin).await;
    let (guest, asked) = socks_proxy((origin.ips()[0], origin.port()).into());
    let world = in_order(Edges::hosting(3, Scheme::Http, guest).await).await;
    world.dns.set(ORIGIN, &origin.ips(), 1800);
    let scheme = match lookup {
        OriginLookup::Remote => "socks5h",
        OriginLookup::Local => "socks5",
    };
    let host = match proxy {
        Proxy::ByHost => HOST.to_owned(),
        Proxy::ByAddress => world.ips()[0].to_string(),
    };
    let url = format!("{scheme}://{host}:{}", world.edges.port());
    let proxy = reqwest::Proxy::all(url).unwrap();
    Path::by(case, world, asked, origin, proxy)
}

const ORIGINS: [Scheme; 2] = [Scheme::Http, Scheme::Https];

/// With `socks5h` the proxy gets the host, with `socks5` its address.
#[tokio::test]
async fn the_scheme_decides_whether_client_or_proxy_looks_up_the_origin() {
    for origin in ORIGINS {
        for (lookup, target, queries) in [
            (OriginLookup::Remote, ORIGIN, 0),
            (OriginLookup::Local, "127.0.0.9", 1),
        ] {
            let path = through(lookup, Proxy::ByHost, origin).await;
            path.get().await;
            assert_eq!(path.asked.all(), [target], "{}", path.case);
            assert_eq!((path.origin_queries(), path.world.queries()), (queries, 1));
            nobody_was_blamed(&path.world, &path.case);
        }
    }
}

/// The winner shows which addresses have failed, whether the connect resolved one host or two.
#[tokio::test]
async fn a_proxy_that_refuses_fails_no_request() {
    for origin in ORIGINS {
        for lookup in [OriginLookup::Remote, OriginLookup::Local] {
            let path = through(lookup, Proxy::ByHost, origin).await;
            path.survives(Mode::Refuse, Outcome::Failed).await;
        }
    }
}

#[tokio::test]
async fn a_black_holed_proxy_delays_one_request() {
    for lookup in [OriginLookup::Remote, OriginLookup::Local] {
        let path = through(lookup, Proxy::ByHost, Scheme::Http).await;
        path.survives(Mode::BlackHole, Outcome::Slow).await;
    }
}

/// The proxy accepts and closes, and the request is sent again. No failure is recorded, because the host that the
/// connect resolved may be that of the origin, as in a test below.
#[tokio::test]
async fn a_proxy_that_closes_is_attempted_again() {
    let path = through(OriginLookup::Remote, Proxy::ByHost, Scheme::Http).await;
    let dead = path.world.ips()[0];
    path.world.edges.set(dead, Mode::AcceptAndClose).await;
    path.client.get(&path.url()).await.unwrap_err();
    assert_eq!(path.world.edges.accepted(dead), 3);
    nobody_was_blamed(&path.world, &path.case);
}

/// The origin refuses the proxy, fails in TLS or closes. If the connect resolved two hosts, neither has failed.
#[tokio::test]
async fn a_failure_behind_the_proxy_is_no_failure_of_the_proxy() {
    for lookup in [OriginLookup::Remote, OriginLookup::Local] {
        for mode in [Mode::Refuse, Mode::AcceptAndClose, Mode::CloseAfterRequest] {
            let path = through(lookup, Proxy::ByHost, Scheme::Http).await;
            path.blames_no_proxy_for(mode).await;
        }
        for mode in [Mode::TlsReset, Mode::WrongCertificate] {
            let path = through(lookup, Proxy::ByHost, Scheme::Https).await;
            path.blames_no_proxy_for(mode).await;
        }
    }
}

/// If the proxy is given by its address, the origin is the only host in the attempt context.
#[tokio::test]
async fn a_dead_proxy_given_by_its_address_is_no_failure_of_the_origin() {
    for mode in [Mode::Refuse, Mode::AcceptAndClose] {
        let path = through(OriginLookup::Local, Proxy::ByAddress, Scheme::Https).await;
        path.get().await;
        path.world.edges.set(path.world.ips()[0], mode).await;
        path.client.get(&path.url()).await.unwrap_err();
        assert_eq!(path.origin_queries(), 1);
        nobody_was_blamed(&path.world, &path.case);
    }
}

/// All addresses of the proxy are dead, and DNS has moved its host.
#[tokio::test]
async fn a_proxy_that_has_moved_is_found() {
    for origin in ORIGINS {
        for lookup in [OriginLookup::Remote, OriginLookup::Local] {
            let path = through(lookup, Proxy::ByHost, origin).await;
            let ips = path.world.ips();
            path.world.dns.set(HOST, &ips[..2], 1800);
            path.get().await;
            for &ip in &ips[..2] {
                path.world.edges.set(ip, Mode::Refuse).await;
            }
            path.world.dns.set(HOST, &ips[2..], 1800);
            path.get().await;
            let mut failed = path.world.journal.failures();
            failed.sort_by_key(|(ip, _)| *ip);
            assert_eq!(
                failed,
                [(ips[0], Outcome::Refused), (ips[1], Outcome::Refused)]
            );
        }
    }
}
