//! Compares how sidestep and getaddrinfo resolve names.
//!
//! Each test makes namespaces with an /etc, a network and name servers of their own, and compares
//! what `Dns::from_system()`, `Resolver::new()` and `lookup::System` return with what getaddrinfo
//! returns there. `getaddrinfo.md` beside this file describes what getaddrinfo does.
//!
//! | environment variable | effect |
//! |---|---|
//! | `SIDESTEP_SYSTEM_TESTS=required` | a missing namespace or unbound is a failure, not a skipped test |
//! | `SIDESTEP_SYSTEM_REPORT=1` | prints each row and fails for none; `=queries` prints the queries too |
//! | `SIDESTEP_SYSTEM_ONLY=words` | runs the scenarios whose title contains the words |
//! | `SIDESTEP_SYSTEM_SEEDS=0..2000` | the seeds of the random configurations, `0..200` by default |

mod ask;
mod inside;
mod judge;
mod namespace;
mod random;
mod report;
mod scenario;
mod server;
mod table;
mod unbound;
mod zone;

use std::sync::{Mutex, PoisonError};
use std::{env, fs, io};

use self::report::Row;

/// The table has rows from bug reports of resolvers. A child process runs its job in this test, whichever test
/// started the process.
#[test]
fn names_resolve_as_by_getaddrinfo() {
    if let Ok(job) = env::var(namespace::JOB) {
        return inside::run(&job);
    }
    // Most scenarios wait for a silent name server most of the time.
    run("table", 8);
}

/// Each seed makes one random configuration.
#[test]
fn names_of_random_configurations_resolve_as_by_getaddrinfo() {
    let seeds = env::var("SIDESTEP_SYSTEM_SEEDS").unwrap_or_else(|_| "0..200".to_owned());
    let cores = std::thread::available_parallelism().map_or(2, Into::into);
    run(&format!("seeds {seeds}"), 4 * cores);
}

/// unbound is the recursive name server here, in front of zones, delegations and a lame server.
#[test]
fn names_resolve_as_by_getaddrinfo_behind_unbound() {
    match unbound::version() {
        Ok(()) => run("unbound", 4),
        Err(why) => namespace::skip(&format!(
            "unbound is missing (apt-get install unbound): {why}"
        )),
    }
}

/// Runs a job in several namespaces at once and judges its rows.
fn run(job: &str, shares: usize) {
    // One job runs at a time, because a loaded machine would make good name servers slow.
    static ONE_JOB: Mutex<()> = Mutex::new(());
    let _one = ONE_JOB.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = namespace::way() {
        return namespace::skip(&why);
    }
    let start = |share| {
        let job = format!("{job} {share}/{shares}");
        let folder = namespace::folder(&job);
        (namespace::start(&job, &folder), folder)
    };
    let started: Vec<_> = (0..shares).map(start).collect();
    let mut rows = Vec::new();
    for (child, folder) in started {
        let ended = child.and_then(|mut child| child.wait().map_err(|error| error.to_string()));
        rows.extend(report::read(&folder));
        let is_success = ended.as_ref().is_ok_and(|status| status.success());
        assert!(is_success, "{job}: {ended:?}, see the error above");
        fs::remove_dir_all(folder).unwrap();
    }
    conclude(job, &rows);
}

/// Prints the report, and fails if a result is wrong.
fn conclude(job: &str, rows: &[Row]) {
    let report = env::var("SIDESTEP_SYSTEM_REPORT").ok();
    let wrong = rows.iter().filter(|row| row.is_wrong()).count();
    let mut text = String::new();
    let mut configuration = "";
    for row in rows.iter().filter(|row| report.is_some() || row.is_wrong()) {
        let has_details = report.as_ref().is_none_or(|report| report == "queries");
        if has_details && configuration != row.configuration {
            configuration = &row.configuration;
            text += &row.details();
        }
        text += &row.to_string();
    }
    text += &format!("{job}: {wrong} of {} questions are wrong\n", rows.len());
    let _: io::Result<()> = io::Write::write_all(&mut io::stdout(), text.as_bytes());
    let is_selected = env::var_os("SIDESTEP_SYSTEM_ONLY").is_some();
    assert!(
        is_selected || !rows.is_empty(),
        "{job}: no scenario was run"
    );
    assert!(
        report.is_some() || wrong == 0,
        "{job}: {wrong} questions are wrong, see above"
    );
}
