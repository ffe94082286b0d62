//! What a run may take: time, money, tokens. A plan bounds it; a request may bound it further.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::template::InvalidField;

/// Everything is optional. The deadline of one execution is [`crate::template::RunTemplate::deadline_seconds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// From when the run may start to its outcome, waiting and further tries included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_seconds: Option<u64>,
    /// Clone and set-up commands of one execution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub setup_seconds: Option<u64>,
    /// The task may be silent for so long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Budget::is_none", default)]
    pub budget: Budget,
}

/// What may be spent. The compute of all executions counts, and what their harness reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minutes: Option<u64>,
    /// Millionths of a dollar: compute by the plan's price per second, and models as reported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub micro_usd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<u64>,
}

impl Budget {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// `field` is where the budget stands.
    pub fn check(self, field: &str) -> Result<(), InvalidField> {
        let most = [
            ("minutes", self.minutes, limits::BUDGET_MINUTES),
            ("usd", self.micro_usd, limits::BUDGET_MICRO_USD),
            ("tokens", self.tokens, limits::BUDGET_TOKENS),
        ];
        for (name, value, most) in most {
            let Some(value) = value else { continue };
            let shown = if name == "usd" { most / 1_000_000 } else { most };
            if value == 0 || value > most {
                return Err(InvalidField::new(format!("{field}.{name}"), format!("more than 0, at most {shown}")));
            }
        }
        Ok(())
    }
}

impl RunLimits {
    /// `deadline_seconds` is that of an execution, `queue_seconds` how long the run may wait.
    pub fn check(self, deadline_seconds: Option<u64>, queue_seconds: Option<u64>) -> Result<(), InvalidField> {
        let seconds = [
            ("run_seconds", self.run_seconds),
            ("setup_seconds", self.setup_seconds),
            ("idle_seconds", self.idle_seconds),
        ];
        for (name, value) in seconds {
            if value.is_some_and(|value| !(1..=limits::WAIT_SECONDS).contains(&value)) {
                let reason = format!("from 1 to {} (30 days)", limits::WAIT_SECONDS);
                return Err(InvalidField::new(format!("limits.{name}"), reason));
            }
        }
        self.budget.check("limits.budget")?;
        let contradicts = |name: &str, value: Option<u64>, than: &str, other: Option<u64>| match (value, other) {
            (Some(value), Some(other)) if value > other => {
                let reason = format!("{value} s is longer than {than} ({other} s), which would come first");
                Err(InvalidField::new(name, reason))
            }
            _ => Ok(()),
        };
        let deadline = "config.deadline_seconds";
        contradicts("limits.setup_seconds", self.setup_seconds, deadline, deadline_seconds)?;
        contradicts("limits.idle_seconds", self.idle_seconds, deadline, deadline_seconds)?;
        let run = "limits.run_seconds";
        contradicts(deadline, deadline_seconds, run, self.run_seconds)?;
        contradicts("limits.setup_seconds", self.setup_seconds, run, self.run_seconds)?;
        contradicts("limits.idle_seconds", self.idle_seconds, run, self.run_seconds)?;
        contradicts("scheduling.queue_seconds", queue_seconds, run, self.run_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limits: RunLimits, deadline: Option<u64>, queue: Option<u64>, expected: &str) {
        assert_eq!(limits.check(deadline, queue).map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_or_contradicts_itself_is_refused_by_field() {
        let none = RunLimits::default;
        let budget = |micro_usd, minutes, tokens| RunLimits { budget: Budget { minutes, micro_usd, tokens }, ..none() };
        check(none(), None, None, "ok");
        check(RunLimits { run_seconds: Some(0), ..none() }, None, None, "limits.run_seconds");
        check(RunLimits { idle_seconds: Some(u64::MAX), ..none() }, None, None, "limits.idle_seconds");
        check(budget(Some(0), None, None), None, None, "limits.budget.usd");
        check(budget(Some(u64::MAX), None, None), None, None, "limits.budget.usd");
        check(budget(None, Some(0), None), None, None, "limits.budget.minutes");
        check(budget(None, None, Some(0)), None, None, "limits.budget.tokens");
        check(budget(Some(1), Some(1), Some(1)), None, None, "ok");
        check(RunLimits { setup_seconds: Some(61), ..none() }, Some(60), None, "limits.setup_seconds");
        check(RunLimits { idle_seconds: Some(61), ..none() }, Some(60), None, "limits.idle_seconds");
        check(RunLimits { run_seconds: Some(59), ..none() }, Some(60), None, "config.deadline_seconds");
        check(RunLimits { run_seconds: Some(60), ..none() }, Some(60), Some(60), "ok");
        check(RunLimits { run_seconds: Some(60), ..none() }, None, Some(61), "scheduling.queue_seconds");
    }
}
