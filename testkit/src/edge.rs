//! CDN edges on loopback that die in the same ways as real ones.
//!
//! Each edge listens on its own address (127.0.0.2, 127.0.0.3, …), and all edges use one port, as the edges of one
//! host do. [`Edges::set`] changes the mode of an edge, closes its connections, and returns when the new mode is in
//! effect. A port stays bound while its edge refuses, so no other process gets the port.
//!
//! ```ignore
//! let edges = Edges::https(4).await;
//! dns.set("edge.test", &edges.ips(), 60);
//! edges.set(edges.ips()[0], Mode::BlackHole).await;
//! client.get(edges.url("edge.test")).send().await?;
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdTcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_rustls::TlsAcceptor;

use crate::bound::within;
use crate::dial_log::DialLog;

/// What an edge does with new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Responds over HTTP/1.1 or HTTP/2, by ALPN or by the preface.
    Serve,
    /// Does not listen, so the system refuses connects.
    Refuse,
    /// Swallows packets, so no connect ends.
    BlackHole,
    /// Accepts, reads the first bytes (the `ClientHello`) and resets the connection.
    TlsReset,
    /// Sends a certificate for another name. Over plain HTTP the edge serves.
    WrongCertificate,
    /// Accepts and closes at once.
    AcceptAndClose,
    /// Reads one request and closes without a response.
    CloseAfterRequest,
    /// Responds with 503 and `Connection: close`. HTTP/2 has no such header, so the response is 503 alone.
    Unavailable,
    /// Accepts and sends nothing, not even in the TLS handshake.
    Hang,
    /// Accepts, ends the TLS handshake, and sends nothing in HTTP, not even the reply to an HTTP/2 ping.
    HangInHttp,
}

/// The protocol of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A handler of accepted connections, which edges run inside of TLS instead of serving HTTP. For example, a proxy or a
/// server with other responses.
#[derive(Clone)]
pub struct Guest(Arc<dyn Fn(IpAddr, Box<dyn Stream>) -> Meeting + Send + Sync>);

type Meeting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Guest {
    pub fn new<F>(meet: impl Fn(Box<dyn Stream>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::knowing_where(move |_, stream| meet(stream))
    }

    /// Creates a guest that also gets the address of its edge.
    pub fn knowing_where<F>(
        meet: impl Fn(IpAddr, Box<dyn Stream>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |ip, stream| Box::pin(meet(ip, stream))))
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

/// Running edges, which stop when the last clone is dropped. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    scheme: Scheme,
    port: u16,
    edges: Vec<Edge>,
    identity: Arc<Identity>,
    work: Work,
}

/// How long a response takes, in milliseconds.
type Work = Arc<AtomicU64>;

/// The handle of one edge's task.
#[derive(Debug)]
struct Edge {
    ip: IpAddr,
    counts: Arc<watch::Sender<Counts>>,
    /// Whether the last order has a silent mode.
    is_silent: AtomicBool,
    orders: mpsc::UnboundedSender<Order>,
}

/// An order to change the mode.
#[derive(Debug)]
struct Order {
    mode: Mode,
    /// What the edge does with its connections.
    connected: Connected,
    /// Signals that the mode is in effect.
    done: oneshot::Sender<()>,
}

/// What an edge does with its connections when its mode changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connected {
    /// The edge closes the connections.
    Closed,
    /// The connections work as before.
    Kept,
    /// The connections stay open and silent. The edge closes them when its mode changes again.
    Silent,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    accepted: usize,
    served: usize,
}

impl Edges {
    /// Starts `n` HTTP edges on 127.0.0.2 and up.
    pub async fn http(n: u8) -> Self {
        Self::on(&loopback(n), Scheme::Http).await
    }

    /// Starts `n` HTTPS edges on 127.0.0.2 and up.
    ///
    /// Their certificate is good for `edge.test`, `*.edge.test`, `localhost` and their addresses.
    pub async fn https(n: u8) -> Self {
        Self::on(&loopback(n), Scheme::Https).await
    }

