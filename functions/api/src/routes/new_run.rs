//! From the body of a create request to what the use case takes: each refusal names its field.

use axum::http::HeaderMap;
use ozma_app::App;
use ozma_app::accept::{Idempotency, NewRun};
use ozma_domain::audit::digest;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::id::{AgentId, TeamId};
use ozma_domain::limits;
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::repository::Repository;
use ozma_domain::run::RunSource;
use ozma_domain::template::{RunTemplate, check_metadata, check_prompt};
use serde_json::Value;

use super::fields::{available, check_mcp_servers, check_mode, check_strategy, id};
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::wire::{AgentConfig, CreateRunRequest, Harness};

const HARNESS: &str = "config.harness.type";

pub(crate) fn new_run(caller: Caller, headers: &HeaderMap, body: Body<CreateRunRequest>) -> Result<NewRun, ApiError> {
    let parent_run_id = id("parent_run_id", body.value.parent_run_id.as_deref())?;
    let template = template(body.value, limits::PROMPT_BYTES)?;
    Ok(NewRun {
        idempotency: idempotency(headers, &body.bytes)?,
        parent_run_id,
        ..NewRun::from_template(template, caller.team, caller.name, source(headers))
    })
}

/// A run of a named agent that says no harness has the agent's. What is stored to be asked for later says it itself: a prompt
/// is for one kind of harness, and a script is no template.
pub(crate) async fn with_harness(app: &App, team: &TeamId, request: &mut CreateRunRequest) -> Result<(), ApiError> {
    let agent: Option<AgentId> = id("agent_identity_uid", request.agent_identity_uid.as_deref())?;
    let config = request.config.as_ref();
    let Some(uid) = agent.filter(|_| config.is_none_or(|config| harness_of(config).is_none())) else { return Ok(()) };
    // Where there is no such agent, that is what is said of it later.
    let agent = app.store.resource::<NamedAgent>(team, &uid).await?;
    if let Some(harness) = agent.and_then(|stored| stored.value.config.harness) {
        let config = request.config.get_or_insert_default();
        config.harness.get_or_insert_default().kind = Some(harness.as_str().to_owned());
    }
    Ok(())
}

/// What a request says of a run, whoever asks for it and when.
pub(crate) fn template(request: CreateRunRequest, prompt_bytes: usize) -> Result<RunTemplate, ApiError> {
    refuse_what_is_not_there(&request)?;
    let mut config = request.config.unwrap_or_default();
    check_config(&config)?;
    let prompt = request.prompt.unwrap_or_default();
    check_prompt(&prompt, prompt_bytes)?;
    let agent = id("agent_identity_uid", request.agent_identity_uid.as_deref())?;
    if agent.is_some() && harness_of(&config).is_none() {
        let reason = "needed beside an agent: say what carries out the prompt, such as shell";
        return Err(ApiError::invalid(HARNESS, reason));
    }
    let harness = available(HARNESS, harness_of(&config).unwrap_or("oz"))?;
    config.harness = Some(Harness { kind: Some(harness.as_str().to_owned()), ..config.harness.unwrap_or_default() });

    let environment = id("config.environment_id", config.environment_id.as_deref())?;
    let runner = id("config.runner_id", config.runner_id.as_deref())?;
    let repositories: Vec<Repository> =
        config.repositories.clone().unwrap_or_default().into_iter().map(Into::into).collect();
    if repositories.len() > limits::ENVIRONMENT_ITEMS {
        return Err(ApiError::invalid("config.repositories", format!("at most {}", limits::ENVIRONMENT_ITEMS)));
    }
    let agent_config = match serde_json::to_value(&config) {
        Ok(Value::Object(config)) => config,
        _ => return Err(ApiError::invalid("config", "cannot be stored")),
    };
    let metadata = request.metadata.unwrap_or_default();
    check_metadata(&metadata)?;
    let scheduling = request.scheduling.unwrap_or_default().into_domain()?;
    scheduling.check()?;
    let limits = request.limits.unwrap_or_default().into_domain()?;
    limits.check(config.deadline_seconds, scheduling.queue_seconds)?;
    Ok(RunTemplate {
        prompt,
        title: request.title.filter(|title| !title.trim().is_empty()),
        harness,
        agent_config,
        environment,
        agent,
        runner,
        repositories,
        deadline_seconds: config.deadline_seconds,
        metadata,
        scheduling,
        limits,
    })
}

/// Parts of the contract that this version cannot honour are refused rather than dropped in silence.
fn refuse_what_is_not_there(request: &CreateRunRequest) -> Result<(), ApiError> {
    let config = request.config.as_ref();
    let unsupported = |field: &str, what: &str| {
        Err(ApiError::new(ErrorCode::OperationNotSupported, format!("{field}: {what} not supported by this version")))
    };
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let some = |list: Option<usize>| list.is_some_and(|length| length > 0);
    if given(&request.skill) || config.is_some_and(|c| given(&c.skill_spec) || some(c.skills.as_ref().map(Vec::len))) {
        return unsupported("skill", "skills are");
    }
    if given(&request.conversation_id) {
        return unsupported("conversation_id", "continuing a conversation is");
    }
    if some(request.attachments.as_ref().map(Vec::len)) || some(request.images.as_ref().map(Vec::len)) {
        return unsupported("attachments", "attachments are");
    }
    if given(&request.on_behalf_of) {
        return unsupported("on_behalf_of", "running on behalf of somebody is");
    }
    check_mode(request.mode.as_deref())
}

