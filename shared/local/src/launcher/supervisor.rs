//! Knows which agents live, sees each of them end, and clears up after it, exactly once. Agents outlive the control
//! plane; what it must know of them is in their records.

use std::collections::HashMap;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ozma_domain::id::{ExecutionId, TeamId};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::container::Engine;
use super::process;
use super::record::{Body, Ended, Folder, Identity, Record};
use super::{limits, workspace};

/// Tells the engine that an agent has ended, and how.
pub type OnExit = UnboundedSender<(ExecutionId, Option<String>)>;

/// How often a log is looked at, and a process that cannot be waited for.
const LOG_LOOK: Duration = Duration::from_secs(10);
const PROCESS_LOOK: Duration = Duration::from_millis(250);

/// How long an agent that is just being started may take until it can be asked to end.
const ASK: Duration = Duration::from_secs(1);

/// From one SIGKILL to the next, should the first not have met everything.
const KILL_AGAIN: Duration = Duration::from_secs(2);
const KILLS: u32 = 15;

/// Ended executions between two looks at how many logs are kept.
const PRUNE_EVERY: u32 = 16;

pub(super) struct Supervisor {
    data_dir: PathBuf,
    grace: Duration,
    on_exit: OnExit,
    running: Mutex<HashMap<ExecutionId, Arc<Running>>>,
    ended: AtomicU32,
    /// Holds a token for each ended execution whose workspace is still to be removed.
    pub(super) clearing: TaskTracker,
    /// Cancelled when the launcher is dropped: agents live on, watched by nobody until the next one adopts them.
    pub(super) left: CancellationToken,
}

/// An execution whose agent lives.
pub(super) struct Running {
    pub record: Record,
    stopping: AtomicBool,
    /// Cancelled when nothing of it is left but files.
    pub gone: CancellationToken,
}

impl Supervisor {
    pub(super) fn new(data_dir: PathBuf, grace: Duration, on_exit: OnExit) -> Arc<Self> {
        Arc::new(Self {
            data_dir,
            grace,
            on_exit,
            running: Mutex::default(),
            ended: AtomicU32::new(0),
            clearing: TaskTracker::new(),
            left: CancellationToken::new(),
        })
    }

    pub(super) fn executions_dir(&self) -> PathBuf {
        self.data_dir.join("executions")
    }

    fn trash(&self) -> PathBuf {
        self.data_dir.join("trash")
    }

    pub(super) fn folder(&self, execution: ExecutionId) -> Folder {
        Folder(self.executions_dir().join(execution.to_string()))
    }

