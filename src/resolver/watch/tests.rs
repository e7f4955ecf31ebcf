//! Tests the watch with notices that the test sends, and with an unmodified reqwest client.
#![cfg(feature = "reqwest")]

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use std::sync::Mutex;

use super::*;
use crate::lookup::{Lookup, LookupFuture};
use crate::{AddressOrder, AddressState, Answer, Event, Outcome, Resolver};

const LIVE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A machine with a resolver that watches the network, and with a client of that resolver.
struct Machine {
    address: Arc<Mutex<IpAddr>>,
    /// Sends a notice to the watch.
    notice: SyncSender<()>,
    looked: UnboundedReceiver<()>,
    changed: UnboundedReceiver<()>,
    asked: Arc<AtomicUsize>,
    resolver: Resolver,
    client: reqwest::Client,
    url: String,
}

impl Machine {
    async fn at(address: [u8; 4]) -> Self {
        let address = Arc::new(Mutex::new(IpAddr::from(address)));
        let (look, looked) = unbounded_channel();
        let (change, changed) = unbounded_channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let resolver = Resolver::builder()
            .lookup(Counting(Arc::clone(&asked)))
            .address_order(AddressOrder::Preserve)
            .background_probe(false)
            .source_address({
                let address = Arc::clone(&address);
                move |to| {
                    let _ = look.send(());
                    to.is_ipv4().then(|| *address.lock().unwrap())
                }
            })
            .observe(move |event: &Event<'_>| {
                if matches!(event, Event::NetworkChanged) {
                    let _ = change.send(());
                }
            })
            .build()
            .unwrap();
        let (notice, client) = (watched(&resolver), client(&resolver));
        let mut machine = Self {
            address,
            notice,
            looked,
            changed,
            asked,
            resolver,
            client,
            url: serve().await,
        };
        machine.look().await;
        machine
    }

    /// Waits until the watch has found the source addresses of IPv4 and IPv6.
    async fn look(&mut self) {
        for _family in 0..2 {
            soon(self.looked.recv()).await;
        }
    }

    async fn get(&self) -> String {
        let answer = self.client.get(&self.url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn standing(&self, addr: IpAddr) -> Option<AddressState> {
        let snapshot = self.resolver.snapshot();
        let host = snapshot.host("edge.test")?;
        host.addr(addr).map(|addr| addr.state)
    }
}

/// Waits for a value, and fails after 30 s, which is long after the last check of the watch.
async fn soon<T>(result: impl Future<Output = Option<T>>) -> T {
    let result = tokio::time::timeout(Duration::from_secs(30), result).await;
    result.expect("the watch is alive").expect("it can tell")
}

/// Starts the watch of a resolver, and returns the sender that the system would hold.
fn watched(resolver: &Resolver) -> SyncSender<()> {
    let mut given = None;
    let mut subscribe = |notice| {
        given = Some(notice);
        Ok(Box::new(()) as Subscription)
    };
    resolver.shared.watch_by(&mut subscribe).unwrap();
    let second = resolver.shared.watch_by(|_| panic!("one is enough"));
    second.unwrap();
    given.unwrap()
}

fn client(resolver: &Resolver) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .dns_resolver(resolver.clone())
        .connector_layer(resolver.connect_layer())
        .build()
        .unwrap()
}

struct Counting(Arc<AtomicUsize>);

impl Lookup for Counting {
    fn lookup<'a>(&'a self, _host: &'a str) -> LookupFuture<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Answer::new([LIVE, DEAD])) })
    }
}

/// Serves HTTP until the test ends, and returns the URL.
async fn serve() -> String {
    let listener = TcpListener::bind((LIVE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _from) = listener.accept().await.unwrap();
            let served = service_fn(|_: http::Request<Incoming>| async {
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), served).await;
            });
        }
    });
    format!("http://edge.test:{port}/")
}

/// A notice without another source address changes nothing. On another network, the host is looked up again, and its
/// addresses have no penalty.
#[tokio::test]
async fn a_stock_client_is_on_another_network_at_its_next_request() {
    let mut machine = Machine::at([192, 168, 1, 5]).await;
    machine.resolver.resolve("edge.test").await.unwrap();
    let report = |outcome| machine.resolver.report("edge.test", DEAD, outcome);
    report(Outcome::Refused);
    assert_eq!(machine.get().await, "ok");
    let asked = machine.asked();

    machine.notice.send(()).unwrap();
    machine.look().await;
    // The watch is done with the first notice when it checks the source addresses for the second.
    *machine.address.lock().unwrap() = [10, 0, 0, 2].into();
    machine.notice.send(()).unwrap();
    machine.look().await;
    soon(machine.changed.recv()).await;
    assert!(machine.changed.try_recv().is_err(), "the first was noise");

    assert_eq!(machine.standing(DEAD), None, "forgotten");
    assert_eq!(machine.get().await, "ok");
    assert_eq!(machine.asked(), asked + 1);
    assert_eq!(machine.standing(DEAD), Some(AddressState::Healthy));
}

/// The error names its cause, and a later call may succeed.
#[tokio::test]
async fn a_watch_that_fails_can_be_tried_again() {
    let resolver = Resolver::builder().lookup(Counting(Arc::default())).build();
    let resolver = resolver.unwrap();
    let refused = resolver.shared.watch_by(|_| Err("no more files".into()));
    let source = refused.unwrap_err();
    let said = WatchError { source };
    assert!(
        said.to_string().contains("Resolver::network_changed"),
        "{said}"
    );
    let why = std::error::Error::source(&said).unwrap();
    assert_eq!(why.to_string(), "no more files");
    watched(&resolver);
}
