//! Takes ticks from the queue: starts as many waiting agents as there are free slots.

mod handler;

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::{App, Settings};
use ozma_boot::aws::{self, each_record};

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { claim_key: aws.claim_key().await?, ..aws.settings()? };
        let app = App {
            queue: aws.queue()?,
            launcher: aws.launcher()?,
            timer: aws.timer()?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        let parking = aws.parking()?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            let handled =
                each_record("dispatch", &parking, event.payload, async |message| handler::handle(&app, message).await);
            Ok::<_, lambda_runtime::Error>(handled.await)
        }))
        .await
    })
}
