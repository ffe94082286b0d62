//! `oz secret`: values go in and never come out.

use std::io::{IsTerminal, Read, stdin};

use clap::Subcommand;
use ozma_api::wire::SecretItem;
use ozma_domain::id::SecretName;
use ozma_domain::limits;
use secrecy::{ExposeSecret, SecretString};

use crate::args::Global;
use crate::ask;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  oz secret create NPM_TOKEN                        asks for the value
  gh auth token | oz secret create GITHUB_TOKEN     reads it from standard input
  oz environment update web --secret NPM_TOKEN      lets an environment's runs have it";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum SecretCommand {
    /// Store a secret; its value comes from a prompt or from standard input, never from the command line
    Create {
        /// Also the variable that holds it
        name: SecretName,
    },
    /// List the names
    List,
    /// Delete a secret
    Delete {
        name: SecretName,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(global: &Global, command: SecretCommand) -> Result<Exit, Failure> {
    match command {
        SecretCommand::Create { name } => {
            let prompt = format!("Value of {name}: ");
            let value = tokio::task::spawn_blocking(move || read_value(&prompt))
                .await
                .map_err(|err| Failure::new("cannot read the value").because(err))??;
            if value.expose_secret().len() < limits::MASKED_SECRET_BYTES {
                let least = limits::MASKED_SECRET_BYTES;
                output::note(format_args!(
                    "note: a value of fewer than {least} bytes is not masked in what tasks print"
                ));
            }
            let item = connect::with(global, async |client| Ok(client.put_secret(&name, &value).await?)).await?;
            output::item(global.output_format, &item, |item| vec![("Stored", item.name.to_string())])?;
        }
        SecretCommand::List => {
            let list = connect::with(global, async |client| Ok(client.secrets().await?)).await?;
            let now = output::now();
            let row = |item: &SecretItem| -> Vec<Text> {
                vec![item.name.to_string().into(), values::age(item.updated_at, now).into()]
            };
            output::list(
                global.output_format,
                &list,
                &list.secrets,
                &["NAME", "UPDATED"],
                row,
                "There are no secrets.",
            )?;
        }
        SecretCommand::Delete { name, force } => {
            if !ask::confirm(&format!("Delete the secret {name}?"), force).await? {
                return Ok(Exit::Unable);
            }
            let deleted = connect::with(global, async |client| Ok(client.delete_secret(&name).await?)).await?;
            output::item(global.output_format, &deleted, |_| vec![("Deleted", name.to_string())])?;
        }
    }
    Ok(Exit::Succeeded)
}

pub(super) fn read_value(prompt: &str) -> Result<SecretString, Failure> {
    let unreadable = |err| Failure::new("cannot read the value").because(err);
    let value = if stdin().is_terminal() {
        rpassword::prompt_password(prompt).map_err(unreadable)?
    } else {
        let mut value = String::new();
        stdin().take(limits::SECRET_BYTES as u64 + 2).read_to_string(&mut value).map_err(unreadable)?;
        value
    };
    // The line end is the shell's, not the secret's.
    let value = value.strip_suffix('\n').map_or(&*value, |value| value.strip_suffix('\r').unwrap_or(value));
    match value.len() {
        0 => Err(Failure::usage("the value is empty")),
        len if len > limits::SECRET_BYTES => {
            Err(Failure::usage(format!("the value is larger than {} bytes", limits::SECRET_BYTES)))
        }
        _ => Ok(SecretString::from(value)),
    }
}
