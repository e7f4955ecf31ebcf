//! Decides which name server gets a question next, and records how each server behaves.
//!
//! A lookup sends a question to the servers in the given order. If a server fails, the lookup sends the question to
//! the next server at once. If a server takes longer than usual, the lookup sends the question to the next server
//! too, and still waits for the first. The next server then *overlaps* the first. The time until then is the
//! *overlap delay*.
//!
//! | While another server answers, a server ... | From then on, the server is ... |
//! |---|---|
//! | replies with an error | queried as before. The reply costs no wait, and the order decides which server is right. |
//! | is silent | *suspect*: queried after the others. A later server's negative answer still waits for the suspect. |
//! | is silent for 2 s, or can't be reached | *set back*: queried last for 30 s, then tried together with a working server. |
//!
//! Any reply of a server ends both states of the server.

mod question_state;

use std::time::{Duration, Instant};

pub(super) use self::question_state::{End, Outdone, QuestionState, Slot, Step};
use super::config::{Server, StubConfig};

/// How long a server is silent, while others answer, before the server is set back.
const SILENT: Duration = Duration::from_secs(2);
/// How many overlap delays a question waits for a suspect if a later server has denied the name.
const PATIENCE: u32 = 4;
/// How many fifths of the time limit a working server gets if a later server has denied the name.
///
/// The rest of the time lets the question end before the lookup's own time limit, so that the silence is recorded.
const PATIENCE_FIFTHS: u32 = 3;
/// How many answers a lone server must give between two repeats after SERVFAIL.
///
/// If a lone server answers SERVFAIL, a question repeats the query once. With this number, names that fail cost at
/// most a tenth more queries.
const ANSWERS_PER_REPEAT: u32 = 10;
/// How long a server is set back at first. Each failed trial doubles this time.
const SET_BACK: Duration = Duration::from_secs(30);
/// The longest time for which a server is set back.
const SET_BACK_MOST: Duration = Duration::from_secs(5 * 60);
/// The overlap delay of a server is this multiple of the server's usual time.
const USUAL_TIMES: u32 = 5;
/// The minimum overlap delay, so that a slow recursion costs no second query.
const OVERLAP_LEAST: Duration = Duration::from_millis(250);
/// The overlap delay of an unknown server is the time limit divided by this number.
///
/// With the default time limit of 5 s, the overlap delay is 500 ms.
const UNKNOWN_PART: u32 = 10;
/// The maximum overlap delay is the time limit divided by this number.
const MOST_PART: u32 = 2;
/// The maximum number of servers in a [`Memory`]. The system's configuration names at most three servers.
const MAX_SERVERS: usize = 64;

/// The memory of the name servers that all lookups of one `Dns` share.
#[derive(Debug, Default)]
pub(super) struct Memory {
    records: Vec<Record>,
    turns: usize,
}

#[derive(Debug)]
struct Record {
    server: Server,
    /// The moving average of the time of an answer, in which a new answer counts for an eighth.
    usual: Option<Duration>,
    /// The number of answers since a query was last repeated after SERVFAIL, or `None` before the first repeat.
    answers_since_repeat: Option<u32>,
    /// When the last reply of any kind arrived.
    replied_at: Option<Instant>,
    /// When the first query was sent that the server did not answer while others answered.
    silent_since: Option<Instant>,
    set_back: Option<SetBack>,
    refuses_edns: bool,
}

#[derive(Clone, Copy, Debug)]
struct SetBack {
    until: Instant,
    length: Duration,
}

/// The servers of one question, in the order in which the question is sent to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) servers: Vec<Server>,
    /// Suspect servers, which are queried after the others.
    ///
    /// The place of a suspect in `servers` still decides whose negative answer counts.
    pub(super) suspects: Vec<Server>,
    /// A server that failed before and is tried together with the first.
    pub(super) trial: Option<Server>,
    /// Whether a query to a lone server is repeated after SERVFAIL.
    pub(super) repeats_servfail: bool,
}

/// How long a question waits for one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The overlap delay.
    pub(super) alone: Duration,
    /// The time after which the server counts as failed if a later server has denied the name.
    pub(super) denied_by_later: Duration,
}

impl Memory {
    /// Returns the index of the server that a lookup starts with.
    ///
    /// With `rotate`, each lookup starts with the next server. Otherwise each lookup starts with the first.
    pub(super) fn start(&mut self, config: &StubConfig) -> usize {
        if !config.rotate {
            return 0;
        }
        self.turns = self.turns.wrapping_add(1);
        self.turns - 1
    }

    /// Returns the order of the servers for one question.
    ///
    /// If a server is due for a trial, only one question gets the trial.
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

    /// Returns how long a question waits for a server.
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

    /// Records that a server answered, and how long the answer took, if known.
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

    /// Records that a server did not reply to a query sent at `since` while another server answered.
    ///
    /// If the server has replied to another query since then, the server is not silent, because only one name has no
    /// answer.
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

    /// Sets a server back, because the server does not work while others do.
    pub(super) fn set_back(&mut self, server: Server, now: Instant) {
        let Some(record) = self.edit(server) else {
            return;
        };
        // If the server is already set back, the time of its trial stays, because the failures of questions that
        // were sent together count as one.
        record.set_back.get_or_insert(SetBack {
            until: now + SET_BACK,
            length: SET_BACK,
        });
    }

    /// Records that a server refused EDNS, but not the same query without EDNS.
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

    /// Returns the server that is due for a trial together with a working server.
    ///
    /// The server is set back, or has been suspect for [`SILENT`]. The trial sets the server back anew, so that no
    /// other trial of the server begins meanwhile.
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

    /// Returns the record of a server, and adds a record if there is none.
    ///
    /// If there are [`MAX_SERVERS`] records, the oldest is removed first.
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
    /// Returns whether a question repeats a query after SERVFAIL, if this server is the only one.
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
