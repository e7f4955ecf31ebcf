//! Decides the next step of one question over the servers.

use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;

use super::{Order, Wait};
use crate::lookup::dns::config::{Server, StubConfig};
use crate::lookup::dns::fault::Fault;

/// One question, and the state of its queries. `N` is a negative answer.
#[derive(Debug)]
pub(in crate::lookup::dns) struct QuestionState<N> {
    slots: Vec<Query<N>>,
    servers: usize,
    suspects: Vec<Server>,
    trial: Option<Server>,
    repeats_servfail: bool,
    timeout: Duration,
}

/// The index of a query. A question has one query for each server and attempt.
pub(in crate::lookup::dns) type Slot = usize;

#[derive(Debug)]
struct Query<N> {
    server: Server,
    state: State<N>,
}

#[derive(Debug)]
enum State<N> {
    NotSent,
    Sent(Instant),
    Denied(N),
    /// When the query was sent, and why the query failed.
    Failed(Instant, Fault),
    /// The query is not needed.
    Skipped,
}

/// The next step of a question.
#[derive(Debug)]
pub(in crate::lookup::dns) enum Step<N> {
    /// Send a query to this server.
    Send(Slot, Server),
    /// Wait for a reply, at most until this time.
    Wait(Instant),
    /// The question is over.
    End(End<N>),
}

/// The end of a question without addresses.
#[derive(Clone, Debug)]
pub(in crate::lookup::dns) enum End<N> {
    /// The negative answer of this query counts.
    Denied(Slot, N),
    /// All servers have failed. The fields are the gravest fault and its server.
    Failed(Server, Fault),
    /// There is no server to query.
    NoServer,
}

/// A server that gave no answer while another server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lookup::dns) enum Outdone {
    /// The server did not reply to a query that was sent at this time.
    Silent(Server, Instant),
    Unreachable(Server),
}

impl<N: Clone> QuestionState<N> {
    pub(in crate::lookup::dns) fn new(order: Order, config: &StubConfig) -> Self {
        let attempts = usize::from(config.attempts.max(1));
        let servers = order.servers.len();
        let slots = order.servers.into_iter().map(|server| Query {
            server,
            state: State::NotSent,
        });
        let slots: Vec<_> = slots.collect();
        let again = |query: &Query<N>| Query {
            server: query.server,
            state: State::NotSent,
        };
        Self {
            slots: (0..attempts)
                .flat_map(|_| slots.iter().map(again))
                .collect(),
            servers,
            suspects: order.suspects,
            trial: order.trial,
            repeats_servfail: order.repeats_servfail,
            timeout: config.timeout,
        }
    }

    /// Decides the next step. `wait` returns how long the question waits for a server.
    pub(in crate::lookup::dns) fn next(
        &mut self,
        now: Instant,
        wait: impl Fn(Server) -> Wait,
    ) -> Step<N> {
        self.fail_silent(now, &wait);
        if let Some(end) = self.denied() {
            return Step::End(end);
        }
        if let Some(slot) = self.due_trial() {
            return self.send(slot, now);
        }
        let last = self.last_sent();
        let next_at = last.map(|(server, sent)| sent + wait(server).alone);
        if next_at.is_none_or(|at| at <= now)
            && let Some(slot) = self.not_sent()
        {
            return self.send(slot, now);
        }
        match self.wakes_at(next_at, &wait) {
            Some(at) => Step::Wait(at),
            None => Step::End(self.failed()),
        }
    }

    /// Records the negative answer of a query.
    pub(in crate::lookup::dns) fn denied_by(&mut self, slot: Slot, negative: N) {
        let server = self.slots[slot].server;
        self.slots[slot].state = State::Denied(negative);
        self.skip_others_of(server);
    }

    /// Records the fault of a query.
    pub(in crate::lookup::dns) fn failed_by(&mut self, slot: Slot, fault: Fault) {
        let Some(sent) = self.sent_at(slot) else {
            return;
        };
        let server = self.slots[slot].server;
        let is_asked_again = match &fault {
            Fault::Silent => true,
            Fault::Code(ResponseCode::ServFail) => self.repeats_servfail,
            // A failure of this machine would happen with any server. Servers may still answer pending queries.
            Fault::Machine(_) => {
                self.skip_not_sent();
                false
            }
            _ => false,
        };
        self.slots[slot].state = State::Failed(sent, fault);
        // A query is repeated only once after SERVFAIL.
        self.repeats_servfail = false;
        if !is_asked_again {
            self.skip_others_of(server);
        } else if self.servers == 1 && !self.slots[slot].is_silent() {
            self.skip_after(slot + 1);
        }
    }

    pub(in crate::lookup::dns) fn sent_at(&self, slot: Slot) -> Option<Instant> {
        match self.slots[slot].state {
            State::Sent(at) => Some(at),
            _ => None,
        }
    }

    pub(in crate::lookup::dns) fn server(&self, slot: Slot) -> Server {
        self.slots[slot].server
    }

    /// Returns the servers that gave no answer while the server of the query `answered` gave one.
    ///
    /// These servers can't be reached or are silent. Overlapped servers and servers on trial count too.
    pub(in crate::lookup::dns) fn outdone(&self, answered: Slot) -> Vec<Outdone> {
        let winner = self.slots[answered].server;
        let others = self.slots.iter().filter(|query| query.server != winner);
        let outdone = |query: &Query<N>| match &query.state {
            State::Sent(since) | State::Failed(since, Fault::Silent) => {
                Some(Outdone::Silent(query.server, *since))
            }
            State::Failed(_, Fault::Unreachable(_)) => Some(Outdone::Unreachable(query.server)),
            _ => None,
        };
        others.filter_map(outdone).collect()
    }

