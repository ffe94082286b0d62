//! Accept: the key is reserved if there is one, then one transaction writes the run, its request and its queue entry, and
//! a tick tells the dispatcher.

use std::collections::BTreeMap;

use ozma_domain::audit::digest;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{EnvironmentId, RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::repository::Repository;
use ozma_domain::run::{Prompt, Run, RunRequest, RunSource};
use ozma_domain::state::RunState;
use ozma_domain::template::RunTemplate;
use ozma_domain::text;
use ozma_store::{ArchiveKey, IdempotencyRow, StoreError, Written};
use serde_json::{Map, Value};

use crate::App;
use crate::app::after;
use crate::metrics;
use crate::ports::QueueMessage;

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
    pub repositories: Vec<Repository>,
    pub deadline_seconds: Option<u64>,
    pub metadata: BTreeMap<String, String>,
    pub parent_run_id: Option<RunId>,
    pub idempotency: Option<Idempotency>,
}

impl NewRun {
    /// What `template` asks for, for `team` and in the name of `creator`. No parent and no key, unless they are added.
    pub fn from_template(template: RunTemplate, team: TeamId, creator: String, source: RunSource) -> Self {
        let RunTemplate { prompt, title, harness, agent_config, environment, repositories, deadline_seconds, metadata } =
            template;
        Self {
            team,
            creator,
            source,
            prompt,
            title,
            harness,
            agent_config,
            environment,
            repositories,
            deadline_seconds,
            metadata,
            parent_run_id: None,
            idempotency: None,
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
    #[error("there is no environment {0}; `oz environment list` shows those there are")]
    UnknownEnvironment(EnvironmentId),
    #[error("there is no run {0} to be the parent")]
    UnknownParent(RunId),
    #[error("the idempotency key was used for another request before (run {run_id}); use a new key for a new request")]
    KeyReused { run_id: RunId },
    #[error("the run could not be stored")]
    Store(#[from] StoreError),
}

pub async fn accept(app: &App, new: NewRun) -> Result<AcceptedRun, AcceptError> {
    if let Some(uid) = &new.environment
        && app.store.environment(&new.team, uid).await?.is_none()
    {
        return Err(AcceptError::UnknownEnvironment(uid.clone()));
    }
    let mut metadata = BTreeMap::new();
    if let Some(parent) = new.parent_run_id {
        let request = app.store.request(&new.team, parent).await?.ok_or(AcceptError::UnknownParent(parent))?;
        metadata = request.metadata;
    }
    metadata.extend(new.metadata);

    let now = app.now();
    let mut run_id = app.new_run_id(now);
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
    let first_line = new.prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or("untitled");
    let title = new.title.as_deref().unwrap_or(first_line);
    let request = RunRequest {
        run_id,
        team: new.team.clone(),
        created_at: now,
        title: text::shorten(&text::one_line(title), limits::TITLE_CHARS),
        prompt: store_prompt(app, &new.team, run_id, new.prompt).await?,
        harness: new.harness,
        agent_config: new.agent_config,
        source: new.source,
        creator: new.creator,
        environment: new.environment,
        repositories: new.repositories,
        deadline_seconds: new.deadline_seconds,
        metadata,
        parent_run_id: new.parent_run_id,
    };
    let run = Run::accepted(run_id, new.team.clone(), now);

    // Lost: the answer to this very write was lost, or the same request at the same time was faster. The run is there.
    let (Written::Now | Written::Lost) = app.store.accept(&run, &request).await?;
    send_tick(app, &new.team).await;
    tracing::info!(run.id = %run_id, trace_id = run_id.trace_id(), team = %new.team, "accepted a run");
    metrics::stage("Accept", &run, now, app.now());
    Ok(AcceptedRun { run_id, state: RunState::Queued, created: true })
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
