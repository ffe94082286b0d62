//! `oz runner`: which machines agents work on.

use clap::{Args, Subcommand};
use ozma_api::wire::{Runner, RunnerConfig};
use ozma_domain::text::one_line;

use crate::args::Global;
use crate::ask;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz runner create --name small --vcpus 1 --memory-gb 2
  oz runner update small --docker-image debian:12 --setup-command 'apt-get install -y jq'
  oz run --runner small --task 'make lint'";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum RunnerCommand {
    /// Define a runner
    #[command(after_help = EXAMPLES)]
    Create {
        /// Unique within the team
        #[arg(short, long)]
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// List runners
    List,
    /// Show a runner
    Get {
        /// Its id or its name
        runner: String,
    },
    /// Change a runner; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(Box<UpdateArgs>),
    /// Delete a runner
    Delete {
        /// Its id or its name
        runner: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    runner: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[arg(long, conflicts_with = "description")]
    remove_description: bool,
    #[arg(long, conflicts_with = "docker_image")]
    remove_docker_image: bool,
    /// The plan's size again
    #[arg(long, conflicts_with = "vcpus")]
    remove_shape: bool,
    /// Repeatable
    #[arg(long, value_name = "COMMAND")]
    remove_setup_command: Vec<String>,
}

/// What create sets and update adds.
#[derive(Debug, Default, Args)]
pub(crate) struct Fields {
    /// At most 240 characters
    #[arg(short, long)]
    description: Option<String>,

    /// The image that agents run in, in the place of the environment's
    #[arg(long, value_name = "IMAGE")]
    docker_image: Option<String>,

    /// A command to run before those of the environment. Repeatable, in order
    #[arg(short = 'c', long, value_name = "COMMAND")]
    setup_command: Vec<String>,

    /// 1, 2, 4, 8 or 16; the plan's is the most that a run gets
    #[arg(long, value_name = "N", requires = "memory_gb")]
    vcpus: Option<u32>,

    /// From 2 to 8 GB with one vCPU, from 4 to 16 with two, from 8 to 30 with four
    #[arg(long, value_name = "GB", requires = "vcpus")]
    memory_gb: Option<u32>,
}

pub(crate) async fn run(global: &Global, command: RunnerCommand) -> Result<Exit, Failure> {
    connect::with(global, async |client| match command {
        RunnerCommand::Create { name, fields } => {
            let config = fields.add_to(RunnerConfig { name: Some(name), ..RunnerConfig::default() });
            print(global, &client.create_runner(&config).await?)
        }
        RunnerCommand::List => {
            let list = client.runners().await?;
            let header = ["ID", "NAME", "SHAPE", "IMAGE", "UPDATED"];
            let now = output::now();
            let row = |runner: &Runner| row(runner, now);
            output::list(global.output_format, &list, &list.runners, &header, row, "There are no runners.")
        }
        RunnerCommand::Get { runner } => print(global, &client.runner(&runner).await?),
        RunnerCommand::Update(args) => {
            let runner = client.runner(&args.runner).await?;
            print(global, &client.update_runner(&runner.uid, &args.apply(runner.config)?).await?)
        }
        RunnerCommand::Delete { runner, force } => {
            let runner = client.runner(&runner).await?;
            let name = name(&runner);
            if !ask::confirm(&format!("Delete the runner {name}?"), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_runner(&runner.uid).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", name)])
        }
    })
    .await?;
    Ok(Exit::Succeeded)
}

impl Fields {
    fn add_to(self, mut config: RunnerConfig) -> RunnerConfig {
        config.description = self.description.or(config.description);
        config.docker_image = self.docker_image.or(config.docker_image);
        config.setup_commands.get_or_insert_default().extend(self.setup_command);
        config.vcpus = self.vcpus.or(config.vcpus);
        config.memory_gb = self.memory_gb.or(config.memory_gb);
        config
    }
}

impl UpdateArgs {
    /// The removals first, so that one command can replace. Removing what is not there is an error: it is a slip.
    fn apply(self, mut config: RunnerConfig) -> Result<RunnerConfig, Failure> {
        let commands = config.setup_commands.get_or_insert_default();
        for command in &self.remove_setup_command {
            values::take(commands, "runner", command, |existing| existing == command)?;
        }
        if self.remove_description {
            config.description = None;
        }
        if self.remove_docker_image {
            config.docker_image = None;
        }
        if self.remove_shape {
            (config.vcpus, config.memory_gb) = (None, None);
        }
        config.name = self.name.or(config.name);
        Ok(self.fields.add_to(config))
    }
}

fn name(runner: &Runner) -> String {
    runner.config.name.as_deref().map_or_else(|| runner.uid.to_string(), one_line)
}

fn shape(runner: &Runner) -> Option<String> {
    Some(format!("{} vCPU, {} GB", runner.config.vcpus?, runner.config.memory_gb?))
}

fn row(runner: &Runner, now: jiff::Timestamp) -> Vec<Text> {
    vec![
        Text::Id(runner.uid.to_string()),
        name(runner).into(),
        shape(runner).unwrap_or_default().into(),
        runner.config.docker_image.as_deref().map(one_line).unwrap_or_default().into(),
        values::age(runner.last_updated, now).into(),
    ]
}

fn print(global: &Global, runner: &Runner) -> Result<(), Failure> {
    output::item(global.output_format, runner, lines)
}

fn lines(runner: &Runner) -> Vec<(&'static str, String)> {
    let config = &runner.config;
    let commands: Vec<String> = config.setup_commands.iter().flatten().map(|command| one_line(command)).collect();
    let lines = [
        ("ID", runner.uid.to_string()),
        ("Name", name(runner)),
        ("Description", config.description.as_deref().map(one_line).unwrap_or_default()),
        ("Shape", shape(runner).unwrap_or_else(|| "the plan's".to_owned())),
        ("Image", config.docker_image.as_deref().map(one_line).unwrap_or_default()),
        ("Set-up", commands.join("\n")),
        ("Updated", runner.last_updated.to_string()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[track_caller]
    fn update(line: &str, expected: &str) {
        let config = serde_json::json!({"name": "small", "setup_commands": ["a", "b"], "vcpus": 1, "memory_gb": 2});
        let line = format!("oz runner update small {line}");
        let told = match Cli::try_parse_from(line.split_whitespace()) {
            Ok(cli) => {
                let Command::Runner(RunnerCommand::Update(args)) = cli.command else { unreachable!() };
                let config = args.apply(serde_json::from_value(config).unwrap());
                config.map_or_else(|failure| failure.lines(false).join(" / "), |c| serde_json::to_string(&c).unwrap())
            }
            Err(err) => err.to_string(),
        };
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn an_update_changes_what_it_names() {
        update("", r#"{"name":"small","setup_commands":["a","b"],"vcpus":1,"memory_gb":2}"#);
        update("--remove-setup-command b -c c", r#"{"name":"small","setup_commands":["a","c"],"vcpus":1"#);
        update("--remove-setup-command x", "error: the runner does not have x");
        update("--vcpus 2 --memory-gb 4 -n x", r#"{"name":"x","setup_commands":["a","b"],"vcpus":2,"memory_gb":4}"#);
        update("--remove-shape", r#"{"name":"small","setup_commands":["a","b"]}"#);
        update("--vcpus 2", "error: the following required arguments were not provided:\n  --memory-gb <GB>");
    }
}