    /// Starts an edge on each of `ips`, on the current runtime and on a port that is free on all of them.
    pub async fn on(ips: &[IpAddr], scheme: Scheme) -> Self {
        Self::start(ips, scheme, None).await
    }

    /// Starts `n` edges on 127.0.0.2 and up, whose connections `guest` handles.
    pub async fn hosting(n: u8, scheme: Scheme, guest: Guest) -> Self {
        Self::hosting_on(&loopback(n), scheme, guest).await
    }

    /// Starts an edge on each of `ips`, whose connections `guest` handles.
    pub async fn hosting_on(ips: &[IpAddr], scheme: Scheme, guest: Guest) -> Self {
        Self::start(ips, scheme, Some(guest)).await
    }

    async fn start(ips: &[IpAddr], scheme: Scheme, guest: Option<Guest>) -> Self {
        let identity = Identity::of(ips);
        let work = Work::default();
        let (port, sockets) = bind_all(ips);
        DialLog::forget(port);
        let manner = |ip: IpAddr| Manner {
            addr: (ip, port).into(),
            scheme,
            guest: guest.clone(),
            identity: identity.clone(),
            counts: Arc::default(),
            work: work.clone(),
        };
        let edges = iter::zip(ips, sockets)
            .map(|(&ip, socket)| start(socket, manner(ip)))
            .collect();
        let edges = Self(Arc::new(Shared {
            scheme,
            port,
            edges,
            identity,
            work,
        }));
        for &ip in ips {
            edges.set(ip, Mode::Serve).await;
        }
        edges
    }

    /// Returns the port that all edges share.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Returns the addresses of the edges.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.0.edges.iter().map(|edge| edge.ip).collect()
    }

    /// Returns the URL of the root at `host`, with the edges' scheme and port.
    pub fn url(&self, host: &str) -> String {
        match self.0.scheme {
            Scheme::Http => format!("http://{host}:{}/", self.0.port),
            Scheme::Https => format!("https://{host}:{}/", self.0.port),
        }
    }

    /// Returns the certificate of the authority that signs the edges' certificates.
    pub fn ca(&self) -> CertificateDer<'static> {
        self.0.identity.ca.clone()
    }

    /// Returns the certificate of the authority as PEM.
    pub fn ca_pem(&self) -> String {
        self.0.identity.ca_pem.clone()
    }

    /// Returns the TLS settings of a client that trusts the edges, without an ALPN protocol.
    pub fn client_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.ca())
            .expect("the authority's certificate is well formed");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// Sets the time that each edge takes to respond to a request. The default is zero.
    pub fn answer_after(&self, work: Duration) {
        let millis = work
            .as_millis()
            .try_into()
            .expect("the time fits into 64 bits of milliseconds");
        self.0.work.store(millis, Ordering::Relaxed);
    }

    /// Changes the edge at `ip` to `mode`, and closes its connections.
    pub async fn set(&self, ip: IpAddr, mode: Mode) {
        self.order(ip, mode, Connected::Closed).await;
    }

    /// Changes the edge at `ip` to `mode` for new connections only.
    pub async fn set_for_new(&self, ip: IpAddr, mode: Mode) {
        self.order(ip, mode, Connected::Kept).await;
    }

    /// Changes the edge at `ip` to `mode` for new connections, and makes its other connections silent. The edge sends
    /// nothing on them, and closes them when its mode changes again.
    pub async fn set_and_go_silent(&self, ip: IpAddr, mode: Mode) {
        self.order(ip, mode, Connected::Silent).await;
    }

    async fn order(&self, ip: IpAddr, mode: Mode, connected: Connected) {
        let (done, held) = oneshot::channel();
        let edge = self.edge(ip);
        let sent = edge.orders.send(Order {
            mode,
            connected,
            done,
        });
        sent.expect("the edge and its runtime live");
        let held = within(format!("{mode:?} at {ip}"), held).await;
        held.expect("the edge and its runtime live");
        let is_silent = matches!(mode, Mode::BlackHole | Mode::Hang | Mode::HangInHttp);
        edge.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Returns whether a connect to the edge at `ip` ends only by a time limit.
    pub fn is_silent(&self, ip: IpAddr) -> bool {
        let mut edges = self.0.edges.iter();
        edges.any(|edge| edge.ip == ip && edge.is_silent.load(Ordering::SeqCst))
    }

    /// Counts the requests that the edge at `ip` has responded to.
    pub fn served(&self, ip: IpAddr) -> usize {
        self.edge(ip).counts.borrow().served
    }

    /// Counts the TCP connections that the edge at `ip` has accepted, in any mode.
    pub fn accepted(&self, ip: IpAddr) -> usize {
        self.edge(ip).counts.borrow().accepted
    }

    /// Waits until the edge at `ip` has accepted at least `n` TCP connections.
    #[track_caller]
    pub fn accepts(&self, ip: IpAddr, n: usize) -> impl Future<Output = ()> {
        let mut counts = self.edge(ip).counts.subscribe();
        within(format!("connection {n} to {ip}"), async move {
            let seen = counts.wait_for(|counts| counts.accepted >= n).await;
            drop(seen.expect("the edge lives as long as its handle"));
        })
    }

    fn edge(&self, ip: IpAddr) -> &Edge {
        let edge = self.0.edges.iter().find(|edge| edge.ip == ip);
        edge.unwrap_or_else(|| panic!("no edge at {ip}"))
    }
}

