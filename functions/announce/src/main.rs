//! Takes ended runs from the queue: seals the audit trail, publishes the outcome, notifies who subscribed, and tells people
//! how runs stand where they were asked for. Looks people up where that decides what an event starts, and starts it. Each
//! attempt to speak to somebody outside is a message of its own.

mod handler;

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::{App, Settings};
use ozma_boot::aws::{self, each_record};

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings {
            signing_seed: aws.signing_seed().await?,
            webhook_key: aws.webhook_key().await?,
            ..aws.settings()?
        };
        let app = App {
            archive: aws.archive()?,
            bus: aws.bus()?,
            queue: aws.queue()?,
            timer: aws.ends_timer()?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        let parking = aws.parking()?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            let handled =
                each_record("announce", &parking, event.payload, async |message| handler::handle(&app, message).await);
            Ok::<_, lambda_runtime::Error>(handled.await)
        }))
        .await
    })
}
