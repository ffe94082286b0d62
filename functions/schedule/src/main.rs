//! The function around planned events. What fails for now is EventBridge's to repeat; what never works is parked.

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::App;
use ozma_app::ports::QueueName;
use ozma_boot::aws;
use ozma_domain::text::chain;
use ozma_schedule::{Disposition, handle};
use serde_json::Value;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let app =
            App { archive: aws.archive()?, queue: aws.queue(&[QueueName::Ticks, QueueName::Ends])?, ..aws.app()? };
        let parking = aws.parking()?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
            let Err(err) = handle(&app, &event.payload).await else { return Ok::<_, lambda_runtime::Error>(()) };
            let reason = chain(&err).to_string();
            match err.disposition() {
                Disposition::Park => parking.park("schedule", &reason, &event.payload.to_string()).await?,
                Disposition::Retry => {
                    tracing::error!(error = reason, "a planned event started no run yet");
                    return Err(err.into());
                }
            }
            Ok(())
        }))
        .await
    })
}
