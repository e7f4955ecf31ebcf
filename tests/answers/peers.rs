//! Behaviours of other clients' caches that have no better place; the table of all is in
//! `tests/race/main.rs`.

use futures_util::future::join_all;

use super::*;

/// OkHttp `StateMachineDnsCallTest`: a call joins a revalidation in the air, though the answer has
/// expired meanwhile.
#[tokio::test(start_paused = true)]
async fn who_asks_while_an_answer_is_looked_up_ahead_joins_that() {
    let script = Script::answer(&[1], 60);
    let resolver = script.build(|builder| builder.lookup_timeout(30 * S));
    sorted(&resolver, "a.test").await;
    sorted(&resolver, "a.test").await;
    script.say(|_| Ok(answer(&[2], 60)));
    script.hold();
    tokio::time::sleep(59 * S).await;
    assert_eq!(script.asked("a.test"), 2, "looked up ahead");
    assert_eq!(sorted(&resolver, "a.test").await, [ip(1)], "good still");
    tokio::time::sleep(2 * S).await;
    let begun = Instant::now();
    let callers = join_all((0..50).map(|_| sorted(&resolver, "a.test"))).await;
    assert!(callers.iter().all(|addrs| *addrs == [ip(1)]), "{callers:?}");
    assert_eq!(Instant::now(), begun, "it has been waited for long enough");
    assert_eq!(script.asked("a.test"), 2, "and nobody asked anew");
    script.release();
    tokio::time::sleep(MS).await;
    assert_eq!(sorted(&resolver, "a.test").await, [ip(2)]);
    assert_eq!(script.asked("a.test"), 2);
}

/// AWS `test_resolver_low_frequency_starvation`: the answer is good for two minutes, its only address
/// fails, and the next caller has the new one at once.
#[tokio::test(start_paused = true)]
async fn a_long_life_keeps_nobody_from_the_new_address() {
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
