//! Sends one question to name servers, as `servers` decides.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::{Either, FutureExt as _, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::config::{Server, StubConfig};
use super::exchange::{self, Denied, Exchanged, Question, Said};
use super::fault::{Fault, ServerFailed};
use super::servers::{End, Memory, Outdone, Slot, Step, Turn};
use crate::time;

/// The memory of the name servers that all lookups of one `Dns` share.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Memory>);

impl Remembered {
    pub(super) fn edit<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn clear(&self) {
        self.edit(|memory| *memory = Memory::default());
    }
}

/// The result of one question.
pub(super) struct Asked {
    pub(super) said: Result<Said, Option<ServerFailed>>,
    /// Waits for the replies of other servers that got the question too.
    pub(super) rest: Option<Rest>,
}

/// A future that waits for the replies that are missing when a question has its answer, and records them.
pub(super) type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

type Pending = FuturesUnordered<Pin<Box<dyn Future<Output = (Slot, Exchanged)> + Send>>>;

/// Sends a question to the name servers of a configuration.
///
/// `start` is the index of the first server.
///
/// # Cancel safety
///
/// Dropping the future closes its sockets. Replies that are still missing are then not recorded.
pub(super) async fn ask(
    remembered: Arc<Remembered>,
    config: &StubConfig,
    start: usize,
    question: Question,
) -> Asked {
    let order = remembered.edit(|memory| memory.order(config, start, time::now()));
    let mut asking = Asking {
        turn: Turn::new(order, config),
        pending: Pending::new(),
        remembered,
    };
    loop {
        let now = time::now();
        let step = {
            let Asking {
                turn, remembered, ..
            } = &mut asking;
            remembered.edit(|memory| turn.next(now, |server| memory.wait(server, config.timeout)))
        };
        match step {
            Step::Send(slot, server) => asking.send(slot, server, config, &question),
            Step::Wait(until) => {
                if let Some((slot, said)) = asking.reply(until).await {
                    return asking.answered(slot, said);
                }
            }
            Step::End(End::Denied(slot, denied)) => {
                return asking.answered(slot, Said::Denied(denied));
            }
            Step::End(End::Failed(server, fault)) => return failed(server, fault),
            Step::End(End::NoServer) => {
                return Asked {
                    said: Err(None),
                    rest: None,
                };
            }
        }
    }
}

fn failed(server: Server, fault: Fault) -> Asked {
    let server = server.addr;
    Asked {
        said: Err(Some(ServerFailed { server, fault })),
        rest: None,
    }
}

struct Asking {
    turn: Turn<Denied>,
    pending: Pending,
    remembered: Arc<Remembered>,
}

impl Drop for Asking {
    /// Records which servers were silent while another server denied the name.
    ///
    /// The time limit of the lookup may drop the question before the question has an answer.
    fn drop(&mut self) {
        if let Some(slot) = self.turn.denied_slot() {
            self.remember_outdone(slot);
        }
    }
}

impl Asking {
    fn send(&self, slot: Slot, server: Server, config: &StubConfig, question: &Question) {
        let refuses = self.remembered.edit(|memory| memory.refuses_edns(server));
        let edns = config.edns && !refuses;
        let asking = exchange::ask(server, question.clone(), edns, config.timeout);
        let asking = asking.map(move |exchanged| (slot, exchanged));
        self.pending.push(Box::pin(asking));
    }

    /// Waits for a reply at most until the given time, and returns the addresses of the reply, if any.
    async fn reply(&mut self, until: Instant) -> Option<(Slot, Said)> {
        let timer = std::pin::pin!(tokio::time::sleep_until(until.into()));
        let (slot, exchanged) = match select(self.pending.next(), timer).await {
            Either::Left((reply, _)) => reply?,
            Either::Right(((), _)) => return None,
        };
        self.take(slot, exchanged)
    }

    fn take(&mut self, slot: Slot, exchanged: Exchanged) -> Option<(Slot, Said)> {
        let (server, sent) = (self.turn.server(slot), self.turn.sent_at(slot));
        self.remember(server, sent, &exchanged);
        // A reply that arrives after its time limit is recorded and not used.
        sent?;
        match exchanged.said {
            Ok(Said::Denied(denied)) => self.turn.denied_by(slot, denied),
            Ok(addresses) => return Some((slot, addresses)),
            Err(fault) => self.turn.failed_by(slot, fault),
        }
        None
    }

    fn remember(&self, server: Server, sent: Option<Instant>, exchanged: &Exchanged) {
        let now = time::now();
        self.remembered.edit(|memory| {
            if exchanged.refused_edns {
                memory.refused_edns(server);
            }
            match &exchanged.said {
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
    fn answered(self, slot: Slot, said: Said) -> Asked {
        self.remember_outdone(slot);
        let rest = self.turn.others_are_pending(slot);
        Asked {
            said: Ok(said),
            rest: rest.then(|| self.rest(slot)),
        }
    }

    fn remember_outdone(&self, answered: Slot) {
        let (now, outdone) = (time::now(), self.turn.outdone(answered));
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
            while self.turn.others_are_pending(answered)
                && let Some((slot, exchanged)) = self.pending.next().await
            {
                let (server, sent) = (self.turn.server(slot), self.turn.sent_at(slot));
                self.remember(server, sent, &exchanged);
                if let Err(fault @ (Fault::Silent | Fault::Unreachable(_))) = &exchanged.said
                    && server != self.turn.server(answered)
                {
                    let now = time::now();
                    self.remembered.edit(|memory| match (fault, sent) {
                        (Fault::Silent, Some(sent)) => memory.silent(server, sent, now),
                        _ => memory.set_back(server, now),
                    });
                    self.turn.failed_by(slot, fault.clone());
                } else {
                    self.turn.denied_by(slot, Denied::NoRecords(None));
                }
            }
        })
    }
}
