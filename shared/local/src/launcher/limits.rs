//! CPU, memory and processes per plan, where the system allows. The agent watches itself too; this is the second line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ozma_domain::limits;
use ozma_domain::plan::Size;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the kernel refuses; the agent ends a task before that.
const PROCESSES: u64 = limits::PROCESSES + limits::PROCESSES_ROOM;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Agents yield to whoever sits at the machine.
const NICE: i32 = 5;

/// What could be applied.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Folders made for this process, to be removed when it has ended.
    pub cgroups: Vec<PathBuf>,
    /// For the log, such as "memory by cgroup".
    pub notes: Vec<&'static str>,
}

/// Limits a process that has not begun yet; what it starts inherits all of them.
pub(super) fn apply(pid: u32, name: &str, slot: u16, size: Size) -> Applied {
    let mut applied = Applied::default();
    let mut cpu_limited = false;
    for (folder, controller) in cgroups(name) {
        if join(&folder, controller, pid, size, &mut applied.notes).is_ok() {
            cpu_limited |= applied.notes.contains(&"cpu by cgroup");
            applied.cgroups.push(folder);
        } else {
            let _ = fs::remove_dir(&folder);
        }
    }
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return applied };
    if !cpu_limited && spread(pid, slot, size.vcpus).is_ok() {
        applied.notes.push("cpu by affinity");
    }
    let processes = Rlimit { current: Some(PROCESSES), maximum: Some(PROCESSES) };
    let lowered = Rlimit { current: Some(PROCESSES), maximum: None };
    if prlimit(Some(pid), Resource::Nproc, processes).or_else(|_| prlimit(Some(pid), Resource::Nproc, lowered)).is_ok()
    {
        applied.notes.push("processes by rlimit");
    }
    if prlimit(Some(pid), Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_ok() {
        applied.notes.push("no core dumps");
    }
    if setpriority_process(Some(pid), NICE).is_ok() {
        applied.notes.push("nice");
    }
    applied
}

/// Removes the folders, and kills whoever is still in them.
pub(super) fn remove(cgroups: &[PathBuf]) {
    for folder in cgroups {
        if fs::remove_dir(folder).is_err() && folder.exists() {
            kill_all(folder);
            // The kernel lets go of the dead a little later; the last try tells.
            for _ in 0..100 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Kills every process in the folder.
pub(super) fn kill_all(cgroup: &Path) {
    if fs::write(cgroup.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members(cgroup) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(super) fn members(cgroup: &Path) -> Vec<i32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Controller {
    /// All of them in one tree, cgroup v2.
    Unified,
    Memory,
    Cpu,
    Pids,
}

/// Where to make folders for a process: beside our own in the unified tree, which forbids processes in inner folders; below
/// our own in each of the older trees.
fn cgroups(name: &str) -> Vec<(PathBuf, Controller)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let root = Path::new(CGROUPS);
    let name = format!("ozma-{name}");
    let mut places = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = Path::new(path.trim_start_matches('/'));
        if controllers.is_empty() && root.join("cgroup.controllers").exists() {
            places.push((root.join(path.parent().unwrap_or(path)).join(&name), Controller::Unified));
        }
        for controller in controllers.split(',') {
            let kind = match controller {
                "memory" => Controller::Memory,
                "cpu" => Controller::Cpu,
                "pids" => Controller::Pids,
                _ => continue,
            };
            let below = root.join(controller).join(path);
            // In a container our own path may be that of the host, and the tree begins where we are.
            let parent = if below.is_dir() { below } else { root.join(controller) };
            places.push((parent.join(&name), kind));
        }
    }
    places
}

fn join(folder: &Path, controller: Controller, pid: u32, size: Size, notes: &mut Vec<&'static str>) -> io::Result<()> {
    let set = |file: &str, value: String| fs::write(folder.join(file), value);
    let memory = (size.memory_mib * 1024 * 1024).to_string();
    fs::create_dir(folder)?;
    let mut found = Vec::new();
    match controller {
        Controller::Unified => {
            if set("memory.max", memory).is_ok() {
                found.push("memory by cgroup");
            }
            if set("cpu.max", format!("{} 100000", u64::from(size.vcpus) * 100_000)).is_ok() {
                found.push("cpu by cgroup");
            }
            if set("pids.max", PROCESSES.to_string()).is_ok() {
                found.push("processes by cgroup");
            }
        }
        Controller::Memory => {
            set("memory.limit_in_bytes", memory)?;
            found.push("memory by cgroup");
        }
        Controller::Cpu => {
            set("cpu.cfs_quota_us", (u64::from(size.vcpus) * 100_000).to_string())?;
            found.push("cpu by cgroup");
        }
        Controller::Pids => {
            set("pids.max", PROCESSES.to_string())?;
            found.push("processes by cgroup");
        }
    }
    set("cgroup.procs", pid.to_string())?;
    notes.extend(found);
    Ok(())
}

/// Keeps the process on as many CPUs as it is given, another part of the machine for each slot.
fn spread(pid: Pid, slot: u16, vcpus: u32) -> rustix::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let wanted = vcpus as usize;
    if wanted == 0 || wanted >= cpus.len() {
        return Err(rustix::io::Errno::INVAL);
    }
    let mut set = CpuSet::new();
    for step in 0..wanted {
        set.set(cpus[(usize::from(slot) * wanted + step) % cpus.len()]);
    }
    sched_setaffinity(Some(pid), &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_leave_nothing_behind() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let size = Size { vcpus: 1, memory_mib: 512, disk_mib: 1 };
        let applied = apply(child.id(), &format!("test-{}", std::process::id()), 0, size);
        assert!(applied.notes.contains(&"processes by rlimit"), "{applied:?}");
        // Within a run of our own this process is nice enough already.
        let nicer = rustix::process::getpriority_process(None).is_ok_and(|nice| nice >= NICE);
        assert!(nicer || applied.notes.contains(&"nice"), "{applied:?}");
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let processes = limits.lines().find(|line| line.starts_with("Max processes")).unwrap();
        assert!(processes.contains(" 5120 "), "{processes}");
        let pid = i32::try_from(child.id()).unwrap();
        assert!(applied.cgroups.iter().all(|cgroup| members(cgroup) == [pid]), "{applied:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        remove(&applied.cgroups);
        assert!(!applied.cgroups.iter().any(|cgroup| cgroup.exists()));
    }
}
