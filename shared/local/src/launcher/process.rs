//! The agent as a process: how one is begun, asked to end, and ended with all it started. Without a sandbox around it
//! this is all there is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use ozma_domain::id::ExecutionId;
use ozma_domain::protocol::variable;
use ozma_domain::run::Isolation;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::limits;
use super::record::{Folder, Identity, Stat, namespace_pids};
use super::tools::Host;
use super::workspace;

/// Waits for a word from the control plane and then becomes the agent. Until then the process can be limited and
/// recorded, and it goes away by itself if the control plane dies.
const WAIT_AND_BECOME: &str = r#"read -r _ || exit 1; exec "$@" </dev/null"#;

/// The same for bubblewrap, which tells its state through descriptor 3.
const WAIT_AND_SANDBOX: &str = r#"read -r _ || exit 1; exec "$@" </dev/null 3>"$0""#;

/// Shells and sandboxes add variables of their own; the agent is to see none but those it was given.
const ADDED_VARIABLES: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// When so many looks in a row find nobody of an execution, nobody is left.
const LOOKS_IN_VAIN: u32 = 3;

/// A command line in the making.
pub(super) type Arguments = Vec<OsString>;

/// Starts a process that waits for a line on its standard input before it becomes `arguments`.
pub(super) fn spawn(
    isolation: Isolation,
    arguments: &Arguments,
    variables: &BTreeMap<&str, OsString>,
    folder: &Folder,
) -> io::Result<Child> {
    let log = workspace::open_log(folder)?;
    let script = if isolation == Isolation::Bubblewrap { WAIT_AND_SANDBOX } else { WAIT_AND_BECOME };
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .arg(folder.status())
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// The agent itself, with nothing but its own variables.
pub(super) fn agent(host: &Host, executable: &Path) -> Arguments {
    let mut arguments = Arguments::new();
    if let Some(env) = host.program("env") {
        arguments.push(env.into());
        for variable in ADDED_VARIABLES {
            arguments.extend(["-u".into(), variable.into()]);
        }
    }
    arguments.extend([executable.into(), "agent-process".into()]);
    arguments
}

/// A session of its own: no terminal to read from or to be interrupted by.
pub(super) fn without_sandbox(host: &Host, executable: &Path) -> Arguments {
    let mut arguments: Arguments = host.program("setsid").into_iter().map(Into::into).collect();
    arguments.extend(agent(host, executable));
    arguments
}

/// Asks the agent to finalise. False if there is no agent to be asked, yet or any more.
pub(super) fn ask_to_end(process: &Identity, isolation: Isolation, folder: &Folder) -> bool {
    if isolation != Isolation::Bubblewrap {
        process.signal(Signal::TERM);
        return process.alive();
    }
    // bubblewrap passes no signals on. Its init becomes the agent, and until that listens nothing reaches an init.
    let Some(agent) = sandbox_init(folder).filter(|init| catches(init.pid, Signal::TERM)) else { return false };
    agent.signal(Signal::TERM);
    true
}

/// Whether the process has a handler for the signal.
fn catches(pid: i32, signal: Signal) -> bool {
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (signal.as_raw() - 1)) != 0
}