    pub(super) fn running(&self, execution: ExecutionId) -> Option<Arc<Running>> {
        self.lock().get(&execution).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Running>> {
        self.lock().values().cloned().collect()
    }

    /// Who else still holds the slot.
    pub(super) fn in_slot(&self, team: &TeamId, slot: u16, but: ExecutionId) -> Option<Arc<Running>> {
        let holds = |record: &Record| record.team == *team && record.slot == slot && record.execution != but;
        self.lock().values().find(|running| holds(&running.record)).cloned()
    }

    /// Watches from now on, until the end.
    pub(super) fn watch(self: &Arc<Self>, record: Record, child: Option<Child>) {
        let running = Running { record, stopping: AtomicBool::new(false), gone: CancellationToken::new() };
        let running = Arc::new(running);
        self.lock().insert(running.record.execution, running.clone());
        let supervisor = self.clone();
        self.spawn(async move {
            let reason = match &running.record.body {
                Body::Process { process, .. } => supervisor.process_ended(&running.record, process, child).await,
                Body::Container { name, engine } => supervisor.container_ended(&running.record, name, engine).await,
            };
            let _clearing = supervisor.clearing.token();
            supervisor.settle(&running.record, reason).await;
            running.gone.cancel();
            supervisor.clear_up(running.record.execution).await;
        });
    }

    /// Asks to finalise, and kills after the grace. Returns at once; a second order changes nothing.
    pub(super) fn stop(self: &Arc<Self>, running: &Arc<Running>) {
        if running.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let (supervisor, running) = (self.clone(), running.clone());
        self.spawn(async move {
            if supervisor.ask_to_end(&running).await {
                let _ = tokio::time::timeout(supervisor.grace, running.gone.cancelled()).await;
            }
            supervisor.kill(&running).await;
        });
    }

    /// Kills, again and again if need be.
    pub(super) async fn kill(&self, running: &Running) {
        for attempt in 0..KILLS {
            if running.gone.is_cancelled() {
                return;
            }
            if attempt > 0 {
                tracing::warn!(execution.id = %running.record.execution, attempt, "an agent outlives SIGKILL");
            }
            self.kill_once(&running.record).await;
            let _ = tokio::time::timeout(KILL_AGAIN, running.gone.cancelled()).await;
        }
    }

    /// The end of an execution: told on, and written down.
    pub(super) async fn settle(&self, record: &Record, reason: Option<String>) {
        let execution = record.execution;
        tracing::info!(execution.id = %execution, reason, "an agent has ended");
        let (folder, trash) = (self.folder(execution), self.trash());
        let ended = Record { ended: Some(Ended { reason: reason.clone() }), ..record.clone() };
        let written = blocking(move || {
            // On a disk that the task has filled there is room to write only when its files are gone.
            if ended.write(&folder).is_err() {
                workspace::remove_at_once(&folder);
                ended.write(&folder)?;
            }
            workspace::discard(&folder, &trash)
        });
        if let Some(Err(error)) = written.await {
            tracing::warn!(execution.id = %execution, %error, "could not put an ended execution away");
        }
        self.lock().remove(&execution);
        // Nobody listens when the control plane is being stopped.
        let _ = self.on_exit.send((execution, reason));
    }

    /// Removes the workspace, and the oldest logs now and then.
    pub(super) async fn clear_up(&self, execution: ExecutionId) {
        let (trash, executions) = (self.trash(), self.executions_dir());
        let prune = self.ended.fetch_add(1, Ordering::Relaxed).is_multiple_of(PRUNE_EVERY);
        blocking(move || {
            workspace::empty_trash(&trash, Some(&execution.to_string()));
            if prune {
                workspace::prune(&executions);
            }
        })
        .await;
    }

    /// Finds the agents of an earlier control plane: watches those that live, settles those that ended meanwhile. Without
    /// an engine's answer a container counts as alive, and is asked after again and again.
    pub(super) async fn adopt(self: &Arc<Self>, engines: &[PathBuf]) {
        let (executions, trash) = (self.executions_dir(), self.trash());
        let records = blocking(move || {
            workspace::empty_trash(&trash, None);
            records(&executions)
        });
        for (folder, execution, record) in records.await.unwrap_or_default() {
            if self.running(execution).is_some() {
                continue;
            }
            match record {
                Some(record) if record.ended.is_none() => {
                    let alive = match &record.body {
                        Body::Process { process, .. } => process.alive(),
                        Body::Container { name, engine } => match Engine::at(engine).await {
                            Some(engine) => engine.running(name).await.unwrap_or(true),
                            None => true,
                        },
                    };
                    if alive {
                        tracing::info!(execution.id = %execution, "an agent lives on from before");
                        self.watch(record, None);
                    } else {
                        self.kill_once(&record).await;
                        self.release(&record).await;
                        let reason = self.reason_unseen(&record).await;
                        self.settle(&record, reason).await;
                        self.clear_up(execution).await;
                    }
                }
                // Killed in the middle of starting or of clearing up.
                Some(_) | None => {
                    let trash = self.trash();
                    blocking(move || {
                        if workspace::discard(&folder, &trash).is_ok() && Record::read(&folder).is_none() {
                            let _ = std::fs::remove_dir_all(&folder.0);
                        }
                        workspace::empty_trash(&trash, Some(&execution.to_string()));
                    })
                    .await;
                }
            }
        }
        for socket in engines {
            let Some(engine) = Engine::at(socket).await else { continue };
            for execution in engine.list(&self.data_dir).await.unwrap_or_default() {
                if self.running(execution).is_none() {
                    engine.remove(&super::container::name(execution)).await;
                }
            }
        }
    }

    async fn process_ended(&self, record: &Record, process: &Identity, mut child: Option<Child>) -> Option<String> {
        let folder = self.folder(record.execution);
        let exit = wait(process);
        tokio::pin!(exit);
        loop {
            match tokio::time::timeout(LOG_LOOK, &mut exit).await {
                Ok(()) => break,
                Err(_) => {
                    let folder = folder.clone();
                    blocking(move || workspace::bound_log(&folder)).await;
                }
            }
        }
        // Before the process is reaped: until then nobody else can get its number.
        self.kill_once(record).await;
        let status = match &mut child {
            Some(child) => child.wait().await.ok(),
            None => None,
        };
        self.release(record).await;
        let Some(status) = status else { return self.reason_unseen(record).await };
        let failure = if status.success() { None } else { workspace::failure_to_start(&folder) };
        let exit = process::exit(status);
        Some(failure.map_or(exit.clone(), |failure| format!("{exit}: {failure}")))
    }

    async fn container_ended(&self, record: &Record, name: &str, socket: &Path) -> Option<String> {
        let engine = loop {
            match Engine::at(socket).await {
                Some(engine) => break engine,
                None => tokio::time::sleep(Duration::from_secs(2)).await,
            }
        };
        let reason = engine.ended(name).await;
        let log = engine.log(name).await;
        if let Err(error) =
            workspace::open_log(&self.folder(record.execution)).and_then(|mut file| file.write_all(&log))
        {
            tracing::warn!(%error, "could not keep a container's log");
        }
        engine.remove(name).await;
        reason
    }

    /// The reason of an end that somebody else saw.
    async fn reason_unseen(&self, record: &Record) -> Option<String> {
        let meanwhile = "ended while the control plane was away";
        match &record.body {
            Body::Process { .. } => process::recorded_exit(&self.folder(record.execution)),
            Body::Container { name, engine } => {
                let engine = Engine::at(engine).await?;
                let reason = tokio::time::timeout(Duration::from_secs(5), engine.ended(name)).await.ok().flatten();
                engine.remove(name).await;
                reason
            }
        }
        .or_else(|| Some(meanwhile.to_owned()))
    }

    async fn ask_to_end(&self, running: &Running) -> bool {
        match &running.record.body {
            Body::Process { process, .. } => {
                let ask = || {
                    let folder = self.folder(running.record.execution);
                    let (process, isolation) = (process.clone(), running.record.isolation);
                    blocking(move || process::ask_to_end(&process, isolation, &folder))
                };
                let deadline = tokio::time::Instant::now() + ASK;
                while tokio::time::Instant::now() < deadline && !running.gone.is_cancelled() {
                    if ask().await == Some(true) {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                false
            }
            Body::Container { name, engine } => match Engine::at(engine).await {
                Some(engine) => {
                    engine.signal(name, "SIGTERM").await;
                    true
                }
                None => false,
            },
        }
    }

    async fn kill_once(&self, record: &Record) {
        let execution = record.execution;
        match record.body.clone() {
            Body::Process { process, cgroups } => {
                let folder = self.folder(execution);
                blocking(move || {
                    process::kill_tree(execution, &process, &cgroups, &folder);
                    process.signal(Signal::KILL);
                })
                .await;
            }
            Body::Container { name, engine } => {
                if let Some(engine) = Engine::at(&engine).await {
                    engine.signal(&name, "SIGKILL").await;
                }
            }
        }
    }

    /// Gives back what the limits took.
    async fn release(&self, record: &Record) {
        if let Body::Process { cgroups, .. } = record.body.clone() {
            blocking(move || limits::remove(&cgroups)).await;
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let left = self.left.clone();
        tokio::spawn(async move { left.run_until_cancelled(task).await });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the process has ended, be it a child or not.
async fn wait(process: &Identity) {
    let Some(handle) = process.open() else {
        // No such process, or a kernel without handles.
        while process.alive() {
            tokio::time::sleep(PROCESS_LOOK).await;
        }
        return;
    };
    #[expect(deprecated, reason = "its successor is unsafe for kinds of handle that may close early; this one owns it")]
    let handle = AsyncFd::with_interest(handle, Interest::READABLE);
    match handle {
        Ok(handle) => {
            let _ = handle.readable().await;
        }
        Err(_) => {
            while process.alive() {
                tokio::time::sleep(PROCESS_LOOK).await;
            }
        }
    }
}

fn records(executions: &Path) -> Vec<(Folder, ExecutionId, Option<Record>)> {
    let Ok(entries) = std::fs::read_dir(executions) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let execution: ExecutionId = entry.file_name().to_str()?.parse().ok()?;
        let folder = Folder(entry.path());
        let record = Record::read(&folder).filter(|record| record.execution == execution);
        Some((folder, execution, record))
    });
    found.collect()
}

/// File and process work off the async threads. None only if the runtime is being shut down.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
