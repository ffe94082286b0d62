//! The agent's clock, the one place that reads the time of day.

use jiff::Timestamp;

/// Now, in whole milliseconds.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
