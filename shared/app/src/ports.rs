//! The outside, as the use cases see it. A port exists where two real implementations do: the embedded engine's in
//! `shared/local`, the cloud's in `shared/aws`. DynamoDB and S3 are not ports: both engines speak their protocols.
//!
//! One conformance suite (`tests/`) runs on every implementation of each.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ozma_domain::aws::{RoleArn, SecretReference};
use ozma_domain::failure::FailureClass;
use ozma_domain::id::{DeliveryId, ExecutionId, NotificationId, RunId, SecretName, SubscriptionId, TeamId, WebhookId};
use ozma_domain::plan::Size;
use ozma_domain::protocol::AwsCredentials;
use ozma_domain::repository::Repository;
use ozma_domain::run::Isolation;
use ozma_domain::state::RunState;
use ozma_domain::subscription::Topic;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// A call to the outside failed. Whoever called may try again: every port's calls may be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PortError {
    /// What did not work, for a log line, such as "could not start bwrap".
    pub what: String,
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PortError {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None }
    }

    pub fn because(what: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what: what.into(), cause: Some(cause.into()) }
    }
}

/// Delivers work at least once, in no particular order.
#[async_trait]
pub trait Queue: Send + Sync {
    async fn send(&self, message: QueueMessage) -> Result<(), PortError>;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum QueueMessage {
    /// The team may have both work and a free slot: drain until one of them is gone.
    Tick { team: TeamId },
    /// The run's end is decided; what is owed (sealing, publishing) is to be done.
    Complete { team: TeamId, run: RunId },
    /// The run is in the queue, or has started: who subscribed to that is to be notified of it.
    Changed { team: TeamId, run: RunId, execution: u32, topic: Topic, at: Timestamp },
    /// Where the run was asked for, people are to be told how it stands.
    Answer { team: TeamId, run: RunId },
    /// An attempt to deliver the notification is due. Each has a message of its own, so that a receiver that takes its time
    /// takes nobody else's.
    Notify { team: TeamId, subscription: SubscriptionId, notification: NotificationId },
    /// Whoever caused the delivery is to be told what came of it, where they said it.
    Reply { team: TeamId, delivery: DeliveryId },
    /// The service whose events come to the webhook is to be asked what it could not deliver.
    LookForLost { team: TeamId, webhook: WebhookId },
    /// Who caused the delivery is to be asked of its provider; then it goes on.
    Identify { team: TeamId, delivery: DeliveryId },
}

/// Where a message waits. Each queue has takers of its own, which hold what its messages need and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    /// For those who start agents.
    Ticks,
    /// What became of runs, for those who seal and publish.
    Ends,
    /// What is to be said to services outside, or asked of them, for those who speak to them: they may take their time.
    Errands,
}

impl QueueName {
    pub const ALL: [Self; 3] = [Self::Ticks, Self::Ends, Self::Errands];
}

impl QueueMessage {
    pub fn queue(&self) -> QueueName {
        match self {
            Self::Tick { .. } => QueueName::Ticks,
            Self::Complete { .. } | Self::Changed { .. } => QueueName::Ends,
            Self::Answer { .. }
            | Self::Notify { .. }
            | Self::Reply { .. }
            | Self::Identify { .. }
            | Self::LookForLost { .. } => QueueName::Errands,
        }
    }

    pub fn team(&self) -> &TeamId {
        match self {
            Self::Tick { team }
            | Self::Complete { team, .. }
            | Self::Changed { team, .. }
            | Self::Answer { team, .. }
            | Self::Notify { team, .. }
            | Self::Reply { team, .. }
            | Self::Identify { team, .. }
            | Self::LookForLost { team, .. } => team,
        }
    }
}

/// Sends a queue message later. At least once, not before `at`.
#[async_trait]
pub trait Timer: Send + Sync {
    async fn send_at(&self, at: Timestamp, message: QueueMessage) -> Result<(), PortError>;
}

/// Starts and stops the containers that agents run in.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Starts the execution's agent. Called again for the same execution (a lost answer, a crash in between), it starts
    /// nothing that still runs a second time.
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, PortError>;

    /// Asks the agent to finalise, and after [`ozma_domain::limits::FINALISE_SECONDS`] ends everything it started.
    /// Returns when the order is given; [`Launcher::status`] tells when it is carried out. Unknown executions are fine.
    async fn stop(&self, execution: ExecutionId) -> Result<(), PortError>;

    async fn status(&self, execution: ExecutionId) -> Result<ContainerStatus, PortError>;

    /// Every execution whose container exists, for the sweep to find those that nobody owns.
    async fn list(&self) -> Result<Vec<ExecutionId>, PortError>;

    /// Makes ready what a container of `image` needs before its first launch: when an environment is saved, never per
    /// run. An image that cannot be is refused with the reason. Where images need nothing, this does nothing.
    async fn prepare(&self, _team: &TeamId, _image: &str) -> Result<Prepared, PortError> {
        Ok(Prepared::Ready)
    }

    /// The team uses `image` no more: what [`Launcher::prepare`] made is cleared away. Containers at work go on.
    async fn retire(&self, _team: &TeamId, _image: &str) -> Result<(), PortError> {
        Ok(())
    }
}

