//! Logs: to standard error, as text for people or as JSON for a log service.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What went wrong.
    Warn,
    /// What happens.
    Info,
    /// And why.
    Debug,
}

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(level: Level) {
    let level = match level {
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    // The SDKs and the HTTP stack have much to say that is not about us.
    let filter = EnvFilter::new(format!(
        "warn,aws_smithy_runtime=off,s3s=off,s3s_aws=off,s3s_fs=off,\
         ozma_app={level},ozma_local={level},ozma_boot={level},ozma_api={level}"
    ));
    let text = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    // A log that cannot be written, as on a full disk, must not end the process.
    let text = text.log_internal_errors(false);
    let _ = text.with_ansi(stderr().is_terminal()).try_init();
}
