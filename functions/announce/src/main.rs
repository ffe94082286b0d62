//! Takes ends: seals the audit trail of an ended run, publishes the outcome, and notes who is to be told of it, or of a run that
//! is queued or has started. It speaks to nobody outside, and knows no secret of a team.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::ports::QueueName;
use ozma_app::{App, Settings, handle};
use ozma_boot::aws::{self, each_record};

fn main() -> ExitCode {
    aws::run(async |aws| {
        let settings = Settings { signing_seed: aws.signing_seed().await?, ..aws.settings()? };
        let app = App {
            archive: aws.archive()?,
            bus: aws.bus()?,
            queue: aws.queue(&[QueueName::Errands])?,
            settings: Arc::new(settings),
            ..aws.app()?
        };
        let taker = aws.taker("announce", QueueName::Ends)?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            let handled = each_record(&taker, event.payload, async |message| handle::end(&app, message).await);
            Ok::<_, lambda_runtime::Error>(handled.await)
        }))
        .await
    })
}