/// Ends the agent and all it started, and returns when they are gone. Takes long only if the kernel does.
pub(super) fn kill_tree(execution: ExecutionId, process: &Identity, cgroups: &[std::path::PathBuf], folder: &Folder) {
    // The kernel ends a pid namespace with its init, fork bombs included.
    if let Some(init) = sandbox_init(folder) {
        init.signal(Signal::KILL);
        for _ in 0..500 {
            if !init.alive() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    for cgroup in cgroups {
        limits::kill_all(cgroup);
    }
    // Nobody leaves the namespace, and looking for strays reads every process of the machine.
    if sandbox_is_gone(folder) {
        return;
    }
    let mut looked_in_vain = 0;
    for _ in 0..200 {
        let family = family(execution, process, cgroups);
        // One that is just becoming another program has no variables to be known by: one look is not enough.
        looked_in_vain = if family.is_empty() { looked_in_vain + 1 } else { 0 };
        if looked_in_vain == LOOKS_IN_VAIN {
            break;
        }
        // First hold them, then kill: otherwise a fork bomb outruns the list.
        for member in &family {
            member.signal(Signal::STOP);
        }
        for member in &family {
            member.signal(Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The processes of an execution: those of its session or group, their descendants, those in its cgroups, and those that
/// left all of these but still carry its variables.
fn family(execution: ExecutionId, leader: &Identity, cgroups: &[std::path::PathBuf]) -> Vec<Identity> {
    let all = Stat::all();
    let marker = format!("{}={execution}\0", variable::EXECUTION_ID);
    let in_cgroups: Vec<i32> = cgroups.iter().flat_map(|cgroup| limits::members(cgroup)).collect();
    let carries = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.starts_with(marker.as_bytes())
            || environment.windows(marker.len() + 1).any(|part| part[0] == 0 && &part[1..] == marker.as_bytes())
    };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let belongs = |stat: &Stat| {
        let same_group = stat.pid == leader.pid || stat.session == leader.pid || stat.group == leader.pid;
        (same_group && stat.started >= leader.started) || in_cgroups.contains(&stat.pid) || carries(stat.pid)
    };
    let mut family: Vec<i32> =
        all.iter().filter(|stat| stat.pid != own && belongs(stat)).map(|stat| stat.pid).collect();
    // Children of members, theirs, and so on.
    let mut seen = 0;
    while seen < family.len() {
        let parent = family[seen];
        seen += 1;
        for stat in all.iter().filter(|stat| stat.parent == parent) {
            if stat.pid != own && !family.contains(&stat.pid) {
                family.push(stat.pid);
            }
        }
    }
    all.into_iter().filter(|stat| family.contains(&stat.pid) && !stat.zombie).map(Stat::identity).collect()
}

/// The first process within bubblewrap's pid namespace, if it is alive.
pub(super) fn sandbox_init(folder: &Folder) -> Option<Identity> {
    let status = status_values(folder);
    let pid = i32::try_from(status.iter().find_map(|value| value.get("child-pid")?.as_i64())?).ok()?;
    let namespace = status.iter().find_map(|value| value.get("pid-namespace")?.as_u64());
    let stat = Stat::of(pid).filter(|stat| !stat.zombie)?;
    // A pid used again is not an init, or that of another namespace.
    let is_init = namespace_pids(pid).last() == Some(&1) && pid != 1;
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let is_its = link.zip(namespace).is_none_or(|(link, namespace)| link.as_os_str() == &*format!("pid:[{namespace}]"));
    (is_init && is_its).then(|| stat.identity())
}

/// Whether there was a pid namespace and it has ended, which the kernel does only after everybody in it.
fn sandbox_is_gone(folder: &Folder) -> bool {
    let began = status_values(folder).iter().any(|value| value.get("child-pid").is_some());
    began && sandbox_init(folder).is_none()
}

/// How bubblewrap's child ended, for who is not its parent.
pub(super) fn recorded_exit(folder: &Folder) -> Option<String> {
    let code = status_values(folder).iter().find_map(|value| value.get("exit-code")?.as_i64())?;
    Some(exit_code(i32::try_from(code).ok()?))
}

pub(super) fn exit(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => exit_code(code),
        (None, signal) => exit_code(128 + signal.unwrap_or_default()),
    }
}

/// Such as "exit code 137, killed by SIGKILL".
pub(super) fn exit_code(code: i32) -> String {
    let signal = match code - 128 {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("exit code {code}"),
    };
    format!("exit code {code}, killed by {signal}")
}

fn status_values(folder: &Folder) -> Vec<serde_json::Value> {
    let text = fs::read(folder.status()).unwrap_or_default();
    serde_json::Deserializer::from_slice(&text).into_iter().map_while(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_read_like_a_sentence() {
        let check = |code: i32, expected: &str| assert_eq!(exit_code(code), expected);
        check(0, "exit code 0");
        check(3, "exit code 3");
        check(137, "exit code 137, killed by SIGKILL");
        check(143, "exit code 143, killed by SIGTERM");
        check(255, "exit code 255");
    }
}
