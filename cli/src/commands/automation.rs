//! `oz automation`: runs that the outside starts.

use std::time::Duration;

use clap::{Args, Subcommand};
use ozma_api::wire::{Automation, AutomationConfig, CreateRunRequest, TestRequest, TestResult};
use ozma_domain::filter::Condition;
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::DeliveryId;
use ozma_domain::repository::RepositoryUrl;
use ozma_domain::text::{one_line, shorten};

use crate::args::{Format, Global};
use crate::ask;
use crate::client::Client;
use crate::connect;
use crate::control_plane::Work;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::repo::RepoArgs;
use crate::scheduling::{self, SchedulingArgs};
use crate::task::{self, HarnessArg};
use crate::trigger::{self, TriggerArgs};
use crate::values;
use crate::workplace::WorkplaceArgs;

const EXAMPLES: &str = "\
Examples:
  oz automation create --name deploy --env web --task 'make deploy'     prints its webhook, secret, and how to call it
  oz automation create --name fix --on acme --event issue.labeled --filter '{\"label\": {\"name\": \"agent\"}}' --task …
  oz automation test fix --delivery DELIVERY                            what it would make of an event; nothing is started
  oz automation update deploy --pause
  oz automation rotate-secret deploy                                    the old secret works for 24 hours more
  oz run list --name deploy                                             what it has started";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum AutomationCommand {
    /// Define a run that a signed webhook or a planned event starts
    #[command(after_help = EXAMPLES)]
    Create(Box<CreateArgs>),
    /// List automations
    List,
    /// Show an automation
    Get {
        /// Its id or its name
        automation: String,
    },
    /// Change an automation; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(Box<UpdateArgs>),
    /// Delete an automation; runs that it started go on
    Delete {
        /// Its id or its name
        automation: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// Tell what it would make of an event that came before; nothing is started
    Test {
        /// Its id or its name
        automation: String,
        /// The event: `oz delivery list`
        #[arg(long)]
        delivery: DeliveryId,
    },
    /// Give its webhook a new secret; the one before works for 24 hours more
    RotateSecret {
        /// Its id or its name
        automation: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Unique within the team
    #[arg(short, long)]
    name: String,

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
    automation: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    /// What each run does; - reads it from standard input
    #[arg(short = 'p', long = "task", visible_alias = "prompt", value_name = "TEXT")]
    task: Option<String>,
    /// What carries out the task
    #[arg(long, value_name = "HARNESS")]
    harness: Option<HarnessArg>,
    /// Start nothing any more
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Start runs again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    fields: Fields,
    #[arg(long, conflicts_with = "env")]
    remove_env: bool,
    #[arg(long, conflicts_with = "agent")]
    remove_agent: bool,
    #[arg(long, conflicts_with = "runner")]
    remove_runner: bool,
    /// Only its own address and events of the account start it
    #[arg(long, conflicts_with_all = ["on", "provider", "event", "filter"])]
    remove_on: bool,
    #[arg(long, conflicts_with = "title")]
    remove_title: bool,
    #[arg(long, conflicts_with = "timeout")]
    remove_timeout: bool,
    /// Its runs need not wait for one another
    #[arg(long, conflicts_with = "key")]
    remove_key: bool,
    /// Forget timeouts and budgets of its runs, but for --timeout
    #[arg(long)]
    remove_limits: bool,
    /// Repeatable
    #[arg(long, value_name = "REPO")]
    remove_repo: Vec<RepositoryUrl>,
}

/// What create sets, and update replaces or, of repositories, adds.
#[derive(Debug, Default, Args)]
struct Fields {
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
    trigger: TriggerArgs,

    #[command(flatten)]
    scheduling: SchedulingArgs,

    /// How often it is served against others of the team, from 1 to 100
    #[arg(long)]
    weight: Option<u16>,

    /// Runs that it may start in an hour; with --key, for each key
    #[arg(long, value_name = "RUNS")]
    runs_per_hour: Option<u32>,

    /// What all its runs of a month may spend, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    monthly_usd: Option<f64>,
}

pub(crate) async fn run(global: &Global, command: AutomationCommand) -> Result<Exit, Failure> {
    // Nothing is started by looking after automations; runs come with webhooks, to a control plane that stays.
    let connection = connect::connect(global, None, Work::NoStarts).await?;
    let result = carry_out(global, &connection.client, command).await;
    let told_address = *result.as_ref().unwrap_or(&false);
    if told_address && connection.is_embedded() {
        output::note("note: no control plane is running; `oz up` takes webhooks, by default at port 8484");
    }
    connection.close().await;
    result.map(|_| Exit::Succeeded)
}

/// Whether an address was told that somebody is about to use.
async fn carry_out(global: &Global, client: &Client, command: AutomationCommand) -> Result<bool, Failure> {
    match command {
        AutomationCommand::Create(args) => {
            let config = args.config(client).await?;
            print_with_secret(global, &client.create_automation(&config).await?)?;
            return Ok(true);
        }
        AutomationCommand::List => {
            let list = client.automations().await?;
            let header = ["ID", "NAME", "STATE", "TASK", "UPDATED"];
            let now = output::now();
            let row = |automation: &Automation| row(automation, now);
            output::list(global.output_format, &list, &list.automations, &header, row, "There are no automations.")?;
        }
        AutomationCommand::Get { automation } => {
            output::item(global.output_format, &client.automation(&automation).await?, lines)?;
        }
        AutomationCommand::Update(args) => {
            let automation = client.automation(&args.automation).await?;
            let id = automation.id.clone();
            let config = args.apply(client, automation).await?;
            output::item(global.output_format, &client.update_automation(&id, &config).await?, lines)?;
        }
        AutomationCommand::Delete { automation, force } => {
            let Automation { id, name, .. } = client.automation(&automation).await?;
            if !ask::confirm(&format!("Delete the automation {}?", one_line(&name)), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_automation(&id).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", one_line(&name))])?;
        }
        AutomationCommand::Test { automation, delivery } => {
            let Automation { id, .. } = client.automation(&automation).await?;
            let request = TestRequest { delivery_id: Some(delivery.to_string()), config: None };
            output::item(global.output_format, &client.test_automation(&id, &request).await?, tried)?;
        }
        AutomationCommand::RotateSecret { automation } => {
            let Automation { id, .. } = client.automation(&automation).await?;
            print_with_secret(global, &client.rotate_secret(&id).await?)?;
            return Ok(true);
        }
    }
    Ok(false)
}

impl CreateArgs {
    async fn config(self, client: &Client) -> Result<AutomationConfig, Failure> {
        let mut run = CreateRunRequest { prompt: Some(task::read(&self.task)?), ..CreateRunRequest::default() };
        run.config.get_or_insert_default().harness = Some(self.harness.into());
        let mut config =
            AutomationConfig { name: Some(self.name), paused: Some(self.paused), ..AutomationConfig::default() };
        self.fields.add_to(client, &mut config, run).await?;
        Ok(config)
    }
}

impl UpdateArgs {
    /// The removals first, so that one command can replace. Removing what is not there is an error: it is a slip.
    async fn apply(self, client: &Client, automation: Automation) -> Result<AutomationConfig, Failure> {
        let Automation { name, paused, mut run, mut on, weight, runs_per_hour, budget, .. } = automation;
        if self.remove_on {
            on = None;
        }
        let config = run.config.get_or_insert_default();
        let repositories = config.repositories.get_or_insert_default();
        for url in &self.remove_repo {
            values::take(repositories, "automation", url, |existing| existing.url == *url)?;
        }
        if self.remove_env {
            config.environment_id = None;
        }
        if self.remove_runner {
            config.runner_id = None;
        }
        if self.remove_agent {
            run.agent_identity_uid = None;
        }
        if self.remove_timeout {
            config.deadline_seconds = None;
        }
        if self.remove_title {
            run.title = None;
        }
        if let Some(text) = &self.task {
            run.prompt = Some(task::read(text)?);
        }
        if let Some(harness) = self.harness {
            run.config.get_or_insert_default().harness = Some(harness.into());
        }
        if self.remove_key
            && let Some(scheduling) = &mut run.scheduling
        {
            scheduling.concurrency = None;
        }
        if self.remove_limits {
            run.limits = None;
        }
        let paused = (paused || self.pause) && !self.resume;
        let name = self.name.or(Some(name));
        let mut config = AutomationConfig { name, paused: Some(paused), on, run: None, weight, runs_per_hour, budget };
        self.fields.add_to(client, &mut config, run).await?;
        Ok(config)
    }
}

impl Fields {
    async fn add_to(
        self,
        client: &Client,
        automation: &mut AutomationConfig,
        mut run: CreateRunRequest,
    ) -> Result<(), Failure> {
        automation.weight = self.weight.or(automation.weight);
        automation.runs_per_hour = self.runs_per_hour.or(automation.runs_per_hour);
        if let Some(usd) = self.monthly_usd {
            automation.budget.get_or_insert_default().usd = Some(usd);
        }
        self.trigger.add_to(&mut automation.on)?;
        self.scheduling.add_to(&mut run);
        let config = run.config.get_or_insert_default();
        let repositories = config.repositories.get_or_insert_default();
        self.repos.add_to(repositories).await?;
        if repositories.is_empty() {
            config.repositories = None;
        }
        self.workplace.add_to(client, config, &mut run.agent_identity_uid).await?;
        config.deadline_seconds = self.timeout.map(|timeout| timeout.as_secs()).or(config.deadline_seconds);
        run.title = self.title.or(run.title.take());
        automation.run = Some(run);
        Ok(())
    }
}

fn row(automation: &Automation, now: jiff::Timestamp) -> Vec<Text> {
    let task = automation.run.prompt.as_deref().map(one_line).unwrap_or_default();
    vec![
        Text::Id(automation.id.to_string()),
        one_line(&automation.name).into(),
        state(automation).into(),
        shorten(&task, 60).into(),
        values::age(automation.last_updated, now).into(),
    ]
}

fn state(automation: &Automation) -> &'static str {
    if automation.paused { "paused" } else { "active" }
}

/// What it would make of an event.
fn tried(result: &TestResult) -> Vec<(&'static str, String)> {
    let condition = |condition: &Condition| {
        let Condition { path, wanted, found, holds } = condition;
        format!("{} {path} {wanted}, found {found}", if *holds { "yes" } else { "no " })
    };
    let lines = [
        ("Starts", if result.starts { "yes" } else { "no" }.to_owned()),
        ("Why", result.why.as_deref().map(one_line).unwrap_or_default()),
        ("Filter", result.conditions.iter().map(condition).collect::<Vec<_>>().join("\n")),
        ("Key", result.key.clone().unwrap_or_default()),
        ("Secrets", if result.secrets { "yes" } else { "no" }.to_owned()),
        ("Absent", result.absent.join(", ")),
        ("Prompt", result.prompt.clone().unwrap_or_default()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn lines(automation: &Automation) -> Vec<(&'static str, String)> {
    let run = &automation.run;
    let config = run.config.clone().unwrap_or_default();
    let repositories = config.repositories.iter().flatten().map(|repo| match &repo.reference {
        Some(reference) => format!("{} at {reference}", repo.url),
        None => repo.url.to_string(),
    });
    let deadline = config.deadline_seconds.map(|seconds| values::took(Duration::from_secs(seconds)));
    let mut more = trigger::lines(automation.on.as_ref());
    more.extend(scheduling::lines(run.scheduling.as_ref(), run.limits.as_ref()));
    let monthly = automation.budget.as_ref().and_then(|budget| budget.usd);
    let lines = [
        ("ID", automation.id.to_string()),
        ("Name", one_line(&automation.name)),
        ("State", state(automation).to_owned()),
        ("Paused because", automation.paused_because.as_deref().map(one_line).unwrap_or_default()),
        ("Task", run.prompt.as_deref().map(|prompt| shorten(&one_line(prompt), 400)).unwrap_or_default()),
        ("Title", run.title.as_deref().map(one_line).unwrap_or_default()),
        ("Harness", config.harness.and_then(|harness| harness.kind).unwrap_or_default()),
        ("Environment", config.environment_id.unwrap_or_default()),
        ("Runner", config.runner_id.unwrap_or_default()),
        ("Repositories", repositories.collect::<Vec<_>>().join("\n")),
        ("Deadline", deadline.unwrap_or_default()),
        ("Weight", automation.weight.map(|weight| weight.to_string()).unwrap_or_default()),
        ("Runs per hour", automation.runs_per_hour.map(|runs| runs.to_string()).unwrap_or_default()),
        ("Monthly budget", monthly.map(values::usd).unwrap_or_default()),
        ("Webhook", automation.webhook_url.clone()),
        ("Secret", automation.webhook_secret.clone().unwrap_or_default()),
        ("Rotated", automation.secret_rotated_at.map(|at| at.to_string()).unwrap_or_default()),
        ("Updated", automation.last_updated.to_string()),
    ];
    let mut lines: Vec<_> = lines.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let at = lines.iter().position(|(name, _)| *name == "Webhook").unwrap_or(lines.len());
    lines.splice(at..at, more);
    lines
}

/// The one time that the secret is told, with what can be done with it.
fn print_with_secret(global: &Global, automation: &Automation) -> Result<(), Failure> {
    output::item(global.output_format, automation, lines)?;
    if let (Format::Pretty | Format::Text, Some(secret)) = (global.output_format, &automation.webhook_secret) {
        output::note("\nThe secret is not shown again. To try the webhook:\n");
        output::line(example(&automation.webhook_url, secret))?;
    }
    Ok(())
}

/// For any POSIX shell with openssl and curl.
fn example(url: &str, secret: &str) -> String {
    format!(
        "\
body='{{\"hello\":\"world\"}}' id=$(openssl rand -hex 12) timestamp=$(date +%s)
key=$(printf %s '{secret}' | cut -c7- | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$(printf %s \"$id.$timestamp.$body\" | openssl dgst -sha256 -mac HMAC -macopt \"hexkey:$key\" -binary | base64)
curl -sS '{url}' -H 'content-type: application/json' -d \"$body\" \\
  -H \"webhook-id: $id\" -H \"webhook-timestamp: $timestamp\" -H \"webhook-signature: v1,$signature\""
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn automation() -> Automation {
        serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdefABCDEF", "name": "deploy", "paused": true,
            "run": {"prompt": "make\ndeploy", "title": "t", "metadata": {"a": "b"}, "config": {
                "environment_id": "3Fz9kQ0vWm7LxYb2RtUe1C", "harness": {"type": "shell"}, "deadline_seconds": 90,
                "repositories": [{"url": "acme/web", "ref": "main"}, {"url": "acme/api"}],
            }},
            "webhook_url": "http://127.0.0.1:8484/webhooks/0123456789abcdefABCDEF",
            "created_at": "2026-11-21T00:00:00Z", "last_updated": "2026-11-21T00:00:00Z",
        }))
        .unwrap()
    }

    async fn update(line: &str) -> Result<String, String> {
        let line = format!("oz automation update deploy {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|err| err.to_string())?;
        let Command::Automation(AutomationCommand::Update(args)) = cli.command else { unreachable!() };
        let nobody = Client::new("http://127.0.0.1:1", None).unwrap();
        let config = args.apply(&nobody, automation()).await.map_err(|failure| failure.lines(false).join(" / "))?;
        Ok(serde_json::to_string(&config).unwrap())
    }

    #[tokio::test]
    async fn an_update_changes_what_it_names() {
        insta::assert_snapshot!(update("").await.unwrap(), @r#"{"name":"deploy","paused":true,"run":{"prompt":"make\ndeploy","config":{"environment_id":"3Fz9kQ0vWm7LxYb2RtUe1C","harness":{"type":"shell"},"repositories":[{"url":"https://github.com/acme/web","ref":"main"},{"url":"https://github.com/acme/api"}],"deadline_seconds":90},"title":"t","metadata":{"a":"b"}}}"#);
        insta::assert_snapshot!(update("--resume --name ship --task true --timeout 10m --repo acme/web --ref v2").await.unwrap(), @r#"{"name":"ship","paused":false,"run":{"prompt":"true","config":{"environment_id":"3Fz9kQ0vWm7LxYb2RtUe1C","harness":{"type":"shell"},"repositories":[{"url":"https://github.com/acme/api"},{"url":"https://github.com/acme/web","ref":"v2"}],"deadline_seconds":600},"title":"t","metadata":{"a":"b"}}}"#);
        insta::assert_snapshot!(update("--remove-env --remove-title --remove-timeout --remove-repo acme/web --remove-repo acme/api").await.unwrap(), @r#"{"name":"deploy","paused":true,"run":{"prompt":"make\ndeploy","config":{"harness":{"type":"shell"}},"metadata":{"a":"b"}}}"#);
        insta::assert_snapshot!(update("--remove-repo acme/app").await.unwrap_err(), @"error: the automation does not have https://github.com/acme/app");
        assert!(update("--pause --resume").await.unwrap_err().contains("cannot be used with"));
    }

    #[test]
    fn an_automation_is_shown_without_what_it_lacks() {
        let lines: Vec<String> = lines(&automation()).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
ID: 0123456789abcdefABCDEF
Name: deploy
State: paused
Task: make deploy
Title: t
Harness: shell
Environment: 3Fz9kQ0vWm7LxYb2RtUe1C
Repositories: https://github.com/acme/web at main
https://github.com/acme/api
Deadline: 1 min 30 s
Webhook: http://127.0.0.1:8484/webhooks/0123456789abcdefABCDEF
Updated: 2026-11-21T00:00:00Z
");
    }
}
