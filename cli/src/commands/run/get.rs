//! `oz run get`.

use ozma_api::wire::{RunAnswer, RunItem};
use ozma_domain::id::RunId;
use ozma_domain::text::{one_line, printable};

use crate::args::Global;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, state_style, styled};
use crate::scheduling;
use crate::values;
use crate::view;

pub(crate) async fn run(global: &Global, run: RunId) -> Result<Exit, Failure> {
    let run = connect::with(global, async |client| Ok(client.run(run).await?)).await?;
    output::item(global.output_format, &run, lines)?;
    Ok(Exit::Succeeded)
}

fn lines(run: &RunItem) -> Vec<(&'static str, String)> {
    let queue = run.queue.as_ref();
    let state = styled(state_style(run.state), run.state);
    let status = run.status_message.as_ref().map(|status| match status.error_code {
        Some(code) => format!("{} ({code})", printable(status.message.as_bytes())),
        None => printable(status.message.as_bytes()),
    });
    let config = run.agent_config.clone().unwrap_or_default();
    let repositories = run.repositories.iter().flatten().map(|repository| match &repository.reference {
        Some(reference) => format!("{} at {reference}", repository.url),
        None => repository.url.to_string(),
    });
    let metadata = run.metadata.iter().flatten().map(|(key, value)| format!("{key}={}", one_line(value)));
    let artifacts = run.artifacts.iter().flatten().filter(|artifact| artifact.artifact_type == "PULL_REQUEST");
    let pull_requests = artifacts.filter_map(|artifact| artifact.data.get("url")?.as_str().map(one_line));
    let prompt: Vec<String> = run.prompt.lines().take(20).map(|line| printable(line.as_bytes())).collect();
    let executor = run.executor.as_ref().filter(|_| run.executor != run.creator);
    let agent = executor.and_then(|agent| agent.display_name.as_deref()).map(one_line);
    let lines = [
        ("Run", run.run_id.to_string()),
        ("Title", one_line(&run.title)),
        ("State", state),
        ("Status", status.unwrap_or_default()),
        ("Waits for", queue.map(|queue| printable(queue.reason.as_bytes())).unwrap_or_default()),
        ("Position", queue.map(view::place).unwrap_or_default()),
        ("Starts", queue.and_then(view::estimate).unwrap_or_default()),
        ("Created", run.created_at.to_string()),
        ("Started", run.started_at.map(|at| at.to_string()).unwrap_or_default()),
        ("Ended", run.ended_at.map(|at| at.to_string()).unwrap_or_default()),
        ("Took", run.ended_at.map(|ended| values::took(values::between(run.created_at, ended))).unwrap_or_default()),
        ("Cost", view::cost(run).unwrap_or_default()),
        ("Name", config.name.as_deref().map(one_line).unwrap_or_default()),
        ("Harness", config.harness.and_then(|harness| harness.kind).unwrap_or_default()),
        ("Environment", config.environment_id.unwrap_or_default()),
        ("Runner", config.runner_id.unwrap_or_default()),
        ("Repositories", repositories.collect::<Vec<_>>().join("\n")),
        ("Isolation", run.isolation.map(|isolation| isolation.as_str().to_owned()).unwrap_or_default()),
        ("Attempt", run.attempt.map(|attempt| attempt.to_string()).unwrap_or_default()),
        ("Creator", run.creator.as_ref().and_then(|creator| creator.display_name.clone()).unwrap_or_default()),
        ("Agent", agent.unwrap_or_default()),
        ("Asked for at", run.trigger_url.as_deref().map(one_line).unwrap_or_default()),
        ("Answer", run.answer.as_ref().map(answered).unwrap_or_default()),
        ("Pull request", pull_requests.collect::<Vec<_>>().join("\n")),
        ("Metadata", metadata.collect::<Vec<_>>().join("\n")),
        ("Task", prompt.join("\n")),
    ];
    let mut lines: Vec<_> = lines.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let at = lines.len() - 1;
    lines.splice(at..at, scheduling::lines(run.scheduling.as_ref(), run.limits.as_ref()));
    lines
}

/// Whether people are told how it stands, and why not.
fn answered(answer: &RunAnswer) -> String {
    match (&answer.trouble, answer.retry_at) {
        (None, _) => "told".to_owned(),
        (Some(trouble), None) => format!("not told: {}", one_line(trouble)),
        (Some(trouble), Some(at)) => format!("not told, tried again at {at}: {}", one_line(trouble)),
    }
}
