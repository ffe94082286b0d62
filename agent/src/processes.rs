//! Every process that the task started, however far it wandered.
//!
//! The agent is a subreaper: whoever loses its parent becomes the agent's child, so that "descends from the agent" holds
//! for daemons too, and a walk of `/proc` finds them all.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Passes of a freeze. Each stops all it finds, and new ones have higher numbers, so that a pass catches up with them.
const FREEZE_PASSES: usize = 50;

/// By this much commands are nicer than the agent, which gives it ten times the processor of each of them.
const NICER: i32 = 10;

/// Rounds of freeze and kill: what is left after ten seconds sits in the kernel and cannot be ended by anybody.
const KILL_ROUNDS: usize = 500;

#[derive(Debug)]
pub(crate) struct Processes {
    me: i32,
    group: i32,
    /// Children that a [`Child`] waits for. Others are orphans, and reaped here.
    own: Mutex<HashSet<i32>>,
    file_bytes: u64,
    processes: u64,
    /// In the agent's pid namespace there was nobody but the agent when it began: whoever is there later is the task's.
    alone: bool,
    /// Of commands: whoever watches over a crowd must not have to queue with it.
    nice: i32,
}

/// A process as `/proc/<pid>/stat` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    group: i32,
    state: u8,
    threads: u64,
    ticks: u64,
    /// Of children that were waited for.
    child_ticks: u64,
    resident_pages: u64,
}

/// What the task uses now, and used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) processes: u32,
    pub(crate) threads: u64,
    pub(crate) cpu_ms: u64,
    /// Pages that processes share are counted for each of them, so that this is an upper bound.
    pub(crate) memory_bytes: u64,
}

impl Process {
    /// Dead, and not yet reaped. A leader that ended before its threads looks dead and is not.
    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X') || self.threads > 1
    }
}

impl Processes {
    /// The limits are soft ones that every command starts with: the size of a file, and in a namespace of the agent's own
    /// the number of processes, with room for the watchdog to see it broken.
    pub(crate) fn new(file_bytes: u64, processes: u64) -> Self {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let nice = rustix::process::getpriority_process(None).unwrap_or_default() + NICER;
        Self { me, group, own: Mutex::default(), file_bytes, processes, alone: is_alone(me), nice }
    }

