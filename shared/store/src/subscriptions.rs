//! Subscriptions, and the word on the team's row that there are any.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::definition::SetName;
use ozma_domain::id::{SubscriptionId, TeamId};
use ozma_domain::subscription::Subscription;
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete_if, forget_if, set_if_there, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Range, Store, Written};
use crate::teams::TeamRow;

/// The name of [`TeamRow::subscribed`].
const SUBSCRIBED: &str = "subscribed";

/// A subscription as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSubscription {
    #[serde(flatten)]
    pub subscription: Subscription,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl SavedSubscription {
    /// A new one.
    pub fn new(subscription: Subscription) -> Self {
        Self { subscription, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, subscription: Subscription) -> Self {
        Self { subscription, version: self.version + 1, set: self.set.clone() }
    }
}

impl Store {
    pub async fn subscription(
        &self,
        team: &TeamId,
        id: &SubscriptionId,
    ) -> Result<Option<SavedSubscription>, StoreError> {
        self.get(&Key::Subscription(team, id), Consistency::Strong).await
    }

    /// Every subscription of the team, at most `limit`, by id.
    pub async fn subscriptions(&self, team: &TeamId, limit: usize) -> Result<Vec<SavedSubscription>, StoreError> {
        let nobody = SubscriptionId::new([0; 16]);
        let range = Range { limit, ..Range::all(Key::Subscription(team, &nobody)) };
        self.query(range).await
    }

    /// Creates it, and says so on the team's row, both or neither. `otherwise` is the row of a team that has none.
    pub async fn create_subscription(&self, new: &Subscription, otherwise: &TeamRow) -> Result<Written, StoreError> {
        let mut writes = self.subscription_writes(&Alter::Create(&SavedSubscription::new(new.clone())))?;
        writes.push(self.say_subscribed(&new.id, otherwise).await?);
        self.write("create a subscription", writes).await
    }

    /// The word on the team's row that `last` is the subscription that was made last.
    pub(crate) async fn say_subscribed(
        &self,
        last: &SubscriptionId,
        otherwise: &TeamRow,
    ) -> Result<TransactWriteItem, StoreError> {
        let team_key = Key::Team(&otherwise.team);
        Ok(match self.team(&otherwise.team).await? {
            Some(_) => set_if_there(&self.table, &team_key, SUBSCRIBED, Some(AttributeValue::S(last.to_string()))),
            None => {
                let row = TeamRow { subscribed: Some(last.clone()), ..otherwise.clone() };
                create(&self.table, to_item(&row, &team_key)?)
            }
        })
    }

    pub(crate) fn subscription_writes(
        &self,
        alter: &Alter<&SavedSubscription>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        Ok(match *alter {
            Alter::Create(row) => {
                let Subscription { team, id, .. } = &row.subscription;
                vec![create(&self.table, to_item(row, &Key::Subscription(team, id))?)]
            }
            Alter::Update { old, new } => {
                let Subscription { team, id, .. } = &old.subscription;
                let key = Key::Subscription(team, id);
                vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?)]
            }
            Alter::Delete(old) => {
                let Subscription { team, id, .. } = &old.subscription;
                let version = AttributeValue::N(old.version.to_string());
                vec![delete_if(&self.table, &Key::Subscription(team, id), "version", version)]
            }
            Alter::Keep(_) => Vec::new(),
        })
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn update_subscription(
        &self,
        old: &SavedSubscription,
        new: &Subscription,
    ) -> Result<Written, StoreError> {
        let writes = self.subscription_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        self.write("update a subscription", writes).await
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn delete_subscription(&self, old: &SavedSubscription) -> Result<Written, StoreError> {
        self.write("delete a subscription", self.subscription_writes(&Alter::Delete(old))?).await
    }

    /// Takes the word from the team's row, if there is no subscription any more. One that is made meanwhile changes the word,
    /// so that it stays.
    pub async fn forget_subscriptions(&self, team: &TeamId) -> Result<(), StoreError> {
        let Some(last) = self.team(team).await?.and_then(|row| row.subscribed) else { return Ok(()) };
        if self.subscriptions(team, 1).await?.is_empty() {
            let last = AttributeValue::S(last.to_string());
            let write = forget_if(&self.table, &Key::Team(team), SUBSCRIBED, last);
            let _ = self.write("forget subscriptions", vec![write]).await?;
        }
        Ok(())
    }
}
