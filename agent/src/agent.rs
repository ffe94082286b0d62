//! An agent's life: claim, prepare, work, settle, report.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ozma_domain::audit::event::Record;
use ozma_domain::failure::FailureClass;
use ozma_domain::limits::{PROCESSES_ROOM, STATUS_CHARS};
use ozma_domain::mask::Masker;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Assignment, Claim, Report};
use ozma_domain::run::Isolation;
use ozma_domain::state::{RunEvent, RunState};
use ozma_domain::text;
use ozma_domain::token::ExecutionToken;
use rustix::process::DumpableBehavior;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::activity::Activity;
use crate::changes::Baseline;
use crate::client::{CallError, Client, Heard};
use crate::config::AgentConfig;
use crate::harness::{self, Task};
use crate::preflight::{Programs, preflight};
use crate::processes::Processes;
use crate::pull_requests::PullRequests;
use crate::recorder::{Recorder, masked_outcome};
use crate::saving::{Before, Checkout};
use crate::segments::{Closed, Segments};
use crate::stop::{Stop, Stopper};
use crate::usage::Meter;
use crate::variables::Variables;
use crate::workspace::{self, Workspace};
use crate::{
    aws_credentials, clone, git, git_credentials, identity, messages, pull_requests, random, restoring, saving, setup,
    usage, variables, watchdog,
};

/// How long the changed files may be hashed: at the end of a run, and when it was stopped and time is short.
const HASHING: Duration = Duration::from_secs(30);
const HASHING_STOPPED: Duration = Duration::from_secs(1);

/// What a set-up command left running gets at the end of a run that never reached its harness.
const LEFTOVERS_GRACE: Duration = Duration::from_secs(1);

/// Everything that the parts of an agent share.
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    pub(crate) assignment: Assignment,
    pub(crate) workspace: Workspace,
    pub(crate) client: Arc<Client>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) segments: Segments,
    pub(crate) stop: Arc<Stopper>,
    pub(crate) processes: Processes,
    pub(crate) disk: watchdog::Disk,
    pub(crate) activity: Arc<Activity>,
    pub(crate) usage: Meter,
    pub(crate) pull_requests: PullRequests,
    /// Where the environment names a role.
    pub(crate) aws_credentials: Option<aws_credentials::Endpoint>,
    /// Where there is a repository that a token could be for.
    pub(crate) git_credentials: Option<git_credentials::Endpoint>,
    pub(crate) started: Instant,
    commands: AtomicU32,
}

/// Why a run ends before its harness says how.
#[derive(Debug)]
pub(crate) enum Ending {
    Failed(FailureClass, String),
    /// Somebody asked; [`Stopper`] knows why.
    Stopped,
}

