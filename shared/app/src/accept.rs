//! Accept: the key is reserved if there is one, then one transaction writes the run, its request and where it waits, and a
//! tick tells the dispatcher.

use std::collections::BTreeMap;

use ozma_domain::audit::digest;
use ozma_domain::delivery::EventSnapshot;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{AgentId, EnvironmentId, RunId, RunnerId, TeamId};
use ozma_domain::lane::{Lane, Share};
use ozma_domain::limits;
use ozma_domain::repository::Repository;
use ozma_domain::run::{Prompt, Run, RunRequest, RunSource, ScheduleSnapshot};
use ozma_domain::run_limits::{Budget, RunLimits};
use ozma_domain::scheduling::Scheduling;
use ozma_domain::state::RunState;
use ozma_domain::subscription::Topic;
use ozma_domain::template::{InvalidField, RunTemplate};
use ozma_domain::text;
use ozma_store::{ArchiveKey, IdempotencyRow, KeyStep, StoreError, TeamRow, Written};
use serde_json::{Map, Value};

use crate::App;
use crate::app::after;
use crate::metrics;
use crate::needs::Missing;
use crate::notify::send_changed;
use crate::ports::QueueMessage;
use crate::queueing::{QueueState, after_joining, full, placed};
use crate::rate;
use crate::resolve::resolve;
use crate::settle::send_complete;

/// What somebody asks for, checked for form by whoever read it off the wire.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub team: TeamId,
    pub creator: String,
    pub source: RunSource,
    pub prompt: String,
    /// Made from the prompt where there is none.
    pub title: Option<String>,
    pub harness: HarnessKind,
    pub agent_config: Map<String, Value>,
    pub environment: Option<EnvironmentId>,
    pub agent: Option<AgentId>,
    pub runner: Option<RunnerId>,
    pub repositories: Vec<Repository>,
    pub deadline_seconds: Option<u64>,
    pub metadata: BTreeMap<String, String>,
    pub parent_run_id: Option<RunId>,
    pub idempotency: Option<Idempotency>,
    pub scheduling: Scheduling,
    pub limits: RunLimits,
    /// Whom it is queued for.
    pub lane: Lane,
    /// Of its lane; the team's for lanes of that kind where there is none.
    pub weight: Option<u16>,
    /// Runs that may be asked for in an hour with the same concurrency key or, without one, in the same lane.
    pub runs_per_hour: Option<u32>,
    /// Of the automation that asks, for all its runs of a month.
    pub automation_budget: Budget,
    /// The schedule that asks.
    pub schedule: Option<ScheduleSnapshot>,
    /// The event that asks.
    pub event: Option<EventSnapshot>,
    /// Its id, where somebody has written that down beforehand: asked for again, it is the same run.
    pub run_id: Option<RunId>,
    pub object_cap: Option<ObjectCap>,
}

/// Runs that one lane may ask for in an hour, for one thing in the outside: two bots that answer each other never end.
#[derive(Clone, Debug)]
pub struct ObjectCap {
    pub object: String,
    pub most: u32,
}

impl NewRun {
    /// What `template` asks for, for `team` and in the name of `creator`, in whose lane it is. No parent and no key, unless
    /// they are added.
    pub fn from_template(template: RunTemplate, team: TeamId, creator: String, source: RunSource) -> Self {
        let RunTemplate {
            prompt,
            title,
            harness,
            agent_config,
            environment,
            agent,
            runner,
            repositories,
            deadline_seconds,
            metadata,
            scheduling,
            limits,
        } = template;
        Self {
            team,
            lane: Lane::User(creator.clone()),
            creator,
            source,
            prompt,
            title,
            harness,
            agent_config,
            environment,
            agent,
            runner,
            repositories,
            deadline_seconds,
            metadata,
            parent_run_id: None,
            idempotency: None,
            scheduling,
            limits,
            weight: None,
            runs_per_hour: None,
            automation_budget: Budget::default(),
            schedule: None,
            event: None,
            run_id: None,
            object_cap: None,
        }
    }
}

/// A key under which the same request may be sent again.
#[derive(Clone, Debug)]
pub struct Idempotency {
    pub key: String,
    /// Of the body as sent.
    pub body_hash: String,
}

/// The run that answers a request: new, or the one that the key was used for first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRun {
    pub run_id: RunId,
    pub state: RunState,
    pub created: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("there is no run {0} to be the parent")]
    UnknownParent(RunId),
    #[error("the parent run {0} was cancelled: nothing is started below it any more")]
    ParentCancelled(RunId),
    #[error("there are {} runs above it already; start it from one of those, or without a parent", limits::RUN_DEPTH)]
    TooDeep,
    #[error("the idempotency key was used for another request before (run {run_id}); use a new key for a new request")]
    KeyReused { run_id: RunId },
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    /// 429.
    #[error("{reason}; try again in {retry_seconds} s")]
    TooMany { reason: String, retry_seconds: u64 },
    /// To ask again does not help: it is a loop, or looks like one.
    #[error("{reason}")]
    ObjectFull { reason: String },
    #[error("the run could not be stored")]
    Store(#[from] StoreError),
}

