//! Questions on a terminal.

use std::io::{IsTerminal, stderr, stdin};

use crate::exit::Failure;
use crate::output;

/// Whether somebody is there to answer.
pub(crate) fn is_possible() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// The answer's first letter, in lower case; none for an empty line or the end of input.
pub(crate) async fn letter(question: &str) -> Result<Option<char>, Failure> {
    output::prompt(question)?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    let line = read.await.map_err(|err| Failure::new("cannot read the answer").because(err))??;
    Ok(line.trim().chars().next().map(|c| c.to_ascii_lowercase()))
}

/// Asks before something is deleted. Without a terminal, the command itself is the decision.
pub(crate) async fn confirm(question: &str, force: bool) -> Result<bool, Failure> {
    if force || !is_possible() {
        return Ok(true);
    }
    Ok(letter(&format!("{question} [y/N] ")).await? == Some('y'))
}