fn check_config(config: &AgentConfig) -> Result<(), ApiError> {
    if config.idle_timeout_minutes.is_some_and(|minutes| !(1..=60).contains(&minutes)) {
        return Err(ApiError::invalid("config.idle_timeout_minutes", "from 1 to 60"));
    }
    if config.deadline_seconds.is_some_and(|seconds| seconds < limits::DEADLINE_MIN_SECONDS) {
        return Err(ApiError::invalid("config.deadline_seconds", "at least 1"));
    }
    check_strategy("config.credential_strategy", config.credential_strategy.as_deref())?;
    check_mcp_servers("config.mcp_servers", config.mcp_servers.as_ref())?;
    if serde_json::to_vec(config).is_ok_and(|json| json.len() > limits::ENVIRONMENT_BYTES) {
        return Err(ApiError::invalid("config", format!("larger than {} bytes", limits::ENVIRONMENT_BYTES)));
    }
    Ok(())
}

fn harness_of(config: &AgentConfig) -> Option<&str> {
    config.harness.as_ref()?.kind.as_deref().filter(|kind| !kind.is_empty())
}

fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, ApiError> {
    const HEADER: &str = "Idempotency-Key";
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.len()));
    let reason = format!("1 to {} visible ASCII characters", limits::IDEMPOTENCY_KEY_BYTES);
    let key = key.ok_or_else(|| ApiError::invalid(HEADER, reason))?;
    Ok(Some(Idempotency { key: key.to_owned(), body_hash: digest(body).to_string() }))
}

/// Runs made through this API are `API`, but for those of our own command.
fn source(headers: &HeaderMap) -> RunSource {
    let agent = headers.get(axum::http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.starts_with("oz/") { RunSource::Cli } else { RunSource::Api }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(request: Value, expected: &str) {
        let caller = Caller { team: "local".parse().unwrap(), name: "admin".to_owned(), operator: false };
        let bytes = request.to_string().into();
        let body = Body { value: serde_json::from_value(request).unwrap(), bytes };
        let answer = match new_run(caller, &HeaderMap::new(), body) {
            Ok(run) => format!("{} {}", run.harness.as_str(), run.prompt),
            Err(err) => format!("{} {}", err.problem().status, err.problem().detail.clone().unwrap_or_default()),
        };
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn each_refusal_names_its_field() {
        let shell = json!({"harness": {"type": "shell"}});
        check(json!({"prompt": "true", "config": shell}), "shell true");
        check(json!({"config": shell}), "400 prompt: needed");
        check(json!({"prompt": "a\0b", "config": shell}), "400 prompt: contains NUL");
        check(json!({"prompt": "x".repeat(1024 * 1024 + 1), "config": shell}), "400 prompt: has 1048577 bytes");
        check(json!({"prompt": "true"}), "422 config.harness.type: the harness oz is not available");
        check(json!({"prompt": "true", "config": {"harness": {"type": "x"}}}), "400 config.harness.type: \"x\" is not");
        check(json!({"prompt": "true", "skill": "a/b:c"}), "422 skill:");
        let uid = "0123456789abcdefABCDEF";
        check(json!({"prompt": "true", "agent_identity_uid": uid}), "400 config.harness.type: needed beside an agent");
        check(json!({"prompt": "true", "agent_identity_uid": uid, "config": shell}), "shell true");
        check(json!({"prompt": "true", "agent_identity_uid": "x"}), "400 agent_identity_uid: \"x\" is not an agent id");
        check(json!({"prompt": "true", "mode": "plan", "config": shell}), "422 mode:");
        check(json!({"prompt": "true", "mode": "fast", "config": shell}), "400 mode:");
        check(json!({"prompt": "true", "parent_run_id": "x", "config": shell}), "400 parent_run_id:");
        check(json!({"prompt": "true", "metadata": {"a b": "c"}, "config": shell}), "400 metadata: the key \"a b\"");
        check(
            json!({"prompt": "true", "metadata": {"a": "x".repeat(257)}, "config": shell}),
            "400 metadata.a: at most",
        );
        let with =
            |name: &str, value: Value| json!({"prompt": "true", "config": {"harness": {"type": "shell"}, name: value}});
        check(with("environment_id", json!("web")), "400 config.environment_id: \"web\" is not an environment id");
        check(with("runner_id", json!("small")), "400 config.runner_id: \"small\" is not a runner id");
        check(with("deadline_seconds", json!(0)), "400 config.deadline_seconds");
        let beside = |name: &str, value: Value| json!({"prompt": "true", "config": shell, name: value});
        check(beside("scheduling", json!({"priority": 101})), "400 scheduling.priority: from -100 to 100");
        check(
            beside("scheduling", json!({"concurrency": {"policy": "skip"}})),
            "400 scheduling.concurrency.key: needed",
        );
        check(beside("limits", json!({"budget": {"usd": -1.0}})), "400 limits.budget.usd: more than 0");
        check(beside("limits", json!({"run_seconds": 0})), "400 limits.run_seconds: from 1");
        check(with("idle_timeout_minutes", json!(61)), "400 config.idle_timeout_minutes");
        check(with("mcp_servers", json!({"x": {}})), "400 config.mcp_servers.x: needs exactly one");
    }
}
