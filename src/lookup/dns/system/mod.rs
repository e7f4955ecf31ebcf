//! The system's files for name resolution: resolv.conf, hosts and nsswitch.conf.
//!
//! [`SystemFiles`] reads the files and notices changes.
//!
//! | module | input → result |
//! |---|---|
//! | `resolv` | resolv.conf → settings of the stub resolver, or an obstacle |
//! | `nsswitch` | nsswitch.conf → the sources of `hosts:` |
//! | `hosts` | hosts → names and addresses |
//! | `decide`, `exceptions` | the results of these → stub resolver or system, and the names that are exceptions |
//! | `file` | one file → content, and whether the file changed |
//! | `snapshot` | all files → the configuration |
//! | `machine` | build and process → C library, hostname, environment |

mod decide;
mod exceptions;
mod file;
mod hosts;
mod machine;
mod nsswitch;
mod resolv;
mod snapshot;
mod source;
mod system_config;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

pub(super) use self::decide::Decision;
use self::machine::{Libc, Machine};
use self::snapshot::Snapshot;
pub(super) use self::source::Paths;
use self::source::Source;
pub(super) use self::system_config::SystemConfig;

/// A cheap handle that reads the system's files, and reads the files again if they change.
#[derive(Clone, Debug)]
pub(super) struct SystemFiles {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    /// Whether lookups use the decision. If not, the decision is not logged.
    decides: bool,
    state: Mutex<State>,
    /// The first reading of the files. Concurrent lookups wait for its end.
    first: OnceCell<()>,
}

#[derive(Debug, Default)]
struct State {
    looked_at: Option<Instant>,
    is_reading: bool,
    read: Option<(Snapshot, Arc<SystemConfig>)>,
}

/// The least time between two checks whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Default for SystemFiles {
    /// Returns the files in /etc, read as the C library of this build reads them.
    fn default() -> Self {
        Self::of_etc(true)
    }
}

impl SystemFiles {
    /// Returns the files in /etc for the hosts file alone, because the caller configured the name servers.
    pub(super) fn for_hosts() -> Self {
        Self::of_etc(false)
    }

    fn of_etc(decides: bool) -> Self {
        Self::with(
            Paths::in_folder(Path::new("/etc")),
            Libc::of_this_build(),
            Machine::read,
            decides,
        )
    }

    /// Returns these files, read as the C library of this build reads them.
    #[cfg(test)]
    pub(super) fn at(paths: Paths) -> Self {
        Self::with(paths, Libc::of_this_build(), Machine::read, true)
    }

    fn with(paths: Paths, libc: Libc, machine: fn() -> Machine, decides: bool) -> Self {
        let source = Source {
            paths,
            libc,
            machine,
        };
        let shared = Shared {
            source,
            decides,
            state: Mutex::default(),
            first: OnceCell::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the configuration that was read last. The first call reads the files on this thread.
    pub(super) fn current(&self) -> Arc<SystemConfig> {
        let read = self.shared.edit(|state| state.config());
        read.unwrap_or_else(|| self.shared.read())
    }

    /// Returns the configuration, after reading the files that changed.
    ///
    /// At most once a second, one caller checks the files by one `stat` each. If a file changed, a blocking
    /// thread reads the files, and the caller waits. Other callers get the previous configuration.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a reading that has begun continues, and its result is kept.
    pub(super) async fn refreshed(&self) -> Arc<SystemConfig> {
        self.refreshed_at(crate::time::now()).await
    }

    async fn refreshed_at(&self, now: Instant) -> Arc<SystemConfig> {
        let first = || async {
            let is_read = self.shared.edit(|state| state.read.is_some());
            if !is_read {
                self.shared.edit(|state| state.looked_at = Some(now));
                self.shared.read_elsewhere().await;
            }
        };
        self.shared.first.get_or_init(first).await;
        if self.shared.is_due(now) && self.shared.has_changed() {
            self.shared.read_again().await;
        }
        self.current()
    }
}

impl Shared {
    /// Returns whether this caller must check now whether the files changed.
    fn is_due(&self, now: Instant) -> bool {
        self.edit(|state| {
            let is_due = state
                .looked_at
                .is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY);
            if is_due {
                state.looked_at = Some(now);
            }
            is_due
        })
    }

    fn has_changed(&self) -> bool {
        let before = self.edit(|state| state.read.as_ref().map(|(read, _)| read.clone()));
        before.is_none_or(|before| before.is_outdated(&self.source, SystemTime::now()))
    }

    /// Reads the files, unless a reading is in progress, so that a reading that hangs occupies only one thread.
    async fn read_again(self: &Arc<Self>) {
        if self.edit(|state| std::mem::replace(&mut state.is_reading, true)) {
            return;
        }
        let guard = ReadingGuard(Arc::clone(self));
        elsewhere(move || {
            guard.0.read();
        })
        .await;
    }

    async fn read_elsewhere(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        elsewhere(move || {
            shared.read();
        })
        .await;
    }

    /// Reads the files that changed, on this thread, and keeps the result.
    fn read(&self) -> Arc<SystemConfig> {
        let before = self.edit(|state| state.read.clone());
        let last = before.as_ref().map(|(read, _)| read);
        let snapshot = Snapshot::read(last, &self.source, SystemTime::now());
        let config = Arc::new(snapshot.config(self.source.libc));
        let is_new = before.is_none_or(|(_, before)| before.decision != config.decision);
        if self.decides && is_new {
            log(&config.decision);
        }
        self.edit(|state| state.read = Some((snapshot, Arc::clone(&config))));
        config
    }

    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn config(&self) -> Option<Arc<SystemConfig>> {
        self.read.as_ref().map(|(_, config)| Arc::clone(config))
    }
}

/// The one reading in progress, which ends when the `ReadingGuard` is dropped.
///
/// A runtime that shuts down drops the `ReadingGuard` too, so that the next reading may begin.
struct ReadingGuard(Arc<Shared>);

impl Drop for ReadingGuard {
    fn drop(&mut self) {
        self.0.edit(|state| state.is_reading = false);
    }
}

/// Runs a reading on a blocking thread, or on this thread outside of a runtime.
async fn elsewhere(reading: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        // A runtime that shuts down does not run the reading. The previous configuration stays.
        Ok(runtime) => drop(runtime.spawn_blocking(reading).await),
        Err(_) => reading(),
    }
}

fn log(decision: &Decision) {
    match decision {
        Decision::Dns { also_system } => {
            tracing::info!(target: "sidestep", also_system, "the stub resolver resolves names, as the system's files say");
        }
        Decision::System { reason } => {
            tracing::info!(target: "sidestep", %reason, "the system resolves names (getaddrinfo)");
        }
    }
}

#[cfg(test)]
mod tests;
