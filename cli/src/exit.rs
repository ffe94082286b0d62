//! How the command ends: an exit code, and in words what went wrong and what to do about it.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use ozma_domain::state::RunState;

/// Every exit code of `oz`. They are part of the interface: scripts read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Succeeded = 0,
    /// `oz` could not do what it was asked.
    Unable = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The run FAILED, or is BLOCKED until a person answers.
    AgentFailed = 3,
    /// The run ended with ERROR: the platform is at fault.
    PlatformError = 4,
    Cancelled = 5,
    /// By Ctrl-C or SIGTERM.
    Interrupted = 130,
}

/// Why the command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    exit: Exit,
    /// Nobody reads any more: nothing is printed.
    closed: bool,
}

impl Exit {
    /// The exit code of a run that ended in this state.
    pub(crate) fn of(state: RunState) -> Option<Self> {
        match state {
            RunState::Succeeded => Some(Self::Succeeded),
            RunState::Failed | RunState::Blocked => Some(Self::AgentFailed),
            RunState::Error => Some(Self::PlatformError),
            RunState::Cancelled => Some(Self::Cancelled),
            RunState::Queued | RunState::Pending | RunState::Claimed | RunState::InProgress => None,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, source: None, exit: Exit::Unable, closed: false }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// What the user can do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether the reader of our output has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.closed { Exit::Succeeded } else { self.exit }
    }

    /// The lines for standard error. The direct cause is always told; the rest of the chain to those who debug.
    pub(crate) fn lines(&self, debug: bool) -> Vec<String> {
        if self.closed {
            return Vec::new();
        }
        let mut causes = Vec::new();
        let mut next = self.source.as_ref().map(|source| source.as_ref() as &dyn Error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let mut first = format!("error: {}", self.message);
        if let Some(cause) = causes.first() {
            first = format!("{first}: {cause}");
        }
        let mut lines = vec![first];
        if debug {
            lines.extend(causes.iter().skip(1).map(|cause| format!("  caused by: {cause}")));
        }
        lines.extend(self.hint.iter().map(|hint| format!("hint: {hint}")));
        lines
    }
}

/// Writing to standard output or standard error.
impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        let closed = err.kind() == io::ErrorKind::BrokenPipe;
        Self { closed, ..Self::new("cannot write the output").because(err) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_exit_code() {
        let table: Vec<String> = RunState::ALL
            .into_iter()
            .map(|state| format!("{state} {}", Exit::of(state).map_or("-".to_owned(), |exit| (exit as u8).to_string())))
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
QUEUED -
PENDING -
CLAIMED -
INPROGRESS -
BLOCKED 3
SUCCEEDED 0
FAILED 3
ERROR 4
CANCELLED 5
");
    }

    #[test]
    fn a_failure_says_what_and_what_to_do() {
        let source = io::Error::other(io::Error::new(io::ErrorKind::NotFound, "no such file"));
        let failure = Failure::new("cannot read the key").because(source).hint("start `oz up`");
        insta::assert_snapshot!(failure.lines(false).join("\n"), @r"
error: cannot read the key: no such file
hint: start `oz up`
");
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.lines(true), failure.exit()), (Vec::new(), Exit::Succeeded));
    }
}
