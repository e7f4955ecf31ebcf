//! The rows of a run, and their text in the report.

use std::path::Path;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

use crate::system::ask::LookupResult;
use crate::system::judge::{self, Verdict};
use crate::system::scenario::Answer;

/// The results of getaddrinfo and sidestep for one question of one configuration.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) question: String,
    pub(crate) theirs: LookupResult,
    /// The queries of all questions of the configuration together.
    pub(crate) queries: Vec<String>,
    pub(crate) ours: Vec<Ours>,
    pub(crate) configuration: String,
}

/// The result of one method of sidestep.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Ours {
    pub(crate) method: String,
    pub(crate) result: LookupResult,
    pub(crate) queries: Vec<String>,
    pub(crate) verdict: Verdict,
}

/// Reads the rows that a job wrote into its folder.
pub(crate) fn read(folder: &Path) -> Vec<Row> {
    let rows = fs::read_to_string(folder.join("rows")).unwrap_or_default();
    let row = |line| serde_json::from_str(line).expect("a row is JSON");
    rows.lines().map(row).collect()
}

impl Row {
    pub(crate) fn is_wrong(&self) -> bool {
        self.ours.iter().any(|ours| ours.verdict == Verdict::Wrong)
    }

    /// Returns whether a result is wrong only because one family is missing.
    pub(crate) fn lacks_a_family(&self) -> bool {
        self.ours.iter().any(|ours| {
            ours.verdict == Verdict::Wrong && judge::lacks_a_family(&self.theirs, &ours.result)
        })
    }

    /// Returns the configuration and the queries of each method.
    pub(crate) fn details(&self) -> String {
        let mut text = format!("\n{}\n", self.configuration);
        let ours = self
            .ours
            .iter()
            .map(|ours| (ours.method.as_str(), &ours.queries));
        for (method, queries) in std::iter::once(("getaddrinfo", &self.queries)).chain(ours) {
            text += &format!("-- {} queries of {method}\n", queries.len());
            for query in queries.iter().take(MAX_QUERIES) {
                text += &format!("{query}\n");
            }
        }
        text
    }
}

/// The largest number of queries that the report lists for each method.
const MAX_QUERIES: usize = 40;

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            title,
            question,
            theirs,
            queries,
            ..
        } = self;
        writeln!(f, "{title}: {question}")?;
        writeln!(
            f,
            "    {:11} {theirs}, {} queries",
            "getaddrinfo",
            queries.len()
        )?;
        for Ours {
            method,
            result,
            queries,
            verdict,
        } in &self.ours
        {
            write!(f, "    {method:11} {result}, {} queries: ", queries.len())?;
            match verdict {
                Verdict::Equal => writeln!(f, "equal")?,
                Verdict::Better(reason) => writeln!(f, "better: {reason}")?,
                Verdict::Wrong => writeln!(f, "WRONG")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for LookupResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.first.as_ref().filter(|first| **first != self.answer) {
            write!(f, "{first}, then ")?;
        }
        write!(f, "{}", self.answer)?;
        if !self.error.is_empty() {
            write!(f, " ({})", self.error)?;
        }
        write!(f, ", {} ms", self.millis)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative => f.write_str("no such name"),
            Self::Failed => f.write_str("failed"),
            Self::Hung => f.write_str("did not end"),
            Self::Addrs(addrs) => {
                let named: Vec<_> = addrs.iter().take(4).map(ToString::to_string).collect();
                f.write_str(&named.join(" "))?;
                match addrs.len() {
                    0..=4 => Ok(()),
                    more => write!(f, " and {} more", more - 4),
                }
            }
        }
    }
}
