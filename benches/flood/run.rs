//! Runs a case in a process of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use cpu_time::{ProcessTime, ThreadTime};

use crate::attack::Target;
use crate::case::{Case, Figures};

/// Time limit of a process; one that takes longer has stopped making progress.
const LONGEST: Duration = Duration::from_secs(900);

/// Runs a case in a child process, and returns its figures.
pub(crate) fn in_a_child(case: &Case) -> Result<Figures, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let attack = case
        .attack
        .to_possible_value()
        .expect("no attack is hidden");
    let mut child = Command::new(this)
        .args(["--here", "--attack", attack.get_name()])
        .args(["--capacity", &case.capacity.to_string()])
        .args(["--names", &case.names.to_string()])
        // All threads share one malloc arena, because an arena for each thread would reserve address space.
        .env("MALLOC_ARENA_MAX", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let begun = Instant::now();
    while child
        .try_wait()
        .map_err(|error| error.to_string())?
        .is_none()
    {
        if begun.elapsed() > LONGEST {
            child.kill().map_err(|error| error.to_string())?;
            return Err(format!("no end after {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("the process ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Runs a case under its limit on memory, and returns its figures as JSON.
pub(crate) fn in_this_process(case: &Case) -> String {
    limit_memory(case.limit());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(case.attack.pauses_the_clock())
        .build()
        .expect("a runtime starts");
    let begun = ProcessTime::now();
    let (slowest, hosts_held) = runtime.block_on(flood(case));
    let memory = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem);
    let attack = case
        .attack
        .to_possible_value()
        .expect("no attack is hidden");
    let figures = Figures {
        attack: attack.get_name().to_owned(),
        capacity: case.capacity,
        names: case.names,
        cpu_seconds: begun.elapsed().as_secs_f64(),
        slowest_call_ms: slowest.as_secs_f64() * 1_000.0,
        hosts_held,
        peak_mib: memory >> 20,
        limit_mib: case.limit() >> 20,
    };
    serde_json::to_string(&figures).expect("figures are plain")
}

/// Runs the attack, and returns the slowest call's processor time and the final number of hosts.
async fn flood(case: &Case) -> (Duration, usize) {
    let target = Target::new(case.attack, case.capacity);
    // The first call makes what all calls share, such as a first connection, so this call is not measured.
    target.hit(u32::MAX).await;
    let mut slowest = Duration::ZERO;
    for n in 0..case.names {
        let begun = ThreadTime::now();
        target.hit(n).await;
        slowest = slowest.max(begun.elapsed());
    }
    (slowest, target.resolver.snapshot().hosts.len())
}

#[cfg(unix)]
fn limit_memory(bytes: u64) {
    rlimit::Resource::AS
        .set(bytes, bytes)
        .expect("a lower limit may always be set");
}

#[cfg(not(unix))]
fn limit_memory(_: u64) {}
