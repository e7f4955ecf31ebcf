//! Unusual connectors and hosts: errors without a class, connections without a peer address, and connects without a
//! lookup.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use sidestep::{AddressState, ConnectError, Outcome, Resolver};
use testkit::script::{S, down};
use testkit::{HOST, Mode, Seen};
use tokio::net::TcpStream;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::clients::Kind;
use crate::faults::{self, BoxError};
use crate::stage::{
    End, MS, Stage, Step, attempts, connects, fails, hangs, in_tls, primary, refuses, v4, v6,
};

/// A connection that reports no peer clears the failures of its address, because the race knows the address of each
/// attempt.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_peer_address_clears_the_failures_of_its_address() {
    let stage = Stage::new([(v6(1), refuses(1))]);
    stage.failed().await;
    stage.turns(v6(1), connects(1));
    stage.connected().await;
    assert_eq!(stage.standing(v6(1)), AddressState::Healthy);
    assert_eq!(
        stage.journal.count(|seen| *seen == Seen::Recovered(v6(1))),
        1
    );
}

/// An error without a class is no failure of the address.
#[tokio::test(start_paused = true)]
async fn after_an_unknown_error_the_next_address_is_attempted() {
    let odd = fails(5, faults::odd);
    let stage = Stage::new([(v4(2), odd), (v4(3), connects(5))]);
    assert_eq!(stage.connected().await, (v4(3), 10));
    assert_eq!(stage.journal.failures(), []);
}

/// If all attempts fail with an unknown error, the race returns that error.
#[tokio::test(start_paused = true)]
async fn an_unknown_error_is_returned_unchanged() {
    let odd = fails(5, faults::odd);
    let stage = Stage::new([(v4(2), odd), (v4(3), odd)]);
    let (error, _) = stage.failed().await;
    assert!(ConnectError::find(&*error).is_none(), "{error:?}");
    assert_eq!(error.to_string(), faults::odd().to_string());
}

/// The time of an attempt counts from its own start.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_begins_late_is_slow_late() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let stage = stage.racing(|race| race.attempt_delay(S));
    let race = tokio::time::timeout(1_200 * MS, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.end(v4(3)), Some((1_200, End::Cancelled)));
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Slow)]);
}

/// The certificate of the only address is wrong, because the host has moved and another tenant uses the address.
#[tokio::test(start_paused = true)]
async fn after_a_wrong_certificate_of_the_only_address_a_fresh_answer_is_attempted() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([(v4(2), connects(1))]);
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), wrong);
    stage.turns(v4(3), connects(1));
    stage.says(&[v4(3)]);
    assert_eq!(stage.connected().await, (v4(3), 3));
}

/// An address fails, and then a local fault ends the race.
#[tokio::test(start_paused = true)]
async fn a_local_fault_after_a_failure_ends_the_race_and_the_error_lists_both() {
    let stage = Stage::new([
        (v4(2), refuses(5)),
        (v4(3), fails(5, faults::out_of_files)),
        (v4(4), connects(1)),
    ]);
    let (error, at) = stage.failed().await;
    assert_eq!((at, stage.starts().len()), (10, 2));
    let results = attempts(&error);
    assert_eq!(results[0], (v4(2), Some(Outcome::Refused)));
    assert_eq!(results[1], (v4(3), Some(Outcome::LocalError)));
    assert_eq!(
        primary(&error),
        Outcome::Refused,
        "the first failure is the source"
    );
}

/// Two connects fail within one second, and the host moves in between. The second connect waits for the lookup that is
/// due.
#[tokio::test(start_paused = true)]
async fn a_race_waits_for_a_lookup_that_the_backoff_delays() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), refuses(1))]);
    stage.failed().await;
    assert_eq!(stage.asked(), 2);
    tokio::time::sleep(500 * MS).await;
    stage.turns(v4(4), connects(1));
    stage.says(&[v4(4)]);
    let (addr, at) = stage.connected().await;
    assert_eq!((addr, stage.asked()), (v4(4), 3));
    // Two lookups are at least one second apart.
    assert!(at <= 1_010, "{at}");
}

/// Overrides are raced as the addresses of an answer are, and no lookup replaces them.
#[tokio::test(start_paused = true)]
async fn overrides_are_raced() {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), refuses(5)), (v4(4), hangs())]);
    let overrides = [v4(3), v4(4)];
    stage.resolver.overrides().set(HOST, overrides).unwrap();
    let race = tokio::time::timeout(4 * S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.starts(), [(v4(3), 0), (v4(4), 5)]);
    assert_eq!(stage.asked(), 0);
}

