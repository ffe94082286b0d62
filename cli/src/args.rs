//! The command line. Each command's own arguments are in its file; here are the list of commands and what all share.
//!
//! This is also the only place of the command that reads environment variables, through clap's `env`.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use crate::commands::{
    agent, agents, apply, audit, automation, completions, delivery, environment, run, runner, schedule, secret,
    subscription, team, up, webhook,
};
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  oz run --repo . --task 'cargo test'       run a script in a fresh clone of this repository
  oz up                                     start the control plane of this machine
  oz run list --state failed                what went wrong lately
  oz audit verify RUN                       prove that a run's audit trail is intact

Exit codes:
  0 succeeded    1 could not do it    2 usage    3 the agent failed
  4 platform error    5 cancelled    130 interrupted

Without OZ_API_BASE_URL, `oz` works on this machine: with the control plane of `oz up` if one runs, else with one
inside the command itself.";

/// Run agents in isolated workspaces and keep a verifiable record of what they did.
#[derive(Debug, Parser)]
#[command(name = "oz", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the control plane of this machine and keep it running
    Up(up::UpArgs),
    /// Start a run, or look after runs
    #[command(visible_alias = "task")]
    Run(Box<run::RunArgs>),
    /// See agents that are at work
    #[command(subcommand)]
    Agents(agents::AgentsCommand),
    /// Manage named agents: what their runs begin with
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Manage runners: which machines agents work on
    #[command(subcommand)]
    Runner(runner::RunnerCommand),
    /// Manage environments: what agents work in
    #[command(subcommand, visible_alias = "e")]
    Environment(environment::EnvironmentCommand),
    /// Manage webhooks: addresses at which services tell what happened
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// See what came in, and what became of it
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Manage automations: runs that events start
    #[command(subcommand)]
    Automation(automation::AutomationCommand),
    /// Plan runs: cron, rates, or once
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Read and verify audit trails
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Manage secrets: written and listed, never read back
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Manage subscriptions: whom to tell when a run starts or ends
    #[command(subcommand)]
    Subscription(subscription::SubscriptionCommand),
    /// Make what there is be as files define it, all of it or nothing
    Apply(apply::ApplyArgs),
    /// Write what there is as definitions
    Export(apply::ExportArgs),
    /// Look after the team: caps, rates, weights, budget; pause and resume it
    Team(team::TeamArgs),
    /// Stop everything: nothing starts until `oz resume`
    Stop(team::StopArgs),
    /// Let everything go on
    Resume,
    /// Show the team, its plan and the key in use
    Whoami,
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// What runs inside the container
    #[command(hide = true)]
    AgentProcess,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How to print
    #[arg(long, global = true, env = "OZ_OUTPUT_FORMAT", value_enum, default_value_t = Format::Pretty, hide_env_values = true)]
    pub(crate) output_format: Format,

    /// The API key for `OZ_API_BASE_URL`; a local control plane's key is found by itself
    #[arg(long, global = true, env = "OZ_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<SecretString>,

    #[arg(long, global = true, env = "WARP_API_KEY", hide = true, hide_env_values = true)]
    warp_api_key: Option<SecretString>,

    /// Where the API is, when it is not on this machine
    #[arg(long, global = true, env = "OZ_API_BASE_URL", value_name = "URL")]
    api_base_url: Option<String>,

    /// Where the local control plane keeps everything [default: ~/.local/share/ozma]
    #[arg(long, global = true, env = "OZ_DATA_DIR", value_name = "DIR", value_parser = path())]
    data_dir: Option<PathBuf>,

    #[arg(long, global = true, env = "XDG_DATA_HOME", hide = true, value_parser = path())]
    xdg_data_home: Option<PathBuf>,

    #[arg(long, global = true, env = "HOME", hide = true, value_parser = path())]
    home: Option<PathBuf>,

    /// Tell every cause of an error
    #[arg(long, global = true)]
    pub(crate) debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: tables and, on a terminal, colours and a spinner
    Pretty,
    /// Plain lines
    Text,
    /// One JSON document
    Json,
    /// One JSON document per line
    Ndjson,
}

