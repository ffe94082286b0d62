//! Every minute: repairs what got lost, and counts it. At its start it sees to it that the first team has its plan and
//! its owner a key.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::ports::QueueName;
use ozma_app::sweep::sweep;
use ozma_app::{App, Settings};
use ozma_boot::aws;
use ozma_domain::text::chain;
use serde_json::Value;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings =
            Settings { claim_key: aws.claim_key().await?, signing_seed: aws.signing_seed().await?, ..aws.settings()? };
        let app = App {
            archive: aws.archive()?,
            queue: aws.queue(&QueueName::ALL)?,
            launcher: aws.launcher()?,
            timer: aws.timer(QueueName::Ticks)?,
            bus: aws.bus()?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        aws.seed(&app).await?;
        lambda_runtime::run(service_fn(async |_: LambdaEvent<Value>| {
            // Nobody sleeps here: somebody has always been listening.
            let swept = sweep(&app, jiff::Timestamp::MIN).await;
            swept.map_err(|err| {
                tracing::error!(error = %chain(&err), "the sweep could not do all there is to do");
                lambda_runtime::Error::from(err)
            })
        }))
        .await
    })
}
