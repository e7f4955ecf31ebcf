//! Settings of the layer: which resolver.

use tower_layer::Layer;

use super::Race;
use crate::Resolver;

/// Races all addresses of a host, TLS included, and dials a fresh answer inside the same connect.
///
/// Happy Eyeballs (RFC 8305) over every address, within a family and across both, around any
/// connector whose request is `Clone`: hyper-util's `HttpConnector` with whatever TLS around it, for
/// hyper-util's client, tonic and others. It calls the connector once for each address, and each call
/// is dealt just that address by the [`Resolver`], so all options of the connector hold.
///
/// | | default | set by |
/// |---|---|---|
/// | the next address is dialled beside those that are pending | 250 ms after the last one, or after twice what recent connects took if that is longer (2 s at most) | [`attempt_delay`](crate::Builder::attempt_delay) |
/// | the same after a failure | at once | |
/// | the same when TCP is up | one more delay after that | [`TcpLayer`](crate::TcpLayer) inside of TLS |
/// | attempts of one race | 2 for each address of the first answer, 16 in all | |
/// | one attempt may take, TLS included, while another one can be made | 10 s | [`attempt_timeout`](crate::Builder::attempt_timeout) |
/// | the race may take, with the lookup | 30 s | [`connect_timeout`](crate::Builder::connect_timeout) |
///
/// Times count from when the addresses were known. The order is the resolver's: families in turn,
/// addresses that failed last. With one address, or one that is penalised, nothing is delayed.
///
/// The host is looked up again when every address has failed, or as soon as an attempt is
/// [slow](crate::Builder::stalled_after). New addresses of the answer are then dialled, each once. If the answer has
/// none of the addresses that are pending, the first new one is dialled at once. While all that is left is slow, the
/// host is looked up a second time. Such lookups of a host are spaced (1 s and more while the answer stays the same):
/// for one that is due within
/// [`stale_after`](crate::Builder::stale_after) a race waits, so that it may fail that much later. A fault of
/// this machine, such as no file descriptor, starts no more attempts; after a wrong certificate one more
/// address of the answer is tried.
///
/// # What is held against an address
///
/// What its attempt came to, as [`ConnectLayer`](crate::ConnectLayer) does it. An attempt that lost has not failed.
/// But an attempt that started a whole delay before the winner gets a soft strike if it was pending for four times
/// what recent connects took, the winner included, and for 250 ms at least. If it was not, the network may be slow:
/// the address goes behind the healthy ones for 5 s, unless a probe decides sooner.
///
/// # Errors
///
/// The first failure, in a [`ConnectError`](crate::ConnectError) that tells of every attempt.
///
/// # Where to put it
///
/// In place of a [`ConnectLayer`](crate::ConnectLayer) (one inside of it leaves all to the race): outside of
/// TLS, inside of any layer that runs the connector on a task of its own. Where the connector asks no
/// resolver (an address in the URL), asks another one or for `localhost`, it is called once as if there
/// were no race. Behind a proxy it is the proxy's addresses that are raced.
///
/// A connector of your own asks as `HttpConnector` does, by `Service<Name>` in the future that it returns, and
/// dials what it gets, which is one address; what [`Resolver::resolve`](crate::Resolver::resolve) gives
/// is not raced. It may say whereto it is connected by an
/// [`HttpInfo`](hyper_util::client::legacy::connect::HttpInfo) among its extras. For a time limit set
/// [`attempt_timeout`](crate::Builder::attempt_timeout): an error of a layer inside that can't be read, such as
/// tower's `Elapsed`, moves the race on and is held against nobody. One that lets few connects through at
/// once makes the race wait for them.
///
/// reqwest's requests are not `Clone`: it takes
/// [`ClientBuilderExt::sidestep`](crate::reqwest::ClientBuilderExt::sidestep).
///
/// # Examples
///
/// ```
/// use hyper_util::client::legacy::{Client, connect::HttpConnector};
/// use hyper_util::rt::TokioExecutor;
/// use tower_layer::Layer as _;
///
/// let resolver = sidestep::Resolver::new();
/// let http = HttpConnector::new_with_resolver(resolver.clone());
/// let connector = resolver.race_layer().layer(http);
/// let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
/// ```
#[derive(Clone, Debug)]
pub struct RaceLayer {
    resolver: Resolver,
}

impl Resolver {
    /// Returns the layer that races connects. Put it around a connector whose resolver this is; see
    /// [`RaceLayer`].
    #[must_use]
    pub fn race_layer(&self) -> RaceLayer {
        self.inner().expect_slips();
        RaceLayer {
            resolver: self.clone(),
        }
    }
}

impl<S> Layer<S> for RaceLayer {
    type Service = Race<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Race::new(inner, self.resolver.clone())
    }
}
