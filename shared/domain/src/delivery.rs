//! Deliveries: what came in from outside, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AutomationId, DeliveryId, RunId, TeamId, WebhookId};
use crate::provider::{Place, Provider};

/// One event that came in, however often it was delivered. Written before the runs that it starts, with their ids, so that
/// whoever goes on after a crash starts the very same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub team: TeamId,
    pub source: DeliverySource,
    pub received_at: Timestamp,
    /// By what its sender tells it apart.
    pub sender_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<Provider>,
    /// What happened, by its name.
    pub event: String,
    /// What its provider calls it beside the payload, where that is not its name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// Where people see it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Of its body.
    pub bytes: u64,
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub runs: Vec<Owed>,
    /// What listens and was not started, and why. No more than [`crate::limits::DELIVERY_LEFT`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left: Vec<Left>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay_of: Option<DeliveryId>,
}

/// At which address it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverySource {
    Webhook(WebhookId),
    /// An automation's own webhook.
    Automation(AutomationId),
    /// An event of the account, for that automation.
    Account(AutomationId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    /// Taken, and nothing that could start anything: why.
    NotUsed(String),
    /// Not taken. The body is not kept.
    Rejected {
        status: u16,
        reason: String,
    },
}

/// A run that a delivery starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub automation: AutomationId,
    /// The automation's name, as it was.
    pub name: String,
    pub run_id: RunId,
    /// Whether the run may have secrets: whose code it works on decided it.
    pub secrets: bool,
    #[serde(default)]
    pub state: OwedState,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwedState {
    /// Nobody has said yet what became of it.
    #[default]
    Owed,
    Started,
    /// It cannot be. Whoever delivers it again may find that it can.
    Refused {
        reason: String,
        again: bool,
    },
}

/// An automation that the event did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub name: String,
    pub why: String,
}

/// The event that a run was started by, as the run remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSnapshot {
    pub delivery: DeliveryId,
    pub source: DeliverySource,
    pub automation: AutomationId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<Provider>,
    pub event: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Where its outcome is told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Place>,
    /// The commit that it is about, beside which a check run tells the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// Its code may be a stranger's: it gets no secrets.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub without_secrets: bool,
}

impl EventSnapshot {
    /// Where, and by which webhook's connection, people are told how its run stands.
    pub fn answered_at(&self) -> Option<(&WebhookId, &Place)> {
        match (&self.source, &self.place) {
            (DeliverySource::Webhook(webhook), Some(place)) => Some((webhook, place)),
            _ => None,
        }
    }
}

impl Delivery {
    /// By what a provider's payload is read.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or(&self.event)
    }

    /// Whether each run that it starts has been tried.
    pub fn is_done(&self) -> bool {
        self.runs.iter().all(|run| run.state != OwedState::Owed)
    }

    /// Whether to deliver it again could start more.
    pub fn may_go_on(&self) -> bool {
        self.runs.iter().any(Owed::may_start)
    }
}

impl Owed {
    /// Whether it is worth a try.
    pub fn may_start(&self) -> bool {
        match self.state {
            OwedState::Owed => true,
            OwedState::Started => false,
            OwedState::Refused { again, .. } => again,
        }
    }
}
