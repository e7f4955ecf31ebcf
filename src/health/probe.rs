//! Probes: TCP connects in the background that try addresses, so that no request has to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::classify;
use super::outcome::Outcome;
use super::record::Failure;
use crate::host::Host;
use crate::time;

/// The start or the end of a probe.
#[derive(Debug)]
pub(crate) enum Probe {
    Started,
    /// The probe began at this time and ended with this outcome, which may be [`Outcome::Connected`].
    Ended(Failure, Instant),
}

/// A function that connects to an address in place of a probe's socket.
pub(crate) type ProbeConnect =
    dyn Fn(SocketAddr) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync;

/// Receives the start and the end of each probe.
pub(crate) type OnProbe = dyn Fn(&Host, SocketAddr, Probe) + Send + Sync;

/// Starts probes. A probe ends within 5 s, or when the last resolver is dropped.
pub(super) struct Probes {
    turns: Arc<Semaphore>,
    /// A sender whose drop ends the subscribed probes.
    shutdown: watch::Sender<()>,
    on_probe: Arc<OnProbe>,
    /// If `None`, a probe connects by a TCP socket.
    simulated: Option<Arc<ProbeConnect>>,
}

/// Number of probes that connect at once. Each has a socket, for 5 s if its address drops packets.
const AT_ONCE: usize = 64;
/// The timeout of a probe, within which the system sends a SYN three times, at 0, 1 and 3 s.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Probes {
    pub(super) fn new(on_probe: Arc<OnProbe>, simulated: Option<Arc<ProbeConnect>>) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            shutdown: watch::Sender::new(()),
            on_probe,
            simulated,
        }
    }

    /// Starts a probe of an address of a host. Returns false outside of a runtime.
    ///
    /// At most 64 probes connect at once. A further probe waits for 5 s, and is then left out. The task runs on the
    /// runtime of the caller.
    pub(super) fn start(&self, host: &Host, addr: SocketAddr) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        (self.on_probe)(host, addr, Probe::Started);
        let (host, on_probe) = (host.clone(), Arc::clone(&self.on_probe));
        let (turns, mut shutdown) = (Arc::clone(&self.turns), self.shutdown.subscribe());
        let simulated = self.simulated.clone();
        runtime.spawn(async move {
            let probing = probe(addr, &turns, simulated.as_deref());
            let connecting = std::pin::pin!(probing);
            let shutdown = std::pin::pin!(shutdown.changed());
            if let Either::Left((Some(ended), _)) = select(connecting, shutdown).await {
                on_probe(&host, addr, ended);
            }
        });
        true
    }
}

/// Connects to an address, and returns `None` if the probe gets no turn.
async fn probe(
    addr: SocketAddr,
    turns: &Semaphore,
    simulated: Option<&ProbeConnect>,
) -> Option<Probe> {
    let turn = tokio::time::timeout(TIMEOUT, turns.acquire()).await.ok()?;
    let began = time::now();
    let ended = tokio::time::timeout(TIMEOUT, connect(addr, simulated)).await;
    drop(turn);
    let (why, error) = match ended {
        Ok(Ok(())) => (Outcome::Connected, None),
        Ok(Err(error)) => {
            let text = classify::describe_chain(&error);
            (Outcome::from_error(&error), Some(text))
        }
        Err(_elapsed) => (Outcome::TimedOut, None),
    };
    let soft = false;
    Some(Probe::Ended(Failure { why, soft, error }, began))
}

/// Connects to an address, and closes the connection.
async fn connect(addr: SocketAddr, simulated: Option<&ProbeConnect>) -> io::Result<()> {
    match simulated {
        Some(connect) => connect(addr).await,
        None => TcpStream::connect(addr).await.map(drop),
    }
}