fn loopback(n: u8) -> Vec<IpAddr> {
    (2..2 + n)
        .map(|last| Ipv4Addr::new(127, 0, 0, last).into())
        .collect()
}

fn start(socket: Socket, manner: Manner) -> Edge {
    let (ip, counts) = (manner.addr.ip(), manner.counts.clone());
    let (orders, inbox) = mpsc::unbounded_channel();
    // On Linux a second socket can hold the port of a socket that listens, if both were bound before. So no other
    // process gets the port while the edge changes its socket.
    let keeper = bind(manner.addr).ok();
    let running = run(Door::Shut(socket), Arc::new(manner), inbox);
    tokio::spawn(async move {
        running.await;
        drop(keeper);
    });
    let is_silent = AtomicBool::new(false);
    Edge {
        ip,
        counts,
        is_silent,
        orders,
    }
}

/// Runs an edge until its last handle is dropped, and then closes everything.
async fn run(mut door: Door, manner: Arc<Manner>, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let mut mode = Mode::Refuse;
    let mut connections = JoinSet::new();
    let mut silent = JoinSet::new();
    let mut ice = Ice::default();
    loop {
        tokio::select! {
            order = inbox.recv() => {
                let Some(order) = order else { return };
                mode = order.mode;
                door = door.change(mode, manner.addr).await;
                silent.shutdown().await;
                match order.connected {
                    Connected::Closed => connections.shutdown().await,
                    Connected::Kept => {}
                    Connected::Silent => {
                        std::mem::take(&mut ice).freeze();
                        silent = std::mem::take(&mut connections);
                    }
                }
                // The caller may have been canceled.
                let _: Result<(), ()> = order.done.send(());
            }
            stream = door.accept() => {
                manner.counts.send_modify(|counts| counts.accepted += 1);
                connections.spawn(ice.clone().around(manner.clone().meet(mode, stream)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Stops connections without closing them. Cheap to clone.
#[derive(Clone, Default)]
struct Ice(Arc<AtomicBool>);

impl Ice {
    fn freeze(self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Runs a connection until the connection is frozen.
    async fn around(self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let poll = |cx: &mut Context<'_>| match self.0.load(Ordering::SeqCst) {
            true => Poll::Pending,
            false => connection.as_mut().poll(cx),
        };
        future::poll_fn(poll).await;
    }
}

/// The sockets of an edge.
enum Door {
    /// Accepts connections.
    Open(TcpListener),
    /// Keeps the port bound, and does not listen.
    #[expect(dead_code, reason = "an open socket keeps the port")]
    Shut(Socket),
    /// Listens with a queue that its own connections keep full.
    #[expect(dead_code, reason = "open sockets keep the port and the queue")]
    Clogged(Socket, Vec<StdTcpStream>),
}

impl Door {
    async fn accept(&self) -> TcpStream {
        let Self::Open(listener) = self else {
            return future::pending().await;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                // The process has no file descriptor left. The test will close some.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Changes to the sockets that `mode` needs. A door that stays open keeps its listener.
    async fn change(self, mode: Mode, addr: SocketAddr) -> Self {
        match (self, mode) {
            (before, Mode::Refuse) => {
                drop(before);
                Self::Shut(bind(addr).expect("the edge keeps its port"))
            }
            (before, Mode::BlackHole) => {
                drop(before);
                let clogged = spawn_blocking(move || clog(addr)).await;
                clogged.expect("the queue fills")
            }
            (Self::Open(listener), _) => Self::Open(listener),
            (before, _) => {
                drop(before);
                Self::Open(listen(addr).expect("the edge keeps its port"))
            }
        }
    }
}

/// Listens with the shortest queue, and fills the queue until a connect gets no reply.
fn clog(addr: SocketAddr) -> Door {
    /// A connect on loopback that takes longer than this gets no reply.
    const PATIENCE: Duration = Duration::from_millis(100);
    for _ in 0..10 {
        let socket = bind(addr).expect("the edge keeps its port");
        socket.listen(0).expect("a bound socket listens");
        let connects = iter::from_fn(|| StdTcpStream::connect_timeout(&addr, PATIENCE).ok());
        let fillers: Vec<_> = connects.take(4096).collect();
        // Without fillers, a connect of the client has the place in the queue and would count as connected.
        if !fillers.is_empty() {
            return Door::Clogged(socket, fillers);
        }
    }
    panic!("no filler gets into the queue of {addr}");
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(addr)?;
    socket.set_nonblocking(true)?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections that ended a moment ago still hold the port.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Binds to a port that no other socket is bound to, not even that of another test's edge.
fn bind_alone(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&addr.into())?;
    // From now on other sockets of the same edge may share the port.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Binds all addresses to one port. If the port is taken at one of them, the function tries another port.
fn bind_all(ips: &[IpAddr]) -> (u16, Vec<Socket>) {
    loop {
        let first = bind_alone((ips[0], 0).into()).expect("the address is on loopback");
        let addr = first.local_addr().ok().and_then(|addr| addr.as_socket());
        let port = addr.expect("a bound socket has an address").port();
        let others = ips[1..].iter().map(|&ip| bind_alone((ip, port).into()));
        match others.collect::<io::Result<Vec<_>>>() {
            Ok(mut sockets) => {
                sockets.insert(0, first);
                return (port, sockets);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("cannot bind {ips:?}: {error}"),
        }
    }
}

/// How an edge treats a connection.
struct Manner {
    addr: SocketAddr,
    scheme: Scheme,
    guest: Option<Guest>,
    identity: Arc<Identity>,
    counts: Arc<watch::Sender<Counts>>,
    work: Work,
}

impl Manner {
    async fn meet(self: Arc<Self>, mode: Mode, stream: TcpStream) {
        // Nagle's algorithm would delay small responses. Without this option the edge is only slower.
        let _: io::Result<()> = stream.set_nodelay(true);
        match mode {
            Mode::Serve | Mode::CloseAfterRequest | Mode::HangInHttp | Mode::Unavailable => {
                let certificate = self.identity.good.clone();
                self.secure(stream, certificate, mode).await;
            }
            Mode::WrongCertificate => {
                let certificate = self.identity.wrong.clone();
                self.secure(stream, certificate, mode).await;
            }
            Mode::TlsReset => reset(stream).await,
            Mode::Hang => ignore(stream).await,
            Mode::AcceptAndClose | Mode::Refuse | Mode::BlackHole => {}
        }
    }

    async fn secure(self: Arc<Self>, stream: TcpStream, tls: Arc<ServerConfig>, mode: Mode) {
        match self.scheme {
            Scheme::Http => self.speak(stream, mode).await,
            Scheme::Https => {
                if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                    self.speak(stream, mode).await;
                }
            }
        }
    }

    async fn speak<S>(self: Arc<Self>, stream: S, mode: Mode)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if mode == Mode::HangInHttp {
            return ignore(stream).await;
        }
        if let (Some(guest), Mode::Serve) = (&self.guest, mode) {
            return guest.0(self.addr.ip(), Box::new(stream)).await;
        }
        let received = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (manner, received) = (self.clone(), received.clone());
            async move {
                if mode == Mode::CloseAfterRequest {
                    received.notify_one();
                    future::pending::<()>().await;
                }
                let response = manner.answer(request).await;
                match mode {
                    Mode::Unavailable => response.map(unavailable),
                    _ => response,
                }
            }
        });
        let http = auto::Builder::new(TokioExecutor::new());
        tokio::select! {
            _ = http.serve_connection(TokioIo::new(stream), service) => {}
            () = received.notified() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let echoed = match request.uri().path().starts_with("/echo") {
            true => Some(request.into_body().collect().await?.to_bytes()),
            false => None,
        };
        let work = self.work.load(Ordering::Relaxed);
        if work > 0 {
            tokio::time::sleep(Duration::from_millis(work)).await;
        }
        let mut served = 0;
        self.counts.send_modify(|counts| {
            counts.served += 1;
            served = counts.served;
        });
        let named = || format!("edge {} request {served}\n", self.addr.ip()).into();
        Ok(Response::new(Full::new(echoed.unwrap_or_else(named))))
    }
}

fn unavailable<B>(mut response: Response<B>) -> Response<B> {
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Reads until the client closes the connection, and sends nothing.
async fn ignore(mut stream: impl AsyncRead + Unpin) {
    let mut read = [0; 4096];
    while let Ok(1..) = stream.read(&mut read).await {}
}

/// Reads the first bytes of the client and resets the connection.
async fn reset(mut stream: TcpStream) {
    let mut first = [0; 4096];
    // The edge resets the connection whether the client has sent bytes or has closed.
    let _: io::Result<usize> = stream.read(&mut first).await;
    let _: io::Result<()> = stream.set_zero_linger();
}

/// An authority and the certificates that the authority has signed.
#[derive(Debug)]
struct Identity {
    ca: CertificateDer<'static>,
    ca_pem: String,
    good: Arc<ServerConfig>,
    wrong: Arc<ServerConfig>,
}

impl Identity {
    /// Returns the identity of all edges at these addresses. They share it because a busy machine makes keys slowly.
    fn of(ips: &[IpAddr]) -> Arc<Self> {
        static MADE: Mutex<BTreeMap<Vec<IpAddr>, Arc<Identity>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().expect("no key panics");
        let identity = made.entry(ips.to_vec());
        identity.or_insert_with(|| Arc::new(Self::new(ips))).clone()
    }

    fn new(ips: &[IpAddr]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL treats a certificate as self-signed if its issuer has the same name.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of the edges");
        let ca = CertifiedIssuer::self_signed(params, key()).expect("the parameters are valid");
        let names = ["edge.test", "*.edge.test", "localhost"].map(String::from);
        let names = names
            .into_iter()
            .chain(ips.iter().map(IpAddr::to_string))
            .collect();
        Self {
            ca: ca.der().clone(),
            ca_pem: ca.pem(),
            good: server_config(&ca, names),
            wrong: server_config(&ca, vec!["another-tenant.test".to_owned()]),
        }
    }
}

fn server_config(ca: &Issuer<'_, KeyPair>, names: Vec<String>) -> Arc<ServerConfig> {
    let key = key();
    let params = CertificateParams::new(names).expect("the names are valid");
    let certificate = params
        .signed_by(&key, ca)
        .expect("the parameters are valid");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("the key is the certificate's");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn key() -> KeyPair {
    KeyPair::generate().expect("ring makes keys")
}
