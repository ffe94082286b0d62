//! Tasks as given on the command line, and what carries them out.

use std::io::{Read, stdin};

use ozma_api::wire::Harness;
use ozma_domain::harness::{HarnessKind, UnknownHarness};
use ozma_domain::limits;

use crate::exit::Failure;

/// A harness, for clap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HarnessArg(pub(crate) HarnessKind);

impl std::str::FromStr for HarnessArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|err: UnknownHarness| err.to_string())
    }
}

impl std::fmt::Display for HarnessArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl From<HarnessArg> for Harness {
    fn from(HarnessArg(kind): HarnessArg) -> Self {
        Self { kind: Some(kind.as_str().to_owned()), ..Self::default() }
    }
}

/// The task of `--task`, where `-` stands for standard input.
pub(crate) fn read(text: &str) -> Result<String, Failure> {
    let task = if text == "-" { read_input()? } else { text.to_owned() };
    if task.trim().is_empty() { Err(Failure::usage("the task is empty")) } else { Ok(task) }
}

fn read_input() -> Result<String, Failure> {
    let unreadable = |err| Failure::usage("cannot read the task from standard input").because(err);
    let mut task = String::new();
    stdin().take(limits::PROMPT_BYTES as u64 + 1).read_to_string(&mut task).map_err(unreadable)?;
    if task.len() > limits::PROMPT_BYTES {
        let hint = "put the work into a file of the repository";
        return Err(Failure::usage("the task is larger than 1 MiB").hint(hint));
    }
    Ok(task)
}