/// Why an agent ends without having reported.
#[derive(Debug, thiserror::Error)]
pub enum NotReported {
    #[error("the agent could not start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the agent was told to stop before it had claimed its execution")]
    Interrupted,
    #[error("the execution could not be claimed")]
    Claim(#[source] CallError),
    #[error("stopped without a report")]
    Lost(#[source] CallError),
}

impl NotReported {
    /// Whether the execution was claimed.
    pub fn had_begun(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

/// Claims the execution, does its work and reports. Returns what was reported.
pub async fn run(config: AgentConfig) -> Result<Outcome, NotReported> {
    keep_to_oneself();
    let agent = claim(config).await?;
    let mut company = JoinSet::new();
    company.spawn(watchdog::watch(agent.clone()));
    company.spawn(watchdog::watch_deadline(agent.clone()));
    company.spawn(watchdog::watch_disk(agent.clone()));
    company.spawn(messages::deliver(agent.clone()));
    company.spawn(usage::watch(agent.clone()));
    company.spawn(pull_requests::watch(agent.clone()));
    company.spawn(aws_credentials::serve(agent.clone()));
    company.spawn(git_credentials::serve(agent.clone()));

    let mut before = None;
    let outcome = match work(&agent, &mut before).await {
        Ok(outcome) => Some(outcome),
        Err(Ending::Failed(class, message)) => Some(Outcome::failed(class, message)),
        Err(Ending::Stopped) => None,
    };
    settle(&agent, outcome, before, company).await.map_err(NotReported::Lost)
}

impl Agent {
    pub(crate) fn next_command(&self) -> u32 {
        self.commands.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Where commands run: in the repository if there is exactly one, else beside them all.
    fn cwd(&self) -> PathBuf {
        match &self.assignment.repositories[..] {
            [repository] => self.workspace.work().join(repository.url.directory()),
            _ => self.workspace.work(),
        }
    }
}

impl Ending {
    pub(crate) fn failed(class: FailureClass, message: impl Into<String>) -> Self {
        Self::Failed(class, message.into())
    }
}

/// The task runs as the same user: it must not read the agent's memory, nor share its terminal, nor leave processes
/// behind that nobody knows. None of these is refused on a Linux of this decade; were one, the rest still holds.
fn keep_to_oneself() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    // Refused when the launcher has made a session or a group already.
    let _ = rustix::process::setsid();
}

async fn claim(config: AgentConfig) -> Result<Arc<Agent>, NotReported> {
    let cannot = |err: Box<dyn std::error::Error + Send + Sync>| NotReported::Start(err);
    let stop = Arc::new(Stopper::new());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let signal = signal(kind).map_err(|err| cannot(err.into()))?;
        tokio::spawn(obey(signal, stop.clone()));
    }

    let token = ExecutionToken::new(random::bytes().map_err(|err| cannot(err.into()))?);
    let claim = Claim {
        claim_token: config.claim_token.expose_secret().to_owned(),
        execution_token: token.expose().to_owned(),
        isolation: config.isolation,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let heard = Heard { stop: stop.clone(), watched: watch::Sender::new(false), messages: Notify::new() };
    let client = Client::new(&config.control, config.execution, token.clone(), config.limits.claim, heard);
    let client = Arc::new(client.map_err(|err| cannot(err.into()))?);
    let assignment = tokio::select! {
        assignment = client.claim(&claim) => assignment.map_err(NotReported::Claim)?,
        _ = stop.requested() => return Err(NotReported::Interrupted),
    };
    client.heard_message(&assignment.last_message);

    let recorder = Arc::new(Recorder::new(masker(&assignment, &token)));
    let segments = Segments::start(client.clone(), recorder.clone(), stop.clone(), assignment.heartbeat_seconds);
    // In a namespace of its own the limit counts the task alone; elsewhere all else that the user runs counts too.
    let processes = match config.isolation {
        Isolation::Process => u64::MAX,
        Isolation::Bubblewrap | Isolation::Container | Isolation::Fargate => config.limits.processes + PROCESSES_ROOM,
    };
    let aws_credentials = match assignment.aws_role {
        true => Some(aws_credentials::Endpoint::open(&recorder).await.map_err(|err| cannot(err.into()))?),
        false => None,
    };
    let git_credentials = git_credentials::Endpoint::open(&recorder, &assignment.repositories).await;
    let git_credentials = git_credentials.map_err(|err| cannot(err.into()))?;
    let file_bytes = assignment.size.disk_mib << 20;
    let workspace = Workspace::new(config.workspace.clone(), config.program.clone());
    Ok(Arc::new(Agent {
        usage: Meter::new(workspace.usage()),
        pull_requests: PullRequests::new(workspace.pull_requests()),
        workspace,
        client,
        recorder,
        segments,
        stop,
        processes: Processes::new(file_bytes, processes),
        disk: watchdog::Disk::default(),
        activity: Arc::new(Activity::new()),
        aws_credentials,
        git_credentials,
        started: Instant::now(),
        commands: AtomicU32::new(0),
        config,
        assignment,
    }))
}

/// Every value that must not leave, the agent's own token among them.
fn masker(assignment: &Assignment, token: &ExecutionToken) -> Masker {
    let secrets = assignment.secrets.values().map(String::as_str);
    let values = secrets.chain(git::passwords(&assignment.secrets)).chain([token.expose()]);
    Masker::new(&values.map(SecretString::from).collect::<Vec<_>>())
}

async fn obey(mut signal: Signal, stop: Arc<Stopper>) {
    while signal.recv().await.is_some() {
        stop.request(Stop::Interrupted);
    }
}

/// From the claim to the harness's last word. On a task of its own, so that a panic is an outcome too.
async fn work(agent: &Arc<Agent>, before: &mut Option<Before>) -> Result<Outcome, Ending> {
    let prepared = tokio::spawn(prepare(agent.clone())).await.map_err(|err| bug(&err))?;
    let (programs, variables, prepared) = prepared?;
    *before = Some(prepared);
    tokio::spawn(run_harness(agent.clone(), programs, variables)).await.map_err(|err| bug(&err))?
}

fn bug(err: &tokio::task::JoinError) -> Ending {
    tracing::error!("the agent panicked: {err}");
    Ending::failed(FailureClass::AgentFailed, "the agent itself failed; this is a bug in Ozma, and its log says more")
}

async fn prepare(agent: Arc<Agent>) -> Result<(Programs, Variables, Before), Ending> {
    agent.recorder.record(Record::State { state: RunState::Claimed }).await;
    for notice in &agent.assignment.notices {
        agent.recorder.record(Record::Notice { text: notice.clone() }).await;
    }
    if let Some(endpoint) = &agent.aws_credentials {
        aws_credentials::fetch_first(&agent, endpoint).await;
    }
    harness::harness(agent.assignment.harness)?;
    let programs = preflight(&agent)?;
    if !programs.is_bash() {
        let text = format!("this image has no bash; scripts are run by {}", programs.shell.display());
        agent.recorder.record(Record::Notice { text }).await;
    }
    write_event(&agent)?;
    if let Some(git) = &programs.git {
        identity::write_default(&agent, git).await;
    }
    let variables = variables::of_task(&agent, &programs.shell);
    if let Some(name) = variables::invalid(&variables) {
        let message =
            format!("the variable \"{}\" has a name or a value that no process can be given", text::one_line(name));
        return Err(Ending::failed(FailureClass::SetupFailed, message));
    }
    let (checkouts, restored) = tokio::select! {
        done = clone_and_set_up(&agent, &programs, &variables) => done?,
        never = watchdog::watch_setup(&agent) => match never {},
    };
    let work = agent.workspace.work();
    let files = blocking(move || Baseline::of(&work)).await?;
    Ok((programs, variables, Before { files, checkouts, restored }))
}

/// What started the run, for the task to read: outside the repositories, so that it is no change of theirs.
fn write_event(agent: &Agent) -> Result<(), Ending> {
    let Some(event) = &agent.assignment.event else { return Ok(()) };
    let path = agent.workspace.event();
    let written = workspace::open(&path, OpenOptions::new().write(true).create(true).truncate(true))
        .and_then(|mut file| file.write_all(event.payload.as_bytes()));
    written.map_err(|err| Ending::failed(FailureClass::AgentFailed, format!("{}: {err}", path.display())))
}

/// Returns the commits that the run began with, and the files that an earlier execution of it had saved.
async fn clone_and_set_up(
    agent: &Agent,
    programs: &Programs,
    variables: &Variables,
) -> Result<(Vec<Checkout>, Option<Vec<PathBuf>>), Ending> {
    let mut checkouts = Vec::new();
    if let Some(git) = &programs.git
        && !agent.assignment.repositories.is_empty()
    {
        clone::clone_all(agent, git).await?;
        checkouts = saving::checkouts(agent, git).await;
    }
    let restored = restoring::restore(agent, &checkouts).await;
    setup::set_up(agent, programs, &agent.cwd(), variables).await?;
    Ok((checkouts, restored))
}

async fn run_harness(agent: Arc<Agent>, programs: Programs, variables: Variables) -> Result<Outcome, Ending> {
    let harness = harness::harness(agent.assignment.harness)?;
    if let Err(err) = agent.client.start().await {
        return Err(match err {
            CallError::Refused { .. } => Ending::failed(FailureClass::AgentFailed, err.to_string()),
            CallError::Stale | CallError::OutOfReach { .. } => Ending::Stopped,
        });
    }
    agent.recorder.record(Record::State { state: RunState::InProgress }).await;
    let task = Task { agent: &agent, programs: &programs, cwd: &agent.cwd(), variables: &variables };
    tokio::select! {
        ended = harness.work(&task) => ended,
        never = watchdog::watch_idle(&agent) => match never {},
    }
}

/// Ends what is left, tells the rest of the story, and reports. `outcome` is none when the run was stopped.
async fn settle(
    agent: &Arc<Agent>,
    outcome: Option<Outcome>,
    before: Option<Before>,
    mut company: JoinSet<()>,
) -> Result<Outcome, CallError> {
    match &outcome {
        Some(_) => agent.processes.end_all(LEFTOVERS_GRACE).await,
        // Nothing can be stored on a disk that is full: first what filled it has to go, below.
        None if is_disk_full(agent) => agent.processes.end_all(Duration::ZERO).await,
        None => {
            agent.processes.end_all(Duration::ZERO).await;
            // The answer may say that it was the user who stopped the run.
            agent.segments.flush().await;
        }
    }
    if let Some(Stop::Lost(err)) = agent.stop.reason() {
        agent.recorder.close();
        return Err(err);
    }

    let disk = watchdog::disk_after(agent).await;
    if let Some(mut before) = before {
        let patience = if agent.stop.reason().is_some() { HASHING_STOPPED } else { HASHING };
        let (work, files) = (agent.workspace.work(), std::mem::take(&mut before.files));
        let changes = blocking(move || files.changes(&work, patience)).await.unwrap_or_default();
        for change in changes.records {
            agent.recorder.record(change).await;
        }
        if disk.is_none() && !is_disk_full(agent) {
            saving::save(agent, &before, changes.files).await;
            // A filter that a repository names is a program of the task's.
            agent.processes.end_all(Duration::ZERO).await;
        }
    }
    if disk.is_some() || is_disk_full(agent) {
        // It would go with the agent; until then the trail needs the room, and so do others.
        let workspace = agent.workspace.clone();
        let _ = blocking(move || workspace.clear()).await;
    }
    // Whoever else records falls silent: the end is the last that is said.
    company.shutdown().await;
    usage::finish(agent).await;
    pull_requests::finish(agent).await;
    watchdog::sample_now(agent).await;

    let stopped = || agent.stop.reason().and_then(|stop| stop.outcome());
    let outcome = match outcome {
        // A task that ran into the end of the disk fails in its own words.
        Some(Outcome::Failed { class: FailureClass::TaskFailed, message }) => {
            disk.and_then(|stop| stop.outcome()).unwrap_or(Outcome::Failed { class: FailureClass::TaskFailed, message })
        }
        Some(outcome) => outcome,
        None => stopped().unwrap_or_else(|| Outcome::failed(FailureClass::AgentFailed, "stopped for no reason")),
    };
    let outcome = shortened(masked_outcome(outcome, &agent.recorder.masker()));
    agent.recorder.record(Record::Ended { outcome: outcome.clone() }).await;
    let Closed { last_segment, is_complete } = agent.segments.close().await;
    let outcome = if is_complete {
        outcome
    } else {
        Outcome::failed(
            FailureClass::AgentFailed,
            "the trail of the run could not be stored; the log of its agent says why",
        )
    };
    let report = Report { outcome: outcome.clone(), last_segment, usage: agent.usage.usage() };
    agent.client.finish(&report).await?;
    Ok(outcome)
}

fn is_disk_full(agent: &Agent) -> bool {
    matches!(agent.stop.reason(), Some(Stop::Failed { class: FailureClass::DiskFull, .. }))
}

fn shortened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { class, message } => {
            Outcome::Failed { class, message: text::shorten(&text::one_line(&message), STATUS_CHARS) }
        }
        other @ (Outcome::Succeeded { .. } | Outcome::Cancelled) => other,
    }
}

/// A walk of the disk, beside the loop that reads output.
async fn blocking<T: Send + 'static>(walk: impl FnOnce() -> T + Send + 'static) -> Result<T, Ending> {
    tokio::task::spawn_blocking(walk).await.map_err(|err| bug(&err))
}

/// One word for a log line.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome.event() {
        RunEvent::Succeeded => "succeeded",
        RunEvent::Cancelled => "cancelled",
        RunEvent::Failed => "failed",
        _ => "error",
    }
}