    /// Starts a command as the leader of a process group.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Held while spawning, lest the child end and be reaped as an orphan before it is known.
        let mut own = self.own.lock().expect("no panic while locked");
        let lowered =
            [(Resource::Fsize, self.file_bytes), (Resource::Nproc, self.processes), (Resource::Core, 0)].map(lower);
        let child = command.process_group(0).kill_on_drop(true).spawn();
        for (resource, before) in lowered {
            // Raising a soft limit back to what it was is always allowed.
            let _ = rustix::process::setrlimit(resource, before);
        }
        let child = child?;
        if let Some(pid) = child.id() {
            own.insert(pid.cast_signed());
            let _ = rustix::process::setpriority_process(Pid::from_raw(pid.cast_signed()), self.nice);
        }
        Ok(child)
    }

    /// The child was waited for: its number may be anybody's now.
    pub(crate) fn forget(&self, pid: u32) {
        self.own.lock().expect("no panic while locked").remove(&pid.cast_signed());
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let mut ticks = stat(self.me).map_or(0, |me| me.child_ticks);
        let mut pages = 0;
        for process in self.walk(|_| ()) {
            ticks += process.ticks + process.child_ticks;
            if process.is_alive() {
                usage.processes += 1;
                usage.threads += process.threads;
                pages += process.resident_pages;
            }
        }
        usage.cpu_ms = ticks * 1000 / rustix::param::clock_ticks_per_second().max(1);
        usage.memory_bytes = pages * rustix::param::page_size() as u64;
        usage
    }

    /// Memory with shared pages divided among those who share them. Slow, so asked only when the quick sum is too high.
    pub(crate) fn proportional_memory_bytes(&self) -> u64 {
        self.walk(|_| ()).iter().map(proportional_bytes).sum()
    }

    /// Reaps orphans that have ended.
    pub(crate) fn reap(&self) {
        let own = self.own.lock().expect("no panic while locked");
        let orphans = self
            .walk(|_| ())
            .into_iter()
            .filter(|process| process.parent == self.me && !process.is_alive() && !own.contains(&process.pid));
        for orphan in orphans {
            // Ended already, so this does not wait; somebody else's child would be an error, and is not ours to mind.
            let _ = rustix::process::waitpid(Pid::from_raw(orphan.pid), WaitOptions::NOHANG);
        }
    }

    /// Ends one command's process group, politely first.
    pub(crate) async fn end_group(&self, leader: u32, grace: Duration) {
        let Some(group) = Pid::from_raw(leader.cast_signed()) else { return };
        let until = Instant::now() + grace;
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let _ = rustix::process::kill_process_group(group, Signal::CONT);
        while Instant::now() < until && rustix::process::test_kill_process_group(group).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.reap();
        }
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }

    /// Ends everything that descends from the agent: asks, waits for `grace`, then freezes and kills until nobody is left.
    pub(crate) async fn end_all(&self, grace: Duration) {
        if !grace.is_zero() {
            self.walk(|process| {
                signal(process.pid, Signal::TERM);
                // A stopped process would sleep through its last chance.
                signal(process.pid, Signal::CONT);
            });
        }
        let until = Instant::now() + grace;
        let mut pause = Duration::from_millis(5);
        let crowd = 2 * self.alive() + 64;
        // Whoever answers by multiplying has had its time.
        while (1..crowd).contains(&self.alive()) && Instant::now() < until {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        for _ in 0..KILL_ROUNDS {
            if self.alive() == 0 {
                self.reap();
                return;
            }
            for pid in self.freeze() {
                signal(pid, Signal::KILL);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.reap();
        }
        tracing::warn!("some of the task's processes cannot be ended");
    }

    /// Stops everybody, so that nobody forks while being killed. Whoever forked before is found by the next pass.
    fn freeze(&self) -> HashSet<i32> {
        self.signal_commands(Signal::STOP);
        if self.alone {
            return self.walk(|_| ()).iter().filter(|process| process.is_alive()).map(|process| process.pid).collect();
        }
        let mut groups = HashSet::from([self.group]);
        let mut frozen = HashSet::new();
        for _ in 0..FREEZE_PASSES {
            let before = frozen.len();
            self.walk(|process| {
                // A group is stopped as one, forks under way included, which a crowd cannot outrun.
                if groups.insert(process.group)
                    && let Some(group) = Pid::from_raw(process.group)
                {
                    let _ = rustix::process::kill_process_group(group, Signal::STOP);
                }
                if process.is_alive() && frozen.insert(process.pid) {
                    signal(process.pid, Signal::STOP);
                }
            });
            if frozen.len() == before {
                break;
            }
        }
        frozen
    }

    /// Signals the commands that are at work with all that they started; without a namespace of the agent's own, only who
    /// did not leave the commands' groups. One call each, however many they are: a crowd leaves no time for more.
    pub(crate) fn signal_commands(&self, signal: Signal) {
        if self.alone {
            // As group 1 this is kill(-1): everybody but the namespace's init and the agent, and none forks meanwhile.
            let _ = rustix::process::kill_process_group(Pid::INIT, signal);
            return;
        }
        for leader in self.own.lock().expect("no panic while locked").iter() {
            if let Some(group) = Pid::from_raw(*leader) {
                let _ = rustix::process::kill_process_group(group, signal);
            }
        }
    }

    /// Whether there may be too many to count while they work. A quick look, which a walk is not.
    pub(crate) fn is_crowd(&self, size: u64) -> bool {
        self.alone && pids().is_some_and(|pids| pids.len() as u64 > size)
    }

    fn alive(&self) -> usize {
        self.walk(|_| ()).iter().filter(|process| process.is_alive()).count()
    }

    /// All descendants. `found` is called for each as soon as it is seen, which matters when they multiply meanwhile.
    fn walk(&self, mut found: impl FnMut(&Process)) -> Vec<Process> {
        let mut family = HashSet::from([self.me]);
        let mut descendants = Vec::new();
        let mut strangers = Vec::new();
        let Ok(entries) = std::fs::read_dir("/proc") else { return descendants };
        // In the order of their numbers, so that mostly parents come first.
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Some(process) = stat(pid) else { continue };
            if family.contains(&process.parent) {
                family.insert(pid);
                found(&process);
                descendants.push(process);
            } else {
                strangers.push(process);
            }
        }
        // Numbers wrap around: a child may have come before its parent.
        loop {
            let (kin, rest): (Vec<_>, Vec<_>) =
                strangers.into_iter().partition(|process| family.contains(&process.parent));
            if kin.is_empty() {
                return descendants;
            }
            for process in kin {
                family.insert(process.pid);
                found(&process);
                descendants.push(process);
            }
            strangers = rest;
        }
    }
}

