//! Deliveries: what came in from outside, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AutomationId, DeliveryId, RunId, TeamId, WebhookId};
use crate::identity::{Asking, Identity};
use crate::provider::{Control, Origin, Place, Provider, slack};

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
    /// What is known of what its provider is asked for, where what it starts depends on that and it did not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<Identity>,
    /// Whose code it is about, where its provider was asked for that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub runs: Vec<Owed>,
    /// What listens and was not started, and why. No more than [`crate::limits::DELIVERY_LEFT`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left: Vec<Left>,
    /// What it says is to us and not to an agent: it starts nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub told: Option<Told>,
    /// What whoever caused it is answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<Reply>,
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

/// A run that a delivery starts, or goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub automation: AutomationId,
    /// The automation's name, as it was.
    pub name: String,
    pub run_id: RunId,
    /// Whether the run may have secrets: whose code it works on decided it.
    pub secrets: bool,
    #[serde(default)]
    pub owes: Owes,
    #[serde(default)]
    pub state: OwedState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owes {
    /// A new run.
    #[default]
    Run,
    /// A message to a run that there is: what was said goes on with it.
    FollowUp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwedState {
    /// Nobody has said yet what became of it.
    #[default]
    Owed,
    /// The run was accepted, or has its message.
    Started,
    /// It cannot be. Whoever delivers it again may find that it can.
    Refused { reason: String, again: bool },
}

/// An automation that the event did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub name: String,
    pub why: String,
}

/// A word to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub word: Control,
    /// What was done, in a sentence. None: nobody has done it yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done: Option<String>,
    /// To which runs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub runs: Vec<RunId>,
}

/// A sentence or a few for somebody who caused a delivery. It is decided with what was done, and noted with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub text: String,
    /// Whom it is for, by the id that the provider knows them by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// None: it is in the answer to the delivery, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Place>,
    /// It is there.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub posted: bool,
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
    /// Why that is not known, where the provider was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unknown_origin: Option<String>,
}

/// Why a run gets no secrets; `unknown` is why its provider did not say whose the code is.
pub fn no_secrets(unknown: Option<&str>) -> String {
    let unknown = unknown.map(|why| format!(", because it could not be found out whose it is: {why}"));
    format!("the code may be a stranger's{}", unknown.unwrap_or_default())
}

impl EventSnapshot {
    /// Why its run gets no secrets, if it gets none.
    pub fn no_secrets(&self) -> Option<String> {
        self.without_secrets.then(|| no_secrets(self.unknown_origin.as_deref()))
    }

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

    /// Whether it is decided what it starts, each run has been tried, and each word to us obeyed.
    pub fn is_done(&self) -> bool {
        let is_tried = self.runs.iter().all(|run| run.state != OwedState::Owed);
        is_tried && !self.is_to_be_obeyed() && self.asking().is_none()
    }

    /// What is being done to find out what it did not say. Until then nothing else is done about it.
    pub fn asking(&self) -> Option<&Asking> {
        match &self.identity {
            Some(Identity::Asked(asking)) => Some(asking),
            Some(Identity::Known | Identity::Unknown { .. }) | None => None,
        }
    }

    /// Why its provider did not say what it was asked for.
    pub fn unknown(&self) -> Option<&str> {
        if let Some(Identity::Unknown { why }) = &self.identity { Some(why) } else { None }
    }

    /// Whether it says something to us that nothing was done about yet.
    pub fn is_to_be_obeyed(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.done.is_none())
    }

    /// What is still to be said where it came from.
    pub fn unsaid(&self) -> Option<(&Reply, &Place)> {
        let reply = self.reply.as_ref().filter(|reply| !reply.posted)?;
        Some((reply, reply.place.as_ref()?))
    }

    /// Whether somebody typed it to hear what comes of it, which nobody else sees: a slash command of Slack.
    pub fn is_command(&self) -> bool {
        self.provider == Some(Provider::Slack) && self.event == slack::SLASH_COMMAND
    }

    /// Whether its sender shows the answer to the person who caused it: of a command. Where it was asked first who that is, the
    /// answer was that, and what comes of it is told where everything else is.
    pub fn is_answered_at_once(&self) -> bool {
        self.is_command() && !matches!(self.identity, Some(Identity::Known | Identity::Unknown { .. }))
    }

    /// Whether to deliver it again could start more.
    pub fn may_go_on(&self) -> bool {
        self.runs.iter().any(Owed::may_start)
    }
}

impl Owed {
    pub fn is_started(&self, owes: Owes) -> bool {
        self.owes == owes && self.state == OwedState::Started
    }

    /// Whether it is worth a try.
    pub fn may_start(&self) -> bool {
        match self.state {
            OwedState::Owed => true,
            OwedState::Started => false,
            OwedState::Refused { again, .. } => again,
        }
    }
}
