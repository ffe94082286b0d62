//! One command: started clean, its output streamed, ended when it must, told about in the trail.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ozma_domain::audit::event::{Phase, Record, Stream};
use ozma_domain::failure::FailureClass;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::activity::Activity;
use crate::agent::{Agent, Ending};
use crate::output::Output;
use crate::variables::Variables;

const READ_BYTES: usize = 64 * 1024;

const SPAWN_TRIES: usize = 20;
const SPAWN_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Spec<'a> {
    pub(crate) phase: Phase,
    pub(crate) program: &'a Path,
    /// With the program's name first, as the trail shows it.
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: &'a Path,
    pub(crate) variables: &'a Variables,
    pub(crate) longest: Option<Duration>,
    /// What becomes of processes that the command leaves behind.
    pub(crate) leftovers: Leftovers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Kept, as long as they do not hold the command's output open: a set-up command may start a service.
    Kept,
    /// Ended: the work is done.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) how: How,
    /// The last words on each stream, masked.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Code(i32),
    Signal(i32),
    TooLong,
}

/// Who ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Itself,
    Stop,
    Clock,
}

/// Runs a command to its end, or until the run is to stop.
pub(crate) async fn run(agent: &Agent, spec: Spec<'_>) -> Result<Finished, Ending> {
    if agent.stop.reason().is_some() {
        return Err(Ending::Stopped);
    }
    agent.workspace.prepare().map_err(|err| workspace_gone(agent, &err))?;
    let mut command = Command::new(spec.program);
    command.args(&spec.argv[1..]).current_dir(spec.cwd).env_clear().envs(spec.variables);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(agent, &mut command).await.map_err(|err| cannot_start(&spec, &err))?;
    let began = Instant::now();
    let leader = child.id().unwrap_or_default();
    let number = agent.next_command();
    let started = Record::CommandStarted {
        command: number,
        phase: spec.phase,
        argv: spec.argv.clone(),
        cwd: spec.cwd.to_string_lossy().into_owned(),
    };
    agent.recorder.record(started).await;

    let output = Arc::new(Mutex::new(Output::new(number, agent.recorder.clone(), agent.client.clone())));
    let mut readers = Readers::of(agent);
    readers.start(Stream::Stdout, child.stdout.take(), &output);
    readers.start(Stream::Stderr, child.stderr.take(), &output);

    let grace = agent.config.limits.task_grace;
    let (status, by) = tokio::select! {
        status = child.wait() => (status, By::Itself),
        stop = agent.stop.requested() => {
            agent.processes.end_all(stop.grace(grace)).await;
            (child.wait().await, By::Stop)
        }
        () = or_never(spec.longest) => {
            let ((), status) = tokio::join!(agent.processes.end_group(leader, grace), child.wait());
            (status, By::Clock)
        }
    };
    let duration = began.elapsed();
    agent.processes.forget(leader);

    readers.join(agent.config.limits.drain).await;
    if spec.leftovers == Leftovers::Ended {
        tokio::select! {
            () = agent.processes.end_all(grace) => {}
            // Whoever stops the run has the shorter patience.
            stop = agent.stop.requested() => agent.processes.end_all(stop.grace(grace)).await,
        }
    } else if !readers.ended() {
        agent.processes.end_group(leader, Duration::ZERO).await;
    }
    readers.join_or_give_up().await;

    // The readers have ended, so that nobody else holds the output.
    let Some(output) = Arc::into_inner(output) else {
        return Err(Ending::failed(FailureClass::AgentFailed, "the agent lost track of a command's output"));
    };
    let printed = output.into_inner().finish().await;
    let status = status.map_err(|err| {
        Ending::failed(FailureClass::AgentFailed, format!("the agent could not wait for a command: {err}"))
    })?;
    let (exit_code, signal) = ended(status);
    agent
        .recorder
        .record(Record::CommandEnded {
            command: number,
            exit_code,
            signal,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            stdout: printed.stdout,
            stderr: printed.stderr,
        })
        .await;

    let how = match (by, exit_code) {
        (By::Stop, _) => return Err(Ending::Stopped),
        (By::Clock, _) => How::TooLong,
        (By::Itself, Some(code)) => How::Code(code),
        (By::Itself, None) => How::Signal(signal.unwrap_or_default()),
    };
    Ok(Finished { how, stdout: printed.stdout_end, stderr: printed.stderr_end })
}

/// Somebody else's crowd of processes may be why there is no room for one more; it passes.
async fn spawn(agent: &Agent, command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..SPAWN_TRIES {
        match agent.processes.spawn(command) {
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => tokio::time::sleep(SPAWN_PAUSE).await,
            answer => return answer,
        }
    }
    agent.processes.spawn(command)
}

