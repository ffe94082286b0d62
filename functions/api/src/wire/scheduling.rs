//! When a run may start and what it may take. All of it is this API's own.

use jiff::Timestamp;
use ozma_domain::run_limits as domain;
use ozma_domain::scheduling::{self, KeyPolicy};
use ozma_domain::template::InvalidField;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schemas;

/// Every member is optional: a run starts when it is its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Scheduling {
    /// The turns by which it goes before others of its team, from -100 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// It does not start before then, at most 30 days from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not started within so many seconds of when it might, it is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub queue_seconds: Option<u64>,
}

/// Of the runs with the same key, one at a time is live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Concurrency {
    /// Required: such as a repository and a branch, an issue, a thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What becomes of a run whose key another has: `queue` (it waits, and is what is done if nothing is said), `skip` (it
    /// is cancelled), `supersede` (the other is cancelled).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::key_policy)]
    pub policy: Option<KeyPolicy>,
}

/// Every member is optional, and bounds the run further than its plan does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Limits {
    /// From when it may start to its outcome, waiting and further tries included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub run_seconds: Option<u64>,
    /// Clone and set-up commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub setup_seconds: Option<u64>,
    /// So long the task may print nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub idle_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// What may be spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Budget {
    /// Of compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub minutes: Option<u64>,
    /// Compute by the plan's price per second, and models as the harness reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// As the harness reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub tokens: Option<u64>,
}

impl Scheduling {
    pub(crate) fn into_domain(self) -> Result<scheduling::Scheduling, InvalidField> {
        let concurrency = match self.concurrency {
            None => None,
            Some(Concurrency { key: None, .. }) => {
                let reason = "needed: a policy says nothing without the key that it is for";
                return Err(InvalidField::new("scheduling.concurrency.key", reason));
            }
            Some(Concurrency { key: Some(key), policy }) => {
                Some(scheduling::Concurrency { key, policy: policy.unwrap_or_default() })
            }
        };
        Ok(scheduling::Scheduling {
            priority: self.priority.unwrap_or_default(),
            concurrency,
            not_before: self.not_before,
            queue_seconds: self.queue_seconds,
        })
    }
}

impl From<&scheduling::Scheduling> for Scheduling {
    fn from(scheduling: &scheduling::Scheduling) -> Self {
        let concurrency = scheduling.concurrency.as_ref();
        Self {
            priority: Some(scheduling.priority).filter(|priority| *priority != 0),
            concurrency: concurrency.map(|concurrency| Concurrency {
                key: Some(concurrency.key.clone()),
                policy: Some(concurrency.policy),
            }),
            not_before: scheduling.not_before,
            queue_seconds: scheduling.queue_seconds,
        }
    }
}

impl Limits {
    pub(crate) fn into_domain(self) -> Result<domain::RunLimits, InvalidField> {
        let budget = self.budget.map(|budget| budget.into_domain("limits.budget")).transpose()?;
        Ok(domain::RunLimits {
            run_seconds: self.run_seconds,
            setup_seconds: self.setup_seconds,
            idle_seconds: self.idle_seconds,
            budget: budget.unwrap_or_default(),
        })
    }
}

impl From<domain::RunLimits> for Limits {
    fn from(limits: domain::RunLimits) -> Self {
        Self {
            run_seconds: limits.run_seconds,
            setup_seconds: limits.setup_seconds,
            idle_seconds: limits.idle_seconds,
            budget: Budget::given(limits.budget),
        }
    }
}

impl Budget {
    /// `field` is where it stands in the request.
    pub(crate) fn into_domain(self, field: &str) -> Result<domain::Budget, InvalidField> {
        let micro_usd = match self.usd {
            None => None,
            // A millionth of a dollar is the least that can be counted.
            Some(usd) if usd.is_finite() && (1e-6..=1e12).contains(&usd) => Some((usd * 1e6).round() as u64),
            Some(_) => return Err(InvalidField::new(format!("{field}.usd"), "more than 0, at most 10000000")),
        };
        Ok(domain::Budget { minutes: self.minutes, micro_usd, tokens: self.tokens })
    }

    /// None, where nothing is set.
    pub(crate) fn given(budget: domain::Budget) -> Option<Self> {
        let domain::Budget { minutes, micro_usd, tokens } = budget;
        let usd = micro_usd.map(|micro_usd| micro_usd as f64 / 1e6);
        (!budget.is_none()).then_some(Self { minutes, usd, tokens })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(budget: Value, expected: Result<u64, &str>) {
        let budget: Budget = serde_json::from_value(budget).unwrap();
        let read = budget.into_domain("limits.budget").map(|budget| budget.micro_usd.unwrap_or_default());
        assert_eq!(read.map_err(|err| err.field), expected.map_err(str::to_owned));
    }

    #[test]
    fn dollars_are_counted_in_millionths() {
        check(json!({"usd": 0.1}), Ok(100_000));
        check(json!({"usd": 12.345_678}), Ok(12_345_678));
        check(json!({"usd": 0}), Err("limits.budget.usd"));
        check(json!({"usd": -1}), Err("limits.budget.usd"));
        check(json!({"usd": 1e300}), Err("limits.budget.usd"));
        check(json!({"minutes": 5}), Ok(0));
    }
}
