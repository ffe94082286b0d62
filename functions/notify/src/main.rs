//! Takes errands: speaks to services outside. Notifies who subscribed, tells people how runs stand where they were asked for,
//! asks for what was lost, and looks people up where that decides what an event starts, which it then starts. It holds no key
//! that seals a trail.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::ports::QueueName;
use ozma_app::{App, Settings, handle};
use ozma_boot::aws::{self, each_record};

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { webhook_key: aws.webhook_key().await?, ..aws.settings()? };
        let app = App {
            archive: aws.archive()?,
            queue: aws.queue(&QueueName::ALL)?,
            timer: aws.timer(QueueName::Errands)?,
            vault: aws.vault()?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        let taker = aws.taker("notify", QueueName::Errands)?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            let handled = each_record(&taker, event.payload, async |message| handle::errand(&app, message).await);
            Ok::<_, lambda_runtime::Error>(handled.await)
        }))
        .await
    })
}
