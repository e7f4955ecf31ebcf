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
    /// In how many lanes the connector attempts the addresses, one beside the other.
    pub(crate) lanes: usize,
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
        let dealt = note.dealt.as_slice();
        let dialled = report::dialled(dealt, reach, failure.why, after_tcp);
        let end = |addr| (addr, dialled.contains(&addr).then_some(failure.why));
        Some(self.account_of(&note, blame::all(dealt).map(end)))
    }

    /// Gives an account of these addresses and what each came to. `None`: it was not dialled.
    pub(crate) fn account_of(
        &self,
        note: &Note,
        ends: impl Iterator<Item = (IpAddr, Option<Outcome>)>,
    ) -> Account {
        let now = time::now();
        let attempt = |(addr, outcome)| match outcome {
            None => self.earlier(note, addr, now),
            Some(_) => Attempt {
                addr,
                outcome,
                ago: None,
            },
        };
        Account {
            attempts: ends.map(attempt).collect(),
            source: note.source,
            age: note.age,
            lanes: blame::lanes(note.dealt.as_slice()),
            host: note.host.clone(),
        }
    }

    /// What is still held against an address from before.
    fn earlier(&self, note: &Note, addr: IpAddr, now: Instant) -> Attempt {
        let held = self.book.read(note.host.as_str(), now, |page| {
            let record = page.iter().find(|(other, _)| *other == addr);
            let held =
                |record: &Record| !matches!(record.rank(now), Rank::Healthy | Rank::Doubtful);
            let record = record.map(|(_, record)| record).filter(|it| held(it))?;
            Some((record.why(), now.saturating_duration_since(record.since())))
        });
        let (outcome, ago) = held.unzip();
        Attempt { addr, outcome, ago }
    }
}
