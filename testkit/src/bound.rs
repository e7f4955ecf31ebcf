//! A time limit, in real time, for everything that a test waits for.

use std::fmt::Display;
use std::panic::Location;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// An event that takes longer than this never happens.
const BOUND: Duration = Duration::from_secs(100);

/// Waits for `future`. Panics with `what` if the future is not ready after [`BOUND`] of real time. A paused clock does
/// not change the limit.
#[track_caller]
pub fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        let mut alarm = Alarm::set();
        tokio::select! {
            biased;
            output = future => output,
            _ = &mut alarm.0 => panic!("{place}: waited {BOUND:?} for {what}"),
        }
    }
}

/// A task that ends after [`BOUND`] of real time, or when its handle is dropped.
struct Alarm(JoinHandle<()>);

impl Alarm {
    fn set() -> Self {
        /// The clock of this runtime is never paused.
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