/// What became of preparing an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    Ready,
    /// Will not work; `reason` says what to change.
    Refused {
        reason: String,
    },
}

#[derive(Clone)]
pub struct LaunchRequest {
    pub execution: ExecutionId,
    pub team: TeamId,
    /// The slot that the execution owns. Two executions never hold one at the same time.
    pub slot: u16,
    pub size: Size,
    /// The environment's `docker_image`.
    pub image: Option<String>,
    /// Repositories to clone; a launcher makes `file://` ones readable to the agent.
    pub repositories: Vec<Repository>,
    pub network: ozma_domain::environment::Network,
    pub capacity: ozma_domain::environment::Capacity,
    pub claim_token: SecretString,
}

/// What became of a launch. None of these is an error of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launched {
    /// Starting or started, now or by an earlier call. The agent tells its isolation too, at the claim, and the user
    /// hears there what they asked for and did not get.
    Started { isolation: Isolation },
    /// No room now, for any agent of that size. Try again after `wait`; `reason` is shown to the user.
    NoCapacity { reason: String, wait: Duration },
    /// This one cannot start yet, others may: its image is on its way. Try again after `wait`.
    NotYet { reason: String, wait: Duration },
    /// Will not work however often it is tried; `reason` says what to change.
    Refused { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Starting, running or stopping.
    Alive,
    /// Ended, or never known here.
    Gone { end: Option<ContainerEnd> },
}

/// How a container ended, as far as whoever ran it can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEnd {
    /// One line such as "exit code 137, killed by SIGKILL".
    pub reason: String,
    /// What that means for the run. None: it depends on whether its agent had begun.
    pub class: Option<FailureClass>,
}

impl From<String> for ContainerEnd {
    fn from(reason: String) -> Self {
        Self { reason, class: None }
    }
}

/// Publishes outcomes. At least once; a subscriber tells duplicates by `id`.
#[async_trait]
pub trait Bus: Send + Sync {
    async fn publish(&self, event: &RunEnded) -> Result<(), PortError>;
}

/// `oz.run` / `Run State Change` on EventBridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    /// The same for each publication of the same end: `<run id>/<execution number>/<state>`.
    pub id: String,
    pub run_id: RunId,
    pub team: TeamId,
    pub state: RunState,
    pub ended_at: Timestamp,
    pub title: String,
    pub message: String,
}

/// Keeps secrets. Values go in and come out at a claim; everything else sees names.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Creates or replaces.
    async fn put(&self, team: &TeamId, name: &SecretName, value: SecretString) -> Result<(), PortError>;

    /// Whether there was one.
    async fn delete(&self, team: &TeamId, name: &SecretName) -> Result<bool, PortError>;

    /// May lag behind by minutes: for people to look at. A decision asks [`Vault::find`].
    async fn list(&self, team: &TeamId) -> Result<Vec<SecretMetadata>, PortError>;

    /// What is known of one secret as it is now.
    async fn find(&self, team: &TeamId, name: &SecretName) -> Result<Option<SecretMetadata>, PortError> {
        Ok(self.list(team).await?.into_iter().find(|secret| secret.name == *name))
    }

    /// The value, or none if there is no such secret.
    async fn get(&self, team: &TeamId, name: &SecretName) -> Result<Option<SecretString>, PortError>;

    /// The value of a secret or parameter that lives elsewhere in the account, or none if there is none that may be
    /// read from here. A laptop has no account.
    async fn get_reference(&self, _reference: &SecretReference) -> Result<Option<SecretString>, PortError> {
        Ok(None)
    }

    /// Short-lived credentials of a role, in a session of that name; none where the role cannot be had from here.
    async fn assume(&self, _role: &RoleArn, _session: &str) -> Result<Option<AwsCredentials>, PortError> {
        Ok(None)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMetadata {
    pub name: SecretName,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The two things that make one call differ from the next: the time, and chance. Both are injected, so that a whole
/// history can be replayed from a seed.
pub trait Clock: Send + Sync {
    /// Whole milliseconds.
    fn now(&self) -> Timestamp;

    /// 256 bits from a cryptographic generator.
    fn random(&self) -> [u8; 32];
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticks => "ticks",
            Self::Ends => "ends",
            Self::Errands => "errands",
        })
    }
}

impl fmt::Debug for LaunchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchRequest")
            .field("execution", &self.execution)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
