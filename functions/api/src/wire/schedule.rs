//! Schedules. Zone, policies, and what is told of past and coming times are this API's own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ozma_domain::id::{RunId, ScheduleId};
use ozma_domain::schedule::Overlap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agent_config::AgentConfig;
use super::environment::EnvironmentConfig;
use super::profile::{Scope, UserProfile};
use super::scheduling::{Limits, Scheduling};
use super::schemas;

/// A schedule as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleItem {
    #[schema(value_type = String)]
    pub id: ScheduleId,
    pub name: String,
    pub cron_schedule: String,
    pub enabled: bool,
    pub prompt: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_config: Option<AgentConfig>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_uid: Option<String>,
    /// The environment that `agent_config` names, resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<EnvironmentConfig>,
    /// Why the last time it was due no run was started. Absent once one was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_spawn_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub history: Option<ScheduleHistory>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_by: Option<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_by: Option<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<Scope>,
    /// The IANA zone that `cron_schedule` is read in.
    #[serde(default)]
    pub timezone: String,
    /// What becomes of times that were missed.
    #[serde(default)]
    pub missed: Missed,
    /// `skip`, `queue`, `supersede` or `allow`.
    #[serde(default)]
    #[schema(schema_with = schemas::overlap)]
    pub overlap: Overlap,
    #[serde(default)]
    pub jitter_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub starts_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheduling: Option<Scheduling>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<Limits>,
    /// The next ten times. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_runs: Option<Vec<Timestamp>>,
    /// What became of the last times, newest first. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub occurrences: Option<Vec<ScheduleOccurrence>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScheduleHistory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ran: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
}

/// A time that was planned, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleOccurrence {
    /// Absent: somebody wanted it at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned_at: Option<Timestamp>,
    pub decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    /// Of that run, now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_state: Option<String>,
    /// Why there is no run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// So many times before this one were left out, because they were missed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_out: Option<u32>,
}

/// What becomes of times at which nobody could start a run, because the control plane was down or the laptop asleep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Missed {
    /// `skip` (they are left out), `latest` (the last of them is made up for, and is what is done if nothing is said), or
    /// `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// With `all`: the last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub at_most: Option<u8>,
}

/// What a user sets: the body of `POST /agent/schedules` and of `PUT /agent/schedules/{id}`, which replaces the whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScheduleRequest {
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Required: five fields of cron, a name such as `@daily`, `rate(5 minutes)`, or once `at(2026-12-24T18:00:00)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron_schedule: Option<String>,
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// `true` if nothing is said in a `POST`; required in a `PUT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_config: Option<AgentConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_uid: Option<String>,
    /// `normal`, `plan` or `orchestrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Of each run: at most 20 pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Of the runs; made from the prompt if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// An IANA zone such as `Europe/Berlin`; UTC if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// What becomes of a run while an earlier one of the schedule goes on: `skip` (it is cancelled, and is what is done if
    /// nothing is said), `queue` (it waits), `supersede` (the earlier one is cancelled), `allow` (both run).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::overlap)]
    pub overlap: Option<Overlap>,
    /// A run starts up to so many seconds after its time: the same for the same time, different for different schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u32>,
    /// Nothing is planned before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Nothing is planned from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Of each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Of each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// `GET /agent/schedules`: all of them by name, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleList {
    pub schedules: Vec<ScheduleItem>,
}
