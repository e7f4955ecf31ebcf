//! One bound, in real time, for everything that a test waits for.

use std::fmt::Display;
use std::panic::Location;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Nothing that a test waits for takes so long, unless it never comes.
const BOUND: Duration = Duration::from_secs(100);

/// Waits for `future`; panics with what was awaited if it has not come after [`BOUND`] of real time. A paused
/// clock does not move the bound.
#[track_caller]
pub(crate) fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        let mut alarm = Alarm::set();
        tokio::select! {
            biased;
            output = future => output,
            _ = &mut alarm.0 => panic!("{place}: {what} has not come in {BOUND:?}"),
        }
    }
}

/// A task that ends after [`BOUND`] of real time; it ends with its handle.
struct Alarm(JoinHandle<()>);

impl Alarm {
    fn set() -> Self {
        /// Its clock is never paused.
        static REAL_TIME: LazyLock<Runtime> = LazyLock::new(|| {
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_time();
            runtime.build().expect("a runtime starts")
        });
        Self(REAL_TIME.spawn(async { tokio::time::sleep(BOUND).await }))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}
