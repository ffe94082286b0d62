//! Launch: from a slot to a starting container. May be repeated for the same execution: the launcher starts nothing
//! twice, and the claim lets only one agent in.

use std::time::Duration;

use jiff::Timestamp;
use ozma_domain::environment::{EnvironmentConfig, Network};
use ozma_domain::failure::FailureClass;
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::outcome::Outcome;
use ozma_domain::plan::Plan;
use ozma_domain::run::{Run, RunRequest};
use ozma_domain::state::RunState;
use ozma_domain::token::claim_token;
use ozma_store::{Hold, StoreError, Want, Written};

use crate::App;
use crate::accept::send_tick;
use crate::app::after;
use crate::budget::closing;
use crate::metrics;
use crate::ports::{ContainerStatus, LaunchRequest, Launched, PortError, QueueMessage};
use crate::settle::{SettleError, settle};
use crate::sweep::STOP_SECONDS;

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("the launch could not be prepared")]
    Store(#[from] StoreError),
    #[error("the launcher or the vault did not answer")]
    Port(#[from] PortError),
    #[error("a launch that failed could not be settled")]
    Settle(#[from] SettleError),
}

/// For how long nobody of a team is started at most, because there was no room for one: so long a run that waits may keep
/// those behind it.
const HOLD_SECONDS: i64 = 30;

/// How long an agent that has said its last word may take to be gone.
const PREVIOUS_PAUSE: Duration = Duration::from_secs(2);

/// What a launch says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    ForMore,
    /// There was no machine, or no quota: the team waits before anybody asks again.
    Nothing,
}

/// Starts the current execution of `run`, which is PENDING. May be done again once that is noted on the run's row, see
/// [`Run::relaunched`].
pub async fn launch(app: &App, run: &Run, request: &RunRequest, plan: &Plan) -> Result<Room, LaunchError> {
    let (Some(execution), Some(slot)) = (run.execution_id(), run.held_slot()) else { return Ok(Room::ForMore) };
    let environment = match environment_of(app, request).await? {
        Ok(environment) => environment,
        Err(failure) => {
            settle(app, execution, &failure, None).await?;
            return Ok(Room::ForMore);
        }
    };
    if let Some(failure) = missing_secret(app, request, &environment).await? {
        settle(app, execution, &failure, None).await?;
        return Ok(Room::ForMore);
    }
    let launch = LaunchRequest {
        execution,
        team: run.team.clone(),
        slot,
        size: run.size(plan.size),
        image: environment.docker_image.clone(),
        repositories: environment.repositories.iter().chain(&request.repositories).cloned().collect(),
        network: environment.network,
        capacity: environment.capacity,
        claim_token: claim_token(&app.settings.claim_key, execution),
    };
    // It may have been cancelled while it waited for its turn, and its slot may be another's by now.
    let still = app.store.run(run.run_id).await?;
    if still.is_none_or(|still| !still.is_current(execution) || still.state != RunState::Pending) {
        return Ok(Room::ForMore);
    }
    let begun = app.now();
    let launched = if !run.is_relaunched() && still_stopping(app, execution).await? {
        let reason = "the agent of the execution before is still stopping".to_owned();
        Launched::NotYet { reason, wait: PREVIOUS_PAUSE }
    } else {
        app.launcher.launch(&launch).await.inspect_err(|_| metrics::count("LaunchFailures", 1))?
    };
    match launched {
        Launched::Started { isolation } => {
            let trace_id = run.run_id.trace_id();
            tracing::info!(
                run.id = %run.run_id,
                execution = %execution,
                trace_id,
                isolation = isolation.as_str(),
                "launched"
            );
            metrics::stage("Launch", run, begun, app.now());
            stop_if_cancelled(app, execution).await?;
            Ok(Room::ForMore)
        }
        Launched::NoCapacity { reason, wait } => {
            metrics::count("NoCapacity", 1);
            if let Some((team, until)) = postpone(app, execution, &reason, wait).await? {
                // What this run did not get, the others of its team need not all ask for: one of them does, in a while.
                let held_until = until.min(after(app.now(), HOLD_SECONDS));
                app.store.hold(&team, &Hold { until: held_until, reason, want: Want::Room }).await?;
                app.timer.send_at(held_until, QueueMessage::Tick { team }).await?;
            }
            Ok(Room::Nothing)
        }
        Launched::NotYet { reason, wait } => {
            if let Some((team, _)) = postpone(app, execution, &reason, wait).await? {
                // Its slot is another's meanwhile.
                send_tick(app, &team).await;
            }
            Ok(Room::ForMore)
        }
        Launched::Refused { reason } => {
            metrics::count("LaunchFailures", 1);
            // On a laptop what is refused is what the environment asks for. In a cloud that was looked at when it was saved,
            // and what is refused later is the operator's to mend.
            let asks = environment.docker_image.is_some() || environment.network == Network::None;
            let class =
                if asks && !app.settings.billed { FailureClass::ImageUnusable } else { FailureClass::LaunchRefused };
            settle(app, execution, &Outcome::failed(class, reason), None).await?;
            Ok(Room::ForMore)
        }
    }
}

/// Whether the container of the execution before is still there: its agent has reported, and is about to exit or misses the
/// answer. Two containers of one run are never alive at once, unless one does not go and was given up.
async fn still_stopping(app: &App, execution: ExecutionId) -> Result<bool, LaunchError> {
    if execution.number == 1 {
        return Ok(false);
    }
    let Some(before) = app.store.past_executions(execution.run).await?.pop() else { return Ok(false) };
    let Some(ended_at) = before.ended_at else { return Ok(false) };
    let given_up = before.stop_at.is_some_and(|told| ended_at >= after(told, STOP_SECONDS));
    if given_up || app.now() >= after(ended_at, STOP_SECONDS) {
        return Ok(false);
    }
    let before = ExecutionId::new(execution.run, before.number);
    if app.launcher.status(before).await? != ContainerStatus::Alive {
        return Ok(false);
    }
    app.launcher.stop(before).await?;
    Ok(true)
}

/// A cancel that raced with the start found nothing to stop yet.
async fn stop_if_cancelled(app: &App, execution: ExecutionId) -> Result<(), LaunchError> {
    let run = app.store.run(execution.run).await?;
    if run.is_none_or(|run| run.state.is_terminal() || !run.is_current(execution)) {
        app.launcher.stop(execution).await?;
    }
    Ok(())
}

/// What a run works in: the environment that it was asked for with, the image and commands of its runner, and its agent's
/// secrets; or why it cannot start.
pub(crate) async fn environment_of(
    app: &App,
    request: &RunRequest,
) -> Result<Result<EnvironmentConfig, Outcome>, StoreError> {
    let mut config = EnvironmentConfig::default();
    if let Some(uid) = &request.environment {
        let Some(stored) = app.store.environment(&request.team, uid).await? else {
            let message = format!("the environment {uid} was deleted while the run waited");
            return Ok(Err(Outcome::failed(FailureClass::EnvironmentMissing, message)));
        };
        config = stored.value.config;
    }
    if let Some(runner) = &request.runner {
        runner.prepare(&mut config);
    }
    if let Some(agent) = &request.agent {
        agent.add_secrets(&mut config);
    }
    let without_secrets = request.event.as_ref().is_some_and(|event| event.without_secrets);
    Ok(Ok(if without_secrets { config.without_secrets() } else { config }))
}

async fn missing_secret(
    app: &App,
    request: &RunRequest,
    environment: &EnvironmentConfig,
) -> Result<Option<Outcome>, PortError> {
    let mut missing = Vec::new();
    for name in &environment.secrets {
        if app.vault.find(&request.team, name).await?.is_none() {
            missing.push(name);
        }
    }
    Ok((!missing.is_empty()).then(|| {
        let whose = match &request.agent {
            Some(agent) if agent.secrets.contains(missing[0]) => format!("agent {}", agent.name),
            _ => format!("environment {}", environment.name),
        };
        let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
        let message = format!(
            "the {whose} needs the secret {}, which does not exist; create it with: oz secret create {}",
            names.join(", "),
            missing[0],
        );
        Outcome::failed(FailureClass::SecretMissing, message)
    }))
}

/// Back to the queue without using up an attempt, and a tick when it is worth another try: then, and for which team. None:
/// the execution is over, or launched again as well.
async fn postpone(
    app: &App,
    execution: ExecutionId,
    reason: &str,
    wait: Duration,
) -> Result<Option<(TeamId, Timestamp)>, LaunchError> {
    loop {
        let Some(run) = app.store.run(execution.run).await? else { return Ok(None) };
        let Some(slot) = run.held_slot().filter(|_| run.is_current(execution)) else { return Ok(None) };
        // Another launch of it may have started a container that nobody sees yet: an execution beside that would be one too
        // many. This one is launched again and again, until its time to start is over.
        if run.is_relaunched() {
            tracing::warn!(execution = %execution, reason, "could not be launched again yet");
            return Ok(None);
        }
        let now = app.now();
        let until = now.saturating_add(wait).unwrap_or(now);
        let Some(queued) = run.postponed(now, until, reason) else { return Ok(None) };
        // Nothing ran that anybody would charge for.
        let ledger = closing(app, &run, 0, now).await?;
        if app.store.requeue_run(&run, &queued, slot, ledger.as_ref()).await? == Written::Now {
            tracing::warn!(run.id = %run.run_id, reason, wait_ms = wait.as_millis(), "postponed");
            app.timer.send_at(until, QueueMessage::Tick { team: run.team.clone() }).await?;
            return Ok(Some((run.team, until)));
        }
    }
}
