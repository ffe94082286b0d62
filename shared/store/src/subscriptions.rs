//! Subscriptions, and the word on the team's row that there are any.

use aws_sdk_dynamodb::types::AttributeValue;
use ozma_domain::id::{SubscriptionId, TeamId};
use ozma_domain::subscription::Subscription;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, delete_if, forget_if, set_if_there, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};
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
        let range = Range {
            partition: Key::Subscription(team, &nobody),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit,
        };
        self.query(range).await
    }

    /// Creates it, and says so on the team's row, both or neither. `otherwise` is the row of a team that has none.
    pub async fn create_subscription(&self, new: &Subscription, otherwise: &TeamRow) -> Result<Written, StoreError> {
        let Subscription { team, id, .. } = new;
        let row = SavedSubscription { subscription: new.clone(), version: 1 };
        let team_key = Key::Team(team);
        let said = match self.team(team).await? {
            Some(_) => set_if_there(&self.table, &team_key, SUBSCRIBED, Some(AttributeValue::S(id.to_string()))),
            None => {
                let row = TeamRow { subscribed: Some(id.clone()), ..otherwise.clone() };
                create(&self.table, to_item(&row, &team_key)?)
            }
        };
        let writes = vec![create(&self.table, to_item(&row, &Key::Subscription(team, id))?), said];
        self.write("create a subscription", writes).await
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn update_subscription(
        &self,
        old: &SavedSubscription,
        new: &Subscription,
    ) -> Result<Written, StoreError> {
        let key = Key::Subscription(&new.team, &new.id);
        let row = SavedSubscription { subscription: new.clone(), version: old.version + 1 };
        let write = update(&self.table, &key, &to_item(old, &key)?, &to_item(&row, &key)?);
        self.write("update a subscription", vec![write]).await
    }

    /// Lost: somebody else has changed or deleted it.
    pub async fn delete_subscription(&self, old: &SavedSubscription) -> Result<Written, StoreError> {
        let Subscription { team, id, .. } = &old.subscription;
        let version = AttributeValue::N(old.version.to_string());
        let write = delete_if(&self.table, &Key::Subscription(team, id), "version", version);
        self.write("delete a subscription", vec![write]).await
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