/// A path that may be empty: a variable that is set to nothing is not set.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl Global {
    /// The key for a control plane elsewhere.
    pub(crate) fn api_key(&self) -> Option<&SecretString> {
        let keys = [&self.api_key, &self.warp_api_key];
        keys.into_iter().flatten().find(|key| !key.expose_secret().trim().is_empty())
    }

    /// A variable that is set to nothing is not set.
    pub(crate) fn api_base_url(&self) -> Option<&str> {
        self.api_base_url.as_deref().filter(|url| !url.trim().is_empty())
    }

    /// An absolute path: a control plane in the background has another working directory.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        let given = |dir: &Option<PathBuf>| dir.clone().filter(|dir| !dir.as_os_str().is_empty());
        let dir = match (given(&self.data_dir), given(&self.xdg_data_home), given(&self.home)) {
            (Some(dir), ..) => dir,
            (None, Some(data), _) if data.is_absolute() => data.join("ozma"),
            (None, _, Some(home)) => home.join(".local/share/ozma"),
            (None, _, None) => {
                return Err(Failure::usage("there is no place for the data").hint("give one with --data-dir"));
            }
        };
        std::path::absolute(&dir)
            .map_err(|err| Failure::new(format!("cannot use {} as the data folder", dir.display())).because(err))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn check(line: &str, valid: bool) {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parsed.is_ok(), valid, "{line}: {:?}", parsed.err().map(|err| err.to_string()));
    }

    const RUN: &str = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_are_read_as_documented() {
        check("oz", false);
        check("oz up --port 8484 --data-dir d --plan max", true);
        check("oz up --plan gold", false);
        check("oz run", false);
        check("oz run --task true", true);
        check("oz run -p true --prompt true", false);
        check("oz run --prompt true --repo . --ref main --timeout 10m --detach --harness shell", true);
        check("oz run --prompt true --timeout soon", false);
        check("oz run --prompt true --harness clippy", false);
        check("oz run --prompt true list", false);
        check("oz --output-format json run list", true);
        // Global options go before `run` or after its subcommand.
        check("oz run --output-format json list", false);
        check("oz run list --state queued --state in-progress -L 5 --output-format ndjson", true);
        check("oz run list --state asleep", false);
        check(&format!("oz run get {RUN}"), true);
        check("oz run get 17", false);
        check(&format!("oz run logs {RUN} -f"), true);
        check(&format!("oz run wait {RUN} {RUN}"), true);
        check("oz run wait", false);
        check("oz agents list", true);
        check("oz agent", false);
        check("oz agent create --name x --harness shell --env web --runner small --secret T", true);
        check("oz agent update x --prompt y --remove-prompt", false);
        check("oz runner create -n x --vcpus 2 --memory-gb 4 -c true", true);
        check("oz run --agent x --runner y --env z --task true", true);
        check("oz agent-process", true);
        check("oz environment create --name web --repo acme/web -c true --var A=B --secret T --network none", true);
        check("oz environment create --name web --var AB", false);
        check("oz automation create --name deploy --task true --env web --repo . --timeout 10m --paused", true);
        check("oz automation create --name deploy", false);
        check("oz automation rotate-secret deploy", true);
        check("oz automation create --name fix --task true --on acme --event issue.labeled --filter {}", true);
        check("oz automation create --name fix --task true --on acme --provider github", false);
        check("oz automation test fix --delivery 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10", true);
        check("oz webhook create --name acme --scheme github --mention @oz", true);
        check("oz webhook create --name acme", false);
        check("oz webhook create --name acme --token --scheme github", false);
        check("oz webhook create --name acme --scheme sha1", false);
        check("oz webhook rotate-secret billing --secret-stdin", true);
        check("oz delivery list --webhook acme --limit 10", true);
        check("oz delivery list --limit 0", false);
        check("oz delivery replay acme", false);
        check(&format!("oz audit verify {RUN} --dir d"), false);
        check(&format!("oz audit verify {RUN} --dir d --public-key k"), true);
        check("oz secret create NPM_TOKEN", true);
        check("oz secret create 1PASSWORD", false);
        check("oz secret create NPM_TOKEN hunter2", false);
        check("oz run --task true --key acme/web --if-busy skip --start-after 2h --priority -3", true);
        check("oz run --task true --if-busy skip", false);
        check("oz team", true);
        check("oz team set --queued-runs 5 --budget-usd 1.5", true);
        check("oz stop --kill", true);
        check("oz resume", true);
        check("oz apply -f oz.yaml -f deploy --prune --set prod --yes", true);
        check("oz apply", false);
        check("oz apply --schema", true);
        check("oz apply -f oz.yaml --schema", false);
        check("oz apply -f oz.yaml --plan --yes", false);
        check("oz apply -f oz.yaml --set 'a/b'", false);
        check("oz export", true);
        check("oz export automation fix review", true);
        check("oz export runner", true);
        check("oz export team", false);
        check("oz completions bash", true);
    }

    #[track_caller]
    fn data_dir(line: &str, expected: &str) {
        let mut global = Cli::try_parse_from(line.split_whitespace()).unwrap().global;
        global.data_dir = global.data_dir.filter(|_| line.contains("--data-dir"));
        global.xdg_data_home = global.xdg_data_home.filter(|_| line.contains("--xdg-data-home"));
        assert_eq!(global.data_dir().unwrap().to_str(), Some(expected));
    }

    #[test]
    fn the_data_folder_is_where_data_belongs() {
        data_dir("oz whoami --home /home/ada", "/home/ada/.local/share/ozma");
        data_dir("oz whoami --home /home/ada --xdg-data-home /data", "/data/ozma");
        data_dir("oz whoami --home /home/ada --xdg-data-home relative", "/home/ada/.local/share/ozma");
        data_dir("oz whoami --data-dir /d --home /home/ada", "/d");
    }
}
