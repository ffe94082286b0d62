//! Changes to several resources of a team, written together or not at all.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use ozma_domain::definition::SetName;
use ozma_domain::environment::Environment;
use ozma_domain::id::TeamId;
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::runner::Runner;
use serde::{Deserialize, Serialize};

use crate::automations::SavedAutomation;
use crate::error::StoreError;
use crate::item::{create, replace_if, to_item};
use crate::key::Key;
use crate::resources::Stored;
use crate::schedules::SavedSchedule;
use crate::subscriptions::SavedSubscription;
use crate::table::{Consistency, Store, Written};
use crate::teams::TeamRow;
use crate::webhooks::SavedWebhook;

/// What becomes of a row. One that is changed or taken away must still be as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Alter<Row> {
    Create(Row),
    Update { old: Row, new: Row },
    Delete(Row),
    Keep(Row),
}

/// What becomes of a resource, of whichever kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Runner(Alter<Stored<Runner>>),
    Environment(Alter<Stored<Environment>>),
    Agent(Alter<Stored<NamedAgent>>),
    Webhook(Alter<SavedWebhook>),
    Automation(Alter<SavedAutomation>),
    Schedule(Alter<SavedSchedule>),
    Subscription(Alter<SavedSubscription>),
}

/// The last time that somebody applied definitions to a team. Whoever applies next writes it anew, on condition that nobody
/// else has: names of schedules and numbers of resources have no row of their own that would say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRow {
    pub version: u64,
    pub set: SetName,
    pub by: String,
    pub at: Timestamp,
}

/// Rows that are written together.
#[derive(Clone, Debug)]
pub struct Batch(Vec<TransactWriteItem>);

impl<Row> Alter<Row> {
    pub fn before(&self) -> Option<&Row> {
        match self {
            Self::Create(_) => None,
            Self::Update { old, .. } | Self::Delete(old) | Self::Keep(old) => Some(old),
        }
    }

    pub fn after(&self) -> Option<&Row> {
        match self {
            Self::Create(new) | Self::Update { new, .. } | Self::Keep(new) => Some(new),
            Self::Delete(_) => None,
        }
    }

    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Keep(_))
    }

    pub fn as_ref(&self) -> Alter<&Row> {
        match self {
            Self::Create(new) => Alter::Create(new),
            Self::Update { old, new } => Alter::Update { old, new },
            Self::Delete(old) => Alter::Delete(old),
            Self::Keep(row) => Alter::Keep(row),
        }
    }
}

impl Change {
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Runner(alter) => alter.is_kept(),
            Self::Environment(alter) => alter.is_kept(),
            Self::Agent(alter) => alter.is_kept(),
            Self::Webhook(alter) => alter.is_kept(),
            Self::Automation(alter) => alter.is_kept(),
            Self::Schedule(alter) => alter.is_kept(),
            Self::Subscription(alter) => alter.is_kept(),
        }
    }
}

impl Batch {
    /// How many rows it writes.
    pub fn rows(&self) -> usize {
        self.0.len()
    }
}

impl Store {
    pub async fn last_apply(&self, team: &TeamId) -> Result<Option<AppliedRow>, StoreError> {
        self.get(&Key::LastApply(team), Consistency::Strong).await
    }

    /// The rows of all these changes. `last` is the last apply as read before what changes, `next` the one that this is.
    /// `otherwise` is the row of a team that has none.
    pub async fn batch(
        &self,
        otherwise: &TeamRow,
        changes: &[Change],
        last: Option<&AppliedRow>,
        next: &AppliedRow,
    ) -> Result<Batch, StoreError> {
        let team = &otherwise.team;
        let item = to_item(next, &Key::LastApply(team))?;
        let mut writes = vec![match last {
            None => create(&self.table, item),
            Some(last) => replace_if(&self.table, item, "version", AttributeValue::N(last.version.to_string())),
        }];
        let mut subscribed = None;
        for change in changes {
            writes.extend(match change {
                Change::Runner(alter) => self.resource_writes(&alter.as_ref())?,
                Change::Environment(alter) => self.resource_writes(&alter.as_ref())?,
                Change::Agent(alter) => self.resource_writes(&alter.as_ref())?,
                Change::Webhook(alter) => self.webhook_writes(&alter.as_ref())?,
                Change::Automation(alter) => self.automation_writes(&alter.as_ref())?,
                Change::Schedule(alter) => self.schedule_writes(&alter.as_ref())?,
                Change::Subscription(alter) => {
                    if let Alter::Create(new) = alter {
                        subscribed = Some(&new.subscription.id);
                    }
                    self.subscription_writes(&alter.as_ref())?
                }
            });
        }
        if let Some(id) = subscribed {
            writes.push(self.say_subscribed(id, otherwise).await?);
        }
        Ok(Batch(writes))
    }

    pub async fn write_batch(&self, batch: &Batch) -> Result<Written, StoreError> {
        self.write("apply definitions", batch.0.clone()).await
    }
}
