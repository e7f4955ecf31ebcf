//! Tests behaviors of the caches of other clients that fit no other file. `docs/ported-behaviors.md` has the table of them
//! all.

use futures_util::future::join_all;

use super::*;

/// OkHttp `StateMachineDnsCallTest`: a call joins an in-flight revalidation after the answer has expired.
#[tokio::test(start_paused = true)]
async fn a_caller_joins_an_in_flight_refresh_of_an_expired_answer() {
    let script = Script::answer(&[1], 60);
    let resolver = script.build(|builder| builder.lookup_timeout(30 * S));
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 60)));
    script.hold();
    tokio::time::sleep(59 * S).await;
    assert_eq!(script.asked("a.test"), 2, "the refresh is in flight");
    assert_eq!(
        sorted(&resolver, "a.test").await,
        [ip(1)],
        "the answer is fresh"
    );
    tokio::time::sleep(2 * S).await;
    let begun = Instant::now();
    let callers = join_all((0..50).map(|_| sorted(&resolver, "a.test"))).await;
    assert!(callers.iter().all(|addrs| *addrs == [ip(1)]), "{callers:?}");
    assert_eq!(
        Instant::now(),
        begun,
        "the refresh has taken more than 1.8 s"
    );
    assert_eq!(script.asked("a.test"), 2, "no caller sends a lookup");
    script.release();
    tokio::time::sleep(MS).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(script.asked("a.test"), 2);
}

/// AWS `test_resolver_low_frequency_starvation`: the only address of an answer fails two minutes before the answer
/// expires. The next caller gets the new address from a re-resolve.
#[tokio::test(start_paused = true)]
async fn a_failed_address_is_replaced_before_its_long_lifetime_ends() {
    let script = Script::answer(&[1], 120);
    let resolver = script.build(|builder| builder.max_ttl(120 * S));
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 120)));
    script.takes(20 * MS);
    resolver.report("a.test", ip(1), Outcome::Refused);
    let begun = Instant::now();
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert!(Instant::now() - begun <= 20 * MS);
}
