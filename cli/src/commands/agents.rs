//! `oz agents`: who is at work.

use clap::Subcommand;
use ozma_api::wire::{RunItem, RunList};
use ozma_domain::state::RunState;
use ozma_domain::text::{one_line, shorten};

use crate::args::Global;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List the agents that are running now
    List,
}

pub(crate) async fn run(global: &Global, AgentsCommand::List: AgentsCommand) -> Result<Exit, Failure> {
    connect::with(global, async |client| {
        let live = RunState::ALL.into_iter().filter(|state| state.is_live());
        let mut filters: Vec<_> = live.map(|state| ("state", state.to_string())).collect();
        filters.extend([("limit", "500".to_owned()), ("sort_by", "created_at".to_owned())]);
        let list = client.runs(&filters).await?;
        print(global, &list)
    })
    .await?;
    Ok(Exit::Succeeded)
}

fn print(global: &Global, list: &RunList) -> Result<(), Failure> {
    let now = output::now();
    let header = ["RUN", "STATE", "TITLE", "HARNESS", "ISOLATION", "ATTEMPT", "FOR"];
    let row = |run: &RunItem| {
        let harness = run.agent_config.as_ref().and_then(|config| config.harness.as_ref()?.kind.clone());
        vec![
            Text::Id(run.run_id.to_string()),
            Text::State(run.state),
            shorten(&one_line(&run.title), 50).into(),
            harness.unwrap_or_default().into(),
            run.isolation.map_or("", |isolation| isolation.as_str()).into(),
            run.attempt.map(|attempt| attempt.to_string()).unwrap_or_default().into(),
            values::took(values::between(run.started_at.unwrap_or(run.created_at), now)).into(),
        ]
    };
    output::list(global.output_format, list, &list.runs, &header, row, "No agent is running.")
}
