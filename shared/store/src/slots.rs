//! Slots: a team's numbered permits to run. A row is a permit taken; the cap cannot be exceeded and cannot drift.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::run::Run;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::delete_if;
use crate::key::Key;
use crate::table::{Consistency, Range, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRow {
    pub slot: u16,
    pub run_id: RunId,
    pub execution: u32,
    pub taken_at: Timestamp,
}

impl SlotRow {
    pub fn execution_id(&self) -> ExecutionId {
        ExecutionId::new(self.run_id, self.execution)
    }
}

impl Store {
    /// The slots that are taken: at most as many rows as the plan has agents, whatever waits behind them.
    pub async fn taken_slots(&self, team: &TeamId) -> Result<Vec<SlotRow>, StoreError> {
        self.slots(team, Consistency::Strong).await
    }

    /// The same at half the price, a moment old: for a hint to a person, not for a decision.
    pub async fn taken_slots_lately(&self, team: &TeamId) -> Result<Vec<SlotRow>, StoreError> {
        self.slots(team, Consistency::Eventual).await
    }

    async fn slots(&self, team: &TeamId, consistency: Consistency) -> Result<Vec<SlotRow>, StoreError> {
        let range = Range { consistency, ..Range::all(Key::Slot(team, 0)) };
        self.query(range).await
    }

    /// A slot is given back by its owner alone.
    pub(crate) fn free_slot(&self, run: &Run, slot: u16) -> TransactWriteItem {
        delete_if(&self.table, &Key::Slot(&run.team, slot), "run_id", AttributeValue::S(run.run_id.to_string()))
    }
}