/// Whether the agent, and an init, are the only processes that can be seen. What the launcher
/// says is not asked: on a machine with others, a signal for all would be a disaster.
fn is_alone(me: i32) -> bool {
    pids().is_some_and(|pids| pids.contains(&me) && pids.iter().all(|pid| *pid == me || *pid == 1))
}

/// Every process that can be seen.
fn pids() -> Option<Vec<i32>> {
    let entries = std::fs::read_dir("/proc").ok()?;
    Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Threads of the whole machine, the task's among them.
pub(crate) fn machine_threads() -> u64 {
    let loadavg = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    parse_loadavg(&loadavg).unwrap_or(0)
}

/// Such as `0.20 0.18 0.12 1/80 11206`.
fn parse_loadavg(loadavg: &str) -> Option<u64> {
    loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// Lowers one of the agent's own soft limits, for a child to inherit. Returns what it was.
fn lower((resource, to): (Resource, u64)) -> (Resource, Rlimit) {
    let before = rustix::process::getrlimit(resource);
    let current = Some(before.current.map_or(to, |limit| limit.min(to)));
    // Below the hard limit, so allowed; were it not, the watchdog still watches.
    let _ = rustix::process::setrlimit(resource, Rlimit { current, maximum: before.maximum });
    (resource, before)
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Whoever has ended meanwhile needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn stat(pid: i32) -> Option<Process> {
    parse_stat(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in parentheses, may hold anything, parentheses too; the numbers follow the last one.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(stat.get(name_end + 2..)?).ok()?.split_ascii_whitespace().collect();
    // `man 5 proc_pid_stat` numbers the state 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |field_number| field(field_number)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        state: *field(3)?.as_bytes().first()?,
        threads: number(20)?,
        ticks: number(14)? + number(15)?,
        child_ticks: number(16)? + number(17)?,
        resident_pages: number(24)?,
    })
}

fn proportional_bytes(process: &Process) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(process.resident_pages * rustix::param::page_size() as u64, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_stat_line() {
        let line = b"7 (a) Z 1 (b) S 42 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 100 1000 99 18446744073709551615";
        let process = parse_stat(7, line).unwrap();
        let expected = Process {
            pid: 7,
            parent: 42,
            group: 7,
            state: b'S',
            threads: 5,
            ticks: 30,
            child_ticks: 70,
            resident_pages: 99,
        };
        assert_eq!(process, expected);
        assert_eq!(parse_stat(7, b"7 (a) S"), None);
    }

    #[test]
    fn with_others_around_nobody_is_alone() {
        assert!(!is_alone(rustix::process::getpid().as_raw_nonzero().get()));
        assert!(!is_alone(1));
    }

    #[test]
    fn the_machine_counts_its_threads() {
        assert_eq!(parse_loadavg("0.20 0.18 0.12 1/80 11206\n"), Some(80));
        assert!(machine_threads() > 0);
    }

    #[test]
    fn a_leader_with_threads_left_is_alive() {
        let process = |state, threads| {
            let line = format!("7 (a) {state} 1 7 7 0 -1 0 1 2 3 4 10 20 30 40 20 0 {threads} 0 100 1000 99 0");
            parse_stat(7, line.as_bytes()).unwrap().is_alive()
        };
        assert_eq!([process('S', 1), process('Z', 1), process('Z', 3)], [true, false, true]);
    }
}
