//! Deliveries: the log of what came in, and the rows by which what comes again is known.

use ozma_domain::delivery::Delivery;
use ozma_domain::id::{DeliveryId, TeamId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};

/// A delivery as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedDelivery {
    #[serde(flatten)]
    pub delivery: Delivery,
    /// How often it came again.
    #[serde(default)]
    pub repeats: u32,
    #[serde(default)]
    pub version: u64,
    /// Seconds since 1970, for DynamoDB to delete the row some days after.
    pub expires: i64,
}

/// Which delivery something was that may come again. Written first, alone: whoever dies in between leaves the id to whoever
/// delivers it again, who goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRow {
    pub delivery: DeliveryId,
    /// Of the body.
    pub body_sha256: String,
    /// Seconds since 1970.
    pub expires: i64,
}

impl Store {
    /// The row that was first there for what hashes to `hash`: this one, or an earlier one.
    pub async fn see(&self, hash: &str, row: &SeenRow) -> Result<SeenRow, StoreError> {
        self.first(&Key::Seen(hash), row, "note a delivery").await
    }

    /// False: there is one of this id already.
    pub async fn create_delivery(&self, delivery: &SavedDelivery) -> Result<Written, StoreError> {
        let Delivery { team, id, .. } = &delivery.delivery;
        let row = SavedDelivery { version: 1, ..delivery.clone() };
        self.write("log a delivery", vec![create(&self.table, to_item(&row, &Key::Delivery(team, *id))?)]).await
    }

    pub async fn update_delivery(&self, old: &SavedDelivery, new: &SavedDelivery) -> Result<Written, StoreError> {
        let Delivery { team, id, .. } = &old.delivery;
        let key = Key::Delivery(team, *id);
        let new = SavedDelivery { version: old.version + 1, ..new.clone() };
        let write = update(&self.table, &key, &to_item(old, &key)?, &to_item(&new, &key)?);
        self.write("note what became of a delivery", vec![write]).await
    }

    pub async fn delivery(&self, team: &TeamId, id: DeliveryId) -> Result<Option<SavedDelivery>, StoreError> {
        self.get(&Key::Delivery(team, id), Consistency::Strong).await
    }

    /// The team's latest deliveries before `before`, newest first.
    pub async fn latest_deliveries(
        &self,
        team: &TeamId,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<SavedDelivery>, StoreError> {
        let range = Range {
            // The bound is among them, so that one more is asked for.
            to: before.map(|before| before.to_string()),
            order: Order::Descending,
            consistency: Consistency::Eventual,
            limit: limit + 1,
            ..Range::all(Key::Delivery(team, DeliveryId::first_at(0)))
        };
        let mut found: Vec<SavedDelivery> = self.query(range).await?;
        found.retain(|row| Some(row.delivery.id) != before);
        found.truncate(limit);
        Ok(found)
    }

    /// Deliveries from `from` on, the oldest first.
    pub async fn deliveries_since(
        &self,
        team: &TeamId,
        from: DeliveryId,
        limit: usize,
    ) -> Result<Vec<SavedDelivery>, StoreError> {
        let range = Range { from: Some(from.to_string()), limit, ..Range::all(Key::Delivery(team, from)) };
        self.query(range).await
    }
}
