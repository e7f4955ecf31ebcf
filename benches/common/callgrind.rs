//! Counts instructions with valgrind.

use std::process::Command;

use clap::ValueEnum;

/// Returns the instructions of one operation of `candidate` by callgrind, or `None` without valgrind.
///
/// The number is the difference of two runs of this program, so that only operations count. The program gets
/// `--run CANDIDATE --ops N` for such a run.
pub(crate) fn instructions(candidate: &impl ValueEnum) -> Option<u64> {
    let (few, many) = (200, 1_200);
    let less = counted(candidate, few)?;
    let more = counted(candidate, many)?;
    Some(more.saturating_sub(less) / u64::from(many - few))
}

fn counted(candidate: &impl ValueEnum, ops: u32) -> Option<u64> {
    let candidate = candidate.to_possible_value()?;
    let this = std::env::current_exe().ok()?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", candidate.get_name(), "--ops", &ops.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stderr);
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.split_whitespace().last()?.parse().ok()
}
