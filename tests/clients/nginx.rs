//! Tests clients with a pool against a real nginx, which is paused, killed and restarted. No GET fails.
//!
//! Without nginx in `PATH` each test prints that it is skipped. On Debian, `apt-get install nginx-light` installs
//! nginx.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sidestep::reqwest::ClientBuilderExt as _;
use sidestep::{Outcome, Resolver};
use testkit::{Edges, HOST, Journal, NameServer, Seen, asking, get};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

/// An nginx on one address, with its own process group.
struct Nginx {
    ip: IpAddr,
    master: Child,
    home: PathBuf,
}

impl Nginx {
    /// Starts nginx. Returns `None` if nginx ends at once, for example because another process has the port.
    fn start(ip: IpAddr, port: u16, http: Http) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "sidestep-nginx-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let home = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&home).unwrap();
        let http2 = if http == Http::Two { " http2" } else { "" };
        let config = format!(
            "daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; keepalive_timeout 75s; client_max_body_size 0;\n\
             client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;\n\
             uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;\n\
             server {{ listen {ip}:{port}{http2}; location / {{ return 200 \"{ip}\"; }} }} }}\n",
            home = home.display(),
        );
        std::fs::write(home.join("conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&home)
            .arg("-c")
            .arg(home.join("conf"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let master = command.process_group(0).spawn().unwrap();
        let mut nginx = Self { ip, master, home };
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until && nginx.master.try_wait().unwrap().is_none() {
            if TcpStream::connect((ip, port)).is_ok() {
                return Some(nginx);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Signals the master and all workers.
    fn signal_all(&self, signal: &str) {
        kill(signal, &format!("-{}", self.master.id()));
    }

    fn signal_master(&self, signal: &str) {
        kill(signal, &self.master.id().to_string());
    }
}

fn kill(signal: &str, pid: &str) {
    let mut command = Command::new("kill");
    let status = command.args(["-s", signal, "--", pid]).status().unwrap();
    assert!(status.success(), "kill -s {signal} {pid}");
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The process may have ended already.
        let group = format!("-{}", self.master.id());
        let mut command = Command::new("kill");
        let _ = command
            .args(["-s", "KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.master.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Several nginx servers of one host, and a resolver that looks the host up.
struct Fleet {
    all: Vec<Nginx>,
    port: u16,
    resolver: Resolver,
    journal: Journal,
    edges: Edges,
    _dns: NameServer,
}

impl Fleet {
    /// Starts `n` nginx servers. Returns `None` if nginx is not installed.
    async fn of(n: u8, http: Http) -> Option<Self> {
        if Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            println!("SKIPPED: nginx is not installed");
            return None;
        }
        let ips: Vec<_> = (2..2 + n)
            .map(|last| IpAddr::from([127, 0, 0, last]))
            .collect();
        let (all, port) = loop {
            let free = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let all: Option<Vec<_>> = ips.iter().map(|&ip| Nginx::start(ip, port, http)).collect();
            if let Some(all) = all {
                break (all, port);
            }
        };
        let dns = NameServer::start().await;
        dns.set(HOST, &ips, 1800);
        let journal = Journal::default();
        let builder = Resolver::builder().lookup(asking(&dns));
        let resolver = builder.observe(journal.observer()).build().unwrap();
        let edges = Edges::http(1).await;
        Some(Self {
            all,
            port,
            resolver,
            journal,
            edges,
            _dns: dns,
        })
    }

    /// Returns a builder of a stock client with a pool.
    fn client(&self, http: Http) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(self.edges.client_config());
        match http {
            Http::One => builder.sidestep(&self.resolver),
            Http::Two => builder.http2_prior_knowledge().sidestep(&self.resolver),
        }
    }

    fn url(&self) -> String {
        format!("http://{HOST}:{}/", self.port)
    }

    /// Sends batches of ten concurrent GETs, so that the pool has several connections. Returns the bodies.
    async fn batches(&self, client: &reqwest::Client, batches: usize) -> Vec<String> {
        let (mut responses, url) = (Vec::new(), self.url());
        for batch in 0..batches {
            let gets = (0..10).map(|_| get(client, &url));
            for response in futures_util::future::join_all(gets).await {
                let seen = || self.journal.seen();
                responses.push(
                    response.unwrap_or_else(|error| panic!("{batch}: {error:?} {:?}", seen())),
                );
            }
        }
        responses
    }

    fn of_ip(&self, ip: &str) -> &Nginx {
        let ip: IpAddr = ip.parse().unwrap();
        self.all.iter().find(|nginx| nginx.ip == ip).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_get_of_a_pooled_client_fails_when_nginx_is_killed() {
    for http in [Http::One, Http::Two] {
        let Some(fleet) = Fleet::of(3, http).await else {
            return;
        };
        let client = fleet.client(http).build().unwrap();
        let responses = fleet.batches(&client, 10).await;
        let dead = fleet.of_ip(responses.last().unwrap());
        let (killed, responses) = tokio::join!(
            async { dead.signal_all("KILL") },
            fleet.batches(&client, 40)
        );
        let () = killed;
        let last = &responses[responses.len() - 10..];
        assert!(
            last.iter().all(|response| *response != dead.ip.to_string()),
            "{http:?}"
        );
    }
}

/// A reload of nginx closes each pooled connection when the connection is idle, and sends GOAWAY on HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_get_of_a_pooled_client_fails_while_nginx_reloads() {
    for http in [Http::One, Http::Two] {
        let Some(fleet) = Fleet::of(2, http).await else {
            return;
        };
        let client = fleet.client(http).build().unwrap();
        fleet.batches(&client, 10).await;
        for _ in 0..5 {
            for nginx in &fleet.all {
                nginx.signal_master("HUP");
                fleet.batches(&client, 5).await;
            }
        }
    }
}

/// After SIGQUIT nginx finishes its requests and refuses new connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_get_of_a_pooled_client_fails_when_nginx_shuts_down_gracefully() {
    for http in [Http::One, Http::Two] {
        let Some(fleet) = Fleet::of(2, http).await else {
            return;
        };
        let client = fleet.client(http).build().unwrap();
        fleet.batches(&client, 10).await;
        fleet.all[0].signal_master("QUIT");
        fleet.batches(&client, 40).await;
    }
}

/// Pauses one nginx. Its kernel still accepts connections and acknowledges data, so only a ping detects the pause.
async fn pause_over_http2(
    set: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    worst: Duration,
) {
    let Some(fleet) = Fleet::of(3, Http::Two).await else {
        return;
    };
    let client = set(fleet.client(Http::Two)).build().unwrap();
    let responses = fleet.batches(&client, 3).await;
    let dead = fleet.of_ip(responses.last().unwrap());
    dead.signal_all("STOP");
    let began = Instant::now();
    let responses = fleet.batches(&client, 1).await;
    let took = began.elapsed();
    assert!(took <= worst, "{took:?}");
    assert!(
        responses
            .iter()
            .all(|response| *response != dead.ip.to_string())
    );
    assert_eq!(fleet.journal.failures(), [(dead.ip, Outcome::Silent)]);
    let began = Instant::now();
    fleet.batches(&client, 10).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "later requests avoid the paused nginx"
    );
    dead.signal_all("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_get_fails_when_nginx_is_paused_over_http2() {
    pause_over_http2(|builder| builder, Duration::from_secs(16)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_times_of_the_program_replace_those_of_sidestep() {
    let set = |builder: reqwest::ClientBuilder| {
        builder
            .http2_keep_alive_interval(Duration::from_millis(500))
            .http2_keep_alive_timeout(Duration::from_millis(500))
    };
    pause_over_http2(set, Duration::from_millis(2_500)).await;
}

/// With `TCP_USER_TIMEOUT`, a TCP window that stays closed ends the connection with ETIMEDOUT, as lost packets do.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_is_sent_again_when_the_kernel_ends_a_silent_connection() {
    let Some(fleet) = Fleet::of(2, Http::One).await else {
        return;
    };
    let client = fleet.client(Http::One);
    let client = client
        .tcp_user_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let paused = get(&client, &fleet.url()).await.unwrap();
    let paused = fleet.of_ip(&paused);
    paused.signal_all("STOP");
    let put = client.put(fleet.url()).body(vec![b'x'; 64 << 20]).send();
    let response = put.await.unwrap().text().await.unwrap();
    assert_ne!(response, paused.ip.to_string());
    assert_eq!(fleet.journal.failures(), [(paused.ip, Outcome::Silent)]);
    assert_eq!(
        fleet.journal.count(|seen| matches!(seen, Seen::Trial(_))),
        0
    );
    paused.signal_all("CONT");
}
