//! A name server on loopback whose answers, faults and delays a test sets.
//!
//! The server uses UDP and TCP on one port, and hickory-server implements DNS. The answer to a query is fixed when
//! the query arrives. [`NameServer::hold`] and [`NameServer::delay`] delay this answer, as a slow network does. A
//! held query is already counted, so a test can wait for the query with [`NameServer::asked`].
//!
//! ```ignore
//! let dns = NameServer::start().await;
//! dns.set("edge.test", &[ip], 60);
//! dns.hold();
//! let lookup = tokio::spawn(resolve("edge.test", dns.addr()));
//! dns.asked("edge.test", RecordType::A, 1).await;
//! dns.release();
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, LowerQuery, Metadata, ResponseCode};
pub use hickory_server::proto::rr::RecordType;
use hickory_server::proto::rr::rdata::{CNAME, NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use crate::bound::within;

/// What is wrong with the answers of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Answers as the rules say.
    #[default]
    None,
    /// Answers SERVFAIL.
    ServFail,
    /// Answers REFUSED.
    Refused,
    /// Never answers.
    Silent,
    /// Answers over UDP with TC and without records, and over TCP in full.
    Truncated,
    /// Answers NOTIMP.
    NotImp,
    /// Answers FORMERR to a query with EDNS, and others as usual.
    RefusesEdns,
    /// Answers NXDOMAIN to every query, as an authoritative server.
    KnowsNothing,
    /// Answers NODATA to every query, as an authoritative server.
    Empty,
    /// Answers without records, neither recursive nor authoritative.
    Lame,
    /// Refers to the root servers.
    Referral,
    /// Answers with an alias from the name to itself.
    AliasLoop,
    /// Answers with an address of another name.
    OtherName,
}

/// A running name server, which stops when its last clone is dropped. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NameServer {
    addr: SocketAddr,
    zone: Arc<Zone>,
    _running: Arc<oneshot::Sender<()>>,
}

impl NameServer {
    /// Starts a server on the current runtime.
    pub async fn start() -> Self {
        let (server, serving) = Self::bind().await;
        tokio::spawn(serving);
        server
    }

