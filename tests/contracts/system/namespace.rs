//! A namespace of users, network, mounts and host name, made by `unshare` from util-linux.
//!
//! The test binary starts itself inside for one job. Nothing outside the namespace changes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs, io};

/// The environment variables that give a child process its job and the folder of the job.
pub(crate) const JOB: &str = "SIDESTEP_SYSTEM_JOB";
pub(crate) const FOLDER: &str = "SIDESTEP_SYSTEM_FOLDER";

/// The arguments of a child process. If [`JOB`] is set, the test runs that job.
pub(crate) const ARGS: [&str; 4] = [
    "--exact",
    "system::names_resolve_as_by_getaddrinfo",
    "--nocapture",
    "-q",
];

/// The job that checks whether a namespace can be made and port 53 can be bound in the namespace.
pub(crate) const PROBE: &str = "probe";

/// The arguments of `unshare`: for root, and for any other user if the kernel allows that.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount", "--uts"],
    &["--user", "--map-root-user", "--net", "--mount", "--uts"],
];

/// Reports that a test is skipped, or fails if the tests are required.
pub(crate) fn skip(why: &str) {
    let is_required = env::var("SIDESTEP_SYSTEM_TESTS").is_ok_and(|value| value == "required");
    assert!(!is_required, "SIDESTEP_SYSTEM_TESTS=required, and {why}");
    // libtest captures `eprintln!`, and a skipped test must be seen.
    let line = format!("\n*** contracts::system IS SKIPPED: {why} ***\n\n");
    let _: io::Result<()> = io::Write::write_all(&mut io::stderr(), line.as_bytes());
}

/// Returns the arguments that make a namespace on this machine.
///
/// # Errors
///
/// The reason why no namespace can be made, and what to do.
pub(crate) fn way() -> Result<&'static [&'static str], String> {
    static WAY: OnceLock<Result<usize, String>> = OnceLock::new();
    let way = WAY.get_or_init(|| {
        let probed = WAYS.iter().map(|way| probe(way)).collect::<Vec<_>>();
        let usable = probed.iter().position(Result::is_ok);
        usable.ok_or_else(|| {
            let reasons: Vec<_> = probed.into_iter().filter_map(Result::err).collect();
            format!("{HELP}\n{}", reasons.join("\n"))
        })
    });
    way.clone().map(|place| WAYS[place])
}

const HELP: &str = "no namespace can be made here. Install util-linux, mount and iproute2, and run \
                    as root or where the kernel allows user namespaces \
                    (sysctl kernel.unprivileged_userns_clone=1 \
                    kernel.apparmor_restrict_unprivileged_userns=0):";

fn probe(way: &[&str]) -> Result<(), String> {
    let folder = folder(PROBE);
    let probed = output(command(way, PROBE, &folder).stdout(Stdio::null()));
    drop(fs::remove_dir_all(folder));
    probed
}

/// Starts this test binary inside a new namespace for one job.
pub(crate) fn start(job: &str, folder: &Path) -> Result<Child, String> {
    let mut child = command(way()?, job, folder);
    let started = child.stdout(Stdio::null()).spawn();
    started.map_err(|error| format!("unshare: {error}"))
}

fn command(way: &[&str], job: &str, folder: &Path) -> Command {
    let mut command = Command::new(program("unshare"));
    command
        .args(way)
        .arg(env::current_exe().expect("the test binary has a path"))
        .args(ARGS);
    command
        .env(JOB, job)
        .env(FOLDER, folder)
        .stdin(Stdio::null());
    command
}

/// Makes an empty folder for one job.
pub(crate) fn folder(job: &str) -> PathBuf {
    let name = format!("system-{}-{job}", std::process::id()).replace([' ', '/', '.'], "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Sets up the namespace from inside: brings `lo` up, and mounts a folder of the test as /etc.
///
/// The test mounts a whole folder, because a file that does not exist cannot be the target of a bind mount.
pub(crate) fn set_up(folder: &Path) -> Result<PathBuf, String> {
    let etc = folder.join("etc");
    fs::create_dir_all(&etc).map_err(|error| error.to_string())?;
    for file in KEPT {
        // Each file is missing on some system.
        drop(fs::copy(Path::new("/etc").join(file), etc.join(file)));
    }
    let lo = ip(&["link", "set", "lo", "up"]);
    lo.or_else(|why| tool("busybox", &["ip", "link", "set", "lo", "up"]).map_err(|_| why))?;
    // sidestep looks for a route of each family to these addresses. If both exist, an answer of one family waits for
    // the other. Without IPv6 the second command fails.
    for route in [
        ["route", "add", "198.41.0.0/24", "dev", "lo"].as_slice(),
        &["-6", "route", "add", "2001:503:ba3e::/48", "dev", "lo"],
    ] {
        drop(ip(route));
    }
    let mut mount = Command::new(program("mount"));
    output(mount.args(["--bind".as_ref(), etc.as_os_str(), OsStr::new("/etc")]))?;
    Ok(etc)
}

/// The files of /etc that programs need in addition to those of a scenario.
const KEPT: [&str; 7] = [
    "group",
    "ld.so.cache",
    "localtime",
    "passwd",
    "protocols",
    "services",
    "ld-musl-x86_64.path",
];

/// Adds `fe80::53` on two links. Without IPv6, only the scenarios that need these addresses fail.
pub(crate) fn add_link_local_addrs() {
    let added = ip(&["addr", "add", "fe80::53/64", "dev", "lo", "nodad"])
        .and_then(|()| {
            ip(&[
                "link", "add", "link0", "type", "veth", "peer", "name", "link1",
            ])
        })
        .and_then(|()| ip(&["link", "set", "link0", "up"]))
        .and_then(|()| ip(&["link", "set", "link1", "up"]))
        .and_then(|()| ip(&["addr", "add", "fe80::53/64", "dev", "link0", "nodad"]));
    if let Err(why) = added {
        eprintln!("no link-local name servers in this namespace: {why}");
    }
}

/// Sets the host name of the namespace.
pub(crate) fn set_hostname(hostname: &str) -> Result<(), String> {
    // The root user of a user namespace may not be allowed to write the file.
    let written = fs::write("/proc/sys/kernel/hostname", hostname);
    written.or_else(|_| tool("hostname", &[hostname]))
}

fn ip(args: &[&str]) -> Result<(), String> {
    tool("ip", args)
}

fn tool(name: &str, args: &[&str]) -> Result<(), String> {
    output(Command::new(program(name)).args(args))
}

fn output(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| format!("{command:?}: {}", stderr.trim()))
}

/// Returns the path of a program. The PATH of many users lacks the folders of system tools.
pub(crate) fn program(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin"];
    let paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| name.into())
}
