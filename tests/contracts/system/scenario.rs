//! One configuration of a system with its name servers and questions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::system::ask::Method;

/// The first name server of most scenarios.
pub(crate) const NS1: &str = "127.0.0.53";
pub(crate) const NS2: &str = "127.0.0.54";
pub(crate) const NS3: &str = "127.0.0.55";

/// A configuration with its name servers and questions.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    /// The seed of a random configuration.
    pub(crate) seed: Option<u64>,
    /// The files of /etc. A file without contents does not exist.
    pub(crate) files: BTreeMap<String, Option<String>>,
    pub(crate) hostname: String,
    /// Addresses of the scripted name servers and their zones as text.
    pub(crate) servers: Vec<(String, String)>,
    /// The configuration of a real recursive server, unbound, on 127.0.0.53.
    pub(crate) unbound: Option<String>,
    pub(crate) questions: Vec<Question>,
    /// The command that runs the scenario alone.
    pub(crate) rerun: String,
}

/// One name to look up, and the results that are accepted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Question {
    pub(crate) name: String,
    /// Results that differ from that of getaddrinfo and are better, each with its reason.
    pub(crate) better: Vec<(Answer, String)>,
    /// Whether the lookups of the scenario run one after another.
    pub(crate) in_turn: bool,
    /// The time limit of `Dns` in milliseconds.
    pub(crate) within: Option<u64>,
    /// The reason why a failure is better than a negative result.
    pub(crate) failure_is_better: Option<String>,
    /// Whether one family is late, so that a partial answer is right at first and the whole one soon after.
    pub(crate) late_half: bool,
    /// Files that change right before the question.
    pub(crate) edits: Vec<(String, String)>,
}

/// The answer of a lookup.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Answer {
    Addrs(BTreeSet<IpAddr>),
    /// The name does not exist or has no addresses.
    Negative,
    /// The lookup failed, and the name may exist.
    Failed,
    /// The lookup did not end.
    Hung,
}

impl Answer {
    pub(crate) fn addrs(addrs: &[&str]) -> Self {
        Self::Addrs(addrs.iter().map(|addr| addr.parse().unwrap()).collect())
    }
}

