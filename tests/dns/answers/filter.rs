//! Tests the address filter: a resolver returns neither a refused address nor an empty list.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sidestep::{Event, filter};

use super::*;

fn keeping(script: &Script, keep: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Resolver {
    let builder = Resolver::builder().lookup(script.clone());
    builder.filter(move |_, addr| keep(addr)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refused_address_is_not_returned_and_the_others_are() {
    let script = Script::answer(&[1, 2, 3], 60);
    let resolver = keeping(&script, |addr| addr != ip(2));
    for _ in 0..2 {
        assert_eq!(sorted(&resolver, "a.test").await, [ip(1), ip(3)]);
        for addr in deal(&resolver, "a.test").await.unwrap() {
            assert_ne!(addr.ip().to_canonical(), ip(2));
        }
    }
    let snapshot = resolver.snapshot();
    assert_eq!(snapshot.refused_addresses, 1);
    assert!(snapshot.host("a.test").unwrap().addr(ip(2)).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_addresses_are_all_refused_is_an_error() {
    for (last, text) in [
        (&[7][..], "its only address (192.0.2.7)"),
        (&[7, 8], "all of its 2 addresses (192.0.2.7, 192.0.2.8)"),
        (
            &[7, 8, 9, 10],
            "all of its 4 addresses (192.0.2.7, 192.0.2.8, 192.0.2.9, …)",
        ),
    ] {
        let script = Script::new(|_| Ok(answer(last, 60)));
        let resolver = keeping(&script, |_| false);
        let error = resolver.resolve("A.test.").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("a.test: the address filter refused {text}")
        );
        assert!(error.is_filtered() && !error.is_no_records() && !error.is_not_found());
        assert!(deal(&resolver, "a.test").await.unwrap_err().is_filtered());
    }
}

/// The filter refuses nothing in an empty answer, so the error does not name the filter.
#[tokio::test(start_paused = true)]
async fn the_error_of_an_empty_answer_does_not_name_the_filter() {
    let resolver = keeping(&Script::answer(&[], 60), |_| false);
    let error = resolver.resolve("a.test").await.unwrap_err();
    assert!(error.is_no_records() && !error.is_filtered());
}

/// A refused answer is kept like a negative one: for its TTL within 1 s and 60 s, or for 5 s without a TTL.
#[tokio::test(start_paused = true)]
async fn a_refused_answer_is_kept_for_its_ttl() {
    for (ttl, life) in [(Some(0), 1), (Some(7), 7), (Some(1800), 60), (None, 5)] {
        let script = Script::new(move |_| {
            Ok(match ttl {
                Some(ttl) => answer(&[1], ttl),
                None => Answer::new([ip(1)]),
            })
        });
        let resolver = keeping(&script, |_| false);
        resolver.resolve("a.test").await.unwrap_err();
        advance(life * S - MS).await;
        assert!(resolver.resolve("a.test").await.unwrap_err().is_filtered());
        assert_eq!(script.asked("a.test"), 1, "TTL {ttl:?}: kept for {life} s");
        advance(MS).await;
        resolver.resolve("a.test").await.unwrap_err();
        assert_eq!(
            script.asked("a.test"),
            2,
            "TTL {ttl:?}: not kept after {life} s"
        );
    }
}

/// The refused answer replaces the earlier one, whose addresses are no longer served.
#[tokio::test(start_paused = true)]
async fn a_refused_answer_ends_the_earlier_answer() {
    let script = Script::answer(&[1], 10);
    let resolver = keeping(&script, |addr| addr == ip(1));
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 10)));
    advance(10 * S).await;
    for _ in 0..3 {
        assert!(resolver.resolve("a.test").await.unwrap_err().is_filtered());
    }
    assert_eq!(script.asked("a.test"), 2);
    script.say(|_| Ok(answer(&[1], 10)));
    advance(10 * S).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_filter_applies_to_addresses_without_a_lookup() {
    let resolver = keeping(&Script::answer(&[1], 60), |addr| {
        addr.is_ipv4() && !addr.is_loopback() && addr != ip(7)
    });
    for name in ["192.0.2.7", "[::1]", "::ffff:192.0.2.7", "db.Localhost."] {
        let error = resolver.resolve(name).await.unwrap_err();
        assert!(error.is_filtered(), "{name}: {error}");
        let error = deal(&resolver, name).await.unwrap_err();
        assert!(error.is_filtered(), "{name}, by a connector: {error}");
    }
    for (name, addr) in [("192.0.2.8", ip(8)), ("[::ffff:192.0.2.8]", ip(8))] {
        let resolved = resolver.resolve(name).await.unwrap();
        assert_eq!(resolved.source(), AnswerSource::Literal);
        assert_eq!(resolved.addrs()[0].to_canonical(), addr);
        assert_eq!(deal(&resolver, name).await.unwrap().len(), 1);
    }
    let v4_only = keeping(&Script::answer(&[1], 60), |addr| addr.is_ipv4());
    let resolved = v4_only.resolve("localhost").await.unwrap();
    assert_eq!(resolved.addrs(), [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(resolved.source(), AnswerSource::Loopback);
}

/// The filter gets the host in lower case, without the root dot and without brackets. Each address comes once, and
/// IPv4-mapped addresses come as IPv4.
#[tokio::test(start_paused = true)]
async fn the_filter_gets_one_spelling_of_each_host_and_address() {
    let calls: Arc<Mutex<Vec<_>>> = Arc::default();
    let recorder = Arc::clone(&calls);
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    let script = Script::new(move |_| Ok(Answer::new([mapped, ip(1), ip(2)])));
    let resolver = Resolver::builder()
        .lookup(script)
        .filter(move |host, addr| {
            recorder.lock().unwrap().push((host.to_owned(), addr));
            true
        })
        .build()
        .unwrap();
    for name in ["A.Test.", "[::FFFF:192.0.2.1]", "DB.LocalHost."] {
        resolver.resolve(name).await.unwrap();
    }
    let call = |host: &str, addr: IpAddr| (host.to_owned(), addr);
    assert_eq!(
        *calls.lock().unwrap(),
        [
            call("a.test", ip(1)),
            call("a.test", ip(2)),
            call("::ffff:192.0.2.1", ip(1)),
            call("db.localhost", "::1".parse().unwrap()),
            call("db.localhost", "127.0.0.1".parse().unwrap()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_is_served_without_a_call_of_the_filter() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let resolver = keeping(&Script::answer(&[1, 2, 3], 60), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    for _ in 0..100 {
        sorted(&resolver, "a.test").await;
        deal(&resolver, "a.test").await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3, "once for each address");
}

#[tokio::test(start_paused = true)]
async fn each_refused_address_is_an_event() {
    let events: Arc<Mutex<Vec<_>>> = Arc::default();
    let recorder = Arc::clone(&events);
    let resolver = Resolver::builder()
        .lookup(Script::answer(&[1, 2], 60))
        .filter(|host, addr| host == "b.test" && addr == ip(1))
        .observe(move |event: &Event<'_>| {
            if let Event::AddressRefused { host, addr, .. } = *event {
                recorder.lock().unwrap().push((host.to_owned(), addr));
            }
        })
        .build()
        .unwrap();
    resolver.resolve("a.test").await.unwrap_err();
    assert_eq!(sorted(&resolver, "b.test").await, [ip(1)]);
    let [a, b] = ["a.test", "b.test"].map(str::to_owned);
    assert_eq!(
        *events.lock().unwrap(),
        [(a.clone(), ip(1)), (a, ip(2)), (b, ip(2))]
    );
    assert_eq!(resolver.snapshot().refused_addresses, 3);
}

#[tokio::test(start_paused = true)]
async fn the_later_filter_replaces_the_earlier() {
    let resolver = Resolver::builder()
        .lookup(Script::answer(&[1, 2], 60))
        .filter(filter::public_only())
        .filter(|_, addr| addr == ip(2))
        .build()
        .unwrap();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
}
