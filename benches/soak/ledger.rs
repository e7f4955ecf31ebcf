//! Records the mode of each edge, and the number of attempts to edges in each mode.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use testkit::Mode;
use testkit::soak::schedule::EDGES;

/// Every mode, in the order of [`Mode`].
pub(crate) const MODES: [Mode; 10] = [
    Mode::Serve,
    Mode::Refuse,
    Mode::BlackHole,
    Mode::TlsReset,
    Mode::WrongCertificate,
    Mode::AcceptAndClose,
    Mode::CloseAfterRequest,
    Mode::Unavailable,
    Mode::Hang,
    Mode::HangInHttp,
];

/// An event of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Met {
    /// The request attempted an edge whose mode was this index of [`MODES`].
    Edge(usize),
    /// A lost ping ended the connection while the request waited for its response.
    Silence,
}

impl Met {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Edge(mode) => format!("{:?}", MODES[mode]),
            Self::Silence => "a silent connection".to_owned(),
        }
    }
}

tokio::task_local! {
    /// The events of this request.
    static TRAIL: RefCell<Vec<Met>>;
}

/// Counts the attempts of one run after another. Cheap to clone.
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
    /// Starts to count for a new run, whose edges serve on this port.
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

    /// Records an attempt, in the task that begins the attempt.
    pub(crate) fn dialled(&self, addr: SocketAddr) {
        let edge = (0..EDGES).find(|&edge| ip(edge) == addr.ip());
        let Some(edge) = edge.filter(|_| addr.port() == self.0.port.load(Ordering::Relaxed)) else {
            return;
        };
        let mode = self.0.modes[edge].load(Ordering::Relaxed);
        self.0.dials[mode].fetch_add(1, Ordering::Relaxed);
        note(Met::Edge(mode));
    }

    /// Returns the number of attempts by mode.
    pub(crate) fn dials(&self) -> [(Mode, usize); MODES.len()] {
        let count = |mode: Mode| self.0.dials[mode as usize].load(Ordering::Relaxed);
        MODES.map(|mode| (mode, count(mode)))
    }
}

/// Records an event of the request of this task. Outside of a request, as in a connect that continues in the
/// background, the function does nothing.
pub(crate) fn note(met: Met) {
    let _: Result<(), _> = TRAIL.try_with(|trail| trail.borrow_mut().push(met));
}

/// Runs a request, and returns its events too.
pub(crate) async fn trailed<T>(request: impl Future<Output = T>) -> (T, Vec<Met>) {
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