    /// Starts a server on its own thread and runtime, so that the server outlives every other runtime.
    pub fn start_in_background() -> Self {
        let (started, server) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut runtime = Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let (server, serving) = Self::bind().await;
                started.send(server).expect("the caller waits");
                serving.await;
            });
        });
        server.recv().expect("the name server starts")
    }

    /// Returns a server, and a future that runs until the last handle of the server is dropped.
    async fn bind() -> (Self, impl Future<Output = ()>) {
        let zone = Arc::new(Zone::default());
        let (addr, tasks) = bind(zone.clone()).await;
        let (running, ended) = oneshot::channel();
        let _running = Arc::new(running);
        let server = Self {
            addr,
            zone,
            _running,
        };
        let serving = async move {
            let _: Result<(), _> = ended.await;
            drop(tasks);
        };
        (server, serving)
    }

    /// Returns the address of the server, for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces all addresses of `name`. The answer for a family without addresses is NODATA.
    pub fn set(&self, name: &str, ips: &[IpAddr], ttl_secs: u32) {
        self.insert(name, ips, ttl_secs, false);
    }

    /// Sets the addresses of `name`. Each answer names one of them, chosen at random.
    pub fn set_one_of(&self, name: &str, ips: &[IpAddr], ttl_secs: u32) {
        self.insert(name, ips, ttl_secs, true);
    }

    fn insert(&self, name: &str, ips: &[IpAddr], ttl: u32, names_one: bool) {
        let ips = ips.to_vec();
        let entry = Entry {
            ips,
            ttl,
            names_one,
        };
        self.zone.edit(|rules| rules.names.insert(key(name), entry));
    }

    /// Makes `name` an alias of `target`. If the server knows addresses of `target`, the answer has them too.
    pub fn alias(&self, name: &str, target: &str, ttl_secs: u32) {
        let alias = (Name::from(key(target)), ttl_secs);
        self.zone
            .edit(|rules| rules.aliases.insert(key(name), alias));
    }

    /// Sets the fault for one name, which takes precedence over all other faults.
    pub fn fault_of(&self, name: &str, fault: Fault) {
        self.zone
            .edit(|rules| rules.faults_of.insert(key(name), fault));
    }

    /// Delays each answer of one record type. This delay takes precedence over `delay`.
    pub fn delay_for(&self, rtype: RecordType, delay: Duration) {
        self.zone.edit(|rules| rules.delays.insert(rtype, delay));
    }

    /// Removes `name`, for which the answer is NXDOMAIN from now on.
    pub fn remove(&self, name: &str) {
        self.zone.edit(|rules| rules.names.remove(&key(name)));
    }

    /// Sets whether an answer without addresses has an SOA record. The default is true.
    pub fn soa(&self, on: bool) {
        self.zone.edit(|rules| rules.soa = on);
    }

    /// Sets the TTL and the minimum of the SOA record in seconds. The default is 30.
    pub fn negative_ttl(&self, secs: u32) {
        self.zone.edit(|rules| rules.negative_ttl = secs);
    }

    /// Sets whether each answer starts one record further than the previous answer. The default is true.
    pub fn rotate(&self, on: bool) {
        self.zone.edit(|rules| rules.rotate = on);
    }

    /// Sets the fault of the server. A fault of `fault_for` takes precedence.
    pub fn fault(&self, fault: Fault) {
        self.zone.edit(|rules| rules.fault = fault);
    }

    /// Sets the fault for one record type.
    pub fn fault_for(&self, rtype: RecordType, fault: Fault) {
        self.zone.edit(|rules| rules.faults.insert(rtype, fault));
    }

    /// Delays each answer. The default is zero.
    pub fn delay(&self, delay: Duration) {
        self.zone.edit(|rules| rules.delay = delay);
    }

    /// Holds all answers until [`NameServer::release`].
    pub fn hold(&self) {
        self.zone.held.send_replace(true);
    }

    /// Sends all held answers, and holds no answer from now on.
    pub fn release(&self) {
        self.zone.held.send_replace(false);
    }

    /// Counts the queries for `name` and `rtype` that have come in.
    pub fn queries(&self, name: &str, rtype: RecordType) -> usize {
        count(&self.zone.asked.borrow(), &key(name), rtype)
    }

    /// Counts all queries that have come in.
    pub fn total(&self) -> usize {
        self.zone.asked.borrow().values().sum()
    }

    /// Waits until at least `n` queries for `name` and `rtype` have come in.
    #[track_caller]
    pub fn asked(
        &self,
        name: &str,
        rtype: RecordType,
        n: usize,
    ) -> impl Future<Output = ()> + use<> {
        let what = format!("query {n} for {name} {rtype}");
        let name = key(name);
        let mut counts = self.zone.asked.subscribe();
        within(what, async move {
            let enough = |counts: &Asked| count(counts, &name, rtype) >= n;
            let seen = counts.wait_for(enough).await;
            drop(seen.expect("the zone lives as long as its server"));
        })
    }
}

type Asked = HashMap<(LowerName, RecordType), usize>;

fn count(counts: &Asked, name: &LowerName, rtype: RecordType) -> usize {
    counts.get(&(name.clone(), rtype)).copied().unwrap_or(0)
}

/// The rules of the server, and its numbers of queries.
#[derive(Debug, Default)]
struct Zone {
    rules: Mutex<Rules>,
    asked: watch::Sender<Asked>,
    held: watch::Sender<bool>,
}

impl Zone {
    /// Counts the query, and returns its answer and the delay of the answer.
    fn settle(
        &self,
        query: &LowerQuery,
        protocol: Protocol,
        edns: bool,
    ) -> (Option<Settled>, Duration) {
        self.edit(|rules| {
            let turn = self.count(query);
            let delay = rules.delays.get(&query.query_type());
            let delay = delay.copied().unwrap_or(rules.delay);
            (rules.settle(query, protocol, edns, turn), delay)
        })
    }

    /// Counts the query, and returns the number of earlier queries for the same name and record type.
    fn count(&self, query: &LowerQuery) -> usize {
        let key = (query.name().clone(), query.query_type());
        let mut before = 0;
        self.asked.send_modify(|counts| {
            let n = counts.entry(key).or_default();
            before = *n;
            *n += 1;
        });
        before
    }