    /// Returns whether a query to a server other than the one that answered is still pending.
    pub(in crate::lookup::dns) fn others_are_pending(&self, answered: Slot) -> bool {
        let winner = self.slots[answered].server;
        let mut slots = self.slots.iter();
        slots.any(|query| query.server != winner && query.is_pending())
    }

    /// Returns a query whose server has denied the name.
    pub(in crate::lookup::dns) fn denied_slot(&self) -> Option<Slot> {
        self.slots.iter().position(Query::is_denied)
    }

    fn send(&mut self, slot: Slot, now: Instant) -> Step<N> {
        self.slots[slot].state = State::Sent(now);
        Step::Send(slot, self.slots[slot].server)
    }

    /// Fails the queries that got no reply within their time limit.
    ///
    /// If a later server has denied the name, the time limit is shorter.
    fn fail_silent(&mut self, now: Instant, wait: &impl Fn(Server) -> Wait) {
        for slot in 0..self.slots.len() {
            if let Some(limit) = self.limit(slot, wait)
                && limit <= now
            {
                self.failed_by(slot, Fault::Silent);
            }
        }
    }

    /// Returns when a pending query fails if no reply arrives.
    fn limit(&self, slot: Slot, wait: &impl Fn(Server) -> Wait) -> Option<Instant> {
        let sent = self.sent_at(slot)?;
        let is_denied_later = self.slots[slot..].iter().any(Query::is_denied);
        let limit = match is_denied_later {
            true => wait(self.slots[slot].server).denied_by_later,
            false => self.timeout,
        };
        Some(sent + limit)
    }

    /// Returns the negative answer that ends the question, because every earlier query has failed or was skipped.
    fn denied(&self) -> Option<End<N>> {
        let counts = |query: &Query<N>| !matches!(query.state, State::Failed(..) | State::Skipped);
        let slot = self.slots.iter().position(counts)?;
        match &self.slots[slot].state {
            State::Denied(negative) => Some(End::Denied(slot, negative.clone())),
            _ => None,
        }
    }

    /// Returns the query of the trial, which is due after the first query.
    fn due_trial(&self) -> Option<Slot> {
        let trial = self.trial?;
        let slot = self.slots.iter().position(|query| query.server == trial)?;
        let one_is_sent = self.slots.iter().any(|query| !query.is_not_sent());
        (one_is_sent && self.slots[slot].is_not_sent()).then_some(slot)
    }

    fn not_sent(&self) -> Option<Slot> {
        // If a server has denied the name, only the servers before that server are still queried.
        let denied = self.slots.iter().position(Query::is_denied);
        let end = denied.unwrap_or(self.slots.len());
        let open = (0..end).filter(|&slot| self.slots[slot].is_not_sent());
        open.min_by_key(|&slot| {
            let is_suspect = self.suspects.contains(&self.slots[slot].server);
            (slot / self.servers, is_suspect, slot)
        })
    }

    /// Returns the server and the time of the latest pending query that is not the trial's.
    fn last_sent(&self) -> Option<(Server, Instant)> {
        let pending = self.slots.iter().filter_map(|query| match query.state {
            State::Sent(at) if Some(query.server) != self.trial => Some((query.server, at)),
            _ => None,
        });
        pending.max_by_key(|(_, at)| *at)
    }

    fn wakes_at(
        &self,
        next_at: Option<Instant>,
        wait: &impl Fn(Server) -> Wait,
    ) -> Option<Instant> {
        let limits = (0..self.slots.len()).filter_map(|slot| self.limit(slot, wait));
        let next_at = next_at.filter(|_| self.not_sent().is_some());
        limits.chain(next_at).min()
    }

    fn failed(&self) -> End<N> {
        let faults = self.slots.iter().filter_map(|query| match &query.state {
            State::Failed(_, fault) => Some((query.server, fault)),
            _ => None,
        });
        let gravest = faults.min_by_key(|(_, fault)| match fault {
            Fault::Machine(_) => 0,
            Fault::Code(ResponseCode::ServFail) => 1,
            Fault::Unreachable(_) => 3,
            _ => 2,
        });
        gravest.map_or(End::NoServer, |(server, fault)| {
            End::Failed(server, fault.clone())
        })
    }

    fn skip_others_of(&mut self, server: Server) {
        for query in &mut self.slots {
            if query.server == server && query.is_not_sent() {
                query.state = State::Skipped;
            }
        }
    }

    fn skip_after(&mut self, slot: Slot) {
        for query in self.slots.iter_mut().skip(slot + 1) {
            if query.is_not_sent() {
                query.state = State::Skipped;
            }
        }
    }

    fn skip_not_sent(&mut self) {
        for query in &mut self.slots {
            if query.is_not_sent() {
                query.state = State::Skipped;
            }
        }
    }
}

impl<N> Query<N> {
    fn is_not_sent(&self) -> bool {
        matches!(self.state, State::NotSent)
    }

    fn is_pending(&self) -> bool {
        matches!(self.state, State::Sent(_))
    }

    fn is_denied(&self) -> bool {
        matches!(self.state, State::Denied(_))
    }

    fn is_silent(&self) -> bool {
        matches!(self.state, State::Failed(_, Fault::Silent))
    }
}
