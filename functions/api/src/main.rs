//! The function around the public REST API.

use std::process::ExitCode;
use std::sync::Arc;

use ozma_app::ports::QueueName;
use ozma_app::{App, Settings};
use ozma_boot::aws;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { webhook_key: aws.webhook_key().await?, ..aws.settings()? };
        let app = App {
            archive: aws.archive()?,
            queue: aws.queue(&QueueName::ALL)?,
            launcher: aws.launcher()?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        lambda_http::run(ozma_api::router(Arc::new(app))).await
    })
}
