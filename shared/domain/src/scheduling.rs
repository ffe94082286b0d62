//! What a request says of when its run may start.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lane::PRIORITY_MAX;
use crate::limits;
use crate::template::InvalidField;

/// Everything is optional: a run starts when it is its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// Turns by which it goes before others, see [`crate::lane`].
    #[serde(skip_serializing_if = "is_zero", default)]
    pub priority: i16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub concurrency: Option<Concurrency>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_before: Option<Timestamp>,
    /// A run that has not started by then is not worth starting any more. Counted from when it may start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue_seconds: Option<u64>,
}

/// Of the runs with the same key, one at a time is at work or next to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Such as a repository and a branch, an issue, a thread.
    pub key: String,
    pub policy: KeyPolicy,
}

/// What becomes of a run whose key another one has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPolicy {
    /// It waits until the other has ended. Runs without the key are not kept waiting by it.
    #[default]
    Queue,
    /// It ends at once, cancelled.
    Skip,
    /// The other is cancelled, as are those that wait with the key.
    Supersede,
}

impl Scheduling {
    pub fn check(&self) -> Result<(), InvalidField> {
        if self.priority.abs() > PRIORITY_MAX {
            let reason = format!("from -{PRIORITY_MAX} to {PRIORITY_MAX}");
            return Err(InvalidField::new("scheduling.priority", reason));
        }
        if let Some(seconds) = self.queue_seconds
            && !(1..=limits::WAIT_SECONDS).contains(&seconds)
        {
            let reason = format!("from 1 to {} (30 days)", limits::WAIT_SECONDS);
            return Err(InvalidField::new("scheduling.queue_seconds", reason));
        }
        if let Some(Concurrency { key, .. }) = &self.concurrency
            && (key.trim().is_empty() || key.len() > limits::CONCURRENCY_KEY_BYTES || key.contains(char::is_control))
        {
            let reason = format!("1 to {} bytes without control characters", limits::CONCURRENCY_KEY_BYTES);
            return Err(InvalidField::new("scheduling.concurrency.key", reason));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &i16) -> bool {
    *number == 0
}

impl fmt::Display for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Supersede => "supersede",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not queue, skip or supersede")]
pub struct UnknownPolicy(String);

impl FromStr for KeyPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let all = [Self::Queue, Self::Skip, Self::Supersede];
        all.into_iter().find(|policy| policy.to_string() == text).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scheduling: &Scheduling, expected: &str) {
        assert_eq!(scheduling.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        let none = Scheduling::default;
        let key = |key: &str| {
            let concurrency = Concurrency { key: key.to_owned(), policy: KeyPolicy::Queue };
            Scheduling { concurrency: Some(concurrency), ..none() }
        };
        check(&none(), "ok");
        check(&Scheduling { priority: -100, ..none() }, "ok");
        check(&Scheduling { priority: 101, ..none() }, "scheduling.priority");
        check(&Scheduling { queue_seconds: Some(0), ..none() }, "scheduling.queue_seconds");
        check(&Scheduling { queue_seconds: Some(u64::MAX), ..none() }, "scheduling.queue_seconds");
        check(&key("acme/web#main"), "ok");
        check(&key(" "), "scheduling.concurrency.key");
        check(&key("a\nb"), "scheduling.concurrency.key");
        check(&key(&"x".repeat(256)), "scheduling.concurrency.key");
    }
}
