//! Automations: a stored run template, what starts it, and the secret with which the outside asks for a run of it.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::checks;
use crate::definition::{Kind, Need};
use crate::event_key;
use crate::harness::HarnessKind;
use crate::id::{AutomationId, RunId, TeamId};
use crate::lane::check_weight;
use crate::limits;
use crate::prompt_template::PromptTemplate;
use crate::rotation;
use crate::run_limits::Budget;
use crate::standard_webhooks::SigningSecret;
use crate::template::{InvalidField, RunTemplate};
use crate::trigger::{Source, Trigger};

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
    #[serde(skip_serializing_if = "Failures::is_none", default)]
    pub failures: Failures,
    /// Why it was paused, if nobody did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_because: Option<String>,
}

/// The runs of an automation that failed one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub runs: Vec<RunId>,
    /// When one last succeeded, or somebody resumed it: what failed before then does not count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutomationConfig {
    pub name: String,
    /// Nothing starts it, and nobody outside can tell it from one that is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paused: bool,
    pub template: RunTemplate,
    #[serde(default)]
    pub trigger: Trigger,
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
    /// What it names of others.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let webhook = match &self.trigger.on {
            Some(Source::Webhook(id)) => Some(Need::new("on.webhook", Kind::Webhook, id.as_str())),
            Some(Source::Provider(_)) | None => None,
        };
        let of_run =
            self.template.needs().into_iter().map(|need| Need { field: format!("run.{}", need.field), ..need });
        webhook.into_iter().chain(of_run).collect()
    }

    /// Whether this could be stored and started.
    pub fn check(&self) -> Result<(), InvalidField> {
        checks::name("an automation", &self.name)?;
        check_weight(self.weight)?;
        if self.runs_per_hour.is_some_and(|runs| !(1..=limits::QUEUED_RUNS_MAX).contains(&runs)) {
            return Err(InvalidField::new("runs_per_hour", format!("from 1 to {}", limits::QUEUED_RUNS_MAX)));
        }
        self.budget.check("budget")?;
        if self.template.scheduling.not_before.is_some() {
            let reason = "each trigger would start its run at that one moment; leave it out";
            return Err(InvalidField::new("run.scheduling.not_before", reason));
        }
        self.trigger.check()?;
        // The template is the member `run` of the API.
        let within = |err: InvalidField| InvalidField { field: format!("run.{}", err.field), ..err };
        self.template.check().map_err(within)?;
        if let Some(concurrency) = &self.template.scheduling.concurrency {
            event_key::check(&concurrency.key).map_err(within)?;
        }
        self.prompt().map(drop).map_err(within)
    }

    /// The template of its prompts. None for a script: what somebody wrote in an event must never become a command, so that
    /// a script is run as it is, and reads the event from its file.
    pub fn prompt(&self) -> Result<Option<PromptTemplate>, InvalidField> {
        match self.template.harness {
            HarnessKind::Shell => Ok(None),
            _ => PromptTemplate::parse(&self.template.prompt).map(Some),
        }
    }
}

impl Failures {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Automation {
    /// The secret of its webhook, now.
    pub fn secret(&self, key: &SecretString) -> SigningSecret {
        SigningSecret::derived(key, &self.id, self.secret_generation)
    }

    /// Every secret that its webhook takes at `now`: the one before the last rotation still works for a while.
    pub fn secrets(&self, key: &SecretString, now: Timestamp) -> Vec<SigningSecret> {
        let generations = rotation::generations(self.secret_generation, self.rotated_at, now);
        generations.map(|generation| SigningSecret::derived(key, &self.id, generation)).collect()
    }

    /// The same after a run of it has ended at `at`, as often as it is told. None: that changes nothing.
    pub fn after_run(&self, run: RunId, succeeded: bool, at: Timestamp) -> Option<Self> {
        let Failures { runs, since } = &self.failures;
        if since.is_some_and(|since| at <= since) {
            return None;
        }
        if succeeded {
            // Nothing is to be forgotten, and a row not to be written.
            let failures = Failures { runs: Vec::new(), since: Some(at) };
            return (!runs.is_empty()).then(|| Self { failures, ..self.clone() });
        }
        if runs.contains(&run) || self.config.paused {
            return None;
        }
        let mut after = self.clone();
        after.failures.runs.push(run);
        let failed = after.failures.runs.len();
        if failed >= limits::AUTOMATION_FAILURES {
            after.config.paused = true;
            after.paused_because = Some(format!("its last {failed} runs failed, {run} as the last"));
        }
        Some(after)
    }

    /// The same with what a user set at `now`. Resumed, it begins anew.
    pub fn updated(&self, config: AutomationConfig, now: Timestamp) -> Self {
        let mut updated = Self { last_updated: now, ..self.clone() };
        if !config.paused {
            updated.paused_because = None;
            if self.config.paused {
                updated.failures = Failures { runs: Vec::new(), since: Some(now) };
            }
        }
        updated.config = config;
        updated
    }

    /// The same with its next secret.
    pub fn rotated(&self, now: Timestamp) -> Self {
        let secret_generation = self.secret_generation.saturating_add(1);
        Self { secret_generation, rotated_at: Some(now), last_updated: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::scheduling::{Concurrency, KeyPolicy};

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
        check(|c| c.trigger.events = vec![String::new()], "on.events");
        let key = |key: &str| Some(Concurrency { key: key.to_owned(), policy: KeyPolicy::Queue });
        check(|c| c.template.scheduling.concurrency = key("review {item}"), "ok");
        check(|c| c.template.scheduling.concurrency = key("review {issue}"), "run.scheduling.concurrency.key");
    }

    #[test]
    fn a_script_is_no_template() {
        let bash = r#"[ ${#list[@]} = 0 ] && echo '{{ nothing.of(the).kind }}'"#;
        check(|c| c.template.prompt = bash.to_owned(), "ok");
        check(
            |c| {
                c.template.prompt = bash.to_owned();
                c.template.harness = HarnessKind::Claude;
            },
            "run.prompt",
        );
    }

    #[test]
    fn five_failures_in_a_row_pause_it_with_the_reason() {
        let run = |n: u8| RunId::new(1_000, [n; 10]);
        let at = |n: u8| Timestamp::from_second(1_800_000_000 + i64::from(n)).unwrap();
        let mut one = automation();
        for n in 1..=4 {
            one = one.after_run(run(n), false, at(n)).unwrap();
            assert!(one.after_run(run(n), false, at(n)).is_none(), "told twice");
        }
        // One that succeeds in between: none before it counts any more, however late it is told.
        let mended = one.after_run(run(5), true, at(5)).unwrap();
        assert_eq!(mended.after_run(run(4), false, at(4)), None);
        assert_eq!(mended.after_run(run(6), true, at(6)), None, "nothing to forget");
        assert_eq!(mended.after_run(run(6), false, at(6)).unwrap().failures.runs, [run(6)]);

        let paused = one.after_run(run(5), false, at(5)).unwrap();
        let reason = format!("its last 5 runs failed, {} as the last", run(5));
        assert_eq!((paused.config.paused, paused.paused_because.as_deref()), (true, Some(reason.as_str())));
        assert_eq!(paused.after_run(run(6), false, at(6)), None);
        let renamed = AutomationConfig { name: "other".to_owned(), ..paused.config.clone() };
        assert_eq!(paused.updated(renamed, at(7)).paused_because, paused.paused_because);
        let resumed = paused.updated(automation().config, at(8));
        assert_eq!((resumed.config.paused, resumed.paused_because.as_deref()), (false, None));
        assert!(resumed.failures.runs.is_empty() && resumed.after_run(run(7), false, at(7)).is_none());
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
