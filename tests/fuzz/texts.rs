//! Texts that may be names, and what is done with them.

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

/// A text, mostly near to being a name.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Text {
    Any(String),
    Pieces(Vec<Piece>),
    /// A few pieces: names as they are met.
    Few([Option<Piece>; 4]),
}

#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Piece {
    Dot,
    Letter(u8),
    Any(char),
    /// So many letters.
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

/// A lookup in which every name has one address, and which notes the names. The root dot matters or not.
#[derive(Clone, Default)]
struct Notes {
    asked: Arc<Mutex<Vec<String>>>,
    root_dot_matters: bool,
}

impl Notes {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Lookup for Notes {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        self.asked.lock().unwrap().push(host.to_owned());
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
    let notes = Notes::default();
    let resolver = Resolver::builder().lookup(notes.clone()).build().unwrap();
    let answered = ask(&resolver, text).await;
    let asked = notes.asked();
    for spelling in spellings(text) {
        let again = ask(&resolver, &spelling).await;
        match (&answered, again) {
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
        assert_eq!(ask(&resolver, text).await.is_ok(), answered.is_ok());
    }
    let hosts = resolver.snapshot().hosts;
    let kept: Vec<_> = hosts.iter().map(|view| view.host.clone()).collect();
    assert_eq!(kept, asked, "one host for all spellings of {text:?}");
    assert!(notes.asked().iter().all(|host| *host == asked[0]));
    asked.iter().for_each(|host| assert_is_name(host));
    if answered.is_err_and(|error| error.is_invalid_name()) {
        assert_eq!(asked, [""; 0]);
    }
}

/// Where the root dot matters, names with and without are asked for and kept on their own.
async fn check_absolute(text: &str) {
    let notes = Notes {
        root_dot_matters: true,
        ..Notes::default()
    };
    let resolver = Resolver::builder().lookup(notes.clone()).build().unwrap();
    for spelling in [text.to_owned()].into_iter().chain(spellings(text)) {
        let answered = ask(&resolver, &spelling).await;
        resolver.report(&spelling, ADDR, Outcome::Connected);
        let is_asked = |name: &String| *name == spelling.to_ascii_lowercase();
        let is_name = answered.is_ok_and(|addrs| addrs == [ADDR]);
        assert!(
            !is_name || notes.asked().iter().any(is_asked),
            "{spelling:?}"
        );
    }
    let asked = notes.asked();
    assert!(asked.len() <= 2, "{asked:?}");
    let hosts = resolver.snapshot().hosts;
    let mut kept: Vec<_> = hosts.iter().map(|view| view.host.clone()).collect();
    kept.sort_by_key(|host| asked.iter().position(|name| name == host));
    assert_eq!(kept, asked);
    for name in asked {
        assert_is_name(name.strip_suffix('.').unwrap_or(&name));
    }
}

/// Asks by hand, and as a connector where it could.
async fn ask(resolver: &Resolver, text: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let by_hand = resolver.resolve(text).await;
    if let Ok(name) = Name::from_str(text) {
        let dealt = resolver.clone().call(name).await;
        assert_eq!(dealt.is_ok(), by_hand.is_ok());
        assert!(dealt.is_err() || dealt.is_ok_and(|mut addrs| addrs.next().is_some()));
    }
    by_hand.map(|resolved| resolved.addrs().to_vec())
}

/// Other ways to write the same: in case, and with or without the root dot.
fn spellings(text: &str) -> Vec<String> {
    let dotted = match text.strip_suffix('.') {
        Some(bare) => bare.to_owned(),
        None => format!("{text}."),
    };
    let cases = |text: &str| [text.to_ascii_uppercase(), text.to_ascii_lowercase()];
    // A second dot is one too many, and behind an IPv6 address or a bracket the first is.
    if text.ends_with("..") || text.is_empty() || text.contains([':', '[']) {
        return cases(text).into();
    }
    cases(text).into_iter().chain(cases(&dotted)).collect()
}

/// What a name server may be asked (RFC 1035, section 2.3.4), in its one spelling.
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
        "an address is not asked for"
    );
    assert!(!["localhost", "onion", "invalid"].contains(&host.rsplit('.').next().unwrap()));
}