impl Scenario {
    /// Starts a scenario whose only name server is [`NS1`], with an ordinary hosts file.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        let (title, hostname) = (title.into(), "box".to_owned());
        let scenario = Self {
            title,
            seed: None,
            files: BTreeMap::new(),
            hostname,
            servers: Vec::new(),
            unbound: None,
            questions: Vec::new(),
            rerun: String::new(),
        };
        scenario
            .resolv("nameserver 127.0.0.53\n")
            .hosts("127.0.0.1 localhost\n::1 localhost\n")
            .file(
                "nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n",
            )
            .file("host.conf", "multi on\n")
    }

    pub(crate) fn file(mut self, name: &str, contents: impl Into<String>) -> Self {
        self.files.insert(name.to_owned(), Some(contents.into()));
        self
    }

    /// Removes a file.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.files.insert(name.to_owned(), None);
        self
    }

    pub(crate) fn resolv(self, contents: impl Into<String>) -> Self {
        self.file("resolv.conf", contents)
    }

    pub(crate) fn hosts(self, contents: impl Into<String>) -> Self {
        self.file("hosts", contents)
    }

    /// Sets the `hosts:` line of nsswitch.conf.
    pub(crate) fn nsswitch(self, sources: &str) -> Self {
        self.file(
            "nsswitch.conf",
            format!("passwd: files\nhosts: {sources}\n"),
        )
    }

    pub(crate) fn hostname(mut self, hostname: &str) -> Self {
        hostname.clone_into(&mut self.hostname);
        self
    }

    /// Adds a scripted name server.
    pub(crate) fn server(mut self, addr: &str, zone: impl Into<String>) -> Self {
        self.servers.push((addr.to_owned(), zone.into()));
        self
    }

    /// Adds a question. The result must be that of getaddrinfo.
    pub(crate) fn ask(mut self, name: &str) -> Self {
        self.questions.push(Question::new(name));
        self
    }

    /// Lists a result of the last question that is better than that of getaddrinfo.
    pub(crate) fn or(mut self, answer: Answer, reason: &str) -> Self {
        self.last().better.push((answer, reason.to_owned()));
        self
    }

    /// Accepts a failure instead of a negative result of the last question.
    pub(crate) fn or_negative_is_failure(mut self, reason: &str) -> Self {
        self.last().failure_is_better = Some(reason.to_owned());
        self
    }

    /// Lists a better result of every question for a name.
    pub(crate) fn or_for(mut self, name: &str, answer: Answer, reason: &str) -> Self {
        for question in self
            .questions
            .iter_mut()
            .filter(|question| question.name == name)
        {
            question.better.push((answer.clone(), reason.to_owned()));
        }
        self
    }

    /// Lists several results of the last question that are better than that of getaddrinfo.
    pub(crate) fn or_all(self, better: &[(Answer, &str)]) -> Self {
        let or =
            |scenario: Self, (answer, reason): &(Answer, &str)| scenario.or(answer.clone(), reason);
        better.iter().fold(self, or)
    }

    /// Marks one family of the last question as late.
    pub(crate) fn late_half(mut self) -> Self {
        self.last().late_half = true;
        self
    }

    /// Runs the lookups of the scenario one after another.
    pub(crate) fn in_turn(mut self) -> Self {
        self.last().in_turn = true;
        self
    }

    /// Sets a time limit in milliseconds for `Dns` at the last question.
    pub(crate) fn within(mut self, millis: u64) -> Self {
        self.last().within = Some(millis);
        self
    }

    /// Adds a question, and rewrites a file right before its lookup.
    pub(crate) fn edit_then_ask(mut self, file: &str, contents: &str, name: &str) -> Self {
        self.questions.push(Question::new(name));
        let edit = (file.to_owned(), contents.to_owned());
        self.last().edits.push(edit);
        self.in_turn()
    }

    /// Returns whether the scenario compares a method.
    ///
    /// Every seed compares `Dns`, and one in four compares `Resolver`, because each child process takes time.
    pub(crate) fn is_for(&self, method: Method) -> bool {
        let has_edits = self
            .questions
            .iter()
            .any(|question| !question.edits.is_empty());
        match (method, self.seed) {
            (Method::System, Some(_)) => false,
            (Method::Resolver, Some(seed)) => seed % 4 == 0,
            // The cache keeps an answer from before an edit.
            (Method::Resolver | Method::System, None) => !has_edits,
            (Method::Dns | Method::Getaddrinfo, _) => true,
        }
    }

    fn last(&mut self) -> &mut Question {
        self.questions
            .last_mut()
            .expect("the scenario has a question")
    }
}

impl Question {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            better: Vec::new(),
            late_half: false,
            in_turn: false,
            within: None,
            failure_is_better: None,
            edits: Vec::new(),
        }
    }
}

/// Writes the whole configuration, so that a reader can repeat the scenario.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.title)?;
        if self.hostname != "box" {
            writeln!(f, "hostname {}", self.hostname)?;
        }
        for (name, contents) in &self.files {
            match contents {
                None => writeln!(f, "-- /etc/{name} does not exist")?,
                Some(contents) => writeln!(
                    f,
                    "-- /etc/{name}\n{}",
                    contents
                        .escape_default()
                        .to_string()
                        .replace("\\n", "\n")
                        .trim_end()
                )?,
            }
        }
        if let Some(conf) = &self.unbound {
            writeln!(f, "-- unbound on 127.0.0.53\n{conf}")?;
        }
        for (addr, zone) in &self.servers {
            writeln!(f, "-- name server {addr}")?;
            for line in zone.lines().map(str::trim).filter(|line| !line.is_empty()) {
                writeln!(f, "{line}")?;
            }
        }
        write!(f, "-- rerun: {}", self.rerun)
    }
}
