//! Once a second: what does the task use, and is it within its limits?

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ozma_domain::audit::event::Record;
use ozma_domain::failure::FailureClass;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::clock;
use crate::command;
use crate::disk;
use crate::processes::{self, Usage};
use crate::stop::Stop;

const BEAT: Duration = Duration::from_secs(1);

/// A second is long when somebody forks forever. The machine's own count of threads, which costs nothing to read, is looked
/// at this often. When it leaps, or there is a crowd already, the commands are stopped while they are counted: a crowd
/// leaves no time to count it.
const GLANCE: Duration = Duration::from_millis(200);

/// A glance that took this long is one that had to wait for a crowd.
const CROWDED_OUT: Duration = Duration::from_secs(1);

/// Looking costs this fraction of the time at most.
const COST_SHARE: u32 = 50;

const SAMPLE: Duration = Duration::from_secs(10);

/// The longest time between two measures of the disk, however large the tree.
const DISK_MOST: Duration = Duration::from_secs(60);

/// Less growth than this is not what fills a disk.
const DISK_GROWTH_BYTES: u64 = 1024 * 1024;

/// The last measure of the workspace, for samples in between.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    bytes: AtomicU64,
}

/// How often commands are told again to go on after they were stopped: one that was being forked meanwhile has been seen to
/// get the stop after the others went on.
const THAWS: u32 = 2;

/// Watches for as long as the agent lives, and asks to stop when a limit is broken.
pub(crate) async fn watch(agent: Arc<Agent>) {
    let mut sampled_at = Instant::now();
    let mut cpu_ms = 0;
    let mut leapt = false;
    let mut thaws = 0;
    loop {
        let began = Instant::now();
        let crowded = leapt || agent.processes.is_crowd(agent.config.limits.processes / 4);
        if crowded {
            agent.processes.signal_commands(Signal::STOP);
            thaws = THAWS;
        } else if thaws > 0 {
            thaws -= 1;
            agent.processes.signal_commands(Signal::CONT);
        }
        agent.processes.reap();
        let usage = agent.processes.usage();
        cpu_ms = usage.cpu_ms.max(cpu_ms);
        match broken(&agent, usage) {
            Some(stop) => agent.stop.request(stop),
            None if crowded => agent.processes.signal_commands(Signal::CONT),
            None => {}
        }
        let cost = began.elapsed();
        if sampled_at.elapsed() >= SAMPLE {
            sampled_at = Instant::now();
            sample(&agent, Usage { cpu_ms, ..usage }).await;
        }
        let next = Instant::now() + BEAT.max(cost * COST_SHARE).min(3 * BEAT);
        let limit = agent.config.limits.processes;
        let crowd = processes::machine_threads() + (limit.saturating_sub(usage.threads) / 2).min(limit / 4);
        leapt = false;
        while Instant::now() < next && !leapt {
            let began = Instant::now();
            tokio::time::sleep(GLANCE).await;
            leapt = processes::machine_threads() > crowd || began.elapsed() > CROWDED_OUT;
        }
    }
}

/// Stops the run at its deadline.
pub(crate) async fn watch_deadline(agent: Arc<Agent>) {
    let deadline = agent.assignment.deadline_at;
    loop {
        let left = deadline.as_millisecond() - clock::now().as_millisecond();
        let Ok(left @ 1..) = u64::try_from(left) else { break };
        // In steps, because the time of day may be set while the agent sleeps.
        tokio::time::sleep(Duration::from_millis(left).min(Duration::from_secs(30))).await;
    }
    let message = format!("stopped at its deadline of {deadline}");
    agent.stop.request(Stop::Failed { class: FailureClass::DeadlineReached, message });
}

/// Stops the run when cloning and setting up take too long together. To be dropped when they are done.
pub(crate) async fn watch_setup(agent: &Agent) -> Infallible {
    let Some(seconds) = agent.assignment.setup_seconds else { return std::future::pending().await };
    let longest = Duration::from_secs(seconds);
    tokio::time::sleep(longest).await;
    let longest = command::span(longest);
    let message =
        format!("cloning and setting up did not end within the {longest} that the run allows (setup_seconds)");
    agent.stop.request(Stop::Failed { class: FailureClass::SetupFailed, message });
    std::future::pending().await
}

