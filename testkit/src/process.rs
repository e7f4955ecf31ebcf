//! Tests that need a process of their own, because they change its limits or its environment.

use std::env;
use std::process::Command;

/// Runs a test of this program in a new process, whose command `set` has changed. Returns true in the new process.
///
/// `module` is the `module_path!()` of the test.
pub fn in_new_process(module: &str, test: &str, set: impl FnOnce(&mut Command)) -> bool {
    const IN_NEW_PROCESS: &str = "SIDESTEP_TEST_ALONE";
    if env::var_os(IN_NEW_PROCESS).is_some() {
        return true;
    }
    let test = test_name(module, test);
    let mut command = Command::new(env::current_exe().expect("the test binary has a path"));
    command.args([&*test, "--exact"]).env(IN_NEW_PROCESS, "1");
    set(&mut command);
    let output = command.output().expect("the test binary starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {stdout}{stderr}");
    assert!(
        stdout.contains("1 passed"),
        "there is no test {test}: {stdout}"
    );
    false
}

/// Returns the name by which a test binary selects a test. The path of the module begins with the name of the binary.
pub fn test_name(module: &str, test: &str) -> String {
    let path = format!("{module}::{test}");
    let (_, name) = path.split_once("::").expect("a path has two parts");
    name.to_owned()
}
