//! Processes, as the kernel tells of them.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ozma_domain::id::ExecutionId;
use rustix::process::{Pid, Signal, kill_process};

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All its pages in memory.
    pub(crate) resident: u64,
    /// Pages shared with others counted in part.
    pub(crate) proportional: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        Self { resident: kilobytes("Rss:") * 1024, proportional: kilobytes("Pss:") * 1024 }
    }
}

/// Counts the agents of a control plane again and again, and keeps the largest number.
pub(crate) struct AgentCounter {
    most: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl AgentCounter {
    pub(crate) fn start(control_plane: u32, every: Duration) -> Self {
        let (most, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (most, stop) = (most.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(agents(control_plane).len(), Ordering::Relaxed);
                    std::thread::sleep(every);
                }
            }
        });
        Self { most, stop, thread }
    }

    pub(crate) fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.most.load(Ordering::Relaxed)
    }
}

/// The `oz agent-process` processes among the descendants of `ancestor`: those of other control planes do not count.
pub(crate) fn agents(ancestor: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let descends = |mut pid: u32| {
        while let Some(parent) = parents.get(&pid) {
            if *parent == ancestor {
                return true;
            }
            pid = *parent;
        }
        false
    };
    // What an agent starts looks like the agent until it becomes another program.
    let counts = |pid: u32, parent: u32| descends(pid) && is_agent(pid) && !is_agent(parent);
    parents.iter().filter(|(pid, parent)| counts(**pid, **parent)).map(|(pid, _)| *pid).collect()
}

/// `kill -9` of an agent that was among [`agents`]; the execution it worked on. None: it has ended by now.
pub(crate) fn kill_agent(pid: u32) -> Option<ExecutionId> {
    let variables = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = variables.split(|byte| *byte == 0);
    let execution = variables.find_map(|variable| variable.strip_prefix(b"OZ_EXECUTION_ID="))?;
    let execution = std::str::from_utf8(execution).ok()?.parse().ok()?;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| is_agent(pid))?;
    kill_process(process, Signal::KILL).ok().map(|()| execution)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; after the last bracket come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_agent(pid: u32) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
    // `sh`, `bwrap` and the like carry the same words further behind.
    matches!(arguments[..], [program, b"agent-process", b""] if program.ends_with(b"/oz"))
}