    async fn let_through(&self, delay: Duration) {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut held = self.held.subscribe();
        let open = held.wait_for(|held| !held).await;
        drop(open.expect("the zone lives as long as its server"));
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Rules) -> T) -> T {
        let rules = self.rules.lock();
        change(&mut rules.expect("no edit panics"))
    }
}

#[derive(Debug)]
struct Rules {
    names: HashMap<LowerName, Entry>,
    aliases: HashMap<LowerName, (Name, u32)>,
    faults: HashMap<RecordType, Fault>,
    faults_of: HashMap<LowerName, Fault>,
    delays: HashMap<RecordType, Duration>,
    fault: Fault,
    delay: Duration,
    negative_ttl: u32,
    soa: bool,
    rotate: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            aliases: HashMap::new(),
            faults: HashMap::new(),
            faults_of: HashMap::new(),
            delays: HashMap::new(),
            fault: Fault::None,
            delay: Duration::ZERO,
            negative_ttl: 30,
            soa: true,
            rotate: true,
        }
    }
}

impl Rules {
    /// Returns the answer to the query, or `None` if the server is silent.
    fn settle(
        &self,
        query: &LowerQuery,
        protocol: Protocol,
        edns: bool,
        turn: usize,
    ) -> Option<Settled> {
        let of_type = self.faults.get(&query.query_type());
        let fault = self.faults_of.get(query.name()).or(of_type);
        let name = || Name::from(query.name());
        Some(match *fault.unwrap_or(&self.fault) {
            Fault::Silent => return None,
            Fault::ServFail => Settled::empty(ResponseCode::ServFail),
            Fault::Refused => Settled::empty(ResponseCode::Refused),
            Fault::NotImp => Settled::empty(ResponseCode::NotImp),
            Fault::RefusesEdns if edns => Settled::empty(ResponseCode::FormErr),
            Fault::Truncated if protocol == Protocol::Udp => Settled::cut_off(),
            Fault::KnowsNothing => self.negative(query, ResponseCode::NXDomain),
            Fault::Empty => self.negative(query, ResponseCode::NoError),
            Fault::Lame => Settled::lame(),
            Fault::Referral => {
                let root = NS(Name::from_ascii("a.root.test.").expect("the name is valid"));
                let root = Record::from_rdata(Name::root(), 60, RData::NS(root));
                Settled {
                    authority: Some(root),
                    ..Settled::lame()
                }
            }
            Fault::AliasLoop => Settled {
                records: vec![Record::from_rdata(name(), 60, RData::CNAME(CNAME(name())))],
                ..Settled::lame()
            },
            Fault::OtherName => {
                let other = Name::from_ascii("other.test.").expect("the name is valid");
                let addr = RData::from(IpAddr::from([203, 0, 113, 66]));
                Settled {
                    records: vec![Record::from_rdata(other, 60, addr)],
                    ..Settled::lame()
                }
            }
            Fault::None | Fault::Truncated | Fault::RefusesEdns => self.answer(query, turn),
        })
    }

    fn answer(&self, query: &LowerQuery, turn: usize) -> Settled {
        if let Some((target, ttl)) = self.aliases.get(query.name()) {
            let mut answer = Settled::empty(ResponseCode::NoError);
            let alias = RData::CNAME(CNAME(target.clone()));
            let name = Name::from(query.name());
            answer.records = vec![Record::from_rdata(name, *ttl, alias)];
            if let Some(entry) = self.names.get(&LowerName::new(target)) {
                answer
                    .records
                    .extend(entry.records(target, query.query_type()));
            }
            return answer;
        }
        let Some(entry) = self.names.get(query.name()) else {
            return self.negative(query, ResponseCode::NXDomain);
        };
        let mut answer = Settled::empty(ResponseCode::NoError);
        answer.records = entry.records(&query.name().into(), query.query_type());
        if answer.records.is_empty() {
            return self.negative(query, ResponseCode::NoError);
        }
        if self.rotate {
            let places = turn % answer.records.len();
            answer.records.rotate_left(places);
        }
        answer
    }

