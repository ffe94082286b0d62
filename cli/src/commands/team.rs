//! `oz team`, `oz stop` and `oz resume`.

use clap::{Args, Subcommand};
use ozma_api::wire::{Budget, StopResult, Team, Weights};

use crate::args::Global;
use crate::client::Client;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::scheduling::{budget_with, budget_words};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz team                                        the plan, what is set, whether it is paused
  oz team set --queued-runs 500 --budget-usd 200
  oz team pause                                  nothing starts; agents at work finish, what is asked for waits
  oz team resume";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct TeamArgs {
    #[command(subcommand)]
    command: Option<TeamCommand>,
}

#[derive(Debug, Subcommand)]
enum TeamCommand {
    /// Show the team
    Get,
    /// Change what the team sets for itself; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Set(Box<SetArgs>),
    /// Start no run until the team is resumed
    Pause,
    /// Start what waited
    Resume,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// Runs that may wait, all in all
    #[arg(long, value_name = "RUNS")]
    queued_runs: Option<u32>,
    /// Runs that may wait of one automation
    #[arg(long, value_name = "RUNS")]
    queued_runs_of_automation: Option<u32>,
    /// Runs that one API key may ask for in an hour
    #[arg(long, value_name = "RUNS")]
    runs_per_hour: Option<u32>,
    /// How often automations are served against others, from 1 to 100
    #[arg(long, value_name = "WEIGHT")]
    automation_weight: Option<u16>,
    /// How often schedules are served against others, from 1 to 100
    #[arg(long, value_name = "WEIGHT")]
    schedule_weight: Option<u16>,
    /// How often people and programs are served against others, from 1 to 100
    #[arg(long, value_name = "WEIGHT")]
    user_weight: Option<u16>,
    /// What all runs of a month may spend, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget_usd: Option<f64>,
    /// The minutes of compute that all runs of a month may use
    #[arg(long, value_name = "MINUTES")]
    budget_minutes: Option<u64>,
    /// The tokens that all runs of a month may use
    #[arg(long, value_name = "TOKENS")]
    budget_tokens: Option<u64>,
    /// Forget everything that was set; options beside it are set anew
    #[arg(long)]
    reset: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  oz stop           agents at work finish; nothing starts until `oz resume`
  oz stop --kill    they are cancelled as well, and gone within a minute

What waits keeps its place. This is for the whole installation; `oz team pause` is for one team.")]
pub(crate) struct StopArgs {
    /// Cancel the runs that are at work
    #[arg(long)]
    kill: bool,
}

pub(crate) async fn run(global: &Global, args: TeamArgs) -> Result<Exit, Failure> {
    let team = connect::with(global, async |client| carry_out(client, args.command.unwrap_or(TeamCommand::Get)).await);
    output::item(global.output_format, &team.await?, lines)?;
    Ok(Exit::Succeeded)
}

async fn carry_out(client: &Client, command: TeamCommand) -> Result<Team, Failure> {
    Ok(match command {
        TeamCommand::Get => client.team().await?,
        TeamCommand::Pause => client.change_team("pause").await?,
        TeamCommand::Resume => client.change_team("resume").await?,
        TeamCommand::Set(args) => {
            let mut settings = if args.reset { Default::default() } else { client.team().await?.settings };
            settings.queued_runs = args.queued_runs.or(settings.queued_runs);
            settings.queued_runs_of_automation = args.queued_runs_of_automation.or(settings.queued_runs_of_automation);
            settings.runs_per_hour = args.runs_per_hour.or(settings.runs_per_hour);
            let weights = settings.weights.take().unwrap_or_default();
            let weights = Weights {
                automation: args.automation_weight.or(weights.automation),
                schedule: args.schedule_weight.or(weights.schedule),
                user: args.user_weight.or(weights.user),
            };
            settings.weights = Some(weights).filter(|weights| *weights != Weights::default());
            let given = Budget { usd: args.budget_usd, minutes: args.budget_minutes, tokens: args.budget_tokens };
            settings.budget = budget_with(settings.budget.take(), &given);
            client.set_team(&settings).await?
        }
    })
}

pub(crate) async fn stop(global: &Global, args: StopArgs) -> Result<Exit, Failure> {
    let mode = if args.kill { "kill" } else { "drain" };
    let stopped = connect::with(global, async |client| Ok(client.stop(mode).await?)).await?;
    output::item(global.output_format, &stopped, |stopped: &StopResult| {
        let left = stopped.live.saturating_sub(stopped.cancelled);
        vec![
            ("Paused", format!("{}; `oz resume` lets them go on", teams(stopped.teams))),
            ("Agents", format!("{} were at work: {} cancelled, {left} finish", stopped.live, stopped.cancelled)),
        ]
    })?;
    Ok(Exit::Succeeded)
}

pub(crate) async fn resume(global: &Global) -> Result<Exit, Failure> {
    let resumed = connect::with(global, async |client| Ok(client.resume().await?)).await?;
    output::item(global.output_format, &resumed, |resumed| vec![("Resumed", teams(resumed.teams))])?;
    Ok(Exit::Succeeded)
}

fn teams(number: usize) -> String {
    if number == 1 { "1 team".to_owned() } else { format!("{number} teams") }
}

fn lines(team: &Team) -> Vec<(&'static str, String)> {
    let settings = &team.settings;
    let number = |value: Option<u32>, otherwise: &str| value.map_or(otherwise.to_owned(), |value| value.to_string());
    let paused = match (team.paused, &team.paused_by, team.paused_at) {
        (false, ..) => "no".to_owned(),
        (true, Some(by), Some(at)) => format!("by {by} at {at:.0}"),
        (true, ..) => "yes".to_owned(),
    };
    let weights = settings.weights.clone().unwrap_or_default();
    let weight = |weight: Option<u16>| weight.unwrap_or(1);
    let budget = settings.budget.as_ref().and_then(budget_words);
    vec![
        ("Team", team.team.to_string()),
        ("Plan", format!("{}: {} agents at once", team.plan.name, team.plan.concurrent_agents)),
        ("Paused", paused),
        ("Queued runs", format!("at most {}", number(settings.queued_runs, "10000"))),
        ("Per automation", format!("at most {}", number(settings.queued_runs_of_automation, "1000"))),
        ("Runs per hour", number(settings.runs_per_hour, "any number for each API key")),
        (
            "Weights",
            format!(
                "automations {}, schedules {}, users {}",
                weight(weights.automation),
                weight(weights.schedule),
                weight(weights.user)
            ),
        ),
        (
            "Used",
            team.used.as_ref().map_or("nothing is counted without a budget".to_owned(), |used| {
                let usd = values::usd(used.usd);
                format!("{usd}, {:.0} minutes, {} tokens in {}", used.minutes, used.tokens, used.month)
            }),
        ),
        ("Budget", budget.map_or("none".to_owned(), |budget| format!("{budget} a month"))),
    ]
}
