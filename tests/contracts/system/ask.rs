//! The child processes that look names up: one with getaddrinfo, the others with sidestep.
//!
//! Each configuration gets fresh processes, because libc keeps its configuration per process.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sidestep::lookup::{Dns, System};
use sidestep::{ResolveError, Resolver};
use tracing_subscriber::fmt::MakeWriter;

use crate::system::scenario::{Answer, Question};

/// How a child process looks names up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Getaddrinfo,
    /// `Dns::from_system()`.
    Dns,
    /// `Resolver::new()`.
    Resolver,
    /// `lookup::System`.
    System,
}

impl Method {
    pub(crate) const OURS: [Self; 3] = [Self::Dns, Self::Resolver, Self::System];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Getaddrinfo => "getaddrinfo",
            Self::Dns => "Dns",
            Self::Resolver => "Resolver",
            Self::System => "System",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Getaddrinfo, Self::Dns, Self::Resolver, Self::System];
        all.into_iter().find(|method| method.name() == name)
    }
}

/// What one lookup returned.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LookupResult {
    pub(crate) answer: Answer,
    /// The text of the error.
    pub(crate) error: String,
    pub(crate) millis: u64,
    /// The first answer, if one family of the question is late.
    pub(crate) first: Option<Answer>,
    /// Whether sidestep has logged that the system resolves names by this configuration.
    pub(crate) is_for_system: bool,
    /// Whether sidestep has logged that the system resolves names after the name servers.
    pub(crate) is_also_for_system: bool,
}

impl LookupResult {
    pub(crate) fn new(answer: Answer, error: impl Into<String>) -> Self {
        Self {
            answer,
            error: error.into(),
            millis: 0,
            first: None,
            is_for_system: false,
            is_also_for_system: false,
        }
    }