    fn negative(&self, query: &LowerQuery, code: ResponseCode) -> Settled {
        let zone = Name::from(query.name()).base_name();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, self.negative_ttl);
        let soa = Record::from_rdata(zone, self.negative_ttl, RData::SOA(soa));
        let mut answer = Settled::empty(code);
        answer.authority = self.soa.then_some(soa);
        answer
    }
}

#[derive(Debug)]
struct Entry {
    ips: Vec<IpAddr>,
    ttl: u32,
    /// Whether an answer names one address, chosen at random.
    names_one: bool,
}

impl Entry {
    fn records(&self, name: &Name, rtype: RecordType) -> Vec<Record> {
        let record = |&ip| Record::from_rdata(name.clone(), self.ttl, RData::from(ip));
        let of_type = |record: &Record| record.record_type() == rtype;
        let mut records: Vec<_> = self.ips.iter().map(record).filter(of_type).collect();
        if self.names_one && !records.is_empty() {
            records = vec![records.swap_remove(fastrand::usize(..records.len()))];
        }
        records
    }
}

/// An answer, which is fixed when its query arrives.
#[derive(Default)]
struct Settled {
    code: ResponseCode,
    truncated: bool,
    /// Whether the server is not authoritative.
    is_lame: bool,
    records: Vec<Record>,
    authority: Option<Record>,
}

impl Settled {
    fn empty(code: ResponseCode) -> Self {
        let nothing = Self::default();
        Self { code, ..nothing }
    }

    fn lame() -> Self {
        let nothing = Self::default();
        let is_lame = true;
        Self { is_lame, ..nothing }
    }

    fn cut_off() -> Self {
        let nothing = Self::default();
        let truncated = true;
        Self {
            truncated,
            ..nothing
        }
    }

    async fn send(self, request: &Request, mut to: impl ResponseHandler) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = !self.is_lame;
        metadata.truncation = self.truncated;
        metadata.response_code = self.code;
        let edns = request.edns.as_ref().map(reply_edns);
        let mut response = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            response.edns(edns);
        }
        let response = response.build(metadata, &self.records, [], &self.authority, []);
        let sent = to.send_response(response).await;
        // The client may have closed its socket already.
        sent.unwrap_or_else(|_| unsent(metadata))
    }
}

fn reply_edns(query: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(query.max_payload().max(512));
    edns
}

fn unsent(metadata: Metadata) -> ResponseInfo {
    let counts = HeaderCounts::default();
    Header { metadata, counts }.into()
}

struct Answers(Arc<Zone>);

impl Answers {
    async fn answer(&self, request: &Request, to: impl ResponseHandler) -> ResponseInfo {
        let Ok(info) = request.request_info() else {
            let bad = Settled::empty(ResponseCode::FormErr);
            return bad.send(request, to).await;
        };
        let (settled, delay) = self
            .0
            .settle(info.query, info.protocol, request.edns.is_some());
        let Some(settled) = settled else {
            return unsent(*info.metadata);
        };
        self.0.let_through(delay).await;
        settled.send(request, to).await
    }
}

// `#[async_trait]` on the trait of hickory expands to this signature.
impl RequestHandler for Answers {
    fn handle_request<'a, 'b, 'c, R, T>(
        &'a self,
        request: &'b Request,
        to: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        R: ResponseHandler + 'c,
        T: Time + 'c,
    {
        Box::pin(self.answer(request, to))
    }
}

/// Binds UDP and TCP to one port that is free for both.
async fn bind(zone: Arc<Zone>) -> (SocketAddr, Server<Answers>) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let tcp = tcp.expect("loopback has a port");
        let addr = tcp.local_addr().expect("a bound socket has an address");
        let Ok(udp) = UdpSocket::bind(addr).await else {
            continue;
        };
        let mut server = Server::new(Answers(zone));
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(60), 32);
        return (addr, server);
    }
}

fn key(name: &str) -> LowerName {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let name = Name::from_labels(labels.map(str::as_bytes));
    LowerName::new(&name.expect("the names of a test are valid in DNS"))
}
