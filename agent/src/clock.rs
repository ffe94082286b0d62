//! The agent's clock, the one place that reads the time of day.

use std::error::Error;
use std::fmt;

use jiff::Timestamp;

/// Now, in whole milliseconds.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// An error with its causes, for a log line.
pub(crate) fn chain(err: &dyn Error) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        write!(f, "{err}")?;
        let mut cause = err.source();
        while let Some(err) = cause {
            write!(f, ": {err}")?;
            cause = err.source();
        }
        Ok(())
    })
}