pub async fn accept(app: &App, new: NewRun) -> Result<AcceptedRun, AcceptError> {
    let resolved = resolve(app, &new).await?;
    let mut metadata = BTreeMap::new();
    let mut depth = 0;
    if let Some(parent) = new.parent_run_id {
        let request = app.store.request(&new.team, parent).await?.ok_or(AcceptError::UnknownParent(parent))?;
        metadata = request.metadata;
        depth = request.depth.saturating_add(1);
        if depth > limits::RUN_DEPTH {
            return Err(AcceptError::TooDeep);
        }
    }
    metadata.extend(new.metadata);

    let now = app.now();
    let not_before = new.scheduling.not_before.filter(|at| *at > now);
    if not_before.is_some_and(|at| at > after(now, limits::WAIT_SECONDS.cast_signed())) {
        let reason = "more than 30 days from now; what starts later is a schedule";
        return Err(InvalidField::new("scheduling.not_before", reason).into());
    }
    let team = app.team(&new.team).await?;
    let mut run_id = new.run_id.unwrap_or_else(|| app.new_run_id(now));
    if new.run_id.is_some()
        && let Some(run) = app.store.run(run_id).await?
    {
        send_tick(app, &run.team).await;
        return Ok(AcceptedRun { run_id, state: run.state, created: false });
    }
    if let Some(given) = new.idempotency {
        let row = IdempotencyRow {
            key_hash: digest(given.key.as_bytes()).to_string(),
            body_hash: given.body_hash,
            run_id,
            expires: after(now, limits::IDEMPOTENCY_SECONDS).as_second(),
        };
        let first = app.store.reserve(&new.team, &row).await?;
        if first.body_hash != row.body_hash {
            return Err(AcceptError::KeyReused { run_id: first.run_id });
        }
        if first.run_id != run_id
            && let Some(run) = app.store.run(first.run_id).await?
        {
            // The first answer may have been lost before its tick was sent.
            send_tick(app, &run.team).await;
            return Ok(AcceptedRun { run_id: run.run_id, state: run.state, created: false });
        }
        // Ours, or that of a request that died before it made its run.
        run_id = first.run_id;
    }
    check_rate(app, &team, &new.lane, &new.scheduling, new.runs_per_hour).await?;
    if let Some(ObjectCap { object, most }) = &new.object_cap {
        let subject = format!("{}\nobject\n{object}", new.lane);
        if count_in_hour(app, &team, &subject, *most).await?.is_some() {
            let reason = format!("{object} started {most} runs of it in this hour already; is it a loop?");
            return Err(AcceptError::ObjectFull { reason });
        }
    }
    let queue = QueueState::read(app, &new.team).await?;
    if let Some((what, cap)) = full(app, &team, &new.lane, &queue).await? {
        let reason = format!("{what} is full: {cap} runs wait already");
        return Err(AcceptError::TooMany { reason, retry_seconds: limits::QUEUE_FULL_RETRY_SECONDS });
    }
    let first_line = new.prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or("untitled");
    let title = new.title.as_deref().unwrap_or(first_line);
    let request = RunRequest {
        run_id,
        team: new.team.clone(),
        created_at: now,
        title: text::shorten(&text::one_line(title), limits::TITLE_CHARS),
        prompt: store_prompt(app, &new.team, run_id, new.prompt).await?,
        harness: new.harness,
        agent_config: resolved.agent_config,
        source: new.source,
        creator: new.creator,
        environment: resolved.environment,
        agent: resolved.agent,
        runner: resolved.runner,
        repositories: new.repositories,
        deadline_seconds: new.deadline_seconds,
        metadata,
        parent_run_id: new.parent_run_id,
        depth,
        automation_budget: new.automation_budget,
        schedule: new.schedule,
        event: new.event,
        scheduling: new.scheduling,
        limits: new.limits,
    };
    let starts = not_before.unwrap_or(now);
    let accepted = Run {
        shape: resolved.shape,
        share: Share {
            weight: new.weight.unwrap_or_else(|| team.settings.weights.of(&new.lane)),
            lane: new.lane,
            priority: request.scheduling.priority,
        },
        not_before,
        key: request.scheduling.concurrency.as_ref().map(|concurrency| concurrency.key.clone()),
        expires_at: request.scheduling.queue_seconds.map(|seconds| after(starts, seconds.cast_signed())),
        deadline_at: request.limits.run_seconds.map(|seconds| after(starts, seconds.cast_signed())),
        answered: request.event.as_ref().is_some_and(|event| event.answered_at().is_some()),
        ..Run::accepted(run_id, new.team.clone(), now)
    };
    let run = loop {
        let (run, step) = match not_before {
            Some(_) => (accepted.clone(), KeyStep::Nothing),
            None => placed(app, accepted.clone(), &request.scheduling, &queue).await?,
        };
        if app.store.accept(&run, &request, &step).await? == Written::Now {
            after_joining(app, &run, &step).await;
            break run;
        }
        // The answer to this very write was lost, or the same request at the same time was faster.
        if let Some(run) = app.store.run(run_id).await? {
            break run;
        }
        // Otherwise somebody else took the concurrency key or gave it back, or cancelled the parent.
        if let Some(parent) = new.parent_run_id
            && app.store.run(parent).await?.is_none_or(|parent| parent.state == RunState::Cancelled)
        {
            return Err(AcceptError::ParentCancelled(parent));
        }
    };
    announce(app, &run).await;
    if !run.state.is_terminal() {
        send_changed(app, &run, team.subscribed.is_some(), Topic::Queued, run.created_at).await;
    }
    tracing::info!(run.id = %run_id, trace_id = run_id.trace_id(), team = %new.team, "accepted a run");
    metrics::stage("Accept", &run, now, app.now());
    Ok(AcceptedRun { run_id, state: run.state, created: true })
}

