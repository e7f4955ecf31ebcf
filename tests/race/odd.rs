//! Connectors and names that are not the common ones: what cannot be read, is not named, or asks
//! nobody.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use sidestep::{AddressState, ConnectError, Outcome, Resolver};
use tokio::net::TcpStream;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::clients::Kind;
use crate::common::{HOST, Mode, Seen};
use crate::faults::{self, BoxError};
use crate::script::{S, down};
use crate::stage::{
    End, MS, Stage, Step, attempts, connects, fails, hangs, in_tls, primary, refuses, v4, v6,
};

/// A success clears, though the connection does not tell its peer: the race knows whom it dialled.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_peers_name_clears_its_address_too() {
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

/// An error that cannot be read is held against nobody, and the next address is dialled.
#[tokio::test(start_paused = true)]
async fn after_an_error_that_cannot_be_read_the_next_is_dialled() {
    let odd = fails(5, faults::odd);
    let stage = Stage::new([(v4(2), odd), (v4(3), connects(5))]);
    assert_eq!(stage.connected().await, (v4(3), 10));
    assert_eq!(stage.journal.failures(), []);
}

/// Where it is all that there is, it is passed on as it is.
#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_read_is_passed_on_as_it_is() {
    let odd = fails(5, faults::odd);
    let stage = Stage::new([(v4(2), odd), (v4(3), odd)]);
    let (error, _) = stage.failed().await;
    assert!(ConnectError::find(&*error).is_none(), "{error:?}");
    assert_eq!(error.to_string(), faults::odd().to_string());
}

/// Who begins late is held to be slow late: its time counts from its own start.
#[tokio::test(start_paused = true)]
async fn each_attempts_time_counts_from_its_own_start() {
    let stage = Stage::new([(v4(2), hangs()), (v4(3), hangs())]);
    let stage = stage.racing(|race| race.attempt_delay(S));
    let race = tokio::time::timeout(1_200 * MS, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.end(v4(3)), Some((1_200, End::Cancelled)));
    assert_eq!(stage.journal.failures(), [(v4(2), Outcome::Slow)]);
}

/// The certificate of the only address is wrong, for the name has moved and it is another tenant's.
#[tokio::test(start_paused = true)]
async fn after_a_wrong_certificate_of_the_only_address_a_fresh_answer_is_dialled() {
    let wrong = in_tls(1, Step::Fails(1, faults::wrong_certificate));
    let stage = Stage::new([(v4(2), connects(1))]);
    stage.connected().await;
    stage.again();
    stage.turns(v4(2), wrong);
    stage.turns(v4(3), connects(1));
    stage.says(&[v4(3)]);
    assert_eq!(stage.connected().await, (v4(3), 3));
}

/// A fault of this machine after an address has failed: the error tells of both, and it is the fault
/// that ended the race.
#[tokio::test(start_paused = true)]
async fn a_local_fault_after_a_failure_ends_the_race_and_both_are_told() {
    let stage = Stage::new([
        (v4(2), refuses(5)),
        (v4(3), fails(5, faults::out_of_files)),
        (v4(4), connects(1)),
    ]);
    let (error, at) = stage.failed().await;
    assert_eq!((at, stage.starts().len()), (10, 2));
    let told = attempts(&error);
    assert_eq!(told[0], (v4(2), Some(Outcome::Refused)));
    assert_eq!(told[1], (v4(3), Some(Outcome::LocalError)));
    assert_eq!(primary(&error), Outcome::Refused, "the first goes first");
}

/// Two connects fail in one second, and the name moves in between: the second waits for the lookup
/// that is due, and does not fail for want of it.
#[tokio::test(start_paused = true)]
async fn a_second_chance_waits_for_a_lookup_that_is_put_off() {
    let stage = Stage::new([(v4(2), refuses(1)), (v4(3), refuses(1))]);
    stage.failed().await;
    assert_eq!(stage.asked(), 2);
    tokio::time::sleep(500 * MS).await;
    stage.turns(v4(4), connects(1));
    stage.says(&[v4(4)]);
    let (addr, at) = stage.connected().await;
    assert_eq!((addr, stage.asked()), (v4(4), 3));
    // The least time between two lookups is a second, from the first.
    assert!(at <= 1_010, "{at}");
}

/// Pinned addresses race as those of an answer do, and there is no other answer.
#[tokio::test(start_paused = true)]
async fn pinned_addresses_are_raced() {
    let stage = Stage::new([(v4(2), connects(1)), (v4(3), refuses(5)), (v4(4), hangs())]);
    let pins = [v4(3), v4(4)];
    stage.resolver.overrides().set(HOST, pins).unwrap();
    let race = tokio::time::timeout(4 * S, stage.connect()).await;
    assert!(race.is_err());
    assert_eq!(stage.starts(), [(v4(3), 0), (v4(4), 5)]);
    assert_eq!(stage.asked(), 0);
}

/// While DNS is down the fallbacks race.
#[tokio::test(start_paused = true)]
async fn fallbacks_are_raced() {
    let stage = Stage::new([(v4(3), refuses(5)), (v4(4), connects(5))]);
    stage.script.say(down);
    let fallbacks = [v4(3), v4(4)];
    stage.resolver.fallbacks().set(HOST, fallbacks).unwrap();
    assert_eq!(stage.connected().await, (v4(4), 10));
}

/// What the filter refuses is not dialled, and not as a second chance either.
#[tokio::test(start_paused = true)]
async fn the_filter_is_over_the_second_chance_too() {
    let stage = Stage::with([(v4(2), refuses(1))], |b| b.filter(|_, addr| addr != v4(3)));
    stage.resolver.resolve(HOST).await.unwrap();
    stage.says(&[v4(3)]);
    let (error, _) = stage.failed().await;
    assert_eq!(stage.starts(), [(v4(2), 0)]);
    assert_eq!(primary(&error), Outcome::Refused);
}

/// An address in the URL is one attempt without a name; the connect's own bound holds.
#[tokio::test(start_paused = true)]
async fn an_address_in_the_url_that_hangs_ends_with_the_connect() {
    let stage = Stage::new([(v4(2), hangs())]);
    let connecting = stage.connect_to("https://127.0.0.2/");
    let error = connecting.await.map(|link| link.addr()).unwrap_err();
    assert_eq!(stage.now(), 30_000);
    assert_eq!(Outcome::from_error(&*error), Outcome::TimedOut, "{error:?}");
    assert_eq!(stage.pending(), 0);
    assert_eq!((stage.asked(), stage.journal.failures()), (0, vec![]));
}

/// An answer of thousands is cut to 64, and a race makes 16 attempts.
#[tokio::test(start_paused = true)]
async fn a_race_over_thousands_is_bounded() {
    let cast: Vec<_> = (1..=1_000).map(|last| (v6(last), refuses(1))).collect();
    let stage = Stage::of(&cast, |builder| builder);
    let (error, at) = stage.failed().await;
    assert_eq!((stage.starts().len(), at), (16, 16));
    assert_eq!(attempts(&error).len(), 64);
}

/// Asks the resolver while it is called, and not in its future.
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
            Err(failed.expect("there are addresses").into())
        })
    }
}

/// With or without an answer in the cache: the first call waits for one, the others have it.
#[tokio::test]
async fn a_connector_that_asks_while_it_is_called_is_raced() {
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

/// Where a spawning layer loses the context nothing breaks, and one warning says what to move.
#[tokio::test]
async fn under_a_spawning_layer_the_connector_dials_as_without_a_race() {
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