impl How {
    /// As the end of a sentence about a command.
    pub(crate) fn words(self, longest: Option<Duration>) -> String {
        match self {
            Self::Code(code) => format!("failed with exit code {code}"),
            Self::Signal(signal) => format!("was ended by signal {signal}{}", signal_name(signal)),
            Self::TooLong => format!("did not end within {}", span(longest.unwrap_or_default())),
        }
    }
}

pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ: a file larger than the disk of its plan)",
        _ => "",
    }
}

fn ended(status: ExitStatus) -> (Option<i32>, Option<i32>) {
    use std::os::unix::process::ExitStatusExt as _;
    (status.code(), status.signal())
}

async fn or_never(longest: Option<Duration>) {
    match longest {
        Some(longest) => tokio::time::sleep(longest).await,
        None => std::future::pending().await,
    }
}

/// The tasks that read a command's two streams.
struct Readers {
    tasks: JoinSet<()>,
    /// How many are at work on what they read, rather than waiting for more.
    busy: Arc<AtomicUsize>,
    activity: Arc<Activity>,
}

impl Readers {
    fn of(agent: &Agent) -> Self {
        Self { tasks: JoinSet::new(), busy: Arc::default(), activity: agent.activity.clone() }
    }

    fn start(
        &mut self,
        stream: Stream,
        pipe: Option<impl AsyncRead + Unpin + Send + 'static>,
        output: &Arc<Mutex<Output>>,
    ) {
        let Some(mut pipe) = pipe else { return };
        let output = output.clone();
        let busy = self.busy.clone();
        let activity = self.activity.clone();
        self.tasks.spawn(async move {
            let mut buffer = vec![0; READ_BYTES];
            // An error on a pipe is its end.
            while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
                busy.fetch_add(1, Ordering::Relaxed);
                activity.during(async { output.lock().await.push(stream, &buffer[..read]).await }).await;
                busy.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    fn ended(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the end of both streams, at most for `patience`.
    async fn join(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    /// The command and its kin are gone. What they wrote is read to the end, however slowly it is sent; a stream that is
    /// silent and still open is in the hands of a stranger.
    async fn join_or_give_up(&mut self) {
        let mut silent = 0;
        while !self.ended() && silent < 5 {
            self.join(Duration::from_millis(200)).await;
            silent = if self.busy.load(Ordering::Relaxed) == 0 { silent + 1 } else { 0 };
        }
        self.tasks.shutdown().await;
    }
}

fn cannot_start(spec: &Spec<'_>, err: &std::io::Error) -> Ending {
    let name = &spec.argv[0];
    let (class, why) = match err.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::TOOBIG) => {
            (FailureClass::SetupFailed, "the environment's variables and secrets are too large together".to_owned())
        }
        Some(rustix::io::Errno::NOENT) if !spec.cwd.is_dir() => {
            (FailureClass::SetupFailed, format!("the folder {} is gone; did a command delete it?", spec.cwd.display()))
        }
        Some(rustix::io::Errno::NOENT) if spec.program.exists() => {
            (FailureClass::ImageUnusable, "this image lacks the libraries that it needs".to_owned())
        }
        Some(rustix::io::Errno::NOEXEC) => {
            (FailureClass::ImageUnusable, "this image is of another processor architecture".to_owned())
        }
        Some(rustix::io::Errno::AGAIN) => {
            (FailureClass::OutOfMemory, "there are too many processes already".to_owned())
        }
        _ => (FailureClass::ImageUnusable, err.to_string()),
    };
    Ending::failed(class, format!("{name} could not be started: {why}"))
}

fn workspace_gone(agent: &Agent, err: &std::io::Error) -> Ending {
    let full = err.raw_os_error().map(rustix::io::Errno::from_raw_os_error) == Some(rustix::io::Errno::NOSPC);
    let class = if full { FailureClass::DiskFull } else { FailureClass::SetupFailed };
    Ending::failed(class, format!("the workspace {} is not usable any more: {err}", agent.workspace.root().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_as_sentences() {
        let words = |how: How| how.words(Some(Duration::from_secs(1800)));
        assert_eq!(words(How::Code(3)), "failed with exit code 3");
        assert_eq!(words(How::Signal(9)), "was ended by signal 9 (SIGKILL)");
        assert_eq!(words(How::Signal(42)), "was ended by signal 42");
        assert_eq!(words(How::TooLong), "did not end within 30 minutes");
        assert_eq!(How::TooLong.words(Some(Duration::from_secs(5))), "did not end within 5 s");
    }
}
