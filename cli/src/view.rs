//! A run as it is shown while it works.
//!
//! The task's standard output goes to ours and everything else to standard error, so that `oz run … > file` holds what
//! the task printed. In ndjson every event is a line of standard output; in json there is only the run at the end.

use std::io::{IsTerminal, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ozma_api::wire::{QueuePlace, RunItem};
use ozma_domain::run::Isolation;
use ozma_domain::state::RunState;
use ozma_domain::text::printable;
use serde_json::json;
use serde_json::value::RawValue;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, BOLD, CYAN, DIM, GREEN, RED, YELLOW, styled};
use crate::transcript::Said;
use crate::values;

#[derive(Debug)]
pub(crate) struct View {
    mode: Mode,
    state: Option<RunState>,
}

#[derive(Debug)]
enum Mode {
    Terminal(Terminal),
    Lines,
    Ndjson,
    /// One document, at the end.
    Json,
}

/// Standard error is a terminal: a spinner under the lines.
#[derive(Debug)]
struct Terminal {
    spinner: ProgressBar,
    /// The beginning of a line of the task, which the spinner would overwrite.
    unfinished_stdout: String,
    unfinished_stderr: String,
}

impl View {
    pub(crate) fn new(format: Format) -> Self {
        let mode = match format {
            Format::Pretty if stderr().is_terminal() => Mode::Terminal(Terminal::new()),
            Format::Pretty | Format::Text => Mode::Lines,
            Format::Ndjson => Mode::Ndjson,
            Format::Json => Mode::Json,
        };
        Self { mode, state: None }
    }

    /// Without an end there is no one document: json gives lines of it.
    pub(crate) fn for_logs(format: Format, follow: bool) -> Self {
        let format = match format {
            Format::Json => Format::Ndjson,
            Format::Pretty if !follow => Format::Text,
            format => format,
        };
        Self::new(format)
    }

    pub(crate) fn state(&self) -> Option<RunState> {
        self.state
    }

    /// The run was accepted.
    pub(crate) fn started(&mut self, run: &str) -> Result<(), Failure> {
        match &self.mode {
            Mode::Terminal(_) | Mode::Lines => {
                output::note(format_args!("Run ID: {}", styled(BOLD, run)));
                Ok(())
            }
            Mode::Ndjson => output::json_line(&json!({"type": "system", "event_type": "run_started", "run_id": run})),
            Mode::Json => Ok(()),
        }
    }

    /// An event as it is in the audit log.
    pub(crate) fn raw(&self, event: &RawValue) -> Result<(), Failure> {
        if matches!(self.mode, Mode::Ndjson) { output::raw(&format!("{}\n", event.get())) } else { Ok(()) }
    }

    pub(crate) fn say(&mut self, said: Said) -> Result<(), Failure> {
        match (&mut self.mode, said) {
            // The event itself was a line already.
            (Mode::Ndjson, Said::State(state)) => self.state = Some(state),
            (_, Said::State(state)) => return self.moved(state),
            (Mode::Terminal(terminal), said) => return terminal.say(said),
            (Mode::Lines, said) => return say_line(said),
            (Mode::Ndjson | Mode::Json, _) => {}
        }
        Ok(())
    }

    /// Tells a state once.
    pub(crate) fn moved(&mut self, state: RunState) -> Result<(), Failure> {
        // The end is told with the outcome.
        if self.state.replace(state) == Some(state) || state.is_terminal() {
            return Ok(());
        }
        match &mut self.mode {
            Mode::Terminal(terminal) => terminal.moved(state),
            Mode::Lines => output::note(doing(state)),
            Mode::Ndjson => {
                output::json_line(&json!({"type": "system", "event_type": "state", "state": state}))?;
            }
            Mode::Json => {}
        }
        Ok(())
    }

    /// Why it waits.
    pub(crate) fn queued(&mut self, queue: &QueuePlace) {
        let starts = estimate(queue).map(|starts| format!(", starts {starts}")).unwrap_or_default();
        let mut place = format!("queued, {}{starts}", place(queue));
        if !queue.reason.is_empty() {
            place += &format!(": {}", printable(queue.reason.as_bytes()));
        }
        match &mut self.mode {
            Mode::Terminal(terminal) => terminal.spinner.set_message(place),
            Mode::Lines => output::note(place),
            Mode::Ndjson | Mode::Json => {}
        }
    }

