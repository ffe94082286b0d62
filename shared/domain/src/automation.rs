//! Automations: a stored run template, and the secret with which the outside asks for a run of it.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::id::{AutomationId, TeamId};
use crate::lane::check_weight;
use crate::limits;
use crate::run_limits::Budget;
use crate::standard_webhooks::SigningSecret;
use crate::template::{InvalidField, RunTemplate};
use crate::text;

/// An automation as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Automation {
    pub id: AutomationId,
    pub team: TeamId,
    pub config: AutomationConfig,
    /// Counts the secrets that its webhook has had, from 1. The secret itself is not stored: it follows from this.
    pub secret_generation: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutomationConfig {
    pub name: String,
    /// Nothing starts it, and nobody outside can tell it from one that is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paused: bool,
    pub template: RunTemplate,
    /// Of its lane, see [`crate::lane`]; the team's for automations where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight: Option<u16>,
    /// Runs that it may start in an hour; with a concurrency key, for each key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runs_per_hour: Option<u32>,
    /// For all its runs of a month, by UTC.
    #[serde(skip_serializing_if = "Budget::is_none", default)]
    pub budget: Budget,
}

impl AutomationConfig {
    /// Whether this could be stored and started.
    pub fn check(&self) -> Result<(), InvalidField> {
        if self.name.trim().is_empty() {
            return Err(InvalidField::new("name", "an automation needs a name"));
        }
        if !text::is_name(&self.name) {
            return Err(InvalidField::new("name", text::NAME));
        }
        check_weight(self.weight)?;
        if self.runs_per_hour.is_some_and(|runs| !(1..=limits::QUEUED_RUNS_MAX).contains(&runs)) {
            return Err(InvalidField::new("runs_per_hour", format!("from 1 to {}", limits::QUEUED_RUNS_MAX)));
        }
        self.budget.check("budget")?;
        if self.template.scheduling.not_before.is_some() {
            let reason = "each trigger would start its run at that one moment; leave it out";
            return Err(InvalidField::new("run.scheduling.not_before", reason));
        }
        // The template is the member `run` of the API.
        self.template.check().map_err(|err| InvalidField { field: format!("run.{}", err.field), ..err })
    }
}

impl Automation {
    /// The secret of its webhook, now.
    pub fn secret(&self, key: &SecretString) -> SigningSecret {
        SigningSecret::derived(key, &self.id, self.secret_generation)
    }

    /// Every secret that its webhook takes at `now`: the one before the last rotation still works for a while.
    pub fn secrets(&self, key: &SecretString, now: Timestamp) -> Vec<SigningSecret> {
        let overlap = SignedDuration::from_secs(limits::SECRET_OVERLAP_SECONDS);
        let overlaps = self.rotated_at.is_some_and(|rotated| now.duration_since(rotated) < overlap);
        let before = self.secret_generation.checked_sub(1).filter(|before| overlaps && *before > 0);
        let before = before.map(|before| SigningSecret::derived(key, &self.id, before));
        std::iter::once(self.secret(key)).chain(before).collect()
    }

    /// The same with its next secret.
    pub fn rotated(&self, now: Timestamp) -> Self {
        let secret_generation = self.secret_generation.saturating_add(1);
        Self { secret_generation, rotated_at: Some(now), last_updated: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn automation() -> Automation {
        serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdefABCDEF", "team": "local", "secret_generation": 1,
            "config": {"name": "nightly", "template": {"prompt": "true", "harness": "shell", "agent_config": {}}},
            "created_at": "2026-11-21T00:00:00Z", "last_updated": "2026-11-21T00:00:00Z",
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut AutomationConfig), expected: &str) {
        let mut config = automation().config;
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(|_| {}, "ok");
        check(|c| c.name = String::new(), "name");
        check(|c| c.name = " nightly".to_owned(), "name");
        check(|c| c.name = "a\nb".to_owned(), "name");
        check(|c| c.name = "ü".repeat(100), "ok");
        check(|c| c.name = "ü".repeat(101), "name");
        check(|c| c.template.prompt = String::new(), "run.prompt");
        check(|c| c.template.deadline_seconds = Some(0), "run.config.deadline_seconds");
    }

    #[test]
    fn the_secret_before_a_rotation_works_for_a_day() {
        let key = SecretString::from("key");
        let first = automation();
        let hours = |hours| "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours);
        let spelled = |automation: &Automation, at| -> Vec<String> {
            automation.secrets(&key, at).iter().map(|secret| secret.expose().to_owned()).collect()
        };
        let [one] = spelled(&first, hours(100)).try_into().unwrap();
        let second = first.rotated(hours(100));
        let [two, still] = spelled(&second, hours(123)).try_into().unwrap();
        assert!(two != one && still == one);
        assert_eq!(spelled(&second, hours(124)), std::slice::from_ref(&two));
        // A clock that is behind the one that rotated does not shut anybody out.
        assert_eq!(spelled(&second, hours(99)), [two.clone(), one]);
        let third = second.rotated(hours(101));
        let [three, still] = spelled(&third, hours(102)).try_into().unwrap();
        assert!(three != two && still == two, "only the one before");
    }
}
