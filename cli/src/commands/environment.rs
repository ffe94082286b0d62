//! `oz environment`: what agents work in.

use clap::{Args, Subcommand, ValueEnum};
use ozma_api::wire::{AwsProvider, Environment, EnvironmentConfig, Providers, Repository};
use ozma_domain::aws::{RoleArn, SecretReference};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{EnvironmentId, SecretName};
use ozma_domain::repository::RepositoryUrl;
use ozma_domain::text::{one_line, shorten};

use crate::args::Global;
use crate::ask;
use crate::client::Client;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::repo::RepoArgs;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz environment create --name web --repo acme/web --setup-command 'npm ci' --secret NPM_TOKEN
  oz environment update web --var NODE_ENV=test --network none
  oz run --env web --task 'npm test'";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum EnvironmentCommand {
    /// Define an environment
    #[command(after_help = EXAMPLES)]
    Create(Box<CreateArgs>),
    /// List environments
    List,
    /// Show an environment
    Get {
        /// Its id or its name
        environment: String,
    },
    /// Change an environment; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(Box<UpdateArgs>),
    /// Delete an environment
    Delete {
        /// Its id or its name
        environment: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Unique within the team
    #[arg(short, long)]
    name: String,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    environment: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[arg(long, conflicts_with = "description")]
    remove_description: bool,
    #[arg(long, conflicts_with = "docker_image")]
    remove_docker_image: bool,
    #[arg(long, conflicts_with = "aws_role")]
    remove_aws_role: bool,
    /// Repeatable
    #[arg(long, value_name = "REPO")]
    remove_repo: Vec<RepositoryUrl>,
    /// Repeatable
    #[arg(long, value_name = "COMMAND")]
    remove_setup_command: Vec<String>,
    /// Repeatable
    #[arg(long, value_name = "NAME")]
    remove_var: Vec<String>,
    /// Repeatable
    #[arg(long, value_name = "NAME")]
    remove_secret: Vec<SecretName>,
}

/// What create sets and update adds.
#[derive(Debug, Default, Args)]
struct Fields {
    /// At most 240 characters
    #[arg(long)]
    description: Option<String>,

    /// The image that agents run in, where there is a container engine
    #[arg(short, long, value_name = "IMAGE")]
    docker_image: Option<String>,

    #[command(flatten)]
    repos: RepoArgs,

    /// A command to run before the task, in a shell. Repeatable, in order
    #[arg(short = 'c', long, value_name = "COMMAND")]
    setup_command: Vec<String>,

    /// A variable of the task. Repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::variable)]
    var: Vec<(String, String)>,

    /// A secret by name, which becomes a variable of the task. Repeatable
    #[arg(long, value_name = "NAME")]
    secret: Vec<SecretName>,

    /// A variable whose value is a secret or a parameter in your AWS account. Repeatable
    #[arg(long, value_name = "NAME=ARN", value_parser = values::secret_reference)]
    secret_from: Vec<(SecretName, SecretReference)>,

    /// What the task may reach
    #[arg(long, value_enum)]
    network: Option<NetworkArg>,

    /// Which machines a cloud may take
    #[arg(long, value_enum)]
    capacity: Option<CapacityArg>,

