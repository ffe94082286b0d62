//! Logs to standard error: text for people at a terminal, JSON lines for a log service. In a Lambda, measurements become
//! metrics on the way.

use std::io::{IsTerminal, Write, stderr, stdout};

use ozma_app::clock::SystemClock;
use ozma_app::metrics;
use ozma_app::ports::Clock;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

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
    let text = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(stderr).with_target(false);
    // A log that cannot be written, as on a full disk, must not end the process.
    let text = text.log_internal_errors(false);
    let _ = text.with_ansi(stderr().is_terminal()).try_init();
}

/// The same for a function: one JSON object a line, and measurements in CloudWatch's embedded metric format, under
/// `namespace`.
pub fn init_json(level: Level, namespace: String) {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_target(false);
    let lines = lines.with_writer(stderr).log_internal_errors(false).with_filter(filter(level));
    let _ = tracing_subscriber::registry().with(lines).with(EmbeddedMetrics { namespace }).try_init();
}

/// The SDKs and the HTTP stack have much to say that is not about us.
fn filter(level: Level) -> EnvFilter {
    let level = match level {
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    const OURS: [&str; 14] = [
        "app",
        "local",
        "aws",
        "boot",
        "webhook",
        "api",
        "executions",
        "schedule",
        "dispatch",
        "settle",
        "sweep",
        "announce",
        "notify",
        "store",
    ];
    let ours: Vec<String> = OURS.iter().map(|name| format!("ozma_{name}={level}")).collect();
    let silent = "aws_smithy_runtime=off,s3s=off,s3s_aws=off,s3s_fs=off";
    EnvFilter::new(format!("warn,{silent},{}=off,{}", metrics::TARGET, ours.join(",")))
}

/// Writes measurements as CloudWatch reads them out of a function's log: no call, and no cost while nothing happens.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
struct EmbeddedMetrics {
    namespace: String,
}

impl<S: Subscriber> Layer<S> for EmbeddedMetrics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == metrics::TARGET {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let line = embedded(fields.0, &self.namespace, SystemClock.now().as_millisecond());
            // One write, so that no other line comes in between.
            let _ = stdout().write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// A measurement in the embedded metric format. Without dimensions: each would be charged as a metric of its own. The
/// other fields stay beside it, to be searched.
fn embedded(mut fields: Map<String, Value>, namespace: &str, unix_ms: i64) -> Value {
    let name = fields.remove("metric").unwrap_or_default();
    let unit = fields.remove("unit").unwrap_or_default();
    let value = fields.remove("value").unwrap_or_default();
    if let Some(name) = name.as_str() {
        fields.insert(name.to_owned(), value);
    }
    let described =
        json!([{ "Namespace": namespace, "Dimensions": [[]], "Metrics": [{ "Name": name, "Unit": unit }] }]);
    fields.insert("_aws".to_owned(), json!({ "Timestamp": unix_ms, "CloudWatchMetrics": described }));
    Value::Object(fields)
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_a_metric_of_cloudwatch() {
        let fields = json!({ "metric": "Accept", "value": 12, "unit": "Milliseconds", "team": "local" });
        let Value::Object(fields) = fields else { unreachable!() };
        insta::assert_snapshot!(embedded(fields, "Ozma", 1_795_226_584_005), @r#"{"Accept":12,"_aws":{"CloudWatchMetrics":[{"Dimensions":[[]],"Metrics":[{"Name":"Accept","Unit":"Milliseconds"}],"Namespace":"Ozma"}],"Timestamp":1795226584005},"team":"local"}"#);
    }
}
