//! The agent inside `oz`: what a launcher starts in the workspace, as the hidden `oz agent-process`, and what its task calls by the
//! agent's own name.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use ozma_boot::environment::of_process;

/// The words after the agent's name, if the program was called by that.
pub(crate) fn called(mut words: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    let name = words.next()?;
    let is_agent = Path::new(&name).file_name().is_some_and(|name| name == ozma_agent::PROGRAM);
    is_agent.then(|| words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// The whole life of an agent process, or of a tool of its task. What an agent has to say besides its events goes to standard
/// error.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ozma_agent::tool(&words, of_process).unwrap_or_else(|| {
        ozma_boot::log::init(ozma_boot::log::Level::Warn);
        ozma_agent::main_from(of_process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_name_makes_an_agent_of_the_program() {
        #[track_caller]
        fn check(words: &[&str], expected: Option<&str>) {
            let found = called(words.iter().map(OsString::from));
            assert_eq!(found.map(|words| words.join(" ")).as_deref(), expected);
        }
        check(&["/workspace/bin/oz-agent", "git-credential", "get"], Some("git-credential get"));
        check(&["oz-agent"], Some(""));
        check(&["/oz/oz", "agent"], None);
        check(&[], None);
    }
}
