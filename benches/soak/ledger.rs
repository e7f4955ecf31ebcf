//! What each edge is at, and how many dials went to edges in which mode.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::edge::Mode;
use crate::schedule::EDGES;

/// Every mode, in the order of [`Mode`].
pub(crate) const MODES: [Mode; 9] = [
    Mode::Serve,
    Mode::Refuse,
    Mode::BlackHole,
    Mode::TlsReset,
    Mode::WrongCertificate,
    Mode::AcceptAndClose,
    Mode::CloseAfterRequest,
    Mode::Unavailable,
    Mode::Hang,
];

tokio::task_local! {
    /// What the edges were at that this request has dialled.
    static TRAIL: RefCell<Vec<Mode>>;
}

/// Cheap to clone. Counts for one run, and then for the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The port of the edges of this run.
    port: AtomicU16,
    modes: [AtomicUsize; EDGES],
    dials: [AtomicUsize; MODES.len()],
}

impl Ledger {
    /// Begins anew, with all edges serving on this port.
    pub(crate) fn begin(&self, port: u16) {
        let counts = &*self.0;
        counts.port.store(port, Ordering::Relaxed);
        for count in counts.modes.iter().chain(&counts.dials) {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn turn(&self, edge: usize, mode: Mode) {
        self.0.modes[edge].store(mode as usize, Ordering::Relaxed);
    }

    /// Takes note of a dial, in the task that begins it.
    pub(crate) fn dialled(&self, addr: SocketAddr) {
        let edge = (0..EDGES).find(|&edge| ip(edge) == addr.ip());
        let Some(edge) = edge.filter(|_| addr.port() == self.0.port.load(Ordering::Relaxed)) else {
            return;
        };
        let mode = self.0.modes[edge].load(Ordering::Relaxed);
        self.0.dials[mode].fetch_add(1, Ordering::Relaxed);
        // Outside of a request: a connect that is finished though nobody waits for it.
        let _: Result<(), _> = TRAIL.try_with(|trail| trail.borrow_mut().push(MODES[mode]));
    }

    /// Returns the dials so far, by mode.
    pub(crate) fn dials(&self) -> [(Mode, usize); MODES.len()] {
        let count = |mode: Mode| self.0.dials[mode as usize].load(Ordering::Relaxed);
        MODES.map(|mode| (mode, count(mode)))
    }
}

/// Runs a request and returns also what the edges were at that it dialled.
pub(crate) async fn trailed<T>(request: impl Future<Output = T>) -> (T, Vec<Mode>) {
    let both = async {
        let ended = request.await;
        (ended, TRAIL.with(RefCell::take))
    };
    TRAIL.scope(RefCell::default(), both).await
}

/// Returns the address of an edge.
pub(crate) fn ip(edge: usize) -> IpAddr {
    let last = 2 + u8::try_from(edge).expect("there are few edges");
    Ipv4Addr::new(127, 0, 0, last).into()
}
