//! What a schedule does beside its expression: with times that were missed, with runs that overlap, and between which dates.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits;
use crate::scheduling::KeyPolicy;
use crate::template::InvalidField;

/// Everything is optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    pub missed: Missed,
    /// Where the run before is still at work.
    pub overlap: Overlap,
    /// Starts are spread over so many seconds.
    pub jitter_seconds: u32,
    /// Nothing is planned before it. Rates are counted from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Nothing is planned at or after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// What becomes of planned times that nobody looked at in time: the laptop slept, the control plane was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    Skip,
    /// The newest of them fires.
    #[default]
    Latest,
    /// The newest so many fire. Spelled `{"all": 10}`.
    All(u8),
}

/// The newest missed time fires, and a run that is still at work makes the next one skip: a schedule that is faster than its
/// runs would fill the queue otherwise.
impl Default for Policies {
    fn default() -> Self {
        let (missed, overlap) = (Missed::default(), Overlap::default());
        Self { missed, overlap, jitter_seconds: 0, starts_at: None, ends_at: None }
    }
}

/// What becomes of a run while an earlier one of the same schedule goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is cancelled.
    #[default]
    Skip,
    /// It waits.
    Queue,
    /// The earlier one is cancelled.
    Supersede,
    /// Both go on.
    Allow,
}

impl Overlap {
    pub const ALL: [Self; 4] = [Self::Skip, Self::Queue, Self::Supersede, Self::Allow];

    /// The policy of the concurrency key that the runs of a schedule share. None: they share none.
    pub fn key_policy(self) -> Option<KeyPolicy> {
        match self {
            Self::Skip => Some(KeyPolicy::Skip),
            Self::Queue => Some(KeyPolicy::Queue),
            Self::Supersede => Some(KeyPolicy::Supersede),
            Self::Allow => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Supersede => "supersede",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not skip, queue, supersede or allow")]
pub struct UnknownOverlap(String);

impl FromStr for Overlap {
    type Err = UnknownOverlap;

    fn from_str(text: &str) -> Result<Self, UnknownOverlap> {
        let found = Self::ALL.into_iter().find(|overlap| overlap.as_str() == text);
        found.ok_or_else(|| UnknownOverlap(text.chars().take(80).collect()))
    }
}

impl Missed {
    /// How many missed times fire at most.
    pub(super) fn most(self) -> u8 {
        match self {
            Self::Skip => 0,
            Self::Latest => 1,
            Self::All(most) => most.min(limits::SCHEDULE_MISSED),
        }
    }
}

impl Policies {
    pub fn check(&self) -> Result<(), InvalidField> {
        if let Missed::All(most) = self.missed
            && !(1..=limits::SCHEDULE_MISSED).contains(&most)
        {
            let reason = format!("all takes from 1 to {}; none at all is skip", limits::SCHEDULE_MISSED);
            return Err(InvalidField::new("missed", reason));
        }
        if self.jitter_seconds > limits::SCHEDULE_JITTER_SECONDS {
            let reason = format!("from 0 to {} (an hour)", limits::SCHEDULE_JITTER_SECONDS);
            return Err(InvalidField::new("jitter_seconds", reason));
        }
        for (field, at) in [("starts_at", self.starts_at), ("ends_at", self.ends_at)] {
            if at.is_some_and(|at| at.subsec_nanosecond() != 0) {
                return Err(InvalidField::new(field, "has a fraction of a second; write whole seconds"));
            }
        }
        if let (Some(starts_at), Some(ends_at)) = (self.starts_at, self.ends_at)
            && ends_at <= starts_at
        {
            return Err(InvalidField::new("ends_at", format!("is not after starts_at, {starts_at}")));
        }
        Ok(())
    }

    /// When the run of a planned time starts: so that schedules at the same full hour do not start together. The same each
    /// time it is asked, so that a repetition is one.
    pub fn start(&self, schedule: impl fmt::Display, planned: Timestamp) -> Timestamp {
        let text = format!("ozma jitter v1\n{schedule}\n{}", planned.as_nanosecond());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let jitter = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % (u64::from(self.jitter_seconds) + 1);
        let jitter = SignedDuration::from_secs(i64::try_from(jitter).unwrap_or_default());
        planned.checked_add(jitter).unwrap_or(planned)
    }
}