    /// Takes the spinner away, for a question or for the end.
    pub(crate) fn pause(&mut self) -> Result<(), Failure> {
        if let Mode::Terminal(terminal) = &mut self.mode {
            terminal.finish_lines()?;
            terminal.spinner.finish_and_clear();
        }
        Ok(())
    }

    /// Brings the spinner back.
    pub(crate) fn resume(&mut self) {
        if let Mode::Terminal(terminal) = &mut self.mode {
            let message = terminal.spinner.message();
            terminal.spinner = spinner();
            terminal.spinner.set_message(message);
        }
    }

    /// The last word: the outcome, what it took, and where to read more.
    pub(crate) fn ended(&mut self, run: &RunItem, facts: Vec<String>, pointers: &[String]) -> Result<(), Failure> {
        self.pause()?;
        match self.mode {
            Mode::Json => output::json(run),
            Mode::Ndjson => output::json_line(&json!({"type": "system", "event_type": "run_ended", "run": run})),
            Mode::Terminal(_) | Mode::Lines => {
                for line in summary(run, facts) {
                    output::note(line);
                }
                for pointer in pointers {
                    output::note(styled(DIM, pointer));
                }
                Ok(())
            }
        }
    }
}

impl Terminal {
    fn new() -> Self {
        Self { spinner: spinner(), unfinished_stdout: String::new(), unfinished_stderr: String::new() }
    }

    fn moved(&mut self, state: RunState) {
        let style = output::state_style(state);
        self.spinner.suspend(|| output::note(format_args!("{} {}", styled(style, "●"), doing(state))));
        self.spinner.set_message(doing(state));
    }

    fn say(&mut self, said: Said) -> Result<(), Failure> {
        match said {
            Said::Stdout(text) if !stdout().is_terminal() => output::raw(&text),
            Said::Stdout(text) => {
                let lines = whole_lines(&mut self.unfinished_stdout, &text);
                self.spinner.suspend(|| output::raw(&lines))
            }
            Said::Stderr(text) => {
                let lines = whole_lines(&mut self.unfinished_stderr, &text);
                self.spinner.suspend(|| errors(&lines));
                Ok(())
            }
            Said::Step(command) => {
                self.spinner.suspend(|| output::note(format_args!("{} {command}", styled(CYAN, "$"))));
                self.spinner.set_message(command);
                Ok(())
            }
            said @ (Said::Notice(_) | Said::State(_)) => self.spinner.suspend(|| say_line(said)),
        }
    }

    fn finish_lines(&mut self) -> Result<(), Failure> {
        let (out, err) = (std::mem::take(&mut self.unfinished_stdout), std::mem::take(&mut self.unfinished_stderr));
        self.spinner.suspend(|| {
            if !err.is_empty() {
                errors(&format!("{err}\n"));
            }
            if out.is_empty() { Ok(()) } else { output::raw(&format!("{out}\n")) }
        })
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    // The template is a constant; were it wrong, the default would do.
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed:.dim}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn say_line(said: Said) -> Result<(), Failure> {
    match said {
        Said::Stdout(text) => output::raw(&text)?,
        Said::Stderr(text) => errors(&text),
        Said::Step(command) => output::note(format_args!("$ {command}")),
        Said::Notice(text) => output::note(format_args!("{}: {text}", styled(YELLOW, "note"))),
        Said::State(state) => output::note(doing(state)),
    }
    Ok(())
}

/// The task's bytes, unchanged.
fn errors(text: &str) {
    use std::io::Write as _;
    let _ = stderr().lock().write_all(text.as_bytes());
}

/// The lines that are complete with `text`; the rest waits in `unfinished`, unless it has grown long.
fn whole_lines(unfinished: &mut String, text: &str) -> String {
    const LONG: usize = 8 * 1024;
    unfinished.push_str(text);
    let end = unfinished.rfind('\n').map_or(0, |at| at + 1);
    if end == 0 && unfinished.len() > LONG {
        return std::mem::take(unfinished);
    }
    let rest = unfinished.split_off(end);
    std::mem::replace(unfinished, rest)
}

fn doing(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Pending => "starting",
        RunState::Claimed => "preparing",
        RunState::InProgress => "running",
        RunState::Blocked => "blocked",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Error => "platform error",
        RunState::Cancelled => "cancelled",
    }
}

