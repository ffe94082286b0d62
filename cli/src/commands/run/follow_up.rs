//! `oz run follow-up`.

use clap::Args;
use ozma_domain::id::RunId;
use serde_json::json;

use crate::args::Global;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::task;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  oz run follow-up RUN -m 'cargo test --workspace'    a run that has ended goes on with this: see `oz run logs RUN -f`
  oz run follow-up RUN -m -                           reads the message from standard input")]
pub(crate) struct FollowUpArgs {
    run: RunId,
    /// What to say; for the harness shell, of a run that has ended, the script to run next
    #[arg(short, long, value_name = "TEXT")]
    message: String,
}

pub(crate) async fn run(global: &Global, args: FollowUpArgs) -> Result<Exit, Failure> {
    let message = task::read(&args.message)?;
    // A run that is reopened needs a control plane that stays.
    let connection = connect::connect_lasting(global, None).await?;
    let result = connection.client.follow_up(args.run, &message).await;
    connection.close().await;
    result?;
    output::item(global.output_format, &json!({"run_id": args.run}), |_| vec![("Told", args.run.to_string())])?;
    Ok(Exit::Succeeded)
}
