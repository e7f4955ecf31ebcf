//! Texts that may be names, and the checks of a resolver that gets them.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};

use bolero::TypeGenerator;
use hyper_util::client::legacy::connect::dns::Name;
use sidestep::lookup::{Answer, Lookup, LookupFuture};
use sidestep::{Outcome, ResolveError, Resolver};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// A text that is mostly similar to a name.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Text {
    Any(String),
    Pieces(Vec<Piece>),
    /// A few pieces, as in most names.
    Few([Option<Piece>; 4]),
}

#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Piece {
    Dot,
    Letter(u8),
    Any(char),
    /// The same letter this many times.
    Long(u8),
    Special(u8),
}

const LETTERS: &[u8] = b"abcxyzABCXYZ0189-_";
const SPECIAL: &[&str] = &[
    "localhost",
    "onion",
    "invalid",
    "127.0.0.1",
    "192.0.2.7",
    "::1",
    "[::1]",
    "[",
    "]",
    ":80",
    "http://",
    "xn--",
    "0x7f.1",
    "%00",
    "@",
    "\0",
    " ",
    "\u{130}",
    "\u{212a}",
];

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Any(text) => text.clone(),
            Self::Pieces(pieces) => pieces.iter().map(Piece::text).collect(),
            Self::Few(pieces) => pieces.iter().flatten().map(Piece::text).collect(),
        }
    }
}

impl Piece {
    fn text(&self) -> String {
        let letter = |n: u8| char::from(LETTERS[usize::from(n) % LETTERS.len()]);
        match *self {
            Self::Dot => ".".to_owned(),
            Self::Letter(n) => letter(n).to_string(),
            Self::Any(any) => any.to_string(),
            Self::Long(n) => letter(n).to_string().repeat(n.into()),
            Self::Special(n) => SPECIAL[usize::from(n) % SPECIAL.len()].to_owned(),
        }
    }
}

/// A lookup that records each name and returns one address. The root dot matters or not.
#[derive(Clone, Default)]
struct Log {
    looked_up: Arc<Mutex<Vec<String>>>,
    root_dot_matters: bool,
}

impl Log {
    fn looked_up(&self) -> Vec<String> {
        self.looked_up.lock().unwrap().clone()
    }
}

impl Lookup for Log {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        self.looked_up.lock().unwrap().push(host.to_owned());
        Box::pin(async { Ok(Answer::new([ADDR])) })
    }

    fn root_dot_matters(&self) -> bool {
        self.root_dot_matters
    }
}

pub(crate) struct Lab(Runtime);

impl Lab {
    pub(crate) fn new() -> Self {
        Self(Builder::new_current_thread().enable_all().build().unwrap())
    }

    pub(crate) fn check(&self, text: &Text) {
        let text = text.text();
        self.0.block_on(check(&text));
        self.0.block_on(check_absolute(&text));
    }
}

async fn check(text: &str) {
    let log = Log::default();
    let resolver = Resolver::builder().lookup(log.clone()).build().unwrap();
    let result = resolve(&resolver, text).await;
    let looked_up = log.looked_up();
    for spelling in spellings(text) {
        let again = resolve(&resolver, &spelling).await;
        match (&result, again) {
            (Ok(addrs), Ok(again)) => assert_eq!(*addrs, again, "{spelling:?}"),
            (Err(error), Err(again)) => {
                assert_eq!(
                    error.is_invalid_name(),
                    again.is_invalid_name(),
                    "{spelling:?}"
                );
            }
            (one, again) => panic!("{text:?}: {one:?}; {spelling:?}: {again:?}"),
        }
        resolver.report(&spelling, ADDR, Outcome::Connected);
        resolver.invalidate(&spelling);
        assert_eq!(resolve(&resolver, text).await.is_ok(), result.is_ok());
    }
    let hosts = resolver.snapshot().hosts;
    let kept: Vec<_> = hosts.iter().map(|view| view.host.clone()).collect();
    assert_eq!(kept, looked_up, "one host for all spellings of {text:?}");
    assert!(log.looked_up().iter().all(|host| *host == looked_up[0]));
    looked_up.iter().for_each(|host| assert_is_name(host));
    if result.is_err_and(|error| error.is_invalid_name()) {
        assert_eq!(looked_up, [""; 0]);
    }
}

/// If the root dot matters, names with and without the root dot are looked up and kept separately.
async fn check_absolute(text: &str) {
    let log = Log {
        root_dot_matters: true,
        ..Log::default()
    };
    let resolver = Resolver::builder().lookup(log.clone()).build().unwrap();
    for spelling in [text.to_owned()].into_iter().chain(spellings(text)) {
        let result = resolve(&resolver, &spelling).await;
        resolver.report(&spelling, ADDR, Outcome::Connected);
        let is_looked_up = |name: &String| *name == spelling.to_ascii_lowercase();
        let is_name = result.is_ok_and(|addrs| addrs == [ADDR]);
        assert!(
            !is_name || log.looked_up().iter().any(is_looked_up),
            "{spelling:?}"
        );
    }
    let looked_up = log.looked_up();
    assert!(looked_up.len() <= 2, "{looked_up:?}");
    let hosts = resolver.snapshot().hosts;
    let mut kept: Vec<_> = hosts.iter().map(|view| view.host.clone()).collect();
    kept.sort_by_key(|host| looked_up.iter().position(|name| name == host));
    assert_eq!(kept, looked_up);
    for name in looked_up {
        assert_is_name(name.strip_suffix('.').unwrap_or(&name));
    }
}

/// Resolves a text by hand, and as a connector if hyper-util accepts the text as a name.
async fn resolve(resolver: &Resolver, text: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let by_hand = resolver.resolve(text).await;
    if let Ok(name) = Name::from_str(text) {
        let selected = resolver.clone().call(name).await;
        assert_eq!(selected.is_ok(), by_hand.is_ok());
        assert!(selected.is_err() || selected.is_ok_and(|mut addrs| addrs.next().is_some()));
    }
    by_hand.map(|resolved| resolved.addrs().to_vec())
}

/// Returns other spellings of a name: in upper and lower case, with and without the root dot.
fn spellings(text: &str) -> Vec<String> {
    let dotted = match text.strip_suffix('.') {
        Some(bare) => bare.to_owned(),
        None => format!("{text}."),
    };
    let cases = |text: &str| [text.to_ascii_uppercase(), text.to_ascii_lowercase()];
    // A name has at most one root dot, and an IPv6 address has none.
    if text.ends_with("..") || text.is_empty() || text.contains([':', '[']) {
        return cases(text).into();
    }
    cases(text).into_iter().chain(cases(&dotted)).collect()
}

/// Checks that a query can carry the name (RFC 1035, section 2.3.4), and that the name has its one spelling.
fn assert_is_name(host: &str) {
    assert!(
        host.is_ascii() && !host.bytes().any(|b| b.is_ascii_uppercase()),
        "{host:?}"
    );
    assert!(host.bytes().all(|b| b.is_ascii_graphic()), "{host:?}");
    assert!(host.len() <= 253, "{host:?}");
    let fits = |label: &str| (1..=63).contains(&label.len());
    assert!(host.split('.').all(fits), "{host:?}");
    assert!(
        host.parse::<IpAddr>().is_err(),
        "an IP literal is not looked up"
    );
    assert!(!["localhost", "onion", "invalid"].contains(&host.rsplit('.').next().unwrap()));
}