    /// The role that the task acts as in AWS
    #[arg(long, value_name = "ARN")]
    aws_role: Option<RoleArn>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CapacityArg {
    /// Machines that stay
    OnDemand,
    /// Spare ones, at about a third of the price: the run is tried again if they are taken away
    Spot,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkArg {
    /// Everything
    Full,
    /// Nothing at all
    None,
}

pub(crate) async fn run(global: &Global, command: EnvironmentCommand) -> Result<Exit, Failure> {
    connect::with(global, async |client| match command {
        EnvironmentCommand::Create(args) => {
            let config = EnvironmentConfig { name: Some(args.name), ..EnvironmentConfig::default() };
            let config = args.fields.add_to(config).await?;
            print(global, &client.create_environment(&config).await?)
        }
        EnvironmentCommand::List => {
            let list = client.environments().await?;
            let header = ["ID", "NAME", "REPOSITORIES", "IMAGE", "UPDATED"];
            let now = output::now();
            let row = |environment: &Environment| row(environment, now);
            output::list(global.output_format, &list, &list.environments, &header, row, "There are no environments.")
        }
        EnvironmentCommand::Get { environment } => print(global, &find(client, &environment).await?),
        EnvironmentCommand::Update(args) => {
            let environment = find(client, &args.environment).await?;
            let config = args.apply(environment.config).await?;
            print(global, &client.update_environment(&environment.uid, &config).await?)
        }
        EnvironmentCommand::Delete { environment, force } => {
            let environment = find(client, &environment).await?;
            let name = name(&environment);
            if !ask::confirm(&format!("Delete the environment {name}?"), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            let deleted = client.delete_environment(&environment.uid).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", name)])
        }
    })
    .await?;
    Ok(Exit::Succeeded)
}

/// The environment of an id or a name.
pub(crate) async fn find(client: &Client, text: &str) -> Result<Environment, Failure> {
    // A name may look like an id, but the id wins: it is what scripts use.
    if let Ok(id) = text.parse::<EnvironmentId>() {
        match client.environment(&id).await {
            Ok(environment) => return Ok(environment),
            Err(err) if !err.is_not_found() => return Err(err.into()),
            Err(_) => {}
        }
    }
    let list = client.environments().await?;
    list.environments
        .into_iter()
        .find(|environment| environment.config.name.as_deref() == Some(text))
        .ok_or_else(|| Failure::new(format!("there is no environment \"{text}\"")).hint("see `oz environment list`"))
}

impl Fields {
    async fn add_to(self, mut config: EnvironmentConfig) -> Result<EnvironmentConfig, Failure> {
        self.repos.add_to(config.repositories.get_or_insert_default()).await?;
        // They are among the repositories; given beside them, they would come back after being removed.
        config.github_repos = None;
        config.description = self.description.or(config.description);
        config.docker_image = self.docker_image.or(config.docker_image);
        config.setup_commands.get_or_insert_default().extend(self.setup_command);
        config.variables.get_or_insert_default().extend(self.var);
        let secrets = config.secrets.get_or_insert_default();
        for name in self.secret {
            if !secrets.contains(&name) {
                secrets.push(name);
            }
        }
        config.network = self.network.map_or(config.network, |network| {
            Some(match network {
                NetworkArg::Full => Network::Full,
                NetworkArg::None => Network::None,
            })
        });
        config.secret_references.get_or_insert_default().extend(self.secret_from);
        config.capacity = self.capacity.map_or(config.capacity, |capacity| {
            Some(match capacity {
                CapacityArg::OnDemand => Capacity::OnDemand,
                CapacityArg::Spot => Capacity::Spot,
            })
        });
        if let Some(role_arn) = self.aws_role {
            config.providers = Some(Providers { aws: Some(AwsProvider { role_arn }), gcp: None });
        }
        Ok(config)
    }
}

impl UpdateArgs {
    /// The removals first, so that one command can replace. Removing what is not there is an error: it is a slip.
    async fn apply(self, mut config: EnvironmentConfig) -> Result<EnvironmentConfig, Failure> {
        let repositories: &mut Vec<Repository> = config.repositories.get_or_insert_default();
        for url in &self.remove_repo {
            values::take(repositories, "environment", url, |existing| existing.url == *url)?;
        }
        let commands = config.setup_commands.get_or_insert_default();
        for command in &self.remove_setup_command {
            values::take(commands, "environment", command, |existing| existing == command)?;
        }
        for name in &self.remove_var {
            let missing = || values::does_not_have("environment", name);
            config.variables.get_or_insert_default().remove(name).ok_or_else(missing)?;
        }
        let secrets = config.secrets.get_or_insert_default();
        for name in &self.remove_secret {
            if config.secret_references.get_or_insert_default().remove(name).is_some() {
                continue;
            }
            values::take(secrets, "environment", name, |existing| existing == name)?;
        }
        if self.remove_description {
            config.description = None;
        }
        if self.remove_docker_image {
            config.docker_image = None;
        }
        if self.remove_aws_role {
            config.providers = None;
        }
        config.name = self.name.or(config.name);
        self.fields.add_to(config).await
    }
}

fn name(environment: &Environment) -> String {
    environment.config.name.as_deref().map_or_else(|| environment.uid.to_string(), one_line)
}

fn row(environment: &Environment, now: jiff::Timestamp) -> Vec<Text> {
    let config = &environment.config;
    let repositories = config.repositories.iter().flatten().map(|repo| repo.url.directory());
    vec![
        Text::Id(environment.uid.to_string()),
        name(environment).into(),
        shorten(&repositories.collect::<Vec<_>>().join(", "), 60).into(),
        config.docker_image.as_deref().map(one_line).unwrap_or_default().into(),
        values::age(environment.last_updated, now).into(),
    ]
}

fn print(global: &Global, environment: &Environment) -> Result<(), Failure> {
    output::item(global.output_format, environment, lines)
}

fn lines(environment: &Environment) -> Vec<(&'static str, String)> {
    let config = &environment.config;
    let list = |items: Vec<String>| items.join("\n");
    let repositories = config.repositories.iter().flatten().map(|repo| match &repo.reference {
        Some(reference) => format!("{} at {reference}", repo.url),
        None => repo.url.to_string(),
    });
    let network = match config.network.unwrap_or_default() {
        Network::Full => "full",
        Network::None => "none",
    };
    let lines = [
        ("ID", environment.uid.to_string()),
        ("Name", name(environment)),
        ("Description", config.description.as_deref().map(one_line).unwrap_or_default()),
        ("Image", config.docker_image.as_deref().map(one_line).unwrap_or_default()),
        ("Repositories", list(repositories.collect())),
        ("Set-up", list(config.setup_commands.iter().flatten().map(|command| one_line(command)).collect())),
        ("Variables", list(config.variables.iter().flatten().map(|(k, v)| format!("{k}={}", one_line(v))).collect())),
        ("Secrets", list(config.secrets.iter().flatten().map(ToString::to_string).collect())),
        (
            "References",
            list(config.secret_references.iter().flatten().map(|(name, arn)| format!("{name} from {arn}")).collect()),
        ),
        ("AWS role", config.providers.iter().flat_map(|p| &p.aws).map(|aws| aws.role_arn.to_string()).collect()),
        ("Capacity", if config.capacity == Some(Capacity::Spot) { "spot".to_owned() } else { String::new() }),
        ("Network", network.to_owned()),
        ("Updated", environment.last_updated.to_string()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn config() -> EnvironmentConfig {
        serde_json::from_value(serde_json::json!({
            "name": "web", "description": "d", "setup_commands": ["npm ci", "npm run build"],
            "repositories": [{"url": "acme/web", "ref": "main"}, {"url": "acme/api"}],
            "github_repos": [{"owner": "acme", "repo": "web"}],
            "variables": {"A": "1"}, "secrets": ["T"],
        }))
        .unwrap()
    }

    async fn update(line: &str) -> Result<String, String> {
        let line = format!("oz environment update web {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|err| err.to_string())?;
        let Command::Environment(EnvironmentCommand::Update(args)) = cli.command else { unreachable!() };
        let config = args.apply(config()).await.map_err(|failure| failure.lines(false).join(" / "))?;
        Ok(serde_json::to_string(&config).unwrap())
    }

    #[tokio::test]
    async fn an_update_changes_what_it_names() {
        insta::assert_snapshot!(update("--name site --var A=2 --var B=3 --secret T --secret U --network none").await.unwrap(), @r#"{"name":"site","description":"d","setup_commands":["npm ci","npm run build"],"repositories":[{"url":"https://github.com/acme/web","ref":"main"},{"url":"https://github.com/acme/api"}],"variables":{"A":"2","B":"3"},"secrets":["T","U"],"network":"none","secret_references":{}}"#);
        insta::assert_snapshot!(update("--remove-repo acme/api --remove-description --remove-setup-command true").await.unwrap_err(), @"error: the environment does not have true");
        insta::assert_snapshot!(update("--remove-repo acme/api --remove-description --remove-var A --remove-secret T").await.unwrap(), @r#"{"name":"web","setup_commands":["npm ci","npm run build"],"repositories":[{"url":"https://github.com/acme/web","ref":"main"}],"variables":{},"secrets":[],"secret_references":{}}"#);
        insta::assert_snapshot!(update("--repo acme/web --ref v2").await.unwrap(), @r#"{"name":"web","description":"d","setup_commands":["npm ci","npm run build"],"repositories":[{"url":"https://github.com/acme/api"},{"url":"https://github.com/acme/web","ref":"v2"}],"variables":{"A":"1"},"secrets":["T"],"secret_references":{}}"#);
    }

    #[test]
    fn an_environment_is_shown_without_what_it_lacks() {
        let environment: Environment = serde_json::from_value(serde_json::json!({
            "uid": "0123456789abcdefABCDEF", "config": config(), "last_updated": "2026-11-21T00:00:00Z", "setup_failed": false,
        }))
        .unwrap();
        let lines: Vec<String> = lines(&environment).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
ID: 0123456789abcdefABCDEF
Name: web
Description: d
Repositories: https://github.com/acme/web at main
https://github.com/acme/api
Set-up: npm ci
npm run build
Variables: A=1
Secrets: T
Network: full
Updated: 2026-11-21T00:00:00Z
");
    }
}