/// Stops the run when its task has been silent for too long, see [`crate::activity`]. To be dropped when it has ended.
pub(crate) async fn watch_idle(agent: &Agent) -> Infallible {
    let Some(seconds) = agent.assignment.idle_seconds else { return std::future::pending().await };
    let longest = Duration::from_secs(seconds);
    // The task gets its whole time however long ago the set-up commands printed something.
    agent.activity.sign();
    loop {
        let left = longest.saturating_sub(agent.activity.silent_for());
        if left.is_zero() {
            break;
        }
        // In steps, because silence that is held up does not count down.
        tokio::time::sleep(left.min(BEAT)).await;
    }
    let longest = command::span(longest);
    let message = format!("the task gave no sign of life for the {longest} that the run allows (idle_seconds)");
    agent.stop.request(Stop::Failed { class: FailureClass::IdleTooLong, message });
    std::future::pending().await
}

/// Measures the workspace, the less often the more there is to walk.
pub(crate) async fn watch_disk(agent: Arc<Agent>) {
    let mut before = measure(&agent).await;
    let mut pause = BEAT;
    let mut free_then = disk::free_bytes(agent.workspace.root());
    loop {
        let next = Instant::now() + pause;
        let limit = disk_limit(&agent);
        let (used, cost) = loop {
            tokio::time::sleep(BEAT.min(next.saturating_duration_since(Instant::now()))).await;
            let free = disk::free_bytes(agent.workspace.root());
            // Somebody wrote much, or there is little left: is it this workspace?
            let alarmed = free_then.saturating_sub(free) > limit / 4 || free < agent.config.limits.disk_free_min_bytes;
            if alarmed || Instant::now() >= next {
                free_then = free;
                let began = Instant::now();
                break (measure(&agent).await, began.elapsed());
            }
        };
        if let Some(stop) = disk_broken(&agent, used, before) {
            agent.stop.request(stop);
        }
        before = used;
        pause = (cost * COST_SHARE).clamp(BEAT, DISK_MOST);
    }
}

/// After the harness: did it end because it broke a limit of the disk? A file may be as large as the disk of the plan
/// and no larger, so that a task may see that limit before the watchdog does.
pub(crate) async fn disk_after(agent: &Arc<Agent>) -> Option<Stop> {
    let used = measure(agent).await;
    disk_broken(agent, used + DISK_GROWTH_BYTES, 0)
}

pub(crate) async fn sample_now(agent: &Arc<Agent>) {
    let usage = agent.processes.usage();
    sample(agent, usage).await;
}

async fn sample(agent: &Agent, usage: Usage) {
    let wall = agent.started.elapsed();
    agent
        .recorder
        .record(Record::Resources {
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            cpu_ms: usage.cpu_ms,
            memory_bytes: usage.memory_bytes,
            disk_bytes: agent.disk.bytes.load(Ordering::Relaxed),
            processes: usage.processes,
        })
        .await;
}

fn broken(agent: &Agent, usage: Usage) -> Option<Stop> {
    let class = FailureClass::OutOfMemory;
    let processes = agent.config.limits.processes;
    if usage.threads > processes {
        return Some(Stop::Failed {
            class,
            message: format!("the task started more than {processes} processes and threads"),
        });
    }
    let mib = agent.assignment.size.memory_mib;
    // The quick sum counts what processes share for each of them.
    if usage.memory_bytes > mib << 20 && agent.processes.proportional_memory_bytes() > mib << 20 {
        return Some(Stop::Failed {
            class,
            message: format!("the task used more than the {mib} MiB of memory of its plan"),
        });
    }
    None
}

fn disk_limit(agent: &Agent) -> u64 {
    agent.assignment.size.disk_mib << 20
}

fn disk_broken(agent: &Agent, used: u64, before: u64) -> Option<Stop> {
    let class = FailureClass::DiskFull;
    if used > disk_limit(agent) {
        let mib = agent.assignment.size.disk_mib;
        return Some(Stop::Failed {
            class,
            message: format!("the workspace took more than the {mib} MiB of disk of its plan"),
        });
    }
    let free = disk::free_bytes(agent.workspace.root());
    if free < agent.config.limits.disk_free_min_bytes && used > before + DISK_GROWTH_BYTES {
        let message = format!("the disk is nearly full ({} MiB left) and the task keeps writing", free >> 20);
        return Some(Stop::Failed { class, message });
    }
    None
}

async fn measure(agent: &Arc<Agent>) -> u64 {
    let root = agent.workspace.root().to_owned();
    let bytes = tokio::task::spawn_blocking(move || disk::usage_bytes(&root)).await.unwrap_or(0);
    agent.disk.bytes.store(bytes, Ordering::Relaxed);
    bytes
}
