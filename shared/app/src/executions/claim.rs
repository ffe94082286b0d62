//! Claim: the one-time token for the work, the secrets, and an execution token that the agent made itself.

use std::collections::BTreeMap;

use ozma_domain::artifact::SavedSet;
use ozma_domain::delivery::EventSnapshot;
use ozma_domain::environment::EnvironmentConfig;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::ExecutionId;
use ozma_domain::lifecycle::Claiming;
use ozma_domain::mask::Masker;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{AssignedEvent, Assignment, Claim, Restore};
use ozma_domain::run::{Isolation, Prompt, Run, RunRequest};
use ozma_domain::token::{ExecutionToken, claim_token, same};
use ozma_store::{ArchiveKey, StoreError, Written};
use secrecy::{ExposeSecret, SecretString};

use super::ExecutionError;
use crate::App;
use crate::artifacts::{self, Saved};
use crate::launch::environment_of;
use crate::metrics;
use crate::ports::PortError;
use crate::settle::settle;

pub async fn claim(app: &App, execution: ExecutionId, claim: &Claim) -> Result<Assignment, ExecutionError> {
    let expected = claim_token(&app.settings.claim_key, execution);
    if !same(expected.expose_secret(), &claim.claim_token) {
        return Err(ExecutionError::Token);
    }
    let token: ExecutionToken = claim.execution_token.parse()?;
    let stale = || ExecutionError::Stale(execution);
    let hash = token.hash().to_hex();
    let run = loop {
        let run = app.store.run(execution.run).await?.ok_or_else(stale)?;
        let (now, lease) = (app.now(), app.settings.lease_seconds);
        match run.claimed(execution.number, &hash, claim.isolation, now, lease) {
            Claiming::Now(claimed) => {
                if app.store.update_run_row(&run, &claimed).await? == Written::Now {
                    break *claimed;
                }
            }
            Claiming::Again => break run,
            Claiming::Refused => return Err(stale()),
        }
    };
    let request = app.store.request(&run.team, run.run_id).await?.ok_or_else(stale)?;
    let environment = match environment_of(app, &request).await? {
        Ok(environment) => environment,
        Err(failure) => {
            settle(app, execution, &failure, Some(0)).await?;
            return Err(stale());
        }
    };
    let secrets = secrets(app, &run, &environment).await?;
    if let Some((name, reference)) =
        environment.secret_references.iter().find(|(name, _)| !secrets.contains_key(name.as_str()))
    {
        let message = format!(
            "{name}: {reference} could not be read. On AWS the stack's parameters name what may be read \
             (ReadableSecretArns, ReadableParameterArns); on a laptop there is no account to read from"
        );
        settle(app, execution, &Outcome::failed(FailureClass::SecretMissing, message), Some(0)).await?;
        return Err(stale());
    }
    app.maskers.keep(execution, Masker::new(secrets.values()));
    tracing::info!(run.id = %run.run_id, execution = %execution, trace_id = run.run_id.trace_id(), "claimed");
    let plan = app.plan(&run.team).await?;
    let current = run.execution.as_ref().ok_or_else(stale)?;
    metrics::stage("Start", &run, current.dispatched_at, current.claimed_at.unwrap_or(current.dispatched_at));
    Ok(Assignment {
        run_id: run.run_id,
        execution_id: execution,
        attempt: run.attempts,
        team: run.team.clone(),
        prompt: prompt(app, &run, &request).await?,
        last_message: run.follow_up.clone().unwrap_or_default(),
        harness: request.harness,
        notices: notices(claim.isolation, &environment, &request),
        repositories: environment.repositories.into_iter().chain(request.repositories.iter().cloned()).collect(),
        setup_commands: environment.setup_commands,
        variables: environment.variables,
        secrets: secrets.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect(),
        size: run.size(plan.size),
        deadline_at: current.deadline_at,
        heartbeat_seconds: u64::try_from(app.settings.heartbeat_seconds).unwrap_or(1),
        lease_seconds: u64::try_from(app.settings.lease_seconds).unwrap_or(1),
        watched: run.watched_until.is_some_and(|until| until > app.now()),
        aws_role: environment.aws_role.is_some(),
        setup_seconds: request.limits.setup_seconds,
        idle_seconds: request.limits.idle_seconds,
        restore: restore(app, &run, execution).await?,
        event: event(app, &request).await?,
    })
}

