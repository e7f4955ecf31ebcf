//! Sends one question to name servers, as `servers` decides.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::{Either, FutureExt as _, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::config::{Server, StubConfig};
use super::exchange::{self, Denied, ExchangeResult, Question, ServerAnswer};
use super::fault::{Fault, ServerFailed};
use super::servers::{End, Memory, Outdone, QuestionState, Slot, Step};
use crate::time;

/// The memory of the name servers that all lookups of one `Dns` share.
#[derive(Debug, Default)]
pub(super) struct ServerMemory(Mutex<Memory>);

impl ServerMemory {
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn clear(&self) {
        self.edit(|memory| *memory = Memory::default());
    }
}

/// The result of one question.
pub(super) struct QuestionResult {
    pub(super) server_answer: Result<ServerAnswer, Option<ServerFailed>>,
    /// Waits for the replies of other servers that got the question too.
    pub(super) rest: Option<Rest>,
}

/// A future that waits for the replies that are missing when a question has its answer, and records them.
pub(super) type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

type Pending = FuturesUnordered<Pin<Box<dyn Future<Output = (Slot, ExchangeResult)> + Send>>>;

/// Sends a question to the name servers of a configuration.
///
/// `start` is the index of the first server.
///
/// # Cancel safety
///
/// Dropping the future closes its sockets. Replies that are still missing are then not recorded.
pub(super) async fn ask(
    remembered: Arc<ServerMemory>,
    config: &StubConfig,
    start: usize,
    question: Question,
) -> QuestionResult {
    let order = remembered.edit(|memory| memory.order(config, start, time::now()));
    let mut asking = PendingQuestion {
        state: QuestionState::new(order, config),
        pending: Pending::new(),
        remembered,
    };
    loop {
        let now = time::now();
        let step = {
            let PendingQuestion {
                state, remembered, ..
            } = &mut asking;
            remembered.edit(|memory| state.next(now, |server| memory.wait(server, config.timeout)))
        };
        match step {
            Step::Send(slot, server) => asking.send(slot, server, config, &question),
            Step::Wait(until) => {
                if let Some((slot, server_answer)) = asking.reply(until).await {
                    return asking.answered(slot, server_answer);
                }
            }
            Step::End(End::Denied(slot, denied)) => {
                return asking.answered(slot, ServerAnswer::Denied(denied));
            }
            Step::End(End::Failed(server, fault)) => return failed(server, fault),
            Step::End(End::NoServer) => {
                return QuestionResult {
                    server_answer: Err(None),
                    rest: None,
                };
            }
        }
    }
}

fn failed(server: Server, fault: Fault) -> QuestionResult {
    let server = server.addr;
    QuestionResult {
        server_answer: Err(Some(ServerFailed { server, fault })),
        rest: None,
    }
}

struct PendingQuestion {
    state: QuestionState<Denied>,
    pending: Pending,
    remembered: Arc<ServerMemory>,
}

impl Drop for PendingQuestion {
    /// Records which servers were silent while another server denied the name.
    ///
    /// The time limit of the lookup may drop the question before the question has an answer.
    fn drop(&mut self) {
        if let Some(slot) = self.state.denied_slot() {
            self.remember_outdone(slot);
        }
    }
}

impl PendingQuestion {
    fn send(&self, slot: Slot, server: Server, config: &StubConfig, question: &Question) {
        let refuses = self.remembered.edit(|memory| memory.refuses_edns(server));
        let edns = config.edns && !refuses;
        let asking = exchange::ask(server, question.clone(), edns, config.timeout);
        let asking = asking.map(move |exchange_result| (slot, exchange_result));
        self.pending.push(Box::pin(asking));
    }

    /// Waits for a reply at most until the given time, and returns the addresses of the reply, if any.
    async fn reply(&mut self, until: Instant) -> Option<(Slot, ServerAnswer)> {
        let timer = std::pin::pin!(tokio::time::sleep_until(until.into()));
        let (slot, exchange_result) = match select(self.pending.next(), timer).await {
            Either::Left((reply, _)) => reply?,
            Either::Right(((), _)) => return None,
        };
        self.take(slot, exchange_result)
    }

    fn take(
        &mut self,
        slot: Slot,
        exchange_result: ExchangeResult,
    ) -> Option<(Slot, ServerAnswer)> {
        let (server, sent) = (self.state.server(slot), self.state.sent_at(slot));
        self.remember(server, sent, &exchange_result);
        // A reply that arrives after its time limit is recorded and not used.
        sent?;
        match exchange_result.server_answer {
            Ok(ServerAnswer::Denied(denied)) => self.state.denied_by(slot, denied),
            Ok(addresses) => return Some((slot, addresses)),
            Err(fault) => self.state.failed_by(slot, fault),
        }
        None
    }

    fn remember(&self, server: Server, sent: Option<Instant>, exchange_result: &ExchangeResult) {
        let now = time::now();
        self.remembered.edit(|memory| {
            if exchange_result.refused_edns {
                memory.refused_edns(server);
            }
            match &exchange_result.server_answer {
                Ok(_) => {
                    let took = sent.map(|sent| now.saturating_duration_since(sent));
                    memory.answered(server, took, now);
                }
                Err(Fault::Machine(_) | Fault::Silent | Fault::Unreachable(_)) => {}
                Err(_) => memory.failed(server, now),
            }
        });
    }

    /// Ends the question with this server's answer.
    ///
    /// The `rest` of the result still records the replies of other servers.
    fn answered(self, slot: Slot, server_answer: ServerAnswer) -> QuestionResult {
        self.remember_outdone(slot);
        let rest = self.state.others_are_pending(slot);
        QuestionResult {
            server_answer: Ok(server_answer),
            rest: rest.then(|| self.rest(slot)),
        }
    }

    fn remember_outdone(&self, answered: Slot) {
        let (now, outdone) = (time::now(), self.state.outdone(answered));
        self.remembered.edit(|memory| {
            for outdone in outdone {
                match outdone {
                    Outdone::Silent(server, since) => memory.silent(server, since, now),
                    Outdone::Unreachable(server) => memory.set_back(server, now),
                }
            }
        });
    }

    fn rest(mut self, answered: Slot) -> Rest {
        Box::pin(async move {
            while self.state.others_are_pending(answered)
                && let Some((slot, exchange_result)) = self.pending.next().await
            {
                let (server, sent) = (self.state.server(slot), self.state.sent_at(slot));
                self.remember(server, sent, &exchange_result);
                if let Err(fault @ (Fault::Silent | Fault::Unreachable(_))) =
                    &exchange_result.server_answer
                    && server != self.state.server(answered)
                {
                    let now = time::now();
                    self.remembered.edit(|memory| match (fault, sent) {
                        (Fault::Silent, Some(sent)) => memory.silent(server, sent, now),
                        _ => memory.set_back(server, now),
                    });
                    self.state.failed_by(slot, fault.clone());
                } else {
                    self.state.denied_by(slot, Denied::NoRecords(None));
                }
            }
        })
    }
}