/// While DNS is down, the fallbacks are raced.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_raced() {
    let stage = Stage::new([(v4(3), refuses(5)), (v4(4), connects(5))]);
    stage.script.say(down);
    let fallbacks = [v4(3), v4(4)];
    stage.resolver.fallbacks().set(HOST, fallbacks).unwrap();
    assert_eq!(stage.connected().await, (v4(4), 10));
}

/// The filter refuses the only address of the fresh answer, so the race makes no second attempt.
#[tokio::test(start_paused = true)]
async fn the_filter_applies_to_a_fresh_answer_too() {
    let stage = Stage::with([(v4(2), refuses(1))], |b| b.filter(|_, addr| addr != v4(3)));
    stage.resolver.resolve(HOST).await.unwrap();
    stage.says(&[v4(3)]);
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(2), 0)]);
    assert_eq!(primary(&error), Outcome::Refused);
}

/// An address in the URL is one attempt without a lookup, and the timeout of the connect applies.
#[tokio::test(start_paused = true)]
async fn a_black_hole_in_the_url_ends_with_the_timeout_of_the_connect() {
    let stage = Stage::new([(v4(2), hangs())]);
    let connecting = stage.connect_to("https://127.0.0.2/");
    let error = connecting.await.map(|link| link.addr()).unwrap_err();
    assert_eq!(stage.now(), 30_000);
    assert_eq!(Outcome::from_error(&*error), Outcome::TimedOut, "{error:?}");
    assert_eq!(stage.pending(), 0);
    assert_eq!((stage.asked(), stage.journal.failures()), (0, vec![]));
}

/// An answer is cut to 64 addresses, and a race makes 16 attempts.
#[tokio::test(start_paused = true)]
async fn a_race_over_a_thousand_addresses_makes_16_attempts() {
    let cast: Vec<_> = (1..=1_000).map(|last| (v6(last), refuses(1))).collect();
    let stage = Stage::of(&cast, |builder| builder);
    let (error, at) = stage.failed().await;
    assert_eq!((stage.starts().len(), at), (16, 16));
    assert_eq!(attempts(&error).len(), 64);
}

/// Resolves the host in `call` and not in its future.
#[derive(Clone)]
struct Eager(Resolver);

impl Service<Uri> for Eager {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let port = uri.port_u16().unwrap();
        let resolving = self.0.call(uri.host().unwrap().parse().unwrap());
        Box::pin(async move {
            let mut failed = None;
            for mut addr in resolving.await? {
                addr.set_port(port);
                match TcpStream::connect(addr).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.expect("the answer has addresses").into())
        })
    }
}

/// The first call waits for an answer, and the other calls find one in the cache.
#[tokio::test]
async fn a_connector_that_resolves_in_its_call_is_raced() {
    let world = Kind::Http.world(3).await;
    let ips = world.ips();
    world.edges.set(ips[0], Mode::Refuse).await;
    world.edges.set(ips[1], Mode::Refuse).await;
    let race = world
        .resolver
        .happy_eyeballs_layer()
        .layer(Eager(world.resolver.clone()));
    for _ in 0..3 {
        let stream = race.clone().oneshot(world.url().parse().unwrap()).await;
        let peer = stream.unwrap().inner().peer_addr().unwrap();
        assert_eq!(peer.ip(), ips[2]);
    }
    let refused = [(ips[0], Outcome::Refused), (ips[1], Outcome::Refused)];
    assert_eq!(world.journal.failures(), refused);
}

/// Spawns each connect on a task of its own, as `tower::buffer` does.
#[derive(Clone)]
struct Spawning<S>(S);

impl<S> Service<Uri> for Spawning<S>
where
    S: Service<Uri> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = self.0.clone();
        let connecting = tokio::spawn(async move { inner.oneshot(uri).await.map_err(Into::into) });
        Box::pin(async move { connecting.await? })
    }
}

/// A spawning layer loses the attempt context. Requests still succeed, and one event reports the loss.
#[tokio::test]
async fn under_a_spawning_layer_the_connector_connects_as_without_a_race() {
    let world = Kind::Http.world(2).await;
    world.edges.set(world.ips()[0], Mode::Refuse).await;
    let http = crate::clients::http(&world.resolver);
    let race = world.resolver.happy_eyeballs_layer().layer(Spawning(http));
    for _ in 0..5 {
        let uri: Uri = world.url().parse().unwrap();
        race.clone().oneshot(uri).await.unwrap();
    }
    assert_eq!(world.journal.count(|seen| *seen == Seen::ContextLost), 1);
}
