//! The pull requests that the task made: lines of JSON that it appends to a file, passed on as they come.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ozma_domain::audit::event::Record;
use ozma_domain::limits::PULL_REQUEST_REPORTS;
use ozma_domain::protocol::PULL_REQUESTS_FILE;
use ozma_domain::pull_request::Reported;

use crate::agent::Agent;
use crate::client::CallError;
use crate::tail::{self, READS_AT_END, Tail};

const BEAT: Duration = Duration::from_secs(1);

/// A file that grows, and what of it the control plane does not know yet.
pub(crate) struct PullRequests(Mutex<State>);

struct State {
    tail: Tail,
    reports: Reports,
    was_told: bool,
}

#[derive(Default)]
struct Reports {
    all: Vec<Reported>,
    /// How many of them were passed on.
    passed_on: usize,
    /// Lines that are none, or one too many.
    left_out: u64,
}

impl PullRequests {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Mutex::new(State { tail: Tail::new(path), reports: Reports::default(), was_told: false }))
    }

    /// Reads on, and says whether there was something.
    fn read(&self) -> bool {
        let State { tail, reports, .. } = &mut *self.0.lock().expect("no panic while locked");
        tail.read(|line| reports.add(line)).unwrap_or_else(|err| {
            // The task's own doing, and its next line may be readable again.
            tracing::debug!("the task's pull requests cannot be read: {err}");
            false
        })
    }

    /// A last line without its end counts too.
    fn end(&self) {
        let State { tail, reports, .. } = &mut *self.0.lock().expect("no panic while locked");
        tail.end(|line| reports.add(line));
    }

    fn next(&self) -> Option<Reported> {
        let State { reports, .. } = &*self.0.lock().expect("no panic while locked");
        reports.all.get(reports.passed_on).cloned()
    }

    fn passed_on(&self) {
        self.0.lock().expect("no panic while locked").reports.passed_on += 1;
    }

    /// Whether something was left out, said once.
    fn is_news(&self) -> bool {
        let mut state = self.0.lock().expect("no panic while locked");
        state.reports.left_out > 0 && !std::mem::replace(&mut state.was_told, true)
    }
}

impl Reports {
    fn add(&mut self, line: tail::Line<'_>) {
        match line.ok().and_then(|line| serde_json::from_slice::<Reported>(line).ok()) {
            // What was said last of it is no news.
            Some(report) if self.all.iter().rev().find(|old| old.url == report.url) == Some(&report) => {}
            Some(report) if self.all.len() < PULL_REQUEST_REPORTS => self.all.push(report),
            _ => self.left_out += 1,
        }
    }
}

/// Reads along for as long as the agent lives.
pub(crate) async fn watch(agent: Arc<Agent>) {
    loop {
        tokio::time::sleep(BEAT).await;
        while agent.pull_requests.read() {
            tokio::task::yield_now().await;
        }
        pass_on(&agent).await;
    }
}

/// Passes on what is left when the task has ended.
pub(crate) async fn finish(agent: &Agent) {
    let mut left = READS_AT_END;
    while left > 0 && agent.pull_requests.read() {
        left -= 1;
    }
    agent.pull_requests.end();
    pass_on(agent).await;
}

/// One that is under way when whoever watches is stopped is passed on once more: the control plane has it once.
async fn pass_on(agent: &Agent) {
    while let Some(report) = agent.pull_requests.next() {
        let masker = agent.recorder.masker();
        let [url, branch] = [report.url.as_str(), report.branch.as_str()].map(|text| masker.mask(text));
        let masked = url.parse().and_then(|url| Ok(Reported { url, branch: branch.parse()? }));
        let told = match masked {
            Ok(report) => match agent.client.report_pull_request(&report).await {
                Ok(()) => format!("the task made the pull request {} (branch {})", report.url, report.branch),
                Err(err @ CallError::Refused { .. }) => {
                    format!("the pull request {} is not recorded: {err}", report.url)
                }
                // The agent stops, and nobody would hear of it.
                Err(CallError::Stale | CallError::OutOfReach { .. }) => return,
            },
            Err(err) => format!("a pull request is not recorded, as a secret is hidden in it: {err}"),
        };
        agent.recorder.record(Record::Notice { text: told }).await;
        agent.pull_requests.passed_on();
    }
    if agent.pull_requests.is_news() {
        let text = format!(
            "a line of the file {PULL_REQUESTS_FILE} is left out: each is to be a JSON object such as {{\"url\": \
             \"https://github.com/acme/web/pull/12\", \"branch\": \"fix-login\"}}, and at most {PULL_REQUEST_REPORTS} count"
        );
        agent.recorder.record(Record::Notice { text }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], branches: &[&str], left_out: u64) {
        let mut reports = Reports::default();
        for line in lines {
            reports.add(Ok(line.as_bytes()));
        }
        let found: Vec<&str> = reports.all.iter().map(|report| report.branch.as_str()).collect();
        assert_eq!((found.as_slice(), reports.left_out), (branches, left_out));
    }

    #[test]
    fn what_is_said_again_is_no_news() {
        let [a, b, other] = [("1", "a"), ("1", "b"), ("2", "a")]
            .map(|(number, branch)| format!(r#"{{"url":"https://host/{number}","branch":"{branch}","x":1}}"#));
        check(&[&a, &a], &["a"], 0);
        check(&[&a, &b, &b, &a, &other, &a], &["a", "b", "a", "a"], 0);
        check(&["x", "{}", r#"{"url":"ftp://host","branch":"a"}"#, r#"{"url":"https://host"}"#, &a], &["a"], 4);
    }

    #[test]
    fn a_task_in_a_loop_is_no_flood() {
        let mut reports = Reports::default();
        for number in 0..1000 {
            reports.add(Ok(format!(r#"{{"url":"https://host/{number}","branch":"a"}}"#).as_bytes()));
        }
        reports.add(Err(tail::Overlong));
        assert_eq!((reports.all.len(), reports.left_out), (PULL_REQUEST_REPORTS, 901));
    }
}
