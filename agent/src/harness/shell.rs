//! The prompt is a script for bash, or in an image without it for `sh`; its exit code is the outcome, its last lines are the summary.

use std::fs::OpenOptions;
use std::io::Write as _;

use async_trait::async_trait;
use ozma_domain::audit::event::Phase;
use ozma_domain::failure::FailureClass;
use ozma_domain::limits::STATUS_CHARS;
use ozma_domain::outcome::Outcome;
use ozma_domain::text;

use super::{Harness, Task};
use crate::agent::Ending;
use crate::command::{self, Finished, How, Leftovers, Spec};
use crate::workspace;

const SUMMARY_LINES: usize = 10;

pub(super) struct Shell;

#[async_trait]
impl Harness for Shell {
    async fn work(&self, task: &Task<'_>) -> Result<Outcome, Ending> {
        let agent = task.agent;
        let script = agent.workspace.script();
        write(&script, &agent.assignment.prompt).map_err(|err| {
            Ending::failed(
                FailureClass::SetupFailed,
                format!("the task could not be written to {}: {err}", script.display()),
            )
        })?;
        let spec = Spec {
            phase: Phase::Task,
            program: &task.programs.shell,
            argv: vec![task.programs.shell_name(), script.to_string_lossy().into_owned()],
            cwd: task.cwd,
            variables: task.variables,
            longest: None,
            leftovers: Leftovers::Ended,
        };
        Ok(outcome(&command::run(agent, spec).await?))
    }
}

fn write(script: &std::path::Path, prompt: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = workspace::open(script, options.write(true).create(true).truncate(true))?;
    file.write_all(prompt.as_bytes())
}

fn outcome(finished: &Finished) -> Outcome {
    let end = |text: &str| text::last_lines(text, SUMMARY_LINES, STATUS_CHARS);
    if finished.how == How::Code(0) {
        let stdout = end(&finished.stdout);
        return Outcome::Succeeded { summary: if stdout.is_empty() { end(&finished.stderr) } else { stdout } };
    }
    // A failure mostly says why on stderr, and says it last.
    let last = |text: &str| text::one_line(&text::last_lines(text, 1, STATUS_CHARS));
    let why = Some(last(&finished.stderr)).filter(|line| !line.is_empty()).unwrap_or_else(|| last(&finished.stdout));
    let mut message = format!("the task {}", finished.how.words(None));
    if !why.is_empty() {
        message = text::shorten(&format!("{message}: {why}"), STATUS_CHARS);
    }
    Outcome::failed(FailureClass::TaskFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(how: How, stdout: &str, stderr: &str, expected: &str) {
        let finished = Finished { how, stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        assert_eq!(outcome(&finished).message(), expected);
    }

    #[test]
    fn the_exit_code_decides_and_the_last_lines_tell() {
        check(How::Code(0), "one\ntwo\n", "noise", "one\ntwo");
        check(How::Code(0), "", "only here", "only here");
        check(How::Code(0), "", "", "");
        check(How::Code(3), "out", "", "the task failed with exit code 3: out");
        check(
            How::Code(127),
            "out",
            "a\nbash: x: command not found\n",
            "the task failed with exit code 127: bash: x: command not found",
        );
        check(How::Signal(9), "", "", "the task was ended by signal 9 (SIGKILL)");
    }
}
