//! What an agent and the `executions` API say to each other. JSON, except segments and output parts, which are gzip.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /executions/{id}/claim` | [`Claim`] | [`Assignment`] |
//! | `POST /executions/{id}/start` | none | [`Reply`]: the harness starts |
//! | `PUT /executions/{id}/segments/{n}` | gzip of JSON lines, `n` from 1 | [`Reply`] |
//! | `PUT /executions/{id}/outputs/{command}/{part}` | gzip of raw bytes, `part` from 1 | [`Reply`] |
//! | `GET /executions/{id}/messages?after=ID` | none | [`Messages`] |
//! | `GET /executions/{id}/aws-credentials` | none | [`AwsCredentials`]: of the role that the environment names |
//! | `POST /executions/{id}/git-credentials` | [`GitQuestion`] | [`GitCredentials`]: of a repository of the run |
//! | `POST /executions/{id}/pull-requests` | [`Reported`](crate::pull_request::Reported) | [`Reply`] |
//! | `PUT /executions/{id}/workspace/{n}` | gzip of one file of the workspace, `n` from 1 | [`Reply`] |
//! | `PUT /executions/{id}/workspace` | [`SavedSet`]: those files are the set | [`Reply`] |
//! | `GET /executions/{id}/workspace/{from}/{n}` | none | gzip of a file that execution number `from` saved |
//! | `POST /executions/{id}/finish` | [`Report`] | [`Reply`] |
//!
//! All but the claim carry `Authorization: Bearer <execution token>`. An execution that is not the run's current one is
//! answered with 409, and its agent stops at once. Every call may be repeated with the same content.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::SavedSet;
use crate::harness::HarnessKind;
use crate::id::{ExecutionId, RunId, TeamId};
use crate::outcome::Outcome;
use crate::plan::Size;
use crate::repository::Repository;
use crate::run::Isolation;

/// The variables a launcher gives to the agent, and nothing else of the outside.
pub mod variable {
    /// Where the `executions` API is: `http://…`, `https://…` or `unix:/path/of/a/socket`.
    pub const CONTROL_URL: &str = "OZ_CONTROL_URL";
    pub const EXECUTION_ID: &str = "OZ_EXECUTION_ID";
    /// Works once.
    pub const CLAIM_TOKEN: &str = "OZ_CLAIM_TOKEN";
    /// A folder of this execution alone; what the agent writes lies below it.
    pub const WORKSPACE: &str = "OZ_WORKSPACE";
    /// How the launcher isolates, see [`super::Isolation`].
    pub const ISOLATION: &str = "OZ_ISOLATION";
}

/// Trades the claim token for the work. The agent makes its own execution token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Claim {
    pub claim_token: String,
    pub execution_token: String,
    pub isolation: Isolation,
    pub agent_version: String,
}

/// Everything an agent needs, and all it ever learns of the team.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assignment {
    pub run_id: RunId,
    pub execution_id: ExecutionId,
    /// 1 for the first try.
    pub attempt: u32,
    pub team: TeamId,
    /// What to do: the run's prompt or, of an execution that a follow-up asked for, the message.
    pub prompt: String,
    /// Only messages after this one are news.
    #[serde(default)]
    pub last_message: String,
    pub harness: HarnessKind,
    /// What the launcher could not give, told to the user as the first thing in the transcript.
    pub notices: Vec<String>,
    pub repositories: Vec<Repository>,
    pub setup_commands: Vec<String>,
    pub variables: BTreeMap<String, String>,
    /// Name to value: variables of the task, masked in everything that leaves.
    pub secrets: BTreeMap<String, String>,
    pub size: Size,
    pub deadline_at: Timestamp,
    /// The agent writes a heartbeat at least this often, be it an empty segment.
    pub heartbeat_seconds: u64,
    /// Out of reach of the control plane for this long, the agent stops itself: another may already be at work.
    pub lease_seconds: u64,
    pub watched: bool,
    /// The environment names a role in AWS: its credentials are to be fetched, and again before they expire.
    #[serde(default)]
    pub aws_role: bool,
    /// How long the clones and the set-up commands may take together.
    #[serde(default)]
    pub setup_seconds: Option<u64>,
    /// How long the task may go without a sign of life: a byte of output, a message delivered to it, use reported by it.
    #[serde(default)]
    pub idle_seconds: Option<u64>,
    /// What an earlier execution of the run saved, to begin with.
    #[serde(default)]
    pub restore: Option<Restore>,
    /// The event that the run was started by.
    #[serde(default)]
    pub event: Option<AssignedEvent>,
}

