//! `oz-agent`: the agent as one file that needs nothing of the image it works in, and the way it gets there.

mod install;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

const USAGE: &str = "\
oz-agent: does the work of one execution inside a container, and tells the control plane what it does.

  oz-agent                             claims the execution that a launcher's variables name (OZ_CONTROL_URL,
                                       OZ_EXECUTION_ID, OZ_CLAIM_TOKEN, OZ_WORKSPACE, OZ_ISOLATION) and works on it
  oz-agent install DIR WORKSPACE       copies itself to DIR/oz-agent for containers of other images, and lets every
                                       user write to WORKSPACE; for an init container with both as shared volumes
  oz-agent git-credential get          is git's credential helper, for the task: answers with a token for a repository of
                                       the run
  oz-agent github-token [OWNER/NAME]   prints such a token, for other tools: GH_TOKEN=$(oz-agent github-token) gh pr create
  oz-agent report-artifact pull-request --url URL --branch BRANCH
                                       records a pull request that the task made as an artifact of its run
  oz-agent --version | --help

Example of an init container's command: [\"install\", \"/ozma\", \"/workspace\"]
Exit codes of the agent: 0 the outcome was reported, whatever it was; 1 there was no work; 2 stopped without a report.
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    if let Some(code) = ozma_agent::tool(&words, variable) {
        return code;
    }
    match words[..] {
        [] => work(),
        ["install", _, _] => match install::install(Path::new(&arguments[1]), Path::new(&arguments[2])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => say(io::stderr(), &format!("oz-agent install: {err}\n"), ExitCode::FAILURE),
        },
        ["--version" | "-V"] => {
            let version = concat!("oz-agent ", env!("CARGO_PKG_VERSION"), "\n");
            say(io::stdout(), version, ExitCode::SUCCESS)
        }
        ["--help" | "-h" | "help"] => say(io::stdout(), USAGE, ExitCode::SUCCESS),
        _ => say(io::stderr(), &format!("oz-agent: these arguments mean nothing to it\n\n{USAGE}"), ExitCode::FAILURE),
    }
}

#[expect(clippy::disallowed_methods, reason = "the agent's entry reads the environment")]
fn work() -> ExitCode {
    // A container's standard error goes to a log service.
    let log = tracing_subscriber::fmt().json().with_max_level(LevelFilter::WARN).with_writer(io::stderr);
    // A log that cannot be written, as on a full disk, must not end the process.
    log.log_internal_errors(false).init();
    // What is not text cannot be told in the trail; no image needs it.
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    ozma_agent::main_in_image(std::env::vars_os().filter_map(text).collect())
}

#[expect(clippy::disallowed_methods, reason = "the agent's entry reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whoever does not listen misses it; the exit code stands.
fn say(mut to: impl io::Write, text: &str, code: ExitCode) -> ExitCode {
    let _ = to.write_all(text.as_bytes());
    code
}