/// Whatever of this is lost, the sweep makes up for.
pub(crate) async fn announce(app: &App, run: &Run) {
    if run.state.is_terminal() {
        return send_complete(app, run).await;
    }
    send_tick(app, &run.team).await;
    for at in [run.not_before, run.expires_at, run.deadline_at].into_iter().flatten() {
        if let Err(err) = app.timer.send_at(at, QueueMessage::Tick { team: run.team.clone() }).await {
            // Functions that face the outside have no timer: what waits for a time is looked at by the sweep, each minute.
            tracing::debug!(run.id = %run.run_id, error = %text::chain(&err), "no timer; the sweep will look");
        }
    }
}

/// Counts the run against what may be asked for in an hour.
async fn check_rate(
    app: &App,
    team: &TeamRow,
    lane: &Lane,
    scheduling: &Scheduling,
    runs_per_hour: Option<u32>,
) -> Result<(), AcceptError> {
    let of_user = matches!(lane, Lane::User(_)).then_some(team.settings.runs_per_hour).flatten();
    let Some(most) = runs_per_hour.or(of_user) else { return Ok(()) };
    let key = scheduling.concurrency.as_ref().filter(|_| runs_per_hour.is_some());
    let key = key.map_or("", |concurrency| concurrency.key.as_str());
    let subject = format!("{lane}\n{key}");
    let Some(retry_seconds) = count_in_hour(app, team, &subject, most).await? else { return Ok(()) };
    let of = if key.is_empty() { lane.to_string() } else { format!("{lane} with the key \"{key}\"") };
    Err(AcceptError::TooMany { reason: format!("{of} asked for {most} runs in this hour already"), retry_seconds })
}

/// Counts one more of `subject` in this hour. Some: there were `most` already, and so many seconds are left of it.
async fn count_in_hour(app: &App, team: &TeamRow, subject: &str, most: u32) -> Result<Option<u64>, StoreError> {
    rate::count(app, &team.team, &digest(subject.as_bytes()).to_string(), rate::HOUR, most).await
}

/// Tells the dispatcher that there may be work. A tick that is lost costs time, not the run: the sweep sends another.
pub(crate) async fn send_tick(app: &App, team: &TeamId) {
    if let Err(err) = app.queue.send(QueueMessage::Tick { team: team.clone() }).await {
        tracing::warn!(team = %team, error = %text::chain(&err), "could not send a tick; the sweep will");
    }
}

/// A long prompt goes to the archive first: a row that points to nothing must never exist.
async fn store_prompt(app: &App, team: &TeamId, run: RunId, prompt: String) -> Result<Prompt, StoreError> {
    if prompt.len() <= limits::INLINE_BYTES {
        return Ok(Prompt::Inline(prompt));
    }
    let key = ArchiveKey::Prompt { team, run };
    let (bytes, preview) = (prompt.len() as u64, text::shorten(&prompt, limits::TITLE_CHARS));
    app.archive.create(&key, prompt.into_bytes(), [].into()).await?;
    Ok(Prompt::Archived { key: key.to_string(), bytes, preview })
}

/// Whether every slot of the plan is taken: a hint for the sender, no more, because the run is queued either way.
pub async fn is_at_capacity(app: &App, team: &TeamId) -> Result<bool, StoreError> {
    let plan = app.plan(team).await?;
    Ok(app.store.taken_slots_lately(team).await?.len() >= usize::from(plan.concurrent_agents))
}
