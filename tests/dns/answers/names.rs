//! Tests behavior A9: names.

use super::*;

#[tokio::test(start_paused = true)]
async fn case_and_the_root_dot_make_no_difference() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    for name in ["a.test", "A.TEST", "a.test.", "A.Test."] {
        sorted(&resolver, name).await;
        deal(&resolver, name).await.unwrap();
    }
    assert_eq!(script.asked("a.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_name_is_an_error_and_is_not_kept() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    let long = "a".repeat(64);
    for name in ["", "a..b", "a b", "a\0b", "a.test:80", &long] {
        let error = resolver.resolve(name).await.unwrap_err();
        assert!(error.is_invalid_name(), "{name:?}: {error}");
        resolver.report(name, ip(1), Outcome::Refused);
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
    assert!(resolver.snapshot().hosts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn literals_localhost_and_reserved_names_need_no_lookup() {
    let script = Script::answer(&[1], 60);
    let resolver = script.resolver();
    for (name, addr) in [("192.0.2.7", ip(7)), ("[::1]", "::1".parse().unwrap())] {
        let resolved = resolver.resolve(name).await.unwrap();
        assert_eq!(
            (resolved.addrs(), resolved.source()),
            (&[addr][..], AnswerSource::Literal)
        );
    }
    for name in ["localhost", "db.localhost."] {
        let resolved = resolver.resolve(name).await.unwrap();
        assert_eq!(resolved.source(), AnswerSource::Loopback);
        assert!(resolved.addrs().iter().all(IpAddr::is_loopback));
    }
    for name in ["duck.onion", "nobody.invalid"] {
        assert!(
            resolver.resolve(name).await.unwrap_err().is_not_found(),
            "{name}"
        );
        deal(&resolver, name).await.unwrap_err();
    }
    assert!(script.0.asked.lock().unwrap().is_empty());
}
