//! Takes ticks: starts as many waiting agents as there are free slots.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::ports::QueueName;
use ozma_app::{App, Settings, handle};
use ozma_boot::aws::{self, each_record};

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { claim_key: aws.claim_key().await?, ..aws.settings()? };
        let app = App {
            queue: aws.queue(&QueueName::ALL)?,
            launcher: aws.launcher()?,
            timer: aws.timer(QueueName::Ticks)?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        let taker = aws.taker("dispatch", QueueName::Ticks)?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            let handled = each_record(&taker, event.payload, async |message| handle::tick(&app, message).await);
            Ok::<_, lambda_runtime::Error>(handled.await)
        }))
        .await
    })
}
