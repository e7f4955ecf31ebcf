//! What a failed connect is told in full with.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Shared;
use super::report::{self, Ending};
use crate::attempt::{Note, Slip};
use crate::blame::{self, Reach};
use crate::host::Host;
use crate::observe::{Attempt, Source};
use crate::penalty::{Rank, Record};
use crate::{Outcome, time};

/// What a connect was dealt, from where, and what became of each address.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) host: Host,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) source: Source,
    pub(crate) age: Duration,
}

impl Shared {
    /// Gives an account of a connect that has ended so. `None` where it asked nobody, or for two
    /// names, and where the error is none that can be read: then nothing is known of its addresses,
    /// and a client may look for it itself, as reqwest does for tower's `Elapsed`.
    pub(crate) fn account(&self, slip: &Slip, reach: Reach, ending: &Ending) -> Option<Account> {
        let note = ending.note(slip)?;
        let (failure, after_tcp) = ending.clone().failure()?;
        if failure.why == Outcome::Unknown {
            return None;
        }
        let dialled = report::dialled(note.dealt.as_slice(), reach, failure.why, after_tcp);
        let now = time::now();
        let attempt = |addr| match dialled.contains(&addr) {
            true => Attempt {
                addr,
                outcome: Some(failure.why),
                ago: None,
            },
            false => self.earlier(&note, addr, now),
        };
        let attempts = blame::all(note.dealt.as_slice()).map(attempt).collect();
        Some(Account {
            attempts,
            source: note.source,
            age: note.age,
            host: note.host,
        })
    }

    /// What is still held against an address from before.
    pub(super) fn earlier(&self, note: &Note, addr: IpAddr, now: Instant) -> Attempt {
        let held = self.book.read(note.host.as_str(), now, |page| {
            let record = page.iter().find(|(other, _)| *other == addr);
            let held = |record: &Record| record.rank(now) != Rank::Healthy;
            let record = record.map(|(_, record)| record).filter(|it| held(it))?;
            Some((record.why(), now.saturating_duration_since(record.since())))
        });
        let (outcome, ago) = held.unzip();
        Attempt { addr, outcome, ago }
    }
}
