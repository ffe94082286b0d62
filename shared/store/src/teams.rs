//! Teams and their plans.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_domain::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace, set_if_there, to_item};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRow {
    pub team: TeamId,
    pub plan: Plan,
    /// Nothing is owed of runs that ended before this: where the sweep starts to look.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub swept_until: Option<Timestamp>,
}

impl Store {
    pub async fn team(&self, team: &TeamId) -> Result<Option<TeamRow>, StoreError> {
        self.get(&Key::Team(team), Consistency::Strong).await
    }

    pub async fn teams(&self) -> Result<Vec<TeamRow>, StoreError> {
        let nobody: TeamId = "nobody".parse().expect("a valid team id");
        let range = Range {
            partition: Key::Team(&nobody),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        };
        self.query(range).await
    }

    /// Notes up to when nothing is owed, beside whatever else is being written to the team.
    pub async fn mark_swept(&self, team: &TeamId, until: Timestamp) -> Result<(), StoreError> {
        let value = AttributeValue::S(until.to_string());
        let mark = set_if_there(&self.table, &Key::Team(team), "swept_until", value);
        let _ = self.write("note what was swept", vec![mark]).await?;
        Ok(())
    }

    /// Creates or replaces.
    pub async fn put_team(&self, row: &TeamRow) -> Result<(), StoreError> {
        let _ = self.write("save a team", vec![replace(&self.table, to_item(row, &Key::Team(&row.team))?)]).await?;
        Ok(())
    }
}
