//! Options that say which events start an automation.

use std::collections::BTreeSet;

use clap::Args;
use ozma_api::wire::{Allow, Trigger};
use serde_json::Value;

use crate::exit::Failure;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Events")]
pub(crate) struct TriggerArgs {
    /// Events at that webhook start it, by id or name; its own address always does
    #[arg(long, value_name = "WEBHOOK", conflicts_with = "provider")]
    on: Option<String>,

    /// Events at every webhook of that provider start it, such as github
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,

    /// The name of an event that starts it, such as issue.labeled; repeatable, every event if not given
    #[arg(long, value_name = "NAME")]
    event: Vec<String>,

    /// Which of them, as JSON that mirrors the payload, or @FILE: docs/filters-and-templates.md
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,

    /// Somebody who may cause runs whatever they are to the repository; repeatable
    #[arg(long, value_name = "LOGIN")]
    allow_login: Vec<String>,

    /// Somebody by the address that the provider tells of them, or all of a domain as *@example.com; repeatable
    #[arg(long, value_name = "ADDRESS")]
    allow_email: Vec<String>,

    /// Checks start it whoever made them run, over code of forks too
    #[arg(long)]
    allow_any_checks: bool,

    /// Runs for code of forks get secrets too
    #[arg(long)]
    allow_fork_secrets: bool,

    /// Runs in an hour for one issue, pull request, branch or thread; 20 if not given
    #[arg(long, value_name = "RUNS")]
    runs_per_object: Option<u32>,
}

impl TriggerArgs {
    /// What is named replaces what is there; logins and addresses are added.
    pub(crate) fn add_to(self, trigger: &mut Option<Trigger>) -> Result<(), Failure> {
        let mut on = trigger.take().unwrap_or_default();
        if self.on.is_some() || self.provider.is_some() {
            (on.webhook, on.provider) = (self.on, self.provider);
        }
        if !self.event.is_empty() {
            on.events = Some(self.event);
        }
        if let Some(filter) = &self.filter {
            on.filter = Some(read_filter(filter)?);
        }
        let Allow { associations, logins, emails, any_checks, fork_secrets } = on.allow.take().unwrap_or_default();
        let mut logins: BTreeSet<String> = logins.unwrap_or_default();
        logins.extend(self.allow_login);
        let mut emails: BTreeSet<String> = emails.unwrap_or_default();
        emails.extend(self.allow_email);
        let allow = Allow {
            associations,
            logins: Some(logins).filter(|logins| !logins.is_empty()),
            emails: Some(emails).filter(|emails| !emails.is_empty()),
            any_checks: any_checks.or(self.allow_any_checks.then_some(true)),
            fork_secrets: fork_secrets.or(self.allow_fork_secrets.then_some(true)),
        };
        on.allow = Some(allow).filter(|allow| *allow != Allow::default());
        on.runs_per_object = self.runs_per_object.or(on.runs_per_object);
        *trigger = Some(on).filter(|on| *on != Trigger::default());
        Ok(())
    }
}

fn read_filter(text: &str) -> Result<Value, Failure> {
    let json = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|err| Failure::usage(format!("--filter: cannot read {path}: {err}")))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&json).map_err(|err| Failure::usage(format!("--filter: this is no JSON: {err}")))
}

/// For people: what starts it.
pub(crate) fn lines(trigger: Option<&Trigger>) -> Vec<(&'static str, String)> {
    let Some(on) = trigger else { return Vec::new() };
    let allow = on.allow.clone().unwrap_or_default();
    let source = on.webhook.clone().map(|id| format!("webhook {id}")).or(on.provider.clone());
    let allowed = [
        allow.associations.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        allow.logins.map(|logins| logins.into_iter().collect::<Vec<_>>().join(", ")),
        allow.emails.map(|emails| emails.into_iter().collect::<Vec<_>>().join(", ")),
        allow.any_checks.map(|_| "any checks".to_owned()),
        allow.fork_secrets.map(|_| "secrets for forks".to_owned()),
    ];
    let lines = [
        ("On", source.unwrap_or_default()),
        ("Events", on.events.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")),
        ("Filter", on.filter.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Allowed", allowed.into_iter().flatten().collect::<Vec<_>>().join("; ")),
        ("Runs per object", on.runs_per_object.map(|runs| runs.to_string()).unwrap_or_default()),
    ];
    lines.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
