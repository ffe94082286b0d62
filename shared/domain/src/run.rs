//! Runs as stored: the request that never changes, and the row that moves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::delivery::EventSnapshot;
use crate::error_code::ErrorCode;
use crate::harness::HarnessKind;
use crate::id::{EnvironmentId, ExecutionId, RunId, ScheduleId, TeamId};
use crate::lane::{Share, Turn};
use crate::ledger::Booking;
use crate::named_agent::AgentSnapshot;
use crate::plan::Size;
use crate::protocol::Usage;
use crate::pull_request::PullRequest;
use crate::repository::Repository;
use crate::run_limits::{Budget, RunLimits};
use crate::runner::{RunnerSnapshot, Shape};
use crate::scheduling::Scheduling;
use crate::state::RunState;

/// What was asked for. Written once, at accept; the order of these rows is the order of acceptance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    pub run_id: RunId,
    pub team: TeamId,
    pub created_at: Timestamp,
    pub title: String,
    pub prompt: Prompt,
    pub harness: HarnessKind,
    /// The API's `agent_config`, resolved, as it is answered.
    pub agent_config: serde_json::Map<String, serde_json::Value>,
    pub source: RunSource,
    /// Who asked: the name of an API key.
    pub creator: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<EnvironmentId>,
    /// Who works.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<AgentSnapshot>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runner: Option<RunnerSnapshot>,
    /// Beside those of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub repositories: Vec<Repository>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_run_id: Option<RunId>,
    /// How many runs are above it.
    #[serde(default)]
    pub depth: u8,
    /// Of the automation that asked for it, for all its runs of a month.
    #[serde(skip_serializing_if = "Budget::is_none", default)]
    pub automation_budget: Budget,
    #[serde(default)]
    pub scheduling: Scheduling,
    #[serde(default)]
    pub limits: RunLimits,
    /// The schedule that asked for it, as it was then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schedule: Option<ScheduleSnapshot>,
    /// The event that asked for it, whose payload it works with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<EventSnapshot>,
}

/// A schedule, as a run remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSnapshot {
    pub id: ScheduleId,
    pub name: String,
    pub expression: String,
    /// The time that this run was planned for. None: somebody wanted it now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned_at: Option<Timestamp>,
}

/// A prompt, here or in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    Inline(String),
    /// The key of an object in the archive, its size, and its beginning for lists.
    Archived {
        key: String,
        bytes: u64,
        preview: String,
    },
}

/// Where a run came from. The names on the wire are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunSource {
    Linear,
    Api,
    Slack,
    Local,
    ScheduledAgent,
    WebApp,
    GithubAction,
    CloudMode,
    Cli,
    Jira,
    SelfImprovement,
    GithubWebhook,
    GitlabWebhook,
    Autofix,
    RunScorer,
    Orchestration,
}

/// What changes. Kept under a KB unless there are many pull requests, because each state change writes all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub run_id: RunId,
    pub team: TeamId,
    pub state: RunState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts every change of the row but the watch: what a writer read must still hold when it writes.
    #[serde(default)]
    pub version: u64,
    /// Executions so far, the current one included; its number is this.
    pub executions: u32,
    /// Executions that count against the limit. One that found no capacity does not.
    #[serde(default)]
    pub attempts: u32,
    /// A queued run that must not start before then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_before: Option<Timestamp>,
    /// The machine that its runner asks for: what its executions cost follows from it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shape: Option<Shape>,
    #[serde(default)]
    pub share: Share,
    /// Its place in the queue, once it has had one. A run that comes back to the queue has its place again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub turn: Option<Turn>,
    /// Its concurrency key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// Not started by then, it is not worth starting any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    /// Whatever it is at, its time is over then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline_at: Option<Timestamp>,
    /// Its team had subscriptions when it last got a slot: whoever moves it on need not ask.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub subscribed: bool,
    /// Where it was asked for, people are told how it stands.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub answered: bool,
    /// The message that reopened it: what its executions since are to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub follow_up: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution: Option<Execution>,
    /// When the harness first started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
    /// Somebody reads the transcript until then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub watched_until: Option<Timestamp>,
    /// Seconds of compute, over all executions.
    #[serde(default)]
    pub compute_seconds: u64,
    /// What models have cost, over all executions that are closed.
    #[serde(default)]
    pub usage: Usage,
    /// Those that its agents made, over all executions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pull_requests: Vec<PullRequest>,
}

/// The current execution, which lives on its run's row; an earlier one is kept beside it when the next begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub number: u32,
    pub slot: u16,
    pub dispatched_at: Timestamp,
    pub deadline_at: Timestamp,
    /// Without a sign of life until then, the agent counts as lost. Before the claim: the start deadline.
    pub lease_until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claimed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Timestamp>,
    /// Hex SHA-256 of the execution token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub isolation: Option<Isolation>,
    /// Set when nothing more is taken from the agent: its audit trail is complete or never will be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// The number of the last segment, as the agent reported at its end. Absent: it never reported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_segment: Option<u32>,
    /// When the sweep first told its container to stop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_at: Option<Timestamp>,
    /// Its first launch left nothing behind, as far as could be seen, and the sweep launched it once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relaunched: bool,
    /// What its harness reported.
    #[serde(default)]
    pub usage: Usage,
    /// What is left of the run's own budget, as it began.
    #[serde(skip_serializing_if = "Budget::is_none", default)]
    pub budget: Budget,
    /// Its deadline is when the run's budget is used up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_by_budget: bool,
    /// What it has reserved of shared budgets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub booking: Option<Booking>,
}

/// How an agent is kept apart from the machine it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Own namespaces, only the workspace writable.
    Bubblewrap,
    /// A plain process: no isolation beyond a clean environment.
    Process,
    /// A container of Docker or Podman.
    Container,
    Fargate,
}

/// Where a queued run waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// For its turn in its team's queue.
    Queue(Turn),
    /// For a time.
    Until(Timestamp),
    /// For the run that has its concurrency key.
    Line,
}

/// The last word on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retryable: Option<bool>,
}

impl Run {
    /// The id of the current execution, if there ever was one.
    pub fn execution_id(&self) -> Option<ExecutionId> {
        self.execution.as_ref().map(|execution| ExecutionId::new(self.run_id, execution.number))
    }

    /// The machine that it gets, of those up to that of its team's plan.
    pub fn size(&self, most: Size) -> Size {
        self.shape.map_or(most, |shape| shape.within(most))
    }

    /// Whether `execution` is the one that may still write.
    pub fn is_current(&self, execution: ExecutionId) -> bool {
        self.execution.as_ref().is_some_and(|current| current.number == execution.number && !current.closed)
    }

    /// Whether the current execution is launched by more than one, see [`Execution::relaunched`].
    pub fn is_relaunched(&self) -> bool {
        self.execution.as_ref().is_some_and(|current| current.relaunched)
    }
}

impl RunSource {
    pub const ALL: [Self; 16] = [
        Self::Linear,
        Self::Api,
        Self::Slack,
        Self::Local,
        Self::ScheduledAgent,
        Self::WebApp,
        Self::GithubAction,
        Self::CloudMode,
        Self::Cli,
        Self::Jira,
        Self::SelfImprovement,
        Self::GithubWebhook,
        Self::GitlabWebhook,
        Self::Autofix,
        Self::RunScorer,
        Self::Orchestration,
    ];
}

impl Isolation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Process => "process",
            Self::Container => "container",
            Self::Fargate => "fargate",
        }
    }
}
