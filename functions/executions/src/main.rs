//! The function around the API that agents use.

use std::process::ExitCode;
use std::sync::Arc;

use ozma_app::ports::QueueName;
use ozma_app::{App, Settings};
use ozma_boot::aws;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { claim_key: aws.claim_key().await?, ..aws.settings()? };
        let app = App {
            archive: aws.archive()?,
            queue: aws.queue(&QueueName::ALL)?,
            timer: aws.timer(QueueName::Ticks)?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        lambda_http::run(ozma_executions::router(Arc::new(app))).await
    })
}
