//! Runs scenarios inside a namespace, one after another.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, io};

use tokio::process::Command;
use tokio::runtime::Builder;

use crate::system::ask::{LookupResult, Method, ask_all};
use crate::system::judge::judge;
use crate::system::namespace::{self, FOLDER};
use crate::system::report::{Ours, Row};
use crate::system::scenario::{Answer, NS1, Question, Scenario};
use crate::system::server::Servers;
use crate::system::unbound::Unbound;
use crate::system::{random, table, unbound};

/// Runs the job of this process inside its namespace.
pub(crate) fn run(job: &str) {
    let folder = PathBuf::from(env::var_os(FOLDER).expect("a job has a folder"));
    if let Some(method) = job.strip_prefix("ask:") {
        return ask(method, &folder);
    }
    let etc = namespace::set_up(&folder).unwrap_or_else(|why| panic!("{why}"));
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        if job == namespace::PROBE {
            let server = (NS1.to_owned(), String::new());
            return Servers::start(&[server]).await.stop().await;
        }
        namespace::add_link_local_addrs();
        let runner = Runner { folder, etc };
        for scenario in scenarios(job) {
            runner.run(&scenario).await;
        }
    });
}

/// Returns the scenarios of a job: `table 0/4`, `seeds 0..2000 0/4` or `unbound 0/1`.
fn scenarios(job: &str) -> Vec<Scenario> {
    let words: Vec<_> = job.split(' ').collect();
    let (all, share) = match words[..] {
        ["table", share] => (table::scenarios(), share),
        ["unbound", share] => (unbound::scenarios(), share),
        ["seeds", seeds, share] => {
            let (from, to) = seeds.split_once("..").unwrap();
            let seeds = from.parse().unwrap()..to.parse().unwrap();
            return of_share(seeds, share).map(random::scenario).collect();
        }
        _ => panic!("{job:?} is not a job"),
    };
    let only = env::var("SIDESTEP_SYSTEM_ONLY").unwrap_or_default();
    let is_named = |scenario: &Scenario| scenario.title.contains(&only);
    of_share(all.into_iter().filter(is_named), share).collect()
}

/// Returns every nth item, so that several namespaces share the work.
fn of_share<T>(all: impl IntoIterator<Item = T>, share: &str) -> impl Iterator<Item = T> {
    let (share, of) = share.split_once('/').unwrap();
    let (share, of) = (share.parse().unwrap(), of.parse().unwrap());
    all.into_iter().skip(share).step_by(of)
}

/// Runs scenarios in one namespace.
struct Runner {
    /// The folder of questions, results and rows.
    folder: PathBuf,
    /// The folder that is /etc inside the namespace.
    etc: PathBuf,
}

/// The results of all questions with one method, and the queries that the name servers received.
type MethodResults = (Vec<LookupResult>, Vec<String>);

impl Runner {
    /// Looks up the names of a scenario with all methods, and writes the rows of the report.
    ///
    /// sidestep serves one family if the other is late. If a busy machine may be the cause, all lookups run again.
    async fn run(&self, scenario: &Scenario) {
        for _ in 0..2 {
            let rows = self.rows(scenario).await;
            if !rows.iter().any(Row::lacks_a_family) {
                return self.append_rows(&rows);
            }
        }
        self.append_rows(&self.rows(scenario).await);
    }

    async fn rows(&self, scenario: &Scenario) -> Vec<Row> {
        self.write_files(scenario);
        let servers = Servers::start(&scenario.servers).await;
        let unbound = match &scenario.unbound {
            Some(conf) => Some(Unbound::start(&self.folder, conf).await),
            None => None,
        };
        let theirs = self.ask(scenario, Method::Getaddrinfo, &servers).await;
        let mut ours = Vec::new();
        for method in Method::OURS {
            if scenario.is_for(method) {
                ours.push((method, self.ask(scenario, method, &servers).await));
            }
        }
        servers.stop().await;
        if let Some(unbound) = unbound {
            unbound.stop().await;
        }
        rows(scenario, &theirs, &ours)
    }

    fn write_files(&self, scenario: &Scenario) {
        for (name, contents) in &scenario.files {
            let path = self.etc.join(name);
            match contents {
                Some(contents) => fs::write(path, contents).unwrap(),
                // The file may be missing already.
                None => drop(fs::remove_file(path)),
            }
        }
        namespace::set_hostname(&scenario.hostname).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Looks up all names of a scenario in a fresh process.
    async fn ask(&self, scenario: &Scenario, method: Method, servers: &Servers) -> MethodResults {
        self.write_files(scenario);
        let questions = serde_json::to_string(&scenario.questions).unwrap();
        fs::write(self.folder.join(QUESTIONS), questions).unwrap();
        drop(fs::remove_file(self.folder.join(RESULTS)));
        drop(servers.take_log());
        let child = self.command(method).kill_on_drop(true).status();
        let ended = tokio::time::timeout(PROCESS_TIMEOUT, child).await;
        let queries = servers.take_log();
        if ended.is_err() {
            let hung = LookupResult::new(Answer::Hung, "no result within the time limit");
            return (vec![hung; scenario.questions.len()], queries);
        }
        let results = fs::read_to_string(self.folder.join(RESULTS));
        let results =
            results.unwrap_or_else(|error| panic!("{}: {error}\n{scenario}", method.name()));
        (serde_json::from_str(&results).unwrap(), queries)
    }

    fn command(&self, method: Method) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(namespace::ARGS).stdout(Stdio::null());
        command
            .env(namespace::JOB, format!("ask:{}", method.name()))
            .env(FOLDER, &self.folder);
        // libc also reads options of its resolver from these variables.
        for variable in ["RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES"] {
            command.env_remove(variable);
        }
        command
    }

    fn append_rows(&self, rows: &[Row]) {
        let path = self.folder.join("rows");
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        for row in rows {
            let line = serde_json::to_string(row).unwrap() + "\n";
            io::Write::write_all(&mut file, line.as_bytes()).unwrap();
        }
    }
}

const QUESTIONS: &str = "questions";
const RESULTS: &str = "results";

/// The time limit of one process, which looks up all names of one scenario.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

fn rows(scenario: &Scenario, theirs: &MethodResults, ours: &[(Method, MethodResults)]) -> Vec<Row> {
    let row = |(place, question): (usize, &Question)| {
        let (theirs, their_queries) = (&theirs.0[place], &theirs.1);
        let of_method = |(method, (results, queries)): &(Method, MethodResults)| Ours {
            method: method.name().to_owned(),
            verdict: judge(question, theirs, &results[place], *method),
            result: results[place].clone(),
            queries: queries.clone(),
        };
        Row {
            title: scenario.title.clone(),
            question: question.name.clone(),
            theirs: theirs.clone(),
            queries: their_queries.clone(),
            ours: ours.iter().map(of_method).collect(),
            configuration: scenario.to_string(),
        }
    };
    scenario.questions.iter().enumerate().map(row).collect()
}

/// Looks up the names of the questions that the parent process wrote, and writes the results.
fn ask(method: &str, folder: &Path) {
    let method = Method::from_name(method).unwrap();
    let questions = fs::read_to_string(folder.join(QUESTIONS)).unwrap();
    let questions: Vec<_> = serde_json::from_str(&questions).unwrap();
    let results = ask_all(method, Path::new("/etc"), &questions);
    let results = serde_json::to_string(&results).unwrap();
    fs::write(folder.join(RESULTS), results).unwrap();
}