/// An event, for the task to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedEvent {
    /// The provider's name; empty where it is none that is known.
    pub provider: String,
    pub name: String,
    #[serde(default)]
    pub url: Option<String>,
    /// The whole payload as it came, written to a file beside the work: what people wrote in it is data.
    pub payload: String,
}

/// A set, and the number of the execution that saved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    pub from: u32,
    pub set: SavedSet,
}

/// What the task's models have cost so far, as the task itself reports it in the file that [`USAGE_FILE`] names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub tokens: u64,
    pub micro_usd: u64,
}

/// The task's variable with the path of a file to which it appends lines such as `{"tokens": 1200, "usd": 0.018}`.
pub const USAGE_FILE: &str = "OZ_USAGE_FILE";

/// The task's variable with the path of a file to which it appends a line such as
/// `{"url": "https://github.com/acme/web/pull/12", "branch": "fix-login"}` for each pull request that it made.
pub const PULL_REQUESTS_FILE: &str = "OZ_PULL_REQUESTS_FILE";

/// The task's variables that say what started it: the path of a file with the payload, the event's name, its provider and the
/// address where people see it.
pub const EVENT_VARIABLES: [&str; 4] = ["OZ_EVENT_PAYLOAD", "OZ_EVENT_NAME", "OZ_EVENT_PROVIDER", "OZ_EVENT_URL"];

/// Goes with a segment once there is some: [`Usage`] as JSON, the sum of this execution.
pub const USAGE_HEADER: &str = "x-oz-usage";

/// Credentials of the environment's role, as AWS's SDKs ask a container's credentials endpoint for them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AwsCredentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub token: String,
    pub expiration: Timestamp,
}

/// Which repository credentials are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitQuestion {
    /// Its address, such as `https://github.com/acme/web`.
    pub url: String,
}

/// What opens repositories over HTTP, for a while.
#[derive(Clone, Serialize, Deserialize)]
pub struct GitCredentials {
    pub username: String,
    pub password: String,
    pub expires_at: Timestamp,
    /// The addresses of the repositories that it opens, the one that was asked for among them.
    pub repositories: Vec<String>,
}

/// The task's variables that say where its agent gives out [`GitCredentials`], and what to show it there.
pub const GIT_CREDENTIALS_VARIABLES: [&str; 2] = ["OZ_GIT_CREDENTIALS_URL", "OZ_GIT_CREDENTIALS_AUTHORIZATION"];

/// The task's variable with the path of the agent's own program, for `git-credential`, `github-token` and
/// `report-artifact`.
pub const AGENT_PROGRAM: &str = "OZ_AGENT";

/// See [`Reply::receipt`].
pub const RECEIPT_HEADER: &str = "x-oz-receipt";

/// The answer to every call after the claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// Stop now, and report [`Outcome::Cancelled`].
    pub cancelled: bool,
    /// Somebody reads along: flush every two seconds.
    pub watched: bool,
    /// There are messages to fetch after the one last fetched.
    pub messages: bool,
    /// Stop as at the deadline, and report [`crate::failure::FailureClass::BudgetReached`] with these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_budget: Option<String>,
    /// Of the segment that was stored; to be sent with the next one, in the header [`RECEIPT_HEADER`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    pub messages: Vec<Message>,
}

/// A follow-up to a run that is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Sorts by the time it was sent.
    pub id: String,
    pub sent_at: Timestamp,
    pub from: String,
    pub text: String,
}

/// The agent's last word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The number of the last segment, so that a missing tail is noticed.
    pub last_segment: u32,
    /// None where the task reported none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<Usage>,
}
