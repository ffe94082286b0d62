//! The environment's set-up commands, one after the other.

use std::path::Path;

use ozma_domain::audit::event::Phase;
use ozma_domain::failure::FailureClass;
use ozma_domain::text;

use crate::agent::{Agent, Ending};
use crate::command::{self, How, Leftovers, Spec};
use crate::preflight::Programs;
use crate::variables::Variables;

/// How much of a failed command the message shows: it must fit a line.
const SHOWN_CHARS: usize = 200;

/// Runs them all, or up to the first that fails.
pub(crate) async fn set_up(
    agent: &Agent,
    programs: &Programs,
    cwd: &Path,
    variables: &Variables,
) -> Result<(), Ending> {
    let mut variables = variables.clone();
    variables.insert("CI".to_owned(), "true".to_owned());
    let commands = &agent.assignment.setup_commands;
    let longest = Some(agent.config.limits.setup_command);
    for (at, script) in commands.iter().enumerate() {
        let spec = Spec {
            phase: Phase::Setup,
            program: &programs.shell,
            argv: vec![programs.shell_name(), "-c".to_owned(), script.clone()],
            cwd,
            variables: &variables,
            longest,
            leftovers: Leftovers::Kept,
        };
        let finished = command::run(agent, spec).await?;
        if finished.how != How::Code(0) {
            let shown = text::shorten(&text::one_line(script), SHOWN_CHARS);
            let how = finished.how.words(longest);
            let message = format!("set-up command {} of {} {how}: {shown}", at + 1, commands.len());
            return Err(Ending::failed(FailureClass::SetupFailed, message));
        }
    }
    Ok(())
}
