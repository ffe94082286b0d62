//! `oz agent`: named agents, with what their runs begin with.

use clap::{Args, Subcommand};
use ozma_api::wire::{Harness, Identity, IdentityRequest, SecretRef};
use ozma_domain::id::SecretName;
use ozma_domain::text::{one_line, shorten};

use crate::args::Global;
use crate::ask;
use crate::client::Client;
use crate::commands::environment;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz agent create --name nightly --harness shell --env web --runner small --secret NPM_TOKEN
  oz agent update nightly --add-secret SENTRY_TOKEN --remove-runner
  oz run --agent nightly --task 'make nightly'
  oz agent list";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum AgentCommand {
    /// Define an agent
    #[command(after_help = EXAMPLES)]
    Create {
        /// Unique within the team
        #[arg(short, long)]
        name: String,
        /// A secret by name, beside those of the environment. Repeatable
        #[arg(long, value_name = "NAME")]
        secret: Vec<SecretName>,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// List agents
    List,
    /// Show an agent
    Get {
        /// Its id or its name
        agent: String,
    },
    /// Change an agent; what is not named stays as it is
    #[command(after_help = EXAMPLES)]
    Update(Box<UpdateArgs>),
    /// Delete an agent
    Delete {
        /// Its id or its name
        agent: String,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Its id or its name
    agent: String,
    /// A new name
    #[arg(short, long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Repeatable
    #[arg(long, value_name = "NAME")]
    add_secret: Vec<SecretName>,
    /// Repeatable
    #[arg(long, value_name = "NAME")]
    remove_secret: Vec<SecretName>,
    #[arg(long, conflicts_with = "remove_secret")]
    remove_all_secrets: bool,
    #[arg(long, conflicts_with = "description")]
    remove_description: bool,
    #[arg(long, conflicts_with = "prompt")]
    remove_prompt: bool,
    #[arg(long, conflicts_with = "env")]
    remove_environment: bool,
    #[arg(long, conflicts_with = "runner")]
    remove_runner: bool,
    #[arg(long, conflicts_with = "base_model")]
    remove_base_model: bool,
    #[arg(long, conflicts_with = "harness")]
    remove_harness: bool,
}

/// What create sets and update changes.
#[derive(Debug, Default, Args)]
pub(crate) struct Fields {
    /// At most 240 characters
    #[arg(long)]
    description: Option<String>,

    /// What its harness is told before what a run says
    #[arg(long)]
    prompt: Option<String>,

    /// The environment of its runs that name none, by id or name
    #[arg(short, long = "env", visible_alias = "environment", value_name = "ENVIRONMENT")]
    env: Option<String>,

    /// The runner of its runs that name none, by id or name
    #[arg(long)]
    runner: Option<String>,

    /// The harness of its runs that name none
    #[arg(long)]
    harness: Option<String>,

    /// The model of its runs that name none
    #[arg(long, value_name = "MODEL")]
    base_model: Option<String>,
}

pub(crate) async fn run(global: &Global, command: AgentCommand) -> Result<Exit, Failure> {
    connect::with(global, async |client| match command {
        AgentCommand::Create { name, secret, fields } => {
            let secrets = secret.into_iter().map(|name| SecretRef { name }).collect();
            let request = IdentityRequest { secrets: Some(secrets), ..fields.request(client).await? };
            print(global, &client.create_agent(&IdentityRequest { name: Some(name), ..request }).await?)
        }
        AgentCommand::List => {
            let list = client.agents().await?;
            let header = ["ID", "NAME", "HARNESS", "DESCRIPTION", "UPDATED"];
            let now = output::now();
            let row = |agent: &Identity| row(agent, now);
            output::list(global.output_format, &list, &list.agents, &header, row, "There are no named agents.")
        }
        AgentCommand::Get { agent } => print(global, &client.agent(&agent).await?),
        AgentCommand::Update(args) => {
            let agent = client.agent(&args.agent).await?;
            let uid = agent.uid.clone();
            print(global, &client.update_agent(&uid, &args.apply(client, agent).await?).await?)
        }
        AgentCommand::Delete { agent, force } => {
            let agent = client.agent(&agent).await?;
            let name = one_line(&agent.name);
            if !ask::confirm(&format!("Delete the agent {name}?"), force).await? {
                return Err(Failure::new("nothing was deleted"));
            }
            client.delete_agent(&agent.uid).await?;
            output::item(global.output_format, &agent, |_| vec![("Deleted", name)])
        }
    })
    .await?;
    Ok(Exit::Succeeded)
}

impl Fields {
    async fn request(self, client: &Client) -> Result<IdentityRequest, Failure> {
        let environment_id = match self.env {
            Some(env) => Some(environment::find(client, &env).await?.uid.to_string()),
            None => None,
        };
        let default_runner_uid = match self.runner {
            Some(runner) => Some(client.runner(&runner).await?.uid.to_string()),
            None => None,
        };
        Ok(IdentityRequest {
            description: self.description,
            prompt: self.prompt,
            environment_id,
            default_runner_uid,
            harness: self.harness.map(|kind| Harness { kind: Some(kind), ..Harness::default() }),
            base_model: self.base_model,
            ..IdentityRequest::default()
        })
    }
}

impl UpdateArgs {
    /// What is empty in a request is taken away. Removing what is not there is an error: it is a slip.
    async fn apply(self, client: &Client, agent: Identity) -> Result<IdentityRequest, Failure> {
        let mut request = self.fields.request(client).await?;
        request.name = self.name;
        let mut secrets = if self.remove_all_secrets { Vec::new() } else { agent.secrets.clone() };
        for name in self.remove_secret {
            values::take(&mut secrets, "agent", &name, |secret| secret.name == name)?;
        }
        for name in self.add_secret {
            if !secrets.iter().any(|secret| secret.name == name) {
                secrets.push(SecretRef { name });
            }
        }
        request.secrets = (secrets != agent.secrets).then_some(secrets);
        let nothing = || Some(String::new());
        for (is_removed, field) in [
            (self.remove_description, &mut request.description),
            (self.remove_prompt, &mut request.prompt),
            (self.remove_environment, &mut request.environment_id),
            (self.remove_runner, &mut request.default_runner_uid),
            (self.remove_base_model, &mut request.base_model),
        ] {
            if is_removed {
                *field = nothing();
            }
        }
        if self.remove_harness {
            request.harness = Some(Harness { kind: nothing(), ..Harness::default() });
        }
        Ok(request)
    }
}

fn harness(agent: &Identity) -> String {
    agent.harness.as_ref().and_then(|harness| harness.kind.clone()).unwrap_or_default()
}

fn row(agent: &Identity, now: jiff::Timestamp) -> Vec<Text> {
    vec![
        Text::Id(agent.uid.to_string()),
        one_line(&agent.name).into(),
        harness(agent).into(),
        shorten(&one_line(agent.description.as_deref().unwrap_or_default()), 60).into(),
        values::age(agent.updated_at, now).into(),
    ]
}

fn print(global: &Global, agent: &Identity) -> Result<(), Failure> {
    output::item(global.output_format, agent, lines)
}

fn lines(agent: &Identity) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.as_deref().map(one_line).unwrap_or_default();
    let secrets: Vec<String> = agent.secrets.iter().map(|secret| secret.name.to_string()).collect();
    let servers: Vec<&str> = agent.mcp_servers.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let lines = [
        ("ID", agent.uid.to_string()),
        ("Name", one_line(&agent.name)),
        ("Description", text(&agent.description)),
        ("Type", text(&agent.agent_type)),
        ("Prompt", shorten(&text(&agent.prompt), 200)),
        ("Harness", harness(agent)),
        ("Model", text(&agent.base_model)),
        ("Environment", text(&agent.environment_id)),
        ("Runner", agent.default_runner_uid.clone()),
        ("Secrets", secrets.join("\n")),
        ("MCP servers", servers.join("\n")),
        ("Updated", agent.updated_at.to_string()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::args::{Cli, Command};

    fn agent() -> Identity {
        serde_json::from_value(json!({
            "uid": "0123456789abcdefABCDEF", "name": "nightly", "available": true, "created_at": "2026-11-21T00:00:00Z",
            "updated_at": "2026-11-21T00:00:00Z", "default_runner_uid": "",
            "memory": {"attached_stores": [], "auto_memory": {"enabled": false}},
            "secrets": [{"name": "A"}, {"name": "B"}], "skills": [], "prompt": "Be\nkind.",
        }))
        .unwrap()
    }

    async fn update(line: &str, expected: &str) {
        let line = format!("oz agent update nightly {line}");
        let Command::Agent(AgentCommand::Update(args)) = Cli::try_parse_from(line.split_whitespace()).unwrap().command
        else {
            unreachable!()
        };
        let client = Client::new("http://127.0.0.1:9", None).unwrap();
        let told = match args.apply(&client, agent()).await {
            Ok(request) => serde_json::to_string(&request).unwrap(),
            Err(failure) => failure.lines(false).join(" / "),
        };
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn an_update_says_what_it_changes_and_nothing_else() {
        update("", "{}").await;
        update("-n x --description d --harness shell", r#"{"name":"x","description":"d","harness":{"type":"shell"}}"#)
            .await;
        update("--add-secret A --add-secret C", r#"{"secrets":[{"name":"A"},{"name":"B"},{"name":"C"}]}"#).await;
        update("--remove-secret A", r#"{"secrets":[{"name":"B"}]}"#).await;
        update("--remove-secret C", "error: the agent does not have C").await;
        update("--remove-all-secrets --remove-prompt", r#"{"prompt":"","secrets":[]}"#).await;
        update("--remove-runner --remove-harness", r#"{"harness":{"type":""},"default_runner_uid":""}"#).await;
    }

    #[test]
    fn an_agent_is_shown_without_what_it_lacks() {
        let lines: Vec<String> = lines(&agent()).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
ID: 0123456789abcdefABCDEF
Name: nightly
Prompt: Be kind.
Secrets: A
B
Updated: 2026-11-21T00:00:00Z
");
    }
}
