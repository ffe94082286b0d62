//! Audit events. One line of JSON each; `type` says which record follows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::state::RunState;

/// One thing an agent did or saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// By the agent's clock.
    pub at: Timestamp,
    #[serde(flatten)]
    pub record: Record,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Record {
    /// The run's state, as the agent brought it about.
    #[serde(rename = "state")]
    State { state: RunState },
    /// Something the platform wants to say in the transcript.
    #[serde(rename = "notice")]
    Notice { text: String },
    /// A command begins. `command` numbers the commands of the execution from 1.
    #[serde(rename = "command.started")]
    CommandStarted { command: u32, phase: Phase, argv: Vec<String>, cwd: String },
    /// A piece of a command's output, valid UTF-8; bytes that are not are U+FFFD here and counted in the digest.
    #[serde(rename = "output")]
    Output { command: u32, stream: Stream, text: String },
    /// Output that was not streamed: kept in `parts` objects of the archive, or beyond that dropped.
    #[serde(rename = "output.skipped")]
    OutputSkipped { command: u32, kept_bytes: u64, dropped_bytes: u64, parts: u32, kept_sha256: String },
    #[serde(rename = "command.ended")]
    CommandEnded {
        command: u32,
        /// Absent when a signal ended it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        exit_code: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        signal: Option<i32>,
        duration_ms: u64,
        stdout: OutputDigest,
        stderr: OutputDigest,
    },
    #[serde(rename = "file")]
    File {
        path: String,
        change: Change,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        bytes: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        sha256: Option<String>,
    },
    /// Changes beyond the limit of listed files.
    #[serde(rename = "files.skipped")]
    FilesSkipped { files: u64 },
    #[serde(rename = "resources")]
    Resources { wall_ms: u64, cpu_ms: u64, memory_bytes: u64, disk_bytes: u64, processes: u32 },
    /// A follow-up reached the agent.
    #[serde(rename = "message")]
    Message { id: String, from: String, text: String },
    #[serde(rename = "ended")]
    Ended {
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// What a command is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Preflight,
    Clone,
    Setup,
    Task,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A stream's whole output, masked, as bytes: also of what was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDigest {
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Created,
    Modified,
    Deleted,
}
