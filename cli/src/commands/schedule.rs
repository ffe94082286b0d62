//! `oz schedule`: runs that are planned.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ozma_api::wire::{CreateRunRequest, Missed, ScheduleItem, ScheduleOccurrence, ScheduleRequest};
use ozma_domain::harness::HarnessKind;
use ozma_domain::schedule::{Overlap, Policies, Timetable};
use ozma_domain::text::{one_line, shorten};
use serde::Serialize;

use crate::args::{Format, Global};
use crate::ask;
use crate::client::Client;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::repo::RepoArgs;
use crate::scheduling::{self, SchedulingArgs, moment};
use crate::task::{self, HarnessArg};
use crate::values;
use crate::workplace::WorkplaceArgs;

const EXAMPLES: &str = "\
Examples:
  oz schedule create --name nightly --cron '0 3 * * *' --timezone Europe/Berlin --env web --task 'make report'
  oz schedule create --name poll --cron 'rate(15 minutes)' --overlap skip --task 'make poll'
  oz schedule next --cron '0 9 * * MON-FRI' --timezone America/New_York     when that would be
  oz schedule get nightly                                                   the next times, and what became of the last
  oz schedule run nightly                                                   a run of it at once
  oz schedule pause nightly";

const CRON: &str = "\
When: five cron fields, minute hour day-of-month month day-of-week ('0 9 * * MON-FRI', '0 0 L * *', '0 9 * * MON#1'),
@hourly, @daily, @weekly, @monthly, @yearly, rate(90 minutes), or once at(2026-12-24T18:00:00)";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum ScheduleCommand {
    /// Plan runs
    #[command(after_help = EXAMPLES)]
    Create(Box<CreateArgs>),
    /// List schedules
    List,
    /// Show a schedule, the next ten times, and what became of the last ones
    Get {
        /// Its id or its name
        schedule: String,
    },
    /// Change a schedule; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(Box<UpdateArgs>),
    /// Start nothing by it until it is resumed
    Pause {
        /// Its id or its name
        schedule: String,
    },
    /// Go on from now; what was planned meanwhile is left out
    Resume {
        /// Its id or its name
        schedule: String,
    },
    /// Start a run of it at once, beside what is planned
    Run {
        /// Its id or its name
        schedule: String,
    },
    /// Tell when a schedule, or an expression, would start runs
    Next(NextArgs),
    /// Delete a schedule; runs that it started go on
    Delete {
        /// Its id or its name
        schedule: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What to call it
    #[arg(short, long)]
    name: String,

    #[arg(long, value_name = "WHEN", help = CRON)]
    cron: String,

    /// What each run does; - reads it from standard input
    #[arg(short = 'p', long = "task", visible_alias = "prompt", value_name = "TEXT")]
    task: String,

    /// What carries out the task: shell runs it as a bash script
    #[arg(long, default_value_t = HarnessArg(HarnessKind::Shell), value_name = "HARNESS")]
    harness: HarnessArg,

    /// Start nothing until it is resumed
    #[arg(long)]
    paused: bool,

    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    schedule: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    #[arg(long, value_name = "WHEN", help = CRON)]
    cron: Option<String>,
    /// What each run does; - reads it from standard input
    #[arg(short = 'p', long = "task", visible_alias = "prompt", value_name = "TEXT")]
    task: Option<String>,
    /// What carries out the task
    #[arg(long, value_name = "HARNESS")]
    harness: Option<HarnessArg>,
    #[command(flatten)]
    fields: Fields,
    #[arg(long, conflicts_with = "env")]
    remove_env: bool,
    #[arg(long, conflicts_with = "agent")]
    remove_agent: bool,
    #[arg(long, conflicts_with = "runner")]
    remove_runner: bool,
    #[arg(long, conflicts_with = "timeout")]
    remove_timeout: bool,
    #[arg(long, conflicts_with = "starts")]
    remove_starts: bool,
    #[arg(long, conflicts_with = "ends")]
    remove_ends: bool,
    /// Forget timeouts and budgets of its runs, but for --timeout
    #[arg(long)]
    remove_limits: bool,
}

/// What create sets, and update replaces or, of repositories, adds.
#[derive(Debug, Default, Args)]
struct Fields {
    /// The IANA zone that the times are in, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// While an earlier run goes on: skip, queue, supersede or allow [default: skip]
    #[arg(long, value_name = "POLICY")]
    overlap: Option<Overlap>,

    /// Times that were missed: skip, latest, or all=N for the last N of them [default: latest]
    #[arg(long, value_name = "POLICY", value_parser = missed)]
    missed: Option<Missed>,

    /// Start up to so much later, always by the same for the same time; such as 5m
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    jitter: Option<Duration>,

    /// Plan nothing before: a time, or a length of time from now
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    starts: Option<Timestamp>,

