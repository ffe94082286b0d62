//! Who works, in what, and on which machine: arguments of everything that asks for runs.

use clap::Args;
use ozma_api::wire::AgentConfig;

use crate::client::Client;
use crate::commands::environment;
use crate::exit::Failure;

#[derive(Debug, Default, Args)]
pub(crate) struct WorkplaceArgs {
    /// The environment to work in, by id or name
    #[arg(short, long = "env", visible_alias = "environment", value_name = "ENVIRONMENT")]
    env: Option<String>,

    /// The agent that works, by id or name; what it says counts where nothing else is said
    #[arg(long)]
    agent: Option<String>,

    /// The runner to work on, by id or name
    #[arg(long)]
    runner: Option<String>,
}

impl WorkplaceArgs {
    pub(crate) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// What is named, by its id.
    pub(crate) async fn add_to(
        &self,
        client: &Client,
        config: &mut AgentConfig,
        agent: &mut Option<String>,
    ) -> Result<(), Failure> {
        if let Some(env) = &self.env {
            config.environment_id = Some(environment::find(client, env).await?.uid.to_string());
        }
        if let Some(named) = &self.agent {
            *agent = Some(client.agent(named).await?.uid.to_string());
        }
        if let Some(runner) = &self.runner {
            config.runner_id = Some(client.runner(runner).await?.uid.to_string());
        }
        Ok(())
    }
}
