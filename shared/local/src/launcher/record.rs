//! What is known of an execution's process, written before the agent begins, so that a control plane that was killed
//! finds every agent again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::run::Isolation;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// `process.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub execution: ExecutionId,
    pub team: TeamId,
    pub slot: u16,
    pub isolation: Isolation,
    pub body: Body,
    /// Set when the end has been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// What holds the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Body {
    /// With `cgroups`, the folders that hold the process alone.
    Process { process: Identity, cgroups: Vec<PathBuf> },
    /// A container of the engine behind `engine`.
    Container { name: String, engine: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub reason: Option<String>,
}

/// One process and no other: a pid alone is used again sooner or later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub pid: i32,
    /// Clock ticks from the boot to its start.
    pub started: u64,
    pub boot: String,
}

/// The files of one execution, `executions/<execution id>/` in the data folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub PathBuf);

/// A line of `/proc/<pid>/stat`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub pid: i32,
    pub zombie: bool,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub started: u64,
}

impl Folder {
    pub(super) fn record(&self) -> PathBuf {
        self.0.join("process.json")
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.0.join("workspace")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("agent.log")
    }

    /// Where bubblewrap tells the pid of its init and, at the end, the exit code.
    pub(super) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }
}

impl Record {
    /// The record of the folder; none if there is none that can be read.
    pub(super) fn read(folder: &Folder) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.record()).ok()?).ok()
    }

    /// All or nothing, whenever the control plane dies.
    pub(super) fn write(&self, folder: &Folder) -> io::Result<()> {
        let unfinished = folder.0.join("process.json.new");
        fs::write(&unfinished, serde_json::to_vec(self)?)?;
        fs::rename(unfinished, folder.record())
    }
}

impl Identity {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        let stat = Stat::of(pid).ok_or_else(|| io::Error::other("the process is gone already"))?;
        Ok(Self { pid, started: stat.started, boot: boot_id() })
    }

    pub(super) fn alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && !stat.zombie) && self.boot == boot_id()
    }

    /// A handle that is readable when the process has ended; none if it has.
    pub(super) fn open(&self) -> Option<std::os::fd::OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Looked at after opening: if it is still the same process now, the handle is its own.
        let same = Stat::of(self.pid).is_some_and(|stat| stat.started == self.started);
        (same && self.boot == boot_id()).then_some(handle)
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(handle) = self.open() {
            // An error means that it is gone, which is what signals are for here.
            let _ = pidfd_send_signal(handle, signal);
        }
    }
}

impl Stat {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The name before it may hold spaces and brackets.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
        Some(Self {
            pid,
            zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Every process that can be seen.
    pub(super) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries.flatten().filter_map(|entry| Self::of(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    pub(super) fn identity(self) -> Identity {
        Identity { pid: self.pid, started: self.started, boot: boot_id() }
    }
}

/// The pid within each namespace, outermost first.
pub(super) fn namespace_pids(pid: i32) -> Vec<i32> {
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn boot_id() -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.alive() && own.open().is_some());
        let earlier = Identity { started: own.started - 1, ..own.clone() };
        assert!(!earlier.alive() && earlier.open().is_none());
        let before_the_boot = Identity { boot: "another".to_owned(), ..own };
        assert!(!before_the_boot.alive() && before_the_boot.open().is_none());
    }
}