fn summary(run: &RunItem, mut facts: Vec<String>) -> Vec<String> {
    let (symbol, style) = match run.state {
        RunState::Succeeded => ("✔", GREEN),
        RunState::Failed | RunState::Error => ("✘", RED),
        _ => ("●", YELLOW),
    };
    let took = values::took(values::between(run.created_at, run.ended_at.unwrap_or(run.updated_at)));
    let mut line = format!("{} {} in {took}", styled(style, symbol), styled(style.bold(), doing(run.state)));
    if let Some(code) = run.status_message.as_ref().and_then(|status| status.error_code) {
        line = format!("{line} ({code})");
    }
    facts.extend(run.attempt.filter(|attempt| *attempt > 1).map(|attempt| format!("{attempt} attempts")));
    facts.extend(run.isolation.map(|isolation| match isolation {
        Isolation::Process => "not isolated (plain process)".to_owned(),
        isolation => format!("isolated by {}", isolation.as_str()),
    }));
    facts.extend(cost(run).map(|cost| format!("cost {cost}")));
    for fact in facts {
        line = format!("{line} · {fact}");
    }
    let mut lines = vec![line];
    if run.state != RunState::Succeeded {
        lines.extend(run.status_message.iter().map(|status| status.message.clone()).filter(|text| !text.is_empty()));
    }
    lines
}

/// What it cost, and what it would have on AWS.
pub(crate) fn cost(run: &RunItem) -> Option<String> {
    let usage = run.request_usage.as_ref()?;
    let parts = [usage.compute_cost_usd, usage.inference_cost_usd, usage.platform_cost_usd];
    let paid = parts.iter().flatten().copied().reduce(|sum, part| sum + part);
    match (paid, usage.estimated_fargate_usd) {
        (None, None) => None,
        (Some(paid), None) => Some(values::usd(paid)),
        (paid, Some(fargate)) => {
            Some(format!("{} (on Fargate about {})", values::usd(paid.unwrap_or(0.0)), values::usd(fargate)))
        }
    }
}

/// Where a run stands in its queue.
pub(crate) fn place(queue: &QueuePlace) -> String {
    format!("number {}{} in line", queue.position, if queue.at_least { " or later" } else { "" })
}

/// When it will start, as far as can be told.
pub(crate) fn estimate(queue: &QueuePlace) -> Option<String> {
    let at = queue.estimated_start_at?;
    let wait = values::between(output::now(), at);
    Some(if wait.as_secs() == 0 { "any moment".to_owned() } else { format!("in about {}", values::took(wait)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &str, more: &serde_json::Value) -> RunItem {
        let mut run = json!({
            "run_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10", "task_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10",
            "title": "t", "state": state, "prompt": "true",
            "created_at": "2026-11-21T00:00:00Z", "updated_at": "2026-11-21T00:01:05Z",
        });
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(run).unwrap()
    }

    #[track_caller]
    fn check(state: &str, more: &serde_json::Value, facts: &[&str], expected: &str) {
        let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
        let lines = summary(&run(state, more), facts).join(" / ");
        assert_eq!(anstream::adapter::strip_str(&lines).to_string(), expected);
    }

    #[test]
    fn the_end_says_what_it_took() {
        check("SUCCEEDED", &json!({}), &[], "✔ succeeded in 1 min 05 s");
        check(
            "SUCCEEDED",
            &json!({
                "ended_at": "2026-11-21T00:00:04.2Z", "isolation": "bubblewrap", "attempt": 2,
                "request_usage": {"compute_cost_usd": 0.0, "estimated_fargate_usd": 0.001645},
                "status_message": {"message": "all done"},
            }),
            &["files: 1 created"],
            "✔ succeeded in 4.2 s · files: 1 created · 2 attempts · isolated by bubblewrap · cost $0.00 (on Fargate about $0.0016)",
        );
        check(
            "FAILED",
            &json!({"isolation": "process", "status_message": {"message": "npm ci: exit code 1", "error_code": "environment_setup_failed"}}),
            &[],
            "✘ failed in 1 min 05 s (environment_setup_failed) · not isolated (plain process) / npm ci: exit code 1",
        );
        check("CANCELLED", &json!({}), &[], "● cancelled in 1 min 05 s");
    }

    #[test]
    fn the_spinner_never_cuts_a_line() {
        let mut unfinished = String::new();
        let row = |unfinished: &mut String, text| (whole_lines(unfinished, text), unfinished.clone());
        assert_eq!(row(&mut unfinished, "a"), (String::new(), "a".to_owned()));
        assert_eq!(row(&mut unfinished, "b\nc\nd"), ("ab\nc\n".to_owned(), "d".to_owned()));
        let long = "x".repeat(9_000);
        assert_eq!(row(&mut unfinished, &long), (format!("d{long}"), String::new()));
    }
}
