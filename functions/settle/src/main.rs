//! Takes task-state events of ECS: a task that stopped ends its execution, if its agent has not.

mod handler;

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, service_fn};
use ozma_app::App;
use ozma_app::ports::QueueName;
use ozma_boot::aws;
use serde_json::Value;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let app = App { queue: aws.queue(&QueueName::ALL)?, timer: aws.timer(QueueName::Ticks)?, ..aws.app()? };
        let parking = aws.parking()?;
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
            handler::handle(&app, &parking, &event.payload).await.map_err(lambda_runtime::Error::from)
        }))
        .await
    })
}
