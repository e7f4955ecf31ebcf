//! Decides which names a lookup queries, in which order, and how the walk over them ends.
//!
//! A *candidate* is the host as written, or the host with a domain of the search list appended. The walk over the
//! candidates follows glibc's `res_search` with one exception. The NXDOMAIN or NODATA of a later candidate never
//! hides the failure of an earlier candidate.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::StubConfig;

/// The reason why a candidate has no addresses.
///
/// A duration is the time for which the cache may keep the negative answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss<F> {
    /// The candidate does not exist (NXDOMAIN).
    NotFound(Option<Duration>),
    /// The candidate has no addresses (NODATA).
    NoRecords(Option<Duration>),
    /// The candidate is an alias of a name without addresses. The walk ends, because such a candidate exists.
    AliasToNothing(Option<Duration>),
    /// A server answered SERVFAIL, or another error code for one record type only. The walk continues with the
    /// next candidate.
    FailedNextCandidate(F),
    /// No server answered, or each answered with an error other than SERVFAIL. The walk skips the rest of the
    /// search list, unless the candidate is the host as written.
    Failed(F),
    /// No server could be reached, or the reply has aliases that can't be followed, or only records of other names.
    /// The walk ends.
    EndsWalk(F),
}

/// The walk over the candidates of one host.
#[derive(Debug)]
pub(super) struct Walk<F> {
    /// Candidates that are not queried yet, without the root dot.
    left: VecDeque<Candidate>,
    current_is_as_written: bool,
    /// The first failure of a candidate.
    failure: Option<F>,
    /// The negative answer for the host as written, if queried before the search list, or for an alias.
    as_written: Option<Negative>,
    last: Option<Negative>,
    has_no_records: bool,
    searched: bool,
    negative_ttl: Ttl,
}

#[derive(Debug)]
struct Candidate {
    name: Box<str>,
    is_as_written: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Negative {
    NotFound,
    NoRecords,
}

/// The shortest negative TTL of all candidates. A candidate without an SOA record has no TTL.
#[derive(Clone, Copy, Debug, Default)]
struct Ttl {
    shortest: Option<Duration>,
    is_missing: bool,
}

/// The end of a walk that found no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End<F> {
    NotFound(Option<Duration>),
    NoRecords(Option<Duration>),
    Failed(F),
}

impl<F> Walk<F> {
    /// Starts the walk for a host in lower case. With a root dot, the host is the only candidate.
    pub(super) fn new(name: &str, config: &StubConfig) -> Self {
        Self {
            left: candidates(name, config),
            current_is_as_written: false,
            failure: None,
            as_written: None,
            last: None,
            has_no_records: false,
            searched: false,
            negative_ttl: Ttl::default(),
        }
    }

    /// Returns the next candidate to query, without the root dot.
    pub(super) fn next(&mut self) -> Option<Box<str>> {
        let candidate = self.left.pop_front()?;
        self.current_is_as_written = candidate.is_as_written;
        Some(candidate.name)
    }

    /// Records why the candidate that `next` returned last has no addresses.
    pub(super) fn missed(&mut self, miss: Miss<F>) {
        let is_first = self.current_is_as_written && !self.searched;
        self.searched |= !self.current_is_as_written;
        match miss {
            Miss::NotFound(ttl) => self.denied(Negative::NotFound, ttl, is_first),
            Miss::NoRecords(ttl) => self.denied(Negative::NoRecords, ttl, is_first),
            Miss::FailedNextCandidate(failure) => self.fail(failure),
            Miss::Failed(failure) => {
                self.fail(failure);
                // If the host as written fails, the walk still queries the search list. If another candidate
                // fails, the walk skips the rest of the search list.
                if !self.current_is_as_written {
                    self.left.retain(|candidate| candidate.is_as_written);
                }
            }
            Miss::AliasToNothing(ttl) => {
                self.denied(Negative::NoRecords, ttl, true);
                self.left.clear();
            }
            Miss::EndsWalk(failure) => {
                self.fail(failure);
                self.left.clear();
            }
        }
    }

    /// Returns how the walk ends if no candidate has addresses.
    pub(super) fn end(self) -> End<F> {
        if let Some(failure) = self.failure {
            return End::Failed(failure);
        }
        let ttl = self.negative_ttl.get();
        let no_records = self.has_no_records.then_some(Negative::NoRecords);
        match self.as_written.or(no_records).or(self.last) {
            Some(Negative::NoRecords) => End::NoRecords(ttl),
            // If no candidate was queried, the host is too long for DNS and therefore does not exist.
            Some(Negative::NotFound) | None => End::NotFound(ttl),
        }
    }

    fn denied(&mut self, negative: Negative, ttl: Option<Duration>, is_first: bool) {
        if is_first {
            self.as_written = Some(negative);
        }
        self.has_no_records |= negative == Negative::NoRecords && !self.current_is_as_written;
        self.last = Some(negative);
        self.negative_ttl.add(ttl);
    }

    fn fail(&mut self, failure: F) {
        self.failure.get_or_insert(failure);
    }
}

impl Ttl {
    fn add(&mut self, ttl: Option<Duration>) {
        self.is_missing |= ttl.is_none();
        self.shortest = match (self.shortest, ttl) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Returns the shortest TTL, or `None` if a candidate without a TTL has the shortest.
    ///
    /// A candidate without a TTL counts as [`WITHOUT_SOA`].
    fn get(self) -> Option<Duration> {
        self.shortest
            .filter(|&shortest| !self.is_missing || shortest < WITHOUT_SOA)
    }
}

/// How long the cache keeps a negative answer that has no TTL.
const WITHOUT_SOA: Duration = Duration::from_secs(5);
/// The maximum length of a name without its root dot, in octets (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// Returns the candidates of a host, each once.
///
/// If the host has at least `ndots` dots, the host as written comes first, else last.
fn candidates(name: &str, config: &StubConfig) -> VecDeque<Candidate> {
    if let Some(absolute) = name.strip_suffix('.') {
        return [as_written(absolute)].into();
    }
    let dots = name.bytes().filter(|&byte| byte == b'.').count();
    let is_first = dots >= config.ndots.into();
    let mut all: VecDeque<Candidate> = VecDeque::new();
    all.extend(is_first.then(|| as_written(name)));
    for domain in &config.search {
        let candidate = below(name, domain);
        let is_new = all.iter().all(|other| other.name != candidate.name);
        all.extend((is_new && candidate.name.len() <= MAX_NAME).then_some(candidate));
    }
    // If the search list contains the root, the host as written is already a candidate.
    if !all.iter().any(|candidate| &*candidate.name == name) {
        all.push_back(as_written(name));
    }
    all
}

fn as_written(name: &str) -> Candidate {
    Candidate {
        name: name.into(),
        is_as_written: true,
    }
}

fn below(name: &str, domain: &str) -> Candidate {
    let domain = domain.trim_matches('.');
    let name = match domain.is_empty() {
        true => name.into(),
        false => format!("{name}.{domain}").into(),
    };
    Candidate {
        name,
        is_as_written: false,
    }
}

#[cfg(test)]
mod tests;