/// The event that the run was started by, with its payload.
async fn event(app: &App, request: &RunRequest) -> Result<Option<AssignedEvent>, StoreError> {
    let Some(event) = &request.event else { return Ok(None) };
    let key = ArchiveKey::Payload { team: &request.team, delivery: event.delivery };
    // Payloads expire before runs do: a follow-up months later has none.
    let Some(object) = app.archive.read(&key).await? else { return Ok(None) };
    Ok(Some(AssignedEvent {
        provider: event.provider.map(|provider| provider.to_string()).unwrap_or_default(),
        name: event.event.clone(),
        url: event.url.clone(),
        payload: String::from_utf8_lossy(&object.bytes).into_owned(),
    }))
}

/// What the executions before this one saved last.
async fn restore(app: &App, run: &Run, execution: ExecutionId) -> Result<Option<Restore>, StoreError> {
    let saved = artifacts::before(app, run, execution.number).await?;
    Ok(saved.map(|Saved { execution, set }| {
        let set = SavedSet { left_out: Vec::new(), ..set };
        Restore { from: execution.number, set }
    }))
}

/// The masker of an execution: kept from its claim, or made again by another process.
pub(super) async fn masker(
    app: &App,
    run: &Run,
    execution: ExecutionId,
) -> Result<std::sync::Arc<Masker>, ExecutionError> {
    if let Some(masker) = app.maskers.get(execution) {
        return Ok(masker);
    }
    let request = app.store.request(&run.team, run.run_id).await?.ok_or(ExecutionError::Stale(execution))?;
    // An environment deleted since takes its list of secrets along; the agent has masked by its own copy.
    let environment = environment_of(app, &request).await?.unwrap_or_default();
    let secrets = secrets(app, run, &environment).await?;
    Ok(app.maskers.keep(execution, Masker::new(secrets.values())))
}

async fn secrets(
    app: &App,
    run: &Run,
    environment: &EnvironmentConfig,
) -> Result<BTreeMap<String, SecretString>, PortError> {
    let mut secrets = BTreeMap::new();
    for name in &environment.secrets {
        // Checked at launch; one deleted in between is missing to the task, not to us.
        if let Some(value) = app.vault.get(&run.team, name).await? {
            secrets.insert(name.to_string(), value);
        }
    }
    for (name, reference) in &environment.secret_references {
        if let Some(value) = app.vault.get_reference(reference).await? {
            secrets.insert(name.to_string(), value);
        }
    }
    Ok(secrets)
}

/// What the execution is to do: what the run was asked for, or what the message says that reopened it.
async fn prompt(app: &App, run: &Run, request: &RunRequest) -> Result<String, StoreError> {
    if let Some(id) = &run.follow_up
        && let Some(message) = app.store.message(run.run_id, id).await?
    {
        return Ok(message.text);
    }
    match &request.prompt {
        Prompt::Inline(prompt) => Ok(prompt.clone()),
        Prompt::Archived { key, .. } => {
            let object = app.archive.read_key(key).await?.ok_or_else(|| StoreError::Unreadable {
                what: format!("the prompt {key}"),
                cause: "it is not in the archive".into(),
            })?;
            Ok(String::from_utf8_lossy(&object.bytes).into_owned())
        }
    }
}

/// What the user asked for and did not get.
fn notices(isolation: Isolation, environment: &EnvironmentConfig, request: &RunRequest) -> Vec<String> {
    let mut notices = Vec::new();
    if let Some(why) = request.event.as_ref().and_then(EventSnapshot::no_secrets) {
        notices.push(format!("no secrets: {why}; the automation's `allow.fork_secrets` says otherwise"));
    }
    if let Some(image) = &environment.docker_image
        && !matches!(isolation, Isolation::Container | Isolation::Fargate)
    {
        notices.push(format!("no container engine is reachable: the image {image} was not used"));
    }
    if isolation == Isolation::Process {
        let notice =
            "not isolated: bubblewrap is missing or does not work here (`oz up` says why), so this is a plain process";
        notices.push(notice.to_owned());
    }
    notices
}
