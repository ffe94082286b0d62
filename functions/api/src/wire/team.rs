//! The caller's team: its plan, what it set for itself, whether it is paused. All of it is this API's own.

use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_domain::team_settings as domain;
use ozma_domain::template::InvalidField;
use ozma_store::TeamRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scheduling::Budget;
use super::whoami::PlanItem;

/// `GET /team`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Team {
    #[schema(value_type = String)]
    pub team: TeamId,
    pub plan: PlanItem,
    pub settings: TeamSettings,
    /// Of the budget of this month, what was used or is reserved by agents at work. Counted from when there is a budget.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub used: Option<Used>,
    /// Nothing starts until somebody resumes the team.
    pub paused: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// `2026-11`, by UTC.
    pub month: String,
    pub minutes: f64,
    pub usd: f64,
    pub tokens: u64,
}

/// What a team sets for itself: the body of `PUT /team/settings`, which replaces the whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TeamSettings {
    /// Runs that may wait, all in all; 10000 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub queued_runs: Option<u32>,
    /// Runs that may wait of one automation; 1000 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub queued_runs_of_automation: Option<u32>,
    /// Runs that one API key may ask for in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub runs_per_hour: Option<u32>,
    /// How often lanes are served against each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// For all runs of a month, by UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// From 1, which is what is done if nothing is said, to 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Weights {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automation: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u16>,
}

/// `POST /stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StopRequest {
    /// Required: `drain` (agents at work finish) or `kill` (their runs are cancelled).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StopResult {
    pub teams: usize,
    /// Agents that were at work.
    pub live: usize,
    pub cancelled: usize,
}

impl From<TeamRow> for Team {
    fn from(row: TeamRow) -> Self {
        let weights = Weights {
            automation: row.settings.weights.automation,
            schedule: row.settings.weights.schedule,
            user: row.settings.weights.user,
        };
        Self {
            team: row.team,
            plan: (&row.plan).into(),
            settings: TeamSettings {
                queued_runs: row.settings.queued_runs,
                queued_runs_of_automation: row.settings.queued_runs_of_automation,
                runs_per_hour: row.settings.runs_per_hour,
                weights: Some(weights).filter(|weights| *weights != Weights::default()),
                budget: Budget::given(row.settings.budget),
            },
            used: None,
            paused: row.paused.is_some(),
            paused_at: row.paused.as_ref().map(|pause| pause.at),
            paused_by: row.paused.map(|pause| pause.by),
        }
    }
}

impl TeamSettings {
    pub(crate) fn into_domain(self) -> Result<domain::TeamSettings, InvalidField> {
        let weights = self.weights.unwrap_or_default();
        Ok(domain::TeamSettings {
            queued_runs: self.queued_runs,
            queued_runs_of_automation: self.queued_runs_of_automation,
            runs_per_hour: self.runs_per_hour,
            weights: domain::Weights { automation: weights.automation, schedule: weights.schedule, user: weights.user },
            budget: self.budget.map(|budget| budget.into_domain("budget")).transpose()?.unwrap_or_default(),
        })
    }
}
