//! The function around the public REST API.

use std::process::ExitCode;
use std::sync::Arc;

use ozma_app::App;
use ozma_boot::aws;

fn main() -> ExitCode {
    aws::run(async |aws| {
        let app = App {
            archive: aws.archive()?,
            queue: aws.queue()?,
            launcher: aws.launcher()?,
            vault: aws.vault()?,
            ..aws.app()?
        };
        lambda_http::run(ozma_api::router(Arc::new(app))).await
    })
}
