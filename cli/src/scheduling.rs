//! The options that say when a run may start and what it may take; `oz run` and automations share them.

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use ozma_api::wire::{Budget, Concurrency, CreateRunRequest, Limits, Scheduling};
use ozma_domain::lane::PRIORITY_MAX;
use ozma_domain::scheduling::KeyPolicy;

use crate::output;
use crate::values;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "When it starts, and what it may take")]
pub(crate) struct SchedulingArgs {
    /// Turns by which it goes before others of the team, from -100 to 100
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i16).range(-i64::from(PRIORITY_MAX)..=i64::from(PRIORITY_MAX)))]
    priority: Option<i16>,

    /// Of the runs with the same key, one at a time is live: a repository and branch, an issue, a thread
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// What to do when another run has the key: queue, skip or supersede [default: queue]
    #[arg(long, requires = "key", value_name = "POLICY")]
    if_busy: Option<KeyPolicy>,

    /// Cancel it if it could not start within this time of waiting, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expire_after: Option<Duration>,

    /// The deadline of it all, waiting and further tries included
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    run_timeout: Option<Duration>,

    /// How long clone and set-up commands may take
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    setup_timeout: Option<Duration>,

    /// How long the task may print nothing
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    idle_timeout: Option<Duration>,

    /// What it may spend, in dollars: compute, and models as the harness reports them
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget_usd: Option<f64>,

    /// The minutes of compute it may use, all tries included
    #[arg(long, value_name = "MINUTES")]
    budget_minutes: Option<u64>,

    /// The tokens it may use, as the harness reports them
    #[arg(long, value_name = "TOKENS")]
    budget_tokens: Option<u64>,
}

impl SchedulingArgs {
    /// Sets what is given, and leaves the rest of the request as it is.
    pub(crate) fn add_to(self, request: &mut CreateRunRequest) {
        let mut scheduling = request.scheduling.take().unwrap_or_default();
        scheduling.priority = self.priority.or(scheduling.priority);
        scheduling.queue_seconds = seconds(self.expire_after).or(scheduling.queue_seconds);
        if let Some(key) = self.key {
            scheduling.concurrency = Some(Concurrency { key: Some(key), policy: self.if_busy });
        }
        request.scheduling = Some(scheduling).filter(|scheduling| *scheduling != Scheduling::default());

        let mut limits = request.limits.take().unwrap_or_default();
        limits.run_seconds = seconds(self.run_timeout).or(limits.run_seconds);
        limits.setup_seconds = seconds(self.setup_timeout).or(limits.setup_seconds);
        limits.idle_seconds = seconds(self.idle_timeout).or(limits.idle_seconds);
        let given = Budget { usd: self.budget_usd, minutes: self.budget_minutes, tokens: self.budget_tokens };
        limits.budget = budget_with(limits.budget.take(), &given);
        request.limits = Some(limits).filter(|limits| *limits != Limits::default());
    }
}

/// A moment: a time such as 2026-11-21T18:00:00Z, or a length of time from now.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let from_now = values::duration(text).map_err(|_| {
        format!("\"{text}\" is neither a time, such as 2026-11-21T18:00:00Z, nor a length of time, such as 2h")
    })?;
    let from_now = SignedDuration::try_from(from_now).map_err(|err| err.to_string())?;
    output::now().checked_add(from_now).map_err(|err| err.to_string())
}

/// What of it is set, for people.
pub(crate) fn lines(scheduling: Option<&Scheduling>, limits: Option<&Limits>) -> Vec<(&'static str, String)> {
    let scheduling = scheduling.cloned().unwrap_or_default();
    let limits = limits.cloned().unwrap_or_default();
    let length = |seconds: Option<u64>| seconds.map(|seconds| values::took(Duration::from_secs(seconds)));
    let key = scheduling.concurrency.map(|concurrency| {
        let policy = concurrency.policy.unwrap_or_default();
        format!("{} (if busy: {policy})", concurrency.key.unwrap_or_default())
    });
    let lines = [
        ("Priority", scheduling.priority.map(|priority| priority.to_string())),
        ("Key", key),
        ("Not before", scheduling.not_before.map(|at| at.to_string())),
        ("Expires after", length(scheduling.queue_seconds)),
        ("Run timeout", length(limits.run_seconds)),
        ("Setup timeout", length(limits.setup_seconds)),
        ("Idle timeout", length(limits.idle_seconds)),
        ("Budget", limits.budget.as_ref().and_then(budget_words)),
    ];
    lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A budget with what is `given` in place of what it had. None: nothing is left that bounds anything.
pub(crate) fn budget_with(budget: Option<Budget>, given: &Budget) -> Option<Budget> {
    let budget = budget.unwrap_or_default();
    let budget = Budget {
        usd: given.usd.or(budget.usd),
        minutes: given.minutes.or(budget.minutes),
        tokens: given.tokens.or(budget.tokens),
    };
    Some(budget).filter(|budget| *budget != Budget::default())
}

/// What of a budget is set, for people.
pub(crate) fn budget_words(budget: &Budget) -> Option<String> {
    let words = [
        budget.usd.map(values::usd),
        budget.minutes.map(|minutes| format!("{minutes} minutes")),
        budget.tokens.map(|tokens| format!("{tokens} tokens")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn seconds(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_secs())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SchedulingArgs,
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let line = std::iter::once("oz").chain(line.split_whitespace());
        let told = Line::try_parse_from(line).map_or_else(
            |err| err.kind().to_string(),
            |line| {
                let mut request = CreateRunRequest::default();
                line.args.add_to(&mut request);
                serde_json::to_string(&request).unwrap()
            },
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn options_become_a_request() {
        check("", "{}");
        check("--priority -5", r#"{"scheduling":{"priority":-5}}"#);
        check("--priority 101", "invalid value for one of the arguments");
        check("--if-busy skip", "one or more required arguments were not provided");
        check("--key a --if-busy later", "invalid value for one of the arguments");
        check(
            "--key acme/web --if-busy supersede --expire-after 10m",
            r#"{"scheduling":{"concurrency":{"key":"acme/web","policy":"supersede"},"queue_seconds":600}}"#,
        );
        check("--budget-usd 1.5 --idle-timeout 90s", r#"{"limits":{"idle_seconds":90,"budget":{"usd":1.5}}}"#);
    }

    #[test]
    fn moments_are_times_or_lengths_of_time() {
        assert_eq!(moment("2026-11-21T18:00:00Z"), Ok("2026-11-21T18:00:00Z".parse().unwrap()));
        let soon = moment("2h").unwrap().duration_since(output::now()).as_secs();
        assert!((7_190..=7_200).contains(&soon), "{soon}");
        assert!(moment("tomorrow").is_err());
    }
}
