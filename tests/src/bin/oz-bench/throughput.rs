//! Many small runs, as fast as the API takes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ozma_domain::plan::Plan;
use ozma_domain::state::RunState;
use tokio::task::JoinSet;

use crate::Result;
use crate::control_plane::{Api, ControlPlane, free_port};
use crate::machine;
use crate::processes::{AgentCounter, Memory};
use crate::report::{self, Times, time};
use crate::timelines::{self, since};

/// Between two counts of agents. A full house lasts far longer.
const COUNT_EVERY: Duration = Duration::from_millis(50);

/// For all runs to end.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    #[arg(long, default_value = "max")]
    plan: String,
    /// Senders at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    #[arg(long, default_value = "true")]
    task: String,
    /// Keep the data folder and its log
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn measure(oz: &Path, args: &Args) -> Result<()> {
    let Args { runs, plan, clients, task, keep } = args;
    let cap = usize::from(Plan::named(plan)?.concurrent_agents);
    let mut temporary = tempfile::tempdir()?;
    temporary.disable_cleanup(*keep);
    let data_dir = temporary.path().join("data");
    if *keep {
        report::line("data folder", &data_dir.display().to_string());
    }
    let mut control_plane = ControlPlane::start(oz, &data_dir, plan, free_port()?)?;
    control_plane.healthy().await?;
    let api = control_plane.api(&data_dir)?;
    report::line("load", &format!("{runs} runs of `{task}`, plan {plan}, {clients} clients"));

    let counter = AgentCounter::start(control_plane.pid(), COUNT_EVERY);
    let began = Instant::now();
    let accepts = accept_all(&api, task, *runs, *clients).await?;
    let accepting = began.elapsed();
    report::line("accepted in", &format!("{}: {:.0} a second", time(accepting), rate(accepts.len(), accepting)));
    report::line("an accept", &accepts.percentiles(&[50, 99]));
    if !api.all_ended(PATIENCE).await {
        return Err(format!("some runs had not ended after {} s", PATIENCE.as_secs()).into());
    }
    let agents = counter.finish();
    let memory = Memory::of(control_plane.pid());

    let listed = api.runs().await?;
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &listed {
        *states.entry(run.state.as_str()).or_default() += 1;
    }
    let executions = timelines::read(&api, listed.iter().map(|run| run.run_id).collect()).await?;
    let first = executions.iter().map(|execution| execution.created).min().ok_or("no execution")?;
    let last = executions.iter().filter_map(|execution| execution.ended).max().ok_or("no execution ended")?;
    let took = since(first, last);
    let held = timelines::most_at_once(&executions);
    let turns = timelines::turns(&executions);
    let lives: Times = executions.iter().filter_map(|e| Some(since(e.dispatched, e.ended?))).collect();
    let starts: Times = executions.iter().filter_map(|e| Some(since(e.dispatched, e.claimed?))).collect();
    let named: Vec<_> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    report::line("states", &named.join(", "));
    let retries = executions.len().saturating_sub(listed.len());
    report::line("executions", &format!("{}: {retries} retries", executions.len()));
    report::line("first accept to last end", &format!("{}: {:.1} runs a second", time(took), rate(listed.len(), took)));
    report::line("most agents alive at once", &format!("{agents} processes, {held} slots held"));
    report::line("slot freed to taken again", &turns.to_dispatch.percentiles(&[50, 95]));
    report::line("slot freed to next agent's claim", &turns.to_claim.percentiles(&[50, 95]));
    report::line("slot taken to agent's claim", &starts.percentiles(&[50, 95]));
    report::line("slot taken to given back", &lives.percentiles(&[50, 95]));
    report::line("oz up afterwards", &format!("RSS {}", report::mebibytes(memory.resident)));
    report::line("load after", &machine::load());

    let expected = usize::try_from(*runs)?;
    if states.get(RunState::Succeeded.as_str()) != Some(&expected) || listed.len() != expected {
        return Err("not every run succeeded exactly once".into());
    }
    if agents > cap || held > cap {
        return Err(format!("more agents than the plan's {cap}").into());
    }
    Ok(())
}

/// Sends all of them; how long each took to be answered.
async fn accept_all(api: &Api, task: &str, runs: u32, clients: u32) -> Result<Times> {
    let mut senders = JoinSet::new();
    for client in 0..clients {
        let (api, task) = (api.clone(), task.to_owned());
        senders.spawn(async move {
            let mut times = Vec::new();
            for run in (client..runs).step_by(clients as usize) {
                let began = Instant::now();
                api.accept(&task, &format!("run-{run}")).await?;
                times.push(began.elapsed());
            }
            Ok::<_, reqwest::Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = senders.join_next().await {
        all.extend(times??);
    }
    Ok(all.into_iter().collect())
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::EPSILON)
}
