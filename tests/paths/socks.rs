//! Through SOCKS5 proxies, with names that the proxy looks up and names that are looked up here.

use sidestep::Outcome;

use crate::common::{Edges, HOST, Mode, Scheme};
use crate::guests::socks_proxy;
use crate::proxies::{ORIGIN, Path};
use crate::{in_order, nobody_was_blamed};

/// Where names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// `socks5h`: by the proxy.
    Remote,
    /// `socks5`: by the client.
    Local,
}

/// How the proxy is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    ByName,
    ByAddress,
}

async fn through(names: Names, proxy: Proxy, origin: Scheme) -> Path {
    let case = format!("{names:?} names, proxy {proxy:?}, {origin:?} origin");
    let origin = Edges::on(&[[127, 0, 0, 9].into()], origin).await;
    let (guest, asked) = socks_proxy((origin.ips()[0], origin.port()).into());
    let world = in_order(Edges::hosting(3, Scheme::Http, guest).await).await;
    world.dns.set(ORIGIN, &origin.ips(), 1800);
    let scheme = match names {
        Names::Remote => "socks5h",
        Names::Local => "socks5",
    };
    let host = match proxy {
        Proxy::ByName => HOST.to_owned(),
        Proxy::ByAddress => world.ips()[0].to_string(),
    };
    let url = format!("{scheme}://{host}:{}", world.edges.port());
    let proxy = reqwest::Proxy::all(url).unwrap();
    Path::by(case, world, asked, origin, proxy)
}

const ORIGINS: [Scheme; 2] = [Scheme::Http, Scheme::Https];

/// A remote name goes to the proxy as it is; a local one as its address.
#[tokio::test]
async fn who_looks_the_name_up_is_as_the_scheme_says() {
    for origin in ORIGINS {
        for (names, target, queries) in [(Names::Remote, ORIGIN, 0), (Names::Local, "127.0.0.9", 1)]
        {
            let path = through(names, Proxy::ByName, origin).await;
            path.get().await;
            assert_eq!(path.asked.all(), [target], "{}", path.case);
            assert_eq!((path.origin_queries(), path.world.queries()), (queries, 1));
            nobody_was_blamed(&path.world, &path.case);
        }
    }
}

/// Who won says who failed, with one name asked or with two.
#[tokio::test]
async fn a_proxy_that_refuses_costs_no_request() {
    for origin in ORIGINS {
        for names in [Names::Remote, Names::Local] {
            let path = through(names, Proxy::ByName, origin).await;
            path.survives(Mode::Refuse, Outcome::Failed).await;
        }
    }
}

#[tokio::test]
async fn a_black_holed_proxy_costs_one_race() {
    for names in [Names::Remote, Names::Local] {
        let path = through(names, Proxy::ByName, Scheme::Http).await;
        path.survives(Mode::BlackHole, Outcome::Slow).await;
    }
}

/// It accepts and goes away: sent again, and nobody is blamed, because the one name that was asked
/// may as well be the origin's, as in the test below.
#[tokio::test]
async fn a_proxy_that_closes_is_dialled_again() {
    let path = through(Names::Remote, Proxy::ByName, Scheme::Http).await;
    let dead = path.world.ips()[0];
    path.world.edges.set(dead, Mode::AcceptAndClose).await;
    path.client.get(&path.url()).await.unwrap_err();
    assert_eq!(path.world.edges.accepted(dead), 3);
    nobody_was_blamed(&path.world, &path.case);
}

/// The origin refuses the proxy, fails in TLS or closes: not the proxy's fault, and of two names
/// asked neither is blamed.
#[tokio::test]
async fn what_fails_behind_the_proxy_is_not_the_proxys() {
    for names in [Names::Remote, Names::Local] {
        for mode in [Mode::Refuse, Mode::AcceptAndClose, Mode::CloseAfterRequest] {
            let path = through(names, Proxy::ByName, Scheme::Http).await;
            path.blames_no_proxy_for(mode).await;
        }
        for mode in [Mode::TlsReset, Mode::WrongCertificate] {
            let path = through(names, Proxy::ByName, Scheme::Https).await;
            path.blames_no_proxy_for(mode).await;
        }
    }
}

/// With the proxy given by its address, a local name is the only one on the context. What fails is the
/// proxy, and the origin is not blamed for it.
#[tokio::test]
async fn a_dead_proxy_without_a_name_is_not_held_against_the_origin() {
    for mode in [Mode::Refuse, Mode::AcceptAndClose] {
        let path = through(Names::Local, Proxy::ByAddress, Scheme::Https).await;
        path.get().await;
        path.world.edges.set(path.world.ips()[0], mode).await;
        path.client.get(&path.url()).await.unwrap_err();
        assert_eq!(path.origin_queries(), 1);
        nobody_was_blamed(&path.world, &path.case);
    }
}

/// All addresses of the proxy are dead, and it has moved in DNS.
#[tokio::test]
async fn a_proxy_that_moved_is_found() {
    for origin in ORIGINS {
        for names in [Names::Remote, Names::Local] {
            let path = through(names, Proxy::ByName, origin).await;
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
