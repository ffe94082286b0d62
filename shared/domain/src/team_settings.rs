//! What a team sets for itself, within its plan.

use serde::{Deserialize, Serialize};

use crate::lane::{Lane, check_weight};
use crate::limits;
use crate::run_limits::Budget;
use crate::template::InvalidField;

/// Everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamSettings {
    /// Runs that may wait, all in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queued_runs: Option<u32>,
    /// Runs that may wait of one automation or schedule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queued_runs_of_automation: Option<u32>,
    /// Runs that one API key may ask for in an hour.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runs_per_hour: Option<u32>,
    #[serde(default)]
    pub weights: Weights,
    /// For all runs of a month, by UTC.
    #[serde(default)]
    pub budget: Budget,
}

/// How often lanes are served against each other, by their kind: 1 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub automation: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schedule: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<u16>,
}

impl Weights {
    pub fn of(self, lane: &Lane) -> u16 {
        let weight = match lane {
            Lane::Automation(_) => self.automation,
            Lane::Schedule(_) => self.schedule,
            Lane::User(_) => self.user,
        };
        weight.unwrap_or(1)
    }
}

impl TeamSettings {
    pub fn queued_runs(&self) -> u32 {
        self.queued_runs.unwrap_or(limits::QUEUED_RUNS)
    }

    pub fn queued_runs_of_automation(&self) -> u32 {
        self.queued_runs_of_automation.unwrap_or(limits::QUEUED_RUNS_OF_AUTOMATION)
    }

    pub fn check(&self) -> Result<(), InvalidField> {
        let numbers = [
            ("queued_runs", self.queued_runs),
            ("queued_runs_of_automation", self.queued_runs_of_automation),
            ("runs_per_hour", self.runs_per_hour),
        ];
        for (name, value) in numbers {
            if value.is_some_and(|value| !(1..=limits::QUEUED_RUNS_MAX).contains(&value)) {
                return Err(InvalidField::new(name, format!("from 1 to {}", limits::QUEUED_RUNS_MAX)));
            }
        }
        if let (Some(one), Some(all)) = (self.queued_runs_of_automation, self.queued_runs)
            && one > all
        {
            let reason = format!("{one} of one automation are more than {all} in all (queued_runs)");
            return Err(InvalidField::new("queued_runs_of_automation", reason));
        }
        let Weights { automation, schedule, user } = self.weights;
        for (name, weight) in [("automation", automation), ("schedule", schedule), ("user", user)] {
            check_weight(weight).map_err(|err| InvalidField { field: format!("weights.{name}"), ..err })?;
        }
        self.budget.check("budget")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: &TeamSettings, expected: &str) {
        assert_eq!(settings.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        let none = TeamSettings::default;
        check(&none(), "ok");
        check(&TeamSettings { queued_runs: Some(0), ..none() }, "queued_runs");
        check(&TeamSettings { runs_per_hour: Some(2_000_000), ..none() }, "runs_per_hour");
        let contradicting = TeamSettings { queued_runs: Some(5), queued_runs_of_automation: Some(6), ..none() };
        check(&contradicting, "queued_runs_of_automation");
        let weights = Weights { schedule: Some(0), ..Weights::default() };
        check(&TeamSettings { weights, ..none() }, "weights.schedule");
        let budget = Budget { micro_usd: Some(0), ..Budget::default() };
        check(&TeamSettings { budget, ..none() }, "budget.usd");
    }
}
