//! Rule: which name server is asked next, and what is remembered about each.
//!
//! Servers are asked in the given order. If a server fails, the next one is asked at once. If a server takes
//! longer than usual, the next one *overlaps* it: a second query is sent beside the first.
//!
//! | a server, while another answers | is from then on |
//! |---|---|
//! | replies with an error | asked as before: the reply costs no wait, and the order decides which server is right |
//! | is silent | *suspect*: asked after the others; a later server's negative answer still waits for it |
//! | is silent for 2 s, or can't be reached | *set back*: asked last for 30 s, then tried beside a working server |
//!
//! Any reply of a server ends both states.

mod turn;

use std::time::{Duration, Instant};

pub(super) use self::turn::{End, Outdone, Slot, Step, Turn};
use super::config::{Server, StubConfig};

/// A server is set back if it is silent for this long while others answer.
const SILENT: Duration = Duration::from_secs(2);
/// A suspect is waited for this many overlaps if a later server has denied the name.
const PATIENCE: u32 = 4;
/// A server that works is waited for this many fifths of its time limit if a later server has denied the name.
/// The rest is left to end the lookup before its own time limit, so that the silence is remembered.
const PATIENCE_FIFTHS: u32 = 3;
/// A lone server that answers SERVFAIL is asked once more, and not again until it has answered this many
/// questions: names that fail cost a tenth more queries at most.
const ANSWERS_PER_REPEAT: u32 = 10;
/// How long a server is set back at first. Each failed trial doubles this time.
const SET_BACK: Duration = Duration::from_secs(30);
/// The longest time for which a server is set back.
const SET_BACK_MOST: Duration = Duration::from_secs(5 * 60);
/// A server is overlapped after this multiple of its usual time.
const USUAL_TIMES: u32 = 5;
/// The least time before a server is overlapped, so that a slow recursion costs no second query.
const OVERLAP_LEAST: Duration = Duration::from_millis(250);
/// An unknown server is overlapped after its time limit divided by this number: 500 ms of the usual 5 s.
const UNKNOWN_PART: u32 = 10;
/// A server is overlapped at the latest after its time limit divided by this number.
const MOST_PART: u32 = 2;
/// Most servers that are remembered; the system's configuration names at most three.
const MAX_SERVERS: usize = 64;

/// What all lookups of one `Dns` remember about the name servers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    records: Vec<Record>,
    turns: usize,
}

#[derive(Debug)]
struct Record {
    server: Server,
    /// The usual time of an answer: an average that moves by an eighth.
    usual: Option<Duration>,
    /// Answers since SERVFAIL was repeated last. `None`: it was never repeated.
    answers_since_repeat: Option<u32>,
    /// When the last reply came, of whatever kind.
    replied_at: Option<Instant>,
    /// When the first query was sent that the server left without a reply while others answered.
    silent_since: Option<Instant>,
    set_back: Option<SetBack>,
    refuses_edns: bool,
}

#[derive(Clone, Copy, Debug)]
struct SetBack {
    until: Instant,
    length: Duration,
}

/// The servers of one question in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) servers: Vec<Server>,
    /// Servers that keep their place, and are asked after the others.
    pub(super) suspects: Vec<Server>,
    /// A server that failed before and is tried beside the first.
    pub(super) trial: Option<Server>,
    /// Whether a lone server that answers SERVFAIL is asked once more.
    pub(super) repeats_servfail: bool,
}

/// How long a server is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// How long until the next server is asked beside it.
    pub(super) alone: Duration,
    /// How long until the server counts as failed, if a later server has denied the name.
    pub(super) denied_by_later: Duration,
}

impl Memory {
    /// Returns the index of the server that a lookup starts with: the first, or each in turn.
    pub(super) fn start(&mut self, config: &StubConfig) -> usize {
        if !config.rotate {
            return 0;
        }
        self.turns = self.turns.wrapping_add(1);
        self.turns - 1
    }

    /// Returns the order of the servers for one question. Only one question gets the trial of a server.
    pub(super) fn order(&mut self, config: &StubConfig, start: usize, now: Instant) -> Order {
        let mut servers = config.servers.clone();
        if !servers.is_empty() {
            let places = start % servers.len();
            servers.rotate_left(places);
        }
        let (mut working, set_back): (Vec<_>, Vec<_>) = servers
            .into_iter()
            .partition(|&server| !self.is_set_back(server));
        let all = working.iter().copied();
        let suspects = all.filter(|&server| self.is_suspect(server)).collect();
        let trial = self.take_trial(&working, &set_back, now);
        working.extend(set_back);
        let lone_is_well = match working[..] {
            [lone] => self.get(lone).is_none_or(Record::may_be_repeated),
            _ => false,
        };
        Order {
            servers: working,
            suspects,
            trial,
            repeats_servfail: lone_is_well,
        }
    }

