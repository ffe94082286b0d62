//! Teams and their plans.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_domain::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{remove, replace, set_if_there, to_item};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRow {
    pub team: TeamId,
    pub plan: Plan,
    /// Nothing is owed of runs that ended before this: where the sweep starts to look.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub swept_until: Option<Timestamp>,
    /// There was no room for an agent of this team: until then nobody asks again, and then one first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Hold>,
}

/// Why a team's runs wait although slots are free, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub until: Timestamp,
    pub reason: String,
}

impl TeamRow {
    pub fn new(team: TeamId, plan: Plan) -> Self {
        Self { team, plan, swept_until: None, hold: None }
    }

    pub fn is_held(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.until > now)
    }
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

    /// Nobody of the team is started until then. A team without a row is not held.
    pub async fn hold(&self, team: &TeamId, hold: &Hold) -> Result<(), StoreError> {
        let value = serde_dynamo::to_attribute_value(hold).map_err(|err| StoreError::unreadable("a hold", err))?;
        let write = set_if_there(&self.table, &Key::Team(team), "hold", value);
        let _ = self.write("hold a team", vec![write]).await?;
        Ok(())
    }

    /// There is room again.
    pub async fn release(&self, team: &TeamId) -> Result<(), StoreError> {
        let _ = self.write("release a team", vec![remove(&self.table, &Key::Team(team), "hold")]).await?;
        Ok(())
    }

    /// Creates or replaces.
    pub async fn put_team(&self, row: &TeamRow) -> Result<(), StoreError> {
        let _ = self.write("save a team", vec![replace(&self.table, to_item(row, &Key::Team(&row.team))?)]).await?;
        Ok(())
    }
}
