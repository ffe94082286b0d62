//! A run as the API tells it.

use jiff::{SignedDuration, Timestamp};
use ozma_domain::answer::Answer;
use ozma_domain::id::TeamId;
use ozma_domain::named_agent::AgentSnapshot;
use ozma_domain::plan::Size;
use ozma_domain::pull_request::PullRequest;
use ozma_domain::run::{Prompt, RunRequest};
use ozma_domain::state::RunState;
use ozma_store::RunPair;
use serde_json::Value;

use crate::wire::{
    Artifact, ExecutionLocation, Limits, QueuePlace, Repository, RequestUsage, RunAnswer, RunItem, ScheduleSnapshot,
    Scheduling, Scope, StatusMessage, UserProfile,
};

/// What the run costs by.
#[derive(Clone, Copy)]
pub(crate) struct Pricing {
    /// Of the plan: the most that a run gets.
    pub(crate) size: Size,
    /// Whether compute costs money here at all.
    pub(crate) billed: bool,
}

/// `prompt` is the whole one, where it was read; else what the row holds of it.
pub(crate) fn run_item(
    pair: &RunPair,
    now: Timestamp,
    pricing: Pricing,
    prompt: Option<String>,
    queue: Option<QueuePlace>,
) -> RunItem {
    let RunPair { request, run } = pair;
    let creator = profile(&request.creator);
    let agent_config = serde_json::from_value(Value::Object(request.agent_config.clone())).ok();
    let repositories: Vec<Repository> = request.repositories.iter().cloned().map(Into::into).collect();
    let worked = run.started_at.map(|from| run.ended_at.unwrap_or(now).duration_since(from));
    RunItem {
        run_id: run.run_id,
        task_id: run.run_id,
        title: request.title.clone(),
        state: run.state,
        prompt: prompt.unwrap_or_else(|| prompt_of(request)),
        created_at: request.created_at,
        updated_at: run.updated_at,
        started_at: run.started_at,
        ended_at: run.ended_at.filter(|_| run.state.is_terminal()),
        status_message: run.status.clone().map(|status| StatusMessage {
            message: status.message,
            error_code: status.error_code,
            retryable: status.retryable,
            session_debug_until: None,
        }),
        source: Some(request.source),
        execution_location: Some(ExecutionLocation::Remote),
        schedule: request.schedule.as_ref().map(|schedule| ScheduleSnapshot {
            schedule_id: schedule.id.to_string(),
            schedule_name: schedule.name.clone(),
            cron_schedule: schedule.expression.clone(),
        }),
        session_id: None,
        session_link: None,
        conversation_id: None,
        trigger_url: request.event.as_ref().and_then(|event| event.url.clone()),
        parent_run_id: request.parent_run_id,
        creator: Some(creator.clone()),
        executor: Some(request.agent.as_ref().map_or(creator, executor)),
        agent_config,
        agent_skill: None,
        // Of its files, which the archive knows, only who asks for this one run is told.
        artifacts: Some(run.pull_requests.iter().map(pull_request).collect()),
        request_usage: Some(usage(pair, now, pricing)),
        is_sandbox_running: Some(run.held_slot().is_some()),
        is_run_type_cancellable: Some(true),
        metadata: (!request.metadata.is_empty()).then(|| request.metadata.clone()),
        run_time: worked.map(|worked| whole_seconds(worked).to_string()),
        scope: Some(scope(&request.team)),
        queue,
        isolation: run.execution.as_ref().and_then(|execution| execution.isolation),
        attempt: (run.attempts > 0).then_some(run.attempts),
        repositories: (!repositories.is_empty()).then_some(repositories),
        answer: None,
        scheduling: Some((&request.scheduling).into()).filter(|scheduling| *scheduling != Scheduling::default()),
        limits: Some(request.limits.into()).filter(|limits| *limits != Limits::default()),
    }
}

fn executor(agent: &AgentSnapshot) -> UserProfile {
    UserProfile { uid: Some(agent.uid.to_string()), display_name: Some(agent.name.clone()), ..profile(&agent.name) }
}

fn pull_request(made: &PullRequest) -> Artifact {
    let data = [("url", made.url.as_str()), ("branch", made.branch.as_str())];
    Artifact {
        artifact_type: "PULL_REQUEST".to_owned(),
        created_at: made.created_at,
        data: data.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect(),
    }
}

pub(crate) fn answer(answer: Answer) -> RunAnswer {
    let Answer { told, trouble, .. } = answer;
    let (trouble, retry_at) = trouble.map_or((None, None), |trouble| (Some(trouble.reason), trouble.next_at));
    RunAnswer { told: told.is_some(), trouble, retry_at }
}

/// Of an API key, which is who asks for things here.
pub(crate) fn profile(name: &str) -> UserProfile {
    UserProfile {
        kind: Some("service_account".to_owned()),
        uid: Some(name.to_owned()),
        display_name: Some(name.to_owned()),
        ..UserProfile::default()
    }
}

pub(crate) fn scope(team: &TeamId) -> Scope {
    Scope { kind: "Team".to_owned(), uid: Some(team.to_string()) }
}

fn prompt_of(request: &RunRequest) -> String {
    match &request.prompt {
        Prompt::Inline(prompt) => prompt.clone(),
        Prompt::Archived { preview, .. } => preview.clone(),
    }
}

fn whole_seconds(duration: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(duration.as_secs().max(0))
}

fn usage(pair: &RunPair, now: Timestamp, pricing: Pricing) -> RequestUsage {
    let run = &pair.run;
    let current = run.execution.as_ref().filter(|_| run.state != RunState::Queued && run.held_slot().is_some());
    let running = current.map_or(0, |execution| now.duration_since(execution.dispatched_at).as_secs().max(0));
    let seconds = run.compute_seconds + u64::try_from(running).unwrap_or(0);
    let fargate = if seconds == 0 { 0.0 } else { run.size(pricing.size).fargate_micro_usd(seconds) as f64 / 1e6 };
    let current = run.execution.as_ref().filter(|execution| !execution.closed);
    let reported = current.map(|execution| execution.usage).unwrap_or_default();
    let tokens = run.usage.tokens.saturating_add(reported.tokens);
    let models = run.usage.micro_usd.saturating_add(reported.micro_usd);
    RequestUsage {
        inference_cost_usd: (models > 0).then_some(models as f64 / 1e6),
        tokens: (tokens > 0).then_some(tokens),
        compute_seconds: Some(seconds),
        compute_cost_usd: Some(if pricing.billed { fargate } else { 0.0 }),
        estimated_fargate_usd: Some(fargate),
        ..RequestUsage::default()
    }
}