    /// Returns how long a server is waited for.
    pub(super) fn wait(&self, server: Server, timeout: Duration) -> Wait {
        let record = self.get(server);
        let usual = record.and_then(|record| record.usual);
        let wait = usual.map_or(timeout / UNKNOWN_PART, |usual| usual * USUAL_TIMES);
        let wait = wait.clamp(OVERLAP_LEAST, OVERLAP_LEAST.max(timeout / MOST_PART));
        let is_doubtful = self.is_suspect(server) || self.is_set_back(server);
        Wait {
            alone: wait,
            denied_by_later: match is_doubtful {
                true => (wait * PATIENCE).min(timeout),
                false => timeout * PATIENCE_FIFTHS / 5,
            },
        }
    }

    /// Records that a server answered, and the time of the answer if it is known.
    pub(super) fn answered(&mut self, server: Server, took: Option<Duration>, now: Instant) {
        let Some(record) = self.edit(server) else {
            return;
        };
        record.usual = match (record.usual, took) {
            (Some(usual), Some(took)) => Some((usual * 7 + took) / 8),
            (usual, took) => usual.or(took),
        };
        record.answers_since_repeat = record.answers_since_repeat.map(|n| n.saturating_add(1));
        record.replied(now);
    }

    /// Records that a server replied with an error, which the name may have caused.
    pub(super) fn failed(&mut self, server: Server, now: Instant) {
        if let Some(record) = self.edit(server) {
            if record.may_be_repeated() {
                record.answers_since_repeat = Some(0);
            }
            record.replied(now);
        }
    }

    /// Records that a query which was sent at `since` is left without a reply, while another server answered.
    ///
    /// A server that has replied to another query since then is not silent: one name alone is not answered.
    pub(super) fn silent(&mut self, server: Server, since: Instant, now: Instant) {
        let Some(record) = self.edit(server) else {
            return;
        };
        if record.replied_at.is_some_and(|at| at >= since) {
            return;
        }
        let since = *record.silent_since.get_or_insert(since);
        if now.saturating_duration_since(since) >= SILENT {
            self.set_back(server, now);
        }
    }

    /// Records that a server does not work while others do: the server is asked last for a while.
    pub(super) fn set_back(&mut self, server: Server, now: Instant) {
        let Some(record) = self.edit(server) else {
            return;
        };
        // A server that is already set back waits for its trial, because the failures of questions that were
        // sent together count as one.
        record.set_back.get_or_insert(SetBack {
            until: now + SET_BACK,
            length: SET_BACK,
        });
    }

    /// Records that a server refused EDNS and answered without it.
    pub(super) fn refused_edns(&mut self, server: Server) {
        if let Some(record) = self.edit(server) {
            record.refuses_edns = true;
        }
    }

    pub(super) fn refuses_edns(&self, server: Server) -> bool {
        self.get(server).is_some_and(|record| record.refuses_edns)
    }

    fn is_set_back(&self, server: Server) -> bool {
        self.get(server)
            .is_some_and(|record| record.set_back.is_some())
    }

    fn is_suspect(&self, server: Server) -> bool {
        self.get(server)
            .is_some_and(|record| record.silent_since.is_some())
    }

    /// Returns the server that is due for a trial beside a working one.
    ///
    /// The server is set back, or has been suspect for long. No other trial of the server begins until this
    /// one ends.
    fn take_trial(
        &mut self,
        working: &[Server],
        set_back: &[Server],
        now: Instant,
    ) -> Option<Server> {
        let beside = |server| working.iter().any(|&other| other != server);
        let all = set_back.iter().chain(working).copied();
        let due = all.filter(|&server| self.trial_is_due(server, now));
        let trial = { due }.find(|&server| beside(server))?;
        let record = self.edit(trial)?;
        let length = match record.set_back {
            Some(set_back) => (set_back.length * 2).min(SET_BACK_MOST),
            None => SET_BACK,
        };
        record.set_back = Some(SetBack {
            until: now + length,
            length,
        });
        Some(trial)
    }

    fn trial_is_due(&self, server: Server, now: Instant) -> bool {
        let Some(record) = self.get(server) else {
            return false;
        };
        match (record.set_back, record.silent_since) {
            (Some(set_back), _) => now >= set_back.until,
            (None, Some(since)) => now >= since + SILENT,
            (None, None) => false,
        }
    }

    fn get(&self, server: Server) -> Option<&Record> {
        self.records.iter().find(|record| record.server == server)
    }

    /// Returns the record of a server, and makes one if there is none; if there are too many, the oldest
    /// leaves.
    fn edit(&mut self, server: Server) -> Option<&mut Record> {
        if self.get(server).is_none() {
            if self.records.len() == MAX_SERVERS {
                self.records.remove(0);
            }
            self.records.push(Record {
                server,
                usual: None,
                answers_since_repeat: None,
                replied_at: None,
                silent_since: None,
                set_back: None,
                refuses_edns: false,
            });
        }
        self.records
            .iter_mut()
            .find(|record| record.server == server)
    }
}

impl Record {
    /// Whether SERVFAIL of the server, if it is the only one, is worth a second query.
    fn may_be_repeated(&self) -> bool {
        self.answers_since_repeat
            .is_none_or(|answers| answers >= ANSWERS_PER_REPEAT)
    }

    fn replied(&mut self, now: Instant) {
        self.replied_at = Some(now);
        self.silent_since = None;
        self.set_back = None;
    }
}

#[cfg(test)]
mod tests;