    fn since(mut self, begun: Instant) -> Self {
        self.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Looks up the names of all questions, and returns the results in the same order.
///
/// The lookups run at once, unless a question depends on earlier ones.
pub(crate) fn ask_all(method: Method, etc: &Path, questions: &[Question]) -> Vec<LookupResult> {
    if method == Method::Getaddrinfo {
        return by_getaddrinfo(etc, questions);
    }
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false);
    let subscriber = subscriber.with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let mut results = runtime.block_on(by_ours(method, etc, questions));
    for result in &mut results {
        result.is_for_system = log.says("the system resolves names");
        result.is_also_for_system = log.says("also_system=true");
    }
    // A getaddrinfo call that still runs cannot be canceled.
    runtime.shutdown_background();
    results
}

/// The log of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(words)
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn by_getaddrinfo(etc: &Path, questions: &[Question]) -> Vec<LookupResult> {
    let ask = |question: &Question| {
        write_edits(etc, question);
        let begun = Instant::now();
        getaddrinfo(&question.name).since(begun)
    };
    if questions.iter().any(|question| question.in_turn) {
        return questions.iter().map(ask).collect();
    }
    std::thread::scope(|scope| {
        let spawn = |question| scope.spawn(move || ask(question));
        let threads: Vec<_> = questions.iter().map(spawn).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

async fn by_ours(method: Method, etc: &Path, questions: &[Question]) -> Vec<LookupResult> {
    let ours = Ours::new(method);
    if !questions.iter().any(|question| question.in_turn) {
        return join_all(questions.iter().map(|question| ours.ask(question, None))).await;
    }
    let mut results: Vec<LookupResult> = Vec::new();
    for question in questions {
        write_edits(etc, question);
        let is_same = |(_, other): &(&LookupResult, &Question)| other.name == question.name;
        let before = results.iter().zip(questions).rfind(is_same);
        let before = before.map(|(result, _)| result.answer.clone());
        results.push(ours.ask(question, before).await);
    }
    results
}

fn write_edits(etc: &Path, question: &Question) {
    for (file, contents) in &question.edits {
        std::fs::write(etc.join(file), contents).unwrap();
    }
}

/// One way of sidestep to look names up.
enum Ours {
    /// Each question gets a resolver of its own, so that no result comes from a cache.
    Dns(Result<Arc<Dns>, String>),
    One(Resolver),
}

impl Ours {
    fn new(method: Method) -> Self {
        match method {
            Method::Dns => {
                let dns = Dns::from_system();
                Self::Dns(dns.map(Arc::new).map_err(|error| error.to_string()))
            }
            Method::System => Self::One(resolver_of(System::new())),
            Method::Resolver | Method::Getaddrinfo => Self::One(Resolver::new()),
        }
    }

    fn resolver(&self) -> Result<Resolver, String> {
        match self {
            Self::Dns(Ok(dns)) => Ok(resolver_of(Arc::clone(dns))),
            Self::Dns(Err(error)) => Err(error.clone()),
            Self::One(resolver) => Ok(resolver.clone()),
        }
    }

    /// Looks a name up, and again while sidestep has not noticed a changed file or a late family is missing.
    async fn ask(&self, question: &Question, before: Option<Answer>) -> LookupResult {
        let begun = Instant::now();
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(error) => return LookupResult::new(Answer::Failed, error),
        };
        let mut result = resolve(&resolver, &question.name).await.since(begun);
        let first = result.answer.clone();
        while is_unfinished(question, before.as_ref(), &result) && begun.elapsed() < NOTICE_LIMIT {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let later = if question.late_half {
                Ok(resolver.clone())
            } else {
                self.resolver()
            };
            let later = later.expect("the lookup was made before");
            result = resolve(&later, &question.name).await.since(begun);
        }
        result.first = question.late_half.then_some(first);
        result
    }
}

fn is_unfinished(question: &Question, before: Option<&Answer>, result: &LookupResult) -> bool {
    let is_unnoticed = !question.edits.is_empty() && before == Some(&result.answer);
    is_unnoticed || (question.late_half && !has_both_families(&result.answer))
}

/// Time limit for the lookups that wait for a changed file or a late family.
const NOTICE_LIMIT: Duration = Duration::from_secs(4);

/// The time limit of one lookup. The default of 5 s is too short for several silent candidates.
const TIMEOUT: Duration = Duration::from_secs(20);

fn resolver_of(lookup: impl sidestep::Lookup) -> Resolver {
    let builder = Resolver::builder().lookup(lookup).lookup_timeout(TIMEOUT);
    builder.build().unwrap()
}

async fn resolve(resolver: &Resolver, name: &str) -> LookupResult {
    match resolver.resolve(name).await {
        Ok(resolved) => {
            let addrs = resolved.addrs().iter().copied().collect();
            LookupResult::new(Answer::Addrs(addrs), "")
        }
        Err(error) => LookupResult::new(answer_of(&error), error.to_string()),
    }
}

fn answer_of(error: &ResolveError) -> Answer {
    if error.is_not_found() || error.is_no_records() || error.is_invalid_name() {
        Answer::Negative
    } else {
        Answer::Failed
    }
}

fn has_both_families(answer: &Answer) -> bool {
    let Answer::Addrs(addrs) = answer else {
        return false;
    };
    addrs.iter().any(IpAddr::is_ipv4) && addrs.iter().any(IpAddr::is_ipv6)
}

fn getaddrinfo(name: &str) -> LookupResult {
    let found: io::Result<BTreeSet<_>> = (name, 0)
        .to_socket_addrs()
        .map(|addrs| addrs.map(|addr| addr.ip()).collect());
    let error = match found {
        Ok(addrs) => return LookupResult::new(Answer::Addrs(addrs), ""),
        Err(error) => error.to_string(),
    };
    let text = error.trim_start_matches("failed to lookup address information: ");
    let is_negative = NEGATIVE.iter().any(|words| text.contains(words));
    let answer = if is_negative {
        Answer::Negative
    } else {
        Answer::Failed
    };
    LookupResult::new(answer, text)
}

/// The words of glibc and musl for EAI_NONAME, EAI_NODATA and EAI_ADDRFAMILY.
const NEGATIVE: &[&str] = &[
    "Name or service not known",
    "No address associated with",
    "Address family for hostname not supported",
    "Name does not resolve",
    "Name has no usable address",
];
