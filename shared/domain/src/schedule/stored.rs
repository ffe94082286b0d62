//! A schedule as stored: what a user sets, and what became of the times that it has planned.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Decision, Look, Policies, Timetable};
use crate::checks;
use crate::definition::Need;
use crate::id::{RunId, ScheduleId, TeamId};
use crate::limits;
use crate::scheduling::{Concurrency, Scheduling};
use crate::template::{InvalidField, RunTemplate};

/// Plans runs of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub id: ScheduleId,
    pub team: TeamId,
    pub config: ScheduleConfig,
    pub created_by: String,
    pub updated_by: String,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
    /// Planned times up to then are decided on: each has its run, or was left out.
    pub last_planned: Option<Timestamp>,
    /// When to look at it again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
    /// Why no run was started when it was last due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// What became of the last times, newest last; at most [`limits::SCHEDULE_HISTORY`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub history: Vec<Occurrence>,
}

/// What a user sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleConfig {
    pub name: String,
    #[serde(flatten)]
    pub timetable: Timetable,
    /// Not paused.
    pub enabled: bool,
    pub template: RunTemplate,
    #[serde(default)]
    pub policies: Policies,
}

/// A time that was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// None: somebody wanted a run at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned_at: Option<Timestamp>,
    pub decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_id: Option<RunId>,
    /// Why there is no run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// So many times before it were missed and left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_out: Option<u32>,
}

impl ScheduleConfig {
    /// What it names of others.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let named = |field: &str| match field.strip_prefix("config.") {
            Some(member) => format!("agent_config.{member}"),
            None => field.replace("agent_identity_uid", "agent_uid"),
        };
        self.template.needs().into_iter().map(|need| Need { field: named(&need.field), ..need }).collect()
    }

    /// Whether this could be stored and would start runs. Fields are named as the API names them.
    pub fn check(&self) -> Result<(), InvalidField> {
        checks::name("a schedule", &self.name)?;
        self.policies.check()?;
        if self.template.scheduling.not_before.is_some() {
            let reason = "each run would start at that one moment; leave it out, or plan it with at(…)";
            return Err(InvalidField::new("scheduling.not_before", reason));
        }
        if self.template.scheduling.concurrency.is_some() && self.policies.overlap.key_policy().is_some() {
            let reason = "says with another key what overlap says already; set overlap to allow";
            return Err(InvalidField::new("scheduling.concurrency", reason));
        }
        self.template.check()
    }
}

impl Schedule {
    /// The time for which it has an alarm.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.next.filter(|_| self.config.enabled)
    }

    /// The same with the times after `now` planned anew: it is new, changed, or goes on after a pause.
    pub fn planned_from(self, now: Timestamp) -> Self {
        let next = self.times_after(now).next();
        Self { last_planned: Some(now), next, ..self }
    }

    /// When it would start runs after `after`. It may not end.
    pub fn times_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.config.timetable.planned(&self.config.policies, self.created_at, after)
    }

    /// What is to be done at `now`.
    pub fn decide(&self, now: Timestamp) -> Decision {
        let tolerance = SignedDuration::from_secs(limits::SCHEDULE_TOLERANCE_SECONDS);
        let look = Look { anchor: self.created_at, last_planned: self.last_planned, now, tolerance };
        self.config.timetable.decide(&self.config.policies, &look)
    }

    /// The same after a decision was carried out.
    pub fn decided(&self, decision: &Decision, occurrences: Vec<Occurrence>) -> Self {
        let mut new = Self { last_planned: decision.last_planned, next: decision.next_look, ..self.clone() };
        for occurrence in occurrences {
            new.note(occurrence);
        }
        new
    }

    pub fn note(&mut self, occurrence: Occurrence) {
        self.last_error.clone_from(&occurrence.error);
        self.history.push(occurrence);
        let over = self.history.len().saturating_sub(limits::SCHEDULE_HISTORY);
        self.history.drain(..over);
    }

    /// What a run of it is asked for with: its times of start, and how it goes with others of the schedule.
    pub fn scheduling(&self, planned_at: Option<Timestamp>) -> Scheduling {
        let template = &self.config.template.scheduling;
        let key = || format!("schedule {}", self.id);
        let overlap = self.config.policies.overlap.key_policy().map(|policy| Concurrency { key: key(), policy });
        let not_before = planned_at.map(|at| self.config.policies.start(&self.id, at));
        Scheduling { concurrency: overlap.or_else(|| template.concurrency.clone()), not_before, ..template.clone() }
    }
}
