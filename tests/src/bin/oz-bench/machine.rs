//! Where and when: a figure without these is worth nothing.

use std::fs;
use std::process::Command;

use ozma_app::clock::SystemClock;
use ozma_app::ports::Clock;

use crate::report;

pub(crate) fn print() {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report::line("date", &SystemClock.now().strftime("%F %H:%M UTC").to_string());
    report::line("commit", &commit());
    report::line("machine", &format!("{cpus} × {model}, {memory}, Linux {}", kernel.trim()));
    report::line("load before", &load());
}

/// Of the last minute: others at work on the same machine make every figure worse.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The value in a file of `name : value` lines.
pub(crate) fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.unwrap_or("?").trim().to_owned()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "?".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}