    /// Plan nothing from then on: a time, or a length of time from now
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    ends: Option<Timestamp>,

    #[command(flatten)]
    workplace: WorkplaceArgs,

    #[command(flatten)]
    repos: RepoArgs,

    /// A title for its runs; made from the task if not given
    #[arg(long)]
    title: Option<String>,

    /// The deadline of each run, such as 90s, 10m or 1h30m; the plan's bounds it
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,

    #[command(flatten)]
    scheduling: SchedulingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NextArgs {
    /// Its id or its name; or say --cron
    #[arg(required_unless_present = "cron", conflicts_with = "cron")]
    schedule: Option<String>,
    #[arg(long, value_name = "WHEN", help = CRON)]
    cron: Option<String>,
    /// The IANA zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// How many times
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

/// `oz schedule next`, for scripts.
#[derive(Serialize)]
struct Times {
    times: Vec<Timestamp>,
}

pub(crate) async fn run(global: &Global, command: ScheduleCommand) -> Result<Exit, Failure> {
    if let ScheduleCommand::Next(NextArgs { cron: Some(cron), timezone, count, .. }) = &command {
        return next_of_expression(global, cron, timezone.as_deref(), usize::from(*count));
    }
    // Nothing is started by looking after schedules; runs come with time, from a control plane that stays.
    let connection = connect::connect(global, None, Work::NoStarts).await?;
    let result = carry_out(global, &connection.client, command).await;
    let plans = *result.as_ref().unwrap_or(&false);
    if plans && connection.is_embedded() {
        output::note("note: no control plane is running; `oz up` starts what is planned");
    }
    connection.close().await;
    result.map(|_| Exit::Succeeded)
}

/// Whether something was planned that needs somebody to start it.
async fn carry_out(global: &Global, client: &Client, command: ScheduleCommand) -> Result<bool, Failure> {
    match command {
        ScheduleCommand::Create(args) => {
            let request = args.request(client).await?;
            let schedule = client.create_schedule(&request).await?;
            output::item(global.output_format, &schedule, lines)?;
            return Ok(schedule.enabled);
        }
        ScheduleCommand::List => {
            let list = client.schedules().await?;
            let header = ["ID", "NAME", "WHEN", "ZONE", "STATE", "LAST RAN", "NEXT RUN"];
            let now = output::now();
            let row = |schedule: &ScheduleItem| row(schedule, now);
            output::list(global.output_format, &list, &list.schedules, &header, row, "There are no schedules.")?;
        }
        ScheduleCommand::Get { schedule } => {
            output::item(global.output_format, &client.schedule(&schedule).await?, lines)?;
        }
        ScheduleCommand::Update(args) => {
            let schedule = client.schedule(&args.schedule).await?;
            let id = schedule.id.clone();
            let request = args.apply(client, schedule).await?;
            let schedule = client.update_schedule(&id, &request).await?;
            output::item(global.output_format, &schedule, lines)?;
            return Ok(schedule.enabled);
        }
        ScheduleCommand::Pause { schedule } => {
            let ScheduleItem { id, .. } = client.schedule(&schedule).await?;
            output::item(global.output_format, &client.pause_schedule(&id).await?, lines)?;
        }
        ScheduleCommand::Resume { schedule } => {
            let ScheduleItem { id, .. } = client.schedule(&schedule).await?;
            output::item(global.output_format, &client.resume_schedule(&id).await?, lines)?;
            return Ok(true);
        }
        ScheduleCommand::Run { schedule } => {
            let ScheduleItem { id, .. } = client.schedule(&schedule).await?;
            let created = client.run_schedule(&id).await?;
            let follow = ("Follow it with", format!("oz run get {}", created.run_id));
            output::item(global.output_format, &created, |created| vec![("Run", created.run_id.to_string()), follow])?;
            return Ok(true);
        }
        ScheduleCommand::Next(NextArgs { schedule, count, .. }) => {
            let schedule = client.schedule(&schedule.unwrap_or_default()).await?;
            print_times(global, &times_of(&schedule, usize::from(count))?, &schedule.timezone)?;
        }
        ScheduleCommand::Delete { schedule, force } => {
            let ScheduleItem { id, name, .. } = client.schedule(&schedule).await?;
            if !ask::confirm(&format!("Delete the schedule {}?", one_line(&name)), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_schedule(&id).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", one_line(&name))])?;
        }
    }
    Ok(false)
}

/// Needs nobody: the rules are the same here and there.
fn next_of_expression(global: &Global, cron: &str, timezone: Option<&str>, count: usize) -> Result<Exit, Failure> {
    let timetable = Timetable::parse(cron, timezone).map_err(|err| Failure::usage(err.to_string()))?;
    let now = output::now();
    let times: Vec<Timestamp> = timetable.planned(&Policies::default(), now, now).take(count).collect();
    print_times(global, &times, timetable.timezone())?;
    Ok(Exit::Succeeded)
}

fn times_of(schedule: &ScheduleItem, count: usize) -> Result<Vec<Timestamp>, Failure> {
    let timetable = Timetable::parse(&schedule.cron_schedule, Some(&schedule.timezone));
    let timetable = timetable.map_err(|err| Failure::new(err.to_string()))?;
    let policies = Policies { starts_at: schedule.starts_at, ends_at: schedule.ends_at, ..Policies::default() };
    Ok(timetable.planned(&policies, schedule.created_at, output::now()).take(count).collect())
}

fn print_times(global: &Global, times: &[Timestamp], timezone: &str) -> Result<(), Failure> {
    match global.output_format {
        Format::Json => output::json(&Times { times: times.to_vec() }),
        Format::Ndjson => times.iter().try_for_each(output::json_line),
        Format::Pretty | Format::Text if times.is_empty() => output::line("It is over: there are no more times."),
        Format::Pretty | Format::Text => times.iter().try_for_each(|at| output::line(local(*at, timezone))),
    }
}

/// In the schedule's own zone, with its day of the week.
fn local(at: Timestamp, timezone: &str) -> String {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
}

fn missed(text: &str) -> Result<Missed, String> {
    let of = |policy: &str, at_most| Ok(Missed { policy: Some(policy.to_owned()), at_most });
    match text.split_once('=') {
        None if matches!(text, "skip" | "latest") => of(text, None),
        Some(("all", number)) => match number.parse() {
            Ok(number) => of("all", Some(number)),
            Err(_) => Err(format!("\"{number}\" is not a number of times")),
        },
        _ => Err(format!("\"{text}\" is not skip, latest or all=N")),
    }
}

impl CreateArgs {
    async fn request(self, client: &Client) -> Result<ScheduleRequest, Failure> {
        let mut request = ScheduleRequest {
            name: Some(self.name),
            cron_schedule: Some(self.cron),
            prompt: Some(task::read(&self.task)?),
            enabled: Some(!self.paused),
            ..ScheduleRequest::default()
        };
        request.agent_config.get_or_insert_default().harness = Some(self.harness.into());
        self.fields.add_to(client, &mut request).await?;
        Ok(request)
    }
}

impl UpdateArgs {
    /// The removals first, so that one command can replace.
    async fn apply(self, client: &Client, schedule: ScheduleItem) -> Result<ScheduleRequest, Failure> {
        let mut request = ScheduleRequest {
            name: self.name.or(Some(schedule.name)),
            cron_schedule: self.cron.or(Some(schedule.cron_schedule)),
            prompt: Some(schedule.prompt),
            enabled: Some(schedule.enabled),
            agent_config: schedule.agent_config,
            agent_uid: schedule.agent_uid.filter(|_| !self.remove_agent),
            metadata: schedule.metadata,
            title: schedule.title,
            timezone: Some(schedule.timezone),
            missed: Some(schedule.missed),
            overlap: Some(schedule.overlap),
            jitter_seconds: Some(schedule.jitter_seconds),
            starts_at: schedule.starts_at.filter(|_| !self.remove_starts),
            ends_at: schedule.ends_at.filter(|_| !self.remove_ends),
            scheduling: schedule.scheduling,
            limits: schedule.limits.filter(|_| !self.remove_limits),
            ..ScheduleRequest::default()
        };
        let config = request.agent_config.get_or_insert_default();
        if self.remove_env {
            config.environment_id = None;
        }
        if self.remove_runner {
            config.runner_id = None;
        }
        if self.remove_timeout {
            config.deadline_seconds = None;
        }
        if let Some(text) = &self.task {
            request.prompt = Some(task::read(text)?);
        }
        if let Some(harness) = self.harness {
            request.agent_config.get_or_insert_default().harness = Some(harness.into());
        }
        self.fields.add_to(client, &mut request).await?;
        Ok(request)
    }
}

impl Fields {
    async fn add_to(self, client: &Client, request: &mut ScheduleRequest) -> Result<(), Failure> {
        request.timezone = self.timezone.or(request.timezone.take());
        request.overlap = self.overlap.or(request.overlap);
        request.missed = self.missed.or(request.missed.take());
        let jitter = self.jitter.map(|jitter| u32::try_from(jitter.as_secs()).unwrap_or(u32::MAX));
        request.jitter_seconds = jitter.or(request.jitter_seconds);
        request.starts_at = self.starts.or(request.starts_at);
        request.ends_at = self.ends.or(request.ends_at);
        request.title = self.title.or(request.title.take());
        let mut run = CreateRunRequest {
            scheduling: request.scheduling.take(),
            limits: request.limits.take(),
            ..CreateRunRequest::default()
        };
        self.scheduling.add_to(&mut run);
        (request.scheduling, request.limits) = (run.scheduling, run.limits);
        let config = request.agent_config.get_or_insert_default();
        let repositories = config.repositories.get_or_insert_default();
        self.repos.add_to(repositories).await?;
        if repositories.is_empty() {
            config.repositories = None;
        }
        self.workplace.add_to(client, config, &mut request.agent_uid).await?;
        config.deadline_seconds = self.timeout.map(|timeout| timeout.as_secs()).or(config.deadline_seconds);
        Ok(())
    }
}

fn row(schedule: &ScheduleItem, now: Timestamp) -> Vec<Text> {
    let history = schedule.history.clone().unwrap_or_default();
    let next = history.next_run.map(|at| local(at, &schedule.timezone)).unwrap_or_default();
    vec![
        Text::Id(schedule.id.to_string()),
        one_line(&schedule.name).into(),
        one_line(&schedule.cron_schedule).into(),
        schedule.timezone.clone().into(),
        state(schedule).into(),
        history.last_ran.map(|at| values::age(at, now)).unwrap_or_default().into(),
        next.into(),
    ]
}

fn state(schedule: &ScheduleItem) -> &'static str {
    let next = schedule.history.as_ref().and_then(|history| history.next_run);
    match (schedule.enabled, next) {
        (false, _) => "paused",
        (true, Some(_)) => "active",
        (true, None) => "over",
    }
}

fn lines(schedule: &ScheduleItem) -> Vec<(&'static str, String)> {
    let config = schedule.agent_config.clone().unwrap_or_default();
    let repositories = config.repositories.iter().flatten().map(|repo| match &repo.reference {
        Some(reference) => format!("{} at {reference}", repo.url),
        None => repo.url.to_string(),
    });
    let length = |seconds: u64| values::took(Duration::from_secs(seconds));
    let missed = match (&schedule.missed.policy, schedule.missed.at_most) {
        (Some(policy), Some(at_most)) => format!("{policy}, at most {at_most}"),
        (policy, _) => policy.clone().unwrap_or_default(),
    };
    let at = |at: Timestamp| local(at, &schedule.timezone);
    let times = |times: &Vec<Timestamp>| times.iter().map(|time| at(*time)).collect::<Vec<_>>().join("\n");
    let past =
        |past: &Vec<ScheduleOccurrence>| past.iter().map(|one| occurrence(one, at)).collect::<Vec<_>>().join("\n");
    let lines = [
        ("ID", schedule.id.to_string()),
        ("Name", one_line(&schedule.name)),
        ("State", state(schedule).to_owned()),
        ("When", schedule.cron_schedule.clone()),
        ("Zone", schedule.timezone.clone()),
        ("Starts", schedule.starts_at.map(at).unwrap_or_default()),
        ("Ends", schedule.ends_at.map(at).unwrap_or_default()),
        ("Overlap", schedule.overlap.to_string()),
        ("Missed times", missed),
        ("Jitter", Some(schedule.jitter_seconds).filter(|s| *s > 0).map(|s| length(s.into())).unwrap_or_default()),
        ("Task", shorten(&one_line(&schedule.prompt), 400)),
        ("Title", schedule.title.as_deref().map(one_line).unwrap_or_default()),
        ("Harness", config.harness.and_then(|harness| harness.kind).unwrap_or_default()),
        ("Environment", config.environment_id.unwrap_or_default()),
        ("Runner", config.runner_id.unwrap_or_default()),
        ("Repositories", repositories.collect::<Vec<_>>().join("\n")),
        ("Deadline", config.deadline_seconds.map(length).unwrap_or_default()),
        ("Last error", schedule.last_spawn_error.as_deref().map(one_line).unwrap_or_default()),
        ("Next times", schedule.next_runs.as_ref().map(times).unwrap_or_default()),
        ("Last times", schedule.occurrences.as_ref().map(past).unwrap_or_default()),
        ("Updated", schedule.updated_at.to_string()),
    ];
    let mut lines: Vec<_> = lines.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let at = lines.iter().position(|(name, _)| *name == "Task").unwrap_or(lines.len());
    lines.splice(at..at, scheduling::lines(schedule.scheduling.as_ref(), schedule.limits.as_ref()));
    lines
}

fn occurrence(past: &ScheduleOccurrence, at: impl Fn(Timestamp) -> String) -> String {
    let planned = past.planned_at.map_or_else(|| "at once".to_owned(), &at);
    let became = match (&past.run_id, &past.error) {
        (Some(run), _) => format!("{run} {}", past.run_state.as_deref().unwrap_or_default()),
        (None, Some(error)) => format!("no run: {}", one_line(error)),
        (None, None) => String::new(),
    };
    let left_out = past.left_out.map(|times| format!(" ({times} before it were missed)")).unwrap_or_default();
    format!("{planned}  {became}{left_out}")
}
