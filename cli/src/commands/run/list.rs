//! `oz run list`.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use ozma_api::wire::{RunItem, RunList};
use ozma_domain::id::RunId;
use ozma_domain::state::RunState;
use ozma_domain::text::{one_line, shorten};

use crate::args::{Format, Global};
use crate::client::Client;
use crate::commands::environment;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz run list --state failed --state error     what went wrong
  oz run list --name nightly -L 100            the last hundred of a name
  oz run list --all --output-format ndjson     everything, for a program";

/// What the contract calls a run in no environment.
const NO_ENVIRONMENT: &str = "empty-environment";
/// The largest page.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// How many
    #[arg(short = 'L', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them, however many
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
    /// Only in this state. Repeatable
    #[arg(long)]
    state: Vec<RunState>,
    /// Only from this source, such as api, cli or scheduled-agent
    #[arg(long)]
    source: Option<String>,
    #[arg(long, value_enum)]
    execution_location: Option<Location>,
    #[arg(long, value_name = "UID")]
    creator: Option<String>,
    /// Only in this environment (its id or name); "none" for runs without one
    #[arg(short, long, value_name = "ENVIRONMENT")]
    environment: Option<String>,
    #[arg(long)]
    skill: Option<String>,
    #[arg(long, value_name = "ID")]
    schedule: Option<String>,
    #[arg(long, value_name = "RUN")]
    ancestor_run: Option<RunId>,
    /// Only of this name
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    model: Option<String>,
    #[arg(long, value_enum)]
    artifact_type: Option<ArtifactType>,
    /// Only with this metadata. Repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata)]
    metadata: Vec<(String, String)>,
    #[arg(long, value_name = "TIME")]
    created_after: Option<Timestamp>,
    #[arg(long, value_name = "TIME")]
    created_before: Option<Timestamp>,
    #[arg(long, value_name = "TIME")]
    updated_after: Option<Timestamp>,
    /// Only with these words in title or task
    #[arg(short, long)]
    query: Option<String>,
    #[arg(long, value_enum)]
    sort_by: Option<SortBy>,
    #[arg(long, value_enum)]
    sort_order: Option<SortOrder>,
    /// Where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Location {
    Local,
    Remote,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArtifactType {
    Plan,
    PullRequest,
    Screenshot,
    File,
    ExternalReference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SortBy {
    UpdatedAt,
    CreatedAt,
    Title,
    Agent,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SortOrder {
    Asc,
    Desc,
}

pub(crate) async fn run(global: &Global, args: ListArgs) -> Result<Exit, Failure> {
    let list = connect::with(global, async |client| collect(client, &args).await).await?;
    let now = output::now();
    let header = ["RUN", "STATE", "TITLE", "CREATED", "TOOK"];
    let row = |run: &RunItem| row(run, now);
    output::list(global.output_format, &list, &list.runs, &header, row, "There are no such runs.")?;
    if let (Format::Pretty, Some(cursor)) = (global.output_format, &list.page_info.next_cursor) {
        output::note(format_args!("There are more: --cursor {cursor}, a larger -L, or --all"));
    }
    Ok(Exit::Succeeded)
}

/// As many as asked for, over as many pages as it takes.
async fn collect(client: &Client, args: &ListArgs) -> Result<RunList, Failure> {
    let environment = match args.environment.as_deref() {
        Some("none") => Some(NO_ENVIRONMENT.to_owned()),
        Some(text) => Some(environment::find(client, text).await?.uid.to_string()),
        None => None,
    };
    let filters = filters(args, environment);
    let mut wanted = if args.all { u32::MAX } else { args.limit };
    let mut cursor = args.cursor.clone();
    let mut runs = Vec::new();
    loop {
        let mut page_filters = filters.clone();
        page_filters.push(("limit".to_owned(), wanted.min(PAGE).to_string()));
        page_filters.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor)));
        let page = client.runs(&page_filters).await?;
        wanted = wanted.saturating_sub(page.runs.len().try_into().unwrap_or(u32::MAX));
        let ended = page.runs.is_empty() || !page.page_info.has_next_page || page.page_info.next_cursor.is_none();
        cursor = page.page_info.next_cursor.clone();
        runs.extend(page.runs);
        if ended || wanted == 0 {
            return Ok(RunList { runs, page_info: page.page_info });
        }
    }
}

fn filters(args: &ListArgs, environment: Option<String>) -> Vec<(String, String)> {
    let mut filters: Vec<(String, String)> = Vec::new();
    filters.extend(args.state.iter().map(|state| ("state".to_owned(), state.to_string())));
    filters.extend(args.metadata.iter().map(|(key, value)| (format!("metadata[{key}]"), value.clone())));
    let mut add = |name: &str, value: Option<String>| filters.extend(value.map(|value| (name.to_owned(), value)));
    add("source", args.source.as_deref().map(wire_name));
    add("execution_location", args.execution_location.map(|value| wire_name(&shown(&value))));
    add("creator", args.creator.clone());
    add("environment_id", environment);
    add("skill", args.skill.clone());
    add("schedule_id", args.schedule.clone());
    add("ancestor_run_id", args.ancestor_run.map(|run| run.to_string()));
    add("name", args.name.clone());
    add("model_id", args.model.clone());
    add("artifact_type", args.artifact_type.map(|value| wire_name(&shown(&value))));
    add("created_after", args.created_after.map(|at| at.to_string()));
    add("created_before", args.created_before.map(|at| at.to_string()));
    add("updated_after", args.updated_after.map(|at| at.to_string()));
    add("q", args.query.clone());
    add("sort_by", args.sort_by.map(|value| wire_name(&shown(&value)).to_ascii_lowercase()));
    add("sort_order", args.sort_order.map(|value| shown(&value)));
    filters
}

/// `scheduled-agent` is `SCHEDULED_AGENT` on the wire.
fn wire_name(text: &str) -> String {
    text.to_ascii_uppercase().replace('-', "_")
}

fn shown<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn metadata(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not KEY=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn row(run: &RunItem, now: Timestamp) -> Vec<Text> {
    let took = run.ended_at.map(|ended| values::took(values::between(run.created_at, ended)));
    vec![
        Text::Id(run.run_id.to_string()),
        Text::State(run.state),
        shorten(&one_line(&run.title), 60).into(),
        values::age(run.created_at, now).into(),
        took.unwrap_or_default().into(),
    ]
}
